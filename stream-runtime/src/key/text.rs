//! Keys as people write and read them: on the command line, in a URL, in JSON.

use std::fmt;

use serde_json::Value;

use super::{KeyError, StreamKey};

/// Text as it is, other bytes in hexadecimal.
///
/// Text that looks like bytes in hexadecimal is shown as bytes too, so that what is shown reads back.
pub(crate) fn show_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text)
            if !text.chars().any(|c| c.is_control() && !c.is_whitespace())
                && !text.starts_with("0x") =>
        {
            text.to_owned()
        }
        _ => hex(bytes),
    }
}

/// Bytes from text: those of `0x0001ff`, else the text's own.
pub(super) fn read_bytes(text: &str) -> Result<Vec<u8>, KeyError> {
    let Some(digits) = text.strip_prefix("0x") else {
        return Ok(text.as_bytes().to_vec());
    };
    let wrong = || {
        KeyError::text(
            "Bytes",
            text,
            "after `0x` come two hexadecimal digits a byte",
        )
    };
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return Err(wrong());
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong()))
        .collect()
}

/// Bytes in hexadecimal, behind `0x`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold("0x".to_owned(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The parts of a tuple: a list, or the text of one.
pub(super) fn parts(
    value: &Value,
    name: &'static str,
    count: usize,
) -> Result<Vec<Value>, KeyError> {
    let wrong = |shown: &str| {
        let form = format!("it is written as a list of {count}, as [\"ann\",7]");
        KeyError::text(name, shown, &form)
    };
    let read = match value {
        Value::String(text) => serde_json::from_str(text).map_err(|_| wrong(text))?,
        other => other.clone(),
    };
    match read {
        Value::Array(parts) if parts.len() == count => Ok(parts),
        other => Err(wrong(&other.to_string())),
    }
}

/// Text that stands for a key: a JSON text, or a number or boolean as it is written.
pub(super) fn scalar(value: &Value, name: &'static str) -> Result<String, KeyError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(is) => Ok(is.to_string()),
        other => Err(KeyError::text(
            name,
            &other.to_string(),
            "expected text or a number",
        )),
    }
}

/// What can be done with the keys of a type by one who does not have the type: a command that meets any topic.
#[derive(Clone, Copy)]
pub struct KeyForm {
    /// The type's name, without `Option`.
    pub name: &'static str,
    /// Whether a record without a key is right.
    pub optional: bool,
    read: fn(&Value) -> Result<Option<Vec<u8>>, KeyError>,
    read_ordered: fn(&Value) -> Result<Vec<u8>, KeyError>,
    show: fn(Option<&[u8]>) -> Result<Value, KeyError>,
    show_ordered: fn(&[u8]) -> Result<Value, KeyError>,
}

impl KeyForm {
    /// That of a type.
    pub const fn of<K: StreamKey>() -> KeyForm {
        KeyForm {
            name: K::NAME,
            optional: K::OPTIONAL,
            read: |value| {
                let key = K::from_json(value)?;
                let mut bytes = Vec::new();
                key.encode(&mut bytes);
                Ok((!key.is_absent()).then_some(bytes))
            },
            read_ordered: |value| {
                let mut bytes = Vec::new();
                K::from_json(value)?.encode_ordered(&mut bytes);
                Ok(bytes)
            },
            show: |bytes| K::decode(bytes).map(|key| key.to_json()),
            show_ordered: |bytes| K::decode_ordered(bytes).map(|key| key.to_json()),
        }
    }

    /// The wire form of a key that is written as text or JSON; `None`: a record with it is sent without a key.
    ///
    /// # Errors
    ///
    /// When that is not a key of the type; the text says how one is written.
    pub fn read(&self, written: &Value) -> Result<Option<Vec<u8>>, KeyError> {
        (self.read)(written)
    }

    /// The ordered form of a key that is written as text or JSON, as tables have it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_ordered(&self, written: &Value) -> Result<Vec<u8>, KeyError> {
        (self.read_ordered)(written)
    }

    /// A key by its wire form.
    ///
    /// # Errors
    ///
    /// When the bytes are not a key of the type.
    pub fn show(&self, wire: Option<&[u8]>) -> Result<Value, KeyError> {
        (self.show)(wire)
    }

    /// A key by its ordered form.
    ///
    /// # Errors
    ///
    /// When the bytes are not a key of the type.
    pub fn show_ordered(&self, bytes: &[u8]) -> Result<Value, KeyError> {
        (self.show_ordered)(bytes)
    }
}

impl fmt::Debug for KeyForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for KeyForm {
    fn eq(&self, other: &Self) -> bool {
        (self.name, self.optional) == (other.name, other.optional)
    }
}

