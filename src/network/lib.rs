//! The pod network of a machine: links, routes, firewall and DNS sockets, as decided by [`proxy`].
//!
//! What is to be there is decided again at every change; what is applied is the difference. The
//! kernel is told through the tools that every node has: `ip`, `bridge` and `nft`.

mod dns;
mod firewall;
mod links;
mod run;
mod tool;

pub use run::{Options, run};
