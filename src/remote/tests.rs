//! What every implementation does, and what needs no machine at all.
#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base::{Class, Classified, Clock, ManualClock, Shutdown};
use bytes::Bytes;

use crate::fixture::{Sshd, connected, key, ssh};
use crate::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Runs a fake machine's commands in this machine's own shell.
fn shell() -> Handler {
    Arc::new(|call| {
        let mut child = Command::new("sh")
            .args(["-c", &call.command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(&call.input);
        let output = child.wait_with_output().unwrap();
        Ok(Output {
            status: output.status.code().unwrap(),
            stdout: output.stdout,
            stderr: output.stderr,
            truncated: false,
        })
    })
}

fn target(key: &HostKey) -> Target {
    Target {
        slot: "general-0".to_owned(),
        address: "127.0.0.1:22".parse().unwrap(),
        user: "admin".to_owned(),
        identity: Identity::new("a private key"),
        accepted: vec![key.clone()],
    }
}

/// The suite of the seam: `folder` is writable there, `read` gives mode and content of a file.
async fn suite(
    remote: &dyn Remote,
    target: &Target,
    folder: &str,
    read: &dyn Fn(&str) -> Option<(u32, Bytes)>,
) {
    answers(remote, target).await;
    stores(remote, target, folder, read).await;
    refuses_another_key(remote, target).await;
}

async fn answers(remote: &dyn Remote, target: &Target) {
    let session = connected(remote, target).await;
    assert_eq!(session.host_key(), &target.accepted[0]);
    let run = |command: &'static str, input: Option<&'static str>| {
        let input = input.map(|text| Bytes::from_static(text.as_bytes()));
        session.run(command, input, MINUTE)
    };
    let both = run("echo out; echo err >&2; exit 7", None).await.unwrap();
    assert_eq!(both.status, 7);
    assert_eq!(both.stdout_text(), "out\n");
    assert_eq!(both.stderr_text(), "err\n");
    let secret = run("tr a-z A-Z", Some("through stdin")).await.unwrap();
    assert_eq!(secret.stdout_text(), "THROUGH STDIN");
    // Closed standard input, and input that nobody reads.
    assert!(run("cat", None).await.unwrap().ok());
    assert!(run("true", Some("unread")).await.unwrap().ok());
}

async fn stores(
    remote: &dyn Remote,
    target: &Target,
    folder: &str,
    read: &dyn Fn(&str) -> Option<(u32, Bytes)>,
) {
    let session = connected(remote, target).await;
    let path = format!("{folder}/it's a \"file\"");
    let content = Bytes::from(vec![7_u8; 300_000]);
    let heard = Arc::new(AtomicU64::new(0));
    let hear = Arc::clone(&heard);
    let progress: Progress = Arc::new(move |sent, all| {
        assert_eq!(all, 300_000);
        hear.store(sent, Ordering::SeqCst);
    });
    let upload = Upload::Bytes(content.clone());
    session.upload(upload, &path, 0o640, Some(progress), MINUTE).await.unwrap();
    assert_eq!(heard.load(Ordering::SeqCst), 300_000);
    assert_eq!(read(&path), Some((0o640, content)));

    let local = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(local.path(), "second").unwrap();
    let upload = Upload::File(local.path().to_owned());
    session.upload(upload, &path, 0o755, None, MINUTE).await.unwrap();
    assert_eq!(read(&path), Some((0o755, Bytes::from_static(b"second"))));

    let missing = Upload::File("/nonexistent/file".into());
    let refused = session.upload(missing, &path, 0o755, None, MINUTE).await;
    assert!(matches!(refused, Err(RemoteError::Local { .. })));
    assert!(session.run("true", None, MINUTE).await.unwrap().ok());
}

async fn refuses_another_key(remote: &dyn Remote, target: &Target) {
    let other = Target { accepted: vec![key()], ..target.clone() };
    let refused = remote.connect(&other).await.err().unwrap();
    assert_eq!(refused.class(), Class::Fatal);
    let text = refused.to_string();
    for part in [
        "general-0",
        &target.address.to_string(),
        &other.accepted[0].fingerprint(),
        &target.accepted[0].fingerprint(),
    ] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let nothing = Target { accepted: Vec::new(), ..target.clone() };
    let refused = remote.connect(&nothing).await.err().unwrap();
    assert!(matches!(refused, RemoteError::Untrusted { .. }));
}

#[tokio::test]
async fn the_fake_passes_the_suite() {
    let remote = FakeRemote::new();
    let key = key();
    remote.machine("general-0", key.clone(), shell());
    let read = |path: &str| remote.file("general-0", path);
    suite(&remote, &target(&key), "/srv", &read).await;
}

#[tokio::test]
async fn ssh_passes_the_suite() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let read = |path: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
        Some((mode, Bytes::from(std::fs::read(path).ok()?)))
    };
    let path = folder.path().display().to_string();
    suite(&ssh(), &sshd.target(), &path, &read).await;
    // No temporary file is left beside the destination.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_faked_session_fails_before_or_after_and_stays_failed() {
    let remote = FakeRemote::new();
    let key = key();
    remote.machine("general-0", key.clone(), Arc::new(|_| Ok(Output::default())));
    let lost = || RemoteError::Lost { at: "general-0".to_owned(), detail: "sabotage".to_owned() };
    remote.sabotage(move |_, number| match number {
        0 => Some(Fault::Before(lost())),
        1 => Some(Fault::After(lost())),
        _ => None,
    });
    let upload = || Upload::Bytes(Bytes::from_static(b"x"));
    for kept in [false, true, true] {
        let session = connected(&remote, &target(&key)).await;
        let first = session.upload(upload(), "/f", 0o600, None, MINUTE).await;
        assert_eq!(remote.file("general-0", "/f").is_some(), kept);
        if first.is_err() {
            assert!(session.run("true", None, MINUTE).await.is_err());
        }
    }
    let commands: Vec<String> = remote.calls().into_iter().map(|c| c.command).collect();
    assert_eq!(commands, ["upload /f 0600"; 3]);
}

