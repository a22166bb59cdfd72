//! What arrives: a record, or the `Option` of one, which takes tombstones.

use super::{DecodeError, Record};

/// A value that a handler takes from a topic: a [`Record`], or `Option` of one, to which a tombstone is `None`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stream record",
    label = "not a record",
    note = "add `#[record]` to `{Self}`"
)]
pub trait Payload: Sized + 'static {
    /// The record itself.
    type Record: Record;

    /// Reads the value of a message; `None` is a tombstone.
    ///
    /// # Errors
    ///
    /// As [`Record::decode`].
    fn decode(value: Option<&[u8]>) -> Result<Self, DecodeError>;

    /// The record, unless it is a tombstone.
    fn record(&self) -> Option<&Self::Record>;

    /// The event time that the record carries.
    #[inline]
    fn timestamp(&self) -> Option<i64> {
        self.record().and_then(Record::timestamp)
    }
}

impl<T: Record> Payload for T {
    type Record = T;

    #[inline]
    fn decode(value: Option<&[u8]>) -> Result<Self, DecodeError> {
        Record::decode(value)
    }

    #[inline]
    fn record(&self) -> Option<&T> {
        Some(self)
    }
}

impl<T: Record> Payload for Option<T> {
    type Record = T;

    #[inline]
    fn decode(value: Option<&[u8]>) -> Result<Self, DecodeError> {
        match value {
            Some(_) => Record::decode(value).map(Some),
            None => Ok(None),
        }
    }

    #[inline]
    fn record(&self) -> Option<&T> {
        self.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_none() {
        assert_eq!(<Option<String> as Payload>::decode(None).unwrap(), None);
        assert_eq!(
            <Option<String> as Payload>::decode(Some(b"x")).unwrap(),
            Some("x".into())
        );
        let refused = <String as Payload>::decode(None).unwrap_err();
        assert!(refused.is_tombstone());
        assert_eq!(Payload::timestamp(&None::<String>), None);
    }
}
