//! What is to be done so that an object of the default policy has at least what it should:
//! rules and subjects are added, those that were added by hand stay, and an object that is
//! annotated `rbac.authorization.kubernetes.io/autoupdate: "false"` is let alone.

use serde_json::{Map, Value, json};

use crate::rbac::Rule;
use api::meta::{self, list_at, str_at};

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is as it should be, or is not to be touched.
    Nothing,
    /// It is missing.
    Create(Value),
    /// It is to be replaced by this, at the resourceVersion it has.
    Update(Value),
    /// It points at another role, which cannot be changed: delete, then create this.
    Recreate(Value),
}

/// Compares a role or binding of the default policy with the one that is there.
pub fn reconcile(existing: Option<&Value>, wanted: &Value) -> Change {
    let Some(existing) = existing else { return Change::Create(wanted.clone()) };
    if meta::annotation(existing, "rbac.authorization.kubernetes.io/autoupdate") == Some("false") {
        return Change::Nothing;
    }
    if wanted.get("roleRef") != existing.get("roleRef") {
        return Change::Recreate(wanted.clone());
    }
    let mut merged = existing.clone();
    for field in ["labels", "annotations"] {
        merge_texts(&mut merged, wanted, field);
    }
    let is_binding = wanted.get("roleRef").is_some();
    if is_binding {
        append(&mut merged, "subjects", missing_subjects(existing, wanted));
    } else {
        append(&mut merged, "rules", missing_rules(existing, wanted));
        merge_aggregation(&mut merged, wanted);
    }
    if merged == *existing { Change::Nothing } else { Change::Update(merged) }
}

/// Adds the wanted labels or annotations; what the object says itself wins.
fn merge_texts(merged: &mut Value, wanted: &Value, field: &str) {
    let wanted = wanted.pointer(&format!("/metadata/{field}")).and_then(Value::as_object);
    let Some(metadata) = merged.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let own = metadata.entry(field).or_insert_with(|| Value::Object(Map::new()));
    if own.is_null() {
        *own = Value::Object(Map::new());
    }
    let Some(own) = own.as_object_mut() else { return };
    for (key, value) in wanted.into_iter().flatten() {
        own.entry(key.clone()).or_insert_with(|| value.clone());
    }
}

fn append(merged: &mut Value, field: &str, more: Vec<Value>) {
    if more.is_empty() {
        return;
    }
    match merged.get_mut(field).and_then(Value::as_array_mut) {
        Some(own) => own.extend(more),
        None => meta::put(merged, field, more),
    }
}

fn missing_subjects(existing: &Value, wanted: &Value) -> Vec<Value> {
    let parts = |subject: &Value| {
        ["kind", "apiGroup", "name", "namespace"].map(|field| str_at(subject, field).to_owned())
    };
    let own: Vec<_> = list_at(existing, "subjects").iter().map(parts).collect();
    list_at(wanted, "subjects").iter().filter(|subject| !own.contains(&parts(subject))).cloned().collect()
}

/// The wanted rules that are not covered, each broken down to one verb on one resource.
fn missing_rules(existing: &Value, wanted: &Value) -> Vec<Value> {
    let own: Vec<Rule> = list_at(existing, "rules").iter().map(Rule::from_value).collect();
    let atoms = list_at(wanted, "rules").iter().flat_map(|rule| Rule::from_value(rule).atoms());
    let missing = atoms.filter(|atom| !own.iter().any(|rule| rule.covers(atom)));
    missing.map(|atom| atom.to_value()).collect()
}

/// Adds missing selectors; removes an aggregation that should not be.
fn merge_aggregation(merged: &mut Value, wanted: &Value) {
    let Some(role) = merged.as_object_mut() else { return };
    let Some(wanted) = wanted.get("aggregationRule") else {
        role.shift_remove("aggregationRule");
        return;
    };
    let own =
        role.get("aggregationRule").map(|rule| list_at(rule, "clusterRoleSelectors")).unwrap_or_default();
    let wanted = list_at(wanted, "clusterRoleSelectors");
    let missing: Vec<Value> = wanted.iter().filter(|selector| !own.contains(selector)).cloned().collect();
    if !missing.is_empty() {
        let all: Vec<Value> = own.iter().cloned().chain(missing).collect();
        role.insert("aggregationRule".to_owned(), json!({"clusterRoleSelectors": all}));
    }
}
