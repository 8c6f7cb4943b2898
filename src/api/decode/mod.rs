//! Request bodies to trees: JSON, YAML and protobuf, strict or lenient, refused in upstream's
//! words.
//!
//! [`decode`] reads a body as one type. [`request`] does what a handler needs around it: it finds
//! the kind that the body says, compares it with the kind that the address asks for, and words
//! every refusal as the message of a 400 answer. Every function here takes hostile input: nesting
//! is bounded ([`MAX_DEPTH`]), sizes are the caller's to bound, nothing panics.

use serde_json::Value;

use crate::protobuf;
use crate::schema::{Schema, TypeId};

mod scan;
mod typed;
mod words;
mod yaml;

pub use scan::MAX_DEPTH;
pub(crate) use typed::{canonical, zero};

use scan::{Scanner, Start};
use typed::Decoder;

/// Problems named of one body at most; upstream's bound.
const PROBLEMS_AT_MOST: usize = 100;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

/// What becomes of unknown fields and of fields that are given twice (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Nothing is said.
    Ignore,
    /// Each is a warning.
    Warn,
    /// Each refuses the request.
    Strict,
}

/// A body that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The object: known fields only, values in canonical form, fields in the body's order.
    pub value: Value,
    /// Unknown and repeated fields, at most a hundred, unless they are to be ignored:
    /// `unknown field "spec.foo"`, `duplicate field "spec.replicas"`.
    pub problems: Vec<String>,
}

/// A body that cannot be read, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);

/// The kind that an address asks for.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The schema of all kinds that a body may be of.
    pub schema: &'a Schema,
    /// The type of the kind.
    pub ty: TypeId,
    /// Its group, empty for the first one.
    pub group: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its name.
    pub kind: &'a str,
}

/// Reads a body as one type. `apiVersion` and `kind` are fields like others here.
///
/// # Errors
/// A body that is not of the media type, or has a value of a wrong type; with
/// [`Strictness::Strict`] also one with unknown or repeated fields.
pub fn decode(
    body: &[u8],
    media: Media,
    schema: &Schema,
    ty: TypeId,
    strictness: Strictness,
) -> Result<Decoded, DecodeError> {
    match media {
        Media::Json => json(body, schema, ty, strictness, Vec::new()),
        Media::Yaml => {
            let (body, repeated) = yaml::to_json(body).map_err(DecodeError)?;
            json(&body, schema, ty, strictness, repeated)
        }
        Media::Protobuf => {
            let value = protobuf::open(body).and_then(|envelope| protobuf::decode(&envelope.raw, schema, ty));
            let value = value.map_err(|error| DecodeError(error.to_string()))?;
            Ok(Decoded { value, problems: Vec::new() })
        }
    }
}

/// Reads JSON; `repeated` are the keys that came twice in what it was made of.
fn json(
    body: &[u8],
    schema: &Schema,
    ty: TypeId,
    strictness: Strictness,
    mut repeated: Vec<String>,
) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::new(body, schema, ty, strictness != Strictness::Ignore);
    let value = decoder.read().map_err(DecodeError)?;
    let mut problems = decoder.problems.unwrap_or_default();
    if strictness == Strictness::Strict && !(repeated.is_empty() && problems.is_empty()) {
        if !repeated.is_empty() {
            let lines = repeated.join("\n  ");
            let error = format!("yaml: unmarshal errors:\n  {lines}");
            problems.insert(0, error);
        }
        return Err(DecodeError(format!("strict decoding error: {}", problems.join(", "))));
    }
    if strictness == Strictness::Warn {
        repeated.append(&mut problems);
    }
    Ok(Decoded { value, problems: repeated })
}

/// Reads a body of the kind that an address asks for. A body that does not say its kind is taken
/// to be of that one, and says it afterwards.
///
/// # Errors
/// The message of upstream's 400 answer.
pub fn request(
    body: &[u8],
    media: Media,
    expected: &Expected<'_>,
    strictness: Strictness,
) -> Result<Decoded, DecodeError> {
    if media == Media::Yaml {
        return from_yaml(body, expected, strictness);
    }
    let (named, repeated) = (named_kind(body, media), Vec::new());
    checked(body, media, expected, strictness, named, repeated)
}

