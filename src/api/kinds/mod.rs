//! The built-in kinds: what is particular to each, and what is the same for all.

pub mod flow;
pub mod metadata;
