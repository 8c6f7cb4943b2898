//! Points in time (`metav1.Time`, `metav1.MicroTime`): RFC 3339 read with Go's liberties and
//! refused in Go's words, printed in UTC with whole seconds or six digits.

/// A point in time: seconds since 1970 and nanoseconds within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds within that second.
    pub nanos: u32,
}

/// A text that is not a point in time; the words are Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// A part that is not of its form.
    #[error("parsing time {} as {}: cannot parse {} as {}", quote(.value), quote(.layout), quote(.rest), quote(.element))]
    Form {
        /// The whole text.
        value: String,
        /// The whole layout.
        layout: &'static str,
        /// What is left of the text.
        rest: String,
        /// The part of the layout that is expected there.
        element: &'static str,
    },
    /// A part that is beyond what a clock shows, or text after the end.
    #[error("parsing time {}: {message}", quote(.value))]
    Range {
        /// The whole text.
        value: String,
        /// What is wrong.
        message: String,
    },
}

const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
const MICRO_LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";
/// Go's zero time, year 1.
const ZERO: i64 = -62_135_596_800;

impl Instant {
    /// Whether it is Go's zero time, which is printed as `null`.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.seconds == ZERO && self.nanos == 0
    }

    /// Reads a `Time`: any fraction of a second is allowed.
    ///
    /// # Errors
    /// A text that Go refuses, in its words.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        Cursor { all: text, rest: text, layout: LAYOUT }.read(false)
    }

    /// Reads a `MicroTime`: exactly six digits of a second.
    ///
    /// # Errors
    /// A text that Go refuses, in its words.
    pub fn parse_micro(text: &str) -> Result<Self, TimeError> {
        Cursor { all: text, rest: text, layout: MICRO_LAYOUT }.read(true)
    }

    /// The text of a `Time`.
    #[must_use]
    pub fn print(self) -> String {
        let (year, month, day) = civil(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// The text of a `MicroTime`.
    #[must_use]
    pub fn print_micro(self) -> String {
        let mut text = self.print();
        text.truncate(text.len() - 1);
        format!("{text}.{:06}Z", self.nanos / 1000)
    }
}

/// What is read of a text so far.
struct Cursor<'a> {
    all: &'a str,
    rest: &'a str,
    layout: &'static str,
}

impl Cursor<'_> {
    fn read(mut self, micro: bool) -> Result<Instant, TimeError> {
        let year = self.year()?;
        self.skip("-")?;
        let month = self.two("01", true, "month", 1..=12)?;
        self.skip("-")?;
        let day = self.two("02", true, "", 0..=99)?;
        self.skip("T")?;
        let hour = self.two("15", false, "hour", 0..=23)?;
        self.skip(":")?;
        let minute = self.two("04", true, "minute", 0..=59)?;
        self.skip(":")?;
        let second = self.two("05", true, "second", 0..=59)?;
        let nanos = if micro { self.six_digits()? } else { self.fraction() };
        let offset = self.zone()?;
        if !self.rest.is_empty() {
            return Err(self.range(format!("extra text: {}", quote(self.rest))));
        }
        if day < 1 || day > days_in(year, month) {
            return Err(self.range("day out of range".to_owned()));
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Ok(Instant { seconds, nanos })
    }

    fn form(&self, rest: &str, element: &'static str) -> TimeError {
        TimeError::Form { value: self.all.to_owned(), layout: self.layout, rest: rest.to_owned(), element }
    }

    fn range(&self, message: String) -> TimeError {
        TimeError::Range { value: self.all.to_owned(), message }
    }

    fn take(&mut self, count: usize) -> Option<&str> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn skip(&mut self, prefix: &'static str) -> Result<(), TimeError> {
        self.rest = self.rest.strip_prefix(prefix).ok_or_else(|| self.form(self.rest, prefix))?;
        Ok(())
    }

    fn year(&mut self) -> Result<i64, TimeError> {
        let before = self.rest;
        let year = self.take(4).filter(|year| year.bytes().all(|b| b.is_ascii_digit()));
        let year = year.and_then(|year| year.parse().ok());
        year.ok_or_else(|| self.form(before, "2006"))
    }

    /// A number of two digits (or of one, where `fixed` does not hold).
    fn two(
        &mut self,
        element: &'static str,
        fixed: bool,
        name: &str,
        allowed: std::ops::RangeInclusive<i64>,
    ) -> Result<i64, TimeError> {
        let digits = self.rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        if digits == 0 || fixed && digits == 1 {
            return Err(self.form(self.rest, element));
        }
        let value = self.take(digits).and_then(|text| text.parse().ok()).unwrap_or(0);
        if allowed.contains(&value) { Ok(value) } else { Err(self.range(format!("{name} out of range"))) }
    }

    /// A fraction that the layout does not ask for: a point or a comma and digits.
    fn fraction(&mut self) -> u32 {
        let Some(after) = self.rest.strip_prefix(['.', ',']) else { return 0 };
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return 0;
        }
        let nanos = nanos(&after[..digits]);
        self.rest = &after[digits..];
        nanos
    }

    fn six_digits(&mut self) -> Result<u32, TimeError> {
        let before = self.rest;
        let digits = self.take(7).and_then(|part| part.strip_prefix(['.', ',']));
        let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_digit())).map(nanos);
        digits.ok_or_else(|| self.form(before, ".000000"))
    }

    /// Seconds east of UTC.
    fn zone(&mut self) -> Result<i64, TimeError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let before = self.rest;
        let bytes = before.as_bytes();
        let number = |at: usize| {
            let text = before.get(at..at + 2)?;
            text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i64>().ok())?
        };
        if before.len() >= 6 && bytes[3] == b':' && number(1).is_some_and(|hours| hours > 24) {
            self.take(6);
            return Err(self.range("time zone offset hour out of range".to_owned()));
        }
        let (Some(hours), Some(b':'), Some(minutes)) = (number(1), bytes.get(3), number(4)) else {
            return Err(self.form(before, "Z07:00"));
        };
        self.take(6);
        match (hours, minutes) {
            (_, 61..) => Err(self.range("time zone offset minute out of range".to_owned())),
            _ if bytes.first() == Some(&b'+') => Ok(hours * 3600 + minutes * 60),
            _ if bytes.first() == Some(&b'-') => Ok(-(hours * 3600 + minutes * 60)),
            _ => Err(self.form(before, "Z07:00")),
        }
    }
}

