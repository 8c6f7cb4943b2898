//! Server-side apply.

use std::borrow::Cow;

use serde_json::Value;

use super::collect::{said, zero};
use super::element::same;
use super::entries::{Entry, ManagedFields, Manager};
use super::merge::merge;
use super::owners::{
    Difference, after_update, managed_of, put_managed, strip, take_from_others, take_managed,
};
use super::reconcile::reconcile;
use super::remove::{with_parents, without};
use super::set::FieldSet;
use super::shape::Shape;
use super::validate::validate;
use super::{Conflicts, Target, last_applied};
use crate::meta;
use crate::schema::TypeId;

/// Who owns the fields of an object that was written before anybody was recorded.
const BEFORE: &str = "before-first-apply";

/// Who applies, and how.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The manager's name, which an apply must give.
    pub manager: &'a str,
    /// Whether fields of others are taken over.
    pub force: bool,
    /// RFC 3339, whole seconds, UTC.
    pub now: &'a str,
}

/// An apply that went well.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object with its entries, to be brought into canonical form and given defaults:
    /// what was taken out may stand as null.
    pub object: Value,
    /// Whether anything but entries differs from the live object.
    pub changed: bool,
}

/// Why an apply is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApplyError {
    /// 400 BadRequest with this message.
    #[error("{0}")]
    BadRequest(String),
    /// 409 Conflict: [`Conflicts::status`].
    #[error("the applied object changes fields of others")]
    Conflict(Conflicts),
    /// 500 without a reason, with this message: upstream's answer to a configuration that is
    /// not of its type.
    #[error("{0}")]
    Internal(String),
}

/// Lays `config` over `live` (nothing where the object is to be created).
///
/// # Errors
/// [`ApplyError`]; then nothing is to be written.
pub fn apply(
    target: &Target<'_>,
    live: Option<&Value>,
    config: &Value,
    options: Options<'_>,
) -> Result<Applied, ApplyError> {
    check_kind(target, config)?;
    let mut live = live.map_or_else(|| zero_of(target), Cow::Borrowed);
    let old = ManagedFields::stored(managed_of(&live).cloned());
    let mut managed = old.map_err(|error| internal(format!("failed to decode managed fields: {error}")))?;
    if managed.entries.is_empty() {
        let empty = zero(target.schema, target.ty);
        take_managed(live.to_mut());
        managed = after_update(target, &empty, &live, managed, BEFORE, options.now)
            .map_err(|error| internal(format!("failed to create manager for existing fields: {error}")))?;
    }
    let applied = match lay_over(target, &live, config, managed.clone(), options) {
        Err(ApplyError::Conflict(conflicts)) if options.manager == last_applied::KUBECTL => {
            match last_applied::allowed(target, &live) {
                None => return Err(ApplyError::Conflict(conflicts)),
                Some(allowed) => {
                    let left = conflicts.without(&allowed);
                    if !left.all().is_empty() {
                        return Err(ApplyError::Conflict(left));
                    }
                    lay_over(target, &live, config, managed, Options { force: true, ..options })
                }
            }
        }
        other => other,
    };
    let mut applied = applied?;
    if options.manager == last_applied::KUBECTL {
        last_applied::renew(&mut applied.object, config);
    }
    Ok(applied)
}

fn internal(message: impl Into<String>) -> ApplyError {
    ApplyError::Internal(message.into())
}

fn zero_of<'o>(target: &Target<'_>) -> Cow<'o, Value> {
    let mut object = zero(target.schema, target.ty);
    meta::put(&mut object, "apiVersion", target.api_version);
    meta::put(&mut object, "kind", target.kind);
    Cow::Owned(object)
}

fn check_kind(target: &Target<'_>, config: &Value) -> Result<(), ApplyError> {
    let of = |name| meta::str_at(config, name);
    if (of("apiVersion"), of("kind")) != (target.api_version, target.kind) {
        let said = group_version_kind(of("apiVersion"), of("kind"));
        return Err(ApplyError::BadRequest(format!("invalid object type: {said}")));
    }
    match managed_of(config) {
        Some(Value::Array(_)) => Err(ApplyError::BadRequest("metadata.managedFields must be nil".into())),
        _ => Ok(()),
    }
}

/// As upstream prints it: `/v1, Kind=Pod`.
fn group_version_kind(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}

/// The object as messages name it.
fn named(object: &Value) -> String {
    let of = |name| meta::str_at(object, name);
    let kind = group_version_kind(of("apiVersion"), of("kind"));
    format!("{}/{}; {kind}", meta::namespace(object), meta::name(object))
}

