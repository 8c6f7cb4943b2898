//! The tags by which a cluster's resources are found again, with or without local state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Tag key of the cluster's name.
pub const CLUSTER: &str = "cluster-name";
/// Tag key of the cluster's unique id, drawn once at its first `up`.
pub const UID: &str = "cluster-uid";
/// Tag key of the slot: which part of the cluster a resource is (`vpc`, `subnet-us-east-1a`, `master-0`).
pub const SLOT: &str = "cluster-slot";
/// Tag key that AWS's console shows as a resource's name.
pub const NAME: &str = "Name";

/// A resource's tags, in key order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    /// The tags of `slot` in the cluster `name` with unique id `uid`.
    #[must_use]
    pub fn of_slot(name: &str, uid: &str, slot: &str) -> Self {
        Self(BTreeMap::from([
            (CLUSTER.to_owned(), name.to_owned()),
            (UID.to_owned(), uid.to_owned()),
            (SLOT.to_owned(), slot.to_owned()),
            (NAME.to_owned(), format!("{name}-{slot}")),
        ]))
    }

    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The slot this resource fills, if it is a cluster's.
    #[must_use]
    pub fn slot(&self) -> Option<&str> {
        self.get(SLOT)
    }

    /// Whether the resource belongs to the cluster called `name`.
    #[must_use]
    pub fn belongs_to(&self, name: &str) -> bool {
        self.get(CLUSTER) == Some(name)
    }
}
