//! Names the handler that blocks its stream thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::task::Pulse;

/// A poll of a handler that takes longer than this, in ms, blocks its thread.
const PATIENCE: u64 = 5_000;

/// What one stream thread was seen doing.
#[derive(Debug, Default)]
struct Watch {
    /// The poll that was named already: when it began, and when it was named last.
    named: Option<(u64, u64)>,
}

impl Watch {
    /// Whether to say, at `now`, that the poll which began at `since` blocks: once, then each minute.
    fn says(&mut self, since: u64, now: u64) -> bool {
        if now.saturating_sub(since) < PATIENCE {
            return false;
        }
        let again = self
            .named
            .is_none_or(|(began, said)| began != since || now.saturating_sub(said) >= 60_000);
        if again {
            self.named = Some((since, now));
        }
        again
    }
}

/// Watches until `over`. `names` gives an agent's name by its number in the plan.
pub(super) fn watch(
    pulses: &[Arc<Pulse>],
    began: Instant,
    names: &[&'static str],
    over: &AtomicBool,
) {
    let mut watches: Vec<Watch> = pulses.iter().map(|_| Watch::default()).collect();
    while !over.load(Ordering::Acquire) {
        std::thread::park_timeout(Duration::from_millis(500));
        let now = began.elapsed().as_millis() as u64;
        for (thread, (pulse, watch)) in pulses.iter().zip(&mut watches).enumerate() {
            if let Some((agent, since)) = pulse.running()
                && watch.says(since, now)
            {
                let agent = names.get(agent).copied().unwrap_or("?");
                tracing::warn!(
                    agent,
                    thread,
                    seconds = (now - since) / 1_000,
                    "handler blocks its stream thread: its other partitions wait; await instead of blocking, or use spawn_blocking"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_poll_is_named_once_and_each_minute() {
        let mut watch = Watch::default();
        assert!(!watch.says(1_000, 5_900));
        assert!(watch.says(1_000, 6_000));
        assert!(!watch.says(1_000, 30_000));
        assert!(watch.says(1_000, 66_000));
        assert!(watch.says(70_000, 75_000), "another poll");
    }
}
