//! Rows read back before anyone relies on them: what is written must come back, and keep the rules of its fields.

use std::mem::{Discriminant, discriminant};

use super::row::RowSpec;
use super::rows::Rows;
use super::slot::{Below, Value};
use crate::codec::{rows as codec, tree};
use crate::error::Error;
use crate::key::StreamKey;

/// Rows above this are read back by the commit alone, and not with every event: in bytes.
const LARGE: usize = 16 * 1024;

/// What is known of the rows of one partition.
pub(super) struct Readback<V> {
    /// Every row is read back, and not the first of each variant only.
    pub(super) thorough: bool,
    /// Rows have field rules: those are checked with every event.
    rules: bool,
    /// Variant of the last row that was looked at and came back.
    last: Option<Discriminant<V>>,
    /// All variants of which a row came back.
    known: Vec<Discriminant<V>>,
    /// Bytes of the last row that was looked at.
    length: usize,
    first: Vec<u8>,
    second: Vec<u8>,
}

impl<V> Readback<V> {
    pub(super) fn new(thorough: bool) -> Self {
        Readback {
            thorough,
            rules: false,
            last: None,
            known: Vec::new(),
            length: 0,
            first: Vec::new(),
            second: Vec::new(),
        }
    }

    /// Whether every row that has no variants is trusted.
    #[inline]
    pub(super) fn has_settled(&self) -> bool {
        self.last.is_some() && !self.rules && !self.thorough
    }

    /// Whether a row like this one has come back, so that no more is asked of this one.
    #[inline]
    fn trusts(&mut self, value: &V) -> bool {
        let variant = Some(discriminant(value));
        (variant == self.last || self.has_known(variant)) && !self.rules && !self.thorough
    }

    fn has_known(&mut self, variant: Option<Discriminant<V>>) -> bool {
        let known = variant.is_some_and(|variant| self.known.contains(&variant));
        if known {
            self.last = variant;
        }
        known
    }

    fn learn(&mut self, value: &V) {
        let variant = discriminant(value);
        if !self.known.contains(&variant) {
            self.known.push(variant);
        }
        self.last = Some(variant);
    }
}

impl<S: RowSpec> Rows<S> {
    /// Looks at the rows that the event in hand has changed.
    ///
    /// # Errors
    /// One breaks a field rule, or would not come back as it is: the event fails.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        for undo in &self.undo {
            let slot = &self.slots[undo.slot as usize];
            let Value::Here(row) = &slot.value else {
                continue;
            };
            let Some(value) = S::inner(row) else {
                continue;
            };
            let back = &mut self.readback;
            if back.trusts(value) {
                continue;
            }
            let known = back.has_known(Some(discriminant(value)));
            let large = match &slot.below {
                Below::Unstored(Some(bytes)) => bytes.len() > LARGE,
                _ => back.length > LARGE,
            };
            if known && large && !back.rules {
                continue;
            }
            let (first, second) = (&mut back.first, &mut back.second);
            first.clear();
            match codec::encode_checked(row, first) {
                Ok(rules) => back.rules |= rules,
                Err(problem) => {
                    return Err(refused::<S>(&slot.key, format_args!("{problem}")));
                }
            }
            back.length = first.len();
            if !known || (back.thorough && !large) {
                comes_back::<S>(&slot.key, row, first, second)?;
                back.learn(value);
            }
        }
        Ok(())
    }
}

