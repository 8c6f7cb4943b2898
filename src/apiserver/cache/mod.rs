//! The watch cache: every object as the bytes that clients are sent, and what happened lately.
//!
//! One watch of the store feeds it ([`feed`]); each kind has its own shelf ([`shelf`]) of
//! entries ([`entry`]) and a window of events. Readers take `Arc`s under a short lock and
//! never wait for each other; watchers are cursors into the window, so that a slow one
//! costs nothing and is closed once the window has passed it.

pub mod entry;
pub mod envelope;
pub mod feed;
pub mod fresh;
pub mod shelf;

pub use entry::{Change, Entry, Event};
pub use feed::{Cache, CacheError};
pub use shelf::{Shelf, Watched};
