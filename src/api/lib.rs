//! The Kubernetes API as data: what kinds there are, what their objects look like, and
//! every decision about an object that needs no other. Pure: no clock, files, network
//! or randomness.
//!
//! An object is a [`serde_json::Value`]; [`schema`] says what may be in it. Nothing here
//! knows a kind by a Rust type: handlers are written once over the tree.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod apply;
pub mod canonical;
pub mod decode;
pub mod default;
pub mod field_error;
#[cfg(test)]
mod fuzz;
pub mod kind;
pub mod kinds;
pub mod meta;
pub mod names;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod schema;
pub mod selector;
pub mod status;
pub mod structural;
pub mod table;
pub mod time;
pub mod value;
