//! What is to be done with an object, from what its owners are.

use serde_json::Value;

use super::graph::{FOREGROUND, Node, Owner, Uid};
use crate::Propagation;

/// What an owner is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is there, and does not wait for its dependents.
    Solid,
    /// It is being deleted and waits until its dependents are.
    Waiting,
    /// There is none of this name and uid.
    Dangling,
    /// A cluster-scoped object names an owner in a namespace, which cannot be.
    Misplaced,
}

/// What hangs on the object itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Whether it owns anything.
    pub any: bool,
    /// Whether something that it owns waits for dependents itself: perhaps a circle.
    pub waiting: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Keep,
    /// Take the references to these owners out: another one keeps the object.
    Disown(Vec<Uid>),
    /// Let its owners go without it first, so that a circle cannot hold them.
    DeleteUnblocked,
    /// Delete it.
    Delete(Propagation),
}

/// An owner's standing, from its object of that name.
pub fn standing(object: &Value, owner: &Owner) -> Standing {
    let metadata = &object["metadata"];
    if metadata["uid"] != *owner.uid {
        return Standing::Dangling;
    }
    let finalizers = metadata["finalizers"].as_array();
    let foreground = finalizers.is_some_and(|names| names.iter().any(|name| name == FOREGROUND));
    if foreground && !metadata["deletionTimestamp"].is_null() { Standing::Waiting } else { Standing::Solid }
}

/// Upstream's verdict over an object that is not being deleted.
pub fn decide(node: &Node, owners: &[(Owner, Standing)], dependents: Ownership) -> Action {
    let of = |wanted: Standing| owners.iter().filter(move |(_, standing)| *standing == wanted);
    if owners.is_empty() || of(Standing::Misplaced).next().is_some() {
        return Action::Keep;
    }
    if of(Standing::Solid).next().is_some() {
        let gone = owners.iter().filter(|(_, standing)| *standing != Standing::Solid);
        let gone: Vec<Uid> = gone.map(|(owner, _)| owner.uid.clone()).collect();
        return if gone.is_empty() { Action::Keep } else { Action::Disown(gone) };
    }
    if of(Standing::Waiting).next().is_some() && dependents.any {
        let blocks = owners.iter().any(|(owner, _)| owner.blocks);
        if dependents.waiting && blocks {
            return Action::DeleteUnblocked;
        }
        return Action::Delete(Propagation::Foreground);
    }
    Action::Delete(match (node.orphan, node.foreground) {
        (true, _) => Propagation::Orphan,
        (false, true) => Propagation::Foreground,
        (false, false) => Propagation::Background,
    })
}
