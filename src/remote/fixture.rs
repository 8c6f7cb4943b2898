//! A real sshd on a loopback port, with its own configuration, keys and log.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base::{Shutdown, SystemClock};
use jiff::Timestamp;
use tempfile::TempDir;

use crate::*;

const SSHD: &str = "/usr/sbin/sshd";

/// Time for anything on this machine that is expected to happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Sshd {
    pub(crate) folder: TempDir,
    pub(crate) address: SocketAddr,
    user: pki::SshKey,
    /// Its host keys, the ed25519 one first.
    pub(crate) keys: Vec<HostKey>,
    child: Option<Child>,
}

impl Sshd {
    /// A configured but not yet started server; `None`, said aloud, where there is no sshd.
    pub(crate) fn prepare(extra: &str) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            assert!(std::env::var("CI").is_err(), "{SSHD} is missing");
            println!("SKIPPED: {SSHD} is missing (package openssh-server)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let host = pki::ssh_keypair("host").unwrap();
        let user = pki::ssh_keypair("user").unwrap();
        private(&folder.path().join("ed25519"), host.private_openssh.expose());
        fs::write(folder.path().join("authorized"), &user.public).unwrap();
        // Where sshd of this name locks its children up, as its unit makes it.
        let _ = fs::create_dir_all("/run/sshd");
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        // Whoever runs the tests may have shell start-up files that print: another home has none.
        let config = format!(
            "SetEnv HOME={}\nListenAddress 127.0.0.1\nPort {}\nHostKey {}/ed25519\nAuthorizedKeysFile {}/authorized\n\
             StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\n\
             PermitRootLogin prohibit-password\nMaxStartups 100\nLogLevel DEBUG1\n{extra}\n",
            folder.path().display(),
            address.port(),
            folder.path().display(),
            folder.path().display(),
        );
        fs::write(folder.path().join("config"), config).unwrap();
        Some(Self { keys: vec![HostKey::parse(&host.public).unwrap()], folder, address, user, child: None })
    }

    pub(crate) fn start(&mut self) {
        let child = Command::new(SSHD)
            .args(["-D", "-f"])
            .arg(self.folder.path().join("config"))
            .arg("-E")
            .arg(self.log_path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// A started server that answers. Its own word is waited for, not a connection that
    /// opens: a test's connection is the first that the log tells of.
    pub(crate) async fn up(extra: &str) -> Option<Self> {
        let mut sshd = Self::prepare(extra)?;
        sshd.start();
        sshd.logged("Server listening").await;
        Some(sshd)
    }

    pub(crate) fn target(&self) -> Target {
        Target {
            slot: "general-0".to_owned(),
            address: self.address,
            user: whoami(),
            identity: Identity::new(self.user.private_openssh.expose()),
            accepted: vec![self.keys[0].clone()],
        }
    }

    pub(crate) fn keep(&mut self, key: HostKey) {
        self.keys.push(key);
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Waits until the server's log contains `text`.
    pub(crate) async fn logged(&self, text: &str) {
        let deadline = Instant::now() + SOON;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in\n{}", self.log());
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn ssh() -> Ssh {
    Ssh::new(Limits::default(), Shutdown::new())
}

/// Connects within [`SOON`].
pub(crate) async fn connected(remote: &dyn Remote, target: &Target) -> Box<dyn Session> {
    let deadline = Timestamp::now() + SOON;
    let shutdown = Shutdown::new();
    connect_until(remote, target, deadline, &SystemClock, &shutdown, &mut |_| {}).await.unwrap()
}

/// Another host key of the server's folder, made by ssh-keygen.
pub(crate) fn generate(folder: &Path, kind: &str) -> HostKey {
    let path = folder.join(kind);
    let made =
        Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&path).status().unwrap();
    assert!(made.success());
    HostKey::parse(&fs::read_to_string(path.with_extension("pub")).unwrap()).unwrap()
}

pub(crate) fn key() -> HostKey {
    HostKey::parse(&pki::ssh_keypair("other").unwrap().public).unwrap()
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