impl Eq for KeyForm {}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    /// What is shown is read back, as JSON and as the text of a command line.
    fn both_ways<K: StreamKey + fmt::Debug>(key: &K) {
        let form = KeyForm::of::<K>();
        let (mut wire, mut ordered) = (Vec::new(), Vec::new());
        key.encode(&mut wire);
        key.encode_ordered(&mut ordered);
        let shown = form.show(Some(&wire)).unwrap();
        assert_eq!(form.show_ordered(&ordered).unwrap(), shown);
        let text = match &shown {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        for written in [shown, Value::String(text)] {
            assert_eq!(form.read(&written).unwrap().unwrap(), wire, "{written}");
            assert_eq!(form.read_ordered(&written).unwrap(), ordered, "{written}");
        }
    }

    proptest! {
        #[test]
        fn a_key_that_is_shown_reads_back(
            text in any::<String>(), hex in "0x[0-9a-f]{0,5}", bytes in proptest::collection::vec(any::<u8>(), 0..9),
            big in any::<(i64, u64)>(), small in any::<(i8, u16, bool)>(), id in any::<u128>(),
        ) {
            both_ways(&text);
            both_ways(&hex);
            both_ways(&Bytes::from(bytes));
            both_ways(&Bytes::from(hex.into_bytes()));
            both_ways(&big.0);
            both_ways(&big.1);
            both_ways(&small.0);
            both_ways(&small.1);
            both_ways(&small.2);
            both_ways(&Uuid::from_u128(id));
            both_ways(&(text.clone(), big.0));
            both_ways(&(big.1, (text, small.0), Uuid::from_u128(id)));
        }
    }

    fn wire<K: StreamKey>(written: Value) -> Vec<u8> {
        KeyForm::of::<K>().read(&written).unwrap().unwrap()
    }

    #[test]
    fn integer_keys_go_out_big_endian_of_both_signs() {
        assert_eq!(wire::<i64>(json!("-2")), (-2_i64).to_be_bytes());
        assert_eq!(wire::<u64>(json!(u64::MAX)), u64::MAX.to_be_bytes());
        assert_eq!(wire::<u16>(json!("300")), [1, 44]);
        let text = |key: KeyForm, written| key.read(&written).unwrap_err().to_string();
        let byte = text(KeyForm::of::<u8>(), json!("300"));
        assert_eq!(
            byte,
            "`300` is not a u8: number too large to fit in target type"
        );
        let word = text(KeyForm::of::<i32>(), json!("seven"));
        assert!(word.starts_with("`seven` is not an i32: "), "{word}");
        assert!(text(KeyForm::of::<i64>(), json!(1.5)).starts_with("`1.5` is not an i64"));
    }

    #[test]
    fn other_keys_say_how_they_are_written() {
        let text = |key: KeyForm, written| key.read(&written).unwrap_err().to_string();
        assert!(text(KeyForm::of::<Uuid>(), json!("x")).starts_with("`x` is not a Uuid: "));
        assert!(text(KeyForm::of::<bool>(), json!("yes")).contains("true or false"));
        assert!(text(KeyForm::of::<Bytes>(), json!("0x1")).contains("two hexadecimal digits"));
        assert!(text(KeyForm::of::<(String, u8)>(), json!("ann")).contains("[\"ann\",7]"));
        assert!(text(KeyForm::of::<String>(), json!({"a": 1})).contains("is not a String"));
        let optional = KeyForm::of::<Option<u8>>();
        assert_eq!(optional.read(&Value::Null), Ok(None));
        assert_eq!(optional.show(None), Ok(Value::Null));
        assert_eq!(optional.read(&json!(7)), Ok(Some(vec![7])));
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    struct Id(u64);

    /// A key as other programs write it: JSON.
    impl StreamKey for Id {
        const NAME: &'static str = "Id";

        fn encode(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(format!(r#"{{"id":{}}}"#, self.0).as_bytes());
        }

        fn decode(bytes: Option<&[u8]>) -> Result<Self, KeyError> {
            let value: Value = serde_json::from_slice(super::super::present(bytes)?)
                .map_err(|_| KeyError::form(Self::NAME))?;
            let id = value.get("id").and_then(Value::as_u64);
            id.map(Id).ok_or_else(|| KeyError::form(Self::NAME))
        }
    }

    #[test]
    fn a_key_of_the_user_s_is_written_in_its_wire_form() {
        both_ways(&Id(7));
        let form = KeyForm::of::<Id>();
        assert!(form.read(&json!("seven")).is_err());
    }
}
