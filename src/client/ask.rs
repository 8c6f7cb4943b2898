//! Single questions, as a person at a command line has them: any path, any form of answer, with
//! the server's warnings beside it.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, USER_AGENT, WARNING};
use hyper::{Method, Request};
use serde_json::Value;

use crate::http::refused;
use crate::{ApiError, Connection};

/// Most of an answer that is read.
const BODY_BYTES: usize = 256 * 1024 * 1024;

/// A question.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// `GET`, `PATCH`, …
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Forms of answers that are wanted.
    pub accept: &'a str,
    /// The body and its type, if there is one.
    pub body: Option<(&'a str, Value)>,
    /// What the asker calls itself.
    pub agent: &'a str,
}

/// A good answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Its body; null where it has none.
    pub value: Value,
    /// What the server warns of.
    pub warnings: Vec<String>,
}

impl<'a> Question<'a> {
    /// Reads `path` as JSON.
    #[must_use]
    pub fn get(path: impl Into<String>, agent: &'a str) -> Self {
        Self { method: Method::GET, path: path.into(), accept: "application/json", body: None, agent }
    }

    /// Changes what is at `path` by a body of the type `kind`.
    #[must_use]
    pub fn patch(path: impl Into<String>, kind: &'a str, body: Value, agent: &'a str) -> Self {
        Self { method: Method::PATCH, body: Some((kind, body)), ..Self::get(path, agent) }
    }

    fn request(self) -> Result<Request<Bytes>, ApiError> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(ACCEPT, self.accept)
            .header(USER_AGENT, self.agent);
        let mut bytes = Bytes::new();
        if let Some((kind, body)) = self.body {
            request = request.header(CONTENT_TYPE, kind);
            bytes = Bytes::from(body.to_string());
        }
        request.body(bytes).map_err(|error| ApiError::Unreachable(error.to_string()))
    }
}

impl Connection {
    /// Asks, and reads the whole answer. A Status of failure is an error.
    pub async fn ask(&self, question: Question<'_>) -> Result<Reply, ApiError> {
        let response = self.open(question.request()?).await.map_err(ApiError::Unreachable)?;
        let (code, warnings) = (response.status().as_u16(), warnings(response.headers()));
        let mut body = crate::connection::body(response);
        let mut bytes = Vec::new();
        while let Some(piece) = body.try_next().await.map_err(ApiError::Unreachable)? {
            if bytes.len() + piece.len() > BODY_BYTES {
                return Err(ApiError::Unreachable("its answer does not end".to_owned()));
            }
            bytes.extend_from_slice(&piece);
        }
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        match code {
            200..=299 => Ok(Reply { value, warnings }),
            code => Err(refused(code, &value)),
        }
    }

    /// Asks for an answer that comes piece by piece, such as a log.
    pub async fn follow(
        &self,
        question: Question<'_>,
    ) -> Result<BoxStream<'static, Result<Bytes, String>>, ApiError> {
        let response = self.open(question.request()?).await.map_err(ApiError::Unreachable)?;
        let code = response.status().as_u16();
        let body = crate::connection::body(response);
        if (200..300).contains(&code) {
            return Ok(body.boxed());
        }
        let pieces: Vec<Bytes> = body.try_collect().await.map_err(ApiError::Unreachable)?;
        Err(refused(code, &serde_json::from_slice(&pieces.concat()).unwrap_or_default()))
    }
}

/// The texts of `Warning: 299 - "text"`.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let all = headers.get_all(WARNING).into_iter().filter_map(|value| value.to_str().ok());
    all.filter_map(|value| {
        let text = value.split_once('"')?.1.rsplit_once('"')?.0;
        Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_read_without_their_quoting() {
        let mut headers = HeaderMap::new();
        headers.append(WARNING, r#"299 - "unknown field \"spec.a\"""#.parse().unwrap());
        headers.append(WARNING, "299 - unquoted".parse().unwrap());
        assert_eq!(warnings(&headers), [r#"unknown field "spec.a""#]);
    }
}
