//! The field sets of a single object: what an applied one says, what a new part adds, and the
//! object that a write compares with where there was none.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::element::Element;
use super::set::FieldSet;
use super::shape::{Shape, item_element};
use crate::schema::{Object, Omit, Scalar, Schema, Type, TypeId};

/// What an applier of this object says of it: its leaves, its items, the keys of its maps.
///
/// # Errors
/// An item of a list that cannot be told apart from others.
pub(super) fn said(schema: &Schema, shape: Shape<'_>, value: &Value) -> Result<FieldSet, String> {
    said_of(schema, shape, value).map(|(_, below)| below)
}

/// Whether a place itself is said, and what is below it.
fn said_of(schema: &Schema, shape: Shape<'_>, value: &Value) -> Result<(bool, FieldSet), String> {
    let mut below = FieldSet::default();
    match (shape, value) {
        (Shape::Object(_) | Shape::Map(_) | Shape::Deduced, Value::Object(members)) => {
            for (name, value) in members {
                let inner = shape.member(schema, name).unwrap_or(Shape::Opaque);
                let (member, inner) = said_of(schema, inner, value)?;
                let nothing = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                let member = member || nothing || !shape.names(name);
                below.push(shape.element(name), member, inner);
            }
            below.sort();
            Ok((false, below))
        }
        (Shape::List(item, list), Value::Array(items)) => {
            let inner = Shape::of_part(schema, item);
            let (mut once, mut twice) = (BTreeSet::new(), BTreeSet::new());
            for value in items {
                let element = item_element(schema, item, list, value)?;
                if !once.insert(element.clone()) {
                    twice.insert(element);
                }
            }
            for value in items {
                let element = item_element(schema, item, list, value)?;
                if !twice.contains(&element) {
                    let (_, inner) = said_of(schema, inner, value)?;
                    below.push(element, true, inner);
                }
            }
            for element in twice {
                below.push(element, true, FieldSet::default());
            }
            below.sort();
            Ok((false, below))
        }
        (Shape::Object(_) | Shape::Map(_) | Shape::List(..) | Shape::Deduced, Value::Null) => {
            Ok((false, below))
        }
        _ => Ok((true, below)),
    }
}

/// Everything below a place that was not there before, each container included.
///
/// # Errors
/// As [`said`].
pub(super) fn whole(schema: &Schema, shape: Shape<'_>, value: &Value) -> Result<FieldSet, String> {
    let mut below = FieldSet::default();
    match (shape, value) {
        (Shape::Object(_) | Shape::Map(_) | Shape::Deduced, Value::Object(members)) => {
            for (name, value) in members {
                let inner = shape.member(schema, name).unwrap_or(Shape::Opaque);
                below.push(shape.element(name), true, whole(schema, inner, value)?);
            }
        }
        (Shape::List(item, list), Value::Array(items)) => {
            let inner = Shape::of_part(schema, item);
            let mut seen: BTreeSet<Element> = BTreeSet::new();
            let mut twice = BTreeSet::new();
            for value in items {
                let element = item_element(schema, item, list, value)?;
                if seen.insert(element.clone()) {
                    below.push(element, true, whole(schema, inner, value)?);
                } else {
                    twice.insert(element);
                }
            }
            below.sort();
            for element in twice {
                below.node(&element).below = FieldSet::default();
            }
            return Ok(below);
        }
        _ => return Ok(below),
    }
    below.sort();
    Ok(below)
}

/// The object that a create compares with: Go's zero value as it is printed, so that what is
/// always printed (structs that are no pointers) is not new.
pub(super) fn zero(schema: &Schema, ty: TypeId) -> Value {
    zero_object(schema, schema.object(ty), 0)
}

/// Deeper than any type nests without a pointer: types do not contain themselves in Go.
const DEEPEST: u8 = 32;

fn zero_object(schema: &Schema, object: &Object, depth: u8) -> Value {
    let mut members = Map::new();
    for field in &object.fields {
        if let Some(value) = zero_field(schema, &field.ty, field.pointer, field.omit, depth) {
            members.insert(field.name.to_string(), value);
        }
    }
    Value::Object(members)
}

fn zero_field(schema: &Schema, ty: &Type, pointer: bool, omit: Omit, depth: u8) -> Option<Value> {
    let printed = omit == Omit::Never;
    match ty {
        Type::Object(id) if !pointer && omit != Omit::Zero && depth < DEEPEST => {
            Some(zero_object(schema, schema.object(*id), depth + 1))
        }
        _ if !printed => None,
        Type::Scalar(scalar) if !pointer => Some(match scalar {
            Scalar::Bool => Value::Bool(false),
            Scalar::Int32 | Scalar::Int64 | Scalar::Float64 | Scalar::IntOrString => Value::from(0),
            Scalar::String => Value::from(""),
            Scalar::Quantity => Value::from("0"),
            Scalar::Duration => Value::from("0s"),
            Scalar::Bytes | Scalar::Time | Scalar::MicroTime => Value::Null,
        }),
        _ => Some(Value::Null),
    }
}
