//! A record's type for one who does not have it: a command that meets any topic.

use std::fmt;

use super::{DecodeError, Record};
use crate::key::{KeyForm, StreamKey};

/// What can be asked of bytes that may be a record of a type.
#[derive(Clone, Copy)]
pub struct RecordForm {
    /// Its key, where it carries one; else the key that its topics have unless they say otherwise.
    pub key: KeyForm,
    /// Name of the field that is its key; empty without one.
    pub key_field: &'static str,
    /// How it is written: `"json"`, `"raw"`, `"text"`, `"binary"`, `"msgpack"`, or `""` by a codec of the user's.
    pub codec: &'static str,
    full_name: fn() -> &'static str,
    own_key: fn(&[u8]) -> OwnKey,
}

/// The key that a record carries, in its wire form.
type OwnKey = Result<Option<Vec<u8>>, DecodeError>;

impl RecordForm {
    /// That of a type.
    pub const fn of<T: Record>() -> RecordForm {
        RecordForm {
            key: KeyForm::of::<T::Key>(),
            key_field: T::KEY_FIELD,
            codec: T::CODEC,
            full_name: std::any::type_name::<T>,
            own_key: |value| {
                let record = T::decode(Some(value))?;
                let key = record.key().filter(|key| !key.is_absent());
                Ok(key.map(|key| {
                    let mut bytes = Vec::new();
                    key.encode(&mut bytes);
                    bytes
                }))
            },
        }
    }

    /// Reads a value as an agent does, field rules included; returns the key that the record carries, in its wire form.
    ///
    /// # Errors
    ///
    /// As [`Record::decode`].
    pub fn check(&self, value: &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
        (self.own_key)(value)
    }

    /// The type's name with its generic arguments, without the modules: `Envelope<Order>`.
    pub fn full_name(&self) -> String {
        without_paths((self.full_name)())
    }
}

/// `a::Envelope<b::Order>` as `Envelope<Order>`.
fn without_paths(name: &str) -> String {
    let mut short = String::new();
    let mut word = String::new();
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ':' if chars.peek() == Some(&':') => {
                chars.next();
                word.clear();
            }
            c if c.is_alphanumeric() || c == '_' => word.push(c),
            c => {
                short.push_str(&word);
                word.clear();
                short.push(c);
            }
        }
    }
    short + &word
}

impl fmt::Debug for RecordForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full_name())
    }
}

impl PartialEq for RecordForm {
    fn eq(&self, other: &Self) -> bool {
        (self.full_name)() == (other.full_name)()
    }
}

impl Eq for RecordForm {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generic_record_s_name_tells_it_from_another() {
        assert_eq!(
            without_paths("shop::Envelope<shop::db::Order>"),
            "Envelope<Order>"
        );
        assert_eq!(
            without_paths("a::E<(alloc::string::String, b::C<[u8; 4]>), &'static str>"),
            "E<(String, C<[u8; 4]>), &'static str>"
        );
        assert_eq!(RecordForm::of::<String>().full_name(), "String");
    }

    #[test]
    fn bytes_that_are_no_record_are_told_by_its_type() {
        let form = RecordForm::of::<serde_json::Value>();
        assert!(form.check(b"{").is_err());
        assert_eq!(form.check(b"{}").unwrap(), None);
    }
}
