#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

use plan::model::Tags;

use super::*;
use crate::state::tests::Scratch;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_772_366_400 + second).unwrap()
}

fn vpc() -> Call<String> {
    let tags = Tags::of_slot("shop", "aaaa", "vpc");
    Call::CreateVpc { slot: "vpc".into(), cidr: "10.0.0.0/16".parse().unwrap(), tags }
}

fn launch(token: &str) -> Call<String> {
    Call::RunInstances(LaunchRequest {
        slot: "master-0".into(),
        client_token: token.into(),
        image: "ami-1".into(),
        root_device: "/dev/xvda".into(),
        volume_gib: 20,
        instance_type: "t3.small".into(),
        subnet: "subnet-1".into(),
        security_groups: vec!["sg-1".into()],
        key_name: "shop".into(),
        public_address: true,
        instance_profile: None,
        user_data: "#cloud-config\nhostname: \"master-0\"\n".into(),
        tags: Tags::of_slot("shop", "aaaa", "master-0"),
    })
}

fn outcome(id: &str) -> Outcome {
    Outcome { id: Some(id.to_owned()) }
}

/// The lines of format 1, one of each kind.
fn write_golden(path: &Path) {
    let journal = Journal::open(path).unwrap();
    let seq = journal.intent(at(0), &vpc()).unwrap();
    journal.done(at(1), seq, &outcome("vpc-1")).unwrap();
    let seq = journal.intent(at(2), &launch("t-1")).unwrap();
    journal.failed(at(3), seq, "RunInstances: Timeout: no reply", true).unwrap();
    let seq = journal.intent(at(4), &Call::DeleteVpc { vpc: "vpc-9".into() }).unwrap();
    journal.failed(at(5), seq, "DeleteVpc: UnauthorizedOperation: no", false).unwrap();
}

#[test]
fn a_journal_of_format_1_is_read_and_written() {
    let scratch = Scratch::new();
    let path = scratch.0.join("journal.jsonl");
    write_golden(&path);
    let golden = include_str!("../golden/journal-v1.jsonl");
    assert_eq!(fs::read_to_string(&path).unwrap(), golden);
    fs::write(&path, golden).unwrap();
    let journal = Journal::open(&path).unwrap();
    assert_eq!(journal.finished(), [(vpc(), outcome("vpc-1"))]);
    assert_eq!(journal.open_calls(), [Open { seq: 2, at: at(2), call: launch("t-1") }]);
    let Call::RunInstances(request) = launch("t-1") else { unreachable!() };
    assert_eq!(journal.open_launch("master-0"), Some((2, request)), "the same request, byte for byte");
    assert_eq!(journal.open_launch("master-1"), None);
}

#[test]
fn the_file_is_for_its_owner_only() {
    let scratch = Scratch::new();
    let path = scratch.0.join("journal.jsonl");
    write_golden(&path);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn wherever_the_last_line_is_torn_the_lines_before_it_hold() {
    let scratch = Scratch::new();
    let path = scratch.0.join("journal.jsonl");
    write_golden(&path);
    let whole = fs::read(&path).unwrap();
    let ends: Vec<usize> = (0..whole.len()).filter(|i| whole[*i] == b'\n').map(|i| i + 1).collect();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let journal = Journal::open(&path).unwrap();
        let lines = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
        let expected = [(0, 0), (1, 0), (0, 1), (1, 1), (1, 1), (2, 1), (1, 1)][lines];
        assert_eq!((journal.open_calls().len(), journal.finished().len()), expected, "cut at {cut}");
        journal.intent(at(9), &vpc()).unwrap();
        drop(journal);
        Journal::open(&path).unwrap();
    }
}

#[test]
fn damage_elsewhere_is_an_error_that_names_the_line() {
    let scratch = Scratch::new();
    let path = scratch.0.join("journal.jsonl");
    write_golden(&path);
    let text = fs::read_to_string(&path).unwrap();
    let damaged: Vec<String> = text
        .lines()
        .enumerate()
        .map(|(index, line)| if index == 2 { line[..9].to_owned() } else { line.to_owned() })
        .collect();
    fs::write(&path, damaged.join("\n") + "\n").unwrap();
    let error = Journal::open(&path).err().unwrap();
    assert!(matches!(error, JournalError::Damaged { line: 3, .. }), "{error}");
    assert!(error.to_string().contains("line 3"), "{error}");
}

#[test]
fn a_newer_format_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.0.join("journal.jsonl");
    fs::write(&path, "{\"journal\":2,\"nextSeq\":1}\n").unwrap();
    assert!(matches!(Journal::open(&path).err().unwrap(), JournalError::Newer { found: 2, .. }));
}

#[test]
fn it_is_emptied_only_when_nothing_is_open_and_numbers_go_on() {
    let scratch = Scratch::new();
    let path = scratch.0.join("journal.jsonl");
    let journal = Journal::open(&path).unwrap();
    let first = journal.intent(at(0), &launch("t-1")).unwrap();
    assert!(!journal.compact().unwrap());
    journal.done(at(1), first, &outcome("i-1")).unwrap();
    assert!(journal.compact().unwrap());
    assert!(!fs::read_to_string(&path).unwrap().contains("cloud-config"), "user-data is gone");
    assert_eq!(journal.finished(), []);
    assert_eq!(journal.intent(at(2), &vpc()).unwrap(), first + 1);
    drop(journal);
    let journal = Journal::open(&path).unwrap();
    assert_eq!(journal.open_calls().len(), 1);
    assert_eq!(journal.intent(at(3), &vpc()).unwrap(), first + 2);
}

#[test]
fn an_observer_sees_each_write_once_it_is_on_disk() {
    struct Lines(PathBuf, AtomicU64);
    impl JournalObserver for Lines {
        fn synced(&self, writes: u64) {
            let lines = fs::read_to_string(&self.0).unwrap().lines().count() as u64;
            assert_eq!(lines, writes + 1, "header and entries");
            self.1.store(writes, Ordering::Relaxed);
        }
    }
    let scratch = Scratch::new();
    let path = scratch.0.join("journal.jsonl");
    let lines = Arc::new(Lines(path.clone(), AtomicU64::new(0)));
    let journal = Journal::open(&path).unwrap().observed(lines.clone());
    let seq = journal.intent(at(0), &vpc()).unwrap();
    journal.done(at(1), seq, &outcome("vpc-1")).unwrap();
    assert_eq!(lines.1.load(Ordering::Relaxed), 2);
}
