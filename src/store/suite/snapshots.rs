//! Saving and restoring, on both backends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::servers::{Server, binaries};
use super::{Subject, delete, get, next_events, put, short, watch};
use crate::{Embedded, EmbeddedOptions, Op, Range, Revision, StoreError, Txn, embedded, etcd};

async fn some_history(store: &Subject) -> Revision {
    for n in 0..40 {
        put(store, &format!("k{}", n % 10), &format!("{n}")).await;
    }
    delete(store, "k3").await
}

#[tokio::test]
async fn a_snapshot_of_an_embedded_store_is_the_store_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = |name: &str| EmbeddedOptions { folder: folder.path().join(name) };
    let store = Arc::new(Embedded::open(&options("first")).unwrap());
    let subject = Arc::clone(&store) as Subject;
    let at = some_history(&subject).await;
    let lease = subject.grant_lease(Duration::from_secs(3600)).await.unwrap();
    subject.txn(Txn::new().then(Op::put_leased("leased", "1", lease))).await.unwrap();
    subject.compact(Revision(20)).await.unwrap();
    let expected = subject.range(Range::prefix("")).await.unwrap();
    let mut snapshot = Vec::new();
    let saved = store.save_snapshot(&mut snapshot).unwrap();
    assert_eq!((saved.revision, saved.bytes), (at.next(), snapshot.len() as u64));
    put(&subject, "later", "1").await;

    let restored = embedded::restore_snapshot(&mut &snapshot[..], &options("second"), 0).unwrap();
    assert_eq!(restored, saved);
    let second: Subject = Arc::new(Embedded::open(&options("second")).unwrap());
    assert_eq!(second.range(Range::prefix("")).await.unwrap(), expected);
    let mut history = watch(&second, "k3", at).await;
    assert_eq!(
        next_events(&mut history).await.events.iter().map(short).collect::<Vec<_>>(),
        ["k3 deleted was 33"]
    );
    second.revoke_lease(lease).await.unwrap();
    assert_eq!(get(&second, "leased").await, None);

    let again = embedded::restore_snapshot(&mut &snapshot[..], &options("second"), 0).unwrap_err();
    assert!(matches!(again, StoreError::Locked { .. }), "{again}");
    drop(second);
    let again = embedded::restore_snapshot(&mut &snapshot[..], &options("second"), 0).unwrap_err();
    assert!(matches!(again, StoreError::NotEmpty { .. }), "{again}");
}

#[tokio::test]
async fn a_raised_revision_sends_everybody_to_list_again() {
    let folder = tempfile::tempdir().unwrap();
    let options = |name: &str| EmbeddedOptions { folder: folder.path().join(name) };
    let store = Arc::new(Embedded::open(&options("first")).unwrap());
    let at = some_history(&(Arc::clone(&store) as Subject)).await;
    let mut snapshot = Vec::new();
    store.save_snapshot(&mut snapshot).unwrap();
    let restored = embedded::restore_snapshot(&mut &snapshot[..], &options("second"), 1_000_000).unwrap();
    assert_eq!(restored.revision, Revision(at.0 + 1_000_000));
    let second: Subject = Arc::new(Embedded::open(&options("second")).unwrap());
    assert_eq!(second.current_revision().await.unwrap(), restored.revision);
    assert_eq!(get(&second, "k9").await.as_deref(), Some("39"));
    // A server that had seen ten revisions more than the snapshot has.
    let request = crate::WatchRequest::new(crate::KeyRange::all(), Revision(at.0 + 11));
    assert!(second.watch(request).await.unwrap_err().is_compacted());
    assert_eq!(put(&second, "k9", "new").await, restored.revision.next());
}

#[tokio::test]
async fn a_damaged_or_cut_snapshot_makes_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let options = |name: &str| EmbeddedOptions { folder: folder.path().join(name) };
    let store = Arc::new(Embedded::open(&options("first")).unwrap());
    some_history(&(Arc::clone(&store) as Subject)).await;
    let mut snapshot = Vec::new();
    store.save_snapshot(&mut snapshot).unwrap();
    let target = options("second");
    let step = snapshot.len() / 60 + 1;
    for at in (0..snapshot.len()).step_by(step) {
        let mut damaged = snapshot.clone();
        damaged[at] ^= 0x10;
        for bytes in [&damaged[..], &snapshot[..at]] {
            let error = embedded::restore_snapshot(&mut &bytes[..], &target, 0).unwrap_err();
            assert_eq!(embedded::check_snapshot(&mut &bytes[..]).unwrap_err().to_string(), error.to_string());
            assert!(matches!(error, StoreError::BadSnapshot { .. }), "byte {at}: {error}");
        }
    }
    let checked = embedded::check_snapshot(&mut &snapshot[..]).unwrap();
    assert_eq!(checked, embedded::restore_snapshot(&mut &snapshot[..], &target, 0).unwrap());
}

#[tokio::test]
async fn a_snapshot_of_etcd_is_restored_by_its_own_tool() {
    for binary in binaries() {
        let server = Server::start(&binary, &[]).await;
        let store = server.store().await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.db");
        let at = some_history(&(Arc::new(server.store().await) as Subject)).await;
        let saved = store.save_snapshot(&mut std::fs::File::create(&path).unwrap()).await.unwrap();
        assert_eq!((saved.revision, saved.bytes), (at, std::fs::metadata(&path).unwrap().len()));
        let Some(tool) = tool_of(&binary) else {
            eprintln!(
                "SKIPPED the restore: neither etcdutl nor etcdctl 3.4 lies beside {}",
                binary.display()
            );
            continue;
        };
        let restore = etcd::EtcdRestore {
            tool,
            data_dir: folder.path().join("data"),
            name: "one".to_owned(),
            initial_cluster: "one=http://127.0.0.1:1".to_owned(),
            peer_url: "http://127.0.0.1:1".to_owned(),
            bump: 0,
        };
        let restored = etcd::restore_snapshot(&path, &restore).unwrap();
        assert_eq!(restored.sha256, saved.sha256);
        let again = etcd::restore_snapshot(&path, &restore).unwrap_err();
        assert!(matches!(again, StoreError::NotEmpty { .. }), "{again}");
        let second = Server::start_on(&binary, &restore.data_dir).await;
        let second: Subject = Arc::new(second.store().await);
        assert_eq!(get(&second, "k9").await.as_deref(), Some("39"));
        assert_eq!(put(&second, "k9", "new").await, at.next());

        let mut damaged = std::fs::read(&path).unwrap();
        damaged[5_000] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let error = etcd::restore_snapshot(&path, &restore).unwrap_err();
        assert!(matches!(error, StoreError::BadSnapshot { .. }), "{error}");
    }
}

/// The tool that restores, beside the server: `etcdutl`, or `etcdctl` where that can still do it.
fn tool_of(binary: &std::path::Path) -> Option<PathBuf> {
    let can = |path: &PathBuf| {
        let help = std::process::Command::new(path)
            .env("ETCDCTL_API", "3")
            .args(["snapshot", "restore", "--help"])
            .output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("initial-cluster"))
    };
    ["etcdutl", "etcdctl"].map(|name| binary.with_file_name(name)).into_iter().find(can)
}
