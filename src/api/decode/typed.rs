//! Reads JSON into a tree under a schema: unknown fields are dropped and named, fields that come
//! twice are named, values are checked against their types and brought into canonical form.
//!
//! As Go's decoder, it goes on after a value of the wrong type and tells the first such one in
//! the end; a value that its own type refuses (a quantity, a time) ends it at once.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

use super::PROBLEMS_AT_MOST;
use super::scan::{Scanner, Start, SyntaxError, any_number, literal};
use crate::schema::{Alternative, Field, Object, Place, Scalar, Schema, Type, TypeId};
use crate::value::{Quantity, base64, duration, time::Instant};

/// A step from the whole body towards a value.
enum Step<'s, 'b> {
    Field(&'s Object, &'s Field),
    Key(Cow<'b, str>),
    Index(usize),
}

/// Why reading ends before the end.
pub(super) enum Stop {
    Syntax(SyntaxError),
    Value(String),
}

impl From<SyntaxError> for Stop {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

pub(super) struct Decoder<'s, 'b> {
    scan: Scanner<'b>,
    schema: &'s Schema,
    root: TypeId,
    path: Vec<Step<'s, 'b>>,
    /// The first value of a wrong type.
    wrong: Option<String>,
    /// Unknown fields and fields that came twice; nothing is collected where nobody asks.
    pub(super) problems: Option<Vec<String>>,
}

type Result<T> = std::result::Result<T, Stop>;

impl<'s, 'b> Decoder<'s, 'b> {
    pub(super) fn new(body: &'b [u8], schema: &'s Schema, root: TypeId, strict: bool) -> Self {
        let problems = strict.then(Vec::new);
        Self { scan: Scanner::new(body), schema, root, path: Vec::new(), wrong: None, problems }
    }

    /// Reads the whole body.
    pub(super) fn read(&mut self) -> std::result::Result<Value, String> {
        let mut value = Value::Null;
        let read = self.fill(&Type::Object(self.root), &mut value).and_then(|_| Ok(self.scan.end()?));
        if value.is_null() {
            value = Value::Object(Map::new());
        }
        match (read, self.wrong.take()) {
            (Err(Stop::Syntax(error)), _) => Err(error.to_string()),
            (Err(Stop::Value(error)), _) | (Ok(()), Some(error)) => Err(error),
            (Ok(()), None) => Ok(value),
        }
    }

