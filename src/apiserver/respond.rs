//! Answers: an object, a list in pieces, a Status; pretty, as YAML, compressed.

use api::status::Status;
use bytes::Bytes;
use futures::stream;
use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS,
};

use crate::http::accept::{Accepted, Form, PLAIN};
use crate::http::{Body, BodyError, Response, gzip};

/// Bytes of a piece of a long answer.
const PIECE: usize = 256 * 1024;

fn bare(code: u16, media: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A status without a body.
#[must_use]
pub fn nothing(code: u16) -> Response {
    let mut response = bare(code, "", Body::Empty);
    response.headers_mut().remove(CONTENT_TYPE);
    response
}

/// Text, as health checks and metrics are.
#[must_use]
pub fn text(code: u16, text: impl Into<String>) -> Response {
    let mut response = bare(code, "text/plain; charset=utf-8", text.into().into());
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// JSON of any media type of its own.
#[must_use]
pub fn typed(code: u16, media: &str, body: impl Into<Body>) -> Response {
    let mut response = bare(code, "application/json", body.into());
    if let Ok(value) = HeaderValue::from_str(media) {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

/// An object's JSON as the client accepts it.
#[must_use]
pub fn object(code: u16, json: &[u8], accepted: &Accepted, takes_gzip: bool) -> Response {
    let (media, body) = written(json, accepted);
    if !takes_gzip || body.len() < gzip::THRESHOLD {
        return bare(code, media, body.into());
    }
    let mut response = bare(code, media, gzip::compress(&body).into());
    mark_compressed(&mut response);
    response
}

fn mark_compressed(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
}

fn written(json: &[u8], accepted: &Accepted) -> (&'static str, Vec<u8>) {
    let value = || serde_json::from_slice::<serde_json::Value>(json).unwrap_or_default();
    match accepted.form {
        Form::Yaml => {
            let mut sorted = value();
            sorted.sort_all_objects();
            ("application/yaml", serde_yaml::to_string(&sorted).unwrap_or_default().into_bytes())
        }
        Form::Json if accepted.pretty => {
            ("application/json", serde_json::to_vec_pretty(&value()).unwrap_or_default())
        }
        Form::Json => {
            let mut body = Vec::with_capacity(json.len() + 1);
            body.extend_from_slice(json);
            if !json.ends_with(b"\n") {
                body.push(b'\n');
            }
            ("application/json", body)
        }
    }
}

/// A long answer in JSON, made piece by piece: `next` adds to the buffer until it says that
/// there is no more.
#[must_use]
pub fn pieces(takes_gzip: bool, mut next: impl FnMut(&mut Vec<u8>) -> bool + Send + 'static) -> Response {
    let mut first = Vec::new();
    let mut more = true;
    while more && first.len() < gzip::THRESHOLD {
        more = next(&mut first);
    }
    if !more && (first.len() < gzip::THRESHOLD || !takes_gzip) {
        return bare(200, "application/json", first.into());
    }
    let mut packer = takes_gzip.then(gzip::Packer::default);
    let mut state = Some((first, more));
    let chunks = std::iter::from_fn(move || {
        let (mut piece, mut more) = state.take()?;
        while more && piece.len() < PIECE {
            more = next(&mut piece);
        }
        let out = match &mut packer {
            Some(packer) => packer.pack(&piece, !more),
            None => Bytes::from(piece),
        };
        state = more.then(|| (Vec::with_capacity(PIECE + PIECE / 8), true));
        Some(Ok::<_, BodyError>(out))
    });
    let mut response = bare(200, "application/json", Body::stream(stream::iter(chunks)));
    if takes_gzip {
        mark_compressed(&mut response);
    }
    response
}

/// A Status.
#[must_use]
pub fn status(status: &Status, accepted: Option<&Accepted>) -> Response {
    let code = status.http_code();
    let mut response =
        object(code, status.to_value().to_string().as_bytes(), accepted.unwrap_or(&PLAIN), false);
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if seconds > 0 && (code == 429 || code >= 500) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A Warning header's value, as RFC 7234 quotes it.
#[must_use]
pub fn warning(text: &str) -> Option<HeaderValue> {
    let mut quoted = String::with_capacity(text.len() + 10);
    quoted.push_str("299 - \"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' | '\r' => quoted.push(' '),
            c if c.is_control() => {}
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    HeaderValue::from_bytes(quoted.as_bytes()).ok()
}
