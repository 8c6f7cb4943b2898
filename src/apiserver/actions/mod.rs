//! What is posted and not kept: reviews, tokens, bindings, evictions; and the Scale of an object.

pub mod binding;
pub mod connect;
pub mod eviction;
pub mod review;
pub mod scale;
pub mod token;

use api::apply::{self, OneVersion, Reset};
use api::decode::Expected;
use api::status::Status;
use serde_json::Value;

use crate::exchange::{Exchange, Scope};
use crate::refusal::Result;
use crate::write::body;
use crate::write::options::{Kind, WriteOptions};

/// Reads the body of an action: an object of the given kind, which need not be the scope's.
pub async fn posted(
    exchange: &Exchange,
    scope: &Scope,
    (group, version, kind): (&str, &str, &str),
) -> Result<(Value, WriteOptions)> {
    let media = body::media(exchange)?;
    let bytes = body::read(exchange).await?;
    let options = WriteOptions::of(exchange, Kind::Create)?;
    let schema = &scope.kind.schema;
    let ty = schema.find_kind(group, version, kind);
    let ty = ty.ok_or_else(|| Status::internal(format!("{kind} is not in the schema")))?;
    let expected = Expected { schema, ty, group, version, kind };
    let mut object = body::decoded(exchange, &expected, &bytes, media, options.strictness)?;
    api::default::fill(schema, ty, &mut object);
    api::canonical::normalise(schema, ty, &mut object);
    Ok((object, options))
}

/// Records who posted an object, as upstream does even where it is not kept.
pub fn own(
    exchange: &Exchange,
    scope: &Scope,
    (group, version, kind): (&str, &str, &str),
    options: &WriteOptions,
    object: &mut Value,
) {
    let schema = &scope.kind.schema;
    let Some(ty) = schema.find_kind(group, version, kind) else { return };
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let target = apply::Target {
        schema,
        ty,
        api_version: &api_version,
        kind,
        subresource: &exchange.info.subresource,
        reset: &Reset::Nothing,
        versions: &OneVersion,
    };
    if let Err(error) = apply::update(&target, None, object, &options.manager, &exchange.stamp()) {
        tracing::warn!(%error, "ownership of fields is not known");
    }
}

/// The answer of what is done and has nothing to show.
#[must_use]
pub fn done(code: u16) -> Value {
    let status = Status { code, ..Status::default() };
    status.to_value()
}