    /// Reads the next value into `slot`; false where it is `null` or of a wrong type, which
    /// leaves nothing there. What is there already comes of a field that is given twice.
    fn fill(&mut self, ty: &Type, slot: &mut Value) -> Result<bool> {
        let start = self.scan.start()?;
        if start == Start::Null {
            self.scan.word(start)?;
            return Ok(false);
        }
        match ty {
            Type::Scalar(scalar) => match self.scalar(*scalar, start)? {
                Some(value) => *slot = value,
                None => return Ok(false),
            },
            Type::Object(id) if start == Start::Object => {
                if !slot.is_object() {
                    *slot = Value::Object(Map::new());
                }
                if let Value::Object(map) = slot {
                    self.object(*id, map)?;
                }
            }
            Type::List(item) if start == Start::List => *slot = self.list(item, slot.take())?,
            Type::Map(item) if start == Start::Object => *slot = self.map(item, slot.take())?,
            Type::Any if self.schema.structural() => *slot = self.untyped()?,
            Type::Any => *slot = self.scan.any()?,
            Type::Or(alternative, id) => return self.either(*alternative, *id, start, slot),
            Type::Object(_) | Type::List(_) | Type::Map(_) => {
                self.mismatch(start)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn object(&mut self, id: TypeId, map: &mut Map<String, Value>) -> Result<()> {
        let object = self.schema.object(id);
        let mut seen = 0_u128;
        let mut first = true;
        self.scan.enter()?;
        while let Some(key) = self.scan.key(first)? {
            first = false;
            if let Some(at) = object.position(&key) {
                let field = &object.fields[at];
                let bit = 1_u128.checked_shl(u32::try_from(at).unwrap_or(u32::MAX)).unwrap_or(0);
                let mut value = Value::Null;
                if seen & bit != 0 {
                    self.problem("duplicate", &key);
                    value = map.shift_remove(&*key).unwrap_or_default();
                }
                seen |= bit;
                self.path.push(Step::Field(object, field));
                if self.fill(&field.ty, &mut value)? {
                    map.insert(key.into_owned(), value);
                }
                self.path.pop();
            } else if object.preserve_unknown {
                self.kept(key, map)?;
            } else {
                self.problem("unknown", &key);
                self.scan.skip()?;
            }
        }
        Ok(())
    }

    /// A field that no schema lists, in an object that keeps such fields.
    fn kept(&mut self, key: Cow<'b, str>, map: &mut Map<String, Value>) -> Result<()> {
        if map.contains_key(&*key) {
            self.problem("duplicate", &key);
        }
        self.path.push(Step::Key(key.clone()));
        let value = self.untyped()?;
        self.path.pop();
        map.insert(key.into_owned(), value);
        Ok(())
    }

    /// A list. Go reads the items of one that is given twice into those that are there.
    fn list(&mut self, item: &Type, before: Value) -> Result<Value> {
        let mut before = match before {
            Value::Array(list) => list,
            _ => Vec::new(),
        };
        let mut list = Vec::new();
        self.scan.enter()?;
        while self.scan.item(list.is_empty())? {
            self.path.push(Step::Index(list.len()));
            let mut value = before.get_mut(list.len()).map(Value::take).unwrap_or_default();
            if !self.fill(item, &mut value)? {
                value = zero(item);
            }
            self.path.pop();
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    /// A map. Go adds the entries of one that is given twice to those that are there.
    fn map(&mut self, item: &Type, before: Value) -> Result<Value> {
        let mut map = Map::new();
        self.scan.enter()?;
        let mut first = true;
        while let Some(key) = self.scan.key(first)? {
            first = false;
            if map.contains_key(&*key) {
                self.problem("duplicate", &key);
            }
            self.path.push(Step::Key(key.clone()));
            let mut value = Value::Null;
            if !self.fill(item, &mut value)? {
                value = zero(item);
            }
            self.path.pop();
            map.insert(key.into_owned(), value);
        }
        if let Value::Object(before) = before {
            for (key, value) in before {
                map.entry(key).or_insert(value);
            }
        }
        Ok(Value::Object(map))
    }

    /// A value that no schema describes; fields that come twice are named all the same.
    fn untyped(&mut self) -> Result<Value> {
        Ok(match self.scan.start()? {
            Start::Object => {
                let mut map = Map::new();
                self.scan.enter()?;
                while let Some(key) = self.scan.key(map.is_empty())? {
                    self.kept(key, &mut map)?;
                }
                Value::Object(map)
            }
            Start::List => {
                let mut list = Vec::new();
                self.scan.enter()?;
                while self.scan.item(list.is_empty())? {
                    self.path.push(Step::Index(list.len()));
                    list.push(self.untyped()?);
                    self.path.pop();
                }
                Value::Array(list)
            }
            _ => self.scan.any()?,
        })
    }

    fn scalar(&mut self, scalar: Scalar, start: Start) -> Result<Option<Value>> {
        match (scalar, start) {
            (Scalar::Bool, Start::True | Start::False) => {
                self.scan.word(start)?;
                Ok(Some(literal(start)))
            }
            (Scalar::String, Start::String) => Ok(Some(Value::String(self.scan.string()?.into_owned()))),
            (Scalar::Int32 | Scalar::Int64 | Scalar::Float64, Start::Number) => self.number(scalar),
            (Scalar::Bytes, Start::String) => match base64::decode(&self.scan.string()?) {
                Ok(bytes) => Ok(Some(Value::String(base64::encode(&bytes)))),
                Err(error) => {
                    self.wrong.get_or_insert_with(|| error.to_string());
                    Ok(None)
                }
            },
            (Scalar::Quantity, _) => self.quantity().map(Some),
            (Scalar::Time | Scalar::MicroTime | Scalar::Duration, Start::String) => {
                let text = self.scan.string()?;
                canonical(scalar, &text).map(Some).map_err(Stop::Value)
            }
            (Scalar::Time | Scalar::MicroTime | Scalar::Duration, _) => self.refuse(start, "string"),
            (Scalar::IntOrString, Start::String) => Ok(Some(Value::String(self.scan.string()?.into_owned()))),
            (Scalar::IntOrString, Start::Number) => {
                let text = self.scan.number()?;
                let number = text.parse::<i32>().map(Value::from);
                number.map(Some).map_err(|_| Stop::Value(self.described(&format!("number {text}"), "int32")))
            }
            (Scalar::IntOrString, _) => self.refuse(start, "int32"),
            _ => self.mismatch(start).map(|()| None),
        }
    }

    fn number(&mut self, scalar: Scalar) -> Result<Option<Value>> {
        let text = self.scan.number()?;
        let number = match scalar {
            Scalar::Int32 => text.parse::<i32>().ok().map(Value::from),
            Scalar::Int64 => text.parse::<i64>().ok().map(Value::from),
            _ => text.parse::<f64>().ok().and_then(Number::from_f64).map(|_| any_number(text)),
        };
        if number.is_none() {
            let described = self.described(&format!("number {text}"), "");
            self.wrong.get_or_insert(described);
        }
        Ok(number)
    }

    /// Upstream takes the text of whatever stands there, quotes apart.
    fn quantity(&mut self) -> Result<Value> {
        let start = self.scan.at();
        self.scan.skip()?;
        let raw = String::from_utf8_lossy(self.scan.since(start));
        let raw = raw.trim_start_matches([' ', '\t', '\r', '\n']);
        let text = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw);
        canonical(Scalar::Quantity, text).map_err(Stop::Value)
    }

    fn either(
        &mut self,
        alternative: Alternative,
        id: TypeId,
        start: Start,
        slot: &mut Value,
    ) -> Result<bool> {
        // Upstream reads what is inside with another decoder, which names no problems.
        let problems = self.problems.take();
        let read = match (alternative, start) {
            (_, Start::Object) => self.fill(&Type::Object(id), slot),
            (Alternative::Bool, Start::True | Start::False) => {
                self.scan.word(start)?;
                *slot = literal(start);
                Ok(true)
            }
            (Alternative::Bool, _) => Err(Stop::Value("boolean or JSON schema expected".to_owned())),
            (Alternative::List, Start::List) => {
                self.list(&Type::Object(id), Value::Null).map(|list| *slot = list).map(|()| true)
            }
            (Alternative::Strings, Start::List) => {
                self.list(&Type::Scalar(Scalar::String), Value::Null).map(|list| *slot = list).map(|()| true)
            }
            // Upstream overlooks anything else.
            _ => self.scan.skip().map(|()| false).map_err(Stop::from),
        };
        self.problems = problems;
        read
    }

    /// Notes a value of a wrong type and reads over it.
    fn mismatch(&mut self, start: Start) -> Result<()> {
        let described = self.described(word(start), "");
        self.wrong.get_or_insert(described);
        Ok(self.scan.skip()?)
    }

    /// Ends at a value that its own type refuses.
    fn refuse<T>(&mut self, start: Start, go: &str) -> Result<T> {
        Err(Stop::Value(self.described(word(start), go)))
    }

    /// The words for a value of a wrong type; `go` is Go's type where it is not the schema's.
    fn described(&self, what: &str, go: &str) -> String {
        let mut fields = Vec::new();
        let mut object = None;
        let mut ty = (Cow::Borrowed(""), &Type::Object(self.root));
        for step in &self.path {
            match step {
                Step::Field(within, field) => {
                    object = Some(*within);
                    fields.extend(embedding(field));
                    fields.push(&field.name);
                    let go = field.go.as_deref().unwrap_or_default();
                    ty = (Cow::Borrowed(go), &field.ty);
                }
                Step::Key(_) | Step::Index(_) => ty = (inner_name(ty.0), inner_type(ty.1)),
            }
        }
        let go = if !go.is_empty() {
            Cow::Borrowed(go)
        } else if ty.0.is_empty() {
            Cow::Owned(go_name(self.schema, ty.1))
        } else {
            ty.0
        };
        match object {
            Some(object) => {
                let path = fields.join(".");
                format!(
                    "json: cannot unmarshal {what} into Go struct field {}.{path} of type {go}",
                    object.name
                )
            }
            None => format!("json: cannot unmarshal {what} into Go value of type {go}"),
        }
    }

    fn problem(&mut self, what: &str, key: &str) {
        let path = &self.path;
        let Some(problems) = self.problems.as_mut().filter(|p| p.len() < PROBLEMS_AT_MOST) else { return };
        let mut text = String::new();
        for step in path {
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Field(_, field) if text.is_empty() => write!(text, "{}", field.name),
                Step::Field(_, field) => write!(text, ".{}", field.name),
                Step::Key(key) if text.is_empty() => write!(text, "{key}"),
                Step::Key(key) => write!(text, ".{key}"),
                Step::Index(at) => write!(text, "[{at}]"),
            };
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(key);
        let problem = format!("{what} field {}", super::quote(&text));
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
}

/// Go's names of the inlined structs that a field is in.
fn embedding(field: &Field) -> Option<&str> {
    match &field.embedded {
        Some(embedded) => Some(embedded),
        None if field.place == Place::JsonOnly && matches!(&*field.name, "kind" | "apiVersion") => {
            Some("TypeMeta")
        }
        None => None,
    }
}

/// Go's name of an item's type, where the name of the list's or map's type shows it.
fn inner_name(go: Cow<'_, str>) -> Cow<'_, str> {
    let inner =
        go.strip_prefix("[]").or_else(|| go.strip_prefix("map[")?.split_once(']').map(|(_, item)| item));
    inner.map_or(Cow::Borrowed(""), |inner| Cow::Owned(inner.to_owned()))
}

fn inner_type(ty: &Type) -> &Type {
    match ty {
        Type::List(item) | Type::Map(item) => item,
        other => other,
    }
}

/// Go's name of a type that has none of its own.
fn go_name(schema: &Schema, ty: &Type) -> String {
    match ty {
        Type::List(item) => format!("[]{}", go_name(schema, item)),
        Type::Map(item) => format!("map[string]{}", go_name(schema, item)),
        Type::Object(id) | Type::Or(_, id) => {
            let definition = &schema.object(*id).definition;
            let start = definition.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
            definition[start..].to_owned()
        }
        Type::Any => "runtime.RawExtension".to_owned(),
        Type::Scalar(scalar) => match scalar {
            Scalar::Bool => "bool",
            Scalar::Int32 => "int32",
            Scalar::Int64 => "int64",
            Scalar::Float64 => "float64",
            Scalar::String => "string",
            Scalar::Bytes => "[]uint8",
            Scalar::Time => "v1.Time",
            Scalar::MicroTime => "v1.MicroTime",
            Scalar::Duration => "v1.Duration",
            Scalar::Quantity => "resource.Quantity",
            Scalar::IntOrString => "intstr.IntOrString",
        }
        .to_owned(),
    }
}

fn word(start: Start) -> &'static str {
    match start {
        Start::Object => "object",
        Start::List => "array",
        Start::String => "string",
        Start::Number => "number",
        Start::True | Start::False => "bool",
        Start::Null => "null",
    }
}

/// What Go holds for a list's or map's item that is `null`.
pub(crate) fn zero(ty: &Type) -> Value {
    match ty {
        Type::Object(_) => Value::Object(Map::new()),
        Type::Scalar(scalar) => match scalar {
            Scalar::Bool => false.into(),
            Scalar::Int32 | Scalar::Int64 | Scalar::Float64 | Scalar::IntOrString => 0.into(),
            Scalar::String | Scalar::Bytes => "".into(),
            Scalar::Quantity => "0".into(),
            Scalar::Duration => "0s".into(),
            Scalar::Time | Scalar::MicroTime => Value::Null,
        },
        _ => Value::Null,
    }
}

/// The canonical form of a text whose type has one; Go's zero time is `null`.
///
/// # Errors
/// Why the type refuses the text.
pub(crate) fn canonical(scalar: Scalar, text: &str) -> std::result::Result<Value, String> {
    let print = |instant: Instant, print: fn(Instant) -> String| {
        if instant.is_zero() { Value::Null } else { Value::String(print(instant)) }
    };
    match scalar {
        Scalar::Quantity => {
            Quantity::parse(text.trim()).map(|q| q.to_string().into()).map_err(|e| e.to_string())
        }
        Scalar::Time => Instant::parse(text).map(|t| print(t, Instant::print)).map_err(|e| e.to_string()),
        Scalar::MicroTime => {
            Instant::parse_micro(text).map(|t| print(t, Instant::print_micro)).map_err(|e| e.to_string())
        }
        Scalar::Duration => {
            duration::parse(text).map(|d| duration::print(d).into()).map_err(|e| e.to_string())
        }
        _ => Ok(text.into()),
    }
}
