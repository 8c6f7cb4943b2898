//! Rules of ObjectMeta, the same for every kind but for the form of names.

use serde_json::Value;

use crate::field_error::{At, Errors, Path, quote};
use crate::meta;
use crate::names::{self, NameRule, dns1123_label, label_key, label_value, path_rule};

const ANNOTATIONS_AT_MOST: usize = 256 * 1024;
const IMMUTABLE: &str = "field is immutable";

/// What is wrong with new metadata (`metadata` below `at`), by the kind's rule for names.
pub fn validate(at: &At<'_>, namespaced: bool, rule: NameRule, e: &mut Errors) {
    let (name, prefix) = (at.get("name"), at.get("generateName"));
    if !prefix.is_empty() {
        e.invalid_each(&prefix, rule(prefix.str(), true));
    }
    if name.is_empty() {
        e.required(&name.path, "name or generateName is required");
    } else {
        e.invalid_each(&name, rule(name.str(), false));
    }
    let namespace = at.get("namespace");
    match (namespaced, namespace.is_empty()) {
        (true, true) => e.required(&namespace.path, ""),
        (true, false) => e.invalid_each(&namespace, dns1123_label(namespace.str())),
        (false, false) => e.forbidden(&namespace.path, "not allowed on this type"),
        (false, true) => {}
    }
    not_negative(&at.get("generation"), e);
    labels(&at.get("labels"), e);
    annotations(&at.get("annotations"), e);
    owners(&at.get("ownerReferences"), e);
    finalizers(&at.get("finalizers"), e);
    managed_fields(&at.get("managedFields"), e);
}

/// What is wrong with changed metadata, beside what would be wrong with new.
pub fn validate_update(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    if old.get("deletionTimestamp").is_set() {
        no_new_finalizers(&new.get("finalizers"), &old.get("finalizers"), e);
    }
    let version = new.get("resourceVersion");
    if version.is_empty() {
        e.invalid(&version, "must be specified for an update");
    }
    let generation = new.get("generation");
    not_negative(&generation, e);
    if generation.int() < old.get("generation").int() {
        e.invalid(&generation, "must not be decremented");
    }
    for name in ["name", "namespace", "uid", "creationTimestamp"] {
        immutable(&new.get(name), &old.get(name), e);
    }
    for name in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, old) = (new.get(name), old.get(name));
        if new.value != old.value {
            e.invalid_as(&new.path, new.value.cloned().unwrap_or(Value::Null), IMMUTABLE);
        }
    }
    labels(&new.get("labels"), e);
    annotations(&new.get("annotations"), e);
    owners(&new.get("ownerReferences"), e);
    managed_fields(&new.get("managedFields"), e);
}

/// A number that may not be below 0.
pub fn not_negative(at: &At<'_>, e: &mut Errors) {
    if at.int() < 0 {
        e.invalid(at, "must be greater than or equal to 0");
    }
}

/// A field that may not change, by upstream's semantic equality.
pub fn immutable(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    if !meta::same(new.value, old.value) {
        e.invalid(new, IMMUTABLE);
    }
}

/// A map of labels.
pub fn labels(at: &At<'_>, e: &mut Errors) {
    for (key, value) in at.entries() {
        for wrong in label_key(key) {
            e.invalid_as(&at.path, key, wrong);
        }
        for wrong in label_value(value.str()) {
            e.invalid_as(&at.path, value.str(), wrong);
        }
    }
}

/// A map of annotations.
pub fn annotations(at: &At<'_>, e: &mut Errors) {
    let mut size = 0;
    for (key, value) in at.entries() {
        size += key.len() + value.str().len();
        for wrong in label_key(&key.to_lowercase()) {
            e.invalid_as(&at.path, key, wrong);
        }
    }
    if size > ANNOTATIONS_AT_MOST {
        e.too_long(&at.path, ANNOTATIONS_AT_MOST);
    }
}

