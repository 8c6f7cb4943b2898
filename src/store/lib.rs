//! Where the control plane's objects live: one contract ([`Store`]), which is etcd's, on two
//! backends: [`Embedded`], a log of our own below a folder, and etcd itself.
//!
//! Keys and values are bytes here: what they mean is known above (`/registry/…`). Nothing here
//! caches objects: whoever reads a lot keeps a watch.

pub mod compactor;
mod contract;
pub mod embedded;
mod error;
pub mod etcd;
mod snapshot;
mod txn;
mod types;

#[cfg(test)]
mod suite;

pub use compactor::Compactor;
pub use contract::{Store, Watch, WatchSource};
pub use embedded::{Embedded, EmbeddedOptions};
pub use error::{BoxedError, StoreError};
pub use etcd::{Etcd, EtcdOptions, EtcdTls};
pub use snapshot::SnapshotInfo;
pub use txn::{Check, Compare, Op, OpResult, Txn, TxnResponse};
pub use types::{
    Batch, Event, EventKind, KeyRange, KeyValue, LeaseId, Previous, Range, RangeResponse, Revision, Status,
    WatchRequest,
};

/// Bounds that hold on every backend. They are etcd's defaults, so that what was written on one
/// backend can be written on the other.
pub mod limits {
    /// Bytes of one transaction: all keys and values, and [`ENCODING_BYTES`] for each part.
    pub const REQUEST_BYTES: usize = 1_572_864;
    /// What etcd's encoding adds to an operation, a comparison, and to the whole, at most.
    pub const ENCODING_BYTES: usize = 64;
    /// Operations in either branch of a transaction, and its comparisons.
    pub const OPERATIONS: usize = 128;
    /// Bytes of one key.
    pub const KEY_BYTES: usize = 4_096;
    /// Bytes of values after which an answer to a range ends early, with `more` set.
    pub const RANGE_BYTES: usize = 8 << 20;
}
