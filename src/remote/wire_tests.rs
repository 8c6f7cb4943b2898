//! What only a real SSH server shows: keys, waiting, limits, broken connections, speed.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base::{Class, Classified, Shutdown, SystemClock};
use bytes::Bytes;
use jiff::Timestamp;

use crate::fixture::{SOON, Sshd, connected, generate, key, ssh};
use crate::*;

const MINUTE: Duration = Duration::from_secs(60);

async fn run(session: &dyn Session, command: &str) -> Output {
    session.run(command, None, MINUTE).await.unwrap()
}

async fn refused(remote: &dyn Remote, target: &Target) -> RemoteError {
    remote.connect(target).await.err().unwrap()
}

#[tokio::test]
async fn nothing_is_sent_to_a_machine_with_another_host_key() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let other = Target { accepted: vec![key()], ..sshd.target() };
    let error = refused(&ssh(), &other).await;
    assert!(matches!(error, RemoteError::HostKeyMismatch { .. }), "{error}");
    sshd.logged("closed by").await;
    let log = sshd.log();
    assert!(log.contains("SSH2_MSG_NEWKEYS"), "{log}");
    assert!(!log.contains("userauth-request"), "{log}");
}

#[tokio::test]
async fn a_server_with_several_keys_shows_the_pinned_one() {
    let Some(mut sshd) = Sshd::prepare("") else {
        return;
    };
    for kind in ["ecdsa", "rsa"] {
        let key = generate(sshd.folder.path(), kind);
        let config = sshd.folder.path().join("config");
        let line = format!("HostKey {}/{kind}\n", sshd.folder.path().display());
        fs::write(&config, fs::read_to_string(&config).unwrap() + &line).unwrap();
        sshd.keep(key);
    }
    sshd.start();
    for key in &sshd.keys {
        let target = Target { accepted: vec![key.clone()], ..sshd.target() };
        let session = connected(&ssh(), &target).await;
        assert_eq!(session.host_key(), key);
    }
}

#[tokio::test]
async fn a_server_without_a_key_of_the_pinned_type_is_another_machine() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let ecdsa = generate(sshd.folder.path(), "ecdsa");
    let other = Target { accepted: vec![ecdsa], ..sshd.target() };
    match refused(&ssh(), &other).await {
        RemoteError::HostKeyMismatch { got, .. } => assert_eq!(got, sshd.keys[0]),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_closed_port_is_tried_until_it_opens() {
    let Some(mut sshd) = Sshd::prepare("") else {
        return;
    };
    let target = sshd.target();
    let error = refused(&ssh(), &target).await;
    assert!(matches!(error, RemoteError::Refused { .. }), "{error}");
    let deadline = Timestamp::now() + SOON;
    let mut start = |attempt: &Attempt<'_>| {
        if attempt.number == 1 {
            sshd.start();
        }
    };
    connect_until(&ssh(), &target, deadline, &SystemClock, &Shutdown::new(), &mut start).await.unwrap();
}

#[tokio::test]
async fn a_key_that_first_boot_writes_late_is_tried_until_it_is_there() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let authorized = sshd.folder.path().join("authorized");
    let ours = fs::read(&authorized).unwrap();
    fs::write(&authorized, "").unwrap();
    let target = sshd.target();
    let error = refused(&ssh(), &target).await;
    assert!(matches!(error, RemoteError::AuthFailed { .. }), "{error}");
    assert!(error.may_pass() && error.to_string().contains(&target.user), "{error}");
    let deadline = Timestamp::now() + SOON;
    let mut write = |_: &Attempt<'_>| fs::write(&authorized, &ours).unwrap();
    connect_until(&ssh(), &target, deadline, &SystemClock, &Shutdown::new(), &mut write).await.unwrap();
}

#[tokio::test]
async fn a_machine_that_hangs_up_at_the_login_is_still_booting() {
    // One refused key is one try too many: sshd hangs up as it does after pam_nologin.
    let Some(sshd) = Sshd::up("MaxAuthTries 1").await else {
        return;
    };
    fs::write(sshd.folder.path().join("authorized"), "").unwrap();
    let error = refused(&ssh(), &sshd.target()).await;
    assert!(matches!(error, RemoteError::Booting { .. }), "{error}");
    assert_eq!(error.class(), Class::Retry);
}

