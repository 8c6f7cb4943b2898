//! What an object may contain: types, fields, and how each is decoded, merged and printed.
//!
//! [`model`] is the shape; built-in kinds' tables and a custom resource's structural schema
//! are both brought into it.

pub mod model;

pub use model::{Field, ListType, MergeStrategy, Object, Omit, Place, Rules, Scalar, Schema, Type, TypeId};
