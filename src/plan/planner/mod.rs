//! `decide(desired, observed) -> Plan`: the actions that `plan` prints and `up` runs.
//!
//! Planning what has just been run gives an empty plan; that is a test. What
//! cannot be done without losing something is refused, naming field and nodes.

pub mod desired;
mod network;
mod nodes;
mod owned;
mod rules;

use std::collections::BTreeMap;

pub use desired::{Desired, DesiredNode, DesiredSubnet, Resolved};

use crate::action::Plan;
use crate::model::Inventory;
use crate::step::Step;

/// What was seen of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The account.
    pub inventory: Inventory,
    /// Slots whose machine was once bootstrapped, with its instance id.
    pub established: BTreeMap<String, String>,
    /// The steps that do not hold, of each node that could be asked. A live
    /// node that is missing here could not be asked: all its steps are run.
    pub unsatisfied: BTreeMap<String, Vec<Step>>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// An edit that needs machines or networks to be replaced.
    #[error(
        "{field}: {live} cannot become {wanted} on a running cluster ({}); put {live} back, or take the cluster down and raise it anew",
        nodes.join(", ")
    )]
    Fixed {
        /// The field of cluster.yaml.
        field: String,
        /// What runs.
        live: String,
        /// What cluster.yaml says.
        wanted: String,
        /// The nodes it would touch.
        nodes: Vec<String>,
    },
    /// Machines run that the configuration no longer has.
    #[error(
        "cluster.yaml has no place for {} any more, and removing nodes is not possible yet; put their groups and counts back",
        nodes.join(", ")
    )]
    Shrinks {
        /// Their slots.
        nodes: Vec<String>,
    },
    /// The only master is gone.
    #[error(
        "{slot} ({id}) is gone, and the cluster's data with it: a new machine would be an empty cluster under the old name; run `cluster down`, then `cluster up`"
    )]
    LostMaster {
        /// Its slot.
        slot: String,
        /// The instance it was.
        id: String,
    },
    /// The name is taken by resources with another uid.
    #[error(
        "{id} belongs to another cluster called {name} (uid {uid}); choose another name, or use the state folder of that cluster"
    )]
    OtherCluster {
        /// The name.
        name: String,
        /// The resource found.
        id: String,
        /// Its cluster's uid.
        uid: String,
    },
    /// Two resources fill one slot and both are in use.
    #[error(
        "{first} and {second} both fill the slot {slot} and both are in use; remove what uses one of them"
    )]
    DuplicateInUse {
        /// The slot.
        slot: String,
        /// The one with more uses.
        first: String,
        /// The other.
        second: String,
    },
    /// The key pair holds another public key.
    #[error(
        "the key pair {name} ({id}) holds another public key than the state folder; somebody replaced it: delete it and run `cluster up` again"
    )]
    OtherKey {
        /// `key-…`
        id: String,
        /// Its name.
        name: String,
    },
}

/// The actions between `observed` and `desired`.
///
/// # Errors
/// What cannot be reached without loss, or belongs to somebody else.
pub fn decide(desired: &Desired, observed: &Observed) -> Result<Plan, Refusal> {
    let owned = owned::Owned::new(desired, &observed.inventory)?;
    let mut actions = owned.removals.clone();
    actions.extend(network::actions(desired, &observed.inventory, &owned)?);
    actions.extend(nodes::actions(desired, observed, &owned)?);
    Ok(Plan { actions, notes: Vec::new() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
