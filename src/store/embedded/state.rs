//! What the writer, readers and watches share: the index, leases, and how far all is durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;

use super::disk::{COMPACTED, Disk, Opener, Record};
use super::index::{Index, Number, Version};
use crate::StoreError;

/// Bytes of the latest changes kept for watches that are up to date.
const RECENT_BYTES: usize = 4 << 20;

/// The index and what belongs to it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) index: Index,
    pub(super) leases: BTreeMap<i64, Lease>,
    /// The last revision in the index. Readers look at [`Progress::durable`] instead.
    pub(super) applied: u64,
    /// Up to where history cannot be read any more.
    pub(super) compacted: u64,
}

impl State {
    /// Reads it from disk. Leases begin anew, as they do when etcd's leader changes.
    pub(super) fn load(disk: &Disk, now: Instant) -> Result<Self, StoreError> {
        let compacted = disk.fact(COMPACTED)?.unwrap_or_default();
        let mut state = Self { applied: compacted.max(1), compacted, ..Self::default() };
        for (id, seconds) in disk.leases()? {
            state.leases.insert(id, Lease::new(seconds, now));
        }
        disk.changes(Number { revision: 0, change: 0 }, |number, record| {
            // The key's memory is that of the whole record, value included.
            let key = Bytes::copy_from_slice(&record.key);
            state.replay(number, &key, &record);
            true
        })?;
        Ok(state)
    }

    fn replay(&mut self, number: Number, key: &Bytes, record: &Record) {
        self.applied = self.applied.max(number.revision);
        self.index.insert(key, Version::of(number, record));
        if let Some(lease) = self.leases.get_mut(&record.lease) {
            lease.keys.insert(key.clone());
        }
    }
}

impl Version {
    pub(super) fn of(number: Number, record: &Record) -> Self {
        let Record { value, create, version, lease, .. } = record;
        Self { number, lives: value.is_some(), create: *create, version: *version, lease: *lease }
    }
}

/// A lease that runs.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) seconds: u64,
    pub(super) until: Instant,
    /// Keys that were put with it; some may have left it since.
    pub(super) keys: BTreeSet<Bytes>,
}

impl Lease {
    pub(super) fn new(seconds: u64, now: Instant) -> Self {
        let mut lease = Self { seconds, until: now, keys: BTreeSet::new() };
        lease.renew(now);
        lease
    }

    pub(super) fn renew(&mut self, now: Instant) {
        self.until = now.checked_add(Duration::from_secs(self.seconds)).unwrap_or(now);
    }
}

/// All changes of one revision.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) revision: u64,
    pub(super) records: Vec<Record>,
}

impl Changes {
    pub(super) fn bytes(&self) -> usize {
        self.records.iter().map(record_bytes).sum()
    }
}

pub(super) fn record_bytes(record: &Record) -> usize {
    record.key.len() + record.value.as_ref().map_or(0, Bytes::len) + 128
}

/// The latest changes, without gaps, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct Recent {
    changes: VecDeque<Arc<Changes>>,
    bytes: usize,
}

impl Recent {
    pub(super) fn push(&mut self, changes: Arc<Changes>) {
        self.bytes += changes.bytes();
        self.changes.push_back(changes);
        while self.bytes > RECENT_BYTES {
            let Some(oldest) = self.changes.pop_front() else { return };
            self.bytes -= oldest.bytes();
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Revisions from `from` on, about `bytes` of them; `None` if `from` is no longer here.
    pub(super) fn since(&self, from: u64, bytes: usize) -> Option<Vec<Arc<Changes>>> {
        let first = self.changes.front()?.revision;
        let skip = usize::try_from(from.checked_sub(first)?).ok()?;
        let mut taken = 0;
        let found: Vec<_> = self
            .changes
            .iter()
            .skip(skip)
            .take_while(|changes| {
                let fits = taken < bytes;
                taken += changes.bytes();
                fits
            })
            .cloned()
            .collect();
        Some(found).filter(|found| !found.is_empty())
    }
}

/// How far the store is, as all that wait see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// All up to here is on disk, and may be shown.
    pub(super) durable: u64,
    /// Nothing further will come.
    pub(super) closed: bool,
}

/// Held by the store, its writer and its watches.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: PathBuf,
    pub(super) opener: Opener,
    state: RwLock<State>,
    disk: RwLock<Option<Disk>>,
    recent: Mutex<Recent>,
    problem: Mutex<Option<String>>,
    failure: OnceLock<String>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) last_sync_us: AtomicU64,
}

impl Shared {
    pub(super) fn new(folder: PathBuf, opener: Opener, state: State, disk: Disk) -> Self {
        let progress = Progress { durable: state.applied, closed: false };
        Self {
            folder,
            opener,
            state: RwLock::new(state),
            disk: RwLock::new(Some(disk)),
            recent: Mutex::default(),
            problem: Mutex::default(),
            failure: OnceLock::new(),
            progress: watch::Sender::new(progress),
            last_sync_us: AtomicU64::new(0),
        }
    }

    /// The store's name in errors.
    pub(super) fn at(&self) -> String {
        self.folder.display().to_string()
    }

    pub(super) fn durable(&self) -> u64 {
        self.progress.borrow().durable
    }

    // A lock is poisoned only by a panic elsewhere, which the writer turns into a closed store.
    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk for reading; empty once the store is closed.
    pub(super) fn disk(&self) -> RwLockReadGuard<'_, Option<Disk>> {
        self.disk.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk for replacing it: waits for readers.
    pub(super) fn disk_mut(&self) -> RwLockWriteGuard<'_, Option<Disk>> {
        self.disk.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong, in words for an operator.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Ends the store for good.
    pub(super) fn fail(&self, detail: String) {
        self.set_problem(Some(detail.clone()));
        let _ = self.failure.set(detail);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    /// Why the disk is not there: for good, or while its file is opened anew.
    pub(super) fn closed(&self) -> StoreError {
        let at = self.at();
        if let Some(detail) = self.failure.get() {
            return StoreError::Failed { at, detail: detail.clone() };
        }
        match self.problem() {
            Some(detail) if !self.progress.borrow().closed => StoreError::Unavailable { at, detail },
            _ => StoreError::Closed { at },
        }
    }
}