/// Reads a row that was just written, and compares.
///
/// # Errors
/// It does not come back as it is.
pub(super) fn comes_back<S: RowSpec>(
    key: &S::Key,
    row: &S::Row,
    bytes: &[u8],
    scratch: &mut Vec<u8>,
) -> Result<(), Error> {
    let read: S::Row = match codec::decode(bytes) {
        Ok(read) => read,
        Err(problem) => {
            let why = codec::explain::<S::Row>(bytes, problem);
            let place = why.field.map(|field| format!("field `{field}`: "));
            let place = place.unwrap_or_default();
            return Err(refused::<S>(
                key,
                format_args!(
                    "it could not be read again: {place}{}; its type writes what it does not read: look at its serde attributes, \
                     or keep a struct of the table's own",
                    why.why
                ),
            ));
        }
    };
    let same = S::same(row, &read);
    if same == Some(true) {
        return Ok(());
    }
    scratch.clear();
    codec::encode(&read, scratch)
        .map_err(|problem| refused::<S>(key, format_args!("{problem}")))?;
    let place = tree::difference(bytes, scratch);
    // What does not equal itself, as NaN does not, is compared by its bytes.
    let unequal = same == Some(false) && S::same(row, row) == Some(true);
    if place.is_none() && !unequal {
        return Ok(());
    }
    let place = match place.as_deref() {
        None | Some(".") => String::new(),
        Some(place) => format!("field `{place}`: "),
    };
    Err(refused::<S>(
        key,
        format_args!(
            "{place}it would be read as another value after a restart: an `Option` of an `Option`, a field that is left out in \
             writing or an untagged variant that looks like another does not come back; say it with an enum"
        ),
    ))
}

#[cold]
fn refused<S: RowSpec>(key: &S::Key, why: std::fmt::Arguments<'_>) -> Error {
    Error::table(format!(
        "table `{}`, key {}: the row of type {} is not kept: {why}",
        S::DESCRIPTOR.name,
        key_text(key),
        S::DESCRIPTOR.value
    ))
}

/// A key for messages: text in quotes, integers as such, other bytes in hex.
pub(super) fn key_text<K: StreamKey>(key: &K) -> String {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    match std::str::from_utf8(&bytes) {
        Ok(text) if !is_integer(K::NAME) && !text.chars().any(char::is_control) => {
            format!("{text:?}")
        }
        _ => {
            let number = bytes.iter().fold(0u128, |n, b| n << 8 | u128::from(*b));
            let bits = 8 * bytes.len() as u32;
            match K::NAME {
                name if !is_integer(name) || bits == 0 || bits > 128 => {
                    let hex = bytes.iter().map(|b| format!("{b:02x}"));
                    format!("0x{}", hex.collect::<String>())
                }
                name if name.starts_with('i') => {
                    let shift = 128 - bits;
                    ((number << shift).cast_signed() >> shift).to_string()
                }
                _ => number.to_string(),
            }
        }
    }
}

fn is_integer(name: &str) -> bool {
    let mut letters = name.chars();
    matches!(letters.next(), Some('i' | 'u')) && letters.as_str().parse::<u8>().is_ok()
}

/// Asks a type whether two of its values are the same, where it has `PartialEq`.
pub struct SameProbe<T>(std::marker::PhantomData<fn() -> T>);

impl<T> SameProbe<T> {
    /// The probe.
    pub const NEW: Self = SameProbe(std::marker::PhantomData);
}

/// The way for types with `PartialEq`, which is tried first.
pub trait ViaEq<T> {
    /// Whether they are.
    fn same(&self, a: &T, b: &T) -> Option<bool>;
}

impl<T: PartialEq> ViaEq<T> for &SameProbe<T> {
    fn same(&self, a: &T, b: &T) -> Option<bool> {
        Some(a == b)
    }
}

/// The way for all other types.
pub trait ViaBytes<T> {
    /// Not known: their bytes are compared.
    fn same(&self, a: &T, b: &T) -> Option<bool>;
}

impl<T> ViaBytes<T> for SameProbe<T> {
    fn same(&self, _: &T, _: &T) -> Option<bool> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::key_text;

    #[test]
    fn keys_are_shown_as_people_write_them() {
        assert_eq!(key_text(&"Köln".to_owned()), "\"Köln\"");
        assert_eq!(key_text(&7u64), "7");
        assert_eq!(key_text(&-7i64), "-7");
        assert_eq!(key_text(&-7i32), "-7");
        assert_eq!(key_text(&("a".to_owned(), 1u64)).get(..2), Some("0x"));
    }
}
