//! What runs pods to their end: Job and CronJob.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use self::cron::{cron_cells, cron_job};
use self::status::{has, status};
use super::Row;
use super::apps::{CONTAINERS, IMAGES};
use super::basic::default_text;
use super::metadata::{immutable, selector};
use super::pod::{default as pod_default, shown, template, warnings};
use super::rules::{known_if_set, not_negative, selects};
use super::table::{self, AGE, NAME, age, boolean, integer, says, text, wide};
use crate::field_error::{At, Errors};
use crate::kind::{About, Context, Part, Read, Selectable, Strategy, only_status};
use crate::names::{dns1123_label, dns1123_subdomain, label_key};
use crate::{meta, time};

mod cron;
mod status;
#[cfg(test)]
mod tests;

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            default: |o| {
                job_defaults(o, "spec");
                labels_of_pods(o);
            },
            prepare_create,
            validate: |new, e| {
                generated_selector(new, e);
                job(&new.get("spec"), e);
                chosen(&new.get("spec"), e);
                name_fits(new, e);
            },
            validate_update: update,
            generation: &["spec"],
            warn: |new, old| {
                let changed = old.is_none_or(|old| meta::generation(old) != meta::generation(new));
                let mut all = Vec::new();
                let wrong = dns1123_label(meta::name(new));
                if old.is_none() && !wrong.is_empty() {
                    all.push(format!("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]", wrong.join(" ")));
                }
                if changed {
                    all.extend(warnings::template(new, "spec.template"));
                }
                all
            },
            ..Strategy::WITH_STATUS
        },
        parts: &[("status", Part { prepare: only_status, validate: status, warn: |_, _| Vec::new() })],
        columns: &[
            NAME,
            text("Status", says("How far it is")),
            text("Completions", About::Field("JobStatus", "succeeded")),
            text("Duration", says("How long it has taken")),
            AGE,
            CONTAINERS,
            IMAGES,
            wide("Selector", About::Field("JobSpec", "selector")),
        ],
        cells: job_cells,
        selectable: &[Selectable {
            name: Cow::Borrowed("status.successful"),
            read: Read::Made(|job| meta::int_at(job, "status.succeeded").to_string()),
        }],
        ..Row::new("batch", "Job")
    },
    Row {
        strategy: Strategy {
            default: |o| {
                default_text(o, "spec.concurrencyPolicy", "Allow");
                meta::put_default(o, "spec.suspend", false);
                meta::put_default(o, "spec.successfulJobsHistoryLimit", 3);
                meta::put_default(o, "spec.failedJobsHistoryLimit", 1);
                if let Some(spec) = meta::at_mut(o, "spec.jobTemplate.spec.template.spec") {
                    pod_default::spec(spec);
                }
            },
            validate: |new, e| {
                cron_job(&new.get("spec"), None, e);
                let name = new.get("metadata.name");
                if name.str().len() > 52 {
                    e.invalid(&name, "must be no more than 52 characters");
                }
            },
            validate_update: |new, old, e| cron_job(&new.get("spec"), Some(&old.get("spec")), e),
            generation: &["spec"],
            warn: |new, old| {
                let changed = old.is_none_or(|old| meta::generation(old) != meta::generation(new));
                if changed { warnings::template(new, "spec.jobTemplate.spec.template") } else { Vec::new() }
            },
            ..Strategy::WITH_STATUS
        },
        parts: &[("status", Part::STATUS)],
        columns: &[
            NAME,
            text("Schedule", About::Field("CronJobSpec", "schedule")),
            text("Timezone", About::Field("CronJobSpec", "timeZone")),
            boolean("Suspend", About::Field("CronJobSpec", "suspend")),
            integer("Active", About::Field("CronJobStatus", "active")),
            text("Last Schedule", About::Field("CronJobStatus", "lastScheduleTime")),
            AGE,
            CONTAINERS,
            IMAGES,
            wide("Selector", About::Field("JobSpec", "selector")),
        ],
        cells: cron_cells,
        ..Row::new("batch", "CronJob")
    },
];

