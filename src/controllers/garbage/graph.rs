//! Who owns whom: a node per object, and the dependents of each uid.
//!
//! Synchronous and without I/O. Changes give the uids that may need something done; whether
//! they do is asked later, when the graph may have moved on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::decide::{Ownership, Standing};
use crate::{Place, Resource};

/// Finalizer of an object whose dependents are deleted before it.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an object whose dependents are kept.
pub const ORPHAN: &str = "orphan";

/// An object's uid.
pub type Uid = Arc<str>;

/// What the collector keeps of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its uid.
    pub uid: Uid,
    /// Its resource.
    pub resource: Arc<Resource>,
    /// Its namespace and name.
    pub place: Place,
    /// Its owners, as it names them.
    pub owners: Vec<Owner>,
    /// Whether it has a deletion timestamp.
    pub deleting: bool,
    /// Whether it has the finalizer [`FOREGROUND`].
    pub foreground: bool,
    /// Whether it has the finalizer [`ORPHAN`].
    pub orphan: bool,
}

/// One entry of `metadata.ownerReferences`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The owner's uid.
    pub uid: Uid,
    /// The owner's API version.
    pub api_version: Arc<str>,
    /// The owner's kind.
    pub kind: Arc<str>,
    /// The owner's name.
    pub name: Arc<str>,
    /// Whether the owner's foreground deletion waits for this object.
    pub blocks: bool,
}

/// The graph.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: BTreeMap<Uid, Node>,
    dependents: BTreeMap<Uid, BTreeSet<Uid>>,
    by_resource: BTreeMap<Arc<Resource>, BTreeSet<Uid>>,
}

impl Node {
    /// Reads an object's metadata; none where it has no uid.
    pub fn of(resource: &Arc<Resource>, object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        let finalizers = metadata["finalizers"].as_array();
        let has = |name: &str| finalizers.is_some_and(|list| list.iter().any(|entry| entry == name));
        Some(Self {
            uid: metadata["uid"].as_str()?.into(),
            resource: Arc::clone(resource),
            place: Place::of(object),
            owners: metadata["ownerReferences"].as_array().into_iter().flatten().map(Owner::of).collect(),
            deleting: !metadata["deletionTimestamp"].is_null(),
            foreground: has(FOREGROUND),
            orphan: has(ORPHAN),
        })
    }

    /// Whether the deletion of `owner` waits for this object.
    pub fn blocks(&self, owner: &Uid) -> bool {
        self.owners.iter().any(|reference| reference.uid == *owner && reference.blocks)
    }

    fn waits(&self) -> bool {
        self.deleting && self.foreground
    }
}

impl Owner {
    fn of(reference: &Value) -> Self {
        let text = |field: &str| reference[field].as_str().unwrap_or_default().into();
        Self {
            uid: text("uid"),
            api_version: text("apiVersion"),
            kind: text("kind"),
            name: text("name"),
            blocks: reference["blockOwnerDeletion"] == true,
        }
    }

    fn group(&self) -> &str {
        self.api_version.rsplit_once('/').map_or("", |(group, _)| group)
    }
}

impl Graph {
    /// The object of a uid.
    pub fn node(&self, uid: &Uid) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The objects that name `uid` as an owner.
    pub fn dependents(&self, uid: &Uid) -> impl Iterator<Item = &Node> {
        let uids = self.dependents.get(uid).into_iter().flatten();
        uids.filter_map(|uid| self.nodes.get(uid))
    }

    /// What hangs on an object.
    pub fn ownership(&self, uid: &Uid) -> Ownership {
        let mut all = self.dependents(uid).peekable();
        Ownership { any: all.peek().is_some(), waiting: all.any(Node::waits) }
    }

    /// What the graph knows of an owner; none where it must be asked for.
    pub fn standing(&self, node: &Node, owner: &Owner) -> Option<Standing> {
        let found = self.nodes.get(&owner.uid)?;
        let named = found.resource.kind == owner.kind
            && *found.resource.group == *owner.group()
            && found.place.name == owner.name
            && (!found.resource.namespaced || found.place.namespace == node.place.namespace);
        named.then(|| if found.waits() { Standing::Waiting } else { Standing::Solid })
    }

    /// Takes an object as it now is.
    pub fn put(&mut self, node: Node) -> Vec<Uid> {
        let before = self.take_out(&node.uid);
        let mut concerned = vec![node.uid.clone()];
        if node.waits() {
            concerned.extend(self.dependents(&node.uid).map(|dependent| dependent.uid.clone()));
        }
        // An owner that waits may be free of an object that no longer names or blocks it.
        let owners = before.iter().flat_map(|before| &before.owners);
        let freed = owners.filter(|owner| owner.blocks && !node.blocks(&owner.uid));
        concerned.extend(freed.map(|owner| owner.uid.clone()));
        self.put_in(node);
        concerned
    }

    /// Takes out an object that is gone.
    pub fn remove(&mut self, resource: &Arc<Resource>, uid: &str) -> Vec<Uid> {
        let uid: Uid = uid.into();
        if let Some(uids) = self.by_resource.get_mut(resource) {
            uids.remove(&uid);
        }
        let gone = self.take_out(&uid);
        let dependents = self.dependents(&uid).map(|dependent| dependent.uid.clone());
        let owners = gone.iter().flat_map(|node| &node.owners).map(|owner| owner.uid.clone());
        dependents.chain(owners).collect()
    }

    /// Takes all objects of a resource: what is not among them is gone.
    pub fn replace(&mut self, resource: &Arc<Resource>, nodes: impl Iterator<Item = Node>) -> Vec<Uid> {
        let mut gone = self.by_resource.remove(resource).unwrap_or_default();
        let mut concerned = Vec::new();
        for node in nodes {
            gone.remove(&node.uid);
            concerned.extend(self.put(node));
        }
        for uid in gone {
            concerned.extend(self.remove(resource, &uid));
        }
        concerned
    }

    fn put_in(&mut self, node: Node) {
        for owner in &node.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(node.uid.clone());
        }
        self.by_resource.entry(Arc::clone(&node.resource)).or_default().insert(node.uid.clone());
        self.nodes.insert(node.uid.clone(), node);
    }

    fn take_out(&mut self, uid: &Uid) -> Option<Node> {
        let node = self.nodes.remove(uid)?;
        for owner in &node.owners {
            if let Some(uids) = self.dependents.get_mut(&owner.uid) {
                uids.remove(uid);
                if uids.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        Some(node)
    }
}
