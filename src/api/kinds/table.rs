//! Columns and cells that many kinds share.

use std::borrow::Cow;

use serde_json::Value;

use crate::kind::{About, Column};
use crate::{meta, time};

/// The object's name.
pub const NAME: Column = Column {
    name: Cow::Borrowed("Name"),
    kind: "string",
    format: "name",
    about: About::Field("ObjectMeta", "name"),
    priority: 0,
};

/// The time since it was created.
pub const AGE: Column = text("Age", About::Field("ObjectMeta", "creationTimestamp"));

/// A column of text.
pub const fn text(name: &'static str, about: About) -> Column {
    Column { name: Cow::Borrowed(name), kind: "string", format: "", about, priority: 0 }
}

/// A column of numbers.
pub const fn integer(name: &'static str, about: About) -> Column {
    Column { name: Cow::Borrowed(name), kind: "integer", format: "", about, priority: 0 }
}

/// A column of yes and no.
pub const fn boolean(name: &'static str, about: About) -> Column {
    Column { name: Cow::Borrowed(name), kind: "boolean", format: "", about, priority: 0 }
}

/// A column that is shown with `-o wide` alone.
pub const fn wide(name: &'static str, about: About) -> Column {
    Column { name: Cow::Borrowed(name), kind: "string", format: "", about, priority: 1 }
}

/// A name that is shown with `-o wide` alone.
#[must_use]
pub const fn wide_name() -> Column {
    Column { priority: 1, ..NAME }
}

/// What a column tells, in our own words.
pub const fn says(text: &'static str) -> About {
    About::Text(Cow::Borrowed(text))
}

/// Kinds without columns of their own.
pub const PLAIN: &[Column] = &[
    NAME,
    Column {
        name: Cow::Borrowed("Created At"),
        kind: "date",
        format: "",
        about: About::Field("ObjectMeta", "creationTimestamp"),
        priority: 0,
    },
];

/// Cells of kinds without columns of their own.
pub fn plain_cells(object: &Value, _: i64) -> Vec<Value> {
    vec![meta::name(object).into(), meta::creation_timestamp(object).into()]
}

/// Name and age alone.
pub const NAME_AND_AGE: &[Column] = &[NAME, AGE];

/// Cells of name and age.
pub fn name_and_age(object: &Value, now: i64) -> Vec<Value> {
    vec![meta::name(object).into(), age(object, now)]
}

/// The age of an object.
pub fn age(object: &Value, now: i64) -> Value {
    time::since(meta::creation_timestamp(object), now).into()
}

/// Text, or `<none>`.
pub fn or_none(text: &str) -> Value {
    if text.is_empty() { "<none>".into() } else { text.into() }
}

/// Names and images of a template's containers.
pub fn containers(spec: &Value) -> [Value; 2] {
    let all = meta::list_at(spec, "containers");
    let joined = |field: &str| {
        let parts: Vec<&str> = all.iter().map(|c| meta::str_at(c, field)).collect();
        Value::from(parts.join(","))
    };
    [joined("name"), joined("image")]
}

/// A map of labels as text, or `<none>`.
pub fn labels(map: Option<&Value>) -> Value {
    let entries = map.and_then(Value::as_object).into_iter().flatten();
    let mut parts: Vec<String> =
        entries.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    parts.sort();
    or_none(&parts.join(","))
}

/// A LabelSelector as text, or `<none>`.
#[must_use]
pub fn selector(selector: Option<&Value>) -> Value {
    match selector {
        None => "<none>".into(),
        some => or_none(&selector_text(some)),
    }
}

/// A LabelSelector as text; empty where it selects all.
#[must_use]
pub fn selector_text(selector: Option<&Value>) -> String {
    let Some(selector) = selector else { return "<none>".to_owned() };
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in meta::at(selector, "matchLabels").and_then(Value::as_object).into_iter().flatten() {
        parts.push((key.clone(), format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for requirement in meta::list_at(selector, "matchExpressions") {
        let key = meta::str_at(requirement, "key");
        let mut values: Vec<&str> =
            meta::list_at(requirement, "values").iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let shown = match meta::str_at(requirement, "operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        parts.push((key.to_owned(), shown));
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    let shown: Vec<String> = parts.into_iter().map(|(_, shown)| shown).collect();
    shown.join(",")
}

/// A number or text as text; the other where there is none.
pub fn number_or_text(value: Option<&Value>, absent: &str) -> Value {
    match value {
        Some(Value::String(text)) => text.as_str().into(),
        Some(other) => other.to_string().into(),
        None => absent.into(),
    }
}
