//! One cluster under test: its folder, its state, and the commands typed at it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::ec2;

/// A cluster of a name of its own. Taken down when the test ends, however it ends.
pub(crate) struct Fleet {
    pub(crate) name: &'static str,
    /// The second number of its VPC's range: tests run beside each other on one routing table.
    range: u8,
    folder: tempfile::TempDir,
}

/// What a command said.
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Ends the test with all that was said, unless the exit status is `wanted`.
    pub(crate) fn exits(self, wanted: i32) -> Self {
        assert_eq!(self.status, wanted, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }

    /// Ends the test unless `words` were said.
    pub(crate) fn says(self, words: &str) -> Self {
        let found = self.out.contains(words) || self.err.contains(words);
        assert!(found, "{words:?} was not said; stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

/// Whether the stand-in for EC2 is there; says why a test is skipped.
pub(crate) fn can_run(test: &str) -> bool {
    if std::env::var_os("CLUSTER_E2E").is_some() {
        return true;
    }
    println!("SKIPPED {test}: it needs LocalStack with machines; tests/e2e/run raises them (root)");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI nothing is skipped");
    false
}

impl Fleet {
    /// A cluster.yaml for `name`, in the VPC 10.`range`.0.0/16, with these further lines.
    pub(crate) fn new(name: &'static str, range: u8, yaml: &str) -> Self {
        let fleet = Self { name, range, folder: tempfile::tempdir().expect("a folder for the test") };
        fleet.write(yaml);
        fleet
    }

    /// Replaces cluster.yaml.
    pub(crate) fn write(&self, yaml: &str) {
        let text = format!("name: {}\nnetwork:\n  cidr: 10.{}.0.0/16\n{yaml}", self.name, self.range);
        std::fs::write(self.folder.path().join("cluster.yaml"), text).expect("cluster.yaml is written");
    }

    /// Takes cluster.yaml away: the test writes it by `cluster init`.
    pub(crate) fn without_file(&self) {
        std::fs::remove_file(self.folder.path().join("cluster.yaml")).expect("cluster.yaml is there");
    }

    /// The folder of the cluster's state.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Runs `cluster ARGUMENTS`.
    pub(crate) fn cluster(&self, arguments: &[&str]) -> Said {
        let began = Instant::now();
        let output = self.command(arguments).output().expect("the built binary runs");
        println!("  {:>5.1} s  cluster {}", began.elapsed().as_secs_f64(), arguments.join(" "));
        said(&output)
    }

    /// `cluster ARGUMENTS`, not yet run.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cluster"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("XDG_STATE_HOME", self.state())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command on a node; the exit status is that command's.
    pub(crate) fn on(&self, node: &str, command: &str) -> Said {
        self.cluster(&["ssh", node, "--", command])
    }

    /// The nodes as `status -o json` has them.
    pub(crate) fn nodes(&self) -> Vec<serde_json::Value> {
        let said = self.cluster(&["status", "-o", "json"]);
        let document: serde_json::Value = serde_json::from_str(&said.out).expect("status speaks JSON");
        document["nodes"].as_array().expect("a list of nodes").clone()
    }

    /// A field of a node.
    pub(crate) fn node(&self, name: &str, field: &str) -> String {
        let nodes = self.nodes();
        let node = nodes.iter().find(|node| node["node"] == name).expect("the node is listed");
        node[field].as_str().expect("the field is text").to_owned()
    }

    /// The actions of `plan -o json`, in words.
    pub(crate) fn plan(&self) -> Vec<String> {
        let said = self.cluster(&["plan", "-o", "json"]);
        assert!([0, 2].contains(&said.status), "{}\n{}", said.out, said.err);
        let document: serde_json::Value = serde_json::from_str(&said.out).expect("plan speaks JSON");
        let actions = document["actions"].as_array().expect("a list of actions");
        actions.iter().map(|action| action["words"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A test that failed half-way must not leave machines to the next one.
        if !std::thread::panicking() && ec2::tagged(self.name).iter().all(|(_, count)| *count == 0) {
            return;
        }
        let _ = self.command(&["down", "--name", self.name, "--yes"]).output();
    }
}

/// What a finished process said.
pub(crate) fn said(output: &Output) -> Said {
    Said {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Every file below `folder`.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
