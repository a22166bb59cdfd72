//! From the bytes of a message to a record, and what is said when they are none.

use crate::codec::{CodecError, json, work::ReadsRow};
use crate::error::{Error, Kind};
use serde::de::DeserializeOwned;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// The longest preview of a value in an error, in characters.
const PREVIEW: usize = 120;

/// Reads a record from JSON; a good record costs what `serde_json::from_slice` costs.
#[inline]
pub fn decode_json<T: DeserializeOwned>(
    record: &'static str,
    value: Option<&[u8]>,
    sensitive: bool,
) -> Result<T, DecodeError> {
    let Some(bytes) = value else {
        return Err(DecodeError::tombstone(record));
    };
    json::decode(bytes).map_err(|problem| refused::<T>(record, bytes, sensitive, problem))
}

/// Reads a record by a codec of its own. It takes the codec's function, which the caller asks for the trait: a codec
/// that does not fit is one error then, in both directions.
#[inline]
pub fn decode_by<T>(
    record: &'static str,
    value: Option<&[u8]>,
    sensitive: bool,
    decode: impl FnOnce(&[u8]) -> Result<T, CodecError>,
) -> Result<T, DecodeError> {
    let Some(bytes) = value else {
        return Err(DecodeError::tombstone(record));
    };
    decode(bytes).map_err(|problem| {
        let text = if sensitive {
            masked(problem.to_string())
        } else {
            problem.to_string()
        };
        DecodeError::form(record, None, text, (!sensitive).then_some(bytes))
    })
}

/// Appends a record by a codec of its own.
#[inline]
pub fn encode_by<T>(
    record: &'static str,
    value: &T,
    out: &mut Vec<u8>,
    encode: impl FnOnce(&T, &mut Vec<u8>) -> Result<(), CodecError>,
) -> Result<bool, EncodeError> {
    let start = out.len();
    match encode(value, out) {
        Ok(()) => Ok(true),
        Err(problem) => {
            out.truncate(start); // no half record
            Err(EncodeError(format!(
                "`{record}` cannot be written: {problem}"
            )))
        }
    }
}

/// Memory of one type of record: it was read again after it was written.
#[derive(Debug, Default)]
pub struct CameBack(AtomicBool);

impl CameBack {
    /// Returns that none was.
    pub const fn never() -> Self {
        CameBack(AtomicBool::new(false))
    }