fn job_defaults(o: &mut Value, path: &str) {
    let Some(spec) = meta::at_mut(o, path) else { return };
    if meta::at(spec, "completions").is_none() && meta::at(spec, "parallelism").is_none() {
        meta::put(spec, "completions", 1);
    }
    meta::put_default(spec, "parallelism", 1);
    let by_index = meta::at(spec, "backoffLimitPerIndex").is_some();
    meta::put_default(spec, "backoffLimit", if by_index { i32::MAX } else { 6 });
    meta::put_default(spec, "completionMode", "NonIndexed");
    meta::put_default(spec, "suspend", false);
    let fails = meta::at(spec, "podFailurePolicy").is_some();
    meta::put_default(spec, "podReplacementPolicy", if fails { "Failed" } else { "TerminatingOrFailed" });
    meta::put_default(spec, "manualSelector", false);
    for rule in
        meta::at_mut(spec, "podFailurePolicy.rules").and_then(Value::as_array_mut).into_iter().flatten()
    {
        let patterns = meta::at_mut(rule, "onPodConditions").and_then(Value::as_array_mut);
        patterns.into_iter().flatten().for_each(|pattern| default_text(pattern, "status", "True"));
    }
    if let Some(spec) = meta::at_mut(spec, "template.spec") {
        pod_default::spec(spec);
    }
}

/// A job without labels has its pods'.
fn labels_of_pods(job: &mut Value) {
    let labels = meta::at(job, "spec.template.metadata.labels").cloned();
    if let (Some(labels), true) = (labels, meta::same(meta::at(job, "metadata.labels"), None)) {
        meta::put(job, "metadata.labels", labels);
    }
}

const UID: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const NAMES: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];

