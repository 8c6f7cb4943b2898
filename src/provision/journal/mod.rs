//! What was about to be done, written down before it is done.
//!
//! `journal.jsonl`: a header line, then one JSON line per entry, each synced
//! before the call that it announces. After a crash the open intents are
//! exactly the calls whose outcome nobody knows. Only this file's own torn last
//! line is forgiven. It holds user-data, so it is 0600 and emptied (see
//! [`Journal::compact`]) when nothing in it is open any more.

mod entry;

pub use entry::{Entry, FORMAT, Note};

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloud::Outcome;
use jiff::Timestamp;
use plan::model::{Call, LaunchRequest};

use crate::state::{StateError, write_atomic};

/// Is told of each entry once it is on disk: a seam for tests that end the process there.
pub trait JournalObserver: Send + Sync {
    /// The `writes`-th entry of this process, counted from 1, is synced.
    fn synced(&self, writes: u64);
}

/// What can go wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file could not be used.
    #[error("cannot {doing} the journal {}: check that the disk has room", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A line other than the last cannot be read.
    #[error(
        "line {line} of the journal {} is damaged: move the file away, then run the command again (resources are found by their tags)",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// A later version of this program wrote the file.
    #[error("the journal {} has format {found}, and this program knows formats up to {FORMAT}: use the newer `cluster` that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The compacted journal could not be put in place.
    #[error("cannot empty the journal")]
    Compact(#[source] StateError),
}

/// A call whose outcome is not known.
#[derive(Debug, Clone, PartialEq)]
pub struct Open {
    /// Its number.
    pub seq: u64,
    /// When it was announced.
    pub at: Timestamp,
    /// The call.
    pub call: Call<String>,
}

/// The journal of one cluster, open for appending.
pub struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
    observer: Option<Arc<dyn JournalObserver>>,
}

struct Inner {
    file: File,
    next_seq: u64,
    writes: u64,
    open: BTreeMap<u64, Open>,
    /// What finished calls gave back since the last compaction.
    finished: Finished,
}