fn owners(at: &At<'_>, e: &mut Errors) {
    let mut manager: Option<String> = None;
    for owner in at.items() {
        let version = owner.get("apiVersion");
        let slashes = version.str().matches('/').count();
        if version.is_empty() {
            e.required(&version.path, "must not be empty");
        } else if slashes > 1 || version.str().ends_with('/') {
            e.invalid(&version, "must be <group>/<version> or <version>");
        }
        for name in ["kind", "name", "uid"] {
            let at = owner.get(name);
            if at.is_empty() {
                e.required(&at.path, "must not be empty");
            }
        }
        let (kind, name) = (owner.get("kind").str(), owner.get("name").str());
        if version.is("v1") && kind == "Event" {
            e.invalid(&owner, "/v1, Kind=Event is disallowed from being an owner");
        }
        if owner.get("controller").bool() {
            let this = format!("{kind}/{name}");
            match &manager {
                Some(first) => e.invalid(at, format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}")),
                None => manager = Some(this),
            }
        }
    }
}

/// A list of finalizers.
pub fn finalizers(at: &At<'_>, e: &mut Errors) {
    let has = |name| at.items().any(|item| item.is(name));
    for item in at.items() {
        for wrong in label_key(item.str()) {
            e.invalid_as(&at.path, item.str(), wrong);
        }
    }
    if has(meta::ORPHAN) && has(meta::FOREGROUND) {
        let says = format!("finalizer {} and {} cannot be both set", meta::ORPHAN, meta::FOREGROUND);
        e.invalid(at, says);
    }
}

