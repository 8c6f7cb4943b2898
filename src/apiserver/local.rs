//! Clients inside this process: they go through the whole chain, under their own identity.

use std::sync::Arc;

use access::User;
use bytes::Bytes;
use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use serde_json::Value;

use crate::http::serve::Service as _;
use crate::http::{RequestBody, Response};
use crate::server::Server;

/// A client of one identity.
#[derive(Debug, Clone)]
pub struct Local {
    server: Arc<Server>,
    user: User,
    agent: Arc<str>,
}

/// A refusal: the Status that was answered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code} {reason}: {message}")]
pub struct LocalError {
    /// The HTTP status.
    pub code: u16,
    /// `NotFound`, `Conflict`, …
    pub reason: String,
    /// The server's words.
    pub message: String,
}

impl Local {
    /// A client that is known as `user`, and whose writes are owned by `agent`.
    #[must_use]
    pub fn new(server: Arc<Server>, user: User, agent: &str) -> Self {
        Self { server, user, agent: agent.into() }
    }

    /// Sends a request; `media` is the body's.
    pub async fn send(&self, method: Method, path: &str, media: &'static str, body: Bytes) -> Response {
        let mut request = hyper::Request::new(body);
        *request.method_mut() = method;
        if let Ok(uri) = path.parse() {
            *request.uri_mut() = uri;
        }
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
        if let Ok(agent) = HeaderValue::from_str(&self.agent) {
            request.headers_mut().insert(USER_AGENT, agent);
        }
        self.forward(request).await
    }

    /// Sends a whole request as this user.
    pub async fn forward(&self, request: hyper::Request<Bytes>) -> Response {
        let mut request = request.map(RequestBody::Held);
        request.extensions_mut().insert(self.user.clone());
        Arc::clone(&self.server).call(request).await
    }

    /// Sends a request with a JSON body (`null`: none) and reads the answer.
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Result<Value, LocalError> {
        self.typed(method, path, "application/json", body).await
    }

    /// The same with a media type of its own.
    pub async fn typed(
        &self,
        method: Method,
        path: &str,
        media: &'static str,
        body: &Value,
    ) -> Result<Value, LocalError> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let response = self.send(method, path, media, body).await;
        if response.status().as_u16() >= 400 {
            return Err(LocalError::of(response).await);
        }
        let failed = |message: String| LocalError { code: 500, reason: String::new(), message };
        let bytes = response.into_body().collect().await.map_err(|error| failed(error.to_string()))?;
        serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))
    }
}

impl LocalError {
    /// Reads the Status of a refusal.
    pub async fn of(response: Response) -> Self {
        let code = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap_or_default();
        let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Self { code, reason: text("reason"), message: text("message") }
    }
}
