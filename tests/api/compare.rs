//! Two answers side by side: where they differ, which differences are allowed, and which cases are
//! known not to pass yet.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::table;

/// More would no longer be the same API.
pub(crate) const ALLOWED_AT_MOST: usize = 10;

/// A place where upstream and we differ.
pub(crate) struct Difference {
    /// `2/body/spec/replicas`: the recorded step, then the way into its answer.
    pub(crate) path: String,
    upstream: Option<Value>,
    ours: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        write!(
            f,
            "{}\n      upstream {}\n      ours     {}",
            self.path,
            told(&self.upstream),
            told(&self.ours)
        )
    }
}

/// Everything in which the answers of one case differ; the order of a map's fields does not count.
pub(crate) fn differences(upstream: &[Value], ours: &[Value]) -> Vec<Difference> {
    let mut found = Vec::new();
    for at in 0..upstream.len().max(ours.len()) {
        compare(&at.to_string(), upstream.get(at), ours.get(at), &mut found);
    }
    found
}

fn compare(path: &str, upstream: Option<&Value>, ours: Option<&Value>, found: &mut Vec<Difference>) {
    match (upstream, ours) {
        (Some(Value::Object(theirs)), Some(Value::Object(own))) => {
            for (key, value) in theirs {
                compare(&format!("{path}/{}", key.replace('/', "~1")), Some(value), own.get(key), found);
            }
            for (key, value) in own.iter().filter(|(key, _)| !theirs.contains_key(*key)) {
                compare(&format!("{path}/{}", key.replace('/', "~1")), None, Some(value), found);
            }
        }
        (Some(Value::Array(theirs)), Some(Value::Array(own))) => {
            for at in 0..theirs.len().max(own.len()) {
                compare(&format!("{path}/{at}"), theirs.get(at), own.get(at), found);
            }
        }
        (upstream, ours) if upstream == ours => {}
        (upstream, ours) => {
            found.push(Difference { path: path.to_owned(), upstream: upstream.cloned(), ours: ours.cloned() })
        }
    }
}

/// A row of `tests/oracle/differences.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Allowed {
    /// `group/case`, where `*` at the end stands for any rest.
    cases: Vec<String>,
    /// The way into an answer, `*` for any one part; what lies below is meant too.
    at: String,
    /// Why it stays.
    pub(crate) reason: String,
}

impl Allowed {
    pub(crate) fn covers(&self, case: &str, path: &str) -> bool {
        let named = self.cases.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => case.starts_with(start),
            None => case == pattern,
        });
        let pattern: Vec<&str> = self.at.trim_start_matches('/').split('/').collect();
        let place: Vec<&str> = path.split('/').skip(1).collect();
        let here = pattern.len() <= place.len()
            && pattern.iter().zip(&place).all(|(p, part)| *p == "*" || p == part);
        named && here
    }
}

/// The differences that stay.
pub(crate) fn allowed() -> Vec<Allowed> {
    read("differences.yaml")
}

/// Cases that do not pass yet: `group/case` and why.
pub(crate) fn not_yet() -> BTreeMap<String, String> {
    read("not-yet.yaml")
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let path = table::folder().join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn maps_are_compared_without_order_and_lists_with_it() {
    let paths = |a: Value, b: Value| -> Vec<String> {
        differences(&[a], &[b]).into_iter().map(|difference| difference.path).collect()
    };
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert!(paths(parse(r#"{"a":1,"b":2}"#), parse(r#"{"b":2,"a":1}"#)).is_empty());
    assert_eq!(paths(parse(r#"{"a":[1,2]}"#), parse(r#"{"a":[2,1],"c":null}"#)), ["0/a/0", "0/a/1", "0/c"]);
}

#[test]
fn an_allowed_difference_covers_its_place_and_what_is_below() {
    let row = Allowed {
        cases: vec!["kinds/*".to_owned()],
        at: "/body/items/*/x".to_owned(),
        reason: String::new(),
    };
    assert!(row.covers("kinds/a claim", "3/body/items/7/x/y"));
    assert!(!row.covers("kinds/a claim", "3/body/items/7"));
    assert!(!row.covers("errors/a claim", "3/body/items/7/x"));
}
