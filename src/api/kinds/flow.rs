//! What happens to an object on its way into the store, apart from admission: the order in
//! which a strategy's functions run, the same for every kind.

use serde_json::Value;

use super::metadata;
use crate::field_error::{At, Errors};
use crate::kind::{Context, Kind, Part, Verbs};
use crate::meta;
use crate::names::path_rule;
use crate::status::Status;

/// Clears and fills what a creator may not say. Runs before admission sees the object; the
/// name is already generated, uid and creationTimestamp filled.
pub fn prepare_create(kind: &Kind, object: &mut Value, context: &Context<'_>) {
    for name in ["selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        meta::remove(object, &format!("metadata.{name}"));
    }
    if kind.strategy.generation.is_empty() {
        meta::remove(object, "metadata.generation");
    } else {
        meta::put(object, "metadata.generation", 1);
    }
    (kind.strategy.prepare_create)(object, context);
}

/// Everything wrong with a new object, as the answer.
///
/// # Errors
/// `Invalid`, with a cause per mistake.
pub fn validate_create(kind: &Kind, object: &Value) -> Result<(), Status> {
    let (root, mut e) = (At::root(object), Errors::new());
    let metadata = root.get("metadata");
    if !kind.verbs.has(Verbs::GET) {
        // What is not kept needs no name.
        (kind.strategy.validate)(&root, &mut e);
        return refuse(kind, object, e);
    }
    metadata::validate(&metadata, kind.namespaced, kind.strategy.name, &mut e);
    finalizers(kind, &metadata, &mut e);
    (kind.strategy.validate)(&root, &mut e);
    if e.is_empty() {
        metadata::validate(&metadata, kind.namespaced, path_rule, &mut e);
    }
    refuse(kind, object, e)
}

/// Puts back what an updater may not change and counts the generation. For a part (status
/// and the like), its rules take the place of the kind's.
pub fn prepare_update(kind: &Kind, part: Option<&Part>, new: &mut Value, old: &Value, context: &Context<'_>) {
    meta::restore(new, old, "metadata.generation");
    match part {
        Some(part) => (part.prepare)(new, old, context),
        None => (kind.strategy.prepare_update)(new, old, context),
    }
    let counted = kind.strategy.generation;
    if counted.iter().any(|path| !meta::same_at(new, old, path)) {
        meta::put(new, "metadata.generation", meta::generation(old) + 1);
    }
    if meta::uid(new).is_empty() {
        meta::restore(new, old, "metadata.uid");
    }
    for name in ["metadata.creationTimestamp", "metadata.deletionTimestamp"] {
        if meta::at(old, name).is_some() {
            meta::restore(new, old, name);
        }
    }
    if meta::deletion_grace(new).is_none() && meta::deletion_grace(old).is_some() {
        meta::restore(new, old, "metadata.deletionGracePeriodSeconds");
    }
}

/// Everything wrong with a changed object, as the answer.
///
/// # Errors
/// `Invalid`, with a cause per mistake.
pub fn validate_update(kind: &Kind, part: Option<&Part>, new: &Value, old: &Value) -> Result<(), Status> {
    let (at, was, mut e) = (At::root(new), At::root(old), Errors::new());
    metadata::validate_common(&at.get("metadata"), &was.get("metadata"), kind.namespaced, &mut e);
    finalizers(kind, &at.get("metadata"), &mut e);
    match part {
        Some(part) => (part.validate)(&at, &was, &mut e),
        None => (kind.strategy.validate_update)(&at, &was, &mut e),
    }
    refuse(kind, new, e)
}

/// What the author of a write that succeeds should know: Warning headers, in order.
#[must_use]
pub fn warnings(kind: &Kind, part: Option<&Part>, new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut all = match part {
        Some(part) => (part.warn)(new, old),
        None => (kind.strategy.warn)(new, old),
    };
    if old.is_none() {
        all.extend(kind.inert.as_deref().map(str::to_owned));
    }
    all
}

fn finalizers(kind: &Kind, metadata: &At<'_>, e: &mut Errors) {
    if kind.strategy.own_finalizers {
        metadata.get("finalizers").items().for_each(|item| metadata::standard_finalizer(&item, e));
    }
}

fn refuse(kind: &Kind, object: &Value, e: Errors) -> Result<(), Status> {
    if e.is_empty() { Ok(()) } else { Err(Status::invalid(kind.qualified_kind(), meta::name(object), e)) }
}