fn from_yaml(body: &[u8], expected: &Expected<'_>, strictness: Strictness) -> Result<Decoded, DecodeError> {
    let (json, repeated) = yaml::to_json(body).map_err(|error| unrecognized(body, expected, &error))?;
    let repeated = if strictness == Strictness::Ignore { Vec::new() } else { repeated };
    let named = named_kind(&json, Media::Json);
    checked(&json, Media::Json, expected, strictness, named, repeated)
}

/// The rest of [`request`], once the body's own words for its kind are read.
fn checked(
    body: &[u8],
    media: Media,
    expected: &Expected<'_>,
    strictness: Strictness,
    named: Result<Named, String>,
    repeated: Vec<String>,
) -> Result<Decoded, DecodeError> {
    let named = named.map_err(|error| unrecognized(body, expected, &error))?;
    let (group, version) = match named.api_version.as_str() {
        "" => (expected.group, expected.version),
        text => group_version(text).map_err(|error| unrecognized(body, expected, &error))?,
    };
    let kind = if named.kind.is_empty() { expected.kind } else { &named.kind };
    let refuse = |error: &dyn std::fmt::Display| {
        DecodeError(format!(
            "{kind} in version {} cannot be handled as a {}: {error}",
            quote(version),
            expected.kind
        ))
    };
    let same = (group, version, kind) == (expected.group, expected.version, expected.kind);
    let other = || words::is_other_version((group, version, kind), (expected.group, expected.kind));
    let ty = match expected.schema.find_kind(group, version, kind) {
        _ if same || other() => expected.ty,
        Some(ty) if words::shares_scheme(group, expected.group) => ty,
        _ => return Err(refuse(&words::not_registered(group, version, kind, expected.group))),
    };
    let decoded = match media {
        Media::Protobuf => decode(body, media, expected.schema, ty, strictness),
        _ => json(body, expected.schema, ty, strictness, repeated),
    };
    let mut decoded = decoded.map_err(|error| refuse(&error))?;
    if !same {
        let error = words::conversion((group, version, kind), (expected.group, expected.kind));
        if let Some(error) = error.filter(|_| !other()) {
            return Err(refuse(&error));
        }
        let (data, wanted) = (words::joined(group, version), words::joined(expected.group, expected.version));
        return Err(DecodeError(format!(
            "the API version in the data ({data}) does not match the expected API version ({wanted})"
        )));
    }
    if let Value::Object(map) = &mut decoded.value {
        map.insert("apiVersion".to_owned(), words::joined(group, version).into());
        map.insert("kind".to_owned(), kind.into());
    }
    Ok(decoded)
}

/// JSON without a type; nothing where it is none.
pub(crate) fn any(body: &[u8]) -> Option<Value> {
    let mut scan = Scanner::new(body);
    let value = scan.any().ok()?;
    scan.end().ok().map(|()| value)
}

/// Reads a body of a custom resource's kind without a type: fields that come twice are named,
/// whatever the strictness makes of them later.
///
/// # Errors
/// The message of upstream's 400 answer.
pub(crate) fn untyped(
    body: &[u8],
    media: Media,
    named: &crate::structural::Named<'_>,
    strictness: Strictness,
) -> Result<Decoded, DecodeError> {
    let crate::structural::Named { group, version, kind } = *named;
    let (schema, ty) = open_type();
    let expected = Expected { schema, ty, group, version, kind };
    let (made, mut problems) = match media {
        Media::Json => (None, Vec::new()),
        Media::Yaml => yaml::to_json(body)
            .map(|(json, repeated)| (Some(json), repeated))
            .map_err(|error| unrecognized(body, &expected, &error))?,
        // Upstream's store of custom resources has no protobuf either.
        Media::Protobuf => {
            return Err(unrecognized(body, &expected, "custom resources have no protobuf form"));
        }
    };
    let json = made.as_deref().unwrap_or(body);
    let found = named_kind(json, Media::Json).map_err(|error| unrecognized(body, &expected, &error))?;
    if found.kind.is_empty() {
        let error = format!("Object 'Kind' is missing in '{}'", String::from_utf8_lossy(json));
        return Err(unrecognized(body, &expected, &error));
    }
    let wanted = words::joined(group, version);
    if found.api_version != wanted {
        return Err(DecodeError(format!(
            "the API version in the data ({}) does not match the expected API version ({wanted})",
            found.api_version
        )));
    }
    let mut decoder = Decoder::new(json, schema, ty, strictness != Strictness::Ignore);
    let value = decoder.read().map_err(DecodeError)?;
    problems.extend(decoder.problems.unwrap_or_default());
    if strictness == Strictness::Ignore {
        problems.clear();
    }
    Ok(Decoded { value, problems })
}

