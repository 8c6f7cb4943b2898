//! The embedded store: one folder, one process, no server. redb keeps the records, an index in
//! memory knows their keys; values stay on disk.
//!
//! One thread writes ([`writer`]), and whatever waits while it syncs goes into its next sync.
//! Readers and watches see only what is durable.

mod apply;
pub(crate) mod disk;
mod index;
mod lock;
mod read;
mod snapshot;
mod state;
mod watch;
mod writer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base::{Ids, RandomIds};
use tokio::sync::{Semaphore, oneshot};

use crate::{
    LeaseId, Range, RangeResponse, Revision, Status, Store, StoreError, Txn, TxnResponse, Watch, WatchRequest,
};
pub use snapshot::{check_snapshot, restore_snapshot};

use apply::{Answer, Command};
use disk::Disk;
use state::{Shared, State};
use writer::{Waiting, Writer};

/// Bytes of commands that may wait; beyond, callers do.
const QUEUE_BYTES: usize = 32 << 20;
/// What a command takes in the queue beside its keys and values.
const COMMAND_BYTES: usize = 1 << 10;

/// The store's file in its folder.
const FILE: &str = "store.redb";

/// Where an embedded store lies.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Its folder; made if it is not there (mode 0700). Nothing else may lie in it.
    pub folder: PathBuf,
}

/// A store in a folder of this machine. Dropping it ends it after what was already asked for;
/// that blocks for a sync.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    queue: Option<mpsc::Sender<Waiting>>,
    room: Arc<Semaphore>,
    writer: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Opens or makes the store, checks what is on disk and reads its keys: call it where
    /// blocking for that long is allowed. [`StoreError::Locked`] names who else has it open.
    pub fn open(options: &EmbeddedOptions) -> Result<Self, StoreError> {
        Self::open_on(options, disk::Opener::real())
    }

    /// As [`Embedded::open`], with a file that `opener` opens.
    pub(crate) fn open_on(options: &EmbeddedOptions, opener: disk::Opener) -> Result<Self, StoreError> {
        let folder = &options.folder;
        make_folder(folder)?;
        let lock = lock::FolderLock::take(folder)?;
        let disk = Disk::open(&folder.join(FILE), &opener)?;
        let state = State::load(&disk, Instant::now())?;
        tracing::info!(
            folder = %folder.display(),
            revision = state.applied,
            keys = state.index.len(),
            "the embedded store is open"
        );
        let shared = Arc::new(Shared::new(folder.clone(), opener, state, disk));
        let (queue, waiting) = mpsc::channel();
        let writer = Writer::new(Arc::clone(&shared), waiting, lock);
        let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|source| StoreError::File {
            action: "start the writer of",
            path: folder.clone(),
            source,
        })?;
        Ok(Self {
            shared,
            queue: Some(queue),
            room: Arc::new(Semaphore::new(QUEUE_BYTES)),
            writer: Some(thread),
        })
    }

    async fn ask(&self, command: Command, bytes: usize) -> Result<Answer, StoreError> {
        let bytes = bytes + COMMAND_BYTES;
        let closed = || self.shared.closed();
        let room = Arc::clone(&self.room).acquire_many_owned(bytes as u32).await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(closed)?;
        queue.send(Waiting { command, bytes, reply, room }).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was already reported, and has closed the store.
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl Store for Embedded {
    async fn txn(&self, txn: Txn) -> Result<TxnResponse, StoreError> {
        txn.check()?;
        let bytes = txn.bytes();
        match self.ask(Command::Txn(txn), bytes).await? {
            Answer::Txn(response) => Ok(response),
            Answer::Done => Err(self.shared.closed()),
        }
    }

    async fn range(&self, range: Range) -> Result<RangeResponse, StoreError> {
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || read::range(&shared, &range));
        read.await.map_err(|_| self.shared.closed())?
    }

    async fn current_revision(&self) -> Result<Revision, StoreError> {
        let progress = *self.shared.progress.borrow();
        if progress.closed {
            return Err(self.shared.closed());
        }
        Ok(Revision(progress.durable))
    }

    async fn watch(&self, request: WatchRequest) -> Result<Watch, StoreError> {
        let from = request.from;
        let source = watch::EmbeddedWatch::new(Arc::clone(&self.shared), request)?;
        Ok(Watch::new(from, Box::new(source)))
    }

    async fn compact(&self, at: Revision) -> Result<(), StoreError> {
        self.ask(Command::Compact { at }, 0).await.map(drop)
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let id = new_lease(&self.shared.state().leases);
        self.ask(Command::Grant { id, seconds: seconds.max(1) }, 0).await?;
        Ok(id)
    }

    async fn keep_alive(&self, id: LeaseId) -> Result<Duration, StoreError> {
        let mut state = self.shared.state_mut();
        let lease = state.leases.get_mut(&id.0).ok_or(StoreError::LeaseNotFound { id })?;
        lease.renew(Instant::now());
        Ok(Duration::from_secs(lease.seconds))
    }

    async fn revoke_lease(&self, id: LeaseId) -> Result<(), StoreError> {
        self.ask(Command::Revoke { id }, 0).await.map(drop)
    }

    async fn status(&self) -> Result<Status, StoreError> {
        let path = self.shared.folder.join(FILE);
        let size = tokio::task::spawn_blocking(move || fs::metadata(path).map(|file| file.len()));
        let size = size.await.map_err(|_| self.shared.closed())?;
        let sync_us = self.shared.last_sync_us.load(Ordering::Relaxed);
        Ok(Status {
            backend: "embedded",
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: self.current_revision().await?,
            disk_bytes: size.unwrap_or_default(),
            last_sync: (sync_us > 0).then(|| Duration::from_micros(sync_us)),
            problems: self.shared.problem().into_iter().collect(),
        })
    }
}

/// An id that no lease has, and that none had: holders of ended leases are not to find another's.
fn new_lease(taken: &BTreeMap<i64, state::Lease>) -> LeaseId {
    loop {
        let random = RandomIds.next();
        let id = random.get(..15).and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or(0);
        if id > 0 && !taken.contains_key(&id) {
            return LeaseId(id);
        }
    }
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| StoreError::File { action: "make", path: folder.to_owned(), source })
}
