//! Ownership across the scale subresource: an object's entries as they look on its Scale, and
//! a Scale's entries brought back, where they are about the object's number of replicas.
//!
//! Upstream tells the entries of updates apart by version, and the two objects' versions
//! differ: an update through the object loses its replicas to a nameless time. So it does here.

use serde_json::Value;

use super::element::Element;
use super::entries::{Entry, ManagedFields};
use super::set::FieldSet;

/// The version of a Scale.
const SCALE: &str = "autoscaling/v1";
const REPLICAS: &str = "spec.replicas";

/// Where a kind keeps its replicas, by `apiVersion`: a dotted path, or nothing where that
/// version has none. Entries of versions that are not listed are dropped.
#[derive(Debug, Clone, Copy)]
pub struct ReplicasPaths<'a>(pub &'a [(&'a str, Option<&'a str>)]);

impl<'a> ReplicasPaths<'a> {
    fn at(self, api_version: &str) -> Option<Option<&'a str>> {
        self.0.iter().find(|(version, _)| *version == api_version).map(|(_, path)| *path)
    }
}

/// The Scale's entries: whoever owns the object's replicas.
#[must_use]
pub fn to_scale(parent: Option<&Value>, paths: ReplicasPaths<'_>) -> Option<Value> {
    let parent = ManagedFields::stored(parent.cloned()).unwrap_or_default();
    let mut scale = ManagedFields::default();
    for entry in parent.entries {
        let Some(Some(path)) = paths.at(&entry.api_version) else { continue };
        if owns(&entry.set(), path) {
            let set = FieldSet::of_fields([REPLICAS]);
            scale.entries.push(Entry::new(entry.manager, SCALE, entry.time, set));
        }
    }
    scale.written()
}

/// The object's entries after a write through its Scale, at the version of the request.
#[must_use]
pub fn from_scale(
    parent: Option<&Value>,
    scale: Option<&Value>,
    api_version: &str,
    paths: ReplicasPaths<'_>,
) -> Option<Value> {
    let parent = ManagedFields::stored(parent.cloned()).unwrap_or_default();
    let mut scale = ManagedFields::stored(scale.cloned()).unwrap_or_default();
    let mut out = ManagedFields::default();
    for mut entry in parent.entries.iter().cloned() {
        match paths.at(&entry.api_version) {
            None => continue,
            Some(Some(path)) if owns(&entry.set(), path) && scale.take(&entry.manager).is_none() => {
                entry.set_mut().subtract(&FieldSet::of_fields([path]));
            }
            Some(_) => {}
        }
        if !entry.is_empty() {
            out.entries.push(entry);
        }
    }
    let path = paths.at(api_version).flatten();
    for entry in scale.entries.into_iter().filter(|entry| owns(&entry.set(), REPLICAS)) {
        let Some(path) = path else { continue };
        let before = parent.entries.iter().find(|it| it.manager == entry.manager);
        let time = before.and_then(|it| it.time.clone());
        out.entries.push(Entry::new(entry.manager, api_version, time, FieldSet::of_fields([path])));
    }
    out.written()
}

fn owns(set: &FieldSet, path: &str) -> bool {
    let path: Vec<_> = path.split('.').map(|name| Element::Field(name.into())).collect();
    set.contains(&path)
}
