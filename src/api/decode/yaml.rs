//! YAML bodies: read into JSON, so that everything else is said of JSON.
//!
//! Keys that come twice are told by their lines, as upstream does, since the JSON no longer
//! shows them. Anchors may not multiply a body: what they expand to is bounded.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_yaml::Spanned;

use super::MAX_DEPTH;

/// Nodes that a body may have, those that anchors repeat included.
const NODES_AT_MOST: usize = 500_000;

/// Nesting that is read. Less than JSON's: manifests of custom resources come to about forty.
const DEPTH: usize = MAX_DEPTH / 4;

/// Stack that a level of nesting may take, and how much is added where less is left: the
/// parser recurses, with large frames, and a request's thread has 2 MiB.
const LEVEL_BYTES: usize = 128 * 1024;
const MORE_BYTES: usize = 2 * 1024 * 1024;

/// A tree with the keys that came twice in it.
struct Tree {
    value: Value,
    repeated: Vec<(u64, String)>,
}

/// Reads YAML as JSON. The second part has a line for each key that came twice:
/// `line 3: key "a" already set in map`.
pub(super) fn to_json(body: &[u8]) -> Result<(Vec<u8>, Vec<String>), String> {
    let text = std::str::from_utf8(body).map_err(|_| "yaml: invalid UTF-8".to_owned())?;
    let text = first_document(text);
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: DEPTH,
            max_nodes: NODES_AT_MOST,
            max_events: 4 * NODES_AT_MOST,
            max_documents: 1,
        },
        duplicate_keys: serde_yaml::DuplicateKeyPolicy::PassThrough,
        legacy_octal_numbers: true,
    };
    let tree: Tree = serde_yaml::from_str_with_options(text, options).map_err(|error| words(text, &error))?;
    let repeated = tree
        .repeated
        .iter()
        .map(|(line, key)| format!("line {line}: key {} already set in map", super::quote(key)));
    Ok((crate::canonical::to_vec(&tree.value), repeated.collect()))
}

/// Upstream reads the first of several documents.
fn first_document(text: &str) -> &str {
    let mut at = 0;
    let mut begun = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        let marker = bare == "---" || bare.starts_with("--- ");
        if begun && (marker || bare == "...") {
            return &text[..at];
        }
        begun |= marker || !(bare.is_empty() || bare.starts_with(['#', '%']));
        at += line.len();
    }
    text
}

/// What Go's parser says of the commonest mistakes; of others, where they are and what they are.
/// It counts lines from one or from zero, by where it finds the mistake, and does not tell the
/// first line.
fn words(text: &str, error: &serde_yaml::Error) -> String {
    let said = error.to_string();
    let message = said.lines().next().unwrap_or_default();
    let message = message.split_once(": ").map_or(message, |(_, rest)| rest);
    let message =
        message.split_once(": ").filter(|(place, _)| place.starts_with("line ")).map_or(message, |(_, m)| m);
    let (line, column) = error.location().map_or((1, 1), |location| (location.line(), location.column()));
    let from_one = if line > 1 { format!("line {line}: ") } else { String::new() };
    let from_zero = if line > 1 { format!("line {}: ", line - 1) } else { String::new() };
    let last = text.lines().count().max(1);
    let problem = if message.starts_with("unclosed bracket") {
        let place = if line > 1 { line - 1 } else { last as u64 };
        if text.trim_end().ends_with(['[', '{', ',', ':']) {
            format!("line {last}: did not find expected node content")
        } else {
            let close = if message.contains('[') { ']' } else { '}' };
            format!("line {place}: did not find expected ',' or '{close}'")
        }
    } else if message.contains("mapping values are not allowed") {
        format!("{from_one}mapping values are not allowed in this context")
    } else if message.starts_with("unexpected character") {
        format!("{from_one}found character that cannot start any token")
    } else if message.starts_with("unclosed quote") {
        format!("{from_one}found unexpected end of stream")
    } else if let Some((_, found)) = message.split_once("did not find expected ") {
        format!("{from_zero}did not find expected {found}")
    } else if message.contains("unknown anchor") {
        let line = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default();
        let name: String = line
            .chars()
            .skip(column as usize)
            .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '-')
            .collect();
        format!("unknown anchor '{name}' referenced")
    } else {
        format!("line {line}: {message}")
    };
    format!("yaml: {problem}")
}

