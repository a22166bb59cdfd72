//! For each fault the silence that followed: the longest time in which a partition had input and nothing came of it.

use super::outputs::by_partition;
use super::schedule::Kind;
use super::{Guarantee, INPUT, wall};
use crate::cluster::{BROKER_SESSION, REPLICA_LAG};
use anyhow::Result;
use std::time::Duration;

/// The output that has one record for each of the input, in its order.
pub const OUTPUT: &str = "running";
/// For brokers to stamp records with the time at which they come.
pub const STAMPED: (&str, &str) = ("message.timestamp.type", "LogAppendTime");
/// How long after a fault is over what follows is the fault's, in ms.
const AFTER: i64 = 5_000;
/// The workers' session, the product's own on several brokers.
const WORKER_SESSION: Duration = Duration::from_secs(BROKER_SESSION.as_secs() + 11);

/// The longest silence after a single fault: whoever is gone is missed by then, and five seconds more.
pub fn bound() -> Duration {
    let missed = WORKER_SESSION.max(BROKER_SESSION).max(REPLICA_LAG);
    missed + Duration::from_secs(5)
}

/// A fault as it happened; wall clock in ms.
#[derive(Clone, Debug)]
pub struct Deed {
    pub kind: Kind,
    /// Such as `node 2`.
    pub victim: String,
    pub at: i64,
    /// When the victim was there again.
    pub back: Option<i64>,
    /// When all was as before.
    pub over: Option<i64>,
}

impl Deed {
    /// It begins now.
    pub fn begins(kind: Kind, victim: String) -> Self {
        Self {
            kind,
            victim,
            at: wall(),
            back: None,
            over: None,
        }
    }

    /// It begins now and lasts so long.
    pub fn lasts(kind: Kind, victim: String, lasts: Duration) -> Self {
        let mut deed = Self::begins(kind, victim);
        let end = deed.at + lasts.as_millis() as i64;
        (deed.back, deed.over) = (Some(end), Some(end));
        deed
    }

    fn end(&self) -> i64 {
        self.over.unwrap_or(self.at) + AFTER
    }

    /// Since when an output may be asked for: while too few nodes are there, or a worker is cut off from what it needs,
    /// there need be none.
    fn asked_from(&self) -> i64 {
        match self.kind {
            Kind::Two | Kind::Cut => self.back.unwrap_or(self.at),
            _ => self.at,
        }
    }
}

/// A fault and what followed.
#[derive(Debug)]
pub struct Silence {
    pub deed: Deed,
    /// In ms.
    pub longest: i64,
    /// No other fault began or went on meanwhile.
    pub alone: bool,
}

impl Silence {
    /// A single fault that was followed by too long a silence. Two nodes at once are more than one: while they are gone
    /// no node coordinates anything, so all sessions may end, and the next coordinator waits for them once more.
    pub fn is_too_long(&self) -> bool {
        let bound = match self.deed.kind {
            Kind::Two => bound() + WORKER_SESSION,
            _ => bound(),
        };
        self.alone && self.longest > bound.as_millis() as i64
    }
}

/// All faults, in the order of time.
pub fn after(bootstrap: &str, guarantee: Guarantee, mut deeds: Vec<Deed>) -> Result<Vec<Silence>> {
    let stamps = |topic| by_partition(bootstrap, topic, |record| record.timestamp.unwrap_or(-1));
    let outputs = stamps(OUTPUT)?;
    // Only with exactly-once the n-th output is the n-th input's.
    let inputs = match guarantee {
        Guarantee::ExactlyOnce => stamps(INPUT)?,
        Guarantee::AtLeastOnce => Vec::new(),
    };
    deeds.sort_by_key(|deed| deed.at);
    let silence = |at: usize| {
        let deed = &deeds[at];
        let next = deeds.get(at + 1).map_or(i64::MAX, |next| next.at);
        let of = |(partition, outputs): (usize, &Vec<i64>)| {
            let inputs = inputs.get(partition).map_or(&[][..], Vec::as_slice);
            longest(outputs, inputs, deed.asked_from(), deed.end(), next)
        };
        let others = deeds.iter().enumerate().filter(|(other, _)| *other != at);
        let alone = |other: &Deed| other.end() < deed.at || deed.end() < other.at;
        Silence {
            longest: outputs.iter().enumerate().map(of).max().unwrap_or(0),
            alone: { others }.all(|(_, other)| alone(other)),
            deed: deed.clone(),
        }
    };
    Ok((0..deeds.len()).map(silence).collect())
}

/// The longest time between two outputs of which a part lies between `from` and `to`, without what was before `from` or
/// before the later one's input was there, and up to the next fault: what comes then is that one's.
fn longest(outputs: &[i64], inputs: &[i64], from: i64, to: i64, next: i64) -> i64 {
    let mut longest = 0;
    for (at, pair) in outputs.windows(2).enumerate() {
        let waits = inputs.get(at + 1).copied().unwrap_or(pair[0]);
        let begins = pair[0].max(from).max(waits);
        if begins <= to {
            longest = longest.max(pair[1].min(next) - begins);
        }
    }
    longest
}

/// As text, with the time since `start` (wall clock, ms).
pub fn table(silences: &[Silence], start: i64) -> String {
    let seconds = |ms: i64| format!("{:.1}", ms as f64 / 1_000.0);
    let mut text = format!(
        "\n{:>7}  {:<12} {:<14} {:>7} {:>8}  (s; at most {:.0} after a single fault)\n",
        "at",
        "fault",
        "of",
        "took",
        "silence",
        bound().as_secs_f64()
    );
    for silence in silences {
        let deed = &silence.deed;
        let took = deed
            .over
            .map_or("?".to_owned(), |over| seconds(over - deed.at));
        text += &format!(
            "{:>7}  {:<12} {:<14} {took:>7} {:>8}  {}{}\n",
            seconds(deed.at - start),
            deed.kind.name(),
            deed.victim,
            seconds(silence.longest),
            if silence.alone { "" } else { "beside another" },
            if silence.is_too_long() {
                "too long"
            } else {
                ""
            },
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_what_lies_after_the_fault_and_had_input() {
        let outputs = [0, 1_000, 5_000, 5_100, 9_000, 30_000];
        // The gap before the fault is not its own, nor is one without input.
        assert_eq!(longest(&outputs, &[], 2_000, 8_000, i64::MAX), 3_900);
        assert_eq!(
            longest(
                &outputs,
                &[0, 0, 0, 0, 8_000, 9_000],
                2_000,
                8_000,
                i64::MAX
            ),
            3_000
        );
        assert_eq!(
            longest(&outputs, &[0, 0, 0, 0, 0, 29_000], 8_500, 20_000, i64::MAX),
            500
        );
        // It goes on into the next fault, and is that one's from then on.
        assert_eq!(longest(&outputs, &[], 8_000, 10_000, 12_000), 3_000);
    }

    #[test]
    fn a_fault_beside_another_has_no_bound() {
        let deed = Deed::lasts(Kind::NodeKill, String::new(), Duration::from_secs(1));
        let mut silence = Silence {
            deed,
            longest: bound().as_millis() as i64 + 1,
            alone: true,
        };
        assert!(silence.is_too_long());
        silence.alone = false;
        assert!(!silence.is_too_long());
    }
}
