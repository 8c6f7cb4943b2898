//! The artifact server and its client against each other, curl, and bad company.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Class, Classified, Shutdown};
use jiff::Timestamp;
use pki::{Authority, LEAF_LIFE, LeafRequest, Usage};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::*;

const NAME: &str = "masters.cluster.internal";
const NODES: &str = "cluster:nodes";
const SOON: Duration = Duration::from_secs(20);

fn files(authority: &Authority, trusted: &Authority, organization: &str, usage: Usage) -> TlsFiles {
    let request = LeafRequest {
        common_name: "general-0".to_owned(),
        organization: Some(organization.to_owned()),
        dns_names: vec![NAME.to_owned()],
        ip_addresses: Vec::new(),
        usage,
        valid_for: LEAF_LIFE,
    };
    let leaf = authority.issue(&request, Timestamp::now()).unwrap();
    TlsFiles {
        ca_pem: trusted.cert_pem().to_owned(),
        cert_pem: leaf.cert_pem,
        key_pem: leaf.key_pem.expose().to_owned(),
    }
}

struct Master {
    folder: TempDir,
    authority: Authority,
    address: SocketAddr,
    shutdown: Shutdown,
    serving: JoinHandle<Result<(), NodeError>>,
}

impl Master {
    async fn start() -> Self {
        Self::with_patience(SOON).await
    }