fn nanos(digits: &str) -> u32 {
    digits
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date of the Gregorian calendar: years begin in March, 400 are one cycle.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    cycle * 146_097 + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - 719_468
}

/// The date of a day since 1970.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (cycle, of_cycle) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_cycle - of_cycle / 1460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + cycle * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

/// Go's quotes around a text in an error about time.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            0..b' ' | 0x80.. => out.push_str(&format!("\\x{byte:02x}")),
            _ => out.push(char::from(byte)),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_printed_in_utc() {
        for (text, expect) in [
            ("2026-02-28T10:11:12Z", "2026-02-28T10:11:12Z"),
            ("2026-02-28T10:11:12.999Z", "2026-02-28T10:11:12Z"),
            ("2024-02-29T23:30:00-01:00", "2024-03-01T00:30:00Z"),
            ("1969-12-31T23:59:59+00:30", "1969-12-31T23:29:59Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("2026-02-28T1:11:12Z", "2026-02-28T01:11:12Z"),
        ] {
            assert_eq!(Instant::parse(text).map(Instant::print), Ok(expect.to_owned()), "{text}");
        }
        assert!(Instant::parse("0001-01-01T00:00:00Z").unwrap().is_zero());
        let micro = Instant::parse_micro("2026-02-28T10:11:12.000034+02:00").unwrap();
        assert_eq!(micro.print_micro(), "2026-02-28T08:11:12.000034Z");
    }

    #[test]
    fn what_is_no_time_is_refused_in_gos_words() {
        for (text, expect) in [
            ("", r#"parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#),
            ("soon", r#"parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006""#),
            ("2026-13-01T00:00:00Z", r#"parsing time "2026-13-01T00:00:00Z": month out of range"#),
            ("2026-02-30T00:00:00Z", r#"parsing time "2026-02-30T00:00:00Z": day out of range"#),
            (
                "2026-02-03",
                r#"parsing time "2026-02-03" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#,
            ),
            (
                "2026-02-03T00:00:00",
                r#"parsing time "2026-02-03T00:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
            ),
            (
                "2026-02-03T00:00:00Zé",
                r#"parsing time "2026-02-03T00:00:00Z\xc3\xa9": extra text: "\xc3\xa9""#,
            ),
        ] {
            assert_eq!(Instant::parse(text).map_err(|e| e.to_string()), Err(expect.to_owned()), "{text}");
        }
        let error = Instant::parse_micro("2026-02-03T00:00:00Z").unwrap_err().to_string();
        assert!(error.ends_with(r#"cannot parse "Z" as ".000000""#), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(seconds in ZERO..253_402_300_800_i64, micros in 0..1_000_000_u32) {
            let instant = Instant { seconds, nanos: micros * 1000 };
            prop_assert_eq!(Instant::parse_micro(&instant.print_micro()), Ok(instant));
            prop_assert_eq!(Instant::parse(&instant.print()).map(|i| i.seconds), Ok(seconds));
        }

        #[test]
        fn any_text_is_answered(text in "[-0-9TZ:.,+é]{0,30}") {
            let _ = Instant::parse(&text);
            let _ = Instant::parse_micro(&text);
        }
    }
}
