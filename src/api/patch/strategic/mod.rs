//! Strategic merge patch: a merge patch that knows which lists are merged, by which key, and
//! takes orders (`$patch`, `$retainKeys`, `$deleteFromPrimitiveList/…`, `$setElementOrder/…`).
//!
//! Objects are merged here, lists in [`list`]; [`scope`] tells which field of the schema is
//! meant. Upstream's quirks are kept where clients see them: what is put in the place of
//! something else keeps its orders or loses them, as there. Not for custom resources, which
//! answer 415.

mod list;
mod scope;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{PatchError, words};
use crate::schema::{Schema, Type, TypeId};
use list::Lists;
use scope::Scope;

/// Says what to do with the object that it is in.
const PATCH: &str = "$patch";
/// Lists the only keys that may stay.
const RETAIN: &str = "$retainKeys";
/// Before a field's name: scalars to take out of its list.
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
/// Before a field's name: the order of its list.
const ORDER: &str = "$setElementOrder";

/// Applies a strategic merge patch to a document of type `ty`, which must be in canonical
/// form (as it is served).
///
/// # Errors
/// [`PatchError::BadRequest`] for a patch that is no object or an order of the wrong shape,
/// [`PatchError::Unprocessable`] for lists of lists, [`PatchError::Internal`] (upstream
/// answers 500) for fields the schema does not have and items without their merge key.
pub fn strategic(schema: &Schema, ty: TypeId, document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let patch = match patch {
        Value::Object(patch) => patch.clone(),
        Value::Null => Map::new(),
        other => {
            return Err(PatchError::BadRequest(format!(
                "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                words::json_name(other)
            )));
        }
    };
    let document = document.as_object().cloned().unwrap_or_default();
    let scope = Scope::of(schema, &Type::Object(ty), None);
    Merge { schema }.objects(document, patch, scope).map(Value::Object)
}

/// The patch as upstream prints it in the message of what could not be decoded afterwards.
#[must_use]
pub fn printed(patch: &Value) -> String {
    words::plain(patch)
}

/// A merge under way.
#[derive(Clone, Copy)]
struct Merge<'s> {
    schema: &'s Schema,
}

impl<'s> Merge<'s> {
    fn objects(
        self,
        mut original: Map<String, Value>,
        mut patch: Map<String, Value>,
        scope: Scope<'s>,
    ) -> Result<Map<String, Value>, PatchError> {
        match patch.get(PATCH) {
            Some(Value::String(order)) if order == "replace" => {
                patch.shift_remove(PATCH);
                return Ok(patch);
            }
            Some(Value::String(order)) if order == "delete" => return Ok(Map::new()),
            Some(order) => return Err(unknown_order(order, &patch)),
            None => {}
        }
        retain_keys(&mut original, &mut patch)?;
        self.ordered_lists(&mut original, &mut patch, scope)?;
        for (name, value) in patch {
            self.member(&mut original, &name, value, scope)?;
        }
        Ok(original)
    }

    fn member(
        self,
        original: &mut Map<String, Value>,
        name: &str,
        value: Value,
        scope: Scope<'s>,
    ) -> Result<(), PatchError> {
        let (name, deletes) = if name.starts_with(DELETE_FROM) {
            let name = after(name, DELETE_FROM);
            (name.ok_or_else(|| bad_request("invalid patch format of primitive list"))?, true)
        } else {
            (name, false)
        };
        if value.is_null() {
            original.shift_remove(name);
            return Ok(());
        }
        let Some(current) = original.get_mut(name) else {
            if !deletes {
                put(original, name, value);
            }
            return Ok(());
        };
        match (std::mem::take(current), value) {
            (Value::Object(old), Value::Object(new)) => {
                let field = scope.field(name)?;
                let inner = Scope::of(self.schema, &field.ty, Some(field));
                *current =
                    Value::Object(if field.patch.replace { new } else { self.objects(old, new, inner)? });
            }
            (Value::Array(old), Value::Array(new)) => {
                let lists = Lists::at(self, scope, name)?;
                *current =
                    Value::Array(if lists.merge || deletes { lists.merged(old, new, deletes)? } else { new });
            }
            (old, _) if deletes => *current = old,
            (_, value) => put(original, name, value),
        }
        Ok(())
    }

