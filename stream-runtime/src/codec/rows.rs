//! MessagePack with field names, as tables keep their rows.
//!
//! Field names, so that a row that was written before a field was added can be read (`#[serde(default)]`); MessagePack
//! and not JSON, because JSON has no NaN and no infinity and would lose them. Types are told that it is human-readable,
//! as JSON is: serde reads what is tagged, untagged or flattened from a buffer that always says so, and an address that
//! was written as bytes would not come back from there.

use rmp_serde::decode::Error as ReadError;
use rmp_serde::{Deserializer, Serializer};
use serde::{Serialize, de::DeserializeOwned};

use super::work::{ReadsRow, WritesRow};

/// Version of the form in which rows are written, as a table's mark names it. A program that knows a later one reads
/// the rows of all before it; one that does not know it refuses them.
pub(crate) const FORMAT: u8 = 1;

/// Reads a row. One that was written before types were told that rows are human-readable is read the way it was
/// written. Field rules are not asked: they were when it was written, and a rule may have become tighter since.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadError> {
    let _reading = ReadsRow::begin();
    let mut reader = Deserializer::from_read_ref(bytes).with_human_readable();
    match T::deserialize(&mut reader) {
        Ok(row) => Ok(row),
        Err(problem) => decode_binary(bytes).map_err(|_| problem),
    }
}

/// Reads a row from JSON, in which dead letters carry it where it comes back. Field rules are not asked either.
pub(crate) fn decode_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let _reading = ReadsRow::begin();
    serde_json::from_slice(bytes)
}

/// Reads a row of a worker that told types that rows are not human-readable.
#[cold]
fn decode_binary<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ReadError> {
    T::deserialize(&mut Deserializer::from_read_ref(bytes))
}

/// Appends a row to `out`, whose content and capacity stay.
#[inline]
pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<(), rmp_serde::encode::Error> {
    let mut writer = Serializer::new(out).with_struct_map().with_human_readable();
    value.serialize(&mut writer)
}

/// Appends a row to `out` and checks the field rules on the way; `true`: there are some.
pub(crate) fn encode_checked<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> Result<bool, rmp_serde::encode::Error> {
    let writing = WritesRow::begin();
    encode(value, out)?;
    Ok(writing.has_checked())
}

/// Why a row does not read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// Path of the field, as in `address.city`; `None` when it is the whole row.
    pub(crate) field: Option<String>,
    /// What is wrong there.
    pub(crate) why: String,
    /// What helps.
    pub(crate) cure: &'static str,
}

/// Reads bytes that [`decode`] refused once more, to say where it stopped, why, and what helps.
#[cold]
pub(crate) fn explain<T: DeserializeOwned>(bytes: &[u8], problem: ReadError) -> Unreadable {
    let _reading = ReadsRow::begin();
    let mut reader = Deserializer::from_read_ref(bytes).with_human_readable();
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
    let problem = T::deserialize(tracked).err().unwrap_or(problem);
    let field = Some(track.path().to_string()).filter(|path| path != ".");
    let why = in_words(&problem);
    let cure = if why.starts_with("missing field") {
        "a field that was added needs `#[serde(default)]`"
    } else if why.starts_with("unknown variant") {
        "keep the variant, or give the one that it is now `#[serde(alias = \"..\")]`"
    } else if why.starts_with("unknown field") {
        "keep the field, or take out `deny_unknown_fields`"
    } else {
        "the type was another one when the row was written: let it read the old form too, or give the table a new `name`"
    };
    Unreadable { field, why, cure }
}

/// rmp's texts speak of markers.
fn in_words(problem: &ReadError) -> String {
    use rmp_serde::decode::Error as E;
    match problem {
        E::TypeMismatch(marker) => {
            let name = format!("{marker:?}");
            let found = match name.trim_end_matches(|c| c != '(').trim_end_matches('(') {
                "" => name.as_str(),
                name => name,
            };
            let found = match found {
                text if text.contains("Str") => "a text",
                list if list.contains("Array") => "a list",
                map if map.contains("Map") => "a map",
                bytes if bytes.contains("Bin") => "bytes",
                "Null" => "nothing",
                "True" | "False" => "a boolean",
                "F32" | "F64" => "a float",
                "Reserved" => "no MessagePack",
                ext if ext.contains("Ext") => "an extension",
                _ => "an integer",
            };
            format!("invalid type: found {found}")
        }
        E::InvalidMarkerRead(_) | E::InvalidDataRead(_) => "the row ends too early".to_owned(),
        other => other.to_string(),
    }
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
    fn a_row_of_before_types_were_told_that_rows_are_human_readable_reads() {
        let address: std::net::IpAddr = "10.0.0.1".parse().unwrap();
        let old = (address, uuid::Uuid::from_u128(7), Some(1.5), "x".to_owned());
        let mut bytes = Vec::new();
        old.serialize(&mut Serializer::new(&mut bytes).with_struct_map())
            .unwrap();
        assert_ne!(bytes, write(&old));
        type Row = (std::net::IpAddr, uuid::Uuid, Option<f64>, String);
        assert_eq!(decode::<Row>(&bytes).unwrap(), old);
        // A worker of before refuses the new ones, and takes none for something else.
        assert!(rmp_serde::from_slice::<std::net::IpAddr>(&write(&address)).is_err());
        assert!(rmp_serde::from_slice::<uuid::Uuid>(&write(&old.1)).is_err());
    }

    #[test]
    fn what_does_not_read_is_said_in_words_with_its_place_and_cure() {
        let bytes = write(&std::collections::BTreeMap::from([("n", "x")]));
        let problem = decode::<New>(&bytes).unwrap_err();
        let why = explain::<New>(&bytes, problem);
        assert_eq!(why.field.as_deref(), Some("n"));
        assert!(
            why.why.starts_with("invalid type: found a text"),
            "{}",
            why.why
        );
        let bytes = write(&std::collections::BTreeMap::from([("m", 1)]));
        let problem = decode::<New>(&bytes).unwrap_err();
        let why = explain::<New>(&bytes, problem);
        assert_eq!(why.why, "missing field `n`");
        assert!(why.cure.contains("#[serde(default)]"));
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(decode::<New>(b"").is_err());
        assert!(decode::<New>(&[0xc1, 0xff]).is_err());
    }
}
