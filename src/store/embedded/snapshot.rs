//! Saving an embedded store while it serves, and restoring it into an empty folder.
//!
//! Format 1, all numbers little-endian: `clsnap\x00\x01`; the revision; up to where history is
//! compacted; entries, each a byte and its content: 1, number of a change (12 bytes as on disk),
//! length (4 bytes), record; 2, lease (8), seconds (8); 0, the number of entries (8). Then SHA-256 of all before it.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::ReadableTable;

use super::disk::{CHANGES, COMPACTED, Disk, FACTS, LEASES, Opener, Record, damage};
use super::{Embedded, EmbeddedOptions, FILE, lock, make_folder};
use crate::snapshot::{Digesting, bad, stream_error};
use crate::{Revision, SnapshotInfo, StoreError, limits};

const MAGIC: &[u8; 8] = b"clsnap\x00\x01";
const CHANGE: u8 = 1;
const LEASE: u8 = 2;
const END: u8 = 0;
/// Changes put at once while restoring.
const GROUP: usize = 1_000;
/// A record larger than any that was written.
const RECORD_BYTES: usize = 2 * limits::REQUEST_BYTES;

impl Embedded {
    /// Writes the store as of now, history included, while it goes on serving. Blocks for as
    /// long as reading all of it takes.
    pub fn save_snapshot(&self, out: &mut dyn Write) -> Result<SnapshotInfo, StoreError> {
        let disk = self.shared.disk();
        let disk = disk.as_ref().ok_or_else(|| self.shared.closed())?;
        save(disk, out)
    }
}

fn save(disk: &Disk, out: &mut dyn Write) -> Result<SnapshotInfo, StoreError> {
    let failed = |error: redb::Error| disk.unreadable(error);
    let read = disk.begin_read().map_err(failed)?;
    let tables = || -> Result<_, redb::Error> {
        let (changes, leases) = (read.open_table(CHANGES)?, read.open_table(LEASES)?);
        let compacted = read.open_table(FACTS)?.get(COMPACTED)?.map_or(0, |value| value.value());
        Ok((changes, leases, compacted))
    };
    let (changes, leases, compacted) = tables().map_err(failed)?;
    let last = changes.last().map_err(|error| failed(error.into()))?;
    let last = last.map_or(1, |(number, _)| super::index::Number::from_disk(number.value()).revision);
    let revision = last.max(compacted);

    let wrong = stream_error("write");
    let mut out = Digesting::new(BufWriter::new(out));
    let mut put = |parts: &[&[u8]]| parts.iter().try_for_each(|part| out.write_all(part)).map_err(&wrong);
    put(&[MAGIC, &revision.to_le_bytes(), &compacted.to_le_bytes()])?;
    let mut entries = 0_u64;
    for entry in changes.iter().map_err(|error| failed(error.into()))? {
        let (number, record) = entry.map_err(|error| failed(error.into()))?;
        let record = record.value();
        // What is damaged is not saved as if it were not.
        if Record::decode(&Bytes::copy_from_slice(record)).is_none() {
            let detail = "a record's checksum does not match".to_owned();
            return Err(StoreError::Corrupt { path: disk.path.clone(), detail });
        }
        put(&[&[CHANGE], &number.value(), &(record.len() as u32).to_le_bytes(), record])?;
        entries += 1;
    }
    for entry in leases.iter().map_err(|error| failed(error.into()))? {
        let (id, seconds) = entry.map_err(|error| failed(error.into()))?;
        put(&[&[LEASE], &id.value().to_le_bytes(), &seconds.value().to_le_bytes()])?;
        entries += 1;
    }
    put(&[&[END], &entries.to_le_bytes()])?;
    let (digest, bytes, mut out) = out.finish();
    out.write_all(&digest).and_then(|()| out.flush()).map_err(&wrong)?;
    Ok(SnapshotInfo {
        revision: Revision(revision),
        bytes: bytes + digest.len() as u64,
        sha256: base::ids::hex(&digest),
    })
}

/// Makes a store of a snapshot in a folder that holds none. With `bump` its revision is raised by
/// so much and all history counts as compacted: whoever saw revisions that the snapshot does not
/// have lists again, instead of taking new ones for old. Blocks.
///
/// The store is in place once this returned; before, nothing is.
pub fn restore_snapshot(
    input: &mut dyn Read,
    options: &EmbeddedOptions,
    bump: u64,
) -> Result<SnapshotInfo, StoreError> {
    make_folder(&options.folder)?;
    let _lock = lock::FolderLock::take(&options.folder)?;
    let path = options.folder.join(FILE);
    if path.exists() {
        let (at, detail) = (options.folder.display().to_string(), format!("{FILE} is there"));
        return Err(StoreError::NotEmpty { at, detail });
    }
    let partial = options.folder.join("restoring");
    let file = |action, source| StoreError::File { action, path: partial.clone(), source };
    if partial.exists() {
        std::fs::remove_file(&partial).map_err(|source| file("remove", source))?;
    }
    let disk = Disk::open(&partial, &Opener::real())?;
    let info = fill(&disk, input, bump)?;
    drop(disk);
    std::fs::rename(&partial, &path).map_err(|source| file("rename", source))?;
    sync_folder(&options.folder)?;
    Ok(info)
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let path: PathBuf = folder.to_owned();
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| StoreError::File { action: "sync", path, source })
}