#[tokio::test]
async fn connecting_goes_on_while_the_machine_comes_up_and_tells_why() {
    let remote = FakeRemote::new();
    let key = key();
    let at = || "general-0".to_owned();
    remote.machine("general-0", key.clone(), shell());
    for error in [
        RemoteError::Refused { at: at(), source: std::io::ErrorKind::ConnectionRefused.into() },
        RemoteError::Booting { at: at() },
        RemoteError::AuthFailed { at: at(), user: "admin".to_owned(), detail: "no".to_owned() },
    ] {
        remote.refuse_next("general-0", error);
    }
    let (clock, shutdown) = (ManualClock::default(), Shutdown::new());
    let deadline = clock.now() + MINUTE;
    let mut heard = Vec::new();
    let mut hear = |attempt: &Attempt<'_>| heard.push(attempt.error.to_string());
    connect_until(&remote, &target(&key), deadline, &clock, &shutdown, &mut hear).await.unwrap();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(clock.now().as_second() < 3);
}

#[tokio::test]
async fn connecting_gives_up_at_the_deadline_with_the_last_reason() {
    let (remote, clock) = (FakeRemote::new(), ManualClock::default());
    let deadline = clock.now() + MINUTE;
    let mut attempts = 0;
    let error = connect_until(&remote, &target(&key()), deadline, &clock, &Shutdown::new(), &mut |attempt| {
        attempts += 1;
        assert!(attempt.pause <= Duration::from_secs(2));
    })
    .await
    .err()
    .unwrap();
    assert_eq!(clock.now(), deadline);
    assert!((30..100).contains(&attempts), "{attempts} attempts");
    let text = base::chain(&error);
    assert!(text.contains("60 s") && text.contains("refused"), "{text}");
    assert_eq!(error.class(), Class::Fatal);
}

#[tokio::test]
async fn connecting_never_repeats_after_a_wrong_host_key_or_a_stop() {
    let remote = FakeRemote::new();
    remote.machine("general-0", key(), shell());
    let (clock, shutdown) = (ManualClock::default(), Shutdown::new());
    let deadline = clock.now() + MINUTE;
    let target = target(&key());
    let mut never = |_: &Attempt<'_>| panic!("another attempt");
    let wrong = connect_until(&remote, &target, deadline, &clock, &shutdown, &mut never).await;
    assert!(matches!(wrong.err(), Some(RemoteError::HostKeyMismatch { .. })));
    shutdown.trigger();
    let stopped = connect_until(&remote, &target, deadline, &clock, &shutdown, &mut never).await;
    assert!(matches!(stopped.err(), Some(RemoteError::Cancelled { .. })));
}

#[test]
fn a_host_key_is_its_type_and_its_exact_bytes() {
    let made = pki::ssh_keypair("comment").unwrap();
    let key = HostKey::parse(&made.public).unwrap();
    assert_eq!(key.kind(), "ssh-ed25519");
    assert_eq!(key.fingerprint(), made.fingerprint);
    assert_eq!(key.line().parse(), Ok(key.clone()));
    assert!(key.to_string().starts_with("SHA256:"));
    for (bad, error) in [
        ("", HostKeyError::Form),
        ("ssh-ed25519", HostKeyError::Form),
        ("ssh-dss AAAA", HostKeyError::Kind("ssh-dss".to_owned())),
        ("ssh-ed25519 ?", HostKeyError::Damaged("ssh-ed25519".to_owned())),
        ("ssh-ed25519 AAAA", HostKeyError::Damaged("ssh-ed25519".to_owned())),
    ] {
        assert_eq!(HostKey::parse(bad), Err(error), "{bad}");
    }
    let disguised = made.public.replacen("ssh-ed25519", "ssh-rsa", 1);
    assert_eq!(HostKey::parse(&disguised), Err(HostKeyError::Damaged("ssh-rsa".to_owned())));
}

#[test]
fn a_private_key_is_not_printed() {
    let text = format!("{:?}", target(&key()));
    assert!(!text.contains("a private key"), "{text}");
}
