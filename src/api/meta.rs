//! Reading and writing an object's metadata, and the little that every kind does with a tree.

use serde_json::{Map, Value};

/// The finalizer of `propagationPolicy: Orphan`.
pub const ORPHAN: &str = "orphan";
/// The finalizer of `propagationPolicy: Foreground`.
pub const FOREGROUND: &str = "foregroundDeletion";

fn field<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.get("metadata")?.get(name).filter(|v| !v.is_null())
}

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    field(object, name).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`, or "".
#[must_use]
pub fn name(object: &Value) -> &str {
    text(object, "name")
}

/// `metadata.generateName`, or "".
#[must_use]
pub fn generate_name(object: &Value) -> &str {
    text(object, "generateName")
}

/// `metadata.namespace`, or "".
#[must_use]
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// `metadata.uid`, or "".
#[must_use]
pub fn uid(object: &Value) -> &str {
    text(object, "uid")
}

/// `metadata.resourceVersion`, or "".
#[must_use]
pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}

/// `metadata.creationTimestamp`, or "".
#[must_use]
pub fn creation_timestamp(object: &Value) -> &str {
    text(object, "creationTimestamp")
}

/// `metadata.deletionTimestamp`: whether, and when, it is to go.
#[must_use]
pub fn deletion_timestamp(object: &Value) -> Option<&str> {
    field(object, "deletionTimestamp").and_then(Value::as_str)
}

/// `metadata.deletionGracePeriodSeconds`.
#[must_use]
pub fn deletion_grace(object: &Value) -> Option<i64> {
    field(object, "deletionGracePeriodSeconds").and_then(Value::as_i64)
}

/// `metadata.generation`, or 0.
#[must_use]
pub fn generation(object: &Value) -> i64 {
    field(object, "generation").and_then(Value::as_i64).unwrap_or_default()
}

fn pairs<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let map = field(object, name).and_then(Value::as_object);
    map.into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// `metadata.labels`.
pub fn labels(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    pairs(object, "labels")
}

/// One label.
#[must_use]
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    field(object, "labels")?.get(key)?.as_str()
}

/// `metadata.annotations`.
pub fn annotations(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    pairs(object, "annotations")
}

/// One annotation.
#[must_use]
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    field(object, "annotations")?.get(key)?.as_str()
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    let list = field(object, "finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

/// `metadata.ownerReferences`.
#[must_use]
pub fn owner_references(object: &Value) -> &[Value] {
    field(object, "ownerReferences").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The owner that manages it.
#[must_use]
pub fn controller(object: &Value) -> Option<&Value> {
    owner_references(object).iter().find(|owner| owner["controller"] == true)
}

/// An object's fields; what is no object becomes an empty one.
pub fn fields(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was just made an object"),
    }
}

/// The value at a dotted path, made (with objects on the way) where it is absent.
pub fn entry<'a>(object: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').fold(object, |at, name| fields(at).entry(name).or_insert(Value::Null))
}

/// The value at a dotted path, unless absent or null.
#[must_use]
pub fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |at, name| at.get(name)).filter(|v| !v.is_null())
}

/// The value at a dotted path, to change it; nothing is made.
pub fn at_mut<'a>(object: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    path.split('.').try_fold(object, |at, name| at.get_mut(name)).filter(|v| !v.is_null())
}

/// The text at a dotted path, or "".
#[must_use]
pub fn str_at<'a>(object: &'a Value, path: &str) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

/// The number at a dotted path, or 0.
#[must_use]
pub fn int_at(object: &Value, path: &str) -> i64 {
    at(object, path).and_then(Value::as_i64).unwrap_or_default()
}

/// The list at a dotted path, or no items.
#[must_use]
pub fn list_at<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    at(object, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Puts a value at a dotted path.
pub fn put(object: &mut Value, path: &str, value: impl Into<Value>) {
    *entry(object, path) = value.into();
}

/// Puts a value at a dotted path where nothing is.
pub fn put_default(object: &mut Value, path: &str, value: impl Into<Value>) {
    let at = entry(object, path);
    if at.is_null() {
        *at = value.into();
    }
}

/// Removes what is at a dotted path.
pub fn remove(object: &mut Value, path: &str) {
    let (above, name) = path.rsplit_once('.').unwrap_or(("", path));
    let above = if above.is_empty() { Some(object) } else { at_mut(object, above) };
    if let Some(Value::Object(map)) = above {
        map.shift_remove(name);
    }
}

/// Makes the value at a dotted path what it is in `other`, absence included.
pub fn restore(object: &mut Value, other: &Value, path: &str) {
    match at(other, path) {
        Some(value) => put(object, path, value.clone()),
        None => remove(object, path),
    }
}

/// Whether two trees mean the same: absent, null, and an empty list or map are one, as for
/// upstream's semantic equality.
#[must_use]
pub fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a.filter(|v| !nothing(v)), b.filter(|v| !nothing(v))) {
        (None, None) => true,
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            a.iter().all(|(key, value)| same(Some(value), b.get(key)))
                && b.iter().all(|(key, value)| a.contains_key(key) || nothing(value))
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(Some(a), Some(b)))
        }
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

fn nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(nothing),
        _ => false,
    }
}

/// Whether two objects mean the same at a dotted path.
#[must_use]
pub fn same_at(a: &Value, b: &Value, path: &str) -> bool {
    same(at(a, path), at(b, path))
}

/// Empties what only the server may fill, before an object is created.
pub fn wipe_system_fields(object: &mut Value) {
    for name in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        remove(object, &format!("metadata.{name}"));
    }
}

/// Fills what every object has: who it is and since when (RFC 3339, whole seconds, UTC).
pub fn fill_system_fields(object: &mut Value, uid: &str, now: &str) {
    put(object, "metadata.uid", uid);
    put(object, "metadata.creationTimestamp", now);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_null_and_empty_are_the_same() {
        assert!(same(Some(&json!({"a": null, "b": {}, "c": [], "d": {"e": null}})), Some(&json!({}))));
        assert!(same(None, Some(&json!({}))));
        assert!(!same(Some(&json!({"a": 0})), Some(&json!({}))));
        assert!(!same(Some(&json!([1, 2])), Some(&json!([2, 1]))));
    }

    #[test]
    fn paths_are_made_removed_and_restored() {
        let mut object = json!({"spec": {"a": 1}});
        put(&mut object, "metadata.labels.x", "y");
        remove(&mut object, "spec.a");
        remove(&mut object, "status.nothing.here");
        restore(&mut object, &json!({"status": {"phase": "Active"}}), "status");
        assert_eq!(
            object,
            json!({"spec": {}, "metadata": {"labels": {"x": "y"}}, "status": {"phase": "Active"}})
        );
        restore(&mut object, &json!({}), "status");
        assert_eq!(at(&object, "status"), None);
    }
}
