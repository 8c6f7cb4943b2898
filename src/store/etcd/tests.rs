//! etcd that is away, stopped, full, replaced, distrustful: what is said, and that all goes on by
//! itself once it is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Class, Classified};
use jiff::Timestamp;
use pki::{Authority, LEAF_LIFE, LeafRequest, Usage};

use super::*;
use crate::Op;
use crate::suite::servers::{Server, binaries, free_port};
use crate::suite::{Subject, get, next_events, put, short, watch};

/// A store that waits for no endpoint longer than a second.
async fn hasty(server: &Server) -> Subject {
    let options = EtcdOptions { timeout: Duration::from_secs(1), ..server.options() };
    Arc::new(Etcd::new(options).await.unwrap())
}

fn write(key: &str) -> Txn {
    Txn::new().then(Op::put(key.to_owned(), "1"))
}

/// Asks until it is answered, for it is known to come back.
async fn answered<T, C: Future<Output = Result<T, StoreError>>>(mut ask: impl FnMut() -> C) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    let mut often = tokio::time::interval(Duration::from_millis(50));
    loop {
        often.tick().await;
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
    }
}

#[tokio::test]
async fn a_crash_of_etcd_is_told_and_both_calls_and_watches_go_on_after_it() {
    for binary in binaries() {
        let mut server = Server::start(&binary, &[]).await;
        let store = hasty(&server).await;
        let mut events = watch(&store, "k", Revision(2)).await;
        for n in 0..5 {
            put(&store, "k", &format!("{n}")).await;
        }
        assert_eq!(next_events(&mut events).await.revision, Revision(2));
        server.kill();
        let began = Instant::now();
        let read = store.current_revision().await.unwrap_err();
        let written = store.txn(write("other")).await.unwrap_err();
        for error in [&read, &written] {
            assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
            assert_eq!(error.class(), Class::Retry);
            assert!(error.to_string().contains(&server.url()), "{error}");
        }
        assert!(began.elapsed() < Duration::from_secs(3), "a refused connection is told at once");
        server.restart().await;
        answered(|| store.txn(write("k"))).await;
        let mut said = Vec::new();
        while said.len() < 5 {
            let batch = next_events(&mut events).await;
            said.push(format!("{} {}", batch.revision, short(&batch.events[0])));
        }
        assert_eq!(said, ["3 k=1 was 0", "4 k=2 was 1", "5 k=3 was 2", "6 k=4 was 3", "7 k=1 was 4"]);
    }
}

