//! The checks against real etcd and containerd, and against what pretends to be them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use etcd_client::{AlarmAction, AlarmType, Certificate, Client, ConnectOptions, Identity, TlsOptions};
use jiff::Timestamp;
use pki::{Authority, LEAF_LIFE, LeafRequest, Usage};
use serde_json::json;
use tempfile::TempDir;

use crate::*;

const SOON: Duration = Duration::from_secs(30);

/// Says why a test does not run, which is a failure where everything should be there.
fn skipped(why: &str) {
    assert!(std::env::var("CI").is_err(), "{why}");
    println!("SKIPPED: {why}");
}

fn files(authority: &Authority) -> TlsFiles {
    let request = LeafRequest {
        common_name: "master-0".to_owned(),
        organization: None,
        dns_names: Vec::new(),
        ip_addresses: vec![Ipv4Addr::LOCALHOST.into()],
        usage: Usage::Peer,
        valid_for: LEAF_LIFE,
    };
    let leaf = authority.issue(&request, Timestamp::now()).unwrap();
    TlsFiles {
        ca_pem: authority.cert_pem().to_owned(),
        cert_pem: leaf.cert_pem,
        key_pem: leaf.key_pem.expose().to_owned(),
    }
}

fn authority() -> Authority {
    Authority::create("etcd", Timestamp::now()).unwrap()
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A program of this test, ended with it.
struct Program {
    folder: TempDir,
    child: Child,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

fn start(folder: TempDir, mut command: Command) -> Program {
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
    Program { folder, child }
}

/// A real etcd that wants certificates, answering.
async fn etcd(tls: &TlsFiles) -> Option<(Program, SocketAddr)> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("ca", &tls.ca_pem), ("cert", &tls.cert_pem), ("key", &tls.key_pem)] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let Some(binary) = find("etcd") else {
        skipped("etcd is missing (package etcd-server)");
        return None;
    };
    let (client, peer) = (free_port(), free_port());
    let mut command = Command::new(binary);
    command
        .current_dir(folder.path())
        .args(["--name", "master-0", "--data-dir", "data", "--client-cert-auth", "--peer-client-cert-auth"])
        .args(["--trusted-ca-file", "ca", "--cert-file", "cert", "--key-file", "key"])
        .args(["--peer-trusted-ca-file", "ca", "--peer-cert-file", "cert", "--peer-key-file", "key"]);
    for (flag, address) in [
        ("--listen-client-urls", client),
        ("--advertise-client-urls", client),
        ("--listen-peer-urls", peer),
        ("--initial-advertise-peer-urls", peer),
    ] {
        command.arg(flag).arg(format!("https://{address}"));
    }
    command.arg("--initial-cluster").arg(format!("master-0=https://{peer}"));
    let program = start(folder, command);
    let deadline = Instant::now() + SOON;
    while etcd_check(&[client], tls, SOON).await.is_err() {
        assert!(Instant::now() < deadline, "{}", program.log());
        tokio::task::yield_now().await;
    }
    Some((program, client))
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.exists())
}

async fn client(address: SocketAddr, tls: &TlsFiles) -> Client {
    let options = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(&tls.ca_pem))
        .identity(Identity::from_pem(&tls.cert_pem, &tls.key_pem));
    let options = ConnectOptions::new().with_tls(options);
    Client::connect([format!("https://{address}")], Some(options)).await.unwrap()
}

#[tokio::test]
async fn an_etcd_that_serves_is_told_from_one_that_distrusts_or_raises_an_alarm() {
    let authority = authority();
    let tls = files(&authority);
    let Some((_etcd, address)) = etcd(&tls).await else {
        return;
    };
    let health = etcd_check(&[address], &tls, SOON).await.unwrap();
    assert_eq!(health.members.len(), 1);
    assert!(health.members[0].leader && health.members[0].version.starts_with('3'), "{health:?}");
    assert!(health.round_trip_ms > 0.0 && health.members[0].database_bytes > 0);
    assert!(health.to_string().starts_with("etcd serves on 1 of 1 members"), "{health}");
    let mut client = client(address, &tls).await;
    let left = client.get("/cluster/probe", None).await.unwrap();
    assert_eq!(left.count(), 0);

    // Ours is another authority: we do not trust it.
    let stranger = files(&self::authority());
    let error = etcd_check(&[address], &stranger, SOON).await.unwrap_err();
    assert!(matches!(error, NodeError::Untrusted { .. }), "{error}");
    // It does not trust us.
    let disguised = TlsFiles { ca_pem: tls.ca_pem.clone(), ..stranger };
    let error = etcd_check(&[address], &disguised, SOON).await.unwrap_err();
    assert!(matches!(error, NodeError::Untrusted { .. }), "{error}");

    client.alarm(AlarmAction::Activate, AlarmType::Nospace, None).await.unwrap();
    let error = etcd_check(&[address], &tls, SOON).await.unwrap_err().to_string();
    assert!(error.contains("NOSPACE") && error.contains("alarm disarm"), "{error}");
}

