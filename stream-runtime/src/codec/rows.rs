//! MessagePack with field names, as tables keep their rows.
//!
//! Field names, so that a row that was written before a field was added can be read (`#[serde(default)]`); MessagePack and
//! not JSON, because JSON has no NaN and no infinity and would lose them.

use serde::{Serialize, de::DeserializeOwned};

/// Version of the form in which rows are written, as a table's mark names it. A program that knows a later one reads the
/// rows of all before it; one that does not know it refuses them.
pub(crate) const FORMAT: u8 = 1;

/// Reads a row.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    rmp_serde::from_slice(bytes)
}

/// Appends a row to `out`, whose content and capacity stay.
#[inline]
pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), rmp_serde::encode::Error> {
    rmp_serde::encode::write_named(out, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    enum Shape {
        Dot,
        Circle { radius: f64 },
        Line(i32, Option<u64>),
    }

    #[derive(Serialize)]
    struct Old {
        n: u64,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct New {
        n: u64,
        #[serde(default)]
        sum: f64,
    }

    fn write<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
        let mut out = Vec::new();
        encode(value, &mut out).unwrap();
        out
    }

    #[test]
    fn numbers_that_json_has_not_are_kept() {
        for n in [f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, -0.0] {
            assert_eq!(decode::<f64>(&write(&n)).unwrap().to_bits(), n.to_bits());
        }
        assert!(decode::<f64>(&write(&f64::NAN)).unwrap().is_nan());
        assert_eq!(decode::<u64>(&write(&u64::MAX)).unwrap(), u64::MAX);
    }

    #[test]
    fn a_field_may_be_added() {
        assert_eq!(
            decode::<New>(&write(&Old { n: 3 })).unwrap(),
            New { n: 3, sum: 0.0 }
        );
    }

    #[test]
    fn shapes_of_serde_survive() {
        for shape in [
            Shape::Dot,
            Shape::Circle { radius: 0.1 },
            Shape::Line(-1, None),
            Shape::Line(1, Some(7)),
        ] {
            assert_eq!(decode::<Shape>(&write(&shape)).unwrap(), shape);
        }
        let time = chrono::DateTime::from_timestamp_millis(1_166_289_840_123).unwrap();
        assert_eq!(
            decode::<chrono::DateTime<chrono::Utc>>(&write(&time)).unwrap(),
            time
        );
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(decode::<New>(b"").is_err());
        assert!(decode::<New>(&[0xc1, 0xff]).is_err());
    }
}
