//! Where the server keeps objects: its folder or etcd; and snapshots of both.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request};
use serde_json::{Value, json};

use crate::client::{Credentials, Server};
use crate::server::{Running, program};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn ask(server: &Server, method: Method, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", &server.authority)
        .header("content-type", "application/json")
        .body(Full::new(body))
        .expect("a request");
    let answer = server.ask(&Credentials::Admin, request).await;
    serde_json::from_slice(&answer.body).expect("the answer is JSON")
}

async fn create(server: &Server, name: &str) -> Value {
    let map = json!({"metadata": {"name": name}, "data": {"k": "v"}});
    let made = ask(server, Method::POST, MAPS, &map).await;
    assert_eq!(made["metadata"]["name"], name, "{made}");
    made
}

async fn get(server: &Server, name: &str) -> Value {
    ask(server, Method::GET, &format!("{MAPS}/{name}"), &Value::Null).await
}

fn snapshot(arguments: &[&str]) -> Output {
    Command::new(program()).arg("snapshot").args(arguments).stdin(Stdio::null()).output().expect("it runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

#[tokio::test]
async fn a_snapshot_of_a_running_server_becomes_another_one_with_the_same_objects() {
    let running = Running::start();
    let made = create(&running.server(), "saved").await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("all.snapshot");
    let save = ["save", text(&file), "--data-dir", text(running.data())];
    let saved = snapshot(&save);
    assert!(saved.status.success() && said(&saved).contains("sha256"), "{}", said(&saved));
    let again = snapshot(&save);
    assert!(!again.status.success() && said(&again).contains("is there already"), "{}", said(&again));
    create(&running.server(), "later").await;

    let data = folder.path().join("data");
    let restored = snapshot(&["restore", text(&file), "--data-dir", text(&data)]);
    assert!(restored.status.success(), "{}", said(&restored));
    let second = snapshot(&["restore", text(&file), "--data-dir", text(&data)]);
    assert!(!second.status.success() && said(&second).contains("not empty"), "{}", said(&second));
    let other = Running::over(&data, &["--parts", "api"]);
    assert_eq!(get(&other.server(), "saved").await, made);
    assert_eq!(get(&other.server(), "later").await["reason"], "NotFound");
}

#[tokio::test]
async fn a_damaged_snapshot_is_refused_and_leaves_nothing_behind() {
    let running = Running::start();
    create(&running.server(), "saved").await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("all.snapshot");
    let saved = snapshot(&["save", text(&file), "--data-dir", text(running.data())]);
    assert!(saved.status.success(), "{}", said(&saved));
    let mut bytes = std::fs::read(&file).expect("the snapshot");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let data = folder.path().join("data");
    let restored = snapshot(&["restore", text(&file), "--data-dir", text(&data)]);
    assert!(!restored.status.success(), "{}", said(&restored));
    let fresh = Running::over(&data, &["--parts", "api"]);
    assert_eq!(get(&fresh.server(), "saved").await["reason"], "NotFound");
}

/// Debian's etcd on loopback, ended with the test.
struct Etcd {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Etcd {
    fn start() -> Option<Self> {
        let program = Path::new("/usr/bin/etcd");
        if !program.exists() {
            assert!(std::env::var("CI").is_err(), "{} is missing", program.display());
            println!("SKIPPED: {} is missing (package etcd-server)", program.display());
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = || TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
        let (url, peer) = (format!("http://{}", free()), format!("http://{}", free()));
        let child = Command::new(program)
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--data-dir"])
            .arg(folder.path().join("etcd"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd starts");
        Some(Self { child, url, _folder: folder })
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn two_servers_over_one_etcd_serve_the_same_objects() {
    let Some(etcd) = Etcd::start() else {
        return;
    };
    let arguments = ["--parts", "api", "--etcd", &etcd.url];
    let (one, two) = (Running::with(&arguments), Running::with(&arguments));
    let made = create(&one.server(), "shared").await;
    assert_eq!(get(&two.server(), "shared").await, made, "{}\n{}", one.log(), two.log());
    let file = one.data().with_file_name("etcd.snapshot");
    let saved = snapshot(&["save", text(&file), "--etcd", &etcd.url]);
    assert!(saved.status.success() && said(&saved).contains("sha256"), "{}", said(&saved));
}
