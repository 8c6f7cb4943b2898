//! The table of requests: one file a group under `tests/oracle/cases`, read as YAML.
//!
//! A file says what its cases are about and lists them; a case is a step or several. A mistake in a
//! file ends the test with the file's name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// One file: cases that share a namespace.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    /// What its rules are about, for readers and reports.
    pub(crate) about: String,
    /// The file's name without its ending; also the namespace.
    #[serde(skip)]
    pub(crate) name: String,
    /// Played before the cases, not recorded.
    #[serde(default)]
    pub(crate) before: Vec<Step>,
    pub(crate) cases: Vec<Case>,
}

/// One rule of upstream's, proven by one or more requests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

/// A request, or what is read from a watch that an earlier step opened.
#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    /// `POST /api/v1/…`; `${…}` stands for the namespace or a kept value, here and in bodies.
    #[serde(rename = "do")]
    pub(crate) request: Option<String>,
    /// Who asks, by impersonation; without it the administrator.
    #[serde(rename = "as")]
    pub(crate) user: Option<User>,
    /// No certificate is shown.
    pub(crate) anonymous: bool,
    /// A bearer token in place of the certificate.
    pub(crate) bearer: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    /// The body as a tree, sent as JSON.
    pub(crate) body: Option<Value>,
    /// The body as it is.
    pub(crate) text: Option<String>,
    /// The body in base64: protobuf.
    pub(crate) base64: Option<String>,
    /// Values of the answer kept for later steps: name and JSON pointer.
    pub(crate) keep: BTreeMap<String, String>,
    /// Not recorded: it makes ready.
    pub(crate) quiet: bool,
    /// Only these parts of the body are recorded; `*` stands for every element.
    pub(crate) show: Vec<String>,
    /// These parts are not.
    pub(crate) hide: Vec<String>,
    /// The answer is a stream, kept open under this name.
    pub(crate) open: Option<String>,
    /// Events of the stream of that name, `count` of them.
    pub(crate) take: Option<String>,
    pub(crate) count: usize,
    /// The stream must end after them.
    pub(crate) end: bool,
    /// What stands in the body's text is compared to the letter, order of fields included.
    pub(crate) exact: bool,
}

/// A user by impersonation.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) user: String,
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    #[serde(default)]
    pub(crate) uid: Option<String>,
    #[serde(default)]
    pub(crate) extra: BTreeMap<String, String>,
}

/// `tests/oracle` of the checkout.
pub(crate) fn folder() -> PathBuf {
    let root = std::env::var("CLUSTER_ORACLE")
        .map_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle"), PathBuf::from);
    assert!(root.is_dir(), "{} is no folder", root.display());
    root
}

/// Every group, in the order of the files' names.
pub(crate) fn groups() -> Vec<Group> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder().join("cases"))
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    files.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Group {
    let text = std::fs::read_to_string(path).expect("a file of cases");
    let mut tree: Value =
        serde_yaml::from_str_with_options(&text, serde_yaml::options! { strict_booleans: true })
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for case in tree["cases"].as_array_mut().into_iter().flatten() {
        single_step(case);
    }
    let mut group: Group =
        serde_json::from_value(tree).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    group.name = path.file_stem().expect("a name").to_string_lossy().into_owned();
    group
}

/// A case of one step may be written without `steps`.
fn single_step(case: &mut Value) {
    let Some(map) = case.as_object_mut().filter(|map| !map.contains_key("steps")) else { return };
    let name = map.shift_remove("name");
    let step = Value::Object(std::mem::take(map));
    map.extend(name.map(|name| ("name".to_owned(), name)));
    map.insert("steps".to_owned(), Value::Array(vec![step]));
}
