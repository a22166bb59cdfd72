//! `coerce`: values from the forms that other languages write them in.

use super::datetime;
use chrono::{DateTime, Utc};
use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use std::{fmt, marker::PhantomData};

/// A type that `#[field(coerce)]` may stand on.
///
/// | type | also reads |
/// |---|---|
/// | `DateTime<Utc>` | RFC 3339, `2006-12-16 17:24:00` (UTC), both without seconds, an integer of milliseconds since the epoch |
/// | integers | text, a float without a fraction |
/// | `f32`, `f64` | text, integers |
/// | `bool` | `0`, `1`, the texts `true`, `false`, `0`, `1` |
/// | `String` | numbers, as they are written; `bool` |
/// | `Option<T>`, `Vec<T>` | what `T` reads |
///
/// No digit is lost: what does not fit is refused, such as an integer that a float cannot hold exactly. In a record
/// with `#[serde(tag, untagged, flatten)]` numbers with a fraction, or of more than 64 bits, have lost how they were
/// written before they come to a field: a `String` refuses them there.
///
/// Implement it for a type of your own:
///
/// ```
/// use stream_runtime::fields::{Bound, Coerce, Number};
/// use stream_runtime::prelude::*;
/// use serde::de::{Deserializer, Error};
///
/// /// An amount of money, exact.
/// #[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Cents(i64);
///
/// impl Coerce for Cents {
///     /// From `12.30`, as a number or as a text.
///     fn coerce<'de, D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
///         let text = String::coerce(input)?;
///         let (whole, part) = text.split_once('.').unwrap_or((&text, "00"));
///         let digits = format!("{whole}{part}");
///         match digits.parse() {
///             Ok(cents) if part.len() == 2 => Ok(Cents(cents)),
///             _ => Err(D::Error::custom(format_args!("{text:?} is not an amount with two decimals"))),
///         }
///     }
/// }
///
/// /// For `#[field(min, max)]`.
/// impl Number for Cents {
///     fn against(&self, bound: Bound) -> Option<Option<std::cmp::Ordering>> {
///         let Bound::Int(bound) = bound else { return None };
///         Some(Some(i128::from(self.0).cmp(&(bound * 100))))
///     }
///
///     fn show(&self) -> String {
///         format!("{}.{:02}", self.0 / 100, self.0 % 100)
///     }
/// }
///
/// #[record]
/// #[derive(Debug)]
/// struct Payment { #[field(coerce, min = 1)] amount: Cents }
///
/// let payment = Payment::decode(Some(br#"{"amount":1.10}"#))?;
/// assert_eq!(payment.amount, Cents(110));
/// assert_eq!(
///     Payment::decode(Some(br#"{"amount":"0.99"}"#)).unwrap_err().problem(),
///     "must be at least 1, is 0.99"
/// );
/// # Ok::<(), stream_runtime::DecodeError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be coerced",
    label = "`coerce` does not know this type",
    note = "`coerce` stands on DateTime<Utc>, numbers, bool, String, and Option or Vec of them; for a type of your own: `impl Coerce`"
)]
pub trait Coerce: Sized {
    /// Reads the value from whatever form the input has.
    ///
    /// # Errors
    ///
    /// When the input has none of the forms.
    fn coerce<'de, D: Deserializer<'de>>(input: D) -> Result<Self, D::Error>;
}

/// The name by which serde_json hands a value over as it is written; to other readers it is a newtype as any.
const AS_WRITTEN: &str = "$serde_json::private::RawValue";

/// A value of one part, from each of the parts that JSON has.
trait Scalar: Sized {
    const EXPECTED: &'static str;

    fn from_text(text: &str) -> Option<Self>;

    fn from_int(number: i128) -> Option<Self>;

    fn from_float(_: f64) -> Option<Self> {
        None
    }

    /// Why a number of its kind is refused, where "expected a .." does not say it.
    const LOSSY: Option<&'static str> = None;

