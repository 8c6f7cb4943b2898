//! Questions that are answered and not kept: may somebody, who is this.

use serde_json::{Value, json};

use super::Row;
use super::metadata::selector_requirement;
use crate::field_error::{At, Errors, Path};
use crate::kind::Strategy;
use crate::meta;

const GROUP: &str = "authorization.k8s.io";

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy { validate: of_anybody, ..Strategy::GENERIC },
        ..Row::new(GROUP, "SubjectAccessReview")
    },
    Row {
        strategy: Strategy { validate: of_oneself, ..Strategy::GENERIC },
        ..Row::new(GROUP, "SelfSubjectAccessReview")
    },
    Row {
        strategy: Strategy { validate: in_a_namespace, ..Strategy::GENERIC },
        ..Row::new(GROUP, "LocalSubjectAccessReview")
    },
];

/// What is wrong with a SubjectAccessReview.
pub fn of_anybody(new: &At<'_>, e: &mut Errors) {
    attributes(new, true, e);
    no_metadata(new, &["managedFields"], "must be empty", e);
}

/// What is wrong with a SelfSubjectAccessReview.
pub fn of_oneself(new: &At<'_>, e: &mut Errors) {
    attributes(new, false, e);
    no_metadata(new, &["managedFields"], "must be empty", e);
}

/// What is wrong with a LocalSubjectAccessReview.
pub fn in_a_namespace(new: &At<'_>, e: &mut Errors) {
    attributes(new, true, e);
    no_metadata(new, &["managedFields", "namespace"], "must be empty except for namespace", e);
    let spec = new.get("spec");
    let own = spec.get("resourceAttributes.namespace");
    if spec.get("resourceAttributes").is_set() && own.str() != new.get("metadata.namespace").str() {
        e.invalid_as(&own.path, own.str(), "must match metadata.namespace");
    }
    let path = spec.get("nonResourceAttributes");
    if path.is_set() {
        e.invalid_as(&path.path, non_resource(&path), "disallowed on this kind of request");
    }
}

fn non_resource(at: &At<'_>) -> Value {
    match at.value {
        Some(_) => json!({"Path": at.get("path").str(), "Verb": at.get("verb").str()}),
        None => Value::Null,
    }
}

fn attributes(review: &At<'_>, of_somebody: bool, e: &mut Errors) {
    let spec = review.get("spec");
    let (resource, other) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
    if resource.is_set() == other.is_set() {
        let says = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        e.invalid_as(&spec.path, non_resource(&other), says);
    }
    if of_somebody && spec.get("user").is_empty() && spec.get("groups").is_empty() {
        e.invalid_as(&spec.get("user").path, "", "at least one of user or group must be specified");
    }
    for (name, labels) in [("fieldSelector", false), ("labelSelector", true)] {
        let at = resource.get(name);
        if !at.is_set() {
            continue;
        }
        let (raw, all) = (at.get("rawSelector"), at.get("requirements"));
        match (raw.is_empty(), all.is_empty()) {
            (false, false) => e.invalid(&raw, "may not specified at the same time as requirements"),
            (true, true) => {
                let says = format!("when {} is specified, requirements or rawSelector is required", at.path);
                e.required(&all.path, says);
            }
            _ => {}
        }
        for requirement in all.items() {
            if labels {
                selector_requirement(&requirement, true, true, e);
            } else {
                field_requirement(&requirement, e);
            }
        }
    }
}

fn field_requirement(at: &At<'_>, e: &mut Errors) {
    let values = at.get("values");
    if at.get("key").is_empty() {
        e.required(&at.get("key").path, "must be specified");
    }
    match at.get("operator").str() {
        "In" | "NotIn" if values.is_empty() => {
            e.required(&values.path, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            e.forbidden(&values.path, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        _ => {}
    }
}

fn no_metadata(review: &At<'_>, allowed: &[&str], says: &str, e: &mut Errors) {
    let at = review.get("metadata");
    let mut rest = at.value.cloned().unwrap_or_default();
    allowed.iter().for_each(|name| meta::remove(&mut rest, name));
    if !meta::same(Some(&rest), None) {
        e.invalid_as(&Path::of("metadata"), at.value.cloned().unwrap_or_default(), says);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::created;
    use super::GROUP;

    #[test]
    fn a_question_is_about_one_thing_and_somebody() {
        let asked = |kind: &str, spec| created(GROUP, kind, json!({"spec": spec})).err().unwrap_or_default();
        assert_eq!(
            asked("SelfSubjectAccessReview", json!({})),
            [
                "spec: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
            ]
        );
        assert_eq!(
            asked("SubjectAccessReview", json!({"nonResourceAttributes": {"path": "/x"}})),
            ["spec.user: Invalid value: \"\": at least one of user or group must be specified"]
        );
        assert_eq!(asked("SelfSubjectAccessReview", json!({"resourceAttributes": {"verb": "get"}})), [""; 0]);
    }
}