/// A type that holds anything.
fn open_type() -> (&'static Schema, TypeId) {
    static OPEN: std::sync::LazyLock<(Schema, TypeId)> = std::sync::LazyLock::new(|| {
        let mut schema = Schema::for_custom_resource();
        let mut object = crate::schema::Object::default();
        object.preserve_unknown = true;
        let ty = schema.add(object);
        (schema, ty)
    });
    (&OPEN.0, OPEN.1)
}

/// What a body says of its kind.
#[derive(Default)]
struct Named {
    api_version: String,
    kind: String,
}

/// Checks a body's syntax and finds its kind. Upstream finds these two without regard to case.
fn named_kind(body: &[u8], media: Media) -> Result<Named, String> {
    if media == Media::Protobuf {
        let envelope = protobuf::open(body).map_err(|error| error.to_string())?;
        return Ok(Named { api_version: envelope.api_version, kind: envelope.kind });
    }
    find_kind(body).map_err(|error| format!("couldn't get version/kind; json parse error: {error}"))
}

fn find_kind(body: &[u8]) -> Result<Named, String> {
    let mut scan = Scanner::new(body);
    let mut named = Named::default();
    let mut wrong = None;
    let start = scan.start().map_err(|e| e.to_string())?;
    if start != Start::Object {
        scan.skip().and_then(|()| scan.end()).map_err(|e| e.to_string())?;
        return if start == Start::Null { Ok(named) } else { Err(words::not_an_object(start)) };
    }
    let mut read = || -> Result<(), scan::SyntaxError> {
        scan.enter()?;
        let mut first = true;
        while let Some(key) = scan.key(first)? {
            first = false;
            let (slot, name) = match () {
                () if key.eq_ignore_ascii_case("kind") => (&mut named.kind, "kind"),
                () if key.eq_ignore_ascii_case("apiVersion") => (&mut named.api_version, "apiVersion"),
                () => {
                    scan.skip()?;
                    continue;
                }
            };
            match scan.start()? {
                Start::String => *slot = scan.string()?.into_owned(),
                Start::Null => scan.skip()?,
                start => {
                    wrong.get_or_insert((start, name));
                    scan.skip()?;
                }
            }
        }
        scan.end()
    };
    read().map_err(|error| error.to_string())?;
    match wrong {
        Some((start, name)) => Err(words::not_a_string(start, name)),
        None => Ok(named),
    }
}

/// `apps/v1` to its parts.
fn group_version(text: &str) -> Result<(&str, &str), String> {
    match text.split('/').collect::<Vec<_>>()[..] {
        [version] => Ok(("", version)),
        [group, version] => Ok((group, version)),
        _ => Err(format!("unexpected GroupVersion string: {text}")),
    }
}

/// The message for a body whose kind cannot be found, with its beginning.
fn unrecognized(body: &[u8], expected: &Expected<'_>, error: &str) -> DecodeError {
    const SHOWN: usize = 30;
    let shown = &body[..body.len().min(SHOWN)];
    let summary = match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(shown).into_owned(),
        Some(_) => shown.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    let more = if body.len() > SHOWN { " ..." } else { "" };
    DecodeError(format!(
        "the object provided is unrecognized (must be of type {}): {error} ({summary}{more})",
        expected.kind
    ))
}

/// Go's quotes around a text.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
