//! How long a task has been quiet, as this thread saw it.

/// A turn that took this long proves nothing: the process was frozen, or a handler blocked it.
const TRUST: u64 = 1_000;

/// Sums the loop turns in which nothing came; a turn of a second or more begins anew.
#[derive(Debug, Default)]
pub(super) struct IdleClock {
    quiet: u64,
    last: Option<u64>,
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

    /// Begins anew.
    pub(super) fn restart(&mut self) {
        self.quiet = 0;
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
    fn a_frozen_process_begins_anew() {
        let mut clock = IdleClock::default();
        clock.turn(0, false);
        clock.turn(900, false);
        assert_eq!(clock.turn(60_000, false), 0);
        assert_eq!(clock.turn(60_100, false), 100);
    }
}
