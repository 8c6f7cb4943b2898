//! The Node authorizer: a kubelet may reach what its own pods need, and no other node's.
//! [`Graph`] knows which node each object is for; [`authorizer`] asks it.

mod authorizer;
mod graph;
mod references;
#[cfg(test)]
mod tests;

pub use authorizer::NodeAuthorizer;
pub(crate) use graph::Related;
pub use graph::{Graph, NodeKind};
pub(crate) use references::of_pod;