    /// Carries out `$setElementOrder/…`, together with the list it orders, and takes both
    /// out of the patch.
    fn ordered_lists(
        self,
        original: &mut Map<String, Value>,
        patch: &mut Map<String, Value>,
        scope: Scope<'s>,
    ) -> Result<(), PatchError> {
        let orders: Vec<String> = patch.keys().filter(|name| name.starts_with(ORDER)).cloned().collect();
        for order_name in orders {
            let order = array(patch.shift_remove(&order_name).unwrap_or_default())?;
            let name = after(&order_name, ORDER)
                .ok_or_else(|| bad_request("invalid patch format of setElementOrder list"))?;
            let current = original.get(name).cloned().map(array).transpose()?;
            let change = patch.get(name).cloned().map(array).transpose()?;
            let lists = Lists::at(self, scope, name)?;
            list::check_order(change.as_deref().unwrap_or_default(), &order, lists.key)?;
            let mut stood = current.clone().unwrap_or_default();
            let merged = match (current.as_ref(), &change) {
                (Some(current), None) => current.clone(),
                (None, Some(change)) => change.iter().cloned().filter_map(without_orders).collect(),
                (Some(current), Some(change)) if lists.merge => {
                    let (merged, left) = lists.merged_in_place(current.clone(), change.clone(), false)?;
                    stood = left;
                    merged
                }
                (Some(_), Some(change)) => change.clone(),
                (None, None) => continue,
            };
            let both = [current.unwrap_or_default(), change.unwrap_or_default()];
            let sorted = lists.in_order(merged, &stood, &both, &order)?;
            original.insert(name.to_owned(), Value::Array(sorted));
            patch.shift_remove(name);
        }
        Ok(())
    }
}

/// Puts a value where nothing, or something of another kind, was.
fn put(original: &mut Map<String, Value>, name: &str, mut value: Value) {
    drop_nulls(&mut value);
    match without_orders(value) {
        Some(value) => {
            original.insert(name.to_owned(), value);
        }
        None => {
            original.shift_remove(name);
        }
    }
}

/// Removes null members at every depth; items of lists stay.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Drops objects that carry `$patch`, at every depth; nothing if this is one.
fn without_orders(value: Value) -> Option<Value> {
    match value {
        Value::Object(members) if members.contains_key(PATCH) => None,
        Value::Object(members) => {
            let kept = members.into_iter().filter_map(|(name, value)| Some((name, without_orders(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_orders).collect())),
        scalar => Some(scalar),
    }
}

/// Carries out `$retainKeys`: every other key goes, and the patch may name no other.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), PatchError> {
    let bad = || bad_request("invalid patch format of retainKeys");
    let Some(keys) = patch.shift_remove(RETAIN) else { return Ok(()) };
    let Value::Array(keys) = keys else { return Err(bad()) };
    let keys: BTreeSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    for (name, value) in patch.iter() {
        let order = name.starts_with(DELETE_FROM) || name.starts_with(ORDER);
        if !value.is_null() && !order && !keys.contains(name.as_str()) {
            return Err(bad());
        }
    }
    original.retain(|name, _| keys.contains(name.as_str()));
    Ok(())
}

/// The field that an order before the slash is about.
fn after<'n>(name: &'n str, order: &str) -> Option<&'n str> {
    name.split_once('/').and_then(|(before, field)| (before == order).then_some(field))
}

fn array(value: Value) -> Result<Vec<Value>, PatchError> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(bad_type("[]interface {}", &other)),
    }
}

fn bad_type(expected: &str, value: &Value) -> PatchError {
    PatchError::Internal(format!("expected a {expected}, but received a {}", words::type_name(value)))
}

fn bad_request(message: &str) -> PatchError {
    PatchError::BadRequest(message.into())
}

fn unknown_order(order: &Value, patch: &Map<String, Value>) -> PatchError {
    let order = match order {
        Value::String(order) => order.clone(),
        Value::Null => "%!s(<nil>)".into(),
        other => format!("%!s({}={})", words::type_name(other), words::plain(other)),
    };
    let patch = words::plain(&Value::Object(patch.clone()));
    PatchError::Internal(format!("unknown patch type: {order} in map: {patch}"))
}