/// A finalizer without a domain must be one of Kubernetes' own.
pub fn standard_finalizer(at: &At<'_>, e: &mut Errors) {
    let own = ["kubernetes", meta::ORPHAN, meta::FOREGROUND];
    if !at.str().contains('/') && !own.contains(&at.str()) {
        e.invalid(at, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

fn no_new_finalizers(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    let is_old = |item: &At<'_>| old.items().any(|o| o.str() == item.str());
    let mut extra: Vec<String> =
        new.items().filter(|item| !is_old(item)).map(|item| quote(item.str())).collect();
    extra.sort();
    extra.dedup();
    if !extra.is_empty() {
        e.forbidden(&new.path, format!("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}", extra.join(", ")));
    }
}

fn managed_fields(at: &At<'_>, e: &mut Errors) {
    for entry in at.items() {
        let operation = entry.get("operation");
        if operation.is_empty() {
            e.required(&operation.path, "must not be empty");
        } else {
            e.one_of(&operation, &["Apply", "Update"]);
        }
        let kind = entry.get("fieldsType");
        if !kind.is_empty() && !kind.is("FieldsV1") {
            e.invalid(&kind, "must be `FieldsV1`");
        }
        field_manager(entry.get("manager").str(), &entry.get("manager").path, e);
        if entry.get("subresource").str().len() > 256 {
            e.too_long(&entry.get("subresource").path, 256);
        }
    }
}

/// The name of a field manager, in an object or an option.
pub fn field_manager(name: &str, path: &Path, e: &mut Errors) {
    if name.len() > 128 {
        e.too_long(path, 128);
    }
    for (at, c) in name.char_indices() {
        if c.is_control() {
            let says = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
            e.invalid_as(path, name, says);
        }
    }
}

/// A LabelSelector. Values of a changed object that were wrong before may stay so.
pub fn selector(at: &At<'_>, values_too: bool, e: &mut Errors) {
    labels(&at.get("matchLabels"), e);
    for requirement in at.get("matchExpressions").items() {
        selector_requirement(&requirement, values_too, false, e);
    }
}

/// One requirement of a selector; where reviews ask, operators may be unknown.
pub fn selector_requirement(at: &At<'_>, values_too: bool, any_operator: bool, e: &mut Errors) {
    let values = at.get("values");
    match at.get("operator").str() {
        "In" | "NotIn" if values.is_empty() => {
            e.required(&values.path, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            e.forbidden(&values.path, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ if any_operator => {}
        _ => e.invalid(&at.get("operator"), "not a valid selector operator"),
    }
    let key = at.get("key");
    e.invalid_each(&key, label_key(key.str()));
    if values_too {
        for value in values.items() {
            e.invalid_each(&value, label_value(value.str()));
        }
    }
}

/// A list of metav1.Condition.
pub fn conditions(at: &At<'_>, e: &mut Errors) {
    let mut seen = std::collections::BTreeSet::new();
    for condition in at.items() {
        let kind = condition.get("type");
        if !seen.insert(kind.str()) {
            e.duplicate(&condition.path, kind.str());
        }
        if kind.is_empty() {
            e.required(&kind.path, "is required");
        } else {
            e.invalid_each(&kind, label_key(kind.str()));
        }
        let status = condition.get("status");
        if status.is_empty() {
            e.required(&status.path, "");
        } else {
            e.one_of(&status, &["False", "True", "Unknown"]);
        }
        let generation = condition.get("observedGeneration");
        if generation.int() < 0 {
            e.invalid(&generation, "must be greater than or equal to zero");
        }
        if condition.get("lastTransitionTime").is_empty() {
            e.required(&condition.get("lastTransitionTime").path, "");
        }
        let reason = condition.get("reason");
        if reason.is_empty() {
            e.required(&reason.path, "");
        } else {
            e.invalid_each(&reason, names::condition_reason(reason.str()));
            if reason.str().len() > 1024 {
                e.too_long(&reason.path, 1024);
            }
        }
        if condition.get("message").str().len() > 32 * 1024 {
            e.too_long(&condition.get("message").path, 32 * 1024);
        }
    }
}

/// The rule of metadata that holds for all kinds on update, where names were checked before.
pub fn validate_common(new: &At<'_>, old: &At<'_>, namespaced: bool, e: &mut Errors) {
    validate(new, namespaced, path_rule, e);
    validate_update(new, old, e);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::names::subdomain_rule;

    fn create(metadata: Value) -> Vec<String> {
        let (object, mut e) = (json!({"metadata": metadata}), Errors::new());
        validate(&At::root(&object).get("metadata"), true, subdomain_rule, &mut e);
        e.lines()
    }

    #[test]
    fn metadata_is_refused_for_what_is_wrong_with_it() {
        let table = [
            ("fine", json!({"name": "a", "namespace": "b"}), vec![]),
            (
                "no name",
                json!({"namespace": "b"}),
                vec!["metadata.name: Required value: name or generateName is required"],
            ),
            ("no namespace", json!({"name": "a"}), vec!["metadata.namespace: Required value"]),
            (
                "an owner without anything",
                json!({"name": "a", "namespace": "b", "ownerReferences": [{}]}),
                vec![
                    "metadata.ownerReferences[0].apiVersion: Required value: must not be empty",
                    "metadata.ownerReferences[0].kind: Required value: must not be empty",
                    "metadata.ownerReferences[0].name: Required value: must not be empty",
                    "metadata.ownerReferences[0].uid: Required value: must not be empty",
                ],
            ),
            (
                "a finalizer without a form",
                json!({"name": "a", "namespace": "b", "finalizers": ["orphan", "foregroundDeletion"]}),
                vec![
                    "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set",
                ],
            ),
            (
                "a label's value",
                json!({"name": "a", "namespace": "b", "labels": {"x": "a b"}}),
                vec![
                    "metadata.labels: Invalid value: \"a b\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
                ],
            ),
            (
                "annotations beyond 256 KiB",
                json!({"name": "a", "namespace": "b", "annotations": {"x": "a".repeat(262_144)}}),
                vec!["metadata.annotations: Too long: may not be more than 262144 bytes"],
            ),
        ];
        for (why, metadata, wrong) in table {
            assert_eq!(create(metadata), wrong, "{why}");
        }
    }

    #[test]
    fn an_update_keeps_who_the_object_is() {
        let old = json!({"metadata": {"name": "a", "uid": "1", "generation": 3, "finalizers": ["x/y"], "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        let new = json!({"metadata": {"name": "b", "uid": "2", "generation": 2, "finalizers": ["x/z", "x/y"], "deletionTimestamp": "2026-01-01T00:00:00Z"}});
        let mut e = Errors::new();
        validate_update(&At::root(&new).get("metadata"), &At::root(&old).get("metadata"), &mut e);
        assert_eq!(
            e.lines(),
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x/z\"}",
                "metadata.resourceVersion: Invalid value: \"\": must be specified for an update",
                "metadata.generation: Invalid value: 2: must not be decremented",
                "metadata.name: Invalid value: \"b\": field is immutable",
                "metadata.uid: Invalid value: \"2\": field is immutable",
            ]
        );
    }
}
