//! Watches: a place in history and nothing else. Recent revisions come from memory, older ones
//! from disk, so that a slow watch costs nothing and is waited for by nobody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redb::ReadableTable;
use tokio::sync::watch;

use super::disk::{Disk, Record};
use super::index::Number;
use super::read::lease;
use super::state::{Changes, Progress, Shared, record_bytes};
use crate::{Batch, Event, EventKind, Previous, Revision, StoreError, WatchRequest, WatchSource};

/// Bytes of history taken at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Between two looks at a disk whose file is being opened anew.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct EmbeddedWatch {
    shared: Arc<Shared>,
    request: Arc<WatchRequest>,
    /// The next revision to take.
    cursor: u64,
    buffer: VecDeque<Batch>,
    progress: watch::Receiver<Progress>,
}

impl EmbeddedWatch {
    pub(super) fn new(shared: Arc<Shared>, request: WatchRequest) -> Result<Self, StoreError> {
        let compacted = shared.state().compacted;
        if request.from.0 <= compacted {
            return Err(StoreError::Compacted { asked: request.from, at: Revision(compacted) });
        }
        let progress = shared.progress.subscribe();
        let cursor = request.from.0;
        Ok(Self { shared, request: Arc::new(request), cursor, buffer: VecDeque::new(), progress })
    }
}

#[async_trait]
impl WatchSource for EmbeddedWatch {
    async fn next(&mut self) -> Result<Batch, StoreError> {
        loop {
            if let Some(batch) = self.buffer.pop_front() {
                return Ok(batch);
            }
            let cursor = self.cursor;
            let reached = self.progress.wait_for(|p| p.closed || p.durable >= cursor).await;
            let progress = reached.map_or(Progress { durable: 0, closed: true }, |progress| *progress);
            if progress.closed {
                return Err(self.shared.closed());
            }
            let (shared, request) = (Arc::clone(&self.shared), Arc::clone(&self.request));
            let work = move || fetch(&shared, &request, cursor, progress.durable);
            let batches = match tokio::task::spawn_blocking(work).await.map_err(|_| self.shared.closed())? {
                Err(StoreError::Unavailable { .. }) => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                batches => batches?,
            };
            // Nothing is awaited from here on: a dropped call has taken all of it or nothing.
            self.cursor = batches.last().map_or(cursor, |batch| batch.revision.0 + 1);
            self.buffer.extend(batches);
        }
    }
}

/// The next batches from `cursor` on; at least one.
fn fetch(
    shared: &Shared,
    request: &WatchRequest,
    cursor: u64,
    durable: u64,
) -> Result<Vec<Batch>, StoreError> {
    let disk = shared.disk();
    let disk = disk.as_ref().ok_or_else(|| shared.closed())?;
    let recent = shared.recent().since(cursor, CHUNK_BYTES);
    let chunk = match recent {
        Some(chunk) => chunk,
        None => history(disk, cursor, durable)?,
    };
    let table = disk.table()?;
    let mut batches: Vec<Batch> = Vec::new();
    for changes in chunk {
        let batch = batch(shared, disk, &table, request, &changes)?;
        // Of revisions that touch nothing here, the last one tells how far the watch is.
        if batch.events.is_empty() && batches.last().is_some_and(|last| last.events.is_empty()) {
            batches.pop();
        }
        batches.push(batch);
    }
    // Only now: nothing that was read above had been forgotten if this still lies behind.
    let compacted = shared.state().compacted;
    if compacted >= cursor {
        let reached = Revision(cursor - 1);
        return Err(StoreError::WatchTooSlow { reached, compacted: Revision(compacted) });
    }
    Ok(batches)
}

/// Whole revisions from disk, about a chunk of them.
fn history(disk: &Disk, cursor: u64, durable: u64) -> Result<Vec<Arc<Changes>>, StoreError> {
    let mut found: Vec<Changes> = Vec::new();
    let mut bytes = 0;
    disk.changes(Number { revision: cursor, change: 0 }, |number, record| {
        let continues = found.last().is_some_and(|last| last.revision == number.revision);
        if number.revision > durable || (!continues && bytes > CHUNK_BYTES) {
            return false;
        }
        bytes += record_bytes(&record);
        match found.last_mut().filter(|_| continues) {
            Some(last) => last.records.push(record),
            None => found.push(Changes { revision: number.revision, records: vec![record] }),
        }
        true
    })?;
    Ok(found.into_iter().map(Arc::new).collect())
}

fn batch(
    shared: &Shared,
    disk: &Disk,
    table: &impl ReadableTable<[u8; 12], &'static [u8]>,
    request: &WatchRequest,
    changes: &Changes,
) -> Result<Batch, StoreError> {
    let mut events = Vec::new();
    for record in changes.records.iter().filter(|record| request.keys.contains(&record.key)) {
        let before = changes.revision - 1;
        let previous = if request.previous { previous(shared, disk, table, record, before)? } else { None };
        events.push(Event { key: record.key.clone(), kind: kind(record), previous });
    }
    Ok(Batch { revision: Revision(changes.revision), events })
}

fn kind(record: &Record) -> EventKind {
    match &record.value {
        Some(value) => EventKind::Put {
            value: value.clone(),
            create_revision: Revision(record.create),
            version: record.version,
            lease: lease(record.lease),
        },
        None => EventKind::Delete,
    }
}

fn previous(
    shared: &Shared,
    disk: &Disk,
    table: &impl ReadableTable<[u8; 12], &'static [u8]>,
    record: &Record,
    before: u64,
) -> Result<Option<Previous>, StoreError> {
    // A first version has nothing before it.
    if record.value.is_some() && record.version == 1 {
        return Ok(None);
    }
    let Some(version) = shared.state().index.get(&record.key, before).copied() else { return Ok(None) };
    let value = disk.record(table, version.number)?.value.unwrap_or_default();
    let (mod_revision, create_revision) = (Revision(version.number.revision), Revision(version.create));
    Ok(Some(Previous { value, mod_revision, create_revision }))
}
