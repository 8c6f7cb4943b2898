//! Who compacts: one of all servers per interval, agreed on by a record in the store itself.
//!
//! The record is upstream's key `compact_rev_key` with a revision in decimal. At each interval a
//! server tries to write the revision it saw an interval ago over the record as it knew it; who
//! succeeds compacts up to there, the others only learn the record. So history lasts from one to
//! two intervals, whoever comes and goes.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Shutdown};

use crate::{Compare, Op, Revision, Store, StoreError, Txn};

/// The record's key.
pub const COMPACTION_KEY: &str = "compact_rev_key";
/// Upstream's interval.
pub const COMPACTION_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// One server's part in compaction.
#[derive(Debug)]
pub struct Compactor {
    store: Arc<dyn Store>,
    /// The record as it was last seen.
    record: Revision,
    /// The store's revision at the last turn.
    seen: Option<Revision>,
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It was ours, and history up to here is gone.
    Compacted(Revision),
    /// Another server had it, or this was our first.
    Learned,
}

impl Compactor {
    /// Takes part from the next interval on.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, record: Revision::ZERO, seen: None }
    }

    /// Takes a turn each `interval` until stopped. A store that is away is tried again next time.
    pub async fn run(mut self, clock: &dyn Clock, interval: Duration, shutdown: Shutdown) {
        while shutdown.race(clock.sleep(interval)).await.is_some() {
            match shutdown.race(self.turn()).await {
                Some(Ok(Turn::Compacted(at))) => tracing::info!(revision = at.0, "history is compacted"),
                Some(Ok(Turn::Learned)) => tracing::debug!("another server compacts"),
                Some(Err(error)) => tracing::warn!(error = %base::chain(&error), "history is not compacted"),
                None => return,
            }
        }
    }

    /// One turn. After an error the next one begins as if it were the first.
    pub async fn turn(&mut self) -> Result<Turn, StoreError> {
        let up_to = self.seen.take();
        let value = up_to.unwrap_or(Revision::ZERO).to_string();
        let txn = Txn::new()
            .when(Compare::mod_revision(COMPACTION_KEY, self.record))
            .then(Op::put(COMPACTION_KEY, value))
            .otherwise(Op::get(COMPACTION_KEY));
        let response = self.store.txn(txn).await?;
        self.seen = Some(response.revision);
        if !response.succeeded {
            self.record = response.found().map_or(Revision::ZERO, |record| record.mod_revision);
            return Ok(Turn::Learned);
        }
        self.record = response.revision;
        let Some(at) = up_to else { return Ok(Turn::Learned) };
        match self.store.compact(at).await {
            Ok(()) => Ok(Turn::Compacted(at)),
            // Somebody did it by hand.
            Err(StoreError::Compacted { .. }) => Ok(Turn::Learned),
            Err(error) => Err(error),
        }
    }
}
