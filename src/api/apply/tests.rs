//! Apply and ownership against what upstream's API server answered (cases/upstream.jsonl,
//! written by scripts/upstream-cases), and what must hold of any objects.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::owners::{managed_of, put_managed, take_managed};
use super::*;
use crate::kinds::registry;
use crate::schema::builtin;
use crate::{canonical, default, meta};

/// The time of a recorded write: the latest that its result shows.
fn time_of(case: &Value) -> String {
    let entries = managed_of(&case["object"]).and_then(Value::as_array).into_iter().flatten();
    entries.map(|entry| text(entry, "time").to_owned()).max().unwrap_or_default()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Entries with times that are only there or not.
fn timeless(list: Option<&Value>) -> Value {
    let mut list = list.cloned().unwrap_or_else(|| json!([]));
    for entry in list.as_array_mut().into_iter().flatten() {
        if let Some(time) = entry.get_mut("time") {
            *time = json!("some time");
        }
    }
    list
}

/// An object as it is stored, without what the server chooses and the door puts back.
fn settled(target: &Target<'_>, object: &Value) -> Value {
    let mut object = object.clone();
    default::fill(target.schema, target.ty, &mut object);
    let (group, version) = target.api_version.split_once('/').unwrap_or(("", target.api_version));
    (registry().by_kind(group, version, target.kind).unwrap().strategy.default)(&mut object);
    canonical::normalise(target.schema, target.ty, &mut object);
    for name in ["managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "namespace"] {
        meta::remove(&mut object, &format!("metadata.{name}"));
    }
    meta::remove(&mut object, if target.subresource.is_empty() { "status" } else { "spec" });
    object
}

fn check(case: &Value, live: Option<&Value>) -> Vec<String> {
    let schema = builtin();
    let (api_version, kind) = (text(case, "apiVersion"), text(case, "kind"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let subresource = text(case, "subresource");
    let has_status = kind != "ConfigMap";
    let target = Target {
        schema,
        ty: schema.find_kind(group, version, kind).unwrap(),
        api_version,
        kind,
        subresource,
        reset: &Reset::of(group, kind, subresource, has_status),
        versions: &OneVersion,
    };
    let (manager, now) = (text(case, "manager"), &*time_of(case));
    let mut problems = Vec::new();
    if text(case, "operation") == "scale" {
        let scale = Target {
            ty: schema.find_kind("autoscaling", "v1", "Scale").unwrap(),
            api_version: "autoscaling/v1",
            kind: "Scale",
            subresource: "scale",
            reset: &Reset::Nothing,
            ..target
        };
        check_scale(&scale, case, live, now, &mut problems);
        return problems;
    }
    if text(case, "operation") == "update" {
        let mut new = case["object"].clone();
        take_managed(&mut new);
        for field in case["invented"].as_array().into_iter().flatten() {
            meta::remove(&mut new, field.as_str().unwrap());
        }
        if case["cleared"] == true {
            put_managed(&mut new, Some(json!([{}])));
        } else {
            put_managed(&mut new, live.and_then(managed_of).cloned());
        }
        update(&target, live, &mut new, manager, now).unwrap();
        compare_entries(&new, &case["object"], &mut problems);
        return problems;
    }
    let force = case["force"] == true;
    let answer = apply(&target, live, &case["config"], Options { manager, force, now });
    match (answer, case.get("refused")) {
        (Ok(applied), None) => {
            compare_entries(&applied.object, &case["object"], &mut problems);
            let [ours, theirs] =
                [&applied.object, &case["object"]].map(|it| settled(&target, it).to_string());
            if ours != theirs {
                problems.push(format!("{ours}\n    where upstream has\n  {theirs}"));
            }
        }
        (Err(error), Some(refused)) => {
            let (code, reason, message, causes) = match &error {
                ApplyError::BadRequest(message) => (400, json!("BadRequest"), message.clone(), json!([])),
                ApplyError::Internal(message) => (500, Value::Null, message.clone(), json!([])),
                ApplyError::Conflict(conflicts) => {
                    let status = conflicts.status().to_value();
                    (
                        409,
                        status["reason"].clone(),
                        text(&status, "message").into(),
                        status["details"]["causes"].clone(),
                    )
                }
            };
            let mut ours = json!({"code": code, "reason": reason, "message": message, "causes": causes});
            let mut theirs = refused.clone();
            for refusal in [&mut ours, &mut theirs] {
                refusal["causes"] = sorted(&refusal["causes"]);
                refusal["message"] = sorted_lines(text(refusal, "message")).into();
            }
            if ours != theirs {
                problems.push(format!("refused with {ours}\n   where upstream says {theirs}"));
            }
        }
        (Ok(_), Some(refused)) => problems.push(format!("not refused with {refused}")),
        (Err(error), None) => problems.push(format!("refused: {error:?}")),
    }
    problems
}

/// A write through the scale subresource, forth and back.
fn check_scale(
    target: &Target<'_>,
    case: &Value,
    parent: Option<&Value>,
    now: &str,
    problems: &mut Vec<String>,
) {
    let parent = parent.unwrap();
    let paths = ReplicasPaths(&[("apps/v1", Some("spec.replicas"))]);
    let mut before = case["before"].clone();
    put_managed(&mut before, to_scale(managed_of(parent), paths));
    let manager = text(case, "manager");
    let written = if text(case, "verb") == "apply" {
        let options = Options { manager, force: case["force"] == true, now };
        match apply(target, Some(&before), &case["config"], options) {
            Ok(applied) => applied.object,
            Err(ApplyError::Conflict(conflicts)) => {
                let ours = conflicts.status().to_value();
                if ours["message"] != case["refused"]["message"] {
                    problems.push(format!("{ours} where upstream has {}", case["refused"]));
                }
                return;
            }
            Err(other) => return problems.push(format!("{other:?}")),
        }
    } else {
        let mut new = case["config"].clone();
        update(target, Some(&before), &mut new, manager, now).unwrap();
        new
    };
    let mut after = json!({"metadata": {}});
    put_managed(&mut after, from_scale(managed_of(parent), managed_of(&written), "apps/v1", paths));
    compare_entries(&after, &case["object"], problems);
}

/// Upstream lists managers' causes in no order.
fn sorted(causes: &Value) -> Value {
    let mut causes = causes.as_array().cloned().unwrap_or_default();
    causes.sort_by_key(ToString::to_string);
    Value::Array(causes)
}

/// Upstream lists mistakes in no order.
fn sorted_lines(message: &str) -> String {
    let mut lines: Vec<_> = message.lines().collect();
    if let Some(mistakes) = lines.get_mut(1..).filter(|_| message.contains("errors:")) {
        mistakes.sort_unstable();
    }
    lines.join("\n")
}

fn compare_entries(ours: &Value, theirs: &Value, problems: &mut Vec<String>) {
    let [ours, theirs] = [ours, theirs].map(|it| timeless(managed_of(it)));
    let [ours, theirs] =
        [&ours, &theirs].map(|it| it.as_array().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>());
    for (at, entry) in ours.iter().enumerate() {
        if theirs.get(at) != Some(entry) {
            let theirs = theirs.get(at).map_or("nothing", |it| it);
            problems.push(format!("entry {at} {entry}\n    where upstream has {theirs}"));
        }
    }
    for missing in theirs.iter().skip(ours.len()) {
        problems.push(format!("no entry {missing}"));
    }
}

#[test]
fn ownership_and_apply_come_out_as_upstream_has_them() {
    let mut live: BTreeMap<(String, String), Value> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut count = 0;
    for line in include_str!("cases/upstream.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let key = (text(&case, "kind").to_owned(), text(&case, "name").to_owned());
        count += 1;
        let seen = text(&case, "operation") == "seen";
        let problems = if seen { Vec::new() } else { check(&case, live.get(&key)) };
        if !problems.is_empty() {
            failures.push(format!("{}:\n  {}", text(&case, "case"), problems.join("\n  ")));
        }
        if let Some(object) = case.get("object") {
            live.insert(key, object.clone());
        }
    }
    assert!(count >= 100, "{count} cases");
    assert!(failures.is_empty(), "{} cases differ\n{}", failures.len(), failures.join("\n"));
}
