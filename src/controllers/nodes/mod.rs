//! What the control plane does for nodes: ranges of pod addresses, taints of those that are
//! not well, and pods whose node is gone.

pub mod ipam;
pub mod lifecycle;