impl Journal {
    /// Opens the journal at `path`, made where it is missing. A torn last line is cut off.
    ///
    /// # Errors
    /// Damage anywhere else, a newer format, or a file that cannot be used.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let io = |doing| move |source| JournalError::Io { doing, path: path.to_owned(), source };
        if !path.try_exists().map_err(io("open"))? {
            write_atomic(path, &entry::header_line(1)).map_err(JournalError::Compact)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).mode(0o600).open(path).map_err(io("open"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read"))?;
        let parsed = entry::parse(path, &bytes)?;
        if parsed.length == 0 {
            write_atomic(path, &entry::header_line(1)).map_err(JournalError::Compact)?;
            return Self::open(path);
        }
        if parsed.length < bytes.len() {
            file.set_len(parsed.length as u64).map_err(io("cut"))?;
            file.sync_all().map_err(io("sync"))?;
        }
        file.seek(SeekFrom::End(0)).map_err(io("read"))?;
        let (open, finished) = replay(&parsed.entries);
        let next_seq = parsed.entries.iter().map(|e| e.seq + 1).max().unwrap_or(0).max(parsed.next_seq);
        let inner = Inner { file, next_seq, writes: 0, open, finished };
        Ok(Self { path: path.to_owned(), inner: Mutex::new(inner), observer: None })
    }

    /// The same journal, with somebody to tell of each write.
    #[must_use]
    pub fn observed(mut self, observer: Arc<dyn JournalObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Announces `call`; returns its number once that is on disk.
    ///
    /// # Errors
    /// A file that cannot be written: the call must not be made.
    pub fn intent(&self, at: Timestamp, call: &Call<String>) -> Result<u64, JournalError> {
        let writes;
        let seq;
        {
            let mut inner = self.guard();
            seq = inner.next_seq;
            self.append(&mut inner, Entry { seq, at, note: Note::Intent { intent: call.clone() } })?;
            inner.next_seq += 1;
            inner.open.insert(seq, Open { seq, at, call: call.clone() });
            writes = inner.writes;
        }
        self.tell(writes);
        Ok(seq)
    }

    /// Records that call `seq` took effect.
    ///
    /// # Errors
    /// A file that cannot be written: the call stays open and is found again by listing.
    pub fn done(&self, at: Timestamp, seq: u64, outcome: &Outcome) -> Result<(), JournalError> {
        let writes;
        {
            let mut inner = self.guard();
            self.append(&mut inner, Entry { seq, at, note: Note::Done { done: outcome.clone() } })?;
            if let Some(open) = inner.open.remove(&seq) {
                inner.finished.push((open.call, outcome.clone()));
            }
            writes = inner.writes;
        }
        self.tell(writes);
        Ok(())
    }

    /// Records that call `seq` failed. `unknown`: it may have taken effect, and stays open.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn failed(&self, at: Timestamp, seq: u64, error: &str, unknown: bool) -> Result<(), JournalError> {
        let writes;
        {
            let mut inner = self.guard();
            let note = Note::Failed { failed: error.to_owned(), unknown };
            self.append(&mut inner, Entry { seq, at, note })?;
            if !unknown {
                inner.open.remove(&seq);
            }
            writes = inner.writes;
        }
        self.tell(writes);
        Ok(())
    }

    /// The calls whose outcome is not known, oldest first.
    #[must_use]
    pub fn open_calls(&self) -> Vec<Open> {
        self.guard().open.values().cloned().collect()
    }

    /// The open launch of `slot`, if there is one: its number and its request, to be replayed as it is.
    #[must_use]
    pub fn open_launch(&self, slot: &str) -> Option<(u64, LaunchRequest<String>)> {
        self.guard().open.values().rev().find_map(|open| match &open.call {
            Call::RunInstances(request) if request.slot == slot => Some((open.seq, request.clone())),
            _ => None,
        })
    }

    /// What finished calls gave back since the journal was last emptied, oldest first.
    #[must_use]
    pub fn finished(&self) -> Vec<(Call<String>, Outcome)> {
        self.guard().finished.clone()
    }

    /// Empties the journal if nothing in it is open; says whether it did.
    /// Whatever `finished` told must be in the state by then.
    ///
    /// # Errors
    /// A file that cannot be replaced: the old one holds.
    pub fn compact(&self) -> Result<bool, JournalError> {
        let mut inner = self.guard();
        if !inner.open.is_empty() {
            return Ok(false);
        }
        if inner.finished.is_empty() && inner.writes == 0 {
            return Ok(true);
        }
        write_atomic(&self.path, &entry::header_line(inner.next_seq)).map_err(JournalError::Compact)?;
        inner.file = OpenOptions::new().append(true).open(&self.path).map_err(self.io("open"))?;
        inner.finished.clear();
        Ok(true)
    }

    fn append(&self, inner: &mut Inner, entry: Entry) -> Result<(), JournalError> {
        let mut line = serde_json::to_vec(&entry).map_err(|e| self.io("encode")(e.into()))?;
        line.push(b'\n');
        let before = inner.file.metadata().map_err(self.io("write"))?.len();
        let written = inner.file.write_all(&line).and_then(|()| inner.file.sync_data());
        if let Err(error) = written {
            // Half a line in the middle would be damage: take it back, as far as the disk lets us.
            let _ = inner.file.set_len(before).and_then(|()| inner.file.seek(SeekFrom::Start(before)));
            return Err(self.io("write")(error));
        }
        inner.writes += 1;
        Ok(())
    }

    fn tell(&self, writes: u64) {
        if let Some(observer) = &self.observer {
            observer.synced(writes);
        }
    }

    fn io(&self, doing: &'static str) -> impl FnOnce(io::Error) -> JournalError {
        let path = self.path.clone();
        move |source| JournalError::Io { doing, path, source }
    }

    fn guard(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls that took effect, with what they gave back.
type Finished = Vec<(Call<String>, Outcome)>;

/// What is open, and what finished with which outcome.
fn replay(entries: &[Entry]) -> (BTreeMap<u64, Open>, Finished) {
    let mut open = BTreeMap::new();
    let mut finished = Vec::new();
    for Entry { seq, at, note } in entries {
        match note {
            Note::Intent { intent } => {
                open.insert(*seq, Open { seq: *seq, at: *at, call: intent.clone() });
            }
            Note::Done { done } => {
                if let Some(Open { call, .. }) = open.remove(seq) {
                    finished.push((call, done.clone()));
                }
            }
            Note::Failed { unknown: true, .. } => {}
            Note::Failed { .. } => {
                open.remove(seq);
            }
        }
    }
    (open, finished)
}

#[cfg(test)]
mod tests;
