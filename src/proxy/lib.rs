//! Services to nftables rules, names to DNS answers, nodes to routes. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod dns;
mod endpoints;
pub mod names;
pub mod peers;
pub mod rules;
#[cfg(test)]
mod tests;

pub use endpoints::{Endpoint, Port, Service, Services, Traffic};
