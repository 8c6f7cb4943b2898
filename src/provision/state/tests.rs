#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use base::ManualClock;

use super::*;

/// A folder of its own, removed at the end.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cluster-state-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Memory where there is one: a sweep syncs thousands of times.
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = base.join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn folder(scratch: &Scratch) -> Folder {
    Folder::new(&scratch.0, "123456789012", "us-east-1", "shop").unwrap()
}

pub(crate) fn new_state() -> StateFile {
    let text = |text: &str| text.to_owned();
    let new = NewState {
        name: text("shop"),
        uid: text("0123456789abcdef"),
        account: text("123456789012"),
        region: text("us-east-1"),
        endpoint: None,
    };
    StateFile::new(new, "2026-03-01T12:00:00Z".parse().unwrap())
}

pub(crate) fn store(scratch: &Scratch) -> Store {
    let folder = folder(scratch);
    match Store::open(&folder, folder.lock("cluster up", &ManualClock::default()).unwrap()).unwrap() {
        Opened::Known(store) => store,
        Opened::New(lock) => Store::create(&folder, lock, new_state()).unwrap(),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_folder_and_its_files_are_for_their_owner_only() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    store.write_secret("pki/ca.key", b"secret").unwrap();
    let path = store.folder().path().to_owned();
    assert_eq!(path, scratch.0.join("cluster/123456789012/us-east-1/shop"));
    for folder in ["", "secrets", "secrets/pki"] {
        assert_eq!(mode(&path.join(folder)), 0o700, "{folder}");
    }
    for file in ["state.json", "lock", "secrets/pki/ca.key"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_folder_that_was_open_to_others_is_closed() {
    let scratch = Scratch::new();
    let path = folder(&scratch).path().to_owned();
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let _store = store(&scratch);
    assert_eq!(mode(&path), 0o700);
}

#[test]
fn what_was_written_is_read_again() {
    let scratch = Scratch::new();
    let first = store(&scratch);
    first.update(|state| state.slot_mut("vpc").id = Some("vpc-1".into())).unwrap();
    let written = first.read(Clone::clone);
    drop(first);
    assert_eq!(store(&scratch).read(Clone::clone), written);
    assert_eq!(folder(&scratch).read().unwrap(), Some(written));
}

#[test]
fn a_second_command_is_told_who_holds_the_lock() {
    let scratch = Scratch::new();
    let held = store(&scratch);
    let error = folder(&scratch).lock("cluster down", &ManualClock::default()).unwrap_err().to_string();
    let pid = std::process::id();
    assert!(error.contains("`cluster up`") && error.contains(&format!("process {pid} on ")), "{error}");
    assert!(error.contains("since 1970-01-01T00:00:00Z"), "{error}");
    drop(held);
    folder(&scratch).lock("cluster down", &ManualClock::default()).unwrap();
}

#[test]
fn a_lock_whose_process_died_is_free() {
    let scratch = Scratch::new();
    let path = folder(&scratch);
    drop(path.lock("cluster up", &ManualClock::default()).unwrap());
    assert!(fs::read_to_string(path.path().join("lock")).unwrap().contains("cluster up"));
    path.lock("cluster up", &ManualClock::default()).unwrap();
}

#[test]
fn another_account_region_endpoint_or_cluster_is_named_with_both_values() {
    let mut state = new_state();
    let cases = [
        (state.check("999999999999", "us-east-1", None), ["account 123456789012", "999999999999"]),
        (state.check("123456789012", "eu-west-1", None), ["region us-east-1", "eu-west-1"]),
        (
            state.check("123456789012", "us-east-1", Some("http://127.0.0.1:4566")),
            ["endpoint AWS itself", "http://127.0.0.1:4566"],
        ),
        (state.check_uid("fedc"), ["cluster uid 0123456789abcdef", "fedc"]),
    ];
    for (result, words) in cases {
        let error = result.unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    assert!(state.check("123456789012", "us-east-1", None).is_ok());
    state.endpoint = Some("http://127.0.0.1:4566/".into());
    assert!(state.check("123456789012", "us-east-1", Some("http://127.0.0.1:4566")).is_ok());
}

#[test]
fn a_newer_format_is_refused_and_a_damaged_file_is_not_overwritten() {
    let scratch = Scratch::new();
    drop(store(&scratch));
    let path = folder(&scratch).path().join("state.json");
    fs::write(&path, r#"{"format": 2, "slots": "of another shape"}"#).unwrap();
    let newer = folder(&scratch).read().unwrap_err();
    assert!(matches!(newer, StateError::Newer { found: 2, .. }), "{newer}");
    assert!(newer.to_string().contains("use the newer `cluster`"), "{newer}");
    fs::write(&path, "{\"format\": 1, \"na").unwrap();
    let lock = folder(&scratch).lock("cluster up", &ManualClock::default()).unwrap();
    assert!(matches!(Store::open(&folder(&scratch), lock), Err(StateError::Damaged { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"format\": 1, \"na");
}

#[test]
fn a_state_of_format_1_is_read() {
    let path = Path::new("golden/state-v1.json");
    let state = StateFile::parse(path, include_bytes!("../golden/state-v1.json")).unwrap();
    assert_eq!(state.uid, "0123456789abcdef");
    assert_eq!(state.endpoint.as_deref(), Some("http://127.0.0.1:4566"));
    let master = &state.slots["master-0"];
    assert_eq!((master.attempt, master.id.as_deref()), (2, Some("i-0a")));
    assert_eq!(master.since, Some("2026-03-01T12:01:30Z".parse().unwrap()));
    assert_eq!(state.slots["vpc"].id.as_deref(), Some("vpc-0b"));
    let again = serde_json::to_string_pretty(&state).unwrap() + "\n";
    assert_eq!(again, include_str!("../golden/state-v1.json"));
}

#[test]
fn secrets_are_found_by_name_and_no_name_leaves_the_folder() {
    let scratch = Scratch::new();
    let store = store(&scratch);
    assert_eq!(store.secret("pki/ca.key").unwrap(), None);
    store.write_secret("pki/ca.key", b"one").unwrap();
    store.write_secret("pki/ca.key", b"two").unwrap();
    assert_eq!(store.secret("pki/ca.key").unwrap().as_deref(), Some(&b"two"[..]));
    assert_eq!(store.folder().secret("pki/ca.key").unwrap().as_deref(), Some(&b"two"[..]));
    for name in ["../state.json", "/etc/passwd", "a//b", "", ".hidden"] {
        assert!(store.write_secret(name, b"").is_err(), "{name}");
    }
}

#[test]
fn removing_leaves_nothing_and_the_next_lock_is_a_new_one() {
    let scratch = Scratch::new();
    let first = store(&scratch);
    first.write_secret("ca.key", b"secret").unwrap();
    first.remove().unwrap();
    assert!(!first.folder().path().exists());
    // The old lock is still held, on a file that has no name any more.
    let second = store(&scratch);
    assert!(second.read(|state| state.slots.is_empty()));
    assert!(folder(&scratch).lock("cluster up", &ManualClock::default()).is_err());
}

#[test]
fn names_that_are_no_folders_are_refused() {
    let base = Path::new("/tmp");
    assert!(Folder::new(base, "123456789012", "us-east-1", "../x").is_err());
    assert!(Folder::new(base, "", "us-east-1", "x").is_err());
    assert!(Folder::new(base, "123456789012", "..", "x").is_err());
}

#[test]
fn the_base_folder_follows_xdg() {
    let os = |text: &str| Some(std::ffi::OsString::from(text));
    assert_eq!(base_folder(os("/state"), os("/home/u")), Some("/state".into()));
    assert_eq!(base_folder(os("relative"), os("/home/u")), Some("/home/u/.local/state".into()));
    assert_eq!(base_folder(None, os("/home/u")), Some("/home/u/.local/state".into()));
    assert_eq!(base_folder(None, None), None);
}
