//! One request on its way through the chain: what it says, who sends it, what is found out.

use std::sync::{Arc, Mutex, PoisonError};

use access::User;
use api::kind::{Kind, Subresource, Version};
use api::status::Status;
use api::table::Include;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use hyper::{HeaderMap, Method};
use jiff::Timestamp;

use crate::cache::Shelf;
use crate::http::accept::{self, Accepted, Shape};
use crate::http::{Query, RequestBody, gzip};
use crate::refusal::{Refusal, Result};
use crate::request::RequestInfo;
use crate::server::Server;
use crate::view::View;

/// One request.
#[derive(Debug)]
pub struct Exchange {
    /// Its method.
    pub method: Method,
    /// What its URL asks for.
    pub info: RequestInfo,
    /// Its query.
    pub query: Query,
    /// Its headers.
    pub headers: HeaderMap,
    /// Who sends it.
    pub user: User,
    /// Whether it stands before the gates: what is refused there is said with one header more.
    pub at_gate: bool,
    /// When it came.
    pub now: Timestamp,
    /// What came with it beside HTTP: the connection's upgrade, for streams.
    pub extensions: hyper::http::Extensions,
    /// Its body, until it is read.
    pub body: Mutex<Option<RequestBody>>,
    /// What its author should know: Warning headers of the answer.
    warnings: Mutex<Vec<String>>,
}

/// Which objects a request is about.
#[derive(Clone)]
pub struct Scope {
    /// Their kind.
    pub kind: Arc<Kind>,
    /// The version asked for.
    pub version: Arc<str>,
    /// Where they are kept.
    pub shelf: Arc<Shelf>,
}

impl Scope {
    /// The version's row.
    pub fn row(&self) -> Result<&Version> {
        self.kind.version(&self.version).ok_or_else(|| Status::no_such_path().into())
    }

    /// `apps/v1`
    #[must_use]
    pub fn api_version(&self) -> String {
        self.kind.api_version(&self.version)
    }

    /// The subresource of a request, if it names one.
    pub fn subresource(&self, info: &RequestInfo) -> Result<Option<&Subresource>> {
        if info.subresource.is_empty() {
            return Ok(None);
        }
        self.kind.subresource(&info.subresource).map(Some).ok_or_else(|| Status::no_such_path().into())
    }

    /// Key of an object on its shelf.
    #[must_use]
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.kind.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }
}

impl Exchange {
    /// A request without user: authentication finds who sends it.
    #[must_use]
    pub fn new(
        method: Method,
        info: RequestInfo,
        query: Query,
        headers: HeaderMap,
        body: RequestBody,
        now: Timestamp,
    ) -> Self {
        let user = User::anonymous();
        let (body, warnings) = (Mutex::new(Some(body)), Mutex::default());
        let extensions = hyper::http::Extensions::new();
        Self { method, info, query, headers, user, at_gate: false, now, extensions, body, warnings }
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// All Accept headers as one.
    #[must_use]
    pub fn accept(&self) -> Option<String> {
        let all: Vec<_> =
            self.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        (!all.is_empty()).then(|| all.join(","))
    }

    /// What the client gets. `tables`: whether rows and metadata can be had here.
    pub fn negotiate(&self, tables: bool) -> Result<Accepted> {
        let header = self.accept();
        let mut accepted = accept::negotiate(header.as_deref(), tables)
            .ok_or_else(|| not_acceptable(header.as_deref().unwrap_or_default()))?;
        accepted.pretty |= self.wants_pretty();
        Ok(accepted)
    }

    /// Whether indented JSON is asked for, or sent to people's tools unasked.
    fn wants_pretty(&self) -> bool {
        let pretty = self.query.text("pretty");
        if !pretty.is_empty() {
            return matches!(pretty, "1" | "t" | "T" | "true" | "TRUE" | "True");
        }
        let agent = self.header(hyper::header::USER_AGENT).unwrap_or_default();
        ["curl", "Wget", "Mozilla/5.0"].iter().any(|tool| agent.starts_with(tool))
    }

    /// Whether large answers may be compressed.
    #[must_use]
    pub fn takes_gzip(&self) -> bool {
        gzip::accepted(self.header(ACCEPT_ENCODING))
    }

    /// How objects of a scope are shown to this client.
    pub fn view(&self, server: &Server, scope: &Scope, accepted: &Accepted) -> Result<View> {
        let (include, columns) = match accepted.shape {
            Shape::Table(_) => {
                let include =
                    Include::parse(self.query.text("includeObject")).map_err(Status::bad_request)?;
                (include, server.columns.of(&scope.kind))
            }
            _ => (Include::Metadata, Arc::default()),
        };
        let now = self.now.as_second();
        Ok(View::new(&scope.kind, &scope.version, accepted.shape, include, columns, now))
    }

    /// Adds something that the author should know, once.
    pub fn warn(&self, text: impl Into<String>) {
        let text = text.into();
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }

    /// What its author should know.
    #[must_use]
    pub fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the body, to read it or to hand it on.
    #[must_use]
    pub fn take_body(&self) -> Option<RequestBody> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Now, as objects carry it: RFC 3339, whole seconds, UTC.
    #[must_use]
    pub fn stamp(&self) -> String {
        stamp(self.now)
    }
}

/// A time as objects carry it.
#[must_use]
pub fn stamp(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Upstream's two refusals: a form that nothing has, and a shape that this has not.
fn not_acceptable(header: &str) -> Refusal {
    if accept::knows_form(header) {
        return Status::not_acceptable(accept::AVAILABLE).into();
    }
    let says = format!("406: Not Acceptable\n\nAvailable representations: {}", accept::AVAILABLE.join(", "));
    Refusal::plain(406, "NotAcceptable", says).detailed()
}
