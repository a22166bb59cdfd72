//! Which fault happens when: a pure function of the seed.

use crate::chaos::Chaos;
use std::time::Duration;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL of a worker, which starts again.
    Kill,
    /// A worker stopped past its session, then continued: a zombie that must not write.
    Freeze,
    /// The same, stopped between two commits of one closing: its next commit would have no new offset.
    Amid,
    /// One more worker that comes and leaves in order.
    Join,
    /// SIGKILL of the broker, and its restart.
    Broker,
}

impl Kind {
    pub const ALL: [Kind; 5] = [
        Kind::Kill,
        Kind::Freeze,
        Kind::Amid,
        Kind::Join,
        Kind::Broker,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Freeze => "freeze",
            Kind::Amid => "amid",
            Kind::Join => "join",
            Kind::Broker => "broker",
        }
    }

    /// All names.
    pub fn names() -> String {
        Kind::ALL.map(Kind::name).join(", ")
    }

    /// How often it is drawn, relative to the others.
    fn weight(self) -> usize {
        match self {
            Kind::Kill => 4,
            Kind::Freeze | Kind::Amid | Kind::Join => 2,
            Kind::Broker => 1,
        }
    }

    /// From and to: since the fault before. A worker that is killed has had time to keep something.
    fn pause(self) -> (u64, u64) {
        match self {
            Kind::Kill => (4_200, 4_900),
            _ => (1_800, 3_800),
        }
    }

    /// From and to: until what was taken comes back.
    fn lasts(self) -> (u64, u64) {
        match self {
            Kind::Kill | Kind::Broker => (0, 1_500),
            // Past the session of two seconds.
            Kind::Freeze | Kind::Amid => (2_300, 4_500),
            Kind::Join => (2_000, 5_000),
        }
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Since the start.
    pub at: Duration,
    pub kind: Kind,
    /// The worker, by number.
    pub victim: usize,
    /// Until the victim is back, or the guest leaves.
    pub lasts: Duration,
}

/// Each kind once before any comes again, never more than five seconds apart.
pub fn schedule(seed: u64, length: Duration, kinds: &[Kind], workers: usize) -> Vec<Fault> {
    let mut chaos = Chaos::seeded(seed);
    let mut between = |from: u64, to: u64| from + chaos.below(to - from);
    let bag: Vec<Kind> = kinds
        .iter()
        .flat_map(|kind| std::iter::repeat_n(*kind, kind.weight()))
        .collect();
    let mut first: Vec<Kind> = kinds.to_vec();
    let (mut faults, mut at) = (Vec::new(), 0);
    let end = (length.as_millis() as u64).saturating_sub(1_000);
    while !bag.is_empty() {
        let kind = if first.is_empty() {
            bag[between(0, bag.len() as u64) as usize]
        } else {
            first.swap_remove(between(0, first.len() as u64) as usize)
        };
        let (from, to) = kind.pause();
        at += between(from, to);
        if at >= end {
            break;
        }
        let (from, to) = kind.lasts();
        faults.push(Fault {
            at: Duration::from_millis(at),
            kind,
            victim: between(0, workers as u64) as usize,
            lasts: Duration::from_millis(between(from, to)),
        });
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_schedule_of_a_hundred_faults_in_ten_minutes() {
        let ten = Duration::from_secs(600);
        let faults = schedule(1, ten, &Kind::ALL, 3);
        assert_eq!(faults, schedule(1, ten, &Kind::ALL, 3));
        assert_ne!(faults, schedule(2, ten, &Kind::ALL, 3));
        assert!(faults.len() >= 140, "{}", faults.len());
        for kind in Kind::ALL {
            assert!(faults[..5].iter().any(|fault| fault.kind == kind));
            assert!(faults.iter().filter(|fault| fault.kind == kind).count() > 3);
        }
        assert!(
            faults
                .windows(2)
                .all(|pair| pair[1].at - pair[0].at <= Duration::from_secs(5))
        );
    }
}