#[tokio::test]
async fn an_unusable_private_key_is_our_own_fault() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let target = Target { identity: Identity::new("no key"), ..sshd.target() };
    let error = refused(&ssh(), &target).await;
    assert!(matches!(error, RemoteError::Identity { .. }), "{error:?}");
    assert!(!error.may_pass());
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(sshd) = Sshd::prepare("") else {
        return;
    };
    let target = Target { address: silent.local_addr().unwrap(), ..sshd.target() };
    let limits = Limits { handshake: Duration::from_millis(200), ..Limits::default() };
    let started = Instant::now();
    let error = refused(&Ssh::new(limits, Shutdown::new()), &target).await;
    assert!(matches!(error, RemoteError::Timeout { .. }), "{error}");
    assert_eq!(error.class(), Class::Retry);
    // By its own limit and not by the default, on a machine with other things to do.
    assert!(started.elapsed() < Limits::default().handshake / 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_command_that_takes_too_long_ends_in_time_and_takes_its_session_along() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let session = connected(&ssh(), &sshd.target()).await;
    let started = Instant::now();
    let limit = Duration::from_millis(300);
    let error = session.run("sleep 30", None, limit).await.unwrap_err();
    assert!(started.elapsed() >= limit && started.elapsed() < SOON, "{:?}", started.elapsed());
    assert_eq!(error.to_string(), format!("{}: no end of `sleep 30` after 0.3 s", sshd.target().at()));
    let error = session.run("true", None, limit).await.unwrap_err();
    assert!(matches!(error, RemoteError::Lost { .. }), "{error}");
}

#[tokio::test]
async fn stopping_ends_a_command_within_a_second() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let shutdown = Shutdown::new();
    let remote = Ssh::new(Limits::default(), shutdown.clone());
    let session = connected(&remote, &sshd.target()).await;
    let command = format!("echo begun >{}/begun; sleep 30", sshd.folder.path().display());
    let running = session.run(&command, None, MINUTE);
    let stop = async {
        while !sshd.folder.path().join("begun").exists() {
            tokio::task::yield_now().await;
        }
        shutdown.trigger();
        Instant::now()
    };
    let (result, stopped) = tokio::join!(running, stop);
    assert!(matches!(result, Err(RemoteError::Cancelled { .. })));
    // The server sees the connection closed: the thread did not go on waiting.
    sshd.logged("isconnect").await;
    assert!(stopped.elapsed() < Duration::from_secs(1), "{:?}", stopped.elapsed());
    assert!(matches!(refused(&remote, &sshd.target()).await, RemoteError::Cancelled { .. }));
}

#[tokio::test]
async fn connections_are_bounded_and_a_dropped_call_gives_its_place_back() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let limits = Limits { sessions: 1, ..Limits::default() };
    let remote = Ssh::new(limits, Shutdown::new());
    let target = sshd.target();
    let session = connected(&remote, &target).await;
    let wait = Duration::from_millis(200);
    assert!(tokio::time::timeout(wait, remote.connect(&target)).await.is_err());
    assert!(tokio::time::timeout(wait, session.run("sleep 30", None, MINUTE)).await.is_err());
    // The call is gone, so its thread has ended although the session is still held.
    let again = tokio::time::timeout(Duration::from_secs(1), remote.connect(&target)).await;
    assert!(run(&*again.unwrap().unwrap(), "true").await.ok());
    drop(session);
}

#[tokio::test]
async fn a_signal_is_a_status_as_shells_say_it() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let session = connected(&ssh(), &sshd.target()).await;
    assert_eq!(run(&*session, "kill -KILL $$").await.status, 137);
    assert_eq!(run(&*session, "exit 200").await.status, 200);
}

#[tokio::test]
async fn both_directions_flow_at_once_through_key_changes_and_the_output_is_bounded() {
    let Some(sshd) = Sshd::up("RekeyLimit 2M").await else {
        return;
    };
    let limits = Limits { output_bytes: 64 * 1024 * 1024, ..Limits::default() };
    let generous = Ssh::new(limits, Shutdown::new());
    let session = connected(&generous, &sshd.target()).await;
    let input: Bytes = (0..24_u32 << 20).map(|n| (n % 251) as u8).collect::<Vec<u8>>().into();
    let output = session.run("cat", Some(input.clone()), MINUTE).await.unwrap();
    assert!(output.ok() && !output.truncated);
    assert!(output.stdout == input, "{} of {} bytes came back", output.stdout.len(), input.len());

    let session = connected(&ssh(), &sshd.target()).await;
    let output = run(&*session, "head -c 20000000 /dev/zero; head -c 9 /dev/zero >&2").await;
    assert!(output.ok() && output.truncated);
    assert_eq!((output.stdout.len(), output.stderr.len()), (4 << 20, 9));
}

