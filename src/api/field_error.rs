//! One thing wrong with one field, in upstream's words, and the cursor that rules walk with.
//!
//! [`At`] is a value with the path that leads to it; rules read it and put what they find
//! into [`Errors`]. Absent and `null` read as Go's zero value, as they do upstream.

use std::fmt::{self, Display, Write as _};
use std::rc::Rc;

use serde_json::Value;

/// What kind of mistake it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What is referred to is not there.
    NotFound,
    /// Must be given.
    Required,
    /// Is there twice.
    Duplicate,
    /// Not of the right form.
    Invalid,
    /// Not of the right form as a whole: the value is not shown.
    InvalidWhole,
    /// None of the values that are known.
    NotSupported,
    /// Not allowed here.
    Forbidden,
    /// Too many bytes or characters.
    TooLong,
    /// Too many items.
    TooMany,
    /// Too few items.
    TooFew,
    /// Too few characters.
    TooShort,
    /// Not our client's fault.
    Internal,
    /// Not of the schema's type.
    TypeInvalid,
}

impl ErrorKind {
    /// The `reason` of a Status's cause.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid | Self::InvalidWhole => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::TooShort => "FieldValueTooShort",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::InvalidWhole | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::TooShort => "Too short",
            Self::Internal => "Internal error",
        }
    }

    fn shows_value(self) -> bool {
        !matches!(
            self,
            Self::Required
                | Self::Forbidden
                | Self::InvalidWhole
                | Self::TooLong
                | Self::TooShort
                | Self::Internal
        )
    }
}

/// Upstream's `field.Error`.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// What kind of mistake.
    pub kind: ErrorKind,
    /// Where, as `spec.containers[0].name`.
    pub path: String,
    /// The value found; not shown by every kind.
    pub value: Value,
    /// What would be right; may be empty.
    pub detail: String,
}

impl FieldError {
    /// The text after the path: `Invalid value: -1: must be …`.
    #[must_use]
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        if self.kind.shows_value() {
            text.push_str(": ");
            text.push_str(&shown(&self.value));
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

/// A value as Go prints it: text by `%q`, the rest as JSON with `<`, `>`, `&` escaped.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        other => go_json(other),
    }
}

/// JSON as Go's encoder writes it, HTML's three characters escaped.
#[must_use]
pub fn go_json(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Go's `%q`.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii() && c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Where a value lies. Cheap to copy: a list linked towards the root.
#[derive(Debug, Clone)]
pub struct Path(Option<Rc<Node>>);

#[derive(Debug)]
struct Node {
    parent: Path,
    part: Part,
}

#[derive(Debug)]
enum Part {
    Field(&'static str),
    Named(String),
    Index(usize),
    Key(String),
}

impl Path {
    /// The object itself, which has no name.
    pub const ROOT: Self = Self(None);

    /// The path of dotted static names, `spec.template.spec`.
    #[must_use]
    pub fn of(names: &'static str) -> Self {
        names.split('.').fold(Self::ROOT, |path, name| path.child(name))
    }

    fn with(&self, part: Part) -> Self {
        Self(Some(Rc::new(Node { parent: self.clone(), part })))
    }

    /// A field below.
    #[must_use]
    pub fn child(&self, name: &'static str) -> Self {
        self.with(Part::Field(name))
    }

    /// A field below by a name that is not known before.
    #[must_use]
    pub fn dotted(&self, name: &str) -> Self {
        self.with(Part::Named(name.to_owned()))
    }

    /// An item of the list here.
    #[must_use]
    pub fn index(&self, at: usize) -> Self {
        self.with(Part::Index(at))
    }

    /// An entry of the map here.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Part::Key(key.to_owned()))
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(node) = &self.0 else { return Ok(()) };
        node.parent.fmt(f)?;
        match &node.part {
            Part::Field(name) if node.parent.0.is_some() => write!(f, ".{name}"),
            Part::Field(name) => f.write_str(name),
            Part::Named(name) => write!(f, ".{name}"),
            Part::Index(at) => write!(f, "[{at}]"),
            Part::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// A value (absent and `null` alike are none) and where it is.
#[derive(Debug, Clone)]
pub struct At<'a> {
    /// The value.
    pub value: Option<&'a Value>,
    /// Where it is.
    pub path: Path,
}

impl<'a> At<'a> {
    /// An object as a whole.
    #[must_use]
    pub fn root(object: &'a Value) -> Self {
        Self { value: Some(object), path: Path::ROOT }
    }

    /// A value that is known to be at `path`.
    #[must_use]
    pub fn new(value: Option<&'a Value>, path: Path) -> Self {
        Self { value: value.filter(|v| !v.is_null()), path }
    }

    /// The field of this name; a dot leads further down.
    #[must_use]
    pub fn get(&self, names: &'static str) -> Self {
        names
            .split('.')
            .fold(self.clone(), |at, name| Self::new(at.value.and_then(|v| v.get(name)), at.path.child(name)))
    }

    /// The same value under another path.
    #[must_use]
    pub fn under(&self, path: Path) -> Self {
        Self { value: self.value, path }
    }

    /// Whether anything is there.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.value.is_some()
    }

    /// Whether it is absent, or Go's zero value: "", 0, false, no items.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self.value {
            None | Some(Value::Null | Value::Bool(false)) => true,
            Some(Value::Bool(true)) => false,
            Some(Value::Number(n)) => n.as_f64() == Some(0.0),
            Some(Value::String(s)) => s.is_empty(),
            Some(Value::Array(a)) => a.is_empty(),
            Some(Value::Object(o)) => o.is_empty(),
        }
    }

    /// Its text, or "".
    #[must_use]
    pub fn str(&self) -> &'a str {
        self.value.and_then(Value::as_str).unwrap_or_default()
    }

    /// Its number, or 0.
    #[must_use]
    pub fn int(&self) -> i64 {
        self.value.and_then(Value::as_i64).unwrap_or_default()
    }

    /// Its number, if there is one.
    #[must_use]
    pub fn opt_int(&self) -> Option<i64> {
        self.value.and_then(Value::as_i64)
    }

    /// Whether it is true.
    #[must_use]
    pub fn bool(&self) -> bool {
        self.value.and_then(Value::as_bool).unwrap_or_default()
    }

    /// The items of a list.
    pub fn items(&self) -> impl DoubleEndedIterator<Item = At<'a>> + ExactSizeIterator + use<'a> {
        let path = self.path.clone();
        let items = self.value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        items.iter().enumerate().map(move |(i, v)| At::new(Some(v), path.index(i)))
    }

    /// How many items or entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.value {
            Some(Value::Array(a)) => a.len(),
            Some(Value::Object(o)) => o.len(),
            _ => 0,
        }
    }

    /// A map's entries, each at `path[key]`, by key.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'a str, At<'a>)> {
        let Some(map) = self.value.and_then(Value::as_object) else { return Vec::new() };
        let mut all: Vec<_> =
            map.iter().map(|(k, v)| (k.as_str(), At::new(Some(v), self.path.key(k)))).collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }

    /// Whether `value` is what is here.
    #[must_use]
    pub fn is(&self, value: &str) -> bool {
        self.str() == value
    }

    /// What an error shows: the value, or `fallback` where there is none.
    fn bad(&self) -> Value {
        self.value.cloned().unwrap_or_else(|| Value::String(String::new()))
    }
}

