//! Who is asking, whether they may, and what is made of their object before it is
//! validated: authentication, authorization and admission as decisions over data that
//! is handed in. Pure: no clock, files, network or randomness, so every door can be
//! read and tested without a server.
//!
//! The order of a request: evidence becomes a [`User`], the URL an [`Attributes`], the
//! authorizers give a [`Decision`], admission then looks at the object.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod admission;
pub mod attributes;
pub mod authenticate;
pub mod authorizer;
pub mod bootstrap;
#[cfg(test)]
mod fixture;
pub mod forbidden;
pub mod impersonate;
pub mod lookups;
pub mod node;
#[cfg(test)]
mod property_tests;
pub mod rbac;
pub mod review;
#[cfg(test)]
mod security_tests;
pub mod token;
pub mod user;
mod words;

pub use attributes::{Attributes, Decision, FieldRequirement};
pub use authorizer::Authorizer;
pub use user::User;
