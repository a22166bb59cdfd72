//! JSON, as records have it on the wire.

use serde::{Serialize, de::DeserializeOwned};

/// Reads a value; anything after it but white space is an error.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(bytes)
}

/// Appends a value to `out`, whose content and capacity stay.
#[inline]
pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    serde_json::to_writer(out, value)
}

/// Reads bytes that [`decode`] refused once more and returns where it stopped (`address.city`, `.` for the whole) and
/// why.
#[cold]
pub(crate) fn explain<T: DeserializeOwned>(bytes: &[u8]) -> Option<(String, serde_json::Error)> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let mut track = serde_path_to_error::Track::new();
    let problem = match T::deserialize(serde_path_to_error::Deserializer::new(
        &mut reader,
        &mut track,
    )) {
        Err(problem) => problem,
        Ok(_) => return reader.end().err().map(|problem| (".".to_owned(), problem)),
    };
    Some((track.path().to_string(), problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Outer {
        #[allow(dead_code)]
        parts: Vec<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        #[allow(dead_code)]
        n: u8,
    }

    fn path(json: &str) -> (String, String) {
        assert!(decode::<Outer>(json.as_bytes()).is_err());
        let (place, why) = explain::<Outer>(json.as_bytes()).unwrap();
        (place, why.to_string())
    }

    #[test]
    fn a_refused_value_says_where() {
        assert_eq!(path(r#"{"parts":[{"n":1},{"n":"x"}]}"#).0, "parts[1].n");
        assert_eq!(path(r#"{"parts":[{}]}"#).0, "parts[0]");
        let (place, why) = path(r#"{"parts":[]} more"#);
        assert_eq!(place, ".");
        assert!(why.starts_with("trailing characters"), "{why}");
    }

    #[test]
    fn encode_appends() {
        let mut out = b"before ".to_vec();
        encode(&[1, 2], &mut out).unwrap();
        assert_eq!(out, b"before [1,2]");
    }
}
