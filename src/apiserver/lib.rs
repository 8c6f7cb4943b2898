//! The API server: the watch cache over the store, the one chain that every request goes
//! through, and HTTP in front of it.
//!
//! Objects are trees and bytes, never Rust types of their own: what a kind is, its row in
//! [`api`] says.

pub mod actions;
pub mod cache;
pub mod chain;
pub mod describe;
pub mod dispatch;
pub mod exchange;
pub mod gate;
pub mod http;
pub mod json;
mod lease;
pub mod limits;
pub mod local;
pub mod manager;
pub mod options;
pub mod read;
pub mod refusal;
pub mod request;
pub mod respond;
pub mod routes;
pub mod server;
pub mod start;
#[cfg(test)]
mod tests;
pub mod view;
pub mod write;

pub use local::{Local, LocalError};
pub use server::{Options, Server};
