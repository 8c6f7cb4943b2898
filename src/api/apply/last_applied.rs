//! The annotation in which kubectl kept what it applied before the server did: who comes
//! from there keeps the fields, and the annotation stays true for who goes back.

use serde_json::{Map, Value};

use super::Target;
use super::collect::said;
use super::compare::compare;
use super::set::FieldSet;
use super::shape::Shape;
use super::validate::validate;
use crate::field_error::go_json;
use crate::meta;

/// The manager for whom this is done.
pub(super) const KUBECTL: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Most bytes of all annotations together.
const MOST_BYTES: usize = 256 * 1024;

/// Fields that the annotation shows to be kubectl's: the live object has the values in it.
/// Nothing where there is no annotation that can be used.
pub(super) fn allowed(target: &Target<'_>, live: &Value) -> Option<FieldSet> {
    let text = meta::annotation(live, ANNOTATION).filter(|text| !text.is_empty())?;
    let applied: Value = serde_json::from_str(text).ok()?;
    if meta::str_at(&applied, "apiVersion") != target.api_version {
        return None;
    }
    let shape = Shape::of_object(target.schema, target.ty);
    validate(target.schema, shape, &applied).ok()?;
    let mut set = said(target.schema, shape, &applied).ok()?;
    let different = compare(target.schema, shape, &applied, live).ok()?;
    set.subtract(&different.modified);
    set.subtract(&different.added);
    set.subtract(&different.removed);
    Some(set)
}

/// Writes what was applied into the annotation, where the object has it.
pub(super) fn renew(object: &mut Value, config: &Value) {
    if meta::annotation(object, ANNOTATION).is_none_or(str::is_empty) {
        return;
    }
    let mut config = config.clone();
    if let Some(Value::Object(annotations)) = config.pointer_mut("/metadata/annotations") {
        annotations.shift_remove(ANNOTATION);
    }
    let text = format!("{}\n", go_json(&sorted(config)));
    let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") else { return };
    annotations.insert(ANNOTATION.into(), text.into());
    let bytes: usize =
        annotations.iter().map(|(name, it)| name.len() + it.as_str().map_or(0, str::len)).sum();
    if bytes > MOST_BYTES {
        annotations.shift_remove(ANNOTATION);
    }
}

/// Members by name, as Go prints maps.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(Map::from_iter(members))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}