#[tokio::test]
async fn many_short_answers_on_both_streams_never_wait_for_each_other() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let session = connected(&ssh(), &sshd.target()).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..30 {
        let started = Instant::now();
        let output = run(&*session, "for n in 1 2 3 4; do echo $n; echo $n >&2; done").await;
        assert_eq!(
            (output.stdout_text().as_str(), output.stderr_text().as_str()),
            ("1\n2\n3\n4\n", "1\n2\n3\n4\n")
        );
        slowest = slowest.max(started.elapsed());
    }
    println!("slowest of 30 commands: {slowest:?}");
    // Far below the time after which a connection that hears nothing looks again.
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
}

#[tokio::test]
async fn a_large_file_arrives_whole_and_fast() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let session = connected(&ssh(), &sshd.target()).await;
    let megabytes = 128;
    let content: Bytes = vec![0x5a; megabytes << 20].into();
    let path = sshd.folder.path().join("large");
    let started = Instant::now();
    let upload = Upload::Bytes(content.clone());
    session.upload(upload, path.to_str().unwrap(), 0o755, None, MINUTE).await.unwrap();
    let took = started.elapsed();
    println!("{megabytes} MiB in {took:?}: {:.0} MiB/s", megabytes as f64 / took.as_secs_f64());
    assert!(fs::read(&path).unwrap() == content);
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_the_old_file_and_nothing_else() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let session = connected(&ssh(), &sshd.target()).await;
    let there = tempfile::tempdir().unwrap();
    let path = there.path().join("file");
    fs::write(&path, "old").unwrap();
    let endless = tempfile::NamedTempFile::new().unwrap();
    endless.as_file().set_len(1 << 40).unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let hear = Arc::clone(&sent);
    let progress: Progress = Arc::new(move |bytes, _| hear.store(bytes, Ordering::SeqCst));
    let upload = Upload::File(endless.path().to_owned());
    let to = path.to_str().unwrap();
    let sending = session.upload(upload, to, 0o755, Some(progress), MINUTE);
    let under_way = async {
        while sent.load(Ordering::SeqCst) < 4 << 20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = sending => panic!("it ended"),
        () = under_way => {}
    }
    let deadline = Instant::now() + SOON;
    while fs::read_dir(there.path()).unwrap().count() > 1 {
        assert!(Instant::now() < deadline, "a temporary file is left");
        tokio::task::yield_now().await;
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
}

#[tokio::test]
async fn an_upload_that_cannot_be_stored_says_why() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let session = connected(&ssh(), &sshd.target()).await;
    let upload = Upload::Bytes(Bytes::from_static(b"x"));
    let error = session.upload(upload, "/nonexistent/file", 0o600, None, MINUTE).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("/nonexistent/file") && text.contains("mktemp"), "{text}");
    assert!(run(&*session, "true").await.ok());
}

/// A server that greets and then says nothing for longer than the time between keepalives:
/// a client that speaks into the key exchange is heard here.
#[tokio::test]
async fn nothing_is_said_into_an_unfinished_handshake() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::task::spawn_blocking(move || {
        use std::io::{Read as _, Write as _};
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(b"SSH-2.0-silent\r\n").unwrap();
        let mut all = Vec::new();
        // Until the client gives up and closes.
        let _ = socket.read_to_end(&mut all);
        all
    });
    let limits = Limits { handshake: std::time::Duration::from_secs(7), ..Limits::default() };
    let key = HostKey::parse(&pki::ssh_keypair("host").unwrap().public).unwrap();
    let target = Target {
        slot: "silent".to_owned(),
        address,
        user: "nobody".to_owned(),
        identity: Identity::new(pki::ssh_keypair("user").unwrap().private_openssh.expose()),
        accepted: vec![key],
    };
    let error = Ssh::new(limits, Shutdown::new()).connect(&target).await.err().unwrap();
    assert!(error.may_pass(), "{error}");
    let heard = heard.await.unwrap();
    let end = heard.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let first = heard.get(end..end + 4).map(|length| u32::from_be_bytes(length.try_into().unwrap()));
    let rest = first.map_or(0, |length| heard.len() - end - 4 - usize::try_from(length).unwrap());
    assert_eq!(rest, 0, "more than the banner and one KEXINIT was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_open_work_and_close_beside_each_other() {
    let Some(sshd) = Sshd::up("").await else {
        return;
    };
    let remote = Arc::new(ssh());
    let rounds = 12;
    for _ in 0..rounds {
        let beside = (0..8).map(|number| {
            let (remote, target) = (Arc::clone(&remote), sshd.target());
            tokio::spawn(async move {
                let session = connected(&*remote, &target).await;
                let said = run(&*session, &format!("echo {number}")).await;
                assert_eq!(said.stdout_text().trim(), number.to_string());
            })
        });
        for one in beside.collect::<Vec<_>>() {
            one.await.unwrap();
        }
    }
    assert!(crate::wait_for_connections(SOON), "a connection's thread is left");
}
