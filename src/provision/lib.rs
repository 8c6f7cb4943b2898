//! Making a plan happen: state on this machine, the journal, calls to AWS and steps on nodes.
//!
//! Decides nothing about what a cluster should be; that is `plan`'s.

pub mod app;
pub mod bootstrap;
mod down;
pub mod execute;
pub mod journal;
pub mod state;

pub use down::{DownError, Removed, down};

#[cfg(test)]
mod sweep;
