//! Where a stream thread is, for the watchdog.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a stream thread does between two turns of its loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stand {
    /// It has not begun.
    #[default]
    Begins,
    /// The group's events, and what follows from them.
    Group,
    /// Answers of other threads: partitions begin.
    Answers,
    /// Tables come back.
    Recovery,
    /// Agents at work.
    Work,
    /// A commit.
    Commit,
    /// Rows on their way to the store.
    Store,
    /// It waits for something to do.
    Rest,
    /// It ends.
    Ends,
}

impl Stand {
    const ALL: [(Stand, &'static str); 9] = [
        (Stand::Begins, "its beginning"),
        (Stand::Group, "an answer to the group"),
        (Stand::Answers, "the beginning of partitions"),
        (Stand::Recovery, "the recovery of tables"),
        (Stand::Work, "the work on events"),
        (Stand::Commit, "a commit"),
        (Stand::Store, "a round of the store"),
        (Stand::Rest, "a rest"),
        (Stand::Ends, "its end"),
    ];

    /// For messages, after "in".
    pub fn text(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

const AGENT: u64 = 0xffff;
const STAND: u32 = 16;
const MOVED: u64 = 1 << 24;

/// Written by a stream thread at each step of its loop and around each poll of an agent, read by another thread: as
/// long as the thread gets anywhere it changes.
///
/// The lowest 16 bits are the agent's number in the plan plus one, or 0; the next 8 the [`Stand`]; the others count.
#[derive(Debug, Default)]
pub struct Pulse(AtomicU64);

/// A pulse as it was at one moment; equal to another when the thread got nowhere in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beat(u64);

impl Pulse {
    /// The thread turns to this. Only the thread itself calls it.
    #[inline]
    pub fn at(&self, stand: Stand) {
        let count = self.0.load(Ordering::Relaxed) & !(MOVED - 1);
        let stand = (stand as u64) << STAND;
        self.0
            .store(count.wrapping_add(MOVED) | stand, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn enter(&self, agent: usize) {
        let idle = self.0.load(Ordering::Relaxed) & !AGENT;
        let agent = (agent as u64 + 1) & AGENT;
        self.0
            .store(idle.wrapping_add(MOVED) | agent, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn leave(&self) {
        let idle = self.0.load(Ordering::Relaxed) & !AGENT;
        self.0.store(idle, Ordering::Relaxed);
    }

    /// As it is now.
    pub fn beat(&self) -> Beat {
        Beat(self.0.load(Ordering::Relaxed))
    }
}

impl Beat {
    /// The agent whose code ran, by its number in the plan.
    pub fn agent(self) -> Option<usize> {
        usize::try_from(self.0 & AGENT).ok()?.checked_sub(1)
    }

    /// What the thread did.
    pub fn stand(self) -> Stand {
        let at = usize::try_from((self.0 >> STAND) & 0xff).unwrap_or_default();
        Stand::ALL
            .get(at)
            .map_or(Stand::Begins, |(stand, _)| *stand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_says_where_the_thread_is_and_differs_from_the_one_before() {
        let pulse = Pulse::default();
        assert_eq!(pulse.beat().stand(), Stand::Begins);
        let mut seen = vec![pulse.beat()];
        for (stand, text) in Stand::ALL {
            pulse.at(stand);
            assert_eq!((pulse.beat().stand(), stand.text()), (stand, text));
            seen.push(pulse.beat());
        }
        pulse.at(Stand::Work);
        for _ in 0..2 {
            pulse.enter(7);
            assert_eq!(pulse.beat().agent(), Some(7));
            assert_eq!(pulse.beat().stand(), Stand::Work);
            seen.push(pulse.beat());
            pulse.leave();
            assert_eq!(pulse.beat().agent(), None);
        }
        for (at, beat) in seen.iter().enumerate() {
            assert!(!seen[..at].contains(beat), "{at}");
        }
    }
}
