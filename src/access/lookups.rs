//! What decisions need to know of other objects, asked of whoever has them.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use api::meta;

/// The kinds that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// `v1` Namespace
    Namespace,
    /// `v1` ServiceAccount
    ServiceAccount,
    /// `v1` Secret
    Secret,
    /// `v1` Pod
    Pod,
    /// `v1` Node
    Node,
    /// `scheduling.k8s.io/v1` PriorityClass
    PriorityClass,
    /// `v1` PersistentVolumeClaim
    PersistentVolumeClaim,
    /// `v1` PersistentVolume
    PersistentVolume,
    /// `resource.k8s.io/v1` ResourceClaim
    ResourceClaim,
    /// `storage.k8s.io/v1` VolumeAttachment
    VolumeAttachment,
    /// `storage.k8s.io/v1` CSIDriver
    CsiDriver,
    /// `node.k8s.io/v1` RuntimeClass
    RuntimeClass,
}

/// Other objects as they are now. A server answers from its cache, which must not be
/// older than the store was when the request came in.
pub trait Lookups {
    /// One object; the namespace of cluster-wide kinds is empty.
    fn get(&self, what: What, namespace: &str, name: &str) -> Option<Arc<Value>>;

    /// Every PriorityClass, for the one that is the default.
    fn priority_classes(&self) -> Vec<Arc<Value>>;

    /// What a token is checked against: cheaper than the whole object where the server
    /// keeps metadata apart.
    fn identity(&self, what: What, namespace: &str, name: &str) -> Option<Identity> {
        self.get(what, namespace, name).map(|object| Identity::of(&object))
    }
}

/// Which object of a name this is, and whether it is going.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.deletionTimestamp`
    pub deleted: Option<Timestamp>,
}

impl Identity {
    /// Reads it off an object.
    pub fn of(object: &Value) -> Identity {
        let uid = meta::uid(object).to_owned();
        Identity { uid, deleted: meta::deletion_timestamp(object).and_then(|at| at.parse().ok()) }
    }
}
