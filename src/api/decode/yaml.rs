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
    let text = std::str::from_utf8(body).map_err(|_| words("yaml: invalid UTF-8"))?;
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
    let tree: Tree =
        serde_yaml::from_str_with_options(text, options).map_err(|error| words(&error.to_string()))?;
    let repeated = tree
        .repeated
        .iter()
        .map(|(line, key)| format!("line {line}: key {} already set in map", super::quote(key)));
    Ok((crate::canonical::to_vec(&tree.value), repeated.collect()))
}

fn words(error: &str) -> String {
    format!("error converting YAML to JSON: yaml: {error}")
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
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let line = key.referenced.line();
            let mut item = access.next_value::<Tree>()?;
            repeated.append(&mut item.repeated);
            if map.insert(key.value.clone(), item.value).is_some() {
                repeated.push((line, key.value));
            }
        }
        if repeated.len() > super::PROBLEMS_AT_MOST {
            return Err(A::Error::custom("too many keys that come twice"));
        }
        Ok(Tree { value: Value::Object(map), repeated })
    }
}
