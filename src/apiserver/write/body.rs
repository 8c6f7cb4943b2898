//! Reading a body: its size, its media type, the object in it.

use api::decode::{self, Expected, Media, Strictness};
use api::status::Status;
use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use serde_json::Value;

use crate::exchange::{Exchange, Scope};
use crate::http::body::ReadError;
use crate::refusal::{Refusal, Result};

/// Media types of objects.
const OBJECTS: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// Reads the whole body.
pub async fn read(exchange: &Exchange) -> Result<Bytes> {
    let Some(body) = exchange.take_body() else { return Ok(Bytes::new()) };
    body.read().await.map_err(|error| match error {
        ReadError::TooLarge => Status::request_entity_too_large(&error.to_string()).into(),
        ReadError::Broken(_) => Refusal::from(Status::bad_request(error.to_string())),
    })
}

/// The media type of the body, without parameters.
#[must_use]
pub fn media_type(exchange: &Exchange) -> &str {
    let header = exchange.header(CONTENT_TYPE).unwrap_or_default();
    header.split(';').next().unwrap_or_default().trim()
}

/// How the body's object is written.
pub fn media(exchange: &Exchange) -> Result<Media> {
    match media_type(exchange) {
        "" | "application/json" | "*/*" => Ok(Media::Json),
        "application/yaml" => Ok(Media::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Media::Protobuf),
        _ => Err(Status::unsupported_media_type(OBJECTS).into()),
    }
}

/// Reads the object of a request, of the kind of a scope.
pub fn object(
    exchange: &Exchange,
    scope: &Scope,
    body: &[u8],
    media: Media,
    strictness: Strictness,
) -> Result<Value> {
    let expected = Expected {
        schema: &scope.kind.schema,
        ty: scope.row()?.object,
        group: &scope.kind.group,
        version: &scope.version,
        kind: &scope.kind.kind,
    };
    decoded(exchange, &expected, body, media, strictness)
}

/// Reads an object of any expected kind; what is doubtful becomes warnings.
pub fn decoded(
    exchange: &Exchange,
    expected: &Expected<'_>,
    body: &[u8],
    media: Media,
    strictness: Strictness,
) -> Result<Value> {
    let decoded = decode::request(body, media, expected, strictness);
    let decoded = decoded.map_err(|error| Status::bad_request(error.0))?;
    for problem in decoded.problems {
        exchange.warn(problem);
    }
    Ok(decoded.value)
}
