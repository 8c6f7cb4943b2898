//! The canonical form of an object: what upstream's server prints after it has read the object
//! into Go's structs, stored it and read it back.
//!
//! Fields come in Go's order; empty ones are left out, or printed where Go prints them anyway;
//! maps are sorted; quantities, times and durations have one text. [`normalise`] is idempotent.
//! [`write`] is Go's JSON, with its escapes and its floating point.
//!
//! Built-in kinds are stored as protobuf upstream, which does not tell an empty list from none:
//! where Go always prints a list, an empty one is `null`. Custom resources and the kinds that
//! describe them are stored as JSON and keep the difference.

use serde_json::{Map, Value};

use crate::decode::{canonical, zero};
use crate::schema::{Field, Object, Omit, Scalar, Schema, Type, TypeId};

mod print;

pub use print::{to_vec, write};

/// Brings an object of a type into canonical form. Values of other types than the schema's are
/// left as they are: decoding refuses them.
pub fn normalise(schema: &Schema, ty: TypeId, value: &mut Value) {
    if let Value::Object(map) = value {
        object(schema, ty, map);
        if schema.structural() {
            value.sort_all_objects();
        }
    }
}

fn object(schema: &Schema, ty: TypeId, map: &mut Map<String, Value>) {
    let object = schema.object(ty);
    if !settle(schema, object, map) {
        rebuild(schema, object, map);
    }
}

/// Normalises the values in place; true where the fields need nothing more.
fn settle(schema: &Schema, object: &Object, map: &mut Map<String, Value>) -> bool {
    let (mut right, mut last, mut shown) = (true, None, 0);
    for (name, value) in map.iter_mut() {
        let Some(at) = object.position(name) else {
            right &= object.preserve_unknown;
            continue;
        };
        let field = &object.fields[at];
        value_of(schema, &field.ty, value);
        right &= Some(at) > last && !is_left_out(object, field, value);
        shown += usize::from(field.is_shown());
        last = Some(at);
    }
    right && (shown == object.shown().len() || schema.structural())
}

/// Puts fields in order, without those that are left out, with those that are always shown.
fn rebuild(schema: &Schema, object: &Object, map: &mut Map<String, Value>) {
    let mut entries: Vec<(usize, String, Value)> = Vec::with_capacity(map.len() + object.shown().len());
    for (name, value) in std::mem::take(map) {
        match object.position(&name) {
            Some(at) if !is_left_out(object, &object.fields[at], &value) => entries.push((at, name, value)),
            None if object.preserve_unknown => entries.push((usize::MAX, name, value)),
            _ => {}
        }
    }
    entries.sort_by_key(|(at, ..)| *at);
    if !schema.structural() {
        for at in object.shown() {
            if let Err(place) = entries.binary_search_by_key(&at, |(at, ..)| *at) {
                let field = &object.fields[at];
                entries.insert(place, (at, field.name.to_string(), absent(schema, field)));
            }
        }
    }
    map.extend(entries.into_iter().map(|(_, name, value)| (name, value)));
}

/// Whether a value stands for an absent one, or is empty and left out for it.
fn is_left_out(object: &Object, field: &Field, value: &Value) -> bool {
    let empty = match value {
        // It is put back where it is shown.
        Value::Null => return !(field.is_shown() && is_null_when_absent(field)),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty() && matches!(field.ty, Type::Map(_)),
        Value::String(text) => text.is_empty(),
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
    };
    let empty = empty && !field.pointer;
    match field.omit {
        Omit::Empty | Omit::Zero => empty && !field.ty.is_struct(),
        Omit::Never => empty && (value.is_array() || value.is_object()) && !stored_as_json(object),
    }
}

/// Whether what Go prints for an absent value is `null`.
fn is_null_when_absent(field: &Field) -> bool {
    match &field.ty {
        _ if field.pointer => true,
        Type::List(_) | Type::Map(_) | Type::Any | Type::Or(..) => true,
        Type::Object(_) => false,
        Type::Scalar(scalar) => matches!(scalar, Scalar::Time | Scalar::MicroTime | Scalar::Bytes),
    }
}

/// What Go prints for an absent value that is shown.
fn absent(schema: &Schema, field: &Field) -> Value {
    if is_null_when_absent(field) {
        return Value::Null;
    }
    let mut value = zero(&field.ty);
    value_of(schema, &field.ty, &mut value);
    value
}

/// Whether upstream stores the kinds that this is a part of as JSON.
fn stored_as_json(object: &Object) -> bool {
    !object.definition.starts_with("io.k8s.api.") && !object.definition.starts_with("io.k8s.apimachinery.")
}

fn value_of(schema: &Schema, ty: &Type, value: &mut Value) {
    match (ty, value) {
        (Type::Object(id) | Type::Or(_, id), Value::Object(map)) => object(schema, *id, map),
        (Type::List(item), Value::Array(list)) => {
            list.iter_mut().for_each(|value| item_of(schema, item, value))
        }
        (Type::Map(item), Value::Object(map)) => {
            map.values_mut().for_each(|value| item_of(schema, item, value));
            if !map.keys().is_sorted() {
                map.sort_keys();
            }
        }
        (Type::Or(_, id), Value::Array(list)) => {
            for map in list.iter_mut().filter_map(Value::as_object_mut) {
                object(schema, *id, map);
            }
        }
        (Type::Scalar(scalar), value) => {
            if let Value::String(text) = value
                && let Ok(canonical) = canonical_text(*scalar, text)
            {
                *value = canonical;
            }
        }
        _ => {}
    }
}

fn item_of(schema: &Schema, ty: &Type, value: &mut Value) {
    if value.is_null() {
        *value = zero(ty);
    }
    value_of(schema, ty, value);
}

/// The canonical text where the type has one that differs; an error where there is nothing to do.
fn canonical_text(scalar: Scalar, text: &str) -> Result<Value, ()> {
    match scalar {
        Scalar::Quantity | Scalar::Time | Scalar::MicroTime | Scalar::Duration => {
            canonical(scalar, text).map_err(drop)
        }
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests;
