//! What differs between two objects of one type, as three field sets.
//!
//! Both trees are walked side by side, and what is equal costs one comparison: types are
//! looked up only where something differs.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::collect::whole;
use super::element::{Element, same};
use super::set::FieldSet;
use super::shape::{Shape, item_element};
use crate::schema::{ListType, Schema, Type};

/// What the second of two objects removed, changed and added.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Comparison {
    pub(super) removed: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) added: FieldSet,
}

/// The same for one place: whether it is itself meant, and what of it is.
#[derive(Default)]
struct Change {
    modified_self: bool,
    below: Comparison,
}

/// Compares two objects.
///
/// # Errors
/// An item of a list that cannot be told apart from others.
pub(super) fn compare(
    schema: &Schema,
    shape: Shape<'_>,
    old: &Value,
    new: &Value,
) -> Result<Comparison, String> {
    let mut out = Comparison::default();
    if !same(old, new) {
        out = pair(schema, shape, old, new)?.below;
    }
    Ok(out)
}

/// Two values that differ, at one place.
fn pair(schema: &Schema, shape: Shape<'_>, old: &Value, new: &Value) -> Result<Change, String> {
    match shape {
        Shape::Object(_) | Shape::Map(_) | Shape::Deduced => {
            if matches!(shape, Shape::Deduced) && kinds_differ(old, new) {
                return other_kind(schema, shape, old, new);
            }
            let empty = Map::new();
            let [old, new] = [old, new].map(|it| it.as_object().unwrap_or(&empty));
            if old.is_empty() && new.is_empty() {
                return Ok(modified());
            }
            Ok(Change { modified_self: false, below: members(schema, shape, old, new)? })
        }
        Shape::List(item, list) => {
            let [old, new] = [old, new].map(|it| it.as_array().map(Vec::as_slice).unwrap_or_default());
            if old.is_empty() && new.is_empty() {
                return Ok(modified());
            }
            Ok(Change { modified_self: false, below: items(schema, item, list, old, new)? })
        }
        Shape::Scalar(_) | Shape::Atomic(_) | Shape::Opaque => Ok(modified()),
    }
}

fn modified() -> Change {
    Change { modified_self: true, below: Comparison::default() }
}

/// Whether one is a map and the other something, or neither is a map.
fn kinds_differ(old: &Value, new: &Value) -> bool {
    !matches!(
        (old, new),
        (Value::Object(_), Value::Object(_) | Value::Null) | (Value::Null, Value::Object(_))
    )
}

/// A map in the place of something that is none, or the other way round.
fn other_kind(schema: &Schema, shape: Shape<'_>, old: &Value, new: &Value) -> Result<Change, String> {
    let mut change = modified();
    change.below.removed = whole(schema, shape, old)?;
    change.below.added = whole(schema, shape, new)?;
    Ok(change)
}

fn members(
    schema: &Schema,
    shape: Shape<'_>,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
) -> Result<Comparison, String> {
    let mut out = Comparison::default();
    let mut beside = new.iter();
    for (name, old) in old {
        // Objects in canonical form have their fields in one order: look beside first.
        let new = match beside.next() {
            Some((next, value)) if next == name => Some(value),
            _ => new.get(name),
        };
        match new {
            Some(new) if same(old, new) => {}
            Some(new) => {
                let Some(inner) = shape.member(schema, name) else { continue };
                let change = pair(schema, inner, old, new)?;
                out.push(shape.element(name), change);
            }
            None => {
                let inner = shape.member(schema, name).unwrap_or(Shape::Opaque);
                out.removed.push(shape.element(name), true, whole(schema, inner, old)?);
            }
        }
    }
    for (name, new) in new {
        if !old.contains_key(name) {
            let inner = shape.member(schema, name).unwrap_or(Shape::Opaque);
            out.added.push(shape.element(name), true, whole(schema, inner, new)?);
        }
    }
    out.sort();
    Ok(out)
}

/// Items of one identity, on both sides.
type Twins<'v> = (Vec<&'v Value>, Vec<&'v Value>);

fn items(
    schema: &Schema,
    item: &Type,
    list: &ListType,
    old: &[Value],
    new: &[Value],
) -> Result<Comparison, String> {
    let mut by_element: BTreeMap<Element, Twins<'_>> = BTreeMap::new();
    for value in old {
        by_element.entry(item_element(schema, item, list, value)?).or_default().0.push(value);
    }
    for value in new {
        by_element.entry(item_element(schema, item, list, value)?).or_default().1.push(value);
    }
    let shape = Shape::of_part(schema, item);
    let mut out = Comparison::default();
    for (element, (old, new)) in by_element {
        match (old.as_slice(), new.as_slice()) {
            ([old], [new]) => {
                if !same(old, new) {
                    out.push(element, pair(schema, shape, old, new)?);
                }
            }
            ([old], []) => out.removed.push(element, true, whole(schema, shape, old)?),
            ([], [new]) => out.added.push(element, true, whole(schema, shape, new)?),
            // Items that cannot be told apart count as one, without parts.
            ([_, _, ..], [_, _, ..]) => {
                let equal = old.len() == new.len() && old.iter().zip(&new).all(|(old, new)| same(old, new));
                out.modified.push(element, !equal, FieldSet::default());
            }
            ([_, _, ..], []) => out.removed.push(element, true, FieldSet::default()),
            ([_, _, ..], [new]) => {
                out.added.push(element.clone(), true, whole(schema, shape, new)?);
                out.removed.push(element, true, FieldSet::default());
            }
            ([old], _) => {
                out.removed.push(element.clone(), true, whole(schema, shape, old)?);
                out.added.push(element, true, FieldSet::default());
            }
            (_, _) => out.added.push(element, true, FieldSet::default()),
        }
    }
    Ok(out)
}

impl Comparison {
    fn push(&mut self, element: Element, change: Change) {
        let Comparison { removed, modified, added } = change.below;
        if !removed.is_empty() {
            self.removed.push(element.clone(), false, removed);
        }
        if !added.is_empty() {
            self.added.push(element.clone(), false, added);
        }
        self.modified.push(element, change.modified_self, modified);
    }

    fn sort(&mut self) {
        self.removed.sort();
        self.modified.sort();
        self.added.sort();
    }

    /// Whether nothing differs.
    pub(super) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// Applies a filter to all three sets.
    pub(super) fn filter(&mut self, keep: impl Fn(&mut FieldSet)) {
        keep(&mut self.removed);
        keep(&mut self.modified);
        keep(&mut self.added);
    }
}
