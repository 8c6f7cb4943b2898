//! The agent: registers its machine as a Node, runs the pods bound to it through CRI, and
//! tells the API what becomes of them (upstream's kubelet).
//!
//! What to do is decided by [`pods`]; here it is done. Every pod has a task of its own, so
//! that one that hangs holds up no other.

mod config;
mod context;
mod create;
mod cri;
mod doors;
mod images;
mod log;
mod node;
mod objects;
mod pause;
mod pod;
mod probes;
mod run;
mod runtime;
mod server;
mod stats;
mod volumes;

pub use config::{Config, ConfigError, Taint};
pub use run::{Options, run};
