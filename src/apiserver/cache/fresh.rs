//! Linearizable reads out of a cache: one question to the store for all who ask meanwhile.
//!
//! A reader needs a revision that the store gave after the reader came. Those who come while
//! a question is under way share the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::Shutdown;
use store::{Revision, Store, StoreError};
use tokio::sync::{Notify, watch};

/// What a question brought: its number, and the revision or what went wrong.
type Answer = (u64, Result<Revision, Arc<StoreError>>);

/// Asks the store for its revision on behalf of many.
#[derive(Debug)]
pub struct ReadIndex {
    store: Arc<dyn Store>,
    /// Whether asking costs nothing, so that sharing would cost more.
    direct: bool,
    /// Number of the last question that was begun.
    begun: AtomicU64,
    wanted: Notify,
    answers: watch::Sender<Answer>,
}

impl ReadIndex {
    /// Over `store`; `direct` where it lives in this process.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, direct: bool) -> Self {
        let answers = watch::Sender::new((0, Ok(Revision::ZERO)));
        Self { store, direct, begun: AtomicU64::new(0), wanted: Notify::new(), answers }
    }

    /// A revision that holds everything acknowledged before the call.
    pub async fn revision(&self) -> Result<Revision, Arc<StoreError>> {
        if self.direct {
            return self.store.current_revision().await.map_err(Arc::new);
        }
        let mut answers = self.answers.subscribe();
        let mine = self.begun.load(Ordering::SeqCst) + 1;
        self.wanted.notify_one();
        let answer = answers.wait_for(|(number, _)| *number >= mine).await;
        answer.map_or(Ok(Revision::ZERO), |answer| answer.1.clone())
    }

    /// Asks whenever somebody waits, until stopped.
    pub async fn run(&self, shutdown: &Shutdown) {
        while shutdown.race(self.wanted.notified()).await.is_some() {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let asked = self.store.current_revision();
            let Some(answer) = shutdown.race(asked).await else { return };
            let _ = self.answers.send_replace((number, answer.map_err(Arc::new)));
        }
    }
}
