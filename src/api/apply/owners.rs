//! Writes whose result is known: what changed moves to the writer.

use serde_json::{Map, Value};

use super::collect::zero;
use super::compare::{Comparison, compare};
use super::entries::{Entry, ManagedFields, Manager};
use super::reconcile::reconcile;
use super::set::FieldSet;
use super::shape::Shape;
use super::{Conflicts, Target};
use crate::schema::TypeId;

/// Ownership could not be worked out: the live object's entries were kept. For the log;
/// upstream goes on with the write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("managedFields were kept as they were: {0}")]
pub struct NotTracked(String);

/// Sets `metadata.managedFields` of `new`, which `manager` writes in the place of `live`
/// (nothing for a create) at the time `now` (RFC 3339, whole seconds, UTC).
///
/// `new` may carry managedFields of its own: they are taken as they are given, but for
/// subresources; an empty list or one empty entry clears them all.
///
/// # Errors
/// [`NotTracked`]; the object is complete nevertheless.
pub fn update(
    target: &Target<'_>,
    live: Option<&Value>,
    new: &mut Value,
    manager: &str,
    now: &str,
) -> Result<(), NotTracked> {
    let given = take_managed(new);
    let old = live.and_then(managed_of);
    let managed = before(target, given, old);
    let exists = live.is_some_and(|live| !crate::meta::uid(live).is_empty());
    if managed.entries.is_empty() && exists {
        return Ok(());
    }
    let empty;
    let live = match live {
        Some(live) => live,
        None => {
            empty = zero(target.schema, target.ty);
            &empty
        }
    };
    match after_update(target, live, new, managed, manager, now) {
        Ok(managed) => {
            put_managed(new, managed.written());
            Ok(())
        }
        Err(error) => {
            put_managed(new, old.cloned());
            Err(NotTracked(error))
        }
    }
}

/// Gives entries of `new` the times they have in `old`, where nothing but times differs
/// between the two objects: a write that changes nothing must not look like one.
pub fn keep_times(old: &Value, new: &mut Value) {
    let (Some(Value::Array(before)), Some(Value::Array(after))) = (managed_of(old), managed_of(new)) else {
        return;
    };
    let timeless = |entry: &Value| {
        let mut entry = entry.clone();
        if let Value::Object(members) = &mut entry {
            members.shift_remove("time");
        }
        entry
    };
    let same_entries = before.len() == after.len()
        && before != after
        && before.iter().zip(after).all(|(a, b)| timeless(a) == timeless(b));
    if !same_entries {
        return;
    }
    let before = before.clone();
    let mut rest = new.clone();
    put_managed(&mut rest, Some(Value::Array(before.clone())));
    if crate::meta::same(Some(old), Some(&rest)) {
        put_managed(new, Some(Value::Array(before)));
    }
}

pub(super) fn managed_of(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields")
}

pub(super) fn take_managed(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.shift_remove("managedFields")
}

pub(super) fn put_managed(object: &mut Value, list: Option<Value>) {
    take_managed(object);
    let Some(list) = list else { return };
    if let Value::Object(members) = object {
        let metadata = members.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(metadata) = metadata {
            metadata.insert("managedFields".into(), list);
        }
    }
}

/// The entries that a write starts from.
fn before(target: &Target<'_>, given: Option<Value>, old: Option<&Value>) -> ManagedFields {
    let stored = |old: Option<&Value>| ManagedFields::stored(old.cloned()).unwrap_or_default();
    if given.as_ref() == old {
        return ManagedFields::stored(given).unwrap_or_default();
    }
    if !target.subresource.is_empty() {
        return stored(old);
    }
    if let Some(Value::Array(items)) = &given {
        let cleared = match items.as_slice() {
            [] => true,
            [only] => only.as_object().is_some_and(Map::is_empty),
            _ => false,
        };
        if cleared {
            return ManagedFields::default();
        }
    }
    match ManagedFields::read(given.as_ref()) {
        Ok(managed) if !managed.entries.is_empty() => managed,
        _ => stored(old),
    }
}