#[tokio::test]
async fn a_stopped_etcd_leaves_writes_unknown_and_reads_late() {
    for binary in binaries() {
        let server = Server::start(&binary, &[]).await;
        let store = hasty(&server).await;
        put(&store, "k", "1").await;
        server.pause().await;
        let read = store.current_revision().await.unwrap_err();
        assert!(matches!(read, StoreError::TimedOut { after_ms: 1000, .. }), "{read}");
        let written = store.txn(write("new")).await.unwrap_err();
        assert!(written.outcome_unknown(), "{written}");
        assert_eq!(written.class(), Class::Conflict);
        server.resume();
        answered(|| store.txn(write("after"))).await;
        // It lay in etcd's socket, and so did our giving up: whichever was read first.
        let outcome = get(&store, "new").await;
        assert!(matches!(outcome.as_deref(), None | Some("1")), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_full_etcd_says_what_to_do_and_takes_writes_again_once_it_is_done() {
    for binary in binaries() {
        let server = Server::start(&binary, &["--quota-backend-bytes=4194304"]).await;
        let store: Subject = Arc::new(server.store().await);
        let value = "x".repeat(500_000);
        let error = loop {
            let txn = Txn::new().then(Op::put("big", value.clone()));
            if let Err(error) = store.txn(txn).await {
                break error;
            }
        };
        assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
        assert_eq!(error.class(), Class::Retry);
        assert!(error.to_string().contains("etcdctl defrag"), "{error}");
        assert_eq!(get(&store, "big").await, Some(value), "reads go on");
        let status = store.status().await.unwrap();
        assert!(status.problems.iter().any(|problem| problem.contains("NOSPACE")), "{status:?}");
        let mut client = etcd_client::Client::connect([server.url()], None).await.unwrap();
        // Physical: answered only once what was compacted is removed.
        let physical = etcd_client::CompactionOptions::new().with_physical();
        client.compact(status.revision.0.try_into().unwrap(), Some(physical)).await.unwrap();
        client.defragment().await.unwrap();
        for alarm in client.alarm(AlarmAction::Get, AlarmType::None, None).await.unwrap().alarms() {
            let mut member = etcd_client::AlarmOptions::new();
            member.with_member(alarm.member_id());
            client.alarm(AlarmAction::Deactivate, alarm.alarm(), Some(member)).await.unwrap();
        }
        put(&store, "small", "1").await;
        assert_eq!(store.status().await.unwrap().problems, Vec::<String>::new());
    }
}

#[tokio::test]
async fn of_several_endpoints_those_that_serve_are_used() {
    for binary in binaries() {
        let mut server = Server::start(&binary, &[]).await;
        let dead = [free_port(), free_port()].map(|port| format!("http://127.0.0.1:{port}"));
        let endpoints = vec![dead[0].clone(), server.url(), dead[1].clone()];
        let store: Subject =
            Arc::new(Etcd::new(EtcdOptions { endpoints, ..server.options() }).await.unwrap());
        put(&store, "k", "1").await;
        let mut events = watch(&store, "k", Revision(2)).await;
        assert_eq!(short(&next_events(&mut events).await.events[0]), "k=1");
        server.kill();
        // It had a connection, and may have got the write into it before it broke.
        let error = store.txn(write("k")).await.unwrap_err();
        assert!(
            matches!(error, StoreError::Unavailable { .. } | StoreError::OutcomeUnknown { .. }),
            "{error}"
        );
        server.restart().await;
        answered(|| store.txn(write("k"))).await;
        assert!(short(&next_events(&mut events).await.events[0]).starts_with("k=1 was 1"));
    }
}

#[tokio::test]
async fn an_etcd_that_was_replaced_ends_the_watch() {
    for binary in binaries() {
        let mut server = Server::start(&binary, &[]).await;
        let store = hasty(&server).await;
        for _ in 0..5 {
            put(&store, "k", "1").await;
        }
        let mut events = watch(&store, "k", Revision(2)).await;
        for _ in 0..5 {
            next_events(&mut events).await;
        }
        server.replace().await;
        let error = tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap().unwrap_err();
        assert!(
            matches!(error, StoreError::WentBack { seen: Revision(6), current: Revision(1), .. }),
            "{error}"
        );
        assert_eq!(error.class(), Class::Fatal);
    }
}

fn files(authority: &Authority) -> EtcdTls {
    let request = LeafRequest {
        common_name: "master-0".to_owned(),
        organization: None,
        dns_names: Vec::new(),
        ip_addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
        usage: Usage::Peer,
        valid_for: LEAF_LIFE,
    };
    let leaf = authority.issue(&request, Timestamp::now()).unwrap();
    EtcdTls {
        ca_pem: authority.cert_pem().as_bytes().to_vec(),
        cert_pem: leaf.cert_pem.into_bytes(),
        key_pem: leaf.key_pem.expose().as_bytes().to_vec(),
    }
}

#[tokio::test]
async fn certificates_are_asked_for_on_both_sides() {
    let [ours, other] = ["etcd", "other"].map(|name| Authority::create(name, Timestamp::now()).unwrap());
    for binary in binaries() {
        let server = Server::start_tls(&binary, files(&ours)).await;
        let store: Subject = Arc::new(server.store().await);
        put(&store, "k", "1").await;
        let mut events = watch(&store, "k", Revision(2)).await;
        assert_eq!(short(&next_events(&mut events).await.events[0]), "k=1");

        let stranger = EtcdOptions { tls: Some(files(&other)), ..server.options() };
        let error = Etcd::new(stranger).await.unwrap().txn(write("k")).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        // Trusts the server, and is not trusted by it.
        let mixed = EtcdTls { ca_pem: files(&ours).ca_pem, ..files(&other) };
        let unknown = EtcdOptions { tls: Some(mixed), ..server.options() };
        let error = Etcd::new(unknown).await.unwrap().current_revision().await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_an_endpoint_is_refused_before_anything_is_dialled() {
    let options = |endpoint: &str| EtcdOptions {
        endpoints: vec![endpoint.to_owned()],
        tls: Some(EtcdTls { ca_pem: b"no pem".to_vec(), cert_pem: Vec::new(), key_pem: Vec::new() }),
        timeout: Duration::from_secs(1),
    };
    for endpoint in ["http://127.0.0.1:1", "https://127.0.0.1:1", "::"] {
        let error = Etcd::new(options(endpoint)).await.unwrap_err();
        assert!(error.to_string().contains(endpoint), "{error}");
    }
    let none = EtcdOptions { endpoints: Vec::new(), ..options("") };
    assert!(Etcd::new(none).await.unwrap_err().to_string().contains("no endpoint is given"));
}
