//! Crashes under load: processes killed and stopped, answers lost, a disk that is full. Each
//! history is checked, and what was acknowledged is looked for in the store's own history.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::watch;

use super::linear::{Outcome, Value};
use super::load::{Line, Random, Record, Tally, decode, judge, run};
use super::proxy::Proxy;
use super::servers::{Server, binaries};
use super::{PATIENCE, Subject, next};
use crate::{
    Embedded, EmbeddedOptions, Etcd, EtcdOptions, EventKind, KeyRange, Revision, StoreError, WatchRequest,
};

/// Calls made on the embedded store while it is killed.
const KILLED_CALLS: u64 = 66_000;
/// Calls made on a disk that fills up.
const FULL_CALLS: u64 = 12_000;
/// Calls made on etcd, all versions together.
const ETCD_CALLS: u64 = 24_000;

/// Tells the test that it is the process to be killed: `FOLDER`, and the first call's number.
const CHILD: &str = "CLUSTER_STORE_TEST_CHILD";
const THIS_TEST: &str =
    "suite::crash::an_embedded_store_that_is_killed_has_lost_nothing_it_acknowledged_and_stays_linearizable";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_store_that_is_killed_has_lost_nothing_it_acknowledged_and_stays_linearizable() {
    if let Ok(task) = std::env::var(CHILD) {
        return be_killed(&task).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut lines, mut first, mut kills) = (Vec::new(), 0, 0);
    let mut random = Random(4_711);
    while first < KILLED_CALLS {
        first += kill_one(folder.path(), first, 6_000 + random.below(18_000), &mut lines).await;
        kills += 1;
    }
    let tally = judge(&lines);
    eprintln!("{} calls, {kills} kills, {} unknown", tally.calls, tally.unknown);
    assert_eq!(tally.refused, 0);
    assert!(tally.unknown >= 1, "some call was under way when the process was killed");
    let store = Embedded::open(&EmbeddedOptions { folder: folder.path().to_owned() }).unwrap();
    find_all(&(Arc::new(store) as Subject), &tally).await;
}

/// The process that is killed: calls and tells, until it is.
async fn be_killed(task: &str) {
    let (folder, first) = task.rsplit_once(' ').unwrap();
    let store = Embedded::open(&EmbeddedOptions { folder: folder.into() }).unwrap();
    let record: Record = Arc::new(|line: Line| println!("{}", line.to_text()));
    run(Arc::new(store), record, 48, first.parse().unwrap(), u64::MAX / 2).await;
}