#[tokio::test]
async fn an_etcd_that_is_not_there_or_says_nothing_is_named() {
    let tls = files(&authority());
    let nobody = free_port();
    let error = etcd_check(&[nobody], &tls, SOON).await.unwrap_err();
    assert!(matches!(error, NodeError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, limit) = (silent.local_addr().unwrap(), Duration::from_millis(200));
    let error = etcd_check(&[address], &tls, limit).await.unwrap_err();
    assert_eq!(error.to_string(), format!("etcd at {address} did not shake hands within 0.2 s"));
}

#[tokio::test]
async fn a_containerd_that_serves_says_its_version_and_what_is_not_ready() {
    let Some(binary) = find("containerd") else {
        return skipped("containerd is missing (package containerd)");
    };
    if !rustix::process::geteuid().is_root() {
        return skipped("containerd runs as root only");
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let config = format!(
        "version = 2\nroot = \"{}\"\nstate = \"{}\"\n[grpc]\naddress = \"{}\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\".cni]\nconf_dir = \"{}\"\n",
        at("root"),
        at("state"),
        at("socket"),
        at("cni"),
    );
    fs::write(folder.path().join("config"), config).unwrap();
    let mut command = Command::new(binary);
    command.current_dir(folder.path()).args(["--config", "config"]);
    let containerd = start(folder, command);
    let deadline = Instant::now() + SOON;
    let health = loop {
        match containerd_check(&socket, SOON).await {
            Ok(health) => break health,
            Err(error) => assert!(Instant::now() < deadline, "{error}\n{}", containerd.log()),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((health.runtime.as_str(), health.api_version.as_str()), ("containerd", "v1"));
    assert!(!health.version.is_empty());
    assert!(!health.network_ready(), "{health:?}");
    assert!(health.to_string().contains("network is not"), "{health}");
}

#[tokio::test]
async fn a_containerd_that_is_not_there_or_says_nothing_is_named() {
    let missing = Path::new("/nonexistent/containerd.sock");
    let error = containerd_check(missing, SOON).await.unwrap_err();
    assert!(matches!(error, NodeError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("/nonexistent/containerd.sock"), "{error}");
    assert!(error.to_string().contains("No such file"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let error = containerd_check(&socket, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, NodeError::Timeout { .. }), "{error}");
}

#[test]
fn a_report_is_json_with_a_version_and_a_line_a_check() {
    let mut report = Report::new();
    let condition = Condition {
        kind: "RuntimeReady".to_owned(),
        ready: true,
        reason: String::new(),
        message: String::new(),
    };
    let health = ContainerdHealth {
        runtime: "containerd".to_owned(),
        version: "1.6".to_owned(),
        api_version: "v1".to_owned(),
        conditions: vec![condition],
    };
    report.add("containerd", Ok(health), |_| true);
    assert!(report.ok);
    let failure: Result<Digest, NodeError> = Err(NodeError::Timeout {
        what: "etcd",
        at: "127.0.0.1:2379".to_owned(),
        action: "take a write",
        after: Duration::from_secs(5),
    });
    report.add("etcd", failure.map(|_| ""), |_| true);
    assert_eq!(
        report.to_string(),
        "ok     containerd: containerd 1.6 is ready, its pod network is not (yet)\n\
         FAILED etcd: etcd at 127.0.0.1:2379 did not take a write within 5 s\n"
    );
    let parsed: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!((&parsed["version"], &parsed["ok"]), (&json!(1), &json!(false)));
    assert_eq!(parsed["checks"][0]["details"]["apiVersion"], json!("v1"));
    assert_eq!(parsed["checks"][1].get("details"), None);
}
