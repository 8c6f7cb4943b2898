//! Custom resources: a structural schema (`openAPIV3Schema` of a CustomResourceDefinition), and
//! what is done by it: reading bodies, dropping what it does not know, defaults, validation.
//!
//! Values are not checked while they are read, as those of built-in kinds are: a custom resource
//! may hold anything, and validation says later what it may not. Its metadata is an ObjectMeta
//! all the same. The schema is also brought into the model of built-in kinds ([`Structural::model`]),
//! by which apply merges.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value};

use crate::decode::{self, DecodeError, Decoded, Media, Strictness};
use crate::field_error::Errors;
use crate::schema::{Schema, TypeId, builtin};

mod fill;
mod format;
mod parse;
mod prune;
mod validate;

/// A schema that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StructuralError {
    /// A pattern that is no regular expression.
    #[error("{path}.pattern: {text:?} is not a regular expression: write one in RE2's syntax")]
    Pattern {
        /// Where in the schema.
        path: String,
        /// The pattern.
        text: String,
        /// Why.
        #[source]
        source: Box<regex::Error>,
    },
    /// Schemas within each other beyond all use.
    #[error("{path}: schemas are nested too deep: at most {MAX_NESTING} in each other")]
    Depth {
        /// Where in the schema.
        path: String,
    },
}

/// Schemas within each other at most.
const MAX_NESTING: usize = 100;
/// What a pattern may compile to, in bytes: patterns come with requests.
const PATTERN_BYTES: usize = 1 << 20;

/// The kind and version whose schema it is.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// `example.com`.
    pub group: &'a str,
    /// `v1`.
    pub version: &'a str,
    /// `Foo`.
    pub kind: &'a str,
}

/// A structural schema, ready for use.
#[derive(Debug, Clone)]
pub struct Structural {
    raw: Arc<Value>,
    model: Arc<Schema>,
    root: TypeId,
    patterns: Arc<BTreeMap<String, Regex>>,
}

impl Structural {
    /// Takes a schema as a CustomResourceDefinition holds it.
    ///
    /// # Errors
    /// A pattern that cannot be used, or nesting beyond all use. Whether the schema is structural
    /// is for the definition's own validation.
    pub fn parse(raw: &Value) -> Result<Self, StructuralError> {
        let mut patterns = BTreeMap::new();
        parse::patterns(raw, "openAPIV3Schema", MAX_NESTING, &mut patterns)?;
        let (model, root) = parse::model(raw);
        Ok(Self { raw: Arc::new(raw.clone()), model: Arc::new(model), root, patterns: Arc::new(patterns) })
    }

    /// The same in the model of built-in kinds, with the type of the whole object.
    #[must_use]
    pub fn model(&self) -> (&Arc<Schema>, TypeId) {
        (&self.model, self.root)
    }

    /// Reads a body of this kind. Duplicate fields are named first, then unknown ones by path.
    ///
    /// # Errors
    /// The message of upstream's 400 answer.
    pub fn request(
        &self,
        body: &[u8],
        media: Media,
        named: &Named<'_>,
        strictness: Strictness,
    ) -> Result<Decoded, DecodeError> {
        let mut decoded = decode::untyped(body, media, named, strictness)?;
        let refuse = |error: &str| {
            let Named { version, kind, .. } = named;
            DecodeError(format!(
                "{kind} in version {} cannot be handled as a {kind}: {error}",
                decode::quote(version)
            ))
        };
        let unknown = self.prune(&mut decoded.value).map_err(|error| refuse(&error))?;
        if strictness != Strictness::Ignore {
            decoded.problems.extend(unknown);
        }
        if strictness == Strictness::Strict && !decoded.problems.is_empty() {
            return Err(refuse(&format!("strict decoding error: {}", decoded.problems.join(", "))));
        }
        Ok(decoded)
    }

    /// Drops what the schema does not know and reads the metadata; names what was dropped.
    ///
    /// # Errors
    /// Metadata that is none, in upstream's words.
    pub fn prune(&self, value: &mut Value) -> Result<Vec<String>, String> {
        let mut unknown = Vec::new();
        prune::resource(&self.raw, value, "", &mut unknown)?;
        unknown.sort();
        Ok(unknown.into_iter().map(|path| format!("unknown field {}", decode::quote(&path))).collect())
    }

    /// Gives absent fields their defaults, and takes away `null` where it is no value.
    pub fn fill(&self, value: &mut Value) {
        fill::fill(&self.raw, value);
    }

    /// What is wrong with an object, in upstream's words. Upstream has no path for some of it and
    /// prints `<nil>`.
    #[must_use]
    pub fn validate(&self, value: &Value) -> Errors {
        let mut errors = Errors::new();
        validate::Validator { patterns: &self.patterns }.whole(&self.raw, value, &mut errors);
        errors
    }
}

/// Brings a custom resource into the form in which upstream prints it: metadata as an ObjectMeta,
/// all names sorted.
pub fn normalise(value: &mut Value) {
    if let Some(metadata) = value.get_mut("metadata") {
        crate::canonical::normalise(builtin(), object_meta(), metadata);
    }
    value.sort_all_objects();
}

fn object_meta() -> TypeId {
    builtin().find("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").unwrap_or(TypeId(0))
}

/// A property of a schema that is itself a map of schemas.
fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties")?.as_object()
}

fn says(schema: &Value, word: &str) -> bool {
    schema.get(word).and_then(Value::as_bool).unwrap_or(false)
}

/// The schema of properties that are not listed.
fn additional(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|schema| schema.is_object())
}

/// Whether properties that are not listed are kept as they are.
fn keeps_unknown(schema: &Value) -> bool {
    says(schema, "x-kubernetes-preserve-unknown-fields") || says(schema, "additionalProperties")
}

#[cfg(test)]
mod tests;