/// A selector that is not given is made of the job's UID, and so are its pods' labels.
fn prepare_create(new: &mut Value, _: &Context<'_>) {
    meta::remove(new, "status");
    if meta::at(new, "spec.manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let (uid, name) = (meta::uid(new).to_owned(), meta::name(new).to_owned());
    let labels = meta::fields(meta::entry(new, "spec.template.metadata.labels"));
    for (keys, value) in [(NAMES, &name), (UID, &uid)] {
        for key in keys {
            labels.entry(key.to_owned()).or_insert_with(|| value.as_str().into());
        }
    }
    let matched = meta::fields(meta::entry(new, "spec.selector.matchLabels"));
    matched.entry(UID[1].to_owned()).or_insert_with(|| uid.into());
    labels_of_pods(new);
}

fn generated_selector(job: &At<'_>, e: &mut Errors) {
    let spec = job.get("spec");
    if spec.get("manualSelector").bool() || !spec.get("selector").is_set() {
        return;
    }
    let (uid, name) = (job.get("metadata.uid"), job.get("metadata.name"));
    if uid.is_empty() {
        e.required(&uid.path, "");
    }
    let labels = spec.get("template.metadata.labels");
    let expected = [(UID[0], &uid), (NAMES[0], &name), (UID[1], &uid), (NAMES[1], &name)];
    for (key, value) in &expected {
        let path = labels.path.key(key);
        match labels.value.and_then(|l| l.get(*key)) {
            None => e.required(&path, format!("must be '{}'", value.str())),
            Some(found) if found != value.str() => {
                let shown = labels.value.cloned().unwrap_or_default();
                e.invalid_as(&path, shown, format!("must be '{}'", value.str()));
            }
            Some(_) => {}
        }
    }
    let own: Value =
        expected.iter().map(|(key, value)| ((*key).to_owned(), Value::from(value.str()))).collect();
    let selector = spec.get("selector");
    if !selects(&selector, &At::root(&own)) {
        e.invalid(&selector, "`selector` not auto-generated");
    }
}

fn name_fits(job: &At<'_>, e: &mut Errors) {
    let (name, completions) = (job.get("metadata.name"), job.get("spec.completions").int());
    if !job.get("spec.completionMode").is("Indexed") || completions < 1 {
        return;
    }
    let host = format!("{}-{}", name.str(), completions - 1);
    if !dns1123_label(&host).is_empty() {
        e.invalid(&name, format!("will not able to create pod with invalid DNS label: {host}"));
    }
}

/// Rules that a job's own selector must obey.
fn chosen(spec: &At<'_>, e: &mut Errors) {
    let at = spec.get("selector");
    if at.is_set() {
        selector(&at, true, e);
    } else {
        e.required(&at.path, "");
    }
    let labels = spec.get("template.metadata.labels");
    if !at.is_set() || !selects(&at, &labels) {
        let shown = labels.value.cloned().unwrap_or(Value::Null);
        e.invalid_as(&labels.path, shown, "`selector` does not match template `labels`");
    }
}

fn job(spec: &At<'_>, e: &mut Errors) {
    let numbers = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    numbers.iter().for_each(|name| not_negative(&spec.get(name), e));
    if spec.get("maxFailedIndexes").is_set() && !spec.get("backoffLimitPerIndex").is_set() {
        e.required(&spec.get("backoffLimitPerIndex").path, "when maxFailedIndexes is specified");
    }
    managed_by(&spec.get("managedBy"), e);
    let mode = spec.get("completionMode");
    known_if_set(&mode, &["NonIndexed", "Indexed"], e);
    let indexed = mode.is("Indexed");
    if indexed {
        by_index(spec, e);
    } else if !mode.is_set() || mode.is("NonIndexed") {
        for name in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if spec.get(name).is_set() {
                e.invalid(&spec.get(name), "requires indexed completion mode");
            }
        }
    }
    let fails = spec.get("podFailurePolicy");
    if fails.is_set() {
        failure_policy(spec, &fails, e);
    }
    let succeeds = spec.get("successPolicy");
    if succeeds.is_set() && !indexed {
        let shown = succeeds.value.map(|s| shown::as_upstream(s, "batch.v1.SuccessPolicy"));
        e.invalid_as(&succeeds.path, shown.unwrap_or_default(), "requires indexed completion mode");
    } else if succeeds.is_set() {
        success_policy(spec, &succeeds, e);
    }
    let replaces = spec.get("podReplacementPolicy");
    if replaces.is_set() {
        let known: &[&str] = if fails.is_set() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        e.one_of(&replaces, known);
    }
    template(&spec.get("template"), e);
    let policy = spec.get("template.spec.restartPolicy");
    match policy.str() {
        "Always" | "" => e.required(&policy.path, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if fails.is_set() => {
            e.invalid(&policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        _ => e.not_supported(&policy, &["OnFailure", "Never"]),
    }
}

fn managed_by(at: &At<'_>, e: &mut Errors) {
    if !at.is_set() {
        return;
    }
    match at.str().split_once('/') {
        _ if at.is_empty() => e.required(&at.path, ""),
        Some((host, path)) if !host.is_empty() && !path.is_empty() => {
            e.invalid_each_as(at, host, dns1123_subdomain(host));
            let fine = path.bytes().all(|c| c.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&c));
            if !fine {
                let form = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
                e.invalid_as(&at.path, path, format!("Invalid path (regex used for validation is '{form}')"));
            }
        }
        _ => e.invalid(at, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
    if at.str().len() > 63 {
        e.too_long(&at.path, 63);
    }
}

const MANY: i64 = 100_000;

fn by_index(spec: &At<'_>, e: &mut Errors) {
    let (completions, parallel, failed) =
        (spec.get("completions"), spec.get("parallelism"), spec.get("maxFailedIndexes"));
    if !completions.is_set() {
        e.required(&completions.path, "when completion mode is Indexed");
    }
    if parallel.int() > MANY {
        e.invalid(&parallel, "must be less than or equal to 100000 when completion mode is Indexed");
    }
    if completions.is_set() && failed.int() > completions.int() {
        e.invalid(&failed, "must be less than or equal to completions");
    }
    if failed.int() > MANY {
        e.invalid(&failed, "must be less than or equal to 100000");
    }
    if completions.int() <= MANY || !spec.get("backoffLimitPerIndex").is_set() {
        return;
    }
    if !failed.is_set() {
        e.required(&failed.path, "must be specified when completions is above 100000");
    }
    for at in [&parallel, &failed].iter().filter(|at| at.int() > 10_000) {
        e.invalid(at, "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index");
    }
}

fn failure_policy(spec: &At<'_>, at: &At<'_>, e: &mut Errors) {
    const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
    let rules = at.get("rules");
    if rules.len() > 20 {
        e.too_many(&rules.path, rules.len(), 20);
    }
    let names: BTreeSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec.get("template.spec").get(list).items())
        .map(|c| c.get("name").str())
        .collect();
    for rule in rules.items() {
        let action = rule.get("action");
        match action.str() {
            "" => e.required(
                &action.path,
                format!("valid values: {}", crate::names::quoted_list(ACTIONS.iter().copied())),
            ),
            "FailIndex" if !spec.get("backoffLimitPerIndex").is_set() => {
                e.invalid(&action, "requires the backoffLimitPerIndex to be set");
            }
            _ => {
                e.one_of(&action, ACTIONS);
            }
        }
        let (codes, conditions) = (rule.get("onExitCodes"), rule.get("onPodConditions"));
        if codes.is_set() {
            exit_codes(&codes, &names, e);
        }
        if conditions.len() > 20 {
            e.too_many(&conditions.path, conditions.len(), 20);
        }
        for pattern in conditions.items() {
            let (kind, status) = (pattern.get("type"), pattern.get("status"));
            e.invalid_each(&kind, label_key(kind.str()));
            if status.is_empty() {
                e.required(&status.path, "valid values: [\"False\" \"True\" \"Unknown\"]");
            } else {
                e.one_of(&status, &["False", "True", "Unknown"]);
            }
        }
        match (codes.is_set(), conditions.is_empty()) {
            (true, false) => {
                e.invalid_whole(
                    &rule.path,
                    "specifying both OnExitCodes and OnPodConditions is not supported",
                );
            }
            (false, true) => {
                e.invalid_whole(&rule.path, "specifying one of OnExitCodes and OnPodConditions is required");
            }
            _ => {}
        }
    }
}

fn exit_codes(at: &At<'_>, names: &BTreeSet<&str>, e: &mut Errors) {
    let (operator, container, values) = (at.get("operator"), at.get("containerName"), at.get("values"));
    if operator.is_empty() {
        e.required(&operator.path, "valid values: [\"In\" \"NotIn\"]");
    } else {
        e.one_of(&operator, &["In", "NotIn"]);
    }
    if container.is_set() && !names.contains(container.str()) {
        e.invalid(&container, "must be one of the container or initContainer names in the pod template");
    }
    if values.is_empty() {
        e.invalid_as(
            &values.path,
            values.value.cloned().unwrap_or(Value::Null),
            "at least one value is required",
        );
    } else if values.len() > 255 {
        e.too_many(&values.path, values.len(), 255);
    }
    let (mut seen, mut last, mut ordered) = (BTreeSet::new(), i64::MIN, true);
    for value in values.items() {
        let code = value.int();
        if operator.is("In") && code == 0 {
            e.invalid(&value, "must not be 0 for the In operator");
        }
        if !seen.insert(code) {
            e.duplicate(&value.path, code);
        }
        ordered &= last <= code;
        last = code;
    }
    if !ordered {
        e.invalid(&values, "must be ordered");
    }
}

fn success_policy(spec: &At<'_>, at: &At<'_>, e: &mut Errors) {
    let rules = at.get("rules");
    if rules.is_empty() {
        e.required(&rules.path, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > 20 {
        e.too_many(&rules.path, rules.len(), 20);
    }
    let completions = spec.get("completions").int();
    for rule in rules.items() {
        let (count, indexes) = (rule.get("succeededCount"), rule.get("succeededIndexes"));
        if !count.is_set() && !indexes.is_set() {
            let says = "at least one of succeededCount or succeededIndexes must be specified";
            e.required(&rule.path, says);
        }
        let mut total = 0;
        if indexes.is_set() {
            if indexes.str().len() > 64 * 1024 {
                e.too_long(&indexes.path, 64 * 1024);
            }
            match count_indexes(indexes.str(), completions) {
                Ok(found) => total = found,
                Err(why) => e.invalid(&indexes, format!("error parsing succeededIndexes: {why}")),
            }
        }
        if !count.is_set() {
            continue;
        }
        not_negative(&count, e);
        if count.int() > completions {
            e.invalid(
                &count,
                format!("must be less than or equal to {completions} (the number of specified completions)"),
            );
        }
        if indexes.is_set() && count.int() > total {
            e.invalid(&count, format!("must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"));
        }
    }
}

/// How many indexes a text like `1,3-5` names, each below `completions` and in order.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let number = |text: &str| -> Result<i64, String> {
        let wrong =
            |_| format!("cannot convert string to integer for index: {}", crate::field_error::quote(text));
        let at: i64 = text.parse().map_err(wrong)?;
        if at >= completions {
            Err(format!("too large index: {}", crate::field_error::quote(text)))
        } else {
            Ok(at)
        }
    };
    let (mut total, mut last) = (0, -1);
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let ends: Vec<&str> = part.split('-').collect();
        let (first, end) = match ends[..] {
            [one] => (number(one)?, number(one)?),
            [first, end] => (number(first)?, number(end)?),
            _ => {
                let quoted = crate::field_error::quote(part);
                return Err(format!(
                    "the fragment {quoted} violates the requirement that an index interval can have at most two parts separated by '-'"
                ));
            }
        };
        if first <= last {
            return Err(format!("non-increasing order, previous: {last}, current: {first}"));
        }
        if end < first || ends.len() == 2 && end == first {
            return Err(format!("non-increasing order, previous: {first}, current: {end}"));
        }
        total += end - first + 1;
        last = end;
    }
    Ok(total)
}

fn update(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    let (spec, was) = (new.get("spec"), old.get("spec"));
    job(&spec, e);
    chosen(&spec, e);
    let completions = spec.get("completions");
    if !spec.get("completionMode").is("Indexed") {
        immutable(&completions, &was.get("completions"), e);
    } else if completions.is_set()
        && completions.int() != was.get("completions").int()
        && completions.int() != spec.get("parallelism").int()
    {
        e.invalid(&completions, "can only be modified in tandem with spec.parallelism");
    }
    immutable(&spec.get("selector"), &was.get("selector"), e);
    template_update(new, old, e);
    for name in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        immutable(&spec.get(name), &was.get(name), e);
    }
    name_fits(new, e);
}

/// A job that is suspended, and whose pods are gone, may be directed elsewhere.
fn template_update(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    let (at, was) = (new.get("spec.template"), old.get("spec.template"));
    let (Some(now), Some(before)) = (at.value, was.value) else { return };
    let suspended = old.get("spec.suspend").bool();
    let idle = old.get("status.active").int() == 0;
    let mut before = before.clone();
    if suspended && idle {
        for path in [
            "metadata.annotations",
            "metadata.labels",
            "spec.nodeSelector",
            "spec.tolerations",
            "spec.schedulingGates",
            "spec.affinity.nodeAffinity",
        ] {
            meta::restore(&mut before, now, path);
        }
        for list in ["spec.containers", "spec.initContainers"] {
            let given = meta::list_at(now, list).to_vec();
            let all = meta::at_mut(&mut before, list).and_then(Value::as_array_mut);
            for (container, given) in all.into_iter().flatten().zip(given) {
                meta::restore(container, &given, "resources");
            }
        }
    }
    if !meta::same(Some(now), Some(&before)) {
        e.invalid_as(&at.path, shown::template(now), "field is immutable");
    }
}

fn job_cells(job: &Value, now: i64) -> Vec<Value> {
    let at = At::root(job);
    let done = meta::int_at(job, "status.succeeded");
    let completions = match (meta::at(job, "spec.completions"), meta::int_at(job, "spec.parallelism")) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallel) if parallel > 1 => format!("{done}/1 of {parallel}"),
        (None, _) => format!("{done}/1"),
    };
    let start = time::seconds(meta::str_at(job, "status.startTime"));
    let end = time::seconds(meta::str_at(job, "status.completionTime")).unwrap_or(now);
    let status = ["Complete", "Failed"]
        .into_iter()
        .find(|condition| has(&at, condition))
        .or_else(|| meta::deletion_timestamp(job).map(|_| "Terminating"))
        .or_else(|| ["Suspended", "FailureTarget", "SuccessCriteriaMet"].into_iter().find(|c| has(&at, c)))
        .unwrap_or("Running");
    let [names, images] = meta::at(job, "spec.template.spec").map(table::containers).unwrap_or_default();
    vec![
        meta::name(job).into(),
        status.into(),
        completions.into(),
        start.map_or_else(String::new, |start| time::span(end - start)).into(),
        age(job, now),
        names,
        images,
        table::selector(meta::at(job, "spec.selector")),
    ]
}
