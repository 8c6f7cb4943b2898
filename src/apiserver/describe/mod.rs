//! What the server tells of itself: discovery, health, metrics, version.

pub mod columns;
pub mod discovery;
pub mod health;
pub mod metrics;
pub mod openapi;
pub mod version;
