//! Points in time from text.
//!
//! RFC 3339 and `2006-12-16 17:24:00` are read by a parser of our own: with chrono's general one they took a seventh of
//! the time of a whole record. What it does not know goes to chrono.

use chrono::format::{Parsed, StrftimeItems};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};

/// Reads RFC 3339, the same with a blank for the `T`, and both without a zone (taken as UTC).
#[inline]
pub(crate) fn parse(text: &str) -> Option<DateTime<Utc>> {
    direct(text.as_bytes()).or_else(|| general(text))
}

/// Reads `text` by a `strftime` format; without a zone it is UTC, without a time midnight, without minutes the full
/// hour.
pub(crate) fn parse_format(text: &str, format: &str) -> Option<DateTime<Utc>> {
    let mut found = Parsed::new();
    chrono::format::parse(&mut found, text, StrftimeItems::new(format)).ok()?;
    if found.timestamp().is_none() {
        let fine = [found.second(), found.nanosecond()];
        let hour = found.hour_div_12().is_some() || found.hour_mod_12().is_some();
        if !hour && found.minute().is_none() && fine == [None; 2] {
            found.set_hour(0).ok()?;
        }
        if found.minute().is_none() && fine == [None; 2] {
            found.set_minute(0).ok()?;
        }
    }
    match found.offset().or(found.timestamp().map(|_| 0)) {
        Some(_) => found
            .to_datetime()
            .ok()
            .map(|time| time.with_timezone(&Utc)),
        None => found
            .to_naive_datetime_with_offset(0)
            .ok()
            .map(|time| time.and_utc()),
    }
}

/// Reads milliseconds since the epoch.
pub(crate) fn of_millis(number: i128) -> Option<DateTime<Utc>> {
    i64::try_from(number)
        .ok()
        .and_then(DateTime::from_timestamp_millis)
}

#[cold]
fn general(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    // Java leaves seconds out that are zero.
    if text.get(13..14) == Some(":") && text.get(16..17) != Some(":") && text.is_char_boundary(16) {
        let (minutes, zone) = text.split_at(16);
        return direct(format!("{minutes}:00{zone}").as_bytes());
    }
    text.parse().ok().or_else(|| {
        let naive = |format| NaiveDateTime::parse_from_str(text, format).ok();
        naive("%Y-%m-%d %H:%M:%S%.f")
            .or_else(|| naive("%Y-%m-%dT%H:%M:%S%.f"))
            .map(|time| time.and_utc())
    })
}

