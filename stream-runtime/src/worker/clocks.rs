//! Clocks of inputs that are quiet.

use crate::task::Lull;

/// A turn that took this long proves nothing: the process was frozen, or a handler blocked it.
pub(super) const TRUST: u64 = 1_000;

/// Sums the loop turns in which nothing came; a turn of a second or more starts again.
#[derive(Debug, Default)]
pub(super) struct IdleClock {
    pub(super) quiet: u64,
    pub(super) last: Option<u64>,
}

impl IdleClock {
    /// One loop turn at the monotonic time `now` (ms); returns the quiet time so far, in ms.
    pub(super) fn turn(&mut self, now: u64, moved: bool) -> u64 {
        let turn = now.saturating_sub(self.last.replace(now).unwrap_or(now));
        self.quiet = if moved || turn >= TRUST {
            0
        } else {
            self.quiet + turn
        };
        self.quiet
    }

    /// Starts again.
    pub(super) fn restart(&mut self) {
        self.quiet = 0;
    }

    /// Starts again with the next turn: the time until then was none in which anything could be read.
    pub(super) fn pause(&mut self) {
        *self = IdleClock::default();
    }
}

/// Clock of a group of inputs whose silence is told.
#[derive(Debug)]
pub(super) struct LullClock {
    pub(super) of: Lull,
    pub(super) clock: IdleClock,
    /// A fresh look at the ends has been asked for.
    pub(super) asked: bool,
    /// Nothing has come since the task began.
    pub(super) fresh: bool,
    /// Nothing was there when it began: nobody has to wait for more.
    pub(super) empty: bool,
    /// Sum of the positions as of the last turn.
    pub(super) position: i64,
}

impl LullClock {
    pub(super) fn new(of: Lull) -> Self {
        LullClock {
            of,
            clock: IdleClock::default(),
            asked: false,
            fresh: true,
            empty: false,
            position: -1,
        }
    }

    pub(super) fn of(&self) -> Lull {
        self.of
    }

    /// The inputs begin; `empty`: their topics hold nothing.
    pub(super) fn begin(&mut self, empty: bool) {
        self.empty = empty;
    }

    /// One loop turn at the monotonic time `now` (ms): returns whether the group has been quiet for `after` ms.
    pub(super) fn turn(&mut self, now: u64, (spent, position): (bool, i64), after: u64) -> bool {
        // The first position is where it begins.
        let moved = self.position >= 0 && position != self.position;
        self.position = position;
        self.fresh &= !moved;
        let quiet = self.clock.turn(now, moved || !spent);
        if quiet == 0 {
            self.asked = false;
        }
        spent && (quiet >= after || self.empty && self.fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_turns_add_up() {
        let mut clock = IdleClock::default();
        assert_eq!(clock.turn(10_000, false), 0);
        assert_eq!(clock.turn(10_400, false), 400);
        assert_eq!(clock.turn(10_900, false), 900);
        assert_eq!(clock.turn(11_000, true), 0);
        assert_eq!(clock.turn(11_100, false), 100);
        clock.restart();
        assert_eq!(clock.turn(11_200, false), 100);
    }

    #[test]
    fn time_of_turns_that_were_skipped_is_none_of_quiet() {
        let mut clock = IdleClock::default();
        clock.turn(0, false);
        assert_eq!(clock.turn(500, false), 500);
        clock.pause();
        assert_eq!(clock.turn(1_400, false), 0);
        assert_eq!(clock.turn(1_500, false), 100);
    }

    #[test]
    fn a_frozen_process_starts_again() {
        let mut clock = IdleClock::default();
        clock.turn(0, false);
        clock.turn(900, false);
        assert_eq!(clock.turn(60_000, false), 0);
        assert_eq!(clock.turn(60_100, false), 100);
    }
}