fn lay_over(
    target: &Target<'_>,
    live: &Value,
    config: &Value,
    mut managed: ManagedFields,
    options: Options<'_>,
) -> Result<Applied, ApplyError> {
    let (schema, shape) = (target.schema, Shape::of_object(target.schema, target.ty));
    validate(schema, shape, config).map_err(|error| {
        internal(format!("failed to create typed patch object ({}): {error}", named(config)))
    })?;
    let merged = merge(schema, shape, live, config)
        .map_err(|error| internal(format!("failed to merge config: {error}")))?;
    let mut set =
        said(schema, shape, config).map_err(|error| internal(format!("failed to get field set: {error}")))?;
    target.reset.apply(&mut set);

    let manager = Manager::new(options.manager, true, target.api_version, target.subresource);
    let last = managed.take(&manager).map(|mut last| {
        if last.api_version == target.api_version {
            reconcile(schema, shape, last.set_mut());
        }
        last
    });
    let time = last.as_ref().and_then(|last| last.time.clone());
    managed.entries.push(Entry::new(manager.clone(), target.api_version, time, set));
    let merged = match last {
        Some(last) if !last.is_empty() => give_up(target, merged, &managed, &last)
            .map_err(|error| internal(format!("failed to prune fields: {error}")))?,
        _ => merged,
    };

    let difference = Difference::between(target, live, &merged)
        .map_err(|error| internal(format!("failed to compare objects: {error}")))?;
    let conflicts = take_from_others(target, &difference, &mut managed, Some(&manager), live, &merged)
        .map_err(|error| internal(format!("failed to compare objects: {error}")))?;
    if !options.force && !conflicts.by_manager.is_empty() {
        return Err(ApplyError::Conflict(conflicts));
    }

    let changed = !same(live, &merged);
    for entry in managed.entries.iter_mut().filter(|entry| entry.manager == manager) {
        strip(entry.set_mut());
        if changed {
            entry.time = Some(options.now.to_owned());
        }
    }
    managed.drop_empty();
    let mut object = if changed { merged } else { live.clone() };
    put_managed(&mut object, managed.written());
    Ok(Applied { object, changed })
}

/// Takes out what this manager applied last time and does not now, unless somebody else
/// holds it. What nobody holds stays: it was not applied.
fn give_up(
    target: &Target<'_>,
    merged: Value,
    managed: &ManagedFields,
    last: &Entry,
) -> Result<Value, String> {
    let Some((at_last, ty)) = at(target, &merged, &last.api_version) else { return Ok(merged) };
    let shape = Shape::of_object(target.schema, ty);
    let last_set = with_parents(target.schema, Some(shape), &last.set());
    let own = managed.entries.last().filter(|own| own.api_version == last.api_version);
    let mut given_up = last_set.clone();
    if let Some(own) = own {
        given_up.subtract(&with_parents(target.schema, Some(shape), &own.set()));
    }
    if given_up.is_empty() {
        return Ok(merged);
    }
    let mut pruned = without(target.schema, shape, &at_last, &last_set);
    for version in versions_of(managed, &last.api_version) {
        if let Some(added) = add_back_owned(target, &at_last, &pruned, managed, version, &last.api_version)? {
            pruned = added;
        }
    }
    let kept = with_parents(target.schema, Some(shape), &said(target.schema, shape, &pruned)?);
    let mut gone = with_parents(target.schema, Some(shape), &said(target.schema, shape, &at_last)?);
    gone.subtract(&kept);
    let gone = gone.intersection(&last_set);
    let left = without(target.schema, shape, &at_last, &gone);
    if last.api_version == target.api_version {
        return Ok(left);
    }
    let back = target.versions.at(&left, target.api_version);
    Ok(back.map_or_else(|| left.clone(), |(back, _)| back.into_owned()))
}

/// Versions with entries, `first` before all others: what is taken out may be needed to
/// convert.
fn versions_of<'m>(managed: &'m ManagedFields, first: &'m str) -> Vec<&'m str> {
    let mut versions: Vec<&str> = managed.entries.iter().map(|entry| entry.api_version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    versions.sort_by_key(|version| *version != first);
    versions
}

/// Adds back what entries of one version hold; nothing where that version is not known.
fn add_back_owned(
    target: &Target<'_>,
    merged: &Value,
    pruned: &Value,
    managed: &ManagedFields,
    version: &str,
    last_version: &str,
) -> Result<Option<Value>, String> {
    let (Some((merged_at, ty)), Some((pruned_at, _))) =
        (at(target, merged, version), at(target, pruned, version))
    else {
        return Ok(None);
    };
    let (schema, shape) = (target.schema, Shape::of_object(target.schema, ty));
    let owned = managed.entries.iter().filter(|entry| entry.api_version == version);
    let owned = owned.fold(FieldSet::default(), |all, entry| all.union(entry.set().into_owned()));
    let mut gone = with_parents(schema, Some(shape), &said(schema, shape, &merged_at)?);
    gone.subtract(&with_parents(schema, Some(shape), &said(schema, shape, &pruned_at)?));
    gone.subtract(&with_parents(schema, Some(shape), &owned));
    let pruned = without(schema, shape, &merged_at, &gone);
    if version == last_version {
        return Ok(Some(pruned));
    }
    Ok(at(target, &pruned, last_version).map(|(back, _)| back.into_owned()))
}

fn at<'o>(target: &Target<'_>, object: &'o Value, version: &str) -> Option<(Cow<'o, Value>, TypeId)> {
    if version == target.api_version && meta::str_at(object, "apiVersion") == version {
        return Some((Cow::Borrowed(object), target.ty));
    }
    target.versions.at(object, version)
}
