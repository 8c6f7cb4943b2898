//! One group of commands in one transaction of redb: applied in order, made durable by one sync,
//! or taken back as a whole.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::disk::{CHANGES, COMPACTED, Disk, FACTS, LEASES, Record, is_full};
use super::index::{Number, Version};
use super::read::{fill, pick};
use super::state::{Changes, Lease, Shared, State};
use crate::{Check, Compare, LeaseId, Op, OpResult, Revision, StoreError, Txn, TxnResponse};
use bytes::Bytes;

/// Space that must be left on the disk beside twice a group's bytes, so that redb never runs
/// into its end.
const RESERVE_BYTES: u64 = 4 << 20;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Command {
    Txn(Txn),
    Grant {
        id: LeaseId,
        seconds: u64,
    },
    Revoke {
        id: LeaseId,
    },
    /// Leases whose time is over by now.
    Expire {
        now: Instant,
    },
    Compact {
        at: Revision,
    },
    /// Removes records that compaction forgot.
    Forget {
        numbers: Vec<Number>,
    },
}

/// What a command did.
#[derive(Debug)]
pub(super) enum Answer {
    Txn(TxnResponse),
    Done,
}

/// Why a group was not made durable.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no room: nothing was changed.
    Full(String),
    /// The sync failed: what of it is on disk is not known.
    Unknown(String),
    /// The file cannot be worked with: nothing of the group is on disk.
    Failed(StoreError),
}

/// Why a command did nothing.
enum Stop {
    /// It is at fault itself, and has changed nothing: the others of its group go on.
    Refused(StoreError),
    /// The whole group ends.
    Group(Trouble),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Group(trouble)
    }
}

/// Applies and syncs a group. On trouble all of it is taken back in memory.
pub(super) fn commit(
    shared: &Shared,
    disk: &Disk,
    commands: &[Command],
    bytes: usize,
) -> Result<Vec<Result<Answer, StoreError>>, Trouble> {
    let write = disk.database.begin_write().map_err(|error| trouble(disk, error.into()))?;
    let mut undo = Vec::new();
    match apply(shared, disk, &write, (commands, bytes), &mut undo) {
        Ok(applied) if applied.changed => {
            let began = Instant::now();
            if let Err(error) = write.commit() {
                take_back(shared, undo);
                return Err(sync_trouble(error.into()));
            }
            if bytes > 0 {
                // What only removes also works where there is no room for more.
                shared.set_problem(None);
            }
            publish(shared, applied.changes, began.elapsed());
            Ok(applied.answers)
        }
        Ok(applied) => {
            // Nothing was written; that the transaction ends cannot fail in a way that matters.
            let _ = write.abort();
            Ok(applied.answers)
        }
        Err(trouble) => {
            let _ = write.abort();
            take_back(shared, undo);
            Err(trouble)
        }
    }
}

struct Applied {
    answers: Vec<Result<Answer, StoreError>>,
    changes: Vec<Changes>,
    changed: bool,
}

fn apply(
    shared: &Shared,
    disk: &Disk,
    write: &redb::WriteTransaction,
    (commands, bytes): (&[Command], usize),
    undo: &mut Vec<Undo>,
) -> Result<Applied, Trouble> {
    let failed = |error: redb::TableError| trouble(disk, error.into());
    let mut work = Work {
        shared,
        disk,
        records: write.open_table(CHANGES).map_err(failed)?,
        leases: write.open_table(LEASES).map_err(failed)?,
        facts: write.open_table(FACTS).map_err(failed)?,
        undo,
        changes: Vec::new(),
        bytes,
        changed: false,
    };
    let mut answers = Vec::with_capacity(commands.len());
    for command in commands {
        match work.run(command) {
            Ok(answer) => answers.push(Ok(answer)),
            Err(Stop::Refused(error)) => answers.push(Err(error)),
            Err(Stop::Group(trouble)) => return Err(trouble),
        }
    }
    Ok(Applied { answers, changes: work.changes, changed: work.changed })
}

