//! The controller manager: each part watches objects, decides what should differ, and says
//! so to the API server.
//!
//! Every controller has the same shape: a projection kept from watched changes, a pure
//! `decide`, and a `sync` that looks up what the projection does not hold and sends what was
//! decided. [`run`] drives them all: first lists before first decisions, one sync per key at
//! a time, retries with back-off. Reads and writes go through [`Api`], which is the API server's
//! whole request chain under the controller's own identity.

pub mod aggregation;
pub mod disruption;
mod driver;
pub mod endpoint_slice;
pub mod endpoints;
pub mod events;
pub mod garbage;
pub mod load_balancer;
pub mod namespace;
pub mod nodes;
mod projection;
mod queue;
pub mod quota;
pub mod root_ca;
pub mod scheduling;
pub mod service_account;
#[cfg(test)]
mod tests;
pub mod workloads;
#[cfg(test)]
mod world;

pub use client::{
    Api, ApiError, Change, Event, List, Place, Propagation, Resource, Selection, View, Watched, Write,
};
pub use driver::{Controller, Interest, Next, run};
pub use projection::Projection;
