//! Durations as users write them: `"10s"`, `"1h30m"`, `"1.5h"`.

use std::fmt;

/// The units a duration is written in, with their length in milliseconds, longest first.
const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a duration and returns milliseconds.
///
/// One or more numbers with a unit (`ms`, `s`, `m`, `h`, `d`) each, which are added up; a number may have a fraction.
///
/// ```
/// use stream_runtime::duration;
///
/// assert_eq!(duration::parse("10s"), Ok(10_000));
/// assert_eq!(duration::parse("1h 30m"), duration::parse("1.5h"));
/// assert_eq!(duration::parse("1x").unwrap_err().to_string(), "\"1x\": unknown unit 'x'; use ms, s, m, h, d");
/// ```
///
/// # Errors
///
/// When a number or its unit is missing or unknown, when the sum is not a whole number of milliseconds, or when it is
/// longer than 292 million years.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let fail = |problem: String| Err(DurationError(format!("\"{text}\": {problem}")));
    let mut rest = text.trim();
    if rest.is_empty() {
        return fail("empty; write a number and a unit (ms, s, m, h, d)".into());
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let (unit, tail) = tail.split_at(
            tail.find(|c: char| !c.is_alphabetic())
                .unwrap_or(tail.len()),
        );
        if number.is_empty() {
            return fail("no number; write one before the unit, as in 10s".into());
        }
        if unit.is_empty() {
            return fail("no unit; use ms, s, m, h, d".into());
        }
        let Some((_, length)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return fail(format!("unknown unit '{unit}'; use ms, s, m, h, d"));
        };
        match amount(number, *length).map(|ms| ms.and_then(|ms| total.checked_add(ms))) {
            Ok(Some(sum)) => total = sum,
            Ok(None) => return fail("too long".into()),
            Err(problem) => return fail(problem.into()),
        }
        rest = tail.trim_start();
    }
    Ok(total)
}

/// `number` units of `length` milliseconds; `Ok(None)` is an overflow.
fn amount(number: &str, length: i64) -> Result<Option<i64>, &'static str> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err("not a number");
    }
    let fraction = fraction.trim_end_matches('0');
    let Some(scale) = 10_i64
        .checked_pow(fraction.len() as u32)
        .filter(|scale| length % scale == 0 || *scale <= length)
    else {
        return Err("not a whole number of milliseconds");
    };
    let part = fraction.parse::<i64>().unwrap_or(0) * length;
    if part % scale != 0 {
        return Err("not a whole number of milliseconds");
    }
    Ok(whole
        .parse::<i64>()
        .ok()
        .and_then(|n| n.checked_mul(length))
        .and_then(|ms| ms.checked_add(part / scale)))
}

/// Writes milliseconds in the form that [`parse`] reads, with the longest units that fit.
///
/// ```
/// use stream_runtime::duration;
///
/// assert_eq!(duration::format(5_400_000), "1h30m");
/// assert_eq!(duration::format(0), "0s");
/// ```
pub fn format(ms: i64) -> String {
    if ms == 0 {
        return "0s".into();
    }
    let mut out = String::from(if ms < 0 { "-" } else { "" });
    let mut rest = ms.unsigned_abs();
    for (unit, length) in UNITS {
        let length = length.unsigned_abs();
        if rest >= length {
            out.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    out
}

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurationError(String);

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DurationError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn units_add_up() {
        assert_eq!(parse("250ms"), Ok(250));
        assert_eq!(parse(" 1d2h3m4s5ms "), Ok(93_784_005));
        assert_eq!(parse("0.5s"), Ok(500));
        assert_eq!(parse("1.250 s"), Ok(1_250));
        assert_eq!(parse("0.125d"), Ok(10_800_000));
        assert_eq!(parse("0s"), Ok(0));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(error("1x"), "\"1x\": unknown unit 'x'; use ms, s, m, h, d");
        assert_eq!(error("10"), "\"10\": no unit; use ms, s, m, h, d");
        assert_eq!(
            error("h"),
            "\"h\": no number; write one before the unit, as in 10s"
        );
        assert_eq!(
            error("-1s"),
            "\"-1s\": no number; write one before the unit, as in 10s"
        );
        assert_eq!(
            error(""),
            "\"\": empty; write a number and a unit (ms, s, m, h, d)"
        );
        assert_eq!(
            error("1.5ms"),
            "\"1.5ms\": not a whole number of milliseconds"
        );
        assert_eq!(
            error("0.0001s"),
            "\"0.0001s\": not a whole number of milliseconds"
        );
        assert_eq!(error("1.2.3s"), "\"1.2.3s\": not a number");
        assert_eq!(error("999999999999d"), "\"999999999999d\": too long");
        assert_eq!(
            error("99999999999999999999s"),
            "\"99999999999999999999s\": too long"
        );
        assert_eq!(
            error("0.00000000000000000001h"),
            "\"0.00000000000000000001h\": not a whole number of milliseconds"
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0_i64..=i64::MAX) {
            proptest::prop_assert_eq!(parse(&format(ms)), Ok(ms));
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(text in ".{0,24}") {
            let _ = parse(&text);
        }

        #[test]
        fn numbers_of_any_length_do_not_overflow(text in "[0-9.]{0,40}(ms|s|m|h|d)") {
            let _ = parse(&text);
        }
    }
}
