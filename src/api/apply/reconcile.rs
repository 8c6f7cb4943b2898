//! Field sets written under an older schema: what has become one value is owned as one.

use super::element::Element;
use super::set::FieldSet;
use super::shape::Shape;
use crate::schema::{Schema, Type};

/// Replaces parts of what is one value by the value itself.
pub(super) fn reconcile(schema: &Schema, shape: Shape<'_>, set: &mut FieldSet) {
    for node in &mut set.nodes {
        let inner = match (&node.element, shape) {
            (Element::Field(name), shape) => shape.member(schema, name),
            (_, Shape::List(item, _)) => Some(Shape::of_part(schema, item)),
            _ => None,
        };
        match inner {
            Some(Shape::Atomic(Type::List(_) | Type::Map(_) | Type::Object(_))) if !node.below.is_empty() => {
                node.below = FieldSet::default();
                node.member = true;
            }
            Some(inner) => reconcile(schema, inner, &mut node.below),
            None => {}
        }
    }
}
