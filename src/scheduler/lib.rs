//! The scheduler's decisions: a snapshot of nodes and pods in, a node or reasons out. Pure.
//!
//! [`Cluster`] holds what counts of nodes and of the pods on them; [`decide`] filters and
//! scores like upstream's default profile and words refusals as upstream does; where no node
//! fits, [`preempt`] looks for pods of lower priority to make room.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod affinity;
mod cluster;
mod decide;
mod fit;
mod labels;
mod node;
mod pod;
mod preempt;
mod resources;
mod score;
mod spread;
#[cfg(test)]
mod tests;

pub use cluster::Cluster;
pub use decide::{Outcome, Refusal, decide};
pub use fit::{admits, may_stay};
pub use node::Node;
pub use pod::Pod;
pub use preempt::{Budget, Preemption, preempt};
