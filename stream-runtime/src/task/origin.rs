//! The event that an output is of.

/// Any agent, or any event of a source.
pub(super) const ANY: u16 = u16::MAX;
/// Several events, or none.
pub(super) const UNKNOWN: u16 = u16::MAX;
/// A tick of a timer: it does not come again.
pub(super) const TICK: u16 = u16::MAX - 1;
/// A call of a crontab.
pub(super) const CALL: u16 = u16::MAX - 2;
/// Windows of the table with this number less.
pub(super) const CLOSING: u16 = 0x8000;
/// Several events taken together, of which the first is of the input with this number less.
pub(super) const TOGETHER: u16 = 0x4000;

/// The event that an output is of, the same when its task starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub(crate) agent: u16,
    /// An input's number, also with [`TOGETHER`], or [`CLOSING`] and a table's, or one of the above.
    pub(crate) source: u16,
    /// The offset; of a window a hash of its end and key; of a call the time that it is for.
    pub(crate) place: i64,
}

impl Origin {
    /// No event that could be named.
    pub(crate) const NONE: Origin = Origin {
        agent: ANY,
        source: UNKNOWN,
        place: 0,
    };

    /// Returns whether it names one event, which comes again when its task starts again.
    pub fn is_known(&self) -> bool {
        self.source < TICK
    }

    /// Returns the input and offset of the event, or of the first of several; `None` of a window or a call.
    pub fn record(&self) -> Option<(usize, i64)> {
        let input = self.source & !TOGETHER;
        (self.source < CLOSING).then_some((usize::from(input), self.place))
    }

    /// Returns whether it names several events.
    pub fn is_of_several(&self) -> bool {
        self.source & TOGETHER != 0 && self.source < CLOSING
    }

    /// Returns whether this verdict is about the event of `other`.
    pub(super) fn is_about(&self, other: &Origin) -> bool {
        (self.agent == ANY || self.agent == other.agent)
            && self.source == other.source
            && (self.place == i64::MIN || self.place == other.place)
    }
}

/// Several events that an agent took together and acknowledged: input and offset of each, in their order.
#[derive(Debug, PartialEq, Eq)]
pub struct Together {
    /// Its outputs have this one.
    pub origin: Origin,
    /// Input and offset.
    pub events: Vec<(usize, i64)>,
}
