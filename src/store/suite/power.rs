//! An embedded store on a disk that loses its power, fills up in the middle of a write, or fails
//! to sync: a file in memory that keeps apart what was synced and what was only written.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base::{Class, Classified};
use redb::StorageBackend;

use super::crash::{Told, find_all};
use super::load::{Random, judge, run};
use super::{Subject, get, next_events, put, watch};
use crate::embedded::disk::{Opener, builder};
use crate::{Embedded, EmbeddedOptions, Op, Revision, StoreError, Txn};

/// A disk writes so much at once or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Default)]
struct Image {
    /// What survives.
    synced: Vec<u8>,
    /// What is read.
    written: Vec<u8>,
    /// Since the last sync.
    pending: Vec<Change>,
    fault: Option<Fault>,
}

#[derive(Debug, Clone)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Writes find no room.
    Full,
    /// The next sync fails, and nothing of it is on disk.
    Sync,
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Length(length) => to.resize(*length, 0),
            Self::Bytes(at, bytes) => {
                let end = at + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*at..end].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Platter(Arc<Mutex<Image>>);

impl Platter {
    fn opener(&self) -> Opener {
        let platter = self.clone();
        Opener::new(move |_: &Path| Ok(builder().create_with_backend(platter.clone())?))
    }

    fn fail(&self, fault: Option<Fault>) {
        self.0.lock().unwrap().fault = fault;
    }

    /// What a loss of power leaves: all that was synced, and any sectors of what was not.
    fn cut(&self, random: &mut Random) -> Self {
        let image = self.0.lock().unwrap();
        let mut left = image.synced.clone();
        for change in &image.pending {
            match change {
                Change::Length(_) if random.below(2) == 0 => change.apply(&mut left),
                Change::Length(_) => {}
                Change::Bytes(at, bytes) => {
                    for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                        if random.below(2) == 0 {
                            Change::Bytes(at + n * SECTOR, sector.to_vec()).apply(&mut left);
                        }
                    }
                }
            }
        }
        Self(Arc::new(Mutex::new(Image { synced: left.clone(), written: left, ..Image::default() })))
    }
}

impl StorageBackend for Platter {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (image, at) = (self.0.lock().unwrap(), usize::try_from(offset).unwrap());
        let found = image.written.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(usize::try_from(len).unwrap()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut image = self.0.lock().unwrap();
        if image.fault == Some(Fault::Sync) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        for change in std::mem::take(&mut image.pending) {
            change.apply(&mut image.synced);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.0.lock().unwrap().fault == Some(Fault::Full) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error()));
        }
        self.change(Change::Bytes(usize::try_from(offset).unwrap(), data.to_vec()));
        Ok(())
    }
}

impl Platter {
    fn change(&self, change: Change) {
        let mut image = self.0.lock().unwrap();
        change.apply(&mut image.written);
        image.pending.push(change);
    }
}

fn open(platter: &Platter) -> (tempfile::TempDir, Subject) {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { folder: folder.path().to_owned() };
    let store = Embedded::open_on(&options, platter.opener()).unwrap();
    (folder, Arc::new(store))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_of_power_takes_nothing_that_was_acknowledged() {
    for seed in 1..=6 {
        let mut random = Random(seed * 7_919);
        let (mut platter, mut first, mut lines) = (Platter::default(), 0, Vec::new());
        for _ in 0..4 {
            let (_folder, store) = open(&platter);
            let (told, record) = Told::new();
            let load = tokio::spawn(run(store, record, 12, first, u64::MAX / 2));
            told.calls_more(150 + random.below(400)).await;
            // First what was acknowledged, then the disk: it may only have more.
            lines.extend(told.lines.lock().unwrap().iter().cloned());
            platter = platter.cut(&mut random);
            load.abort();
            let _ = load.await;
            first += 100_000;
        }
        let tally = judge(&lines);
        assert_eq!(tally.refused, 0);
        let (_folder, store) = open(&platter);
        find_all(&store, &tally).await;
    }
}

#[tokio::test]
async fn a_write_that_finds_no_room_is_refused_and_the_file_opened_anew() {
    let platter = Platter::default();
    let (_folder, store) = open(&platter);
    let mut events = watch(&store, "", Revision(2)).await;
    put(&store, "before", "1").await;
    platter.fail(Some(Fault::Full));
    for _ in 0..3 {
        let error = store.txn(Txn::new().then(Op::put("during", "1"))).await.unwrap_err();
        assert!(matches!(error, StoreError::NoSpace { .. } | StoreError::Unavailable { .. }), "{error}");
        assert_eq!(error.class(), Class::Retry);
    }
    assert!(!store.status().await.unwrap().problems.is_empty());
    platter.fail(None);
    put(&store, "after", "1").await;
    assert_eq!((get(&store, "before").await.as_deref(), get(&store, "during").await), (Some("1"), None));
    assert_eq!(store.status().await.unwrap().problems, Vec::<String>::new());
    for revision in [2, 3] {
        assert_eq!(next_events(&mut events).await.revision, Revision(revision));
    }
}

#[tokio::test]
async fn a_sync_that_fails_leaves_the_write_open_and_stops_the_store() {
    let platter = Platter::default();
    let (folder, store) = open(&platter);
    put(&store, "before", "1").await;
    let mut events = watch(&store, "", Revision(3)).await;
    platter.fail(Some(Fault::Sync));
    let error = store.txn(Txn::new().then(Op::put("k", "1"))).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error}");
    // What the system still holds of the file is not to be trusted: nothing is shown or taken.
    let error = store.txn(Txn::new().then(Op::put("k", "2"))).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error}");
    assert_eq!(error.class(), Class::Fatal);
    let watched = tokio::time::timeout(super::PATIENCE, events.next()).await.unwrap().unwrap_err();
    assert!(matches!(watched, StoreError::Failed { .. }), "{watched}");
    drop((store, folder));
    let (_folder, store) = open(&platter.cut(&mut Random(1)));
    assert_eq!(get(&store, "before").await.as_deref(), Some("1"));
}
