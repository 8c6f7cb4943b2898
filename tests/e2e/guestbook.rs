//! The example application on machines: deployed by `cluster deploy`, used in a browser, rolled
//! forward and back under load, and kept serving when a machine is lost.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::ec2;
use crate::fleet::{Fleet, can_run, said};
use crate::pods::Kube;

const KEEPER_AND_GENERAL: &str =
    "workers:\n  - {name: keeper, count: 1, labels: {guestbook: entries}}\n  - {name: general, count: 1}\n";
/// Requests a second, from as many clients as there are tenths of a second.
const CLIENTS: usize = 10;
const EACH: Duration = Duration::from_millis(100);

fn script(path: &str, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let output = Command::new(script).args(arguments).output().expect("the script runs");
    let said = said(&output).exits(0);
    said.out.trim().lines().last().expect("it prints a path").to_owned()
}

#[test]
fn the_guestbook_is_deployed_used_updated_and_outlives_a_machine() {
    if !can_run("the_guestbook_is_deployed_used_updated_and_outlives_a_machine") {
        return;
    }
    let fleet = Fleet::new("book", 38, KEEPER_AND_GENERAL);
    fleet.cluster(&["up", "--yes"]).exits(0).says("is up");
    let archives = script("scripts/guestbook", &[]);
    let archive = |part: &str| format!("{archives}/{part}.tar");
    fleet.cluster(&["image", "load", &archive("backend"), &archive("frontend")]).exits(0);
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/guestbook/deploy");
    let manifests = manifests.display().to_string();
    fleet.cluster(&["deploy", &manifests]).exits(0).says("service/frontend answers at http://");
    let again = fleet.cluster(&["deploy", &manifests]).exits(0);
    assert!(!again.out.contains("configured"), "a second deploy changes nothing:\n{}", again.out);
    let config = fleet.state().join("kubeconfig");
    fleet.cluster(&["kubeconfig", "--output", &config.display().to_string()]).exits(0);
    let kube = Kube::new(&fleet, config);
    used_in_a_browser(&fleet, &kube);
    another_version(&fleet, &manifests);
    a_version_that_does_not_come_up(&fleet, &manifests);
    a_machine_is_lost(&fleet, &kube);
    fleet.cluster(&["down", "--yes"]).exits(0).says("nothing of book is left");
}

fn browse(what: &str, url: &str, picture: &Path) {
    let folder = script("tests/e2e/browser/fetch", &[]);
    let began = Instant::now();
    let mut command = Command::new("node");
    command.current_dir(folder).args(["guestbook.mjs", what, url, "Ada", "was here first"]).arg(picture);
    said(&command.output().expect("node runs")).exits(0).says("Ada was here first");
    println!("  {:>5.1} s  a browser: {what}", began.elapsed().as_secs_f64());
}

/// What was typed into the page is there after the backend's pod was deleted.
fn used_in_a_browser(fleet: &Fleet, kube: &Kube<'_>) {
    let url = format!("http://{}/", fleet.node("general-0", "privateAddress"));
    let pictures = pictures();
    browse("sign", &url, &pictures.join("guestbook-signed.png"));
    let before = kube.run(&["get", "pods", "-l", "part=backend", "-o", "name"]).exits(0).out;
    kube.run(&["delete", before.trim(), "--timeout=60s"]).exits(0);
    kube.run(&["rollout", "status", "deployment/backend", "--timeout=60s"]).exits(0);
    let after = kube.run(&["get", "pods", "-l", "part=backend", "-o", "name"]).exits(0).out;
    assert_ne!(before, after, "another pod serves");
    browse("look", &url, &pictures.join("guestbook-after-deletion.png"));
}

/// Where pictures are kept for whoever looks.
fn pictures() -> PathBuf {
    let target = Path::new(env!("CARGO_BIN_EXE_cluster")).parent().expect("a folder").join("pictures");
    std::fs::create_dir_all(&target).expect("a folder for pictures");
    target
}

/// Requests at a steady rate from outside: half on kept connections, half each on one of its own.
struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn begin(addresses: &[SocketAddr]) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..CLIENTS)
            .map(|number| {
                let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
                let (address, keeps) = (addresses[number % addresses.len()], number % 4 < 2);
                std::thread::spawn(move || client(address, keeps, &stop, &sent))
            })
            .collect();
        Self { stop, sent, clients }
    }

    /// Ends it: how many requests were answered, and what went wrong.
    fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failed = self.clients.into_iter().flat_map(|client| client.join().expect("a client ends"));
        let failed = failed.collect();
        (self.sent.load(Ordering::Relaxed), failed)
    }
}

fn client(address: SocketAddr, keeps: bool, stop: &AtomicBool, sent: &AtomicUsize) -> Vec<String> {
    let mut failed = Vec::new();
    let mut kept: Option<TcpStream> = None;
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let path = if sent.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { "/" } else { "/api/entries" };
        let reused = kept.take();
        let was_reused = reused.is_some();
        let mut result = request(address, reused, path, keeps);
        // A server may close a connection that waits; a client then asks once more on a new one (RFC 9112, 9.3.1).
        if was_reused && result.as_ref().is_err_and(|error| error == "closed") {
            result = request(address, None, path, keeps);
        }
        match result {
            Ok(stream) => kept = stream,
            Err(error) => failed.push(format!("{path} at {address}, kept {keeps}: {error}")),
        }
        due += EACH;
        // The rate is what is tested with: the pause is part of it.
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
    }
    failed
}

