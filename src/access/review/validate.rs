//! What may be asked in an access review, with upstream's words for what may not.

use api::field_error::{At, Errors, Path};
use api::names::{label_key, label_value};
use serde_json::{Value, json};

pub(super) const OTHER_NAMESPACE: &str =
    "the namespace of the provided object does not match the namespace sent on the request";

const ONE_OF: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
const BOTH: &str = "may not specified at the same time as requirements";

/// SubjectAccessReview.
pub(super) fn subject(review: &Value) -> Result<(), Errors> {
    let mut errors = spec(review, true);
    metadata(review, &[], "must be empty", &mut errors);
    done(errors)
}

/// SelfSubjectAccessReview.
pub(super) fn own(review: &Value) -> Result<(), Errors> {
    let mut errors = spec(review, false);
    metadata(review, &[], "must be empty", &mut errors);
    done(errors)
}

/// LocalSubjectAccessReview, its namespace filled in.
pub(super) fn local(review: &Value) -> Result<(), Errors> {
    let mut errors = spec(review, true);
    metadata(review, &["namespace"], "must be empty except for namespace", &mut errors);
    let root = At::root(review);
    let resource = root.get("spec.resourceAttributes");
    let namespace = resource.get("namespace");
    if resource.is_set() && namespace.str() != root.get("metadata.namespace").str() {
        errors.invalid_as(&namespace.path, namespace.str(), "must match metadata.namespace");
    }
    let path = root.get("spec.nonResourceAttributes");
    if path.is_set() {
        errors.invalid_as(&path.path, non_resource(review), "disallowed on this kind of request");
    }
    done(errors)
}

fn done(errors: Errors) -> Result<(), Errors> {
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn spec(review: &Value, of_somebody: bool) -> Errors {
    let mut errors = Errors::new();
    let root = At::root(review);
    let (resource, path) = (root.get("spec.resourceAttributes"), root.get("spec.nonResourceAttributes"));
    if resource.is_set() == path.is_set() {
        errors.invalid_as(&Path::of("spec"), non_resource(review), ONE_OF);
    }
    let (user, groups) = (root.get("spec.user"), root.get("spec.groups"));
    if of_somebody && user.str().is_empty() && groups.is_empty() {
        errors.invalid_as(&user.path, "", "at least one of user or group must be specified");
    }
    if resource.is_set() {
        field_selector(&resource.get("fieldSelector"), &mut errors);
        label_selector(&resource.get("labelSelector"), &mut errors);
    }
    errors
}

/// The non-resource attributes as upstream prints them.
fn non_resource(review: &Value) -> Value {
    let at = At::root(review).get("spec.nonResourceAttributes");
    if !at.is_set() {
        return Value::Null;
    }
    json!({"Path": at.get("path").str(), "Verb": at.get("verb").str()})
}

/// Nothing but these fields, and who wrote it, may be in the metadata.
fn metadata(review: &Value, allowed: &[&str], why: &str, errors: &mut Errors) {
    let Some(metadata) = review.get("metadata").and_then(Value::as_object) else { return };
    let empty = |value: &Value| value.is_null() || value == "" || value == &json!({}) || value == &json!([]);
    let mut others = metadata.iter().filter(|(name, value)| {
        !allowed.contains(&name.as_str()) && *name != "managedFields" && !empty(value)
    });
    if others.next().is_some() {
        errors.invalid_as(&Path::of("metadata"), review["metadata"].clone(), why);
    }
}

fn forms(selector: &At, errors: &mut Errors) {
    let (raw, requirements) = (selector.get("rawSelector"), selector.get("requirements"));
    match (raw.str().is_empty(), requirements.is_empty()) {
        (false, false) => errors.invalid(&raw, BOTH),
        (true, true) => {
            let told =
                format!("when {} is specified, requirements or rawSelector is required", selector.path);
            errors.required(&requirements.path, told);
        }
        _ => {}
    }
}

fn values(requirement: &At, errors: &mut Errors) {
    let values = requirement.get("values");
    match requirement.get("operator").str() {
        "In" | "NotIn" if values.is_empty() => {
            errors.required(&values.path, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.forbidden(
                &values.path,
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            );
        }
        // Newer clients may know operators that are not known here.
        _ => {}
    }
}

fn field_selector(selector: &At, errors: &mut Errors) {
    if !selector.is_set() {
        return;
    }
    forms(selector, errors);
    for requirement in selector.get("requirements").items() {
        let key = requirement.get("key");
        if key.str().is_empty() {
            errors.required(&key.path, "must be specified");
        }
        values(&requirement, errors);
    }
}

fn label_selector(selector: &At, errors: &mut Errors) {
    if !selector.is_set() {
        return;
    }
    forms(selector, errors);
    for requirement in selector.get("requirements").items() {
        values(&requirement, errors);
        let key = requirement.get("key");
        for wrong in label_key(key.str()) {
            errors.invalid_as(&key.path, key.str(), wrong);
        }
        for value in requirement.get("values").items() {
            errors.invalid_each(&value, label_value(value.str()));
        }
    }
}
