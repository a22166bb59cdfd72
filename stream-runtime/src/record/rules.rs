//! Field rules: `min`, `max`, `min_length`, `max_length`.
//!
//! They are checked while the field is read, so a record inside a record keeps its rules and an error knows the field.
//! In a table they are checked while the row is written: what is kept must be right from the start, and a rule that is
//! tighter tomorrow must not make it unreadable.

use crate::codec::work;
use bytes::Bytes;
use serde::de::Error;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    fmt,
};

/// Whether the rules of a field that is read are to be checked.
#[inline]
pub fn hold_on_reading() -> bool {
    !work::reads_row()
}

/// Checks the rules of a field that is written, when it is part of a row.
///
/// # Errors
/// One is broken.
#[inline]
pub fn hold_on_writing<E: serde::ser::Error>(
    field: &'static str,
    check: impl FnOnce() -> Result<(), serde::de::value::Error>,
) -> Result<(), E> {
    if !work::meets_rule() {
        return Ok(());
    }
    check().map_err(|broken| E::custom(format_args!("field `{field}`: {broken}")))
}

/// The literal of a `min` or `max`.
///
/// ```
/// use stream_runtime::fields::Bound;
///
/// assert_eq!(Bound::Int(3).to_string(), "3");
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// `min = 3`
    Int(i128),
    /// `min = 3.5`
    Float(f64),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
        }
    }
}

/// A type that `min` and `max` may stand on: a number, or an `Option` of one (`None` breaks no rule). Implement it for
/// a type of your own: [`Coerce`](super::coerce::Coerce) has an example.
///
/// ```
/// use stream_runtime::fields::Number;
///
/// assert_eq!(7_u8.show(), "7");
/// ```
#[diagnostic::on_unimplemented(
    message = "`min` and `max` need a number, `{Self}` is none",
    label = "not a number",
    note = "for the length of a text or a list use `min_length` and `max_length`; for a type of your own: `impl Number`"
)]
pub trait Number {
    /// How the value compares; `None` when it does not (NaN), `Some(None)` when there is no value.
    fn against(&self, bound: Bound) -> Option<Option<Ordering>>;

    /// The value for the message.
    fn show(&self) -> String;
}

