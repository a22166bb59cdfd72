//! Sees from outside whether stream threads turn, and names the handler that blocks one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::handle::Standing;
use super::handle::WorkerHandle;
use crate::task::{Beat, Pulse, Stand};

/// A poll of a handler that takes longer than this, in ms, blocks its thread.
const BLOCKED_MS: u64 = 5_000;
/// A thread that gets nowhere for so long, in ms, makes its worker not ready.
const STUCK_MS: u64 = 10_000;
/// What is said is said again after so long, in ms.
const REMIND_MS: u64 = 60_000;
/// How often the threads are looked at. What takes longer was not a wait of theirs: the process stood still.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// What one stream thread was seen doing.
#[derive(Debug, Default)]
struct Watch {
    beat: Beat,
    /// How long it has been the same, in ms, as far as this thread was awake.
    still: u64,
    /// What `still` was when something was said of it last.
    said: Option<u64>,
    stuck: bool,
}

/// What is to be said of a thread.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// A handler blocks it.
    Handler(usize),
    /// It stands there.
    Stands(Stand),
    /// It turns again, after so many ms.
    Turns(u64),
}

impl Watch {
    /// Takes a look, so many ms after the last one.
    fn look(&mut self, beat: Beat, passed: u64) -> Option<Said> {
        if beat != self.beat {
            let (still, stuck) = (self.still, self.stuck);
            *self = Watch {
                beat,
                ..Watch::default()
            };
            return stuck.then_some(Said::Turns(still));
        }
        // Before its first and after its last turn it is not ready anyway, and may wait for the cluster.
        if matches!(beat.stand(), Stand::Begins | Stand::Ends) {
            return None;
        }
        self.still += passed.min(2 * CHECK_INTERVAL.as_millis() as u64);
        self.stuck = self.still >= STUCK_MS;
        let says = match beat.agent() {
            Some(_) => self.still >= BLOCKED_MS,
            None => self.stuck,
        };
        if !says || self.said.is_some_and(|said| self.still - said < REMIND_MS) {
            return None;
        }
        self.said = Some(self.still);
        Some(match beat.agent() {
            Some(agent) => Said::Handler(agent),
            None => Said::Stands(beat.stand()),
        })
    }
}

/// Watches until `over`. `names` gives an agent's name by its number in the plan; a thread that stands for as long as
/// `lost` is not expected to turn again.
pub(super) fn watch(
    pulses: &[Arc<Pulse>],
    handle: &WorkerHandle,
    names: &[&'static str],
    lost: Duration,
    over: &AtomicBool,
) {
    let mut watches: Vec<Watch> = pulses.iter().map(|_| Watch::default()).collect();
    let name = |agent: usize| names.get(agent).copied().unwrap_or("?");
    let mut looked = Instant::now();
    while !over.load(Ordering::Acquire) {
        std::thread::park_timeout(CHECK_INTERVAL);
        let passed = looked.elapsed().as_millis() as u64;
        looked = Instant::now();
        for (thread, (pulse, watch)) in pulses.iter().zip(&mut watches).enumerate() {
            let said = watch.look(pulse.beat(), passed);
            let seconds = watch.still / 1_000;
            if watch.stuck {
                let place = match watch.beat.agent() {
                    Some(agent) => format!("the handler of agent `{}`", name(agent)),
                    None => watch.beat.stand().text().to_owned(),
                };
                let standing = Standing {
                    place,
                    seconds,
                    lost: seconds >= lost.as_secs(),
                };
                handle.stands(thread, Some(standing));
            }
            match said {
                None => {}
                Some(Said::Handler(agent)) => tracing::warn!(
                    agent = name(agent),
                    thread,
                    seconds,
                    "handler blocks its stream thread: its other partitions wait, and after {} s the worker is not ready; \
                     await instead of blocking, or use spawn_blocking",
                    STUCK_MS / 1_000
                ),
                Some(Said::Stands(stand)) => tracing::warn!(
                    thread,
                    seconds,
                    "stream thread does not turn: it stands in {}; the worker is not ready until it does",
                    stand.text()
                ),
                Some(Said::Turns(still)) => {
                    handle.stands(thread, None);
                    tracing::info!(
                        thread,
                        "stream thread turns again after {} s",
                        still / 1_000
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u64 = 500;

    /// What is said in so many looks without a change, and when, in ms.
    fn looks(watch: &mut Watch, pulse: &Pulse, count: u64) -> Vec<(u64, Said)> {
        let mut found = Vec::new();
        for n in 1..=count {
            if let Some(said) = watch.look(pulse.beat(), HALF) {
                found.push((n * HALF, said));
            }
        }
        found
    }

    #[test]
    fn a_handler_that_blocks_is_named_once_and_each_minute_and_is_no_second_line_when_not_ready() {
        let (mut watch, pulse) = (Watch::default(), Pulse::default());
        pulse.at(Stand::Work);
        pulse.enter(3);
        assert_eq!(watch.look(pulse.beat(), HALF), None);
        assert_eq!(looks(&mut watch, &pulse, 19), [(5_000, Said::Handler(3))]);
        assert!(!watch.stuck);
        assert_eq!(looks(&mut watch, &pulse, 1), []);
        assert!(watch.stuck, "after 10 s");
        assert_eq!(looks(&mut watch, &pulse, 120).len(), 1, "each minute");
        pulse.leave();
        assert!(matches!(
            watch.look(pulse.beat(), HALF),
            Some(Said::Turns(_))
        ));
        assert!(!watch.stuck);
    }

    #[test]
    fn a_thread_that_does_not_turn_for_10_s_is_named_with_its_place_and_again_when_it_turns() {
        let (mut watch, pulse) = (Watch::default(), Pulse::default());
        pulse.at(Stand::Store);
        watch.look(pulse.beat(), HALF);
        let said = looks(&mut watch, &pulse, 30);
        assert_eq!(said, [(10_000, Said::Stands(Stand::Store))]);
        pulse.at(Stand::Store);
        assert_eq!(watch.look(pulse.beat(), HALF), Some(Said::Turns(15_000)));
        assert_eq!(looks(&mut watch, &pulse, 19), []);
    }

    #[test]
    fn a_thread_that_polls_many_short_handlers_in_one_turn_is_not_stuck() {
        let (mut watch, pulse) = (Watch::default(), Pulse::default());
        pulse.at(Stand::Work);
        for _ in 0..100 {
            pulse.enter(0);
            assert_eq!(watch.look(pulse.beat(), HALF), None);
            pulse.leave();
        }
        assert!(!watch.stuck);
    }

    #[test]
    fn a_process_that_was_frozen_is_not_taken_for_a_thread_that_does_not_turn() {
        let (mut watch, pulse) = (Watch::default(), Pulse::default());
        pulse.at(Stand::Rest);
        watch.look(pulse.beat(), HALF);
        assert_eq!(watch.look(pulse.beat(), 3_600_000), None);
        assert!(!watch.stuck);
        pulse.at(Stand::Ends);
        watch.look(pulse.beat(), HALF);
        assert_eq!(looks(&mut watch, &pulse, 100), [], "nor one that ends");
    }
}
