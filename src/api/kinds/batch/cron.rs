//! CronJob: its schedule, and its rows.

use serde_json::Value;

use super::job;
use crate::field_error::{At, Errors};
use crate::kinds::rules::not_negative;
use crate::kinds::table::{self, age, or_none};
use crate::{meta, time};

pub(super) fn cron_cells(job: &Value, now: i64) -> Vec<Value> {
    let last = meta::str_at(job, "status.lastScheduleTime");
    let pods = meta::at(job, "spec.jobTemplate.spec.template.spec");
    let [names, images] = pods.map(table::containers).unwrap_or_default();
    let suspended =
        meta::at(job, "spec.suspend").map_or("<unset>", |s| if s == true { "True" } else { "False" });
    vec![
        meta::name(job).into(),
        meta::str_at(job, "spec.schedule").into(),
        or_none(meta::str_at(job, "spec.timeZone")),
        suspended.into(),
        meta::list_at(job, "status.active").len().into(),
        if last.is_empty() { "<none>".into() } else { time::since(last, now).into() },
        age(job, now),
        names,
        images,
        table::selector(meta::at(job, "spec.jobTemplate.spec.selector")),
    ]
}

pub(super) fn cron_job(spec: &At<'_>, old: Option<&At<'_>>, e: &mut Errors) {
    let schedule = spec.get("schedule");
    if !schedule.is_empty() {
        if let Err(why) = cron(schedule.str()) {
            e.invalid(&schedule, why);
        }
        let zone_was = old.is_some_and(|old| old.get("schedule").str().contains("TZ"));
        if schedule.str().contains("TZ") && !zone_was {
            e.invalid(&schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        } else if schedule.str().contains("TZ") && spec.get("timeZone").is_set() {
            e.invalid(&schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
        }
    }
    not_negative(&spec.get("startingDeadlineSeconds"), e);
    time_zone(&spec.get("timeZone"), e);
    crate::kinds::rules::known(&spec.get("concurrencyPolicy"), &["Allow", "Forbid", "Replace"], e);
    let template = spec.get("jobTemplate.spec");
    job(&template, e);
    if template.get("selector").is_set() {
        e.invalid(&template.get("selector"), "`selector` will be auto-generated");
    }
    if template.get("manualSelector").bool() {
        e.not_supported(&template.get("manualSelector"), &["nil", "false"]);
    }
    for name in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        not_negative(&spec.get(name), e);
    }
    // An annotation of upstream's types, and so said last.
    if schedule.is_empty() {
        e.required(&schedule.path, "");
    }
}

fn time_zone(at: &At<'_>, e: &mut Errors) {
    if !at.is_set() {
        return;
    }
    if at.is_empty() {
        return e.invalid(at, "timeZone must be nil or non-empty string");
    }
    let part = |part: &str| {
        let known = part.bytes().all(|c| c.is_ascii_alphanumeric() || b"._+-".contains(&c));
        !part.is_empty() && part != "." && part != ".." && !part.starts_with('-') && known
    };
    if !at.str().split('/').all(part) {
        return e.invalid(at, format!("unknown time zone {}", at.str()));
    }
    if at.str().eq_ignore_ascii_case("Local") {
        let says = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        e.invalid(at, says);
    }
}

const NAMES_OF: &[&[&str]] = &[
    &[],
    &[],
    &[],
    &["", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
];

/// What is wrong with a schedule of five fields, in the words of upstream's parser.
pub(super) fn cron(text: &str) -> Result<(), String> {
    let text = match text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
        Some(rest) => rest.split_once(' ').map_or("", |(_, rest)| rest.trim()),
        None => text,
    };
    if text.is_empty() {
        return Err("empty spec string".to_owned());
    }
    if let Some(word) = text.strip_prefix('@') {
        let known =
            ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"].contains(&word);
        let every = word.strip_prefix("every ").is_some_and(|span| !span.is_empty());
        return if known || every { Ok(()) } else { Err(format!("unrecognized descriptor: {text}")) };
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 5 {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    let bounds = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
    for (at, field) in fields.iter().enumerate() {
        for part in field.split(',').filter(|part| !part.is_empty()) {
            cron_part(part, bounds[at], NAMES_OF[at])?;
        }
    }
    Ok(())
}

fn cron_part(part: &str, (low, high): (i64, i64), names: &[&str]) -> Result<(), String> {
    let number = |text: &str| -> Result<i64, String> {
        let named = names.iter().position(|name| !name.is_empty() && name.eq_ignore_ascii_case(text));
        if let Some(at) = named {
            return Ok(i64::try_from(at).unwrap_or(0));
        }
        let quoted = crate::field_error::quote(text);
        let value: i64 = text.parse().map_err(|_| {
            format!("failed to parse int from {text}: strconv.Atoi: parsing {quoted}: invalid syntax")
        })?;
        if value < 0 { Err(format!("negative number ({value}) not allowed: {text}")) } else { Ok(value) }
    };
    let steps: Vec<&str> = part.split('/').collect();
    let ends: Vec<&str> = steps[0].split('-').collect();
    let (start, mut end) = match ends[..] {
        ["*" | "?"] => (low, high),
        [one] => (number(one)?, number(one)?),
        [start, end] => (number(start)?, number(end)?),
        _ => return Err(format!("too many hyphens: {part}")),
    };
    let step = match steps[..] {
        [_] => 1,
        [_, step] => number(step)?,
        _ => return Err(format!("too many slashes: {part}")),
    };
    if steps.len() == 2 && ends.len() == 1 {
        end = high;
    }
    match () {
        () if start < low => Err(format!("beginning of range ({start}) below minimum ({low}): {part}")),
        () if end > high => Err(format!("end of range ({end}) above maximum ({high}): {part}")),
        () if start > end => Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}")),
        () if step == 0 => Err(format!("step of range should be a positive number: {part}")),
        () => Ok(()),
    }
}
