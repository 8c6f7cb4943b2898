//! What every backend is held to, test by test, through the contract alone.
//!
//! A backend's module gives a fresh store per test; what only one of them has (locks, restarts,
//! a full disk) is tested beside it.

mod backends;
mod compaction;
mod crash;
mod history;
mod linear;
mod load;
mod power;
mod proxy;
pub(crate) mod servers;
mod snapshots;
mod transactions;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use crate::{Batch, Event, EventKind, KeyRange, Op, Range, Revision, Store, Txn, Watch, WatchRequest};

/// Longest that anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A store that nothing else uses.
pub(crate) type Subject = Arc<dyn Store>;

pub(crate) async fn put(store: &Subject, key: &str, value: &str) -> Revision {
    store.txn(Txn::new().then(Op::put(key.to_owned(), value.to_owned()))).await.unwrap().revision
}

pub(crate) async fn delete(store: &Subject, key: &str) -> Revision {
    store.txn(Txn::new().then(Op::delete(key.to_owned()))).await.unwrap().revision
}

pub(crate) async fn get(store: &Subject, key: &str) -> Option<String> {
    let found = store.range(Range::key(key.to_owned())).await.unwrap();
    found.items.first().map(|item| String::from_utf8(item.value.to_vec()).unwrap())
}

pub(crate) async fn watch(store: &Subject, prefix: &str, from: Revision) -> Watch {
    store.watch(WatchRequest::new(KeyRange::prefix(prefix.to_owned()), from)).await.unwrap()
}

pub(crate) async fn next(watch: &mut Watch) -> Batch {
    tokio::time::timeout(PATIENCE, watch.next()).await.expect("a batch in time").unwrap()
}

/// The next batch that has events.
pub(crate) async fn next_events(watch: &mut Watch) -> Batch {
    loop {
        let batch = next(watch).await;
        if !batch.events.is_empty() {
            return batch;
        }
    }
}

/// An event in short: `key=value`, `key=value was before`, `key deleted was before`.
pub(crate) fn short(event: &Event) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut line = text(&event.key);
    match &event.kind {
        EventKind::Put { value, .. } => line += &format!("={}", text(value)),
        EventKind::Delete => line += " deleted",
    }
    if let Some(previous) = &event.previous {
        line += &format!(" was {}", text(&previous.value));
    }
    line
}