    fn from_bool(_: bool) -> Option<Self> {
        None
    }
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<T: Scalar> Visitor<'_> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    #[inline]
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        T::from_int(number.into())
            .ok_or_else(|| refused::<T, E>(number, Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        T::from_int(number.into())
            .ok_or_else(|| refused::<T, E>(number, Unexpected::Unsigned(number), &self))
    }

    fn visit_i128<E: serde::de::Error>(self, number: i128) -> Result<T, E> {
        let text = number.to_string();
        T::from_int(number).ok_or_else(|| refused::<T, E>(number, Unexpected::Other(&text), &self))
    }

    fn visit_u128<E: serde::de::Error>(self, number: u128) -> Result<T, E> {
        let text = number.to_string();
        let value = i128::try_from(number).map_or_else(|_| T::from_text(&text), T::from_int);
        value.ok_or_else(|| refused::<T, E>(number, Unexpected::Other(&text), &self))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        T::from_float(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<T, E> {
        T::from_bool(value).ok_or_else(|| E::invalid_value(Unexpected::Bool(value), &self))
    }
}

/// The error about an integer.
#[cold]
fn refused<T: Scalar, E: serde::de::Error>(
    number: impl fmt::Display,
    what: Unexpected<'_>,
    expected: &ScalarVisitor<T>,
) -> E {
    match T::LOSSY {
        Some(why) => E::custom(format_args!("invalid value: integer `{number}`, {why}")),
        None => E::invalid_value(what, expected),
    }
}

// One impl a type, not a blanket over `Scalar`: an error then names the trait that knows the cure.
macro_rules! scalars {
    ($($t:ty,)*) => {$(
        impl Coerce for $t {
            #[inline]
            fn coerce<'de, D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                input.deserialize_any(ScalarVisitor(PhantomData))
            }
        }
    )*};
}

scalars! { DateTime<Utc>, bool, f32, f64, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, }

// Numbers of any length, from their digits.
macro_rules! as_written {
    ($($t:ty)*) => {$(
        impl Coerce for $t {
            fn coerce<'de, D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let is_text = input.is_human_readable();
                input.deserialize_newtype_struct(AS_WRITTEN, AsWritten { is_text, of: PhantomData })
            }
        }
    )*};
}

as_written! { String i128 u128 }

/// Reads a value by its text where the reader has it (JSON), else by its parts.
struct AsWritten<T> {
    /// The input is text, so that a float is what is left of a number that was written otherwise.
    is_text: bool,
    of: PhantomData<T>,
}

impl<'de, T: Scalar> Visitor<'de> for AsWritten<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut raw: A) -> Result<T, A::Error> {
        let _: Option<IgnoredAny> = raw.next_key()?;
        raw.next_value_seed(Written(PhantomData))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, input: D) -> Result<T, D::Error> {
        match self.is_text {
            true => input.deserialize_any(Exact(PhantomData)),
            false => input.deserialize_any(ScalarVisitor(PhantomData)),
        }
    }
}

/// The text of a JSON value.
struct Written<T>(PhantomData<T>);

impl<'de, T: Scalar> DeserializeSeed<'de> for Written<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<T, D::Error> {
        input.deserialize_str(self)
    }
}

impl<T: Scalar> Visitor<'_> for Written<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, json: &str) -> Result<T, E> {
        let scalar = ScalarVisitor(PhantomData);
        match json.as_bytes().first() {
            Some(b'0'..=b'9' | b'-') => T::from_text(json)
                .or_else(|| json.parse().ok().and_then(T::from_float))
                .ok_or_else(|| {
                    E::custom(format_args!(
                        "invalid value: number `{json}`, expected {}",
                        T::EXPECTED
                    ))
                }),
            Some(b'"') if !json.contains('\\') => scalar.visit_str(&json[1..json.len() - 1]),
            Some(b'"') => {
                let text: String = serde_json::from_str(json).map_err(E::custom)?;
                scalar.visit_str(&text)
            }
            Some(b't' | b'f') => scalar.visit_bool(json == "true"),
            Some(b'n') => Err(E::invalid_type(Unexpected::Unit, &scalar)),
            Some(b'[') => Err(E::invalid_type(Unexpected::Seq, &scalar)),
            _ => Err(E::invalid_type(Unexpected::Map, &scalar)),
        }
    }
}

