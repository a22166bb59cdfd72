//! The timestamps of records that a test sends.

/// A Kafka timestamp.
#[derive(Clone, Copy)]
pub(super) enum Stamp {
    /// The event time of the record, else the clock's.
    OfRecord,
    /// This one, epoch ms.
    Of(i64),
    /// None.
    None,
}
