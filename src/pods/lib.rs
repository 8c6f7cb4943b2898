//! The pod worker's decisions: what a pod's spec and its containers' state ask for next. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
