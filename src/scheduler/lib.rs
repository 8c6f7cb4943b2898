//! The scheduler's decisions: a snapshot of nodes and pods in, a node or reasons out. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
