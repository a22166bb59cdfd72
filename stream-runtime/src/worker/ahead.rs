//! Source tasks of one hop on one thread, side by side: one that is far ahead of another that has records waiting sits
//! out a turn. Its records could only lie in the tables behind the hop until the other has come as far.

use super::context::WorkerContext;
use crate::topology::SubTopology;
use crate::window::Window;

/// The least distance that is allowed unless the app says otherwise, ms.
const LEAST: i64 = 60_000;

/// A hop: the sub-topology of its source tasks, and its number there.
type Hop = (usize, usize);

/// Who waits for whom, in the round of a thread.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Of each sub-topology's hops: how far a source may be ahead, ms.
    pub(super) allowed: Vec<Vec<i64>>,
    /// Of each hop whose sources have records waiting: the smallest time of theirs.
    pub(super) slowest: Vec<(Hop, i64)>,
}

impl Ahead {
    pub(super) fn of(worker: &WorkerContext) -> Self {
        let ahead = worker.settings.time.source_ahead;
        let hops = |topology: &SubTopology| {
            let topics = topology.fills.iter();
            let topics = topics.map(|fill| &topology.outputs[fill.output].topic);
            topics
                .map(|topic| match ahead {
                    Some(ahead) => i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX),
                    None => largest_window(worker, topic).max(LEAST),
                })
                .collect()
        };
        Ahead {
            allowed: worker.topologies.iter().map(|t| hops(t)).collect(),
            slowest: Vec::new(),
        }
    }

    /// Returns whether there is no hop, so that no task waits for another.
    pub(super) fn is_idle(&self) -> bool {
        self.allowed.iter().all(Vec::is_empty)
    }

    /// Takes note of a source that has records waiting, and its time.
    pub(super) fn waits(&mut self, hop: Hop, time: i64) {
        match self.slowest.iter_mut().find(|(other, _)| *other == hop) {
            Some((_, slowest)) => *slowest = time.min(*slowest),
            None => self.slowest.push((hop, time)),
        }
    }

    /// Returns whether a task with these times is too far ahead, in all of its hops: of two tasks each may be ahead of
    /// the other in one of them, and one of the two must go on.
    pub(super) fn is_too_far_in_all(
        &self,
        topology: usize,
        times: impl Iterator<Item = (usize, i64)>,
    ) -> bool {
        let mut any = false;
        for (hop, time) in times {
            any = true;
            if !self.is_too_far((topology, hop), time) {
                return false;
            }
        }
        any
    }

    /// Returns whether a source with this time is too far ahead.
    pub(super) fn is_too_far(&self, hop: Hop, time: i64) -> bool {
        let slowest = self.slowest.iter().find(|(other, _)| *other == hop);
        let allowed = self.allowed[hop.0].get(hop.1).copied();
        match (slowest, allowed) {
            // Also of one that has not acknowledged anything yet.
            (_, Some(i64::MAX)) => false,
            (Some((_, slowest)), Some(allowed)) => time > slowest.saturating_add(allowed),
            _ => false,
        }
    }
}

/// Returns the size of the largest window, or the distance of the widest join, that records of a topic come to, ms.
fn largest_window(worker: &WorkerContext, topic: &str) -> i64 {
    let reads = |t: &SubTopology| t.inputs.iter().any(|input| input.topic == topic);
    let readers = worker.topologies.iter().filter(|t| reads(t));
    let sizes = readers.flat_map(|topology| {
        let windows = topology.tables.iter().filter_map(|t| t.descriptor.window);
        let windows = windows.map(|window| match window {
            Window::Tumbling { size } | Window::Hopping { size, .. } | Window::Sliding { size } => {
                size
            }
            Window::Session { gap } => gap,
        });
        let joins = topology.agents.iter().filter_map(|a| a.shape.join.as_ref());
        windows.chain(joins.map(|join| join.within))
    });
    sizes.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::NO_TIME;

    #[test]
    pub(super) fn who_is_ahead_of_the_slowest_that_has_something_to_do_waits() {
        let mut ahead = Ahead {
            allowed: vec![vec![1_000, i64::MAX], Vec::new()],
            slowest: Vec::new(),
        };
        assert!(!ahead.is_too_far((0, 0), 9_999), "nobody has records");
        ahead.waits((0, 0), 5_000);
        ahead.waits((0, 0), 3_000);
        ahead.waits((0, 0), 4_000);
        assert!(!ahead.is_too_far((0, 0), 4_000));
        assert!(ahead.is_too_far((0, 0), 4_001));
        assert!(!ahead.is_too_far((0, 0), 3_000), "the slowest itself");
        // Of two tasks each is ahead of the other in one hop: both would sit out for ever.
        let mut both = Ahead {
            allowed: vec![vec![1_000, 1_000]],
            slowest: Vec::new(),
        };
        let tasks = [[(0, 10_000), (1, 1_000)], [(0, 1_000), (1, 10_000)]];
        for (hop, time) in tasks.concat() {
            both.waits((0, hop), time);
        }
        for times in tasks {
            assert!(!both.is_too_far_in_all(0, times.into_iter()), "{times:?}");
        }
        let far = [(0, 10_000), (1, 10_000)];
        assert!(both.is_too_far_in_all(0, far.into_iter()));
        assert!(!both.is_too_far_in_all(0, [].into_iter()), "no source");
        // Another hop, whose sources never wait.
        ahead.waits((0, 1), NO_TIME);
        assert!(!ahead.is_too_far((0, 1), 9_999));
        // One that has not acknowledged anything yet is the slowest.
        ahead.waits((0, 0), NO_TIME);
        assert!(ahead.is_too_far((0, 0), 3_000));
        assert!(!ahead.is_too_far((0, 0), NO_TIME));
    }
}
