//! Merging lists: of objects by a key, of scalars as sets, and the order of what comes out.
//!
//! The order: what the patch (or `$setElementOrder`) names, in its order; what only the
//! server has is fitted in before the first named item that stood behind it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::scope::Scope;
use super::{Merge, PATCH, PatchError, bad_type, unknown_order, words};
use crate::schema::Type;

/// How the lists of one field are merged.
pub(super) struct Lists<'s> {
    merge_with: Merge<'s>,
    /// Whether they are merged at all.
    pub(super) merge: bool,
    /// Which field tells items apart; empty for scalars.
    pub(super) key: &'s str,
    item: Scope<'s>,
}

/// Where in a list each key's value stands first.
type Places = BTreeMap<String, usize>;

impl<'s> Lists<'s> {
    pub(super) fn at(merge_with: Merge<'s>, scope: Scope<'s>, name: &str) -> Result<Self, PatchError> {
        let field = scope.field(name)?;
        let item = match &field.ty {
            Type::List(item) => item,
            _ => {
                let kind = scope.kind();
                return Err(PatchError::Internal(format!("expected slice or array type, but got: {kind}")));
            }
        };
        if matches!(**item, Type::List(_)) {
            return Err(PatchError::Internal("unexpected slice of slice".into()));
        }
        Ok(Self {
            merge_with,
            merge: field.patch.merge,
            key: field.patch.key.as_deref().unwrap_or_default(),
            item: Scope::of(merge_with.schema, item, Some(field)),
        })
    }

    /// The merged list, or with `deletes` the list without the patch's scalars.
    pub(super) fn merged(
        &self,
        original: Vec<Value>,
        patch: Vec<Value>,
        deletes: bool,
    ) -> Result<Vec<Value>, PatchError> {
        self.merged_in_place(original, patch, deletes).map(|(merged, _)| merged)
    }

    /// The same, and what is left of the original list afterwards: upstream works in its place,
    /// so that new items stand where deleted ones made room, and then orders by that.
    pub(super) fn merged_in_place(
        &self,
        original: Vec<Value>,
        patch: Vec<Value>,
        deletes: bool,
    ) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
        if original.is_empty() && patch.is_empty() {
            return Ok((original, patch));
        }
        if !of_objects(&original, &patch)? {
            if deletes {
                let gone: BTreeSet<String> = patch.iter().map(identity).collect();
                let kept = original.iter().filter(|it| !gone.contains(&identity(it))).cloned().collect();
                return Ok((kept, original));
            }
            let mut seen = BTreeSet::new();
            let both = original.iter().chain(&patch).cloned();
            let merged = both.filter(|it| seen.insert(identity(it))).collect();
            return Ok((self.fitted(merged, &patch, &original)?, original));
        }
        if self.key.is_empty() {
            let kind = self.item.kind();
            return Err(PatchError::Internal(format!("cannot merge lists without merge key for {kind}")));
        }
        let room = original.len();
        let (original, patch) = self.without_special(original, patch)?;
        let merged = self.by_key(original.clone(), &patch)?;
        let left = merged.iter().take(room.max(original.len())).cloned().collect();
        Ok((self.fitted(merged, &patch, &original)?, left))
    }

    /// Puts a merged list into the order that was asked for.
    pub(super) fn in_order(
        &self,
        merged: Vec<Value>,
        stood: &[Value],
        [original, patch]: &[Vec<Value>; 2],
        order: &[Value],
    ) -> Result<Vec<Value>, PatchError> {
        of_objects(original, patch)?;
        self.fitted(merged, order, stood)
    }

    /// Carries out `$patch` within items and takes those items out.
    fn without_special(
        &self,
        mut original: Vec<Value>,
        patch: Vec<Value>,
    ) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
        let mut plain = Vec::with_capacity(patch.len());
        let mut deleted = BTreeSet::new();
        let mut replace = false;
        for item in patch {
            let members = object(&item)?;
            match members.get(PATCH) {
                None => plain.push(item),
                Some(Value::String(order)) if order == "delete" => {
                    deleted.insert(identity(self.key_of(members)?));
                }
                Some(Value::String(order)) if order == "replace" => replace = true,
                Some(Value::String(order)) if order == "merge" => {
                    return Err(PatchError::Internal(
                        "merging lists cannot yet be specified in the patch".into(),
                    ));
                }
                Some(order) => return Err(unknown_order(order, members)),
            }
        }
        if replace {
            return Ok((plain, Vec::new()));
        }
        if !deleted.is_empty() {
            original.retain(|item| item.get(self.key).is_none_or(|key| !deleted.contains(&identity(key))));
        }
        Ok((original, plain))
    }

    fn by_key(&self, mut merged: Vec<Value>, patch: &[Value]) -> Result<Vec<Value>, PatchError> {
        let mut places = Places::new();
        for (at, item) in merged.iter().enumerate() {
            if let Some(key) = item.get(self.key) {
                places.entry(identity(key)).or_insert(at);
            }
        }
        for item in patch {
            let members = object(item)?;
            let key = identity(self.key_of(members)?);
            if let Some(&at) = places.get(&key) {
                let old = match std::mem::take(&mut merged[at]) {
                    Value::Object(old) => old,
                    other => return Err(bad_type("map[string]interface {}", &other)),
                };
                let new = self.merge_with.objects(old, members.clone(), self.item)?;
                merged[at] = Value::Object(new);
            } else {
                places.insert(key, merged.len());
                merged.push(item.clone());
            }
        }
        Ok(merged)
    }

    /// Sorts what `order` names by it, the rest by `original`, and interleaves the two.
    fn fitted(
        &self,
        merged: Vec<Value>,
        order: &[Value],
        original: &[Value],
    ) -> Result<Vec<Value>, PatchError> {
        let wanted = self.places(order)?;
        let before = self.places(original)?;
        let mut named = Vec::new();
        let mut others = Vec::new();
        for item in merged {
            let key = self.identity_of(&item)?;
            match wanted.get(&key) {
                Some(&at) => named.push((at, before.get(&key).copied(), item)),
                None => others.push((before.get(&key).copied(), item)),
            }
        }
        named.sort_by_key(|(at, ..)| *at);
        sort_by_place(&mut others);
        let mut out = Vec::with_capacity(named.len() + others.len());
        let mut others = others.into_iter().peekable();
        for (_, stood, item) in named {
            let before =
                |(at, _): &(Option<usize>, Value)| at.zip(stood).is_some_and(|(at, stood)| at < stood);
            while let Some((_, other)) = others.next_if(before) {
                out.push(other);
            }
            out.push(item);
        }
        out.extend(others.map(|(_, item)| item));
        Ok(out)
    }

    fn places(&self, items: &[Value]) -> Result<Places, PatchError> {
        let mut places = Places::new();
        for (at, item) in items.iter().enumerate() {
            places.entry(self.identity_of(item)?).or_insert(at);
        }
        Ok(places)
    }

    fn identity_of(&self, item: &Value) -> Result<String, PatchError> {
        if self.key.is_empty() { Ok(identity(item)) } else { Ok(identity(self.key_of(object(item)?)?)) }
    }

    fn key_of<'v>(&self, members: &'v Map<String, Value>) -> Result<&'v Value, PatchError> {
        members.get(self.key).ok_or_else(|| no_key(members, self.key))
    }
}