/// Starts a process, kills it once it told so many lines, and gives how many calls it began.
async fn kill_one(folder: &Path, first: u64, told: u64, lines: &mut Vec<Line>) -> u64 {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([THIS_TEST, "--exact", "--nocapture"])
        .env(CHILD, format!("{} {first}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let (mut count, mut last, mut text) = (0, first, Vec::new());
    loop {
        text.clear();
        let read = tokio::time::timeout(PATIENCE, output.read_until(b'\n', &mut text)).await;
        read.expect("the child goes on").unwrap();
        // A line that the kill cut is not one.
        let Some(whole) = text.strip_suffix(b"\n") else { break };
        let Some(line) = Line::parse(&String::from_utf8_lossy(whole)) else { continue };
        if let Line::Began { id, .. } = &line {
            last = last.max(*id + 1);
        }
        lines.push(line);
        count += 1;
        if count == told {
            // What it told until it died is still read.
            child.start_kill().unwrap();
        }
    }
    assert!(count >= told, "the child ended by itself after {count} lines");
    child.wait().await.unwrap();
    // Numbers that were drawn and never told are not drawn again.
    last - first + 100
}

/// Every acknowledged change is in the store's history, which has neither gap nor repetition.
pub(super) async fn find_all(store: &Subject, tally: &Tally) {
    let end = store.current_revision().await.unwrap();
    assert!(tally.acknowledged.last_key_value().is_none_or(|(last, _)| *last <= end.0));
    let mut history = store.watch(WatchRequest::new(KeyRange::all(), Revision(2))).await.unwrap();
    let mut expected = 2;
    while expected <= end.0 {
        let batch = next(&mut history).await;
        assert_eq!(batch.revision, Revision(expected));
        expected += 1;
        let Some((key, value)) = tally.acknowledged.get(&batch.revision.0) else { continue };
        let found: Vec<(&[u8], Value)> = batch
            .events
            .iter()
            .map(|event| match &event.kind {
                EventKind::Put { value, .. } => (&event.key[..], Some(decode(value))),
                EventKind::Delete => (&event.key[..], None),
            })
            .collect();
        assert_eq!(found, [(key.as_bytes(), *value)], "revision {} was acknowledged", batch.revision);
    }
}

/// A history in this process, and how far it is.
pub(super) struct Told {
    pub(super) lines: Arc<Mutex<Vec<Line>>>,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    done: u64,
    unknown: u64,
    refused: u64,
}

impl Told {
    pub(super) fn new() -> (Self, Record) {
        let (lines, progress) = (Arc::new(Mutex::new(Vec::new())), watch::Sender::new(Progress::default()));
        let record: Record = Arc::new({
            let (lines, progress) = (Arc::clone(&lines), progress.clone());
            move |line: Line| {
                let mut lines = lines.lock().unwrap();
                progress.send_modify(|progress| match &line {
                    Line::Began { .. } => {}
                    Line::Ended { outcome: Outcome::Unknown, .. } => progress.unknown += 1,
                    Line::Ended { .. } => progress.done += 1,
                    Line::Refused { .. } => progress.refused += 1,
                });
                lines.push(line);
            }
        });
        (Self { lines, progress }, record)
    }

    /// The first and the last few refusals.
    fn refusals(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let said =
            |line: &Line| if let Line::Refused { said, .. } = line { Some(said.clone()) } else { None };
        let all: Vec<_> = lines.iter().filter_map(said).collect();
        all.iter().take(3).chain(all.iter().rev().take(3)).cloned().collect()
    }

    fn now(&self) -> Progress {
        *self.progress.borrow()
    }

    async fn until(&self, what: &str, reached: impl FnMut(&Progress) -> bool) {
        let mut progress = self.progress.subscribe();
        let waited = tokio::time::timeout(PATIENCE, progress.wait_for(reached)).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.now());
    }

    pub(super) async fn calls_more(&self, count: u64) {
        let enough = self.now().done + count;
        self.until("calls are answered", |progress| progress.done >= enough).await;
    }
}

/// A file system of its own in memory, of 64 MiB; only root has one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "none"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        eprintln!("SKIPPED: a file system cannot be mounted (root only)");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI runs every test: run it as root");
        None
    }

    /// Takes all room, and gives it back when dropped.
    fn fill(&self) -> tempfile::NamedTempFile {
        let ballast = tempfile::NamedTempFile::new_in(self.0.path()).unwrap();
        let mut size = 64 << 20;
        while size >= 4096 {
            let all = rustix::fs::fstat(ballast.as_file()).unwrap().st_size.cast_unsigned();
            let mode = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(ballast.as_file(), mode, all, size) {
                // A child of another test has ended: a signal.
                Ok(()) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => size /= 2,
            }
        }
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_loses_nothing_and_is_written_again_once_it_has_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let options = EmbeddedOptions { folder: disk.0.path().join("store") };
    let store: Subject = Arc::new(Embedded::open(&options).unwrap());
    let (told, record) = Told::new();
    let load = tokio::spawn(run(Arc::clone(&store), record, 16, 0, FULL_CALLS));
    for _ in 0..3 {
        told.calls_more(800).await;
        // While the disk fills, room comes and goes: what counts is refused afterwards.
        let ballast = disk.fill();
        let before = told.now();
        told.until("writes are refused", |now| now.refused > before.refused + 20).await;
        let status = store.status().await.unwrap();
        let problem = status.problems.iter().any(|problem| problem.contains("no space left"));
        assert!(problem, "{status:?} {:?}", told.refusals());
        // Reads go on, also among refused writes.
        told.calls_more(20).await;
        drop(ballast);
        told.calls_more(200).await;
        let recovered = async {
            while !store.status().await.unwrap().problems.is_empty() {
                told.calls_more(5).await;
            }
        };
        tokio::time::timeout(PATIENCE, recovered).await.expect("the problem passes");
    }
    load.await.unwrap();
    let lines = told.lines.lock().unwrap().clone();
    let said =
        lines.iter().find_map(|line| if let Line::Refused { said, .. } = line { Some(said) } else { None });
    assert!(said.unwrap().contains("nothing was changed, reads go on; make room on its disk"), "{said:?}");
    let tally = judge(&lines);
    assert_eq!(tally.unknown, 0, "a full disk leaves nothing open");
    find_all(&store, &tally).await;
    drop(store);
    find_all(&(Arc::new(Embedded::open(&options).unwrap()) as Subject), &tally).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_killed_stopped_and_with_answers_lost_stays_linearizable_and_loses_nothing() {
    let binaries = binaries();
    for binary in &binaries {
        let mut server = Server::start(binary, &[]).await;
        let proxy = Proxy::start(server.port()).await;
        let options =
            EtcdOptions { endpoints: vec![proxy.url()], timeout: Duration::from_secs(1), ..server.options() };
        let store: Subject = Arc::new(Etcd::new(options).await.unwrap());
        let (told, record) = Told::new();
        let calls = ETCD_CALLS / binaries.len() as u64;
        let load = tokio::spawn(run(Arc::clone(&store), record, 24, 0, calls));
        for round in 0..6 {
            told.calls_more(1_500).await;
            let before = told.now();
            match round % 3 {
                0 => {
                    server.kill();
                    server.restart().await;
                }
                1 => {
                    server.pause().await;
                    told.until("writes are unknown", |now| now.unknown > before.unknown).await;
                    server.resume();
                }
                _ => {
                    proxy.lose_answers();
                    told.until("writes are unknown", |now| now.unknown > before.unknown).await;
                    proxy.cut();
                }
            }
        }
        load.await.unwrap();
        let tally = judge(&told.lines.lock().unwrap().clone());
        eprintln!(
            "{}: {} calls, {} unknown, {} not done",
            binary.display(),
            tally.calls,
            tally.unknown,
            tally.refused
        );
        assert!(tally.unknown > 0);
        find_all(&(Arc::new(server.store().await) as Subject), &tally).await;
    }
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { folder: folder.path().to_owned() };
    let store = Embedded::open(&options).unwrap();
    let error = Embedded::open(&options).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&format!("the process {}", std::process::id())), "{error}");
    drop(store);
    Embedded::open(&options).unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { folder: folder.path().to_owned() };
    let store: Subject = Arc::new(Embedded::open(&options).unwrap());
    for n in 0..50 {
        super::put(&store, &format!("k{n}"), &"x".repeat(1_000)).await;
    }
    drop(store);
    let path = folder.path().join("store.redb");
    let mut bytes = std::fs::read(&path).unwrap();
    let value = bytes.windows(900).position(|window| window.iter().all(|byte| *byte == b'x')).unwrap();
    bytes[value + 10] ^= 1;
    for damaged in [&bytes[..], b"not a store"] {
        std::fs::write(&path, damaged).unwrap();
        let error = Embedded::open(&options).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("store.redb") && error.to_string().contains("restore"), "{error}");
    }
}