fn request(
    address: SocketAddr,
    kept: Option<TcpStream>,
    path: &str,
    keep: bool,
) -> Result<Option<TcpStream>, String> {
    let told = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let mut stream = match kept {
        Some(stream) => stream,
        None => TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(told("connect"))?,
    };
    stream.set_read_timeout(Some(Duration::from_secs(15))).map_err(told("set up"))?;
    let connection = if keep { "keep-alive" } else { "close" };
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: {connection}\r\n\r\n");
    if stream.write_all(head.as_bytes()).is_err() {
        return Err("closed".to_owned());
    }
    let mut answer = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let read = match stream.read(&mut piece) {
            Ok(0) | Err(_) if answer.is_empty() => return Err("closed".to_owned()),
            Ok(0) if keep => return Err("cut short".to_owned()),
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Err(format!("read: {error}")),
        };
        answer.extend_from_slice(&piece[..read]);
        if keep && answer.ends_with(b"0\r\n\r\n") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer);
    if !text.starts_with("HTTP/1.1 200") {
        return Err(text.lines().next().unwrap_or_default().to_owned());
    }
    Ok((keep && !text.to_lowercase().contains("connection: close")).then_some(stream))
}

fn doors(fleet: &Fleet, nodes: &[&str]) -> Vec<SocketAddr> {
    let address = |node: &&str| format!("{}:80", fleet.node(node, "privateAddress"));
    nodes.iter().map(|node| address(node).parse().expect("an address")).collect()
}

/// A folder of the example's manifests, changed.
fn changed(manifests: &str, changes: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let text = std::fs::read_to_string(Path::new(manifests).join("frontend.yaml")).expect("it is there");
    let changed = changes.iter().fold(text.clone(), |text, (old, new)| text.replace(old, new));
    assert_ne!(changed, text, "the change is one");
    std::fs::write(folder.path().join("frontend.yaml"), changed).expect("it is written");
    folder
}

/// A new version, and the old one again, at a hundred requests a second: none fails.
fn another_version(fleet: &Fleet, manifests: &str) {
    for node in ["keeper-0", "general-0"] {
        let tag =
            "sudo ctr -n k8s.io images tag docker.io/guestbook/frontend:1 docker.io/guestbook/frontend:2";
        fleet.on(node, tag).exits(0);
    }
    let second = changed(manifests, &[("guestbook/frontend:1", "guestbook/frontend:2")]);
    let load = Load::begin(&doors(fleet, &["keeper-0", "general-0"]));
    fleet
        .cluster(&["deploy", &second.path().display().to_string()])
        .exits(0)
        .says("configured deployment/frontend");
    fleet.cluster(&["rollback", "frontend"]).exits(0).says("goes back to revision 1");
    let (sent, failed) = load.end();
    println!("        {sent} requests while a version came and went, {} failed", failed.len());
    assert!(failed.is_empty(), "{} of {sent} failed: {:#?}", failed.len(), &failed[..failed.len().min(10)]);
    assert!(sent > 300, "only {sent} requests were sent");
}

/// A version without an image: told by pod, container and cause, and the old one goes on serving.
fn a_version_that_does_not_come_up(fleet: &Fleet, manifests: &str) {
    let broken = changed(
        manifests,
        &[
            ("guestbook/frontend:1", "guestbook/frontend:9"),
            ("imagePullPolicy: IfNotPresent", "imagePullPolicy: Never"),
        ],
    );
    fleet
        .cluster(&["deploy", &broken.path().display().to_string()])
        .exits(1)
        .says("deployment/frontend: it does not come up")
        .says(", container frontend: ErrImageNeverPull")
        .says("the version before still serves (2 pods ready)");
    let door = doors(fleet, &["general-0"])[0];
    request(door, None, "/", false).expect("the version before serves");
    fleet.cluster(&["rollback", "frontend"]).exits(0);
}

/// A worker without power: what ran there runs on the other within two minutes.
fn a_machine_is_lost(fleet: &Fleet, kube: &Kube<'_>) {
    let instance = fleet.node("general-0", "instance");
    let began = Instant::now();
    ec2::call(&format!("Action=StopInstances&InstanceId.1={instance}&Force=true"));
    let door = doors(fleet, &["keeper-0"])[0];
    let moved = |said: &str| said.split_whitespace().filter(|node| *node == "keeper-0").count() == 2;
    loop {
        let ready = ["get", "pods", "-l", "part=frontend", "--field-selector=spec.nodeName=keeper-0"];
        let nodes = kube.run(&[&ready[..], &["-o", "jsonpath={range .items[?(@.status.containerStatuses[0].ready==true)]}{.spec.nodeName} {end}"]].concat());
        if moved(&nodes.out) {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "its pods are not on the other worker in two minutes"
        );
        std::thread::park_timeout(Duration::from_secs(2));
    }
    println!(
        "        {:.0} s from power lost to its pods on the other worker",
        began.elapsed().as_secs_f64()
    );
    request(door, None, "/", false).expect("the other worker serves");
}
