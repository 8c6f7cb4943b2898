//! Taking fields out of an object.

use serde_json::{Map, Value};

use super::element::Element;
use super::set::FieldSet;
use super::shape::{Shape, item_element};
use crate::schema::Schema;

/// The value without the members of a set; nothing where that leaves nothing. A value that
/// is owned as one goes as a whole or not at all, which is for whoever holds it to say.
pub(super) fn without(schema: &Schema, shape: Shape<'_>, value: &Value, gone: &FieldSet) -> Value {
    match (shape, value) {
        (Shape::Object(_) | Shape::Map(_) | Shape::Deduced, Value::Object(members)) => {
            let mut out = Map::with_capacity(members.len());
            for (name, value) in members {
                match gone.get_field(name) {
                    Some(node) if node.member => {}
                    Some(node) => {
                        let inner = shape.member(schema, name).unwrap_or(Shape::Opaque);
                        out.insert(name.clone(), without(schema, inner, value, &node.below));
                    }
                    None => {
                        out.insert(name.clone(), value.clone());
                    }
                }
            }
            if out.is_empty() { Value::Null } else { Value::Object(out) }
        }
        (Shape::List(item, list), Value::Array(items)) => {
            let inner = Shape::of_part(schema, item);
            let kept = items.iter().filter_map(|value| {
                let element = item_element(schema, item, list, value).ok();
                match element.as_ref().and_then(|element: &Element| gone.get(element)) {
                    Some(node) if node.member => None,
                    Some(node) => Some(without(schema, inner, value, &node.below)),
                    None => Some(value.clone()),
                }
            });
            let kept: Vec<_> = kept.collect();
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        (Shape::Scalar(_), value) => value.clone(),
        (Shape::Deduced, value) if !value.is_array() => value.clone(),
        _ => Value::Null,
    }
}

/// The set with every field on the way to a member made a member too, where the schema names
/// it: an applier of `a.b` holds `a` together with others.
pub(super) fn with_parents(schema: &Schema, shape: Option<Shape<'_>>, set: &FieldSet) -> FieldSet {
    let mut out = FieldSet::default();
    for node in &set.nodes {
        let (named, inner) = match (&node.element, shape) {
            (Element::Field(name), Some(shape)) => (shape.names(name), shape.member(schema, name)),
            (Element::Key(_), Some(Shape::List(item, _))) => (false, Some(Shape::of_part(schema, item))),
            _ => (false, None),
        };
        let member = node.member || (named && !node.below.is_empty());
        out.push(node.element.clone(), member, with_parents(schema, inner, &node.below));
    }
    out
}
