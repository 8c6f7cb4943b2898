//! Feeding the shelves: one watch on the whole prefix, taken apart by kind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base::Shutdown;
use bytes::Bytes;
use store::{Batch, EventKind, KeyRange, LeaseId, Range, Revision, Store, StoreError, WatchRequest};
use tokio::sync::{mpsc, oneshot, watch};

use super::entry::{Change, Entry};
use super::envelope;
use super::fresh::ReadIndex;
use super::shelf::{Shelf, Write};

/// What all keys of this API begin with.
pub const PREFIX: &str = "/registry/";
/// What keys of claims begin with.
pub const CLAIMS: &str = "/registry/claims/";
/// How long a reader waits for the cache to come to a revision.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between attempts to read a store that does not answer.
const PAUSE: Duration = Duration::from_millis(200);
/// Requests to add kinds that may wait.
const ADDITIONS: usize = 64;

/// Why the cache could not serve a read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CacheError {
    /// The store did not say where it stands.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// The cache did not come to the revision in time.
    #[error("Too large resource version: {asked}, current: {current}")]
    Behind {
        /// Which revision.
        asked: Revision,
        /// Where the cache stands.
        current: Revision,
    },
    /// The cache is being stopped.
    #[error("the server is shutting down")]
    Stopped,
}

/// A key's new value, none if it is gone; when it came to be; the lease that ends it.
type Changed<'a> = (&'a str, Option<Bytes>, Revision, Option<LeaseId>);

type Addition = (Arc<str>, oneshot::Sender<()>);

/// All shelves, and how far they have come.
#[derive(Debug)]
pub struct Cache {
    store: Arc<dyn Store>,
    /// By what the keys of a kind begin with, `/registry/pods/`.
    shelves: RwLock<BTreeMap<Arc<str>, Arc<Shelf>>>,
    reached: watch::Sender<Revision>,
    index: ReadIndex,
    additions: mpsc::Sender<Addition>,
    /// Claims that are held, `claims/…`.
    claims: RwLock<BTreeSet<String>>,
    /// Values that could not be read.
    foreign: std::sync::atomic::AtomicU64,
}

/// The half that [`Cache::run`] needs.
#[derive(Debug)]
pub struct Feed {
    additions: mpsc::Receiver<Addition>,
}

impl Cache {
    /// Loads what the store holds under these prefixes.
    pub async fn open(
        store: Arc<dyn Store>,
        prefixes: impl IntoIterator<Item = Arc<str>>,
    ) -> Result<(Arc<Self>, Feed), StoreError> {
        let direct = store.status().await?.backend == "embedded";
        let (additions, receiver) = mpsc::channel(ADDITIONS);
        let shelves = prefixes.into_iter().map(|prefix| (prefix, Arc::new(Shelf::default()))).collect();
        let cache = Self {
            index: ReadIndex::new(Arc::clone(&store), direct),
            store,
            shelves: RwLock::new(shelves),
            reached: watch::Sender::new(Revision::ZERO),
            additions,
            claims: RwLock::default(),
            foreign: 0.into(),
        };
        cache.load().await?;
        Ok((Arc::new(cache), Feed { additions: receiver }))
    }

    /// The shelf of a prefix.
    #[must_use]
    pub fn shelf(&self, prefix: &str) -> Option<Arc<Shelf>> {
        self.shelves.read().unwrap_or_else(PoisonError::into_inner).get(prefix).cloned()
    }

    /// Begins to keep the kind of a prefix; done once its shelf is loaded.
    pub async fn add(&self, prefix: Arc<str>) -> Result<(), CacheError> {
        let (done, loaded) = oneshot::channel();
        self.additions.send((prefix, done)).await.map_err(|_| CacheError::Stopped)?;
        loaded.await.map_err(|_| CacheError::Stopped)
    }

    /// Whether somebody holds a claim.
    #[must_use]
    pub fn is_claimed(&self, claim: &str) -> bool {
        self.claims.read().unwrap_or_else(PoisonError::into_inner).contains(claim)
    }

