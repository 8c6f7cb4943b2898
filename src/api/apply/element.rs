//! One step of a field's path, its order, its text in a field set and in messages.
//!
//! A field set's keys are `f:name`, `k:{"name":"a"}` (an item of a list by its keys),
//! `v:"x"` (an item of a set) and `i:0` (a place, which upstream never writes any more).

use std::cmp::Ordering;
use std::fmt::{self, Display, Write as _};
use std::sync::Arc;

use serde_json::{Map, Number, Value};

use crate::patch::words;

/// One step of a path. Fields sort before items by key, those before items by value.
#[derive(Debug, Clone)]
pub enum Element {
    /// A field of an object, or a key of a map.
    Field(Arc<str>),
    /// An item of a list, by the fields that tell items apart, sorted by name.
    Key(Box<[(Arc<str>, Value)]>),
    /// An item of a set.
    Value(Box<Value>),
    /// A place in a list.
    Index(i64),
}

impl Element {
    /// Reads a field set's key. None for a kind of step that is not known, which is
    /// passed over.
    ///
    /// # Errors
    /// A text that is no step, in words for people.
    pub(super) fn read(text: &str) -> Result<Option<Self>, String> {
        let (kind, rest) = match text.split_at_checked(2) {
            Some((kind, rest)) if kind.ends_with(':') => (kind, rest),
            Some(_) => return Err(format!("missing colon: {text}")),
            None => return Err("key must be 2 characters long:".into()),
        };
        let bad = |error: serde_json::Error| format!("{text}: {error}");
        Ok(Some(match kind {
            "f:" => Self::Field(rest.into()),
            "v:" => Self::Value(Box::new(serde_json::from_str(rest).map_err(bad)?)),
            "k:" => {
                let fields: Map<String, Value> = serde_json::from_str(rest).map_err(bad)?;
                Self::key(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
            }
            "i:" => Self::Index(rest.parse().map_err(|error| format!("{text}: {error}"))?),
            _ => return Ok(None),
        }))
    }

    /// An item by its keys, in any order.
    pub(super) fn key(mut fields: Vec<(Arc<str>, Value)>) -> Self {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Self::Key(fields.into())
    }

    /// The key in a field set that stands for it.
    pub(super) fn written(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Value(value) => format!("v:{}", json(value)),
            Self::Index(at) => format!("i:{at}"),
            Self::Key(fields) => {
                let mut out = String::from("k:{");
                for (at, (name, value)) in fields.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    let name = Value::from(&**name);
                    let written = write!(out, "{comma}{name}:{}", json(value));
                    debug_assert!(written.is_ok(), "a String takes whatever is written");
                }
                out.push('}');
                out
            }
        }
    }
}

/// JSON with the characters escaped that Go's encoder escapes for HTML's sake.
fn json(value: &Value) -> String {
    let text = value.to_string();
    if !text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 10);
    for c in text.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Value(value) => write!(f, "[={}]", shown(value)),
            Self::Index(at) => write!(f, "[{at}]"),
            Self::Key(fields) => {
                let fields: Vec<_> =
                    fields.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
                write!(f, "[{}]", fields.join(","))
            }
        }
    }
}

/// A value within a path, as messages show it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::String(text) => words::quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
        Value::Object(members) => {
            members.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect()
        }
        scalar => words::plain(scalar),
    }
}

impl Ord for Element {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => keys(a, b),
            (Self::Value(a), Self::Value(b)) => order(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Element {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Element {}

impl Element {
    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }
}

fn keys(a: &[(Arc<str>, Value)], b: &[(Arc<str>, Value)]) -> Ordering {
    for ((a_name, a_value), (b_name, b_value)) in a.iter().zip(b) {
        let compared = a_name.cmp(b_name).then_with(|| order(a_value, b_value));
        if compared.is_ne() {
            return compared;
        }
    }
    a.len().cmp(&b.len())
}

/// An order over all values: numbers, texts, truths, lists, maps, null. Numbers compare by
/// what they are worth, `1` being `1.0`.
pub(super) fn order(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            let different = a.iter().zip(b).map(|(a, b)| order(a, b)).find(|it| it.is_ne());
            different.unwrap_or_else(|| a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => maps(a, b),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn maps(a: &Map<String, Value>, b: &Map<String, Value>) -> Ordering {
    let sorted = |map: &Map<String, Value>| {
        let mut names: Vec<String> = map.keys().cloned().collect();
        names.sort();
        names
    };
    let (a_names, b_names) = (sorted(a), sorted(b));
    for (a_name, b_name) in a_names.iter().zip(&b_names) {
        let compared = a_name.cmp(b_name).then_with(|| match (a.get(a_name), b.get(b_name)) {
            (Some(a), Some(b)) => order(a, b),
            _ => Ordering::Equal,
        });
        if compared.is_ne() {
            return compared;
        }
    }
    a_names.len().cmp(&b_names.len())
}

fn numbers(a: &Number, b: &Number) -> Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

/// Whether two values are the same, whatever the order of their members; `1` is `1.0`.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || numbers(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((a_name, a), (b_name, b_value))| {
                    if a_name == b_name {
                        same(a, b_value)
                    } else {
                        b.get(a_name).is_some_and(|b| same(a, b))
                    }
                })
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn elements_are_read_written_and_shown() {
        for (text, shown) in [
            ("f:spec", ".spec"),
            (r#"k:{"containerPort":80,"protocol":"TCP"}"#, r#"[containerPort=80,protocol="TCP"]"#),
            (r#"v:"a\u003cb""#, r#"[="a<b"]"#),
            ("v:1.5", "[=1.5]"),
            ("i:3", "[3]"),
        ] {
            let element = Element::read(text).unwrap().unwrap();
            assert_eq!(element.written(), text);
            assert_eq!(element.to_string(), shown);
        }
        assert_eq!(Element::read("x:1"), Ok(None));
        assert_eq!(Element::read("field"), Err("missing colon: field".into()));
        assert!(Element::read("").is_err() && Element::read("k:x").is_err() && Element::read("v:").is_err());
    }

    #[test]
    fn numbers_are_what_they_are_worth() {
        assert!(same(&json!({"a": 1, "b": 2}), &json!({"b": 2.0, "a": 1})));
        assert!(order(&json!(2), &json!(1.5)).is_gt() && order(&json!("a"), &json!(9)).is_gt());
        assert!(order(&json!({"a": 1}), &json!({"a": 1, "b": 1})).is_lt());
    }
}