/// As [`ScalarVisitor`], of parts that were text once: a float there is not what was written.
struct Exact<T>(PhantomData<T>);

impl<T: Scalar> Visitor<'_> for Exact<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        ScalarVisitor(PhantomData).visit_str(text)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        ScalarVisitor(PhantomData).visit_i64(number)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        ScalarVisitor(PhantomData).visit_u64(number)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<T, E> {
        ScalarVisitor(PhantomData).visit_bool(value)
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        Err(E::custom(format_args!(
            "invalid value: number `{number}`, whose digits are lost: in a record with `tag`, `untagged` or `flatten` a number with a \
             fraction or of more than 64 bits comes here as a float; have it sent as a text, or take an f64"
        )))
    }
}

impl<T: Coerce> Coerce for Option<T> {
    fn coerce<'de, D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_option(OptionVisitor(PhantomData))
    }
}

struct OptionVisitor<T>(PhantomData<T>);

impl<'de, T: Coerce> Visitor<'de> for OptionVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, input: D) -> Result<Option<T>, D::Error> {
        T::coerce(input).map(Some)
    }
}

impl<T: Coerce> Coerce for Vec<T> {
    fn coerce<'de, D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_seq(VecVisitor(PhantomData))
    }
}

struct VecVisitor<T>(PhantomData<T>);

impl<'de, T: Coerce> Visitor<'de> for VecVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut out = Vec::new();
        while let Some(Coerced(value)) = list.next_element()? {
            out.push(value);
        }
        Ok(out)
    }
}

struct Coerced<T>(T);

impl<'de, T: Coerce> serde::Deserialize<'de> for Coerced<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        T::coerce(input).map(Self)
    }
}

impl Scalar for DateTime<Utc> {
    const EXPECTED: &'static str =
        "a time (RFC 3339, \"2006-12-16 17:24:00\", or integer milliseconds)";

    #[inline]
    fn from_text(text: &str) -> Option<Self> {
        datetime::parse(text)
    }

    fn from_int(number: i128) -> Option<Self> {
        datetime::of_millis(number)
    }

    fn from_float(number: f64) -> Option<Self> {
        datetime::of_millis(whole(number)?)
    }
}

/// The integer that a float is. Whole numbers of up to 53 bits are exact; beyond, a float does not say which integer
/// was meant.
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i128)
}

macro_rules! integers {
    ($($t:ident)*) => {$(
        impl Scalar for $t {
            const EXPECTED: &'static str = concat!("a number (", stringify!($t), ")");

            fn from_text(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }

            fn from_int(number: i128) -> Option<Self> {
                number.try_into().ok()
            }

            fn from_float(number: f64) -> Option<Self> {
                whole(number)?.try_into().ok()
            }
        }
    )*};
}

integers! { i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }

macro_rules! floats {
    ($($t:ident)*) => {$(
        impl Scalar for $t {
            const EXPECTED: &'static str = concat!("a number (", stringify!($t), ")");
            const LOSSY: Option<&'static str> = Some(concat!(
                "which an ", stringify!($t), " cannot hold exactly: take an integer type or a String"
            ));

            fn from_text(text: &str) -> Option<Self> {
                let text = text.trim();
                match text.parse() {
                    // The digits of an integer count, as they do without quotes.
                    Ok(number) => Self::from_int(number),
                    Err(_) if text.trim_start_matches(['-', '+']).bytes().all(|b| b.is_ascii_digit()) => None,
                    Err(_) => text.parse().ok(),
                }
            }

            fn from_int(number: i128) -> Option<Self> {
                let float = number as $t;
                (float as i128 == number).then_some(float)
            }

            fn from_float(number: f64) -> Option<Self> {
                Some(number as $t)
            }
        }
    )*};
}

floats! { f32 f64 }

impl Scalar for bool {
    const EXPECTED: &'static str = "a boolean (true, false, 0, 1)";