/// `YYYY-MM-DD(T| )hh:mm:ss[.fraction][Z|+hh:mm|-hh:mm]`, years 0 to 9999, no leap second.
#[inline]
fn direct(text: &[u8]) -> Option<DateTime<Utc>> {
    let (date_time, rest) = text.split_first_chunk::<19>()?;
    let t = date_time;
    if t[4] != b'-'
        || t[7] != b'-'
        || !matches!(t[10], b'T' | b' ' | b't')
        || t[13] != b':'
        || t[16] != b':'
    {
        return None;
    }
    let two = |at: usize| pair(t[at], t[at + 1]);
    let year = two(0)? * 100 + two(2)?;
    let (month, day, hour, minute, second) = (two(5)?, two(8)?, two(11)?, two(14)?, two(17)?);
    let (nanos, zone) = fraction(rest)?;
    let offset = match zone {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (pair(*h1, *h2)?, pair(*m1, *m2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = i64::from(hours * 60 + minutes) * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        // PostgreSQL leaves minutes out that are zero.
        [sign @ (b'+' | b'-'), h1, h2] => {
            let hours = pair(*h1, *h2).filter(|hours| *hours < 24)?;
            let seconds = i64::from(hours) * 3600;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    if second > 59 {
        return None; // a leap second is chrono's matter
    }
    let date = NaiveDate::from_ymd_opt(year as i32, month, day)?;
    let time = date
        .and_hms_nano_opt(hour, minute, second, nanos)?
        .and_utc();
    match offset {
        0 => Some(time),
        _ => time.checked_sub_signed(TimeDelta::seconds(offset)),
    }
}

#[inline]
fn pair(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// Nanoseconds of `.digits` or `,digits`, and what follows.
#[inline]
fn fraction(rest: &[u8]) -> Option<(u32, &[u8])> {
    let [b'.' | b',', digits @ ..] = rest else {
        return Some((0, rest));
    };
    let mut nanos = 0;
    let mut length = 0;
    while let Some(digit) = digits
        .get(length)
        .map(|byte| byte.wrapping_sub(b'0'))
        .filter(|digit| *digit < 10)
    {
        if length == 9 {
            return None;
        }
        nanos = nanos * 10 + u32::from(digit);
        length += 1;
    }
    (length > 0).then(|| (nanos * 10_u32.pow(9 - length as u32), &digits[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(text: &str) -> Option<i64> {
        parse(text).map(|time| time.timestamp_millis())
    }

    #[test]
    fn the_forms_of_the_language_are_read() {
        assert_eq!(millis("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(millis("2006-12-16 17:24:00"), Some(1_166_289_840_000));
        assert_eq!(millis("2006-12-16T17:24:00"), Some(1_166_289_840_000));
        assert_eq!(
            millis("2006-12-16T18:24:00.125+01:00"),
            Some(1_166_289_840_125)
        );
        assert_eq!(millis("2006-12-16 17:24:00 UTC"), Some(1_166_289_840_000));
        assert_eq!(millis("1969-12-31T23:59:59.999Z"), Some(-1));
        for text in [
            "2006-12-16T17:24Z",
            "2006-12-16T17:24",
            "2006-12-16 18:24+01:00",
            "2006-12-16 18:24:00+01",
            "2006-12-16 17:24:00,000",
        ] {
            assert_eq!(millis(text), Some(1_166_289_840_000), "{text}");
        }
        assert_eq!(millis("0000-03-01T00:00:00Z"), Some(-62_162_035_200_000));
        assert_eq!(
            parse("2000-02-29T12:00:00.123456789Z")
                .unwrap()
                .timestamp_subsec_nanos(),
            123_456_789
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2006-12-16",
            "2006-13-01 00:00:00",
            "2006-02-29 00:00:00",
            "2006-12-16 24:00:00",
            "2006-12-16T17:24:00+25:00",
            "2006-12-16T17:24:00.Z",
            "2006-12-16x17:24:00",
            "2006-12-16 17:24:0a",
            "1900-02-29T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_format_reads_times_and_dates() {
        let time = parse_format("16/12/2006 17:24:00", "%d/%m/%Y %H:%M:%S").unwrap();
        assert_eq!(time.timestamp(), 1_166_289_840);
        assert_eq!(
            parse_format("16/12/2006", "%d/%m/%Y").unwrap().timestamp(),
            1_166_227_200
        );
        assert_eq!(
            parse_format("16/12/2006 18:24 +0100", "%d/%m/%Y %H:%M %z")
                .unwrap()
                .timestamp(),
            1_166_289_840
        );
        assert_eq!(parse_format("2006", "%d/%m/%Y"), None);
        // The hour counts, though no minutes follow; a zone counts, though no time does.
        let hours = [
            ("2006-12-16 17", "%Y-%m-%d %H"),
            ("2006-12-16 05 PM", "%Y-%m-%d %I %p"),
        ];
        for (text, format) in hours {
            assert_eq!(
                parse_format(text, format).unwrap().timestamp(),
                1_166_288_400
            );
        }
        assert_eq!(
            parse_format("2006-12-16 +0100", "%Y-%m-%d %z")
                .unwrap()
                .timestamp(),
            1_166_223_600
        );
        assert_eq!(
            parse_format("1166289840", "%s").unwrap().timestamp(),
            1_166_289_840
        );
        assert_eq!(parse_format("2006-12-16 05:24", "%Y-%m-%d %I:%M"), None);
    }

    proptest! {
        #[test]
        fn the_direct_parser_agrees_with_chrono(seconds in -62_135_596_800_i64..253_402_300_799, nanos in 0..1_000_000_000_u32, zone in -1439..1440_i32) {
            let time = DateTime::from_timestamp(seconds, nanos).unwrap();
            let text = time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
            prop_assert_eq!(direct(text.as_bytes()), Some(time));
            let there = time.with_timezone(&chrono::FixedOffset::east_opt(zone * 60).unwrap());
            prop_assume!((1..=9998).contains(&chrono::Datelike::year(&there)));
            prop_assert_eq!(direct(there.to_rfc3339().as_bytes()), Some(time));
            prop_assert_eq!(direct(time.format("%Y-%m-%d %H:%M:%S%.f").to_string().as_bytes()), Some(time));
        }

        #[test]
        fn whatever_it_reads_chrono_reads_alike(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,10})?(Z|[+-][0-2][0-9]:[0-6][0-9])") {
            if let Some(time) = direct(text.as_bytes()) {
                prop_assert_eq!(DateTime::parse_from_rfc3339(&text).ok().map(|t| t.to_utc()), Some(time));
            }
        }

        #[test]
        fn garbage_is_no_panic(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