/// The entries after an update.
pub(super) fn after_update(
    target: &Target<'_>,
    live: &Value,
    new: &Value,
    mut managed: ManagedFields,
    manager: &str,
    now: &str,
) -> Result<ManagedFields, String> {
    let difference = Difference::between(target, live, new)?;
    take_from_others(target, &difference, &mut managed, None, live, new)?;
    let mut taken = difference.changed;
    target.reset.apply(&mut taken);
    strip(&mut taken);
    if !taken.is_empty() {
        let manager = Manager::new(manager, false, target.api_version, target.subresource);
        let before = managed.take(&manager);
        let mut entry = Entry::new(manager, target.api_version, Some(now.to_owned()), taken);
        if let Some(mut before) = before {
            reconcile(target.schema, Shape::of_object(target.schema, target.ty), before.set_mut());
            entry.add(std::mem::take(before.set_mut()));
        }
        managed.entries.push(entry);
    }
    managed.cap_updates();
    Ok(managed)
}

/// What a write changes, at one version.
pub(super) struct Difference {
    /// What is new or another value.
    changed: FieldSet,
    removed: FieldSet,
    /// Both, as text.
    text: Map<String, Value>,
    /// The type at that version.
    ty: TypeId,
}

impl Difference {
    pub(super) fn between(target: &Target<'_>, old: &Value, new: &Value) -> Result<Self, String> {
        Self::of(target, target.ty, old, new)
    }

    fn of(target: &Target<'_>, ty: TypeId, old: &Value, new: &Value) -> Result<Self, String> {
        let shape = Shape::of_object(target.schema, ty);
        let mut comparison = compare(target.schema, shape, old, new)?;
        if !comparison.is_empty() {
            comparison.filter(|set| target.reset.apply(set));
        }
        let Comparison { removed, modified, added } = comparison;
        let changed = modified.union(added);
        let text = match changed.clone().union(removed.clone()).written() {
            Value::Object(text) => text,
            _ => Map::new(),
        };
        Ok(Self { changed, removed, text, ty })
    }
}

/// Takes what changed and what is gone from all managers but `but`. Tells what of theirs
/// changed: the conflicts of an apply.
pub(super) fn take_from_others(
    target: &Target<'_>,
    difference: &Difference,
    managed: &mut ManagedFields,
    but: Option<&Manager>,
    old: &Value,
    new: &Value,
) -> Result<Conflicts, String> {
    let mut conflicts = Conflicts { by_manager: Vec::new() };
    let mut other_versions: Vec<(String, Option<Difference>)> = Vec::new();
    let mut gone = Vec::new();
    for (at, entry) in managed.entries.iter_mut().enumerate() {
        if but == Some(&entry.manager) {
            continue;
        }
        let version = entry.api_version.as_str();
        let difference = if version == target.api_version {
            Some(difference)
        } else {
            if !other_versions.iter().any(|(it, _)| it == version) {
                other_versions.push((version.to_owned(), elsewhere(target, old, new, version)?));
            }
            other_versions.iter().find(|(it, _)| it == version).and_then(|(_, it)| it.as_ref())
        };
        let Some(difference) = difference else {
            gone.push(at);
            continue;
        };
        if difference.text.is_empty() || !entry.may_own(&difference.text) {
            continue;
        }
        let set = entry.set_mut();
        reconcile(target.schema, Shape::of_object(target.schema, difference.ty), set);
        let taken = set.intersection(&difference.changed);
        set.subtract(&taken);
        set.subtract(&difference.removed);
        if !taken.is_empty() {
            conflicts.by_manager.push((entry.manager.clone(), taken));
        }
    }
    for at in gone.into_iter().rev() {
        managed.entries.remove(at);
    }
    managed.drop_empty();
    Ok(conflicts)
}

/// The difference at another version; nothing where it is not known.
fn elsewhere(
    target: &Target<'_>,
    old: &Value,
    new: &Value,
    version: &str,
) -> Result<Option<Difference>, String> {
    let (Some((old, ty)), Some((new, _))) =
        (target.versions.at(old, version), target.versions.at(new, version))
    else {
        return Ok(None);
    };
    Difference::of(target, ty, &old, &new).map(Some)
}

/// Takes out what is never tracked: who the object is, and what only the server writes.
pub(super) fn strip(set: &mut FieldSet) {
    const METADATA: [&str; 9] = [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ];
    let is = |element: &super::Element, names: &[&str]| match element {
        super::Element::Field(name) => names.contains(&&**name),
        _ => false,
    };
    set.nodes.retain_mut(|node| {
        if is(&node.element, &["apiVersion", "kind"]) {
            node.member = false;
        } else if is(&node.element, &["metadata"]) {
            node.member = false;
            node.below.nodes.retain_mut(|node| {
                if is(&node.element, &METADATA) {
                    node.member = false;
                }
                node.member || !node.below.is_empty()
            });
        }
        node.member || !node.below.is_empty()
    });
}
