//! Durations in attributes: the grammar of `stream_runtime::duration`, read at expansion.

const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Milliseconds of `"10s"`, `"1h30m"`, `"1.5h"`.
pub fn parse(text: &str) -> Result<i64, String> {
    let fail = |problem: String| Err(format!("\"{text}\": {problem}"));
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
    // No unit has more than seven decimal digits of milliseconds.
    if fraction.len() > 7 {
        return Err("not a whole number of milliseconds");
    }
    let scale = 10_i64.pow(fraction.len() as u32);
    let part = fraction.parse::<i64>().unwrap_or(0) * length;
    if part % scale != 0 {
        return Err("not a whole number of milliseconds");
    }
    let whole = whole
        .parse::<i64>()
        .ok()
        .and_then(|n| n.checked_mul(length));
    Ok(whole.and_then(|ms| ms.checked_add(part / scale)))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_grammar_is_that_of_the_runtime() {
        assert_eq!(parse("10s"), Ok(10_000));
        assert_eq!(parse("1h 30m"), parse("1.5h"));
        assert_eq!(parse("0.125d"), Ok(10_800_000));
        assert_eq!(
            parse("1x").unwrap_err(),
            "\"1x\": unknown unit 'x'; use ms, s, m, h, d"
        );
        assert_eq!(
            parse("10").unwrap_err(),
            "\"10\": no unit; use ms, s, m, h, d"
        );
        assert_eq!(
            parse("0.5ms").unwrap_err(),
            "\"0.5ms\": not a whole number of milliseconds"
        );
        assert_eq!(
            parse("999999999999d").unwrap_err(),
            "\"999999999999d\": too long"
        );
    }
}
