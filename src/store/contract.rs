//! The contract: what every backend does, and what the suite holds them to.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use crate::{
    Batch, LeaseId, Range, RangeResponse, Revision, Status, StoreError, Txn, TxnResponse, WatchRequest,
};

/// A store of keys with history, as etcd has it.
///
/// - What is acknowledged is on disk, and stays through a crash of process or machine.
/// - Reads without a revision, and [`Store::current_revision`], are linearizable: they see
///   everything that was acknowledged to anyone before they began.
/// - An error means that nothing changed, except [`StoreError::OutcomeUnknown`].
/// - A call dropped before it answers may still be done.
/// - Calls that fail by [`base::Class::Retry`] need nobody to mend the store's client: it finds
///   the store again by itself.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Compares and changes, in one revision. [`crate::limits`] hold.
    async fn txn(&self, txn: Txn) -> Result<TxnResponse, StoreError>;

    /// Reads keys, now or at a past revision that is not compacted. A page that says `more` is
    /// gone on with by [`crate::KeyRange::after`] at the first page's revision.
    async fn range(&self, range: Range) -> Result<RangeResponse, StoreError>;

    /// The store's revision: at least that of any write that was acknowledged before the call.
    /// A watch of this store reaches it without further writes, whatever keys it watches.
    async fn current_revision(&self) -> Result<Revision, StoreError>;

    /// Watches keys from a revision on. It must lie behind the last compaction: whoever has read
    /// at revision R watches from R + 1.
    async fn watch(&self, request: WatchRequest) -> Result<Watch, StoreError>;

    /// Forgets history up to `at`: values that were replaced or deleted by then. What held at
    /// `at` and later stays readable. Compacting what is compacted already is an error.
    async fn compact(&self, at: Revision) -> Result<(), StoreError>;

    /// Grants a lease: keys put with it are deleted once nobody kept it alive for `ttl`
    /// (whole seconds, at least one; a store may round up).
    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError>;

    /// Begins a lease's time anew and says how long it lasts now.
    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration, StoreError>;

    /// Ends a lease and deletes its keys, in one revision.
    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// How it is.
    async fn status(&self) -> Result<Status, StoreError>;
}

/// Where a [`Watch`] takes its batches from: a backend's half.
#[async_trait]
pub trait WatchSource: Send + fmt::Debug {
    /// See [`Watch::next`].
    async fn next(&mut self) -> Result<Batch, StoreError>;
}

/// A watch: revisions in order, without gap or repetition, until it is dropped.
///
/// It holds no queue that a store would have to wait for: one that reads slowly reads from the
/// store's history, until what it needs next is compacted ([`StoreError::WatchTooSlow`]).
#[derive(Debug)]
pub struct Watch {
    source: Box<dyn WatchSource>,
    reached: Revision,
    ended: bool,
}

impl Watch {
    /// A watch from `from` on, out of a backend's source.
    #[must_use]
    pub fn new(from: Revision, source: Box<dyn WatchSource>) -> Self {
        Self { source, reached: from.before(), ended: false }
    }

    /// The next batch. Waits for it as long as it takes, also through a store that is away.
    /// May be dropped before it is done without losing anything. An error is the end: the
    /// watch does not go on after it.
    pub async fn next(&mut self) -> Result<Batch, StoreError> {
        if self.ended {
            return Err(StoreError::Closed { at: "this watch, which has ended by an error".to_owned() });
        }
        let batch = self.source.next().await.inspect_err(|_| self.ended = true)?;
        self.reached = batch.revision;
        Ok(batch)
    }

    /// All up to this revision has been delivered.
    #[must_use]
    pub fn reached(&self) -> Revision {
        self.reached
    }
}
