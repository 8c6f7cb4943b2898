//! Real clients, nothing in them patched: every command of `tests/oracle/clients` is run, and what it
//! prints is compared with what it printed against upstream's server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::server::Running;
use crate::table;

/// What is said of kinds that nothing acts on yet: the first row of `differences.yaml`.
const NOTHING_ACTS: &str = "nothing in this cluster acts on it yet";

/// One file: commands in their order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// What its commands are about.
    pub(crate) about: String,
    #[serde(skip)]
    pub(crate) name: String,
    pub(crate) commands: Vec<Run>,
}

/// One command, by a shell.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Run {
    /// The command; kubectl, helm and python are the fetched ones.
    pub(crate) run: String,
    /// Its standard input.
    #[serde(default)]
    stdin: String,
    /// Not recorded: it makes ready.
    #[serde(default)]
    pub(crate) quiet: bool,
}

/// Every script, in the order of the files' names.
pub(crate) fn scripts() -> Vec<Script> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(table::folder().join("clients"))
        .expect("the folder of commands")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    files.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Script {
    let text = std::fs::read_to_string(path).expect("a file of commands");
    let mut script: Script =
        serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    script.name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    script
}

/// Where kubectl, helm and the Python client are; `None` on a machine that cannot have them.
pub(crate) fn clients() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("CLUSTER_CLIENTS") {
        return Some(PathBuf::from(folder));
    }
    let fetch = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/clients");
    let fetched = Command::new(fetch).stdin(Stdio::null()).output().expect("scripts/clients runs");
    if fetched.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&fetched.stdout).trim()));
    }
    let why = String::from_utf8_lossy(&fetched.stderr).into_owned();
    assert!(std::env::var_os("CI").is_none(), "in CI the clients must be there: {why}");
    println!("SKIPPED real clients: {why}");
    None
}

/// Runs a script's commands one after the other and tells what each gave.
pub(crate) fn play(running: &Running, clients: &Path, script: &Script) -> Vec<(String, Vec<Value>)> {
    let home = tempfile::tempdir().expect("a home");
    let mut all = Vec::new();
    for (at, command) in script.commands.iter().enumerate() {
        let told = run(running, clients, home.path(), command);
        if !command.quiet {
            all.push((format!("{}: {}", at + 1, command.run), vec![told]));
        }
    }
    all
}

fn run(running: &Running, clients: &Path, home: &Path, command: &Run) -> Value {
    let path = format!("{0}:{0}/python/bin:/usr/bin:/bin", clients.display());
    let input = home.join("stdin");
    std::fs::write(&input, &command.stdin).expect("a file for standard input");
    let output = Command::new("sh")
        .args(["-c", &command.run])
        .current_dir(table::folder().join("clients"))
        .env_clear()
        .env("PATH", path)
        .env("HOME", home)
        .env("KUBECONFIG", running.kubeconfig())
        .env("TZ", "UTC")
        .stdin(std::fs::File::open(&input).expect("standard input"))
        .output()
        .expect("a shell");
    let text = |bytes: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(bytes)
            .lines()
            .filter(|line| !line.ends_with(NOTHING_ACTS))
            .map(line)
            .collect()
    };
    json!({"code": output.status.code(), "out": text(&output.stdout), "err": text(&output.stderr)})
}

/// A line with what the server or the clock chose in symbols, and columns two blanks apart.
fn line(text: &str) -> String {
    let indent: String = text.chars().take_while(|c| *c == ' ').collect();
    let columns: Vec<String> = text
        .trim()
        .split("  ")
        .map(str::trim)
        .filter(|column| !column.is_empty())
        .map(|column| column.split(' ').map(word).collect::<Vec<_>>().join(" "))
        .collect();
    let text = uids(&format!("{indent}{}", dates(&columns.join("  "))));
    crate::normal::suffix_replaced(&text, "kube-api-access-")
}

/// A word that is an age, a uid, an address of a Service, a version, a folder for the time being.
fn word(text: &str) -> String {
    let bare = text.trim_matches(|c: char| "\"',;()[]".contains(c));
    let symbol = match bare {
        _ if is_age(bare) => "<age>",
        _ if bare.starts_with("10.96.") => "<address>",
        _ if bare.starts_with("X509SHA256=") => "<certificate>",
        _ if is_time_of_day(bare) => "<time>",
        _ if bare.ends_with("/TCP") => return ports(text),
        _ if bare.parse::<jiff::Timestamp>().is_ok_and(|time| time > jiff::Timestamp::UNIX_EPOCH) => "<time>",
        _ if bare.starts_with("/tmp/") => "<folder>",
        _ if bare.starts_with("https://127.0.0.1:") => "<server>",
        _ => return text.to_owned(),
    };
    text.replace(bare, symbol)
}

/// `5s`, `2m3s`, `<unknown>` is none.
fn is_age(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(['s', 'm', 'h'])
        && text.chars().all(|c| c.is_ascii_digit() || "smh".contains(c))
}

/// `14:16:34.014201312`, as diff prints it.
fn is_time_of_day(text: &str) -> bool {
    text.matches(':').count() == 2 && text.bytes().all(|c| c.is_ascii_digit() || c == b':' || c == b'.')
}

/// `80:31062/TCP`: of a node's ports the upper ones are chosen by the server.
fn ports(text: &str) -> String {
    let chosen = |part: &&str| part.len() == 5 && part.starts_with('3') && !part.starts_with("300");
    match text.split([':', '/']).find(chosen) {
        Some(port) => text.replace(port, "<port>"),
        None => text.to_owned(),
    }
}

/// Uids wherever they stand.
fn uids(text: &str) -> String {
    let found = (0..text.len()).find_map(|at| crate::normal::uid_at(text, at));
    found.map_or_else(|| text.to_owned(), |uid| uids(&text.replace(uid, "<uid>")))
}

/// Dates as kubectl and helm write them, and versions.
fn dates(text: &str) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let is_date = |rest: &str| {
        DAYS.iter().any(|day| rest.starts_with(day))
            && rest.get(3..5).is_some_and(|next| next == ", " || next.starts_with(' '))
    };
    let cut = (0..text.len()).find(|at| text.get(*at..).is_some_and(is_date));
    let text = cut.map_or_else(|| text.to_owned(), |at| format!("{}<date>", &text[..at]));
    let versioned = ["resourceVersion: ", "\"resourceVersion\": "].into_iter().find(|key| text.contains(key));
    match versioned.and_then(|key| text.split_once(key).map(|(before, _)| format!("{before}{key}<version>")))
    {
        Some(told) => told,
        None => text,
    }
}

#[test]
fn lines_of_two_runs_are_the_same_in_symbols() {
    assert_eq!(
        line("web    1/1     Running   0          12s   10.244.0.9"),
        "web  1/1  Running  0  <age>  10.244.0.9"
    );
    assert_eq!(line("  resourceVersion: \"77\""), "  resourceVersion: <version>");
    assert_eq!(line("CreationTimestamp:  Tue, 24 Nov 2026 14:08:01 +0000"), "CreationTimestamp:  <date>");
    assert_eq!(line("    uid: 11111111-2222-3333-4444-555555555555"), "    uid: <uid>");
}