    /// All shelves by prefix.
    #[must_use]
    pub fn shelves(&self) -> Vec<(Arc<str>, Arc<Shelf>)> {
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        shelves.iter().map(|(prefix, shelf)| (Arc::clone(prefix), Arc::clone(shelf))).collect()
    }

    /// Where the cache stands.
    #[must_use]
    pub fn reached(&self) -> Revision {
        *self.reached.borrow()
    }

    /// Tells how far the cache has come.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Revision> {
        self.reached.subscribe()
    }

    /// Waits until the cache holds everything acknowledged to anyone before the call.
    pub async fn fresh(&self) -> Result<Revision, CacheError> {
        let revision = self.index.revision().await?;
        self.wait_for(revision).await
    }

    /// Waits until the cache has come to `revision`, and says where it stands.
    pub async fn wait_for(&self, revision: Revision) -> Result<Revision, CacheError> {
        let now = self.reached();
        if now >= revision {
            return Ok(now);
        }
        let mut progress = self.reached.subscribe();
        let waited = tokio::time::timeout(PATIENCE, progress.wait_for(|reached| *reached >= revision)).await;
        match waited {
            Ok(Ok(reached)) => Ok(*reached),
            Ok(Err(_)) => Err(CacheError::Stopped),
            Err(_) => Err(CacheError::Behind { asked: revision, current: self.reached() }),
        }
    }

    /// Keeps the shelves up to date until stopped. A store that is away is waited for; one
    /// whose history is gone is read anew.
    pub async fn run(&self, mut feed: Feed, shutdown: Shutdown) {
        let index = async { self.index.run(&shutdown).await };
        let follow = async {
            while !shutdown.is_triggered() {
                if let Err(error) = self.follow(&mut feed, &shutdown).await {
                    tracing::warn!(error = %base::chain(&error), "the watch of the store ended; reading it anew");
                    let _ = shutdown.race(self.reload()).await;
                }
            }
        };
        tokio::join!(index, follow);
    }

    async fn reload(&self) {
        while let Err(error) = self.load().await {
            tracing::warn!(error = %base::chain(&error), "the store cannot be read; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow(&self, feed: &mut Feed, shutdown: &Shutdown) -> Result<(), StoreError> {
        let from = self.reached().next();
        let request = WatchRequest { keys: KeyRange::prefix(PREFIX), from, previous: false };
        let mut watch = self.store.watch(request).await?;
        loop {
            tokio::select! {
                biased;
                () = shutdown.triggered() => return Ok(()),
                Some((prefix, done)) = feed.additions.recv() => {
                    self.add_shelf(prefix).await?;
                    let _ = done.send(());
                }
                batch = watch.next() => self.take(&batch?),
            }
        }
    }

    async fn add_shelf(&self, prefix: Arc<str>) -> Result<(), StoreError> {
        if self.shelf(&prefix).is_some() {
            return Ok(());
        }
        let at = self.reached();
        let shelf = Arc::new(Shelf::default());
        shelf.load(self.entries(&prefix, at).await?, at);
        self.shelves.write().unwrap_or_else(PoisonError::into_inner).insert(prefix, shelf);
        Ok(())
    }

    async fn load(&self) -> Result<(), StoreError> {
        let at = self.store.current_revision().await?;
        for (prefix, shelf) in self.shelves() {
            shelf.load(self.entries(&prefix, at).await?, at);
        }
        self.load_claims(at).await?;
        let _ = self.reached.send_replace(at);
        Ok(())
    }

    /// What lies under a prefix at a revision, read from the store.
    pub async fn entries(&self, prefix: &str, at: Revision) -> Result<Vec<Entry>, StoreError> {
        let mut keys = KeyRange::prefix(prefix.to_owned());
        let mut entries = Vec::new();
        loop {
            let page = self.store.range(Range::new(keys.clone()).at(at)).await?;
            for item in &page.items {
                let (Some(key), Some(json)) =
                    (relative(&item.key, prefix), self.open_value(&item.key, &item.value))
                else {
                    continue;
                };
                entries.push(
                    Entry::new(key.into(), &json, Change::Added, item.mod_revision, item.create_revision)
                        .leased(item.lease),
                );
            }
            match page.items.last() {
                Some(last) if page.more => keys = keys.after(&last.key),
                _ => return Ok(entries),
            }
        }
    }

    fn take(&self, batch: &Batch) {
        // A transaction's changes of one shelf are applied together.
        let mut shelves: Vec<(Arc<Shelf>, Vec<Changed<'_>>)> = Vec::new();
        for event in &batch.events {
            if event.key.starts_with(CLAIMS.as_bytes()) {
                let Some(claim) = relative(&event.key, PREFIX) else { continue };
                self.take_claim(claim, matches!(event.kind, EventKind::Put { .. }));
                continue;
            }
            let Some((shelf, key)) = self.route(&event.key) else { continue };
            let change = match &event.kind {
                EventKind::Put { value, create_revision, lease, .. } => {
                    let Some(json) = self.open_value(&event.key, value) else { continue };
                    (key, Some(json), *create_revision, *lease)
                }
                EventKind::Delete => (key, None, Revision::ZERO, None),
            };
            match shelves.iter_mut().find(|(found, _)| Arc::ptr_eq(found, &shelf)) {
                Some((_, changes)) => changes.push(change),
                None => shelves.push((shelf, vec![change])),
            }
        }
        for (shelf, changes) in &shelves {
            let writes = changes.iter().map(|(key, json, created, lease)| match json {
                Some(json) => (*key, Write::Put { json, created: *created, lease: *lease }),
                None => (*key, Write::Delete),
            });
            shelf.apply(batch.revision, writes);
        }
        let _ = self.reached.send_replace(batch.revision);
    }

    fn take_claim(&self, claim: &str, held: bool) {
        let mut claims = self.claims.write().unwrap_or_else(PoisonError::into_inner);
        if held {
            claims.insert(claim.to_owned());
        } else {
            claims.remove(claim);
        }
    }

    async fn load_claims(&self, at: Revision) -> Result<(), StoreError> {
        let mut keys = KeyRange::prefix(CLAIMS);
        let mut found = BTreeSet::new();
        loop {
            let page = self.store.range(Range::new(keys.clone()).at(at).keys_only()).await?;
            found.extend(page.items.iter().filter_map(|item| relative(&item.key, PREFIX)).map(str::to_owned));
            match page.items.last() {
                Some(last) if page.more => keys = keys.after(&last.key),
                _ => break,
            }
        }
        *self.claims.write().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }

    /// The shelf that a key lies on, and the key there.
    fn route<'a>(&self, key: &'a [u8]) -> Option<(Arc<Shelf>, &'a str)> {
        let key = std::str::from_utf8(key).ok()?;
        let shelves = self.shelves.read().unwrap_or_else(PoisonError::into_inner);
        let behind = key.strip_prefix(PREFIX)?;
        let mut ends = behind.match_indices('/').map(|(at, _)| PREFIX.len() + at + 1);
        ends.find_map(|end| {
            let (prefix, rest) = key.split_at_checked(end)?;
            shelves.get(prefix).map(|shelf| (Arc::clone(shelf), rest))
        })
    }

    fn open_value(&self, key: &Bytes, value: &Bytes) -> Option<Bytes> {
        match envelope::open(value) {
            Ok((json, _epoch)) => Some(json),
            Err(error) => {
                self.foreign.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tracing::error!(key = %String::from_utf8_lossy(key), %error, "an object is left out");
                None
            }
        }
    }
}

fn relative<'a>(key: &'a [u8], prefix: &str) -> Option<&'a str> {
    std::str::from_utf8(key).ok()?.strip_prefix(prefix)
}
