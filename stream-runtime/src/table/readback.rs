//! What is known of rows that were read back, and how two are compared.

use std::mem::{Discriminant, discriminant};

use crate::key::StreamKey;

/// What is known of the rows of one partition.
pub(super) struct Readback<V> {
    /// Every row is read back, and not the first of each variant only.
    pub(super) thorough: bool,
    /// Rows have field rules: those are checked with every event.
    pub(super) rules: bool,
    /// Variant of the last row that was looked at and came back.
    last: Option<Discriminant<V>>,
    /// All variants of which a row came back.
    known: Vec<Discriminant<V>>,
    /// Bytes of the last row that was looked at.
    pub(super) length: usize,
    pub(super) first: Vec<u8>,
    pub(super) second: Vec<u8>,
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
    pub(super) fn trusts(&mut self, value: &V) -> bool {
        let variant = Some(discriminant(value));
        (variant == self.last || self.has_known(variant)) && !self.rules && !self.thorough
    }

    pub(super) fn has_known(&mut self, variant: Option<Discriminant<V>>) -> bool {
        let known = variant.is_some_and(|variant| self.known.contains(&variant));
        if known {
            self.last = variant;
        }
        known
    }

    pub(super) fn learn(&mut self, value: &V) {
        let variant = discriminant(value);
        if !self.known.contains(&variant) {
            self.known.push(variant);
        }
        self.last = Some(variant);
    }
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
