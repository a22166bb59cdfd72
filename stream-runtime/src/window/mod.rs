//! Windows over event time: half-open `[start, end)`, aligned to the epoch, in milliseconds.

/// The shape of a table's windows.
///
/// ```
/// use stream_runtime::Window;
///
/// let day = Window::Tumbling { size: 86_400_000 };
/// assert_eq!((day.size(), day.step()), (86_400_000, 86_400_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Window {
    /// Windows of `size` milliseconds, one after the other; each time lies in exactly one.
    Tumbling {
        /// Length in milliseconds, at least 1.
        size: i64,
    },
    /// Windows of `size` milliseconds, one starting every `step`; each time lies in `ceil(size / step)` or one fewer.
    Hopping {
        /// Length in milliseconds, at least 1.
        size: i64,
        /// Distance between two starts in milliseconds, `1..=size`.
        step: i64,
    },
    /// One window per burst of a key's records, `[first, last + gap + 1 ms)`.
    Session {
        /// Longest time between two records of one burst in milliseconds, at least 1.
        gap: i64,
    },
    /// `[e - size, e + 1 ms)` for each `e` at which a key's content changes.
    Sliding {
        /// How far apart two records of one window may be in milliseconds, at least 1.
        size: i64,
    },
}

impl Window {
    /// Returns the length of one window in milliseconds; of a session the gap that ends it.
    ///
    /// ```
    /// use stream_runtime::Window;
    ///
    /// let window = Window::Hopping { size: 3_600_000, step: 600_000 };
    /// assert_eq!(window.size(), 3_600_000);
    /// ```
    pub const fn size(self) -> i64 {
        match self {
            Window::Tumbling { size } | Window::Hopping { size, .. } | Window::Sliding { size } => {
                size
            }
            Window::Session { gap } => gap,
        }
    }

    /// Returns the distance between the starts of two neighbours in milliseconds; 1 for windows that follow their
    /// records.
    ///
    /// ```
    /// use stream_runtime::Window;
    ///
    /// let window = Window::Hopping { size: 3_600_000, step: 600_000 };
    /// assert_eq!(window.step(), 600_000);
    /// ```
    pub const fn step(self) -> i64 {
        match self {
            Window::Tumbling { size } => size,
            Window::Hopping { step, .. } => step,
            Window::Session { .. } | Window::Sliding { .. } => 1,
        }
    }

    /// Returns the starts of the tumbling or hopping windows that hold `time`, in ascending order: the multiples of the
    /// step in `(time - size, time]`.
    ///
    /// ```
    /// use stream_runtime::Window;
    ///
    /// let window = Window::Hopping { size: 60, step: 20 };
    /// assert_eq!(window.starts(70).collect::<Vec<_>>(), [20, 40, 60]);
    /// ```
    pub fn starts(self, time: i64) -> Starts {
        let step = self.step();
        let last = floor_to(time, step);
        // The smallest multiple of the step above `time - size`.
        let first = floor_to(time.saturating_sub(self.size()), step).saturating_add(step);
        Starts {
            next: first,
            last,
            step,
        }
    }
}

/// The largest multiple of `unit` that is not above `time`; negative times round down as well.
const fn floor_to(time: i64, unit: i64) -> i64 {
    time.div_euclid(unit).saturating_mul(unit)
}

/// Iterator of [`Window::starts`].
#[derive(Clone, Debug)]
pub struct Starts {
    next: i64,
    last: i64,
    step: i64,
}

impl Iterator for Starts {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        if self.next > self.last {
            return None;
        }
        let start = self.next;
        self.next = start.saturating_add(self.step);
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tumbling_window_holds_each_time_once() {
        let w = Window::Tumbling { size: 10 };
        assert_eq!(w.starts(-1).collect::<Vec<_>>(), [-10]);
        assert_eq!(w.starts(0).collect::<Vec<_>>(), [0]);
        assert_eq!(w.starts(9).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn hopping_starts_are_aligned_to_the_epoch() {
        let w = Window::Hopping { size: 57, step: 23 };
        assert_eq!(w.starts(456).collect::<Vec<_>>(), [414, 437]);
        assert_eq!(
            Window::Hopping { size: 10, step: 5 }
                .starts(4)
                .collect::<Vec<_>>(),
            [-5, 0]
        );
    }
}
