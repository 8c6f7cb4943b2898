//! The house rules that a compiler does not hold: which crate may use which, what
//! files look like, what pure crates deny, what the project never says.
// A test says what went wrong by ending.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Decisions only: no clock, randomness, environment or files.
const PURE: &[&str] = &["access", "api", "plan", "pods", "proxy", "scheduler", "streams"];
const LINES_AT_MOST: usize = 1000;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files of the project with this ending, build folders apart.
fn files(ending: &str) -> Vec<PathBuf> {
    let listed =
        Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(root()).output();
    let listed = String::from_utf8(listed.expect("git lists the files").stdout).unwrap();
    let found: Vec<PathBuf> = listed
        .lines()
        .filter(|name| name.ends_with(ending))
        .map(|name| root().join(name))
        .filter(|path| path.exists())
        .collect();
    assert!(!found.is_empty(), "no {ending} file was found");
    found
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each workspace crate's ordinary dependencies.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo tells the packages");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo tells JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let normal = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().cloned().unwrap_or_default();
        all.iter()
            .filter(|d| d["kind"].is_null())
            .map(|d| text(if d["rename"].is_null() { &d["name"] } else { &d["rename"] }))
            .collect()
    };
    packages.iter().map(|package| (text(&package["name"]), normal(package))).collect()
}

/// The table in ARCHITECTURE.md: crate, then the crates of ours and the outside libraries it may use.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = read(root().join("ARCHITECTURE.md"));
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let words =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let mut table = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        if let [name, ours, others] = cells[..] {
            let name = words(name).remove(0);
            table.insert(name, words(ours).into_iter().chain(words(others)).collect());
        }
    }
    table
}

#[test]
fn each_crate_uses_exactly_what_the_architecture_allows() {
    let (found, table) = (dependencies(), allowed());
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        table.keys().collect::<Vec<_>>(),
        "crates of the workspace and rows of the table in ARCHITECTURE.md differ"
    );
    for (name, uses) in &found {
        let row = &table[name];
        let unasked: Vec<_> = uses.difference(row).collect();
        let unused: Vec<_> = row.difference(uses).collect();
        assert!(
            unasked.is_empty(),
            "{name} uses {unasked:?}, which its row in ARCHITECTURE.md does not name"
        );
        assert!(
            unused.is_empty(),
            "the row of {name} in ARCHITECTURE.md names {unused:?}, which it does not use"
        );
    }
}

#[test]
fn only_one_crate_and_the_stand_in_for_ec2_use_the_aws_sdk() {
    for (name, uses) in dependencies() {
        let sdk = uses.iter().find(|dependency| dependency.starts_with("aws-"));
        assert!(sdk.is_none() || ["cloud", "machines"].contains(&name.as_str()), "{name} uses {sdk:?}");
    }
}

#[test]
fn pure_crates_deny_clock_randomness_environment_and_files() {
    let uses = dependencies();
    for name in PURE {
        let lib = read(root().join("src").join(name).join("lib.rs"));
        assert!(
            lib.contains("#![deny(clippy::disallowed_methods, clippy::disallowed_types)]"),
            "src/{name}/lib.rs does not deny what clippy.toml lists"
        );
        assert!(!uses[*name].contains("tokio"), "{name} is pure and uses tokio");
    }
}

#[test]
fn every_source_file_says_what_it_is_and_stays_readable() {
    for path in files(".rs") {
        let text = read(&path);
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let is_test_body = name.ends_with("/tests.rs") || name.ends_with("_tests.rs");
        assert!(text.starts_with("//!") || is_test_body, "{name} does not open with `//!`");
        let lines = text.lines().count();
        assert!(lines <= LINES_AT_MOST, "{name} has {lines} lines: split it by meaning");
    }
}

#[test]
fn no_unfinished_work_is_committed() {
    // Spelled in two halves, so that this file does not find itself.
    let words = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
    ];
    for path in files(".rs") {
        let text = read(&path);
        for word in words {
            assert!(!text.contains(word), "{} contains {word}", path.display());
        }
    }
}

#[test]
fn no_code_waits_by_sleeping_a_thread() {
    for path in files(".rs") {
        let text = read(&path);
        assert!(!text.contains(concat!("thread::sl", "eep")), "{} sleeps a thread", path.display());
    }
}

#[test]
fn the_license_readme_and_changelog_are_there() {
    for name in ["LICENSE", "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "deny.toml"] {
        assert!(read(root().join(name)).len() > 100, "{name} is all but empty");
    }
}

#[test]
fn every_decision_record_has_a_status_and_a_place_in_the_list() {
    let list = read(root().join("ARCHITECTURE.md"));
    for path in files(".md").iter().filter(|path| path.parent().is_some_and(|p| p.ends_with("adr"))) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(read(path).contains("Status:"), "{name} has no status");
        assert!(list.contains(&name), "ARCHITECTURE.md does not list {name}");
    }
}
