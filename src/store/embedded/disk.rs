//! What lies on disk, in redb: one record per change under its number, leases, and how far
//! history is compacted. Format 1. Owns the encoding of records and the words for what disks say.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::index::Number;
use crate::StoreError;

/// Changes: number -> record.
pub(super) const CHANGES: TableDefinition<[u8; 12], &[u8]> = TableDefinition::new("changes");
/// Leases: id -> seconds.
pub(super) const LEASES: TableDefinition<i64, u64> = TableDefinition::new("leases");
/// Facts by name.
pub(super) const FACTS: TableDefinition<&str, u64> = TableDefinition::new("facts");
/// The format of all of this.
pub(super) const FORMAT: &str = "format";
/// Up to which revision history is compacted.
pub(super) const COMPACTED: &str = "compacted";

const FORMAT_NOW: u64 = 1;
/// redb's pages in memory. Whoever reads a lot keeps a cache of its own.
const CACHE_BYTES: usize = 8 << 20;
const RECORD_HEADER: usize = 33;
/// Of which the first are a checksum of all behind them: redb checks its pages after a crash only.
const CHECKSUM: usize = 4;

impl Number {
    pub(super) fn to_disk(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let (revision, change) = bytes.split_at_mut(8);
        revision.copy_from_slice(&self.revision.to_be_bytes());
        change.copy_from_slice(&self.change.to_be_bytes());
        bytes
    }

    pub(super) fn from_disk(bytes: [u8; 12]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Self {
            revision: u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            change: u32::from_be_bytes([i, j, k, l]),
        }
    }
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// `None`: it was deleted.
    pub(super) value: Option<Bytes>,
    pub(super) create: u64,
    pub(super) version: u64,
    pub(super) lease: i64,
    pub(super) key: Bytes,
}

impl Record {
    pub(super) fn encode(&self) -> Vec<u8> {
        let value = self.value.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(RECORD_HEADER + self.key.len() + value.len());
        out.extend([0; CHECKSUM]);
        out.push(u8::from(self.value.is_some()));
        out.extend(self.create.to_le_bytes());
        out.extend(self.version.to_le_bytes());
        out.extend(self.lease.to_le_bytes());
        out.extend((self.key.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.key);
        out.extend_from_slice(value);
        let checksum = crc32fast::hash(out.get(CHECKSUM..).unwrap_or_default());
        if let Some(place) = out.get_mut(..CHECKSUM) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
        out
    }

    /// Key and value share the memory of `bytes`. `None`: this is no record, or not as it was.
    pub(super) fn decode(bytes: &Bytes) -> Option<Self> {
        let header = bytes.get(..RECORD_HEADER)?;
        if crc32fast::hash(bytes.get(CHECKSUM..)?).to_le_bytes() != header.get(..CHECKSUM)? {
            return None;
        }
        let header = header.get(CHECKSUM..)?;
        let number = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
        let key_length = u32::from_le_bytes(header.get(25..29)?.try_into().ok()?) as usize;
        let value_at = RECORD_HEADER.checked_add(key_length).filter(|at| *at <= bytes.len())?;
        let value = match header.first()? {
            0 => None,
            1 => Some(bytes.slice(value_at..)),
            _ => return None,
        };
        Some(Self {
            value,
            create: number(1)?,
            version: number(9)?,
            lease: number(17)?.cast_signed(),
            key: bytes.slice(RECORD_HEADER..value_at),
        })
    }
}

/// What opens the file: a seam, for disks that fail on purpose.
#[derive(Clone)]
pub(crate) struct Opener(Arc<Open>);

type Open = dyn Fn(&Path) -> Result<Database, redb::Error> + Send + Sync;

impl Opener {
    pub(crate) fn new(open: impl Fn(&Path) -> Result<Database, redb::Error> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    /// The file on a disk of this machine.
    pub(super) fn real() -> Self {
        Self::new(|path| Ok(builder().create(path)?))
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener")
    }
}

pub(crate) fn builder() -> redb::Builder {
    let mut builder = redb::Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// The open file, with its name for errors.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) database: Database,
    pub(super) path: PathBuf,
}

impl Disk {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path, opener: &Opener) -> Result<Self, StoreError> {
        let failed = |error: redb::Error| damage(path, "open", error);
        let database = (opener.0)(path).map_err(failed)?;
        let disk = Self { database, path: path.to_owned() };
        disk.prepare().map_err(failed)?;
        let format = disk.fact(FORMAT)?.unwrap_or(FORMAT_NOW);
        if format != FORMAT_NOW {
            let detail = format!("its format is {format}, this program reads {FORMAT_NOW}");
            return Err(StoreError::Corrupt { path: path.to_owned(), detail });
        }
        Ok(disk)
    }