    async fn with_patience(patience: Duration) -> Self {
        let authority = Authority::create("cluster", Timestamp::now()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = ArtifactServer {
            folder: folder.path().to_owned(),
            tls: files(&authority, &authority, "cluster:masters", Usage::Server),
            organization: NODES.to_owned(),
            patience,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let serving = tokio::spawn(serve_artifacts(listener, config, shutdown.clone()));
        Self { folder, authority, address, shutdown, serving }
    }

    fn keep(&self, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        fs::write(self.folder.path().join(digest.hex()), content).unwrap();
        digest
    }

    fn node(&self) -> TlsFiles {
        files(&self.authority, &self.authority, NODES, Usage::Client)
    }

    fn fetch(&self, digest: &Digest, to: &TempDir) -> Fetch {
        Fetch {
            masters: vec![self.address],
            server_name: NAME.to_owned(),
            tls: self.node(),
            digest: digest.clone(),
            destination: to.path().join("binary"),
            mode: 0o755,
            limit_bytes: 100 << 20,
        }
    }

    /// The whole answer to a request that ends the connection.
    async fn say(&self, tls: &TlsFiles, head: &str) -> std::io::Result<String> {
        let connector = TlsConnector::from(Arc::new(tls.client(b"http/1.1").unwrap()));
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(NAME).unwrap();
        let mut stream = connector.connect(name, socket).await?;
        let request = format!("{head} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

fn empty(folder: &TempDir) -> bool {
    fs::read_dir(folder.path()).unwrap().count() == 0
}

#[tokio::test]
async fn a_node_gets_an_artifact_once_and_whole() {
    let master = Master::start().await;
    let content: Vec<u8> = (0..20_u32 << 20).map(|n| (n % 251) as u8).collect();
    let digest = master.keep(&content);
    let to = tempfile::tempdir().unwrap();
    let fetch = master.fetch(&digest, &to);
    assert_eq!(fetch_artifact(&fetch).await.unwrap(), 20 << 20);
    assert!(fs::read(&fetch.destination).unwrap() == content);
    assert_eq!(fs::metadata(&fetch.destination).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1);
    // Now nobody needs to be there.
    master.shutdown.trigger();
    master.serving.await.unwrap().unwrap();
    assert_eq!(fetch_artifact(&fetch).await.unwrap(), 20 << 20);
}

#[tokio::test]
async fn only_whole_digests_are_a_path_and_only_reading_is_a_method() {
    let master = Master::start().await;
    let digest = master.keep(b"content");
    fs::write(master.folder.path().join("secret"), "secret").unwrap();
    let (right, unknown) = (format!("/binaries/{digest}"), Digest::of(b"unknown"));
    for (head, status) in [
        (format!("GET {right}"), "200 OK"),
        (format!("HEAD {right}"), "200 OK"),
        (format!("POST {right}"), "405 Method Not Allowed"),
        (format!("DELETE {right}"), "405 Method Not Allowed"),
        (format!("GET /binaries/{unknown}"), "404 Not Found"),
        (format!("GET /binaries/{}", digest.hex()), "404 Not Found"),
        (format!("GET {}", right.to_uppercase().replace("/BINARIES/SHA", "/binaries/sha")), "404 Not Found"),
        ("GET /binaries/secret".to_owned(), "404 Not Found"),
        ("GET /binaries/sha256:../secret".to_owned(), "404 Not Found"),
        ("GET /binaries/".to_owned(), "404 Not Found"),
        ("GET /".to_owned(), "404 Not Found"),
    ] {
        let answer = master.say(&master.node(), &head).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}: {answer}");
        assert_eq!(answer.ends_with("\r\n\r\ncontent"), head == format!("GET {right}"), "{head}: {answer}");
        assert!(!answer.contains("allow") || answer.contains("allow: GET, HEAD"), "{answer}");
        let sized = answer.contains("content-length: 7");
        assert_eq!(sized, status == "200 OK", "{head}: {answer}");
    }
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let master = Master::start().await;
    let digest = master.keep(b"content");
    let head = format!("GET /binaries/{digest}");

    let other = files(&master.authority, &master.authority, "system:masters", Usage::Client);
    let answer = master.say(&other, &head).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains(NODES), "{answer}");

    let theirs = Authority::create("cluster", Timestamp::now()).unwrap();
    let stranger = files(&theirs, &master.authority, NODES, Usage::Client);
    assert!(master.say(&stranger, &head).await.is_err());
    let server = files(&master.authority, &master.authority, NODES, Usage::Server);
    assert!(master.say(&server, &head).await.is_err());
    // And a node does not take an artifact from a stranger.
    let distrustful = files(&master.authority, &theirs, NODES, Usage::Client);
    assert!(master.say(&distrustful, &head).await.is_err());
    assert!(master.say(&master.node(), &head).await.is_ok());
}

#[tokio::test]
async fn a_file_that_is_not_what_its_name_says_is_never_sent() {
    let master = Master::start().await;
    let digest = master.keep(b"content");
    let path = master.folder.path().join(digest.hex());
    let head = format!("GET /binaries/{digest}");
    assert!(master.say(&master.node(), &head).await.unwrap().ends_with("content"));
    // Same size, later: what was verified before does not count.
    fs::write(&path, b"CONTENT").unwrap();
    let answer = master.say(&master.node(), &head).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("CONTENT"), "{answer}");
    fs::write(&path, b"content").unwrap();
    assert!(master.say(&master.node(), &head).await.unwrap().ends_with("content"));
}

#[tokio::test]
async fn another_master_is_asked_when_one_is_dead_or_damaged() {
    let good = Master::start().await;
    let digest = good.keep(b"content");
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let to = tempfile::tempdir().unwrap();
    let mut fetch = good.fetch(&digest, &to);
    fetch.masters.insert(0, dead);
    assert_eq!(fetch_artifact(&fetch).await.unwrap(), 7);
    fs::remove_file(&fetch.destination).unwrap();

    fs::write(good.folder.path().join(digest.hex()), "damaged").unwrap();
    let error = fetch_artifact(&fetch).await.unwrap_err();
    assert_eq!(error.class(), Class::Retry);
    let text = error.to_string();
    for part in [&digest.to_string(), &dead.to_string(), "refused", "500"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(empty(&to));
}

#[tokio::test]
async fn a_master_that_sends_too_much_or_something_else_leaves_nothing_behind() {
    let master = Master::start().await;
    let digest = master.keep(&[7; 1000]);
    let to = tempfile::tempdir().unwrap();
    let fetch = Fetch { limit_bytes: 999, ..master.fetch(&digest, &to) };
    let text = fetch_artifact(&fetch).await.unwrap_err().to_string();
    assert!(text.contains("more than 999 bytes"), "{text}");
    assert!(empty(&to));
    let nobody = Fetch { masters: Vec::new(), ..fetch };
    let text = fetch_artifact(&nobody).await.unwrap_err().to_string();
    assert!(text.contains("none is known"), "{text}");
}

#[tokio::test]
async fn whoever_says_nothing_is_cut_off_and_stopping_does_not_wait_for_the_idle() {
    let master = Master::with_patience(Duration::from_millis(200)).await;
    let mut silent = TcpStream::connect(master.address).await.unwrap();
    let mut byte = [0];
    // Ends without a byte, or with a reset: either way the server has hung up.
    let end = tokio::time::timeout(SOON, silent.read(&mut byte)).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));

    let patient = Master::start().await;
    let connector = TlsConnector::from(Arc::new(patient.node().client(b"http/1.1").unwrap()));
    let socket = TcpStream::connect(patient.address).await.unwrap();
    let idle = connector.connect(ServerName::try_from(NAME).unwrap(), socket).await.unwrap();
    let stopped = Instant::now();
    patient.shutdown.trigger();
    patient.serving.await.unwrap().unwrap();
    assert!(stopped.elapsed() < Duration::from_secs(6), "{:?}", stopped.elapsed());
    drop(idle);
}

#[tokio::test]
async fn the_curl_of_a_new_node_gets_the_binary_by_the_masters_fixed_name() {
    let known = Command::new("curl").arg("--version").stdout(Stdio::null()).status();
    if known.is_err() {
        assert!(std::env::var("CI").is_err(), "curl is missing");
        println!("SKIPPED: curl is missing");
        return;
    }
    let master = Master::start().await;
    let content = vec![9; 3 << 20];
    let digest = master.keep(&content);
    let to = tempfile::tempdir().unwrap();
    let tls = master.node();
    for (name, text) in [("ca", &tls.ca_pem), ("cert", &tls.cert_pem), ("key", &tls.key_pem)] {
        fs::write(to.path().join(name), text).unwrap();
    }
    let output = tokio::process::Command::new("curl")
        .current_dir(to.path())
        .args(["--fail", "--silent", "--show-error", "--tlsv1.3", "--max-time", "20"])
        .args(["--cacert", "ca", "--cert", "cert", "--key", "key", "--output", "binary"])
        .args(["--connect-to", &format!("{NAME}:6444:{}", master.address)])
        .arg(format!("https://{NAME}:6444/binaries/{digest}"))
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read(to.path().join("binary")).unwrap() == content);
}

#[test]
fn a_digest_is_written_in_one_way_only() {
    let digest = Digest::of(b"");
    let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(digest.to_string(), text);
    assert_eq!(text.parse(), Ok(digest));
    for bad in ["", "sha256:", &text[7..], &text[..70], &text.to_uppercase(), "sha512:00"] {
        assert!(bad.parse::<Digest>().is_err(), "{bad}");
    }
}
