//! What a cluster should be, what is there, and the actions between the two. Pure: no clock, files, network or randomness.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod action;
pub mod config;
pub mod model;
pub mod planner;
pub mod price;
pub mod step;
pub mod teardown;

pub use action::{Action, Plan};
pub use step::{Role, Step};
