//! `coerce`: values from the forms that other languages write them in.

use super::datetime;
use chrono::{DateTime, Utc};
use serde::de::{Deserializer, SeqAccess, Unexpected, Visitor};
use std::{fmt, marker::PhantomData};

/// A type that `#[field(coerce)]` may stand on.
///
/// | type | also reads |
/// |---|---|
/// | `DateTime<Utc>` | RFC 3339, `2006-12-16 17:24:00` (UTC), an integer of milliseconds since the epoch |
/// | integers | text, a float without a fraction |
/// | `f32`, `f64` | text, integers |
/// | `bool` | `0`, `1`, the texts `true`, `false`, `0`, `1` |
/// | `String` | numbers, `bool` |
/// | `Option<T>`, `Vec<T>` | what `T` reads |
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be coerced",
    label = "`coerce` does not know this type",
    note = "`coerce` stands on DateTime<Utc>, numbers, bool, String, and Option or Vec of them"
)]
pub trait Coerce: Sized {
    /// Reads the value from whatever form the input has.
    ///
    /// # Errors
    ///
    /// When the input has none of the forms.
    fn coerce<'de, D: Deserializer<'de>>(input: D) -> Result<Self, D::Error>;
}

/// A value of one part, from each of the parts that JSON has.
trait Scalar: Sized {
    const EXPECTED: &'static str;

    fn from_text(text: &str) -> Option<Self>;

    fn from_int(number: i128) -> Option<Self>;

    fn from_float(_: f64) -> Option<Self> {
        None
    }

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
            .ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        T::from_int(number.into())
            .ok_or_else(|| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        T::from_float(number).ok_or_else(|| E::invalid_value(Unexpected::Float(number), &self))
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<T, E> {
        T::from_bool(value).ok_or_else(|| E::invalid_value(Unexpected::Bool(value), &self))
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

scalars! { DateTime<Utc>, bool, String, f32, f64, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, }

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
        i64::try_from(number)
            .ok()
            .and_then(DateTime::from_timestamp_millis)
    }
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
                // Whole numbers of up to 53 bits are exact; beyond, a float does not say which integer was meant.
                (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i128)?.try_into().ok()
            }
        }
    )*};
}

integers! { i8 i16 i32 i64 isize u8 u16 u32 u64 usize }

macro_rules! floats {
    ($($t:ident)*) => {$(
        impl Scalar for $t {
            const EXPECTED: &'static str = concat!("a number (", stringify!($t), ")");

            fn from_text(text: &str) -> Option<Self> {
                text.trim().parse().ok()
            }

            fn from_int(number: i128) -> Option<Self> {
                Some(number as $t)
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

/// How `date_format` fields are read: by the format, else as `coerce` does, so that what we wrote ourselves is read too.
struct Formatted<T>(&'static str, PhantomData<T>);

impl<T: Dated> Visitor<'_> for Formatted<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a time in the form {:?}", self.0)
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
