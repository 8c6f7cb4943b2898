//! The JSON Schema of cluster.yaml: what `cluster schema` prints and editors check while typing.
//!
//! Owns the parts that the structs' types do not say by themselves. The schema is the first
//! sieve only: rules between fields are the parser's.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Architecture, Config, Image, ImageSource, limits};

/// The JSON Schema (draft 2020-12) of cluster.yaml.
pub fn json_schema() -> Value {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".to_owned(), Value::from("cluster.yaml, format version 1"));
    schema.to_value()
}

/// The image as the file says it: the schema has no flattened enum.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, inline)]
pub(super) struct ImageInFile {
    /// One image, `ami-…`. Excludes `owner` and `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "image_id")]
    id: Option<String>,
    /// The account that publishes the image: 12 digits in quotes, `amazon` or `self`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "image_owner")]
    owner: Option<String>,
    /// The image's name, with `*` and `?`; the newest match is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "image_name")]
    name: Option<String>,
    /// What its machine code is for. Left out: what the instance types run.
    architecture: Architecture,
    /// The login user the image is made with.
    #[schemars(length(min = 1, max = 32))]
    user: String,
}

impl Default for ImageInFile {
    fn default() -> Self {
        let image = Image::default();
        let (id, owner, name) = match image.source {
            ImageSource::Id { id } => (Some(id), None, None),
            ImageSource::Newest { owner, name } => (None, Some(owner), Some(name)),
        };
        Self { id, owner, name, architecture: image.architecture, user: image.user }
    }
}

pub(super) fn region(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": r"^[a-z]{2,}(-[a-z]+)+-[0-9]+$"})
}

pub(super) fn instance_profile(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": r"^[A-Za-z0-9_+=,.@-]{1,128}$"})
}

pub(super) fn instance_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": r"^[a-z0-9-]+\.[a-z0-9-]+$"})
}

pub(super) fn cidr(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": CIDR})
}

/// `auto` or at least one CIDR: with none, nobody could finish the cluster.
pub(super) fn sources_of_callers(_: &mut SchemaGenerator) -> Schema {
    sources(1)
}

/// `auto` or CIDRs, none being nobody.
pub(super) fn sources_of_visitors(_: &mut SchemaGenerator) -> Schema {
    sources(0)
}

pub(super) fn zones(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [
        {"const": "auto"},
        {
            "type": "array",
            "items": {"type": "string", "pattern": r"^[a-z]{2,}(-[a-z]+)+-[0-9]+[a-h]$"},
            "minItems": 1,
            "maxItems": limits::MAX_ZONES,
            "uniqueItems": true
        }
    ]})
}

fn sources(fewest: usize) -> Schema {
    json_schema!({"anyOf": [
        {"const": "auto"},
        {
            "type": "array",
            "items": {"type": "string", "pattern": CIDR},
            "minItems": fewest,
            "maxItems": limits::MAX_SOURCES,
            "uniqueItems": true
        }
    ]})
}

fn image_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^ami-([0-9a-f]{8}|[0-9a-f]{17})$"})
}

fn image_owner(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "pattern": "^([0-9]{12}|amazon|aws-marketplace|self)$"})
}

fn image_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "minLength": 3, "maxLength": 128})
}

const CIDR: &str = r"^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$";
