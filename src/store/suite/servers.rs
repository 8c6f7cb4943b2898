//! Real etcd servers for tests: one process each on loopback, gone when dropped.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use super::PATIENCE;
use crate::{Etcd, EtcdOptions, EtcdTls, Store};

/// A running etcd.
pub(crate) struct Server {
    binary: PathBuf,
    folder: tempfile::TempDir,
    ports: [u16; 2],
    extra: Vec<String>,
    tls: Option<EtcdTls>,
    /// Certificates, for as long as it runs.
    _files: Arc<tempfile::TempDir>,
    child: Child,
}

/// The etcd binaries to test on: that of the system, and those of `CLUSTER_ETCD` (a list like
/// PATH). Without any the test is skipped aloud, and fails in CI.
pub(crate) fn binaries() -> Vec<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::split_paths(&paths).map(|folder| folder.join("etcd")).find(|path| path.exists());
    let more = std::env::var_os("CLUSTER_ETCD").unwrap_or_default();
    let more = std::env::split_paths(&more).filter(|path| !path.as_os_str().is_empty());
    let found: Vec<_> = own.into_iter().chain(more).collect();
    if found.is_empty() {
        eprintln!("SKIPPED: there is no etcd in PATH and none in CLUSTER_ETCD");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI runs every test: install etcd-server");
    }
    found
}

impl Server {
    /// Starts a new member of a cluster of its own and waits until it serves.
    pub(crate) async fn start(binary: &Path, extra: &[&str]) -> Self {
        let extra = extra.iter().map(|flag| (*flag).to_owned()).collect();
        Self::start_with(binary, extra, None).await
    }

    /// As [`Server::start`], over TLS, asking for a certificate; `tls` serves for both sides.
    pub(crate) async fn start_tls(binary: &Path, tls: EtcdTls) -> Self {
        Self::start_with(binary, Vec::new(), Some(tls)).await
    }

    async fn start_with(binary: &Path, mut extra: Vec<String>, tls: Option<EtcdTls>) -> Self {
        let files = Arc::new(tempfile::tempdir().unwrap());
        if let Some(tls) = &tls {
            for (flag, pem) in
                [("trusted-ca-file", &tls.ca_pem), ("cert-file", &tls.cert_pem), ("key-file", &tls.key_pem)]
            {
                let path = files.path().join(flag);
                fs::write(&path, pem).unwrap();
                extra.push(format!("--{flag}={}", path.display()));
            }
            extra.push("--client-cert-auth".to_owned());
        }
        // A port that was free may be taken by the time etcd binds it.
        for _ in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let ports = [free_port(), free_port()];
            let child = spawn(binary, folder.path(), ports, &extra, tls.is_some());
            let (binary, extra, tls) = (binary.to_owned(), extra.clone(), tls.clone());
            let mut server = Self { binary, folder, ports, extra, tls, _files: Arc::clone(&files), child };
            if server.serves().await {
                return server;
            }
        }
        panic!("{} does not start", binary.display());
    }

    /// Starts on a copy of a member's data folder.
    pub(crate) async fn start_on(binary: &Path, data: &Path) -> Self {
        let mut server = Self::start(binary, &[]).await;
        server.kill();
        let own = server.folder.path().join("member");
        fs::remove_dir_all(&own).unwrap();
        fs::rename(data.join("member"), own).unwrap();
        server.restart().await;
        server
    }

    pub(crate) fn url(&self) -> String {
        url(self.ports[0], self.tls.is_some())
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports[0]
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    pub(crate) fn options(&self) -> EtcdOptions {
        EtcdOptions { endpoints: vec![self.url()], tls: self.tls.clone(), timeout: Duration::from_secs(5) }
    }

    pub(crate) async fn store(&self) -> Etcd {
        Etcd::new(self.options()).await.unwrap()
    }

    /// Waits until it serves; `false` if it ends instead.
    pub(crate) async fn serves(&mut self) -> bool {
        let store =
            Etcd::new(EtcdOptions { timeout: Duration::from_secs(1), ..self.options() }).await.unwrap();
        let mut often = tokio::time::interval(Duration::from_millis(50));
        let until = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < until {
            often.tick().await;
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if store.current_revision().await.is_ok() {
                return true;
            }
        }
        panic!("{} started and does not serve", self.binary.display());
    }

    /// Ends it by SIGKILL, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Forgets all data, as if another cluster stood at the same address.
    pub(crate) async fn replace(&mut self) {
        self.kill();
        fs::remove_dir_all(self.folder.path().join("member")).unwrap();
        self.restart().await;
    }

    /// Starts it again on the same data and ports.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.binary, self.folder.path(), self.ports, &self.extra, self.tls.is_some());
        assert!(self.serves().await, "etcd starts again");
    }

    /// Stops it where it stands, and returns once it stands.
    pub(crate) async fn pause(&self) {
        self.signal(Signal::STOP);
        let status = format!("/proc/{}/status", self.child.id());
        let mut often = tokio::time::interval(Duration::from_millis(5));
        while !fs::read_to_string(&status).unwrap().contains("State:\tT") {
            often.tick().await;
        }
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn url(port: u16, tls: bool) -> String {
    format!("{}://127.0.0.1:{port}", if tls { "https" } else { "http" })
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn spawn(binary: &Path, folder: &Path, ports: [u16; 2], extra: &[String], tls: bool) -> Child {
    let (client, peer) = (url(ports[0], tls), url(ports[1], false));
    Command::new(binary)
        .arg("--name=one")
        .arg(format!("--data-dir={}", folder.display()))
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .arg(format!("--initial-advertise-peer-urls={peer}"))
        .arg(format!("--initial-cluster=one={peer}"))
        .args(extra)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