#[tokio::test]
async fn a_store_comes_back_as_it_was_with_history_and_leases() {
    let folder = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { folder: folder.path().to_owned() };
    let open = || Arc::new(Embedded::open(&options).unwrap()) as Subject;
    let store = open();
    for n in 0..20 {
        super::put(&store, "k", &format!("{n}")).await;
    }
    let lease = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    let txn = crate::Txn::new().then(crate::Op::put_leased("leased", "1", lease));
    store.txn(txn).await.unwrap();
    super::delete(&store, "k").await;
    store.compact(Revision(10)).await.unwrap();
    let (at, all) = (store.current_revision().await.unwrap(), crate::Range::prefix(""));
    let before = store.range(all.clone().at(Revision(15))).await.unwrap();
    drop(store);
    let store = open();
    assert_eq!(store.current_revision().await.unwrap(), at);
    assert_eq!(store.range(all.clone().at(Revision(15))).await.unwrap(), before);
    let error = store.range(all.at(Revision(9))).await.unwrap_err();
    assert!(matches!(error, StoreError::Compacted { at: Revision(10), .. }), "{error}");
    assert_eq!(super::put(&store, "new", "1").await, at.next());
    store.revoke_lease(lease).await.unwrap();
    assert_eq!(super::get(&store, "leased").await, None);
}

#[tokio::test]
async fn a_watch_that_was_overtaken_by_compaction_says_how_far_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let store: Subject =
        Arc::new(Embedded::open(&EmbeddedOptions { folder: folder.path().to_owned() }).unwrap());
    let mut slow = super::watch(&store, "", Revision(2)).await;
    super::put(&store, "k", "1").await;
    assert_eq!(next(&mut slow).await.revision, Revision(2));
    for n in 0..5 {
        super::put(&store, "k", &format!("{n}")).await;
    }
    store.compact(Revision(5)).await.unwrap();
    let error = slow.next().await.unwrap_err();
    assert!(
        matches!(error, StoreError::WatchTooSlow { reached: Revision(2), compacted: Revision(5) }),
        "{error}"
    );
    assert!(slow.next().await.is_err(), "an error is the end");
}
