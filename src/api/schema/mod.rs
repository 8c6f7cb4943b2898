//! What an object may contain: types, fields, and how each is decoded, merged and printed.
//!
//! [`model`] is the shape; built-in kinds' [`tables`] (written by scripts/schema from published
//! interfaces, read by [`table`]) and a custom resource's structural schema are both brought
//! into it.

use std::sync::{Arc, LazyLock};

pub mod model;
pub mod table;
pub mod tables;

pub use model::{
    Alternative, Field, GroupVersionKind, ListType, MergeStrategy, Object, Omit, Place, Published, Rules,
    Scalar, Schema, Type, TypeId,
};

/// The types of every built-in kind, read once.
///
/// # Panics
/// Where a committed table cannot be read; a test reads them all.
#[must_use]
#[allow(clippy::panic, reason = "tables are part of the program, and a test reads every line")]
pub fn builtin() -> &'static Arc<Schema> {
    static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| match table::read(tables::TABLES) {
        Ok(schema) => Arc::new(schema),
        Err(error) => panic!("{error}"),
    });
    &SCHEMA
}
