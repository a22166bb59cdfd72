//! A model of stream-stream joins that knows nothing of how they are built: it keeps every record for ever and looks at
//! all pairs. The vectors in `tests/cases/joins.json` are made by it.

use crate::chaos::Chaos;
use serde::{Deserialize, Serialize};

/// The kinds, by the words of the vectors.
pub const KINDS: [&str; 4] = ["inner", "left", "right", "outer"];
/// Largest distances of two that meet, in ms.
pub const WITHIN: [i64; 4] = [0, 1, 10, 600_000];
/// How long a record may be late, in ms.
pub const GRACE: [i64; 3] = [0, 3, 60_000];
/// About when the histories are.
const START: i64 = 1_166_289_840_000;

/// A join, and what happens to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    pub kind: String,
    pub within_ms: i64,
    pub grace_ms: i64,
    pub events: Vec<Event>,
    /// Events whose rows are there at the end.
    pub kept_at_end: Vec<usize>,
}

/// A record that arrives, and what comes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub side: String,
    pub key: String,
    pub time: i64,
    /// It changes nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub late: bool,
    /// Events of the other side that had gone alone before this one, near to them, came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missed: Vec<usize>,
    /// What it makes at once: its partners, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joined: Vec<Pair>,
    /// Events that go alone because of it, by time, key, side and arrival.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<Pair>,
}

/// A result: numbers of events, and its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    pub left: Option<usize>,
    pub right: Option<usize>,
    pub time: i64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

impl Scenario {
    /// Whether records of a side go without a partner.
    pub fn goes_alone(&self, side: &str) -> bool {
        self.kind == "outer" || self.kind == side
    }

    /// A history by chance: most of its records are near to the newest, some far behind, some end everything.
    pub fn by_chance(kind: &str, within_ms: i64, grace_ms: i64, count: usize, seed: u64) -> Self {
        let mut chaos = Chaos::seeded(seed);
        let reach = 2 * within_ms + grace_ms + 3;
        let mut newest = START;
        let event = |_| {
            let below = |chaos: &mut Chaos, bound: i64| chaos.below(bound as u64) as i64;
            let horizon = within_ms + grace_ms;
            let time = match chaos.below(12) {
                0 => newest + below(&mut chaos, 3 * reach),
                // Those that were the newest have just gone alone,
                1 => newest + horizon + 1 + below(&mut chaos, within_ms + 1),
                // and this one is near to them and not late.
                2..=5 => newest - horizon + below(&mut chaos, within_ms + 1),
                // Exactly where something ends.
                6 => {
                    let ends = [within_ms, within_ms + 1, horizon, horizon + 1, reach];
                    newest - ends[chaos.below(5) as usize]
                }
                _ => newest + below(&mut chaos, within_ms + 2) - within_ms / 2,
            };
            newest = newest.max(time);
            Event {
                side: ["left", "right"][chaos.below(2) as usize].to_owned(),
                key: ["a", "b"][usize::from(chaos.below(4) == 0)].to_owned(),
                time,
                late: false,
                missed: Vec::new(),
                joined: Vec::new(),
                unmatched: Vec::new(),
            }
        };
        let mut scenario = Scenario {
            kind: kind.to_owned(),
            within_ms,
            grace_ms,
            events: (0..count).map(event).collect(),
            kept_at_end: Vec::new(),
        };
        scenario.play();
        scenario
    }

    /// Says of every event what comes of it, and what is kept at the end.
    fn play(&mut self) {
        let due = |time: i64| time + self.within_ms + self.grace_ms + 1;
        let mut stream_time = i64::MIN;
        let count = self.events.len();
        let (mut taken, mut met) = (vec![false; count], vec![false; count]);
        let mut alone = vec![false; count];
        for n in 0..count {
            let Event {
                side, key, time, ..
            } = self.events[n].clone();
            let late = due(time) <= stream_time;
            let mut joined = Vec::new();
            let mut missed = Vec::new();
            if !late {
                taken[n] = true;
                let mut near: Vec<usize> = (0..n)
                    .filter(|&o| {
                        let other = &self.events[o];
                        taken[o]
                            && other.side != side
                            && other.key == key
                            && (other.time - time).abs() <= self.within_ms
                    })
                    .collect();
                near.sort_by_key(|&o| self.events[o].time);
                for o in near {
                    if alone[o] {
                        missed.push(o);
                        continue;
                    }
                    (met[n], met[o]) = (true, true);
                    let (left, right) = if side == "left" { (n, o) } else { (o, n) };
                    joined.push(Pair {
                        left: Some(left),
                        right: Some(right),
                        time: time.max(self.events[o].time),
                    });
                }
                stream_time = stream_time.max(time);
            }
            let mut over: Vec<usize> = (0..=n)
                .filter(|&o| {
                    let event = &self.events[o];
                    taken[o]
                        && !met[o]
                        && !alone[o]
                        && self.goes_alone(&event.side)
                        && due(event.time) <= stream_time
                })
                .collect();
            over.sort_by_key(|&o| {
                let event = &self.events[o];
                (event.time, event.key.clone(), event.side.clone())
            });
            let unmatched = over.into_iter().map(|o| {
                alone[o] = true;
                let is_left = self.events[o].side == "left";
                Pair {
                    left: is_left.then_some(o),
                    right: (!is_left).then_some(o),
                    time: self.events[o].time,
                }
            });
            let unmatched = unmatched.collect();
            let event = &mut self.events[n];
            (event.late, event.missed) = (late, missed);
            (event.joined, event.unmatched) = (joined, unmatched);
        }
        // Whoever is not late and near to one of these may still come.
        self.kept_at_end = (0..count)
            .filter(|&n| taken[n] && due(self.events[n].time) + self.within_ms > stream_time)
            .collect();
    }
}

/// The vectors: a history of each kind and times.
pub fn vectors() -> Vec<Scenario> {
    let mut all = Vec::new();
    for kind in KINDS {
        for within in WITHIN {
            for grace in GRACE {
                let seed = all.len() as u64 + 1;
                all.push(Scenario::by_chance(kind, within, grace, 30, seed));
            }
        }
    }
    all
}
