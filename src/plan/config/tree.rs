//! A YAML document as a tree whose every node knows where it stands.
//!
//! Owns the door to the YAML library: one document, string keys, no duplicate keys, no merge keys
//! and no aliases that would blow up, all bounded. Knows nothing of clusters; every mistake of
//! syntax leaves here with a line and a column.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Error, Location, Options, Spanned};

use super::diagnostic::Mistake;
use super::limits;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// Where something stands in the text; lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
    /// Characters covered; may run over the line's end.
    pub(super) length: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing after the colon, `~` or `null`.
    Null,
    Bool(bool),
    /// Any whole number that fits 128 bits.
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) place: Place,
}

/// A mistake of syntax: no tree came out.
#[derive(Debug)]
pub(super) struct SyntaxMistake {
    pub(super) place: Place,
    pub(super) mistake: Mistake,
}

impl Value {
    /// What it is, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// Reads one document. An empty one is an empty mapping.
pub(super) fn read(text: &str) -> Result<Node, SyntaxMistake> {
    if text.len() > limits::MAX_FILE_BYTES {
        return Err(too_large(text.len()));
    }
    match serde_yaml::from_str_with_options::<Spanned<Value>>(text, options()) {
        Ok(root) => Ok(node(root)),
        Err(error) => Err(syntax(error.without_snippet(), text)),
    }
}

fn options() -> Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_events: 50_000,
            max_nodes: 20_000,
            max_depth: 32,
            max_aliases: 200,
            max_anchors: 200,
        },
        duplicate_keys: serde_yaml::DuplicateKeyPolicy::Error,
        merge_keys: serde_yaml::MergeKeyPolicy::Error,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: serde_yaml::options::NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    }
}

fn too_large(bytes: usize) -> SyntaxMistake {
    SyntaxMistake {
        place: Place { line: 1, column: 1, length: 1 },
        mistake: Mistake::new(
            format!("the file has {bytes} bytes"),
            format!("a cluster.yaml has at most {}", limits::MAX_FILE_BYTES),
        ),
    }
}

/// Puts the library's findings into our words where ours say what to do.
fn syntax(error: &Error, text: &str) -> SyntaxMistake {
    let place = error.location().map_or(Place { line: 1, column: 1, length: 1 }, place_of);
    let mistake = match error {
        Error::DuplicateMappingKey { key, .. } => Mistake::new(
            format!("{} is written twice", quoted(key.as_deref().unwrap_or("this key"))),
            "keep one of the two",
        ),
        Error::MultipleDocuments { .. } => {
            Mistake::new("a second document begins here", "write one cluster per file, without `---` between")
        }
        Error::MergeKeyNotAllowed { .. } => Mistake::new(
            "merge keys (`<<`) are not read",
            "write the fields out, or give the whole value an anchor",
        ),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => too_deep(),
        Error::UnknownAnchor { .. } => Mistake::new(
            "the alias names no anchor",
            "define it above with `&NAME`, or put the text in quotes",
        ),
        other => return unreadable(other, place, text),
    };
    SyntaxMistake { place, mistake }
}

/// What is not YAML at all, or not YAML we read.
fn unreadable(error: &Error, place: Place, text: &str) -> SyntaxMistake {
    let said = plain(error);
    let mistake = match said.strip_prefix(KEY_IS) {
        Some(kind) => Mistake::new(
            format!("{kind} stands where a field's name belongs"),
            "write a name, in quotes if it looks like something else",
        ),
        None if said.starts_with("budget breached") => too_deep(),
        None => match tab_near(text, place) {
            Some(tab) => return tab,
            None => {
                Mistake::new(format!("this is not YAML: {said}"), "mend the line shown, or the one before it")
            }
        },
    };
    SyntaxMistake { place, mistake }
}

fn too_deep() -> Mistake {
    Mistake::new(
        "the document is too large or too deep, its aliases expanded",
        "write fewer or smaller parts",
    )
}

/// How the tree's own visitor reports a key that is not text.
const KEY_IS: &str = "a key is ";

/// The library's message without its own "at line …" suffix.
fn plain(error: &Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    match first.find(" at line ") {
        Some(end) => first[..end].to_owned(),
        None => first.to_owned(),
    }
}

/// The lines as YAML counts them: a lone carriage return ends one too.
pub(super) fn lines(text: &str) -> Vec<&str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')).collect()
}

/// A tab in the indentation of the line, or of the one after it: YAML knows none there.
fn tab_near(text: &str, place: Place) -> Option<SyntaxMistake> {
    let (line, column) =
        lines(text).into_iter().enumerate().skip(place.line.saturating_sub(1)).take(2).find_map(
            |(index, line)| {
                let indent = line.len() - line.trim_start().len();
                line[..indent].chars().position(|c| c == '\t').map(|tab| (index + 1, tab + 1))
            },
        )?;
    Some(SyntaxMistake {
        place: Place { line, column, length: 1 },
        mistake: Mistake::new("the line is indented with a tab", "indent it with spaces"),
    })
}

pub(super) fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn node(spanned: Spanned<Value>) -> Node {
    Node { place: place_of(spanned.defined), value: spanned.value }
}

fn place_of(location: Location) -> Place {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Place {
        line: number(location.line()).max(1),
        column: number(location.column()).max(1),
        length: number(location.span().len()).max(1),
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Value, E> {
        i128::try_from(value).map(Value::Integer).map_err(|_| E::custom("the number is too large"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Value>>()? {
            list.push(node(item));
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut mapping = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<Value>>()? {
            let key = node(key);
            let Value::Text(name) = key.value else {
                return Err(A::Error::custom(format!("{KEY_IS}{}", key.value.kind())));
            };
            let key = Key { name, place: key.place };
            mapping.push((key, node(entries.next_value::<Spanned<Value>>()?)));
        }
        Ok(Value::Mapping(mapping))
    }
}