/// Checks a snapshot to its end without making a store of it: its entries, their number, its
/// digest. Blocks.
pub fn check_snapshot(input: &mut dyn Read) -> Result<SnapshotInfo, StoreError> {
    read(input, |_| Ok(())).map(|found| found.info)
}

/// Reads a snapshot into an empty file; its last change is that all of it is there.
fn fill(disk: &Disk, input: &mut dyn Read, bump: u64) -> Result<SnapshotInfo, StoreError> {
    let mut group = Vec::new();
    let found = read(input, |entry| match entry {
        Entry::Change(place, record) => {
            group.push((place, record));
            if group.len() == GROUP { put_changes(disk, &mut group) } else { Ok(()) }
        }
        Entry::Lease(id, seconds) => {
            put(disk, |write| Ok(write.open_table(LEASES)?.insert(id, seconds).map(drop)?))
        }
    })?;
    put_changes(disk, &mut group)?;
    let revision = found.info.revision.0 + bump;
    let compacted = if bump > 0 { revision } else { found.compacted };
    put(disk, |write| Ok(write.open_table(FACTS)?.insert(COMPACTED, compacted).map(drop)?))?;
    Ok(SnapshotInfo { revision: Revision(revision), ..found.info })
}

/// One entry of a snapshot.
enum Entry {
    /// A change's place, and its record.
    Change([u8; 12], Vec<u8>),
    /// A lease, and the seconds it is given.
    Lease(i64, u64),
}

/// What was read to the end.
struct Found {
    compacted: u64,
    info: SnapshotInfo,
}

/// Reads a snapshot to its end. What `take` was given is only sure once this returned.
fn read(
    input: &mut dyn Read,
    mut take: impl FnMut(Entry) -> Result<(), StoreError>,
) -> Result<Found, StoreError> {
    let mut input = Digesting::new(BufReader::new(input));
    if array::<8>(&mut input)? != *MAGIC {
        return Err(bad("it does not begin as one of this program's, format 1"));
    }
    let (revision, compacted) = (number(&mut input)?, number(&mut input)?);
    let mut entries = 0_u64;
    loop {
        let [kind] = array::<1>(&mut input)?;
        take(match kind {
            CHANGE => {
                let (place, record) = change(&mut input)?;
                Entry::Change(place, record)
            }
            LEASE => Entry::Lease(number(&mut input)?.cast_signed(), number(&mut input)?),
            END => break,
            kind => return Err(bad(format!("an entry of the kind {kind} is not known"))),
        })?;
        entries += 1;
    }
    let told = number(&mut input)?;
    if told != entries {
        return Err(bad(format!("it has {entries} entries, and tells of {told}")));
    }
    let (digest, bytes, mut rest) = input.finish();
    let mut expected = [0; 32];
    rest.read_exact(&mut expected).map_err(stream_error("read"))?;
    if digest != expected {
        return Err(bad("its digest does not match its content: it was damaged or cut"));
    }
    let bytes = bytes + expected.len() as u64;
    let info = SnapshotInfo { revision: Revision(revision), bytes, sha256: base::ids::hex(&digest) };
    Ok(Found { compacted, info })
}

fn change(input: &mut impl Read) -> Result<([u8; 12], Vec<u8>), StoreError> {
    let place = array::<12>(input)?;
    let length = u32::from_le_bytes(array(input)?) as usize;
    if length > RECORD_BYTES {
        return Err(bad(format!("a record of {length} bytes is larger than any can be")));
    }
    let mut record = vec![0; length];
    input.read_exact(&mut record).map_err(stream_error("read"))?;
    let record = Bytes::from(record);
    if Record::decode(&record).is_none() {
        return Err(bad("a record in it cannot be read"));
    }
    Ok((place, record.to_vec()))
}

fn put_changes(disk: &Disk, group: &mut Vec<([u8; 12], Vec<u8>)>) -> Result<(), StoreError> {
    put(disk, |write| {
        let mut changes = write.open_table(CHANGES)?;
        for (place, record) in group.drain(..) {
            changes.insert(place, record.as_slice())?;
        }
        Ok(())
    })
}

fn put(
    disk: &Disk,
    work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), StoreError> {
    let write = || -> Result<(), redb::Error> {
        let write = disk.begin_write()?;
        work(&write)?;
        Ok(write.commit()?)
    };
    write().map_err(|error| damage(&disk.path, "write", error))
}

fn array<const N: usize>(input: &mut impl Read) -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes).map_err(stream_error("read"))?;
    Ok(bytes)
}

fn number(input: &mut impl Read) -> Result<u64, StoreError> {
    Ok(u64::from_le_bytes(array(input)?))
}
