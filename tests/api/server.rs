//! The built server, started on loopback over a folder of its own and ended with it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;

use crate::client::Server;

/// From start to the line that tells the address: much, since tests build and run beside each other.
const START: Duration = Duration::from_secs(60);

/// A server that runs, or a folder that tells of one that somebody else runs.
pub(crate) struct Running {
    child: Option<Child>,
    kubeconfig: PathBuf,
    folder: tempfile::TempDir,
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    let built = option_env!("CARGO_BIN_EXE_cluster").map(PathBuf::from);
    std::env::var_os("CLUSTER_PROGRAM").map(PathBuf::from).or(built).expect("a built program")
}

impl Running {
    /// Starts the server over an empty folder, its API alone: no controller, as the oracle.
    pub(crate) fn start() -> Self {
        Self::with(&["--parts", "api"])
    }

    /// Starts the server over an empty folder.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        Self::launch(folder, &data, arguments)
    }

    /// Starts the server over a folder that somebody else removes.
    pub(crate) fn over(data: &Path, arguments: &[&str]) -> Self {
        Self::launch(tempfile::tempdir().expect("a temporary folder"), data, arguments)
    }

    fn launch(folder: tempfile::TempDir, data: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(program())
            .args(["server", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .arg("--data-dir")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("log")).expect("a log"))
            .spawn()
            .expect("the built program starts");
        let stdout = child.stdout.take().expect("its standard output");
        let running = Self { child: Some(child), kubeconfig: data.join("admin.kubeconfig"), folder };
        if !tells_address(stdout) {
            panic!("`cluster server` does not serve within {START:?}:\n{}", running.log());
        }
        running
    }

    /// The server's folder.
    pub(crate) fn data(&self) -> &Path {
        self.kubeconfig.parent().expect("a folder")
    }

    /// One that `tests/oracle/upstream` keeps.
    pub(crate) fn upstream(folder: &Path) -> Self {
        let kubeconfig = folder.join("kubeconfig");
        Self { child: None, kubeconfig, folder: tempfile::tempdir().expect("a temporary folder") }
    }

    /// Where clients find it, and an administrator's credentials.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The same for the player.
    pub(crate) fn server(&self) -> Server {
        if self.child.is_none() {
            return Server::from_folder(self.kubeconfig.parent().expect("a folder"));
        }
        let text = std::fs::read_to_string(&self.kubeconfig).expect("the administrator's kubeconfig");
        let tree: Value = serde_yaml::from_str(&text).expect("a kubeconfig is YAML");
        let at = |pointer: &str| tree.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let file = |name: &str, pointer: &str| {
            let path = self.folder.path().join(name);
            let pem = base64::engine::general_purpose::STANDARD.decode(at(pointer)).expect("base64");
            std::fs::write(&path, pem).expect("a file");
            path
        };
        Server::new(
            at("/clusters/0/cluster/server").trim_start_matches("https://").to_owned(),
            &file("ca.crt", "/clusters/0/cluster/certificate-authority-data"),
            &file("admin.crt", "/users/0/user/client-certificate-data"),
            &file("admin.key", "/users/0/user/client-key-data"),
        )
    }

    /// What it wrote to its standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Waits for the line that says where the API is served.
fn tells_address(stdout: std::process::ChildStdout) -> bool {
    let (tell, told) = mpsc::channel();
    // Reads on to the end, so that the server never writes into a closed pipe.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if line.contains("https://") {
                let _ = tell.send(());
            }
        }
    });
    told.recv_timeout(START).is_ok()
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = child.wait();
    }
}