/// What was found wrong, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Errors(pub Vec<FieldError>);

impl Errors {
    /// Nothing wrong yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many things are wrong.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn put(&mut self, kind: ErrorKind, path: &Path, value: Value, detail: impl Into<String>) {
        self.0.push(FieldError { kind, path: path.to_string(), value, detail: detail.into() });
    }

    /// Must be given.
    pub fn required(&mut self, path: &Path, detail: impl Into<String>) {
        self.put(ErrorKind::Required, path, Value::String(String::new()), detail);
    }

    /// Not of the right form.
    pub fn invalid(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.put(ErrorKind::Invalid, &at.path, at.bad(), detail);
    }

    /// Not of the right form, showing another value than the one that is there.
    pub fn invalid_as(&mut self, path: &Path, value: impl Into<Value>, detail: impl Into<String>) {
        self.put(ErrorKind::Invalid, path, value.into(), detail);
    }

    /// Not of the right form, in each of these ways.
    pub fn invalid_each(&mut self, at: &At<'_>, details: impl IntoIterator<Item = String>) {
        for detail in details {
            self.invalid(at, detail);
        }
    }

    /// Not of the right form as a whole.
    pub fn invalid_whole(&mut self, path: &Path, detail: impl Into<String>) {
        self.put(ErrorKind::InvalidWhole, path, Value::Null, detail);
    }

    /// Not of the right form in each of these ways, showing another value.
    pub fn invalid_each_as(&mut self, at: &At<'_>, value: &str, details: impl IntoIterator<Item = String>) {
        for detail in details {
            self.invalid_as(&at.path, value, detail);
        }
    }

    /// None of the values that are known; they are listed as given (upstream sorts most).
    pub fn not_supported(&mut self, at: &At<'_>, known: &[&str]) {
        let listed: Vec<String> = known.iter().map(|v| quote(v)).collect();
        let detail =
            if known.is_empty() { String::new() } else { format!("supported values: {}", listed.join(", ")) };
        self.put(ErrorKind::NotSupported, &at.path, at.bad(), detail);
    }

    /// Must be one of these; says whether it is.
    pub fn one_of(&mut self, at: &At<'_>, known: &[&str]) -> bool {
        let fine = known.contains(&at.str());
        if !fine {
            self.not_supported(at, known);
        }
        fine
    }

    /// Is there twice.
    pub fn duplicate(&mut self, path: &Path, value: impl Into<Value>) {
        self.put(ErrorKind::Duplicate, path, value.into(), "");
    }

    /// What is referred to is not there.
    pub fn not_found(&mut self, path: &Path, value: impl Into<Value>) {
        self.put(ErrorKind::NotFound, path, value.into(), "");
    }

    /// Not allowed here.
    pub fn forbidden(&mut self, path: &Path, detail: impl Into<String>) {
        self.put(ErrorKind::Forbidden, path, Value::String(String::new()), detail);
    }

    /// More bytes than `at_most`.
    pub fn too_long(&mut self, path: &Path, at_most: usize) {
        let unit = if at_most == 1 { "byte" } else { "bytes" };
        let omitted = Value::String("<value omitted>".to_owned());
        self.put(ErrorKind::TooLong, path, omitted, format!("may not be more than {at_most} {unit}"));
    }

    /// More characters than `at_most`.
    pub fn too_long_characters(&mut self, path: &Path, at_most: usize) {
        let unit = if at_most == 1 { "character" } else { "characters" };
        let omitted = Value::String("<value omitted>".to_owned());
        self.put(ErrorKind::TooLong, path, omitted, format!("may not be more than {at_most} {unit}"));
    }

    /// Fewer characters than `at_least`.
    pub fn too_short(&mut self, at: &At<'_>, at_least: usize) {
        let unit = if at_least == 1 { "character" } else { "characters" };
        self.put(ErrorKind::TooShort, &at.path, at.bad(), format!("must be at least {at_least} {unit}"));
    }

    /// More items than `at_most`.
    pub fn too_many(&mut self, path: &Path, found: usize, at_most: usize) {
        let unit = if at_most == 1 { "item" } else { "items" };
        self.put(ErrorKind::TooMany, path, found.into(), format!("must have at most {at_most} {unit}"));
    }

    /// Fewer items than `at_least`.
    pub fn too_few(&mut self, path: &Path, found: usize, at_least: usize) {
        let unit = if at_least == 1 { "item" } else { "items" };
        self.put(ErrorKind::TooFew, path, found.into(), format!("must have at least {at_least} {unit}"));
    }

    /// The server's own fault.
    pub fn internal(&mut self, path: &Path, detail: impl Into<String>) {
        self.put(ErrorKind::Internal, path, Value::Null, detail);
    }

    /// Not of the schema's type.
    pub fn type_invalid(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.put(ErrorKind::TypeInvalid, &at.path, at.bad(), detail);
    }

    /// Adds what another look found.
    pub fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Without what is said twice; the order stays.
    #[must_use]
    pub fn distinct(self) -> Self {
        let mut seen = std::collections::BTreeSet::new();
        Self(self.0.into_iter().filter(|error| seen.insert(error.to_string())).collect())
    }

    /// One line a mistake, for tests and logs.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_mistake_has_upstreams_words() {
        let object =
            json!({"spec": {"replicas": -1, "type": "x<y", "ports": [{"name": "a\n"}], "map": {"k.k": 1}}});
        let (root, mut e) = (At::root(&object), Errors::new());
        let spec = root.get("spec");
        e.invalid(&spec.get("replicas"), "must be greater than or equal to 0");
        e.not_supported(&spec.get("type"), &["ClusterIP", "NodePort"]);
        e.invalid(&spec.get("missing"), "");
        for port in spec.get("ports").items() {
            e.duplicate(&port.get("name").path, port.get("name").str());
            e.invalid_as(&port.path, port.value.cloned().unwrap(), "no");
        }
        for (_, entry) in spec.get("map").entries() {
            e.required(&entry.path, "");
        }
        e.forbidden(&spec.path, "may not be more than it is");
        e.too_long(&spec.path, 1);
        e.too_many(&spec.path, 3, 2);
        e.too_few(&spec.path, 0, 1);
        e.not_found(&spec.path, "x");
        e.invalid_as(&spec.path, json!({"a": "<"}), "");
        assert_eq!(
            e.lines(),
            [
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.type: Unsupported value: \"x<y\": supported values: \"ClusterIP\", \"NodePort\"",
                "spec.missing: Invalid value: \"\"",
                "spec.ports[0].name: Duplicate value: \"a\\n\"",
                "spec.ports[0]: Invalid value: {\"name\":\"a\\n\"}: no",
                "spec.map[k.k]: Required value",
                "spec: Forbidden: may not be more than it is",
                "spec: Too long: may not be more than 1 byte",
                "spec: Too many: 3: must have at most 2 items",
                "spec: Too few: 0: must have at least 1 item",
                "spec: Not found: \"x\"",
                "spec: Invalid value: {\"a\":\"\\u003c\"}",
            ]
        );
    }

    #[test]
    fn a_mistake_said_twice_is_said_once() {
        let mut e = Errors::new();
        e.required(&Path::of("metadata.name"), "x");
        e.forbidden(&Path::of("spec"), "y");
        e.required(&Path::of("metadata.name"), "x");
        assert_eq!(e.distinct().lines(), ["metadata.name: Required value: x", "spec: Forbidden: y"]);
    }
}