/// A key as JSON's text: YAML's may be a truth or a number.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Key, E> {
        Ok(Key(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Key, E> {
        Ok(Key(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Key, E> {
        Ok(Key(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Key, E> {
        Ok(Key(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Key, E> {
        Ok(Key(value.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        stacker::maybe_grow(LEVEL_BYTES, MORE_BYTES, || deserializer.deserialize_any(TreeVisitor))
    }
}

struct TreeVisitor;

fn leaf<E>(value: impl Into<Value>) -> Result<Tree, E> {
    Ok(Tree { value: value.into(), repeated: Vec::new() })
}

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        leaf(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        leaf(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        leaf(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        leaf(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        leaf(value)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        leaf(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        leaf(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let (mut list, mut repeated) = (Vec::new(), Vec::new());
        while let Some(mut item) = access.next_element::<Tree>()? {
            list.push(item.value);
            repeated.append(&mut item.repeated);
        }
        Ok(Tree { value: Value::Array(list), repeated })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let (mut map, mut repeated) = (Map::new(), Vec::new());
        while let Some(key) = access.next_key::<Spanned<Key>>()? {
            let (line, Key(key)) = (key.referenced.line(), key.value);
            let mut item = access.next_value::<Tree>()?;
            repeated.append(&mut item.repeated);
            if map.insert(key.clone(), item.value).is_some() {
                repeated.push((line, key));
            }
        }
        if repeated.len() > super::PROBLEMS_AT_MOST {
            return Err(A::Error::custom("too many keys that come twice"));
        }
        Ok(Tree { value: Value::Object(map), repeated })
    }
}

#[cfg(test)]
mod tests {
    use super::to_json;

    #[test]
    fn scalars_keys_and_mistakes_are_those_of_gos_parser() {
        for (text, expect) in [
            ("a: y", r#"{"a":true}"#),
            ("a: 010", r#"{"a":8}"#),
            ("a: 0x1F", r#"{"a":31}"#),
            ("a: 1_000", r#"{"a":1000}"#),
            ("a: 2001-01-01", r#"{"a":"2001-01-01"}"#),
            ("a: 1:30", r#"{"a":"1:30"}"#),
            ("a: 1.0", r#"{"a":1}"#),
            ("a:", r#"{"a":null}"#),
            ("on: 1", r#"{"true":1}"#),
            ("1: x", r#"{"1":"x"}"#),
            ("a: !!str 1", r#"{"a":"1"}"#),
            ("---\na: 1\n---\nb: 2", r#"{"a":1}"#),
            ("# c", "null"),
            ("a: {b: [\n", "yaml: line 1: did not find expected node content"),
            ("a: [1, 2", "yaml: line 1: did not find expected ',' or ']'"),
            ("{a: 1", "yaml: line 1: did not find expected ',' or '}'"),
            ("a: b: c", "yaml: mapping values are not allowed in this context"),
            ("a: 1\n b: 2", "yaml: line 2: mapping values are not allowed in this context"),
            ("a: 'x", "yaml: found unexpected end of stream"),
            ("- a\nb: c", "yaml: line 1: did not find expected '-' indicator"),
            ("a: @x", "yaml: found character that cannot start any token"),
            ("a: *nope", "yaml: unknown anchor 'nope' referenced"),
        ] {
            let got = to_json(text.as_bytes());
            let got = got.map_or_else(|error| error, |(json, _)| String::from_utf8_lossy(&json).into_owned());
            assert_eq!(got, expect, "{text}");
        }
    }
}
