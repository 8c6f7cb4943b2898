//! Laying an applied object over the live one.
//!
//! The applied value wins where both have one; maps and lists with parts are merged, and the
//! items of a list come in the applied order, with those of the live list fitted in.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::Element;
use super::shape::{Shape, item_element};
use crate::schema::{ListType, Schema, Type};

/// The live value with the applied one laid over it.
///
/// # Errors
/// An item of a list that cannot be told apart from others.
pub(super) fn merge(
    schema: &Schema,
    shape: Shape<'_>,
    live: &Value,
    applied: &Value,
) -> Result<Value, String> {
    match shape {
        Shape::Object(_) | Shape::Map(_) | Shape::Deduced => match (live, applied) {
            (Value::Object(live), Value::Object(applied)) => {
                members(schema, shape, live, applied).map(Value::Object)
            }
            // Null says nothing about the parts of what is there.
            (Value::Object(old), Value::Null) if !old.is_empty() => Ok(live.clone()),
            _ => Ok(applied.clone()),
        },
        Shape::List(item, list) => match (live, applied) {
            (Value::Array(live), Value::Array(applied)) if !(live.is_empty() && applied.is_empty()) => {
                items(schema, item, list, live, applied).map(Value::Array)
            }
            (Value::Array(old), Value::Null) if !old.is_empty() => Ok(live.clone()),
            _ => Ok(applied.clone()),
        },
        Shape::Scalar(_) | Shape::Atomic(_) | Shape::Opaque => Ok(applied.clone()),
    }
}

fn members(
    schema: &Schema,
    shape: Shape<'_>,
    live: &Map<String, Value>,
    applied: &Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let mut out = Map::with_capacity(live.len().max(applied.len()));
    for (name, live) in live {
        let value = match applied.get(name) {
            None => live.clone(),
            Some(applied) => {
                merge(schema, shape.member(schema, name).unwrap_or(Shape::Opaque), live, applied)?
            }
        };
        out.insert(name.clone(), value);
    }
    for (name, applied) in applied {
        if !live.contains_key(name) {
            out.insert(name.clone(), applied.clone());
        }
    }
    Ok(out)
}

/// A list's items by identity: the value, or nothing where several have it.
type Index<'v> = BTreeMap<Element, Option<&'v Value>>;

fn index<'v>(
    schema: &Schema,
    item: &Type,
    list: &ListType,
    values: &'v [Value],
) -> Result<(Vec<Element>, Index<'v>), String> {
    let mut elements = Vec::with_capacity(values.len());
    let mut index = Index::new();
    for value in values {
        let element = item_element(schema, item, list, value)?;
        index.entry(element.clone()).and_modify(|twice| *twice = None).or_insert(Some(value));
        elements.push(element);
    }
    Ok((elements, index))
}

/// Items in the applied order. A live item keeps its place relative to the shared ones that
/// follow in the order of both lists; live items that the applied list does not have come
/// before the next applied one.
fn items(
    schema: &Schema,
    item: &Type,
    list: &ListType,
    live: &[Value],
    applied: &[Value],
) -> Result<Vec<Value>, String> {
    let shape = Shape::of_part(schema, item);
    let (live_elements, live_index) = index(schema, item, list, live)?;
    let (applied_elements, applied_index) = index(schema, item, list, applied)?;
    let laid_over = |element: &Element| -> Result<Option<Value>, String> {
        let Some(Some(applied)) = applied_index.get(element) else { return Ok(None) };
        match live_index.get(element) {
            Some(Some(live)) => merge(schema, shape, live, applied).map(Some),
            _ => Ok(Some((*applied).clone())),
        }
    };
    let mut shared = applied_elements.iter().filter(|it| live_index.contains_key(it));
    let mut next_shared = shared.next();
    let mut done = std::collections::BTreeSet::new();
    let mut out = Vec::with_capacity(live.len().max(applied.len()));
    let (mut l, mut a) = (0, 0);
    while l < live_elements.len() || a < applied_elements.len() {
        if let (Some(live_element), Some(applied_element)) = (live_elements.get(l), applied_elements.get(a)) {
            if live_element == applied_element {
                done.insert(applied_element);
                out.extend(laid_over(applied_element)?);
                l += 1;
                a += 1;
                next_shared = shared.next();
                continue;
            }
            let awaited = next_shared.is_some_and(|next| next != live_element);
            if awaited && applied_index.contains_key(live_element) {
                l += 1;
                continue;
            }
        }
        if let Some(element) = live_elements.get(l) {
            if !applied_index.contains_key(element) {
                out.push(live[l].clone());
                l += 1;
                continue;
            }
            if done.contains(element) {
                l += 1;
            }
        }
        if let Some(element) = applied_elements.get(a) {
            done.insert(element);
            out.extend(laid_over(element)?);
            a += 1;
            if next_shared == Some(element) {
                next_shared = shared.next();
            }
        }
    }
    Ok(out)
}
