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
        if original.is_empty() && patch.is_empty() {
            return Ok(original);
        }
        if !of_objects(&original, &patch)? {
            if deletes {
                let gone: BTreeSet<String> = patch.iter().map(identity).collect();
                return Ok(original.into_iter().filter(|it| !gone.contains(&identity(it))).collect());
            }
            let mut seen = BTreeSet::new();
            let both = original.iter().chain(&patch).cloned();
            let merged = both.filter(|it| seen.insert(identity(it))).collect();
            return self.fitted(merged, &patch, &original);
        }
        if self.key.is_empty() {
            let kind = self.item.kind();
            return Err(PatchError::Internal(format!("cannot merge lists without merge key for {kind}")));
        }
        let (original, patch) = self.without_special(original, patch)?;
        let merged = self.by_key(original.clone(), &patch)?;
        self.fitted(merged, &patch, &original)
    }

    /// Puts a merged list into the order that was asked for.
    pub(super) fn in_order(
        &self,
        merged: Vec<Value>,
        original: &[Value],
        patch: &[Value],
        order: &[Value],
    ) -> Result<Vec<Value>, PatchError> {
        of_objects(original, patch)?;
        self.fitted(merged, order, original)
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
                None => others.push((before.get(&key).copied().unwrap_or(usize::MAX), item)),
            }
        }
        named.sort_by_key(|(at, ..)| *at);
        others.sort_by_key(|(at, _)| *at);
        let mut out = Vec::with_capacity(named.len() + others.len());
        let mut others = others.into_iter().peekable();
        for (_, stood, item) in named {
            while let (Some(stood), Some((at, _))) = (stood, others.peek()) {
                if *at >= stood {
                    break;
                }
                out.extend(others.next().map(|(_, item)| item));
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
    let mut names = order.iter();
    for item in patch {
        if !key.is_empty() {
            let members = object(item)?;
            if members.contains_key(PATCH) {
                continue;
            }
        }
        loop {
            let Some(name) = names.next() else {
                let [patch, order] = [patch, order].map(|list| words::plain(&Value::from(list)));
                return Err(PatchError::Internal(format!(
                    "The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n"
                )));
            };
            if same_key(item, name, key)? {
                break;
            }
        }
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
