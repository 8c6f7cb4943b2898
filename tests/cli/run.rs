//! Running the built program: in a folder and a home of its own, with nothing
//! of this machine's environment, within a time.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;

/// No run of these tests takes longer.
const AT_MOST: Duration = Duration::from_secs(50);

/// A cluster.yaml that needs no address of this machine's.
pub(crate) const CONFIG: &str = "\
version: 1
name: demo
region: us-east-1
access: {ssh: [203.0.113.7/32], api: [203.0.113.7/32], services: [0.0.0.0/0]}
";

/// The program under test.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_cluster"))
}

/// What a run gave.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Run {
    /// Both streams and the exit status, as a snapshot shows them.
    pub(crate) fn screen(&self) -> String {
        let mut text = String::new();
        for (title, stream) in [("standard output", &self.out), ("standard error", &self.err)] {
            if !stream.is_empty() {
                text += &format!("---- {title}\n{stream}");
            }
        }
        format!("{text}---- exit status {}", self.code.map_or("none".to_owned(), |code| code.to_string()))
    }
}

/// A folder to work in, a home and a state folder, all gone with it.
pub(crate) struct Place {
    root: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl Place {
    /// An empty one: no cluster.yaml, no credentials.
    pub(crate) fn empty() -> Self {
        let root = tempfile::tempdir().expect("a temporary folder");
        for folder in ["work", "home", "state"] {
            std::fs::create_dir(root.path().join(folder)).expect("a folder");
        }
        Self { root, env: Vec::new() }
    }

    /// One with cluster.yaml, and keys that `endpoint` takes.
    pub(crate) fn at(endpoint: &Endpoint) -> Self {
        let place = Self::empty()
            .with("AWS_ENDPOINT_URL", &endpoint.url())
            .with("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .with("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .with("AWS_EC2_METADATA_DISABLED", "true");
        place.write("cluster.yaml", CONFIG);
        place
    }

    /// A variable more, or another value.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A variable less.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self
    }

    /// The folder commands run in.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// The home folder.
    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// Where the cluster `demo` keeps its state.
    pub(crate) fn state(&self) -> PathBuf {
        let base = self.root.path().join("state/cluster");
        base.join(crate::endpoint::ACCOUNT).join("us-east-1/demo")
    }

    /// Writes a file into the folder that commands run in.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.work().join(name), text).expect("a file");
    }

    /// Writes a file under the home folder.
    pub(crate) fn write_home(&self, name: &str, text: &str) {
        let path = self.home().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// A file that passes for a static binary for nodes and, other than the
    /// program itself, is read at once.
    pub(crate) fn node_binary(&self) -> String {
        const X86_64: u8 = 62;
        let mut header = [0_u8; 64];
        header[..4].copy_from_slice(b"\x7fELF");
        (header[4], header[18]) = (2, X86_64);
        let path = self.home().join("node-binary");
        std::fs::write(&path, header).expect("a file");
        path.display().to_string()
    }

    /// The command, ready to run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.work()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home()).env("XDG_STATE_HOME", self.root.path().join("state"));
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        finish(self.command(arguments))
    }

    /// `text` with what differs from run to run replaced.
    pub(crate) fn tidy(&self, text: &str) -> String {
        let root = self.root.path().display().to_string();
        let mut text = text.replace(&root, "[folder]");
        for (name, value) in &self.env {
            if name == "AWS_ENDPOINT_URL" {
                text = text.replace(value.as_str(), "[endpoint]");
            }
        }
        let text = text.replace(env!("CARGO_PKG_VERSION"), "[version]");
        redact(&text)
    }

    /// Runs it and gives the whole screen, tidied.
    pub(crate) fn screen(&self, arguments: &[&str]) -> String {
        self.tidy(&self.run(arguments).screen())
    }
}

/// Must never be seen.
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// Runs `command` to its end, or kills it when its time is over.
pub(crate) fn finish(mut command: Command) -> Run {
    let began = Instant::now();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    collect(child, began)
}

/// Waits for a child whose output is piped.
pub(crate) fn collect(mut child: Child, began: Instant) -> Run {
    let (sender, ended) = mpsc::channel();
    let out = drain(child.stdout.take().expect("piped"), 0, sender.clone());
    let err = drain(child.stderr.take().expect("piped"), 1, sender);
    for _ in 0..2 {
        let left = AT_MOST.saturating_sub(began.elapsed());
        if ended.recv_timeout(left).is_err() {
            child.kill().expect("it can be ended");
            break;
        }
    }
    let took = began.elapsed();
    let code = child.wait().expect("it ended").code();
    let (out, err) = (out.join().expect("its output"), err.join().expect("its errors"));
    assert!(took < AT_MOST, "it did not end within {AT_MOST:?}:\n{out}\n{err}");
    Run { code, out, err, took }
}

fn drain(
    mut from: impl std::io::Read + Send + 'static,
    which: u8,
    ended: mpsc::Sender<u8>,
) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("it can be read");
        let _ = ended.send(which);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Times, uids and process ids are not the same twice.
fn redact(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut line = ids(&seconds(line));
        if let Some(at) = line.find("(process ") {
            let end = line[at..].find(')').map_or(line.len(), |end| at + end);
            line.replace_range(at..end, "(process [pid] on [host], since [time]");
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Ids are given in the order of calls, which is any.
fn ids(line: &str) -> String {
    const ZEROES: &str = "-00000000000000";
    let mut parts = line.split(ZEROES);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| format!("{text}{ZEROES}[n]{}", part.get(3..).unwrap_or_default()))
}

/// `12.3 s` and `  0.4s` become `[time]`.
fn seconds(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(at);
        let end = from.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        text += before;
        let unit = [" s", "s"].into_iter().find(|unit| {
            let next = after.strip_prefix(*unit).map(|rest| rest.chars().next());
            next.is_some_and(|next| next.is_none_or(|c| !c.is_alphanumeric()))
        });
        match unit {
            Some(unit) if number.contains('.') => {
                // The clock of a run stands right-aligned.
                let padded = text.chars().all(|c| c == ' ');
                text = if padded { String::new() } else { text };
                text += "[time]";
                rest = &after[unit.len()..];
            }
            _ => {
                text += number;
                rest = after;
            }
        }
    }
    text + rest
}
