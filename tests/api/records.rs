//! What upstream answered: `tests/oracle/records/GROUP.jsonl`, a line for each case.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::table;

fn file(group: &str) -> PathBuf {
    table::folder().join("records").join(format!("{group}.jsonl"))
}

/// Answers by the name of the case.
pub(crate) fn read(group: &str) -> BTreeMap<String, Vec<Value>> {
    let path = file(group);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; tests/oracle/record makes it", path.display()));
    let line = |line: &str| -> (String, Vec<Value>) {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let name = value["case"].as_str().expect("a case's name").to_owned();
        (name, value["answers"].as_array().expect("answers").clone())
    };
    text.lines().map(line).collect()
}

/// Replaces a group's file.
pub(crate) fn write(group: &str, cases: &[(String, Vec<Value>)]) {
    let mut text = String::new();
    for (name, answers) in cases {
        writeln!(text, "{}", json!({"case": name, "answers": answers})).expect("a string takes text");
    }
    std::fs::create_dir_all(table::folder().join("records")).expect("the folder of records");
    std::fs::write(file(group), text).expect("the file of records");
}