    /// Reads what was just written behind `start`: of the first record, and of each in debug builds. Field rules are
    /// not asked: they are the reader's.
    ///
    /// # Errors
    /// It does not read, so nobody could take it.
    #[inline]
    pub fn ask(
        &self,
        record: &'static str,
        start: usize,
        out: &mut Vec<u8>,
        written: Result<bool, EncodeError>,
        read: impl FnOnce(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<bool, EncodeError> {
        if written.is_err() || (self.0.load(Ordering::Relaxed) && !cfg!(debug_assertions)) {
            return written;
        }
        let _no_rules = ReadsRow::begin();
        match read(&out[start..]) {
            Ok(()) => {
                self.0.store(true, Ordering::Relaxed);
                written
            }
            Err(problem) => {
                out.truncate(start);
                Err(EncodeError(format!(
                    "`{record}` cannot be sent, for nobody could read it: {}; its codec does not carry every shape of serde: take \
                     `codec = \"json\"`, or simpler types",
                    problem.problem()
                )))
            }
        }
    }
}

/// Reads a bad record a second time to learn which field it was.
#[cold]
fn refused<T: DeserializeOwned>(
    record: &'static str,
    bytes: &[u8],
    sensitive: bool,
    problem: serde_json::Error,
) -> DecodeError {
    let (field, problem) = json::explain::<T>(bytes).unwrap_or((".".into(), problem));
    let field = (field != ".").then_some(field);
    let mut text = problem.to_string();
    if problem.is_data()
        && let Some(place) = text.rfind(" at line ")
    {
        text.truncate(place); // the field says it better
    }
    let no_time = is_no_rfc3339(&text);
    if sensitive {
        text = masked(text);
    }
    if no_time {
        text.push_str(
            "; a `DateTime<Utc>` is RFC 3339 (2006-12-16T17:24:00Z); with `#[field(coerce)]` it also reads \"2006-12-16 17:24:00\" and integer \
             milliseconds, with `#[field(date_format = \"..\")]` any other form",
        );
    }
    DecodeError::form(record, field, text, (!sensitive).then_some(bytes))
}

/// Whether a problem is what chrono says of a text that is no time by RFC 3339, or serde of a number in its place.
fn is_no_rfc3339(text: &str) -> bool {
    const CHRONO: [&str; 6] = [
        "premature end of input",
        "input contains invalid characters",
        "trailing input",
        "input is out of range",
        "no possible date and time matching input",
        "input is not enough for unique date and time",
    ];
    CHRONO.contains(&text) || text.ends_with("expected an RFC 3339 formatted date and time string")
}

/// Takes out what serde's messages quote of the value.
fn masked(text: String) -> String {
    const QUOTING: [&str; 4] = [
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
        "unknown variant ",
    ];
    const PLAIN: [&str; 5] = [
        "missing field ",
        "duplicate field ",
        "must ",
        "EOF ",
        "expected ",
    ];
    if PLAIN.iter().any(|start| text.starts_with(start)) {
        return text;
    }
    match text.rsplit_once(", expected ") {
        Some((_, expected)) if QUOTING.iter().any(|start| text.starts_with(start)) => {
            format!("expected {expected}")
        }
        _ => "does not have the form that the type asks for".into(),
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::caused(Kind::Record, error)
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self::caused(Kind::Record, error)
    }
}

/// Why the value of a message is not the record that was asked for.
///
/// Its text names the record, the path of the field, the rule that was broken, and the first 120 characters of the
/// value. When the record has `sensitive` fields, nothing of the value is shown.
///
/// ```
/// use stream_runtime::prelude::*;
///
/// #[record]
/// #[derive(Debug)]
/// struct Reading { voltage: f64 }
///
/// let error = Reading::decode(Some(br#"{"voltage":"low"}"#)).unwrap_err();
/// assert!(!error.is_tombstone());
/// ```
pub struct DecodeError(Box<Inner>);

struct Inner {
    record: &'static str,
    field: Option<String>,
    problem: String,
    preview: Option<String>,
    tombstone: bool,
}

impl DecodeError {
    /// A tombstone where a value is needed.
    pub(crate) fn tombstone(record: &'static str) -> Self {
        let problem = format!(
            "received a tombstone (a message without a value); take `Option<{record}>` to receive them"
        );
        Self(Box::new(Inner {
            record,
            field: None,
            problem,
            preview: None,
            tombstone: true,
        }))
    }

    /// Bytes that do not have the form; no `value`: its preview is masked.
    pub(crate) fn form(
        record: &'static str,
        field: Option<String>,
        problem: String,
        value: Option<&[u8]>,
    ) -> Self {
        let preview = Some(value.map_or_else(|| "masked".to_owned(), preview));
        Self(Box::new(Inner {
            record,
            field,
            problem,
            preview,
            tombstone: false,
        }))
    }

    /// Returns the path of the field, as in `address.city` or `parts[1].n`; none when it is the whole value.
    ///
    /// ```
    /// use stream_runtime::prelude::*;
    ///
    /// #[record]
    /// #[derive(Debug)]
    /// struct Reading { voltage: f64 }
    ///
    /// let error = Reading::decode(Some(br#"{"voltage":"low"}"#)).unwrap_err();
    /// assert_eq!(error.field(), Some("voltage"));
    /// ```
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Returns what is wrong, without place and preview.
    ///
    /// ```
    /// use stream_runtime::prelude::*;
    ///
    /// #[record]
    /// #[derive(Debug)]
    /// struct Reading { voltage: f64 }
    ///
    /// let error = Reading::decode(Some(br#"{"voltage":"low"}"#)).unwrap_err();
    /// assert!(!error.problem().is_empty());
    /// ```
    pub fn problem(&self) -> &str {
        &self.0.problem
    }

    /// Returns `true` if the message had no value.
    ///
    /// ```
    /// use stream_runtime::prelude::*;
    ///
    /// #[record]
    /// #[derive(Debug)]
    /// struct Reading { voltage: f64 }
    ///
    /// let error = Reading::decode(Some(br#"{"voltage":"low"}"#)).unwrap_err();
    /// assert!(!error.is_tombstone());
    /// ```
    pub fn is_tombstone(&self) -> bool {
        self.0.tombstone
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: ", self.0.record)?;
        if let Some(field) = &self.0.field {
            write!(f, "field `{field}`: ")?;
        }
        f.write_str(&self.0.problem)?;
        match &self.0.preview {
            Some(preview) => write!(f, " (value: {preview})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for DecodeError {}

/// The beginning of a value as one line of text.
pub(crate) fn preview(bytes: &[u8]) -> String {
    // A character has at most four bytes, so the cut cannot shorten what is shown.
    let head = &bytes[..bytes.len().min(4 * PREVIEW + 4)];
    let mut out = String::new();
    for (n, c) in String::from_utf8_lossy(head).chars().enumerate() {
        if n == PREVIEW {
            let _ = write!(out, "… ({} bytes)", bytes.len());
            break;
        }
        if c.is_control() {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
    }
    out
}

/// Why a record has no bytes.
///
/// ```
/// use stream_runtime::{EncodeError, Record};
///
/// fn bytes(value: &String) -> Result<Vec<u8>, EncodeError> {
///     let mut bytes = Vec::new();
///     value.encode(&mut bytes)?;
///     Ok(bytes)
/// }
/// assert!(!bytes(&"tea".to_owned()).unwrap().is_empty());
/// ```
#[derive(Debug)]
pub struct EncodeError(String);

impl EncodeError {
    pub(crate) fn new(record: &'static str, problem: &dyn fmt::Display) -> Self {
        Self::of(record, "JSON", problem)
    }

    /// The error of a record that cannot be written in a form.
    pub(crate) fn of(record: &'static str, form: &str, problem: &dyn fmt::Display) -> Self {
        Self(format!("`{record}` cannot be written as {form}: {problem}"))
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EncodeError {}

/// Appends a record as JSON.
#[inline]
pub fn encode_json<T: serde::Serialize>(
    record: &'static str,
    value: &T,
    out: &mut Vec<u8>,
) -> Result<bool, EncodeError> {
    let start = out.len();
    match json::encode(value, out) {
        Ok(()) => Ok(true),
        Err(problem) => {
            out.truncate(start); // no half record
            Err(EncodeError::new(record, &problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Debug, serde::Deserialize)]
    struct Login {
        #[allow(dead_code)]
        name: String,
        #[allow(dead_code)]
        pin: u16,
    }

    fn error(json: &str, sensitive: bool) -> DecodeError {
        decode_json::<Login>("Login", Some(json.as_bytes()), sensitive).unwrap_err()
    }

    #[test]
    fn an_error_names_record_field_rule_and_value() {
        let text = error(r#"{"name":"x","pin":"12"}"#, false).to_string();
        assert_eq!(
            text,
            r#"`Login`: field `pin`: invalid type: string "12", expected u16 (value: {"name":"x","pin":"12"})"#
        );
        assert_eq!(
            error(r#"{"name":"x"}"#, false).problem(),
            "missing field `pin`"
        );
        assert_eq!(
            error("{\"name\":", false).problem(),
            "EOF while parsing a value at line 1 column 8"
        );
    }

    #[test]
    fn a_time_in_another_form_leads_to_coerce() {
        #[derive(Debug, serde::Deserialize)]
        struct At {
            #[allow(dead_code)]
            at: chrono::DateTime<chrono::Utc>,
        }
        for value in [
            r#""2006-12-16 17:24:00""#,
            r#""16/12/2006""#,
            r#""2006-12-16T17:24:00""#,
            r#""2006-12-16T17:24:00Z and more""#,
            r#""2006-13-16T17:24:00Z""#,
            "\"\"",
            "1166289840000",
        ] {
            let json = format!(r#"{{"at":{value}}}"#);
            for sensitive in [false, true] {
                let error = decode_json::<At>("At", Some(json.as_bytes()), sensitive).unwrap_err();
                assert_eq!(error.field(), Some("at"));
                assert!(error.problem().contains("`#[field(coerce)]`"), "{error}");
            }
        }
    }

    #[test]
    fn nothing_of_a_sensitive_value_is_shown() {
        for json in [
            r#"{"name":"secret","pin":"secret"}"#,
            r#"{"name":"a","pin":-77}"#,
            r#"{"name":"secret, expected secret","pin":77777777}"#,
            r#"{"name":"secret""#,
            r#"["secret"]"#,
        ] {
            let text = error(json, true).to_string();
            assert!(!text.contains("secret") && !text.contains("77"), "{text}");
            assert!(text.contains("(value: masked)"), "{text}");
        }
        assert_eq!(
            error(r#"{"name":"a","pin":"secret"}"#, true).problem(),
            "expected u16"
        );
    }

    #[test]
    fn a_preview_is_one_short_line() {
        assert_eq!(preview(b"a\nb\0"), "a\\nb\\u{0}");
        let long = preview("ü".repeat(10_000).as_bytes());
        assert_eq!(long, format!("{}… (20000 bytes)", "ü".repeat(120)));
        assert_eq!(preview("x".repeat(120).as_bytes()), "x".repeat(120));
        assert!(preview(&[0xff; 9]).starts_with('\u{fffd}'));
    }

    #[test]
    fn a_tombstone_says_how_to_receive_it() {
        let error = decode_json::<Login>("Login", None, false).unwrap_err();
        assert!(error.is_tombstone());
        assert!(
            error
                .to_string()
                .ends_with("take `Option<Login>` to receive them")
        );
    }

    #[test]
    fn a_record_that_has_no_json_leaves_no_half_of_it() {
        let mut out = b"kept".to_vec();
        let map = BTreeMap::from([(vec![1], 1)]);
        let error = encode_json("Map", &map, &mut out).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`Map` cannot be written as JSON: key must be a string"
        );
        assert_eq!(out, b"kept");
    }
}