/// Sorts items by where they stood. Items that stood nowhere (only an empty order lets them
/// come here) go where upstream's sort puts them, for which they are before everything and
/// everything before them: short lists are sorted by insertion there.
fn sort_by_place(items: &mut [(Option<usize>, Value)]) {
    const SHORT: usize = 20;
    if items.len() > SHORT || items.iter().all(|(at, _)| at.is_some()) {
        return items.sort_by_key(|(at, _)| *at);
    }
    for last in 1..items.len() {
        for at in (1..=last).rev() {
            let (left, right) = (items[at - 1].0, items[at].0);
            if left.zip(right).is_some_and(|(left, right)| right >= left) {
                break;
            }
            items.swap(at - 1, at);
        }
    }
}

/// What tells two scalars apart: `1` and `"1"` differ, and so do `1` and `1.0`.
fn identity(value: &Value) -> String {
    value.to_string()
}

/// Whether the items of both lists are objects; they must all be of one type.
fn of_objects(original: &[Value], patch: &[Value]) -> Result<bool, PatchError> {
    let mut items = original.iter().chain(patch);
    let Some(first) = items.next() else {
        return Err(PatchError::Internal("no elements in any of the given slices".into()));
    };
    if first.is_array() {
        return Err(PatchError::Unprocessable("lists of lists are not supported".into()));
    }
    if first.is_null() || items.any(|item| words::type_name(item) != words::type_name(first)) {
        let lists = Value::Array(vec![original.into(), patch.into()]);
        return Err(PatchError::Internal(format!(
            "list element types are not identical: {}",
            words::plain(&lists)
        )));
    }
    Ok(first.is_object())
}

/// Sees to it that the patch's items are named by the order, and in its order.
pub(super) fn check_order(patch: &[Value], order: &[Value], key: &str) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut items = Vec::with_capacity(patch.len());
    for item in patch {
        let deleted = !key.is_empty() && object(item)?.get(PATCH).and_then(Value::as_str) == Some("delete");
        if !deleted {
            items.push(item);
        }
    }
    let (mut item, mut name) = (0, 0);
    while let (Some(next), Some(named)) = (items.get(item), order.get(name)) {
        if next.get(PATCH).is_some() {
            item += 1;
            continue;
        }
        item += usize::from(same_key(next, named, key)?);
        name += 1;
    }
    // An item with an order behind the last name is not passed over, upstream neither.
    if item < items.len() {
        let [patch, order] = [patch, order].map(|list| words::plain(&Value::from(list)));
        return Err(PatchError::Internal(format!(
            "The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n"
        )));
    }
    Ok(())
}

fn same_key(left: &Value, right: &Value, key: &str) -> Result<bool, PatchError> {
    if key.is_empty() {
        return Ok(left == right);
    }
    let [left, right] = [object(left)?, object(right)?];
    let of = |members: &Map<String, Value>| members.get(key).cloned().ok_or_else(|| no_key(members, key));
    Ok(of(left)? == of(right)?)
}

fn object(value: &Value) -> Result<&Map<String, Value>, PatchError> {
    value.as_object().ok_or_else(|| bad_type("map[string]interface {}", value))
}

fn no_key(members: &Map<String, Value>, key: &str) -> PatchError {
    let members = words::plain(&Value::Object(members.clone()));
    PatchError::Internal(format!("map: {members} does not contain declared merge key: {key}"))
}