macro_rules! numbers {
    ($($t:ident: $int:expr;)*) => {$(
        impl Number for $t {
            #[inline]
            fn against(&self, bound: Bound) -> Option<Option<Ordering>> {
                let compare: fn($t, Bound) -> Option<Ordering> = $int;
                compare(*self, bound).map(Some)
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
    (ints $($t:ident)*) => { numbers! { $($t: |number, bound| match bound {
        Bound::Int(bound) => Some(i128::from(number).cmp(&bound)),
        Bound::Float(bound) => (number as f64).partial_cmp(&bound),
    };)* } };
    // What is beyond an i128 is above all bounds.
    (wide $($t:ident)*) => { numbers! { $($t: |number, bound| match bound {
        Bound::Int(bound) => Some(i128::try_from(number).map_or(Ordering::Greater, |number| number.cmp(&bound))),
        Bound::Float(bound) => (number as f64).partial_cmp(&bound),
    };)* } };
    (floats $($t:ident)*) => { numbers! { $($t: |number, bound| match bound {
        Bound::Int(bound) => f64::from(number).partial_cmp(&(bound as f64)),
        Bound::Float(bound) => f64::from(number).partial_cmp(&bound),
    };)* } };
}

numbers! { ints i8 i16 i32 i64 i128 u8 u16 u32 u64 }
numbers! { wide isize usize u128 }
numbers! { floats f32 f64 }

impl<T: Number> Number for Option<T> {
    fn against(&self, bound: Bound) -> Option<Option<Ordering>> {
        self.as_ref()
            .map_or(Some(None), |number| number.against(bound))
    }

    fn show(&self) -> String {
        self.as_ref().map(Number::show).unwrap_or_default()
    }
}

/// A type that `min_length` and `max_length` may stand on.
///
/// ```
/// use stream_runtime::fields::Length;
///
/// assert_eq!("tea".to_owned().length(), Some(3));
/// ```
#[diagnostic::on_unimplemented(
    message = "`min_length` and `max_length` need a text or a list, `{Self}` is neither",
    label = "has no length",
    note = "for numbers use `min` and `max`"
)]
pub trait Length {
    /// Characters of a text, elements of anything else; `None` when there is no value.
    fn length(&self) -> Option<usize>;
}

impl Length for String {
    fn length(&self) -> Option<usize> {
        Some(self.chars().count())
    }
}

macro_rules! lengths {
    ($([$($generics:tt)*] $t:ty,)*) => {$(
        impl<$($generics)*> Length for $t {
            fn length(&self) -> Option<usize> {
                Some(self.len())
            }
        }
    )*};
}

lengths! {
    [] Bytes,
    [T] Vec<T>,
    [T] VecDeque<T>,
    [T] BTreeSet<T>,
    [K, V] BTreeMap<K, V>,
    [T, S] HashSet<T, S>,
    [K, V, S] HashMap<K, V, S>,
}

impl<T: Length> Length for Option<T> {
    fn length(&self) -> Option<usize> {
        self.as_ref().and_then(Length::length)
    }
}

/// The rule `min`; the bound itself is allowed, NaN is not.
#[inline]
pub fn min<T: Number, E: Error>(value: &T, bound: Bound, sensitive: bool) -> Result<(), E> {
    match value.against(bound) {
        Some(None | Some(Ordering::Equal | Ordering::Greater)) => Ok(()),
        _ => Err(broken(value, "at least", bound, sensitive)),
    }
}

/// The rule `max`; the bound itself is allowed, NaN is not.
#[inline]
pub fn max<T: Number, E: Error>(value: &T, bound: Bound, sensitive: bool) -> Result<(), E> {
    match value.against(bound) {
        Some(None | Some(Ordering::Equal | Ordering::Less)) => Ok(()),
        _ => Err(broken(value, "at most", bound, sensitive)),
    }
}

#[cold]
fn broken<T: Number, E: Error>(value: &T, rule: &str, bound: Bound, sensitive: bool) -> E {
    if sensitive {
        E::custom(format_args!("must be {rule} {bound}"))
    } else {
        E::custom(format_args!("must be {rule} {bound}, is {}", value.show()))
    }
}

/// The rule `min_length`.
#[inline]
pub fn min_length<T: Length, E: Error>(value: &T, bound: usize, sensitive: bool) -> Result<(), E> {
    match value.length() {
        Some(length) if length < bound => Err(wrong_length("at least", bound, length, sensitive)),
        _ => Ok(()),
    }
}

/// The rule `max_length`.
#[inline]
pub fn max_length<T: Length, E: Error>(value: &T, bound: usize, sensitive: bool) -> Result<(), E> {
    match value.length() {
        Some(length) if length > bound => Err(wrong_length("at most", bound, length, sensitive)),
        _ => Ok(()),
    }
}

#[cold]
fn wrong_length<E: Error>(rule: &str, bound: usize, length: usize, sensitive: bool) -> E {
    if sensitive {
        E::custom(format_args!("must be {rule} {bound} long"))
    } else {
        E::custom(format_args!("must be {rule} {bound} long, is {length}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Error as Json;

    fn text(result: Result<(), Json>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn bounds_are_inclusive_and_exact() {
        assert!(min::<_, Json>(&3, Bound::Int(3), false).is_ok());
        assert!(max::<_, Json>(&3.5, Bound::Float(3.5), false).is_ok());
        assert_eq!(
            text(min(&2_u8, Bound::Int(3), false)),
            "must be at least 3, is 2"
        );
        assert_eq!(
            text(max(&u64::MAX, Bound::Int(i128::from(u64::MAX) - 1), false)),
            "must be at most 18446744073709551614, is 18446744073709551615"
        );
        assert!(min::<_, Json>(&1_usize, Bound::Int(1), false).is_ok());
        assert!(min::<_, Json>(&0_isize, Bound::Int(1), false).is_err());
        assert!(max::<_, Json>(&u128::MAX, Bound::Int(i128::MAX), false).is_err());
        assert!(min::<_, Json>(&i128::MIN, Bound::Int(0), false).is_err());
        assert_eq!(
            text(max(&234.84, Bound::Float(0.5), true)),
            "must be at most 0.5"
        );
    }

    #[test]
    fn nan_keeps_no_bound_and_none_keeps_all() {
        assert!(min::<_, Json>(&f64::NAN, Bound::Int(0), false).is_err());
        assert!(max::<_, Json>(&f64::NAN, Bound::Int(0), false).is_err());
        assert!(min::<_, Json>(&None::<i64>, Bound::Int(0), false).is_ok());
        assert!(min::<_, Json>(&Some(-1_i64), Bound::Int(0), false).is_err());
    }

    #[test]
    fn lengths_count_characters_and_elements() {
        assert!(max_length::<_, Json>(&"größe".to_owned(), 5, false).is_ok());
        assert_eq!(
            text(max_length(&"größer".to_owned(), 5, false)),
            "must be at most 5 long, is 6"
        );
        assert_eq!(
            text(min_length(&Vec::<u8>::new(), 1, false)),
            "must be at least 1 long, is 0"
        );
        assert_eq!(
            text(min_length(&Some(String::new()), 1, true)),
            "must be at least 1 long"
        );
        assert!(min_length::<_, Json>(&None::<String>, 1, false).is_ok());
    }
}
