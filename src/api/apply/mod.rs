//! Who owns which field: server-side apply, and `metadata.managedFields` on every write.
//!
//! [`update`] is for writes whose result is known (create, update, the other patches): what
//! changed moves to the writer, what is gone is nobody's. [`apply`] lays a configuration over
//! the live object: fields of others that it changes are conflicts, fields that its manager
//! applied before and no longer does are removed unless somebody else holds them.
//!
//! Objects come in canonical form at the version of the request, in upstream's order of a
//! write: decoded and defaulted, but before admission and the strategy have changed them.
//! Time, names and versions are arguments. Refused: an applied object that has managedFields
//! itself, or fields the schema does not have.
//!
//! | file | what |
//! |---|---|
//! | [`element`], [`set`] | a step of a path; a tree of them, FieldsV1 |
//! | [`shape`] | how a type is seen: parts, items, one value |
//! | [`compare`], [`collect`], [`merge`], [`remove`], [`validate`], [`reconcile`] | walks over objects |
//! | [`entries`], [`conflict`], [`reset`], [`manager`], [`last_applied`], [`scale`] | entries and their rules |
//! | [`owners`], [`applying`] | the two operations |

mod applying;
mod collect;
mod compare;
mod conflict;
mod element;
mod entries;
mod last_applied;
mod manager;
mod merge;
mod owners;
#[cfg(test)]
mod properties;
mod reconcile;
mod remove;
mod reset;
#[cfg(test)]
mod rules;
mod scale;
mod set;
mod shape;
#[cfg(test)]
mod tests;
mod validate;

use std::borrow::Cow;

use serde_json::Value;

pub use applying::{Applied, ApplyError, Options, apply};
pub use conflict::Conflicts;
pub use element::Element;
pub use entries::ManagedFields;
pub use manager::{check_manager, check_patch_options, manager_name};
pub use owners::{NotTracked, keep_times, update};
pub use reset::Reset;
pub use scale::{ReplicasPaths, from_scale, to_scale};
pub use set::FieldSet;

use crate::kind::Kind;
use crate::meta;
use crate::schema::{Schema, TypeId};

/// What is written: a kind at a version, through which door.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// Where `ty` is from.
    pub schema: &'a Schema,
    /// The object's type at this version.
    pub ty: TypeId,
    /// `v1`, `apps/v1`.
    pub api_version: &'a str,
    /// `Deployment`.
    pub kind: &'a str,
    /// `status`, `scale`; empty for the object itself.
    pub subresource: &'a str,
    /// What is not owned by those who write here.
    pub reset: &'a Reset,
    /// How the object looks at other versions.
    pub versions: &'a dyn Versions,
}

/// Conversion between the versions of a kind.
pub trait Versions {
    /// The object at another version (or, being there already, as it is), with its type
    /// there; nothing where that version is not
    /// known (any more): then entries of that version are dropped.
    fn at<'o>(&self, object: &'o Value, api_version: &str) -> Option<(Cow<'o, Value>, TypeId)>;
}

/// A kind converts by way of the form that it is kept in. Which version an object is at, its
/// `apiVersion` says.
impl Versions for Kind {
    fn at<'o>(&self, object: &'o Value, api_version: &str) -> Option<(Cow<'o, Value>, TypeId)> {
        let row = |api_version: &str| {
            let name = api_version.rsplit_once('/').map_or(api_version, |(_, name)| name);
            self.version(name).filter(|_| self.api_version(name) == api_version)
        };
        let to = row(api_version)?;
        let is_at = meta::str_at(object, "apiVersion");
        if is_at == api_version {
            return Some((Cow::Borrowed(object), to.object));
        }
        let from = row(is_at)?;
        let mut object = object.clone();
        (from.to_storage)(&mut object);
        (to.from_storage)(&mut object);
        meta::put(&mut object, "apiVersion", api_version);
        Some((Cow::Owned(object), to.object))
    }
}

/// A kind with one version.
#[derive(Debug, Clone, Copy)]
pub struct OneVersion;

impl Versions for OneVersion {
    fn at<'o>(&self, _: &'o Value, _: &str) -> Option<(Cow<'o, Value>, TypeId)> {
        None
    }
}