    fn from_text(text: &str) -> Option<Self> {
        match text.trim() {
            "1" => Some(true),
            "0" => Some(false),
            word if word.eq_ignore_ascii_case("true") => Some(true),
            word if word.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    fn from_int(number: i128) -> Option<Self> {
        match number {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn from_bool(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl Scalar for String {
    const EXPECTED: &'static str = "a text, a number or a boolean";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn from_int(number: i128) -> Option<Self> {
        Some(number.to_string())
    }

    fn from_float(number: f64) -> Option<Self> {
        Some(number.to_string())
    }

    fn from_bool(value: bool) -> Option<Self> {
        Some(value.to_string())
    }
}

/// How `date_format` fields are read: by the format, else as `coerce` does, so that what we wrote ourselves is read
/// too.
struct Formatted<T>(&'static str, PhantomData<T>);

impl<T: Dated> Visitor<'_> for Formatted<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a time in the form {:?}, or {}",
            self.0,
            DateTime::<Utc>::EXPECTED
        )
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        DateTime::from_timestamp_millis(number)
            .and_then(|time| T::dated(Some(time)))
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        datetime::of_millis(number.into())
            .and_then(|time| T::dated(Some(time)))
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        whole(number)
            .and_then(datetime::of_millis)
            .and_then(|time| T::dated(Some(time)))
            .ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        datetime::parse_format(text, self.0)
            .or_else(|| datetime::parse(text))
            .and_then(|time| T::dated(Some(time)))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<T, E> {
        T::dated(None).ok_or_else(|| E::invalid_type(Unexpected::Unit, &self))
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<T, E> {
        self.visit_unit()
    }
}

/// A type that `#[field(date_format = ..)]` may stand on.
///
/// ```
/// use stream_runtime::prelude::*;
///
/// #[record]
/// struct Reading {
///     #[field(date_format = "%Y-%m-%d %H:%M")]
///     at: DateTime<Utc>,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`date_format` needs a time, `{Self}` is none",
    label = "not a time",
    note = "`date_format` stands on DateTime<Utc> and Option<DateTime<Utc>>"
)]
pub trait Dated: Sized {
    /// The value for what was read.
    fn dated(time: Option<DateTime<Utc>>) -> Option<Self>;
}

impl Dated for DateTime<Utc> {
    fn dated(time: Option<DateTime<Utc>>) -> Option<Self> {
        time
    }
}

impl Dated for Option<DateTime<Utc>> {
    fn dated(time: Option<DateTime<Utc>>) -> Option<Self> {
        Some(time)
    }
}

/// Reads a time by a format.
pub fn date_format<'de, T: Dated, D: Deserializer<'de>>(
    input: D,
    format: &'static str,
) -> Result<T, D::Error> {
    input.deserialize_any(Formatted(format, PhantomData))
}

/// Chooses, for record-level `coerce`, between [`Coerce`] and serde by what the field's type has.
///
/// `(&&Probe::<T>::NEW).read(input)` finds [`ViaCoerce`] first and [`ViaSerde`] one reference further down.
pub struct Probe<T>(PhantomData<T>);

impl<T> Probe<T> {
    /// The probe of a type.
    pub const NEW: Self = Self(PhantomData);
}

/// A field that can be coerced.
pub trait ViaCoerce<T> {
    /// Reads the field.
    fn read<'de, D: Deserializer<'de>>(&self, input: D) -> Result<T, D::Error>;
}

impl<T: Coerce> ViaCoerce<T> for &Probe<T> {
    #[inline]
    fn read<'de, D: Deserializer<'de>>(&self, input: D) -> Result<T, D::Error> {
        T::coerce(input)
    }
}

/// A field that serde reads.
pub trait ViaSerde<T> {
    /// Reads the field.
    fn read<'de, D: Deserializer<'de>>(&self, input: D) -> Result<T, D::Error>;
}

impl<T: serde::de::DeserializeOwned> ViaSerde<T> for Probe<T> {
    fn read<'de, D: Deserializer<'de>>(&self, input: D) -> Result<T, D::Error> {
        T::deserialize(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json<T: Coerce>(text: &str) -> Result<T, String> {
        T::coerce(&mut serde_json::Deserializer::from_str(text))
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_time_has_three_forms() {
        let want = DateTime::from_timestamp_millis(1_166_289_840_000).unwrap();
        for text in [
            r#""2006-12-16T17:24:00Z""#,
            r#""2006-12-16 17:24:00""#,
            "1166289840000",
            r#""2006-12-16 17:\u00324:00""#,
        ] {
            assert_eq!(json::<DateTime<Utc>>(text), Ok(want), "{text}");
        }
        assert_eq!(json::<DateTime<Utc>>("1166289840000.0"), Ok(want));
        assert!(json::<DateTime<Utc>>("1.5").is_err());
        assert!(json::<DateTime<Utc>>("9223372036854775807").is_err());
        let error = json::<DateTime<Utc>>(r#""noon""#).unwrap_err();
        assert!(
            error.starts_with("invalid value: string \"noon\", expected a time (RFC 3339,"),
            "{error}"
        );
    }

    #[test]
    fn numbers_come_from_text_and_whole_floats() {
        assert_eq!(json::<u8>(r#"" 255 ""#), Ok(255));
        assert_eq!(json::<i64>("-3.0"), Ok(-3));
        assert!(
            json::<u8>("256").is_err() && json::<u8>("-1").is_err() && json::<u8>("1.5").is_err()
        );
        assert!(json::<i64>("1e300").is_err());
        assert_eq!(json::<f64>(r#""234.84""#), Ok(234.84));
        assert_eq!(json::<f64>("7"), Ok(7.0));
        assert!(json::<f64>(r#""?""#).is_err());
    }

    #[test]
    fn booleans_and_text_come_from_each_other() {
        assert_eq!(
            (
                json::<bool>(r#""True""#),
                json::<bool>("0"),
                json::<bool>("true")
            ),
            (Ok(true), Ok(false), Ok(true))
        );
        assert!(json::<bool>("2").is_err());
        assert_eq!(json::<String>("12"), Ok("12".into()));
        assert_eq!(json::<String>("false"), Ok("false".into()));
    }

    #[test]
    fn a_number_that_becomes_a_text_keeps_its_digits() {
        for text in [
            "123456789012345678901234567890",
            "20000000000000000001",
            "-170141183460469231731687303715884105729",
            "1.10",
            "-0",
            "1e3",
            "1.000",
            "0.1",
        ] {
            assert_eq!(json::<String>(text), Ok(text.into()));
            assert_eq!(json::<Option<String>>(text), Ok(Some(text.into())));
            assert_eq!(
                json::<Vec<String>>(&format!("[ {text} ]")),
                Ok(vec![text.into()])
            );
        }
        assert_eq!(json::<String>("\"a\\u0062\""), Ok("ab".into()));
        assert_eq!(json::<String>(r#"" a ""#), Ok(" a ".into()));
        for (wrong, what) in [("null", "null"), ("[1]", "sequence"), (r#"{"a":1}"#, "map")] {
            let error = json::<String>(wrong).unwrap_err();
            assert!(
                error.contains(what) && error.contains("a text, a number"),
                "{error}"
            );
        }
        assert!(json::<String>("01").is_err() && json::<String>("1.").is_err());
    }

    #[test]
    fn numbers_of_128_bits_are_exact() {
        let largest = u128::MAX.to_string();
        assert_eq!(json::<u128>(&largest), Ok(u128::MAX));
        assert_eq!(json::<i128>(&format!("\"{}\"", i128::MIN)), Ok(i128::MIN));
        assert_eq!(json::<u128>("3.0"), Ok(3));
        assert!(
            json::<i128>(&largest).is_err()
                && json::<u128>("1e30").is_err()
                && json::<u128>("-1").is_err()
        );
    }

    #[test]
    fn an_integer_that_a_float_cannot_hold_is_refused() {
        assert_eq!(json::<f64>("9007199254740992"), Ok(9_007_199_254_740_992.0));
        assert_eq!(json::<f32>("16777216"), Ok(16_777_216.0));
        for error in [
            json::<f64>("9007199254740993"),
            json::<f64>(r#""9007199254740993""#),
            json::<f32>("16777217").map(f64::from),
        ] {
            assert!(error.is_err(), "{error:?}");
        }
        let error = json::<f64>("9007199254740993").unwrap_err();
        assert!(error.contains("`9007199254740993`, which an f64 cannot hold exactly: take an integer type or a String"), "{error}");
        assert_eq!(json::<f64>(r#""1e3""#), Ok(1000.0));
    }

    #[test]
    fn a_number_whose_digits_are_lost_before_it_is_read_is_refused() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(tag = "kind")]
        enum Tagged {
            Of {
                #[serde(deserialize_with = "String::coerce")]
                id: String,
            },
        }
        let read = |id: &str| {
            let text = format!(r#"{{"id":{id},"kind":"Of"}}"#);
            serde_json::from_str(&text)
                .map(|Tagged::Of { id }| id)
                .map_err(|e| e.to_string())
        };
        assert_eq!(
            read("18446744073709551615"),
            Ok("18446744073709551615".into())
        );
        assert_eq!(read("-7"), Ok("-7".into()));
        assert_eq!(read("true"), Ok("true".into()));
        assert_eq!(read(r#""1.10""#), Ok("1.10".into()));
        for lost in ["1.10", "123456789012345678901234567890", "-0", "1e3"] {
            let error = read(lost).unwrap_err();
            assert!(
                error.contains("whose digits are lost") && error.contains("as a text"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_float_of_a_binary_codec_is_what_it_is() {
        let bytes = rmp_serde::to_vec(&1.1_f64).unwrap();
        let mut reader = rmp_serde::Deserializer::new(&bytes[..]);
        assert_eq!(String::coerce(&mut reader).unwrap(), "1.1");
    }

    #[test]
    fn options_and_lists_read_what_their_parts_read() {
        assert_eq!(json::<Option<u8>>("null"), Ok(None));
        assert_eq!(json::<Option<u8>>(r#""1""#), Ok(Some(1)));
        assert_eq!(json::<Vec<u8>>(r#"["1", 2, 3.0]"#), Ok(vec![1, 2, 3]));
        assert!(json::<Vec<u8>>(r#"["x"]"#).is_err());
    }

    fn formatted<T: Dated>(text: &str) -> Result<T, String> {
        date_format(&mut serde_json::Deserializer::from_str(text), "%d/%m/%Y")
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_format_comes_first_and_our_own_form_after() {
        let want = DateTime::from_timestamp(1_166_227_200, 0).unwrap();
        assert_eq!(formatted::<DateTime<Utc>>(r#""16/12/2006""#), Ok(want));
        assert_eq!(
            formatted::<DateTime<Utc>>(r#""2006-12-16T00:00:00Z""#),
            Ok(want)
        );
        assert_eq!(formatted::<DateTime<Utc>>("1166227200000"), Ok(want));
        assert_eq!(
            formatted::<DateTime<Utc>>("-1").unwrap().timestamp_millis(),
            -1
        );
        assert_eq!(
            formatted::<Option<DateTime<Utc>>>("1166227200000.0"),
            Ok(Some(want))
        );
        assert!(formatted::<DateTime<Utc>>("1.5").is_err());
        assert_eq!(formatted::<Option<DateTime<Utc>>>("null"), Ok(None));
        assert!(
            formatted::<Option<DateTime<Utc>>>(r#""x""#)
                .unwrap_err()
                .contains(r#"expected a time in the form "%d/%m/%Y""#)
        );
        assert!(formatted::<DateTime<Utc>>("null").is_err());
    }

    #[test]
    #[allow(clippy::needless_borrow)] // the reference is what chooses
    fn the_probe_takes_coerce_where_there_is_one() {
        fn read<T: Coerce>(text: &str) -> T {
            (&&Probe::<T>::NEW)
                .read(&mut serde_json::Deserializer::from_str(text))
                .unwrap()
        }
        assert_eq!(read::<u8>(r#""7""#), 7);
        let plain: (u8,) = (&&Probe::<(u8,)>::NEW)
            .read(&mut serde_json::Deserializer::from_str("[7]"))
            .unwrap();
        assert_eq!(plain, (7,));
    }
}
