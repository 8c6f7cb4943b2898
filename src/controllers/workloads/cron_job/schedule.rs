//! Schedules of five fields, as CronJobs have them (upstream's are those of robfig/cron's standard
//! parser). Pure.

use std::collections::BTreeSet;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// A date that does not come in so many years (31 February) never comes.
const YEARS: i16 = 5;

/// When something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schedule {
    minutes: BTreeSet<i8>,
    hours: BTreeSet<i8>,
    days: BTreeSet<i8>,
    months: BTreeSet<i8>,
    weekdays: BTreeSet<i8>,
    /// Whether days of the month, or of the week, are all of them (`*`): the other then decides alone.
    any_day: bool,
    any_weekday: bool,
    /// `@every`: a fixed distance in seconds.
    every: Option<i64>,
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let whole = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        if let Some(length) = whole.strip_prefix("@every ") {
            let seconds = seconds(length).ok_or_else(|| format!("failed to parse duration {text}"))?;
            return Ok(Self { every: Some(seconds.max(1)), .."* * * * *".parse()? });
        }
        let fields: Vec<&str> = whole.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
        };
        let star = |field: &str| field.starts_with(['*', '?']);
        Ok(Self {
            minutes: field(minutes, 0, 59, &[])?,
            hours: field(hours, 0, 23, &[])?,
            days: field(days, 1, 31, &[])?,
            months: field(months, 1, 12, MONTHS)?,
            weekdays: field(weekdays, 0, 6, DAYS)?,
            any_day: star(days),
            any_weekday: star(weekdays),
            every: None,
        })
    }
}

/// `1h30m`.
fn seconds(text: &str) -> Option<i64> {
    let mut total = 0;
    let mut number = String::new();
    for c in text.trim().chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total += std::mem::take(&mut number).parse::<i64>().ok()? * unit;
    }
    (number.is_empty() && total > 0).then_some(total)
}

/// A field: `*`, `1-5/2`, `mon,wed`.
fn field(text: &str, least: i8, most: i8, names: &[&str]) -> Result<BTreeSet<i8>, String> {
    let mut all = BTreeSet::new();
    for part in text.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let number = |word: &str| {
            let named = names.iter().position(|name| *name == word.to_lowercase());
            let named = named.and_then(|at| i8::try_from(at).ok()).map(|at| at + least);
            named.or_else(|| word.parse().ok()).ok_or_else(|| format!("failed to parse int from {word}"))
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" || range == "?" => (least, most),
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(range)?, if step.is_some() { most } else { number(range)? }),
        };
        let step: i8 =
            step.map_or(Ok(1), |step| step.parse().map_err(|_| format!("failed to parse int from {step}")))?;
        if step < 1 {
            return Err(format!("step of range should be a positive number: {part}"));
        }
        if first < least || last > most {
            return Err(format!("the range {part} is not within {least} and {most}"));
        }
        if first > last {
            return Err(format!("beginning of range ({first}) beyond end of range ({last}): {part}"));
        }
        all.extend((first..=last).step_by(usize::try_from(step).unwrap_or(1)));
    }
    Ok(all)
}

impl Schedule {
    /// The first moment after `after` at which it is due, by the clocks of `zone`.
    pub(super) fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if let Some(every) = self.every {
            return after.checked_add(every.seconds()).ok();
        }
        let start = zone.to_datetime(after);
        let mut at = DateTime::from_parts(start.date(), Time::constant(start.hour(), start.minute(), 0, 0));
        let end = start.year().saturating_add(YEARS);
        loop {
            at = self.later(at, end)?;
            // An hour that is skipped in spring is moved, one that comes twice is taken once.
            let due = zone.to_ambiguous_timestamp(at).compatible().ok()?;
            if due > after {
                return Some(due);
            }
        }
    }

    /// The first civil minute after `at` that fits.
    fn later(&self, at: DateTime, end: i16) -> Option<DateTime> {
        let mut at = at.checked_add(1.minute()).ok()?;
        let midnight = |date: Date| DateTime::from_parts(date, Time::midnight());
        loop {
            if at.year() > end {
                return None;
            }
            if !self.months.contains(&at.month()) {
                let month = at.date().first_of_month().checked_add(1.month()).ok()?;
                at = midnight(month);
            } else if !self.is_day(at.date()) {
                at = midnight(at.date().checked_add(1.day()).ok()?);
            } else if !self.hours.contains(&at.hour()) {
                at = DateTime::from_parts(at.date(), Time::constant(at.hour(), 0, 0, 0))
                    .checked_add(1.hour())
                    .ok()?;
            } else if !self.minutes.contains(&at.minute()) {
                at = at.checked_add(1.minute()).ok()?;
            } else {
                return Some(at);
            }
        }
    }

    fn is_day(&self, date: Date) -> bool {
        let day = self.days.contains(&date.day());
        let weekday = self.weekdays.contains(&date.weekday().to_sunday_zero_offset());
        if self.any_day || self.any_weekday { day && weekday } else { day || weekday }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_is_that_of_the_field_that_changes_last() {
        let cases = [
            ("* * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"),
            ("*/15 * * * *", "2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z"),
            ("0 3 * * *", "2026-01-01T03:00:00Z", "2026-01-02T03:00:00Z"),
            ("0 0 1 jan *", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 12 * * mon-fri", "2026-01-02T12:00:00Z", "2026-01-05T12:00:00Z"),
            ("0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
            ("@hourly", "2026-01-01T23:30:00Z", "2026-01-02T00:00:00Z"),
            ("@every 1h30m", "2026-01-01T00:00:00Z", "2026-01-01T01:30:00Z"),
        ];
        for (schedule, after, due) in cases {
            let found = schedule.parse::<Schedule>().unwrap().next(after.parse().unwrap(), &TimeZone::UTC);
            assert_eq!(found, Some(due.parse().unwrap()), "{schedule} after {after}");
        }
        let never: Schedule = "0 0 31 2 *".parse().unwrap();
        assert_eq!(never.next("2026-01-01T00:00:00Z".parse().unwrap(), &TimeZone::UTC), None);
    }

    #[test]
    fn what_is_no_schedule_is_said_in_words() {
        for (text, wanted) in [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "the range 60 is not within 0 and 59"),
            ("x * * * *", "failed to parse int from x"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ] {
            assert_eq!(text.parse::<Schedule>().unwrap_err(), wanted);
        }
    }
}