/// Lets everybody see what is on disk now.
fn publish(shared: &Shared, changes: Vec<Changes>, took: Duration) {
    shared.last_sync_us.store(took.as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    let mut recent = shared.recent();
    for changes in changes {
        recent.push(Arc::new(changes));
    }
    drop(recent);
    let applied = shared.state().applied;
    shared.progress.send_if_modified(|progress| {
        let changed = progress.durable != applied;
        progress.durable = applied;
        changed
    });
}

/// How a change in memory is taken back.
enum Undo {
    Insert(Bytes),
    Applied(u64),
    Compacted(u64),
    Granted(i64),
    Ended(i64, Lease),
}

fn take_back(shared: &Shared, undo: Vec<Undo>) {
    let mut state = shared.state_mut();
    for step in undo.into_iter().rev() {
        match step {
            Undo::Insert(key) => state.index.remove_latest(&key),
            Undo::Applied(revision) => state.applied = revision,
            Undo::Compacted(revision) => state.compacted = revision,
            Undo::Granted(id) => {
                state.leases.remove(&id);
            }
            Undo::Ended(id, lease) => {
                state.leases.insert(id, lease);
            }
        }
    }
}

struct Work<'a, 'w> {
    shared: &'a Shared,
    disk: &'a Disk,
    records: redb::Table<'w, [u8; 12], &'static [u8]>,
    leases: redb::Table<'w, i64, u64>,
    facts: redb::Table<'w, &'static str, u64>,
    undo: &'a mut Vec<Undo>,
    changes: Vec<Changes>,
    /// Of the whole group.
    bytes: usize,
    changed: bool,
}

impl Work<'_, '_> {
    fn run(&mut self, command: &Command) -> Result<Answer, Stop> {
        match command {
            Command::Txn(txn) => self.txn(txn).map(Answer::Txn),
            Command::Grant { id, seconds } => self.grant(*id, *seconds),
            Command::Revoke { id } => self.revoke(*id),
            Command::Expire { now } => self.expire(*now),
            Command::Compact { at } => self.compact(*at),
            Command::Forget { numbers } => self.forget(numbers),
        }
    }

    fn txn(&mut self, txn: &Txn) -> Result<TxnResponse, Stop> {
        let mut succeeded = true;
        for compare in &txn.compares {
            succeeded &= self.holds(compare)?;
        }
        let branch = if succeeded { &txn.then } else { &txn.otherwise };
        self.check(branch)?;
        let before = self.shared.state().applied;
        let mut revision = Building { revision: before + 1, records: Vec::new() };
        let mut results = Vec::with_capacity(branch.len());
        for op in branch {
            results.push(match op {
                Op::Put { key, value, lease } => {
                    self.put(&mut revision, key, value, lease.map_or(0, |id| id.0))?;
                    OpResult::Put
                }
                Op::Delete { key } => OpResult::Deleted { existed: self.delete(&mut revision, key)? },
                Op::Get(range) => {
                    let now = before + u64::from(!revision.records.is_empty());
                    let at = range.revision.map_or(now, |revision| revision.0);
                    let picked = pick(&self.shared.state().index, range, at);
                    let got = fill(self.disk, &self.records, range, picked, now);
                    OpResult::Got(got.map_err(Trouble::Failed)?)
                }
            });
        }
        let revision = self.finish(revision);
        Ok(TxnResponse { succeeded, revision: Revision(revision), results })
    }

    fn holds(&self, compare: &Compare) -> Result<bool, Trouble> {
        let found = self.shared.state().index.get(&compare.key, u64::MAX).copied();
        Ok(match (&compare.check, found) {
            (Check::Absent, found) => found.is_none(),
            (Check::Exists, found) => found.is_some(),
            (Check::ModRevision(expected), found) => found.map_or(0, |v| v.number.revision) == expected.0,
            (Check::CreateRevision(expected), found) => found.map_or(0, |v| v.create) == expected.0,
            (Check::Value(_), None) => false,
            (Check::Value(expected), Some(version)) => {
                let record = self.disk.record(&self.records, version.number).map_err(Trouble::Failed)?;
                record.value.as_ref() == Some(expected)
            }
        })
    }

    /// What would end a branch half-way is found before it begins.
    fn check(&self, branch: &[Op]) -> Result<(), Stop> {
        let state = self.shared.state();
        for op in branch {
            match op {
                Op::Put { lease: Some(id), .. } if !state.leases.contains_key(&id.0) => {
                    return Err(Stop::Refused(StoreError::LeaseNotFound { id: *id }));
                }
                Op::Get(range) => {
                    if let Some(asked) = range.revision {
                        check_revision(asked, &state).map_err(Stop::Refused)?;
                    }
                }
                Op::Put { .. } | Op::Delete { .. } => {}
            }
        }
        Ok(())
    }

    fn put(&mut self, to: &mut Building, key: &Bytes, value: &Bytes, lease: i64) -> Result<(), Trouble> {
        let before = self.shared.state().index.get(key, u64::MAX).copied();
        let (create, version) = before.map_or((to.revision, 1), |v| (v.create, v.version + 1));
        let record = Record { value: Some(value.clone()), create, version, lease, key: key.clone() };
        if lease != 0
            && let Some(lease) = self.shared.state_mut().leases.get_mut(&lease)
        {
            lease.keys.insert(key.clone());
        }
        self.add(to, record)
    }

    fn delete(&mut self, to: &mut Building, key: &Bytes) -> Result<bool, Trouble> {
        if self.shared.state().index.get(key, u64::MAX).is_none() {
            return Ok(false);
        }
        self.add(to, Record { value: None, create: 0, version: 0, lease: 0, key: key.clone() })?;
        Ok(true)
    }

    fn add(&mut self, to: &mut Building, record: Record) -> Result<(), Trouble> {
        let number = Number { revision: to.revision, change: to.records.len() as u32 };
        self.write(number, &record)?;
        to.records.push(record);
        Ok(())
    }

    fn write(&mut self, number: Number, record: &Record) -> Result<(), Trouble> {
        self.touch()?;
        let written = self.records.insert(number.to_disk(), record.encode().as_slice());
        written.map_err(|error| trouble(self.disk, error.into()))?;
        self.undo.push(Undo::Insert(record.key.clone()));
        self.shared.state_mut().index.insert(&record.key, Version::of(number, record));
        Ok(())
    }

    /// Before the first change: whether the disk has room for the group.
    fn touch(&mut self) -> Result<(), Trouble> {
        if !self.changed {
            room(&self.shared.folder, self.bytes)?;
        }
        self.changed = true;
        Ok(())
    }

    /// The revision that was made, or the one before it if nothing changed.
    fn finish(&mut self, built: Building) -> u64 {
        if built.records.is_empty() {
            return built.revision - 1;
        }
        let mut state = self.shared.state_mut();
        self.undo.push(Undo::Applied(state.applied));
        state.applied = built.revision;
        self.changes.push(Changes { revision: built.revision, records: built.records });
        built.revision
    }

    fn grant(&mut self, id: LeaseId, seconds: u64) -> Result<Answer, Stop> {
        self.touch()?;
        self.leases.insert(id.0, seconds).map_err(|error| trouble(self.disk, error.into()))?;
        self.shared.state_mut().leases.insert(id.0, Lease::new(seconds, Instant::now()));
        self.undo.push(Undo::Granted(id.0));
        Ok(Answer::Done)
    }

    fn revoke(&mut self, id: LeaseId) -> Result<Answer, Stop> {
        if !self.shared.state().leases.contains_key(&id.0) {
            return Err(Stop::Refused(StoreError::LeaseNotFound { id }));
        }
        self.end(id.0)?;
        Ok(Answer::Done)
    }

    fn expire(&mut self, now: Instant) -> Result<Answer, Stop> {
        let over: Vec<i64> = {
            let state = self.shared.state();
            state.leases.iter().filter(|(_, lease)| lease.until <= now).map(|(id, _)| *id).collect()
        };
        for id in over {
            self.end(id)?;
        }
        Ok(Answer::Done)
    }

    /// Ends a lease and deletes its keys, in one revision.
    fn end(&mut self, id: i64) -> Result<(), Trouble> {
        self.touch()?;
        self.leases.remove(id).map_err(|error| trouble(self.disk, error.into()))?;
        let (keys, before) = {
            let mut state = self.shared.state_mut();
            let Some(lease) = state.leases.remove(&id) else { return Ok(()) };
            let holds = |key: &&Bytes| state.index.get(key, u64::MAX).is_some_and(|v| v.lease == id);
            let keys: Vec<Bytes> = lease.keys.iter().filter(holds).cloned().collect();
            self.undo.push(Undo::Ended(id, lease));
            (keys, state.applied)
        };
        let mut revision = Building { revision: before + 1, records: Vec::new() };
        for key in keys {
            self.delete(&mut revision, &key)?;
        }
        self.finish(revision);
        Ok(())
    }

    fn compact(&mut self, at: Revision) -> Result<Answer, Stop> {
        let before = {
            let state = self.shared.state();
            if at.0 <= state.compacted {
                let compacted = Revision(state.compacted);
                return Err(Stop::Refused(StoreError::Compacted { asked: at, at: compacted }));
            }
            check_revision(at, &state).map_err(Stop::Refused)?;
            state.compacted
        };
        self.touch()?;
        self.facts.insert(COMPACTED, at.0).map_err(|error| trouble(self.disk, error.into()))?;
        self.undo.push(Undo::Compacted(before));
        self.shared.state_mut().compacted = at.0;
        Ok(Answer::Done)
    }

    fn forget(&mut self, numbers: &[Number]) -> Result<Answer, Stop> {
        for number in numbers {
            self.touch()?;
            self.records.remove(number.to_disk()).map_err(|error| trouble(self.disk, error.into()))?;
        }
        Ok(Answer::Done)
    }
}

/// Whether the disk has room for so many bytes, asked before redb is: an error in the middle of
/// its work costs it the file, and a walk through all of it to have it again.
fn room(folder: &Path, bytes: usize) -> Result<(), Trouble> {
    // What only removes may use the last of it.
    let reserve = if bytes == 0 { RESERVE_BYTES / 4 } else { RESERVE_BYTES };
    let needed = reserve + 2 * bytes as u64;
    let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= needed {
        return Ok(());
    }
    Err(Trouble::Full(format!("{free} bytes are free, {needed} are needed")))
}

/// The revision a transaction is making.
struct Building {
    revision: u64,
    records: Vec<Record>,
}

fn check_revision(asked: Revision, state: &State) -> Result<(), StoreError> {
    if asked.0 > state.applied {
        return Err(StoreError::FutureRevision { asked, current: Revision(state.applied) });
    }
    if asked.0 < state.compacted {
        return Err(StoreError::Compacted { asked, at: Revision(state.compacted) });
    }
    Ok(())
}

/// An error before the sync: nothing of the group can be on disk.
fn trouble(disk: &Disk, error: redb::Error) -> Trouble {
    match error {
        redb::Error::Io(error) if is_full(&error) => Trouble::Full(error.to_string()),
        error => Trouble::Failed(super::disk::damage(&disk.path, "write", error)),
    }
}

/// An error of the sync itself. A page that found no room was not written, and without it the
/// group's checksums do not match: that much is known.
fn sync_trouble(error: redb::Error) -> Trouble {
    match error {
        redb::Error::Io(error) if is_full(&error) => Trouble::Full(error.to_string()),
        error => Trouble::Unknown(error.to_string()),
    }
}