    /// Makes the tables, where they are missing.
    fn prepare(&self) -> Result<(), redb::Error> {
        let read = self.database.begin_read()?;
        match read.open_table(FACTS) {
            Ok(_) => return Ok(()),
            Err(redb::TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(error.into()),
        }
        drop(read);
        let write = self.database.begin_write()?;
        write.open_table(CHANGES)?;
        write.open_table(LEASES)?;
        write.open_table(FACTS)?.insert(FORMAT, FORMAT_NOW)?;
        Ok(write.commit()?)
    }

    pub(super) fn begin_read(&self) -> Result<redb::ReadTransaction, redb::Error> {
        Ok(self.database.begin_read()?)
    }

    pub(super) fn begin_write(&self) -> Result<redb::WriteTransaction, redb::Error> {
        Ok(self.database.begin_write()?)
    }

    pub(super) fn fact(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let read = || -> Result<Option<u64>, redb::Error> {
            let table = self.database.begin_read()?.open_table(FACTS)?;
            Ok(table.get(name)?.map(|value| value.value()))
        };
        read().map_err(|error| self.unreadable(error))
    }

    /// All leases with their seconds.
    pub(super) fn leases(&self) -> Result<Vec<(i64, u64)>, StoreError> {
        let read = || -> Result<Vec<(i64, u64)>, redb::Error> {
            let table = self.database.begin_read()?.open_table(LEASES)?;
            table
                .iter()?
                .map(|entry| entry.map(|(id, seconds)| (id.value(), seconds.value())).map_err(Into::into))
                .collect()
        };
        read().map_err(|error| self.unreadable(error))
    }

    /// Tells every change from `from` on, in order, until `each` says to stop.
    pub(super) fn changes(
        &self,
        from: Number,
        mut each: impl FnMut(Number, Record) -> bool,
    ) -> Result<(), StoreError> {
        let table = self.table()?;
        let entries = table.range(from.to_disk()..).map_err(|error| self.unreadable(error.into()))?;
        for entry in entries {
            let (number, record) = entry.map_err(|error| self.unreadable(error.into()))?;
            let number = Number::from_disk(number.value());
            if !each(number, self.decode(number, record.value())?) {
                break;
            }
        }
        Ok(())
    }

    /// The changes as of now: later ones do not show in it.
    pub(super) fn table(&self) -> Result<redb::ReadOnlyTable<[u8; 12], &'static [u8]>, StoreError> {
        let open = || -> Result<_, redb::Error> { Ok(self.database.begin_read()?.open_table(CHANGES)?) };
        open().map_err(|error| self.unreadable(error))
    }

    /// One change that is known to be there.
    pub(super) fn record(
        &self,
        table: &impl ReadableTable<[u8; 12], &'static [u8]>,
        number: Number,
    ) -> Result<Record, StoreError> {
        let found = table.get(number.to_disk()).map_err(|error| self.unreadable(error.into()))?;
        let found = found.ok_or_else(|| StoreError::Corrupt {
            path: self.path.clone(),
            detail: format!("change {} of revision {} is missing", number.change, number.revision),
        })?;
        self.decode(number, found.value())
    }

    fn decode(&self, number: Number, bytes: &[u8]) -> Result<Record, StoreError> {
        Record::decode(&Bytes::copy_from_slice(bytes)).ok_or_else(|| StoreError::Corrupt {
            path: self.path.clone(),
            detail: format!("change {} of revision {} cannot be read", number.change, number.revision),
        })
    }

    /// A read that failed, in words.
    pub(super) fn unreadable(&self, error: redb::Error) -> StoreError {
        damage(&self.path, "read", error)
    }
}

/// What redb says, as ours.
pub(super) fn damage(path: &Path, action: &'static str, error: redb::Error) -> StoreError {
    let path = path.to_owned();
    match error {
        redb::Error::Io(source) if source.kind() == std::io::ErrorKind::InvalidData => {
            StoreError::Corrupt { path, detail: source.to_string() }
        }
        redb::Error::Io(source) => StoreError::File { action, path, source },
        redb::Error::PreviousIo => StoreError::Unavailable {
            at: path.display().to_string(),
            detail: "the disk failed a write, the file is being opened anew".to_owned(),
        },
        error => StoreError::Corrupt { path, detail: error.to_string() },
    }
}

/// Whether an error says that there is no room.
pub(super) fn is_full(error: &std::io::Error) -> bool {
    let full = [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT].map(rustix::io::Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| full.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was_and_any_changed_bit_is_seen(
            bit in any::<usize>(),
            value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50)),
            key in proptest::collection::vec(any::<u8>(), 0..50),
            (create, version, lease) in (any::<u64>(), any::<u64>(), any::<i64>()),
        ) {
            let record = Record { value: value.map(Bytes::from), create, version, lease, key: Bytes::from(key) };
            let mut bytes = record.encode();
            prop_assert_eq!(Record::decode(&Bytes::from(bytes.clone())), Some(record));
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Record::decode(&Bytes::from(bytes)), None);
        }

        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Record::decode(&Bytes::from(bytes));
        }

        #[test]
        fn numbers_lie_on_disk_in_their_order(a in any::<(u64, u32)>(), b in any::<(u64, u32)>()) {
            let number = |(revision, change)| Number { revision, change };
            let (a, b) = (number(a), number(b));
            prop_assert_eq!(a.cmp(&b), a.to_disk().cmp(&b.to_disk()));
            prop_assert_eq!(Number::from_disk(a.to_disk()), a);
        }
    }
}
