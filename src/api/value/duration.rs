//! Durations (`metav1.Duration`): Go's text of a span of time, `1h2m3.5s`, in nanoseconds.

use std::fmt::Write as _;

use super::time::quote;

/// A text that is not a duration; the words are Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a sequence of numbers with units.
    #[error("time: invalid duration {}", quote(.0))]
    Invalid(String),
    /// A number without its unit.
    #[error("time: missing unit in duration {}", quote(.0))]
    MissingUnit(String),
    /// A number with a unit that there is not.
    #[error("time: unknown unit {} in duration {}", quote(.0), quote(.1))]
    UnknownUnit(String, String),
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration: nanoseconds.
///
/// # Errors
/// A text that Go refuses, in its words.
pub fn parse(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let (part, after) = part(rest, text)?;
        total = total.checked_add(part).filter(|t| *t <= 1 << 63).ok_or_else(invalid)?;
        rest = after;
    }
    let total = if negative { -i128::from(total) } else { i128::from(total) };
    i64::try_from(total).map_err(|_| invalid())
}

/// One number with its unit, in nanoseconds, and what follows.
fn part<'a>(text: &'a str, all: &str) -> Result<(u64, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(all.to_owned());
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let (unit, rest) =
        rest.split_at(rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len()));
    if unit.is_empty() {
        return Err(DurationError::MissingUnit(all.to_owned()));
    }
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, nanos) = known.ok_or_else(|| DurationError::UnknownUnit(unit.to_owned(), all.to_owned()))?;
    let mut sum = if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| invalid())? };
    sum = sum.checked_mul(*nanos).filter(|t| *t <= 1 << 63).ok_or_else(invalid)?;
    sum = sum.checked_add(part_of(fraction, *nanos)).ok_or_else(invalid)?;
    Ok((sum, rest))
}

/// A fraction of a unit, in the floating point that Go does it in.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as Go does"
)]
fn part_of(fraction: &str, unit: u64) -> u64 {
    let (mut digits, mut scale) = (0_u64, 1_f64);
    for digit in fraction.bytes() {
        let more = digits.checked_mul(10).and_then(|d| d.checked_add(u64::from(digit - b'0')));
        let Some(more) = more.filter(|d| *d <= 1 << 63) else { break };
        (digits, scale) = (more, scale * 10.0);
    }
    (digits as f64 * (unit as f64 / scale)) as u64
}

/// The canonical text.
#[must_use]
pub fn print(nanos: i64) -> String {
    let mut out = String::new();
    let magnitude = nanos.unsigned_abs();
    if nanos < 0 {
        out.push('-');
    }
    let fraction = |out: &mut String, value: u64, unit: u64, name: &str| {
        let mut digits = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        digits.truncate(digits.trim_end_matches('0').len());
        let point = if digits.is_empty() { "" } else { "." };
        // Writing to a String cannot fail.
        let _ = write!(out, "{}{point}{digits}{name}", value / unit);
    };
    match magnitude {
        0 => out.push_str("0s"),
        1..1_000 => fraction(&mut out, magnitude, 1, "ns"),
        1_000..1_000_000 => fraction(&mut out, magnitude, 1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => fraction(&mut out, magnitude, 1_000_000, "ms"),
        _ => {
            let seconds = magnitude / 1_000_000_000;
            if seconds >= 3600 {
                let _ = write!(out, "{}h", seconds / 3600);
            }
            if seconds >= 60 {
                let _ = write!(out, "{}m", seconds / 60 % 60);
            }
            fraction(&mut out, magnitude % 60_000_000_000, 1_000_000_000, "s");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_printed_as_go_does() {
        for (text, expect) in [
            ("0", "0s"),
            ("1s", "1s"),
            ("90s", "1m30s"),
            ("1h", "1h0m0s"),
            ("1.5h", "1h30m0s"),
            ("100ms", "100ms"),
            ("1500us", "1.5ms"),
            ("-1m", "-1m0s"),
            ("15ns", "15ns"),
            ("1h1m1.000000001s", "1h1m1.000000001s"),
            ("5.6s", "5.6s"),
            (".5s", "500ms"),
        ] {
            assert_eq!(parse(text).map(print), Ok(expect.to_owned()), "{text}");
        }
        assert_eq!(print(i64::MIN), "-2562047h47m16.854775808s");
    }

    #[test]
    fn what_is_no_duration_is_refused_in_gos_words() {
        for (text, expect) in [
            ("", "time: invalid duration \"\""),
            ("x", "time: invalid duration \"x\""),
            ("1", "time: missing unit in duration \"1\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("99999999999h", "time: invalid duration \"99999999999h\""),
        ] {
            assert_eq!(parse(text).map_err(|e| e.to_string()), Err(expect.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(nanos: i64) {
            prop_assert_eq!(parse(&print(nanos)), Ok(nanos));
        }

        #[test]
        fn any_text_is_answered(text in "[-+.0-9a-zµ]{0,24}") {
            let _ = parse(&text);
        }
    }
}
