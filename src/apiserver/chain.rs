//! The one chain that every request goes through, from the network and from this process:
//! authentication, limits, authorization, then what the URL asks for.
//!
//! A panic on the way ends that request alone.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::forbidden::forbidden;
use access::{Attributes, FieldRequirement, User};
use api::selector::FieldSelector;
use api::status::Status;
use futures::FutureExt as _;
use hyper::Method;
use hyper::body::Body as _;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue, WARNING, X_CONTENT_TYPE_OPTIONS};

use crate::describe::metrics::Label;
use crate::exchange::{Exchange, Scope};
use crate::gate::authenticate::{act_as, authenticate, drop_headers, wanted};
use crate::gate::objects::Objects;
use crate::http::serve::Service;
use crate::http::{Peer, Query, Request, Response};
use crate::refusal::{Refusal, Result};
use crate::request::RequestInfo;
use crate::server::Server;
use crate::{dispatch, respond, routes};

/// Names a request in logs; clients may give one.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// Longest that a request may take which is no stream: upstream's number.
const PATIENCE: Duration = Duration::from_secs(60);
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

impl Service for Server {
    async fn call(self: Arc<Self>, request: Request) -> Response {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let audit_id = parts.headers.get(AUDIT_ID).cloned();
        let audit_id = audit_id.or_else(|| HeaderValue::from_str(&self.uid()).ok());
        let peer = parts.extensions.get::<Peer>().cloned().unwrap_or_default();
        let inside = parts.extensions.get::<User>().cloned();
        let info = RequestInfo::of(&parts.method, parts.uri.path(), &query);
        let (info, unclear) = match info {
            Ok(info) => (info, None),
            Err(unclear) => (RequestInfo::default(), Some(unclear)),
        };
        let now = self.clock.now();
        let mut exchange = Exchange::new(parts.method, info, query, parts.headers, body, now);
        exchange.extensions = parts.extensions;
        if exchange.info.subresource == "proxy" {
            exchange.extensions.insert(parts.uri);
        }
        let answered = async {
            if let Some(unclear) = unclear {
                return Err(Status::internal(unclear).into());
            }
            let lasts = exchange.info.lasts();
            let answer = self.answer(&mut exchange, &peer, inside);
            if lasts {
                return answer.await;
            }
            tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| {
                let says = "request did not complete within the allotted timeout";
                Err(Status::timeout(says, 0).into())
            })
        };
        let mut response = match AssertUnwindSafe(answered).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(refusal)) if refusal.is_no_page() => {
                let mut response = respond::text(404, "404 page not found\n");
                response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
                response
            }
            Ok(Err(Refusal(status))) => respond::status(&status, exchange.negotiate(false).ok().as_ref()),
            Err(panic) => {
                let said = panic.downcast_ref::<String>().map(String::as_str);
                let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words");
                tracing::error!(path = %exchange.info.path, panic = said, "a request panicked");
                let says = "This request caused apiserver to panic. Look in the logs for details.";
                respond::status(&Refusal::plain(500, "InternalError", says).0, None)
            }
        };
        let headers = response.headers_mut();
        if exchange.at_gate {
            headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        }
        for text in exchange.take_warnings() {
            if let Some(value) = respond::warning(&text) {
                headers.append(WARNING, value);
            }
        }
        if let Some(id) = audit_id {
            headers.insert(AUDIT_ID, id);
        }
        self.count(&exchange, &response, began);
        if exchange.method == Method::HEAD {
            bodiless(&mut response);
        }
        response
    }
}

/// Takes the body off an answer to HEAD, which HTTP/2 would send; how long it is stays said.
fn bodiless(response: &mut Response) {
    let body = std::mem::take(response.body_mut());
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
}

impl Server {
    async fn answer(
        self: &Arc<Self>,
        exchange: &mut Exchange,
        peer: &Peer,
        inside: Option<User>,
    ) -> Result<Response> {
        exchange.user = match inside {
            Some(user) => user,
            None => {
                let path = &exchange.info.path;
                authenticate(
                    peer,
                    &exchange.headers,
                    path,
                    &self.issuer,
                    &Objects(&self.cache),
                    exchange.now,
                )?
            }
        };
        exchange.at_gate = true;
        if let Some(wanted) = wanted(&exchange.headers)? {
            exchange.user = self.asked(exchange, |asked| {
                self.gate.with(|authorizer| act_as(authorizer, &exchange.user, &wanted, asked))
            })?;
            drop_headers(&mut exchange.headers);
        }
        let info = &exchange.info;
        let reads_only = matches!(info.verb, "get" | "list" | "head");
        let _permit = if info.lasts() { None } else { self.limits.request(&exchange.user, reads_only)? };
        self.authorize(exchange, exchange.info.verb)?;
        exchange.at_gate = false;
        if !exchange.info.is_resource {
            return routes::answer(self, exchange).await;
        }
        let scope = self.scope(&exchange.info)?;
        dispatch::answer(self, exchange, &scope).await
    }

    /// The kind that a request is about.
    pub(crate) fn scope(&self, info: &RequestInfo) -> Result<Scope> {
        let registry = self.registry();
        if !registry.groups().any(|(group, _)| group == info.group) {
            return Err(Refusal::no_page());
        }
        let kind = registry.by_plural(&info.group, &info.version, &info.resource);
        let kind =
            kind.filter(|kind| kind.namespaced || info.namespace.is_empty() || *kind.plural == *"namespaces");
        let kind = kind.ok_or_else(Status::no_such_path)?;
        Ok(Scope { kind: Arc::clone(kind), version: info.version.as_str().into(), shelf: self.shelf(kind) })
    }

    /// What is asked for, as authorizers see it.
    fn asked<T>(&self, exchange: &Exchange, look: impl FnOnce(&Attributes<'_>) -> T) -> T {
        let info = &exchange.info;
        let fields = selected(exchange);
        look(&Attributes {
            verb: info.verb,
            group: &info.group,
            version: &info.version,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path: &info.path,
            resource_request: info.is_resource,
            field_selector: &fields,
        })
    }

    /// Whether the user may do `verb` to what a request is about.
    pub(crate) fn authorize(&self, exchange: &Exchange, verb: &str) -> Result<()> {
        self.asked(exchange, |asked| {
            let asked = &Attributes { verb, ..*asked };
            let decision = self.gate.decide(&exchange.user, asked);
            if decision.is_allowed() {
                return Ok(());
            }
            Err(forbidden(&exchange.user, asked, decision.reason()).into())
        })
    }

    fn count(&self, exchange: &Exchange, response: &Response, began: Instant) {
        let info = &exchange.info;
        let verb = match (info.is_resource, info.verb) {
            (_, "list") => "LIST",
            (_, "watch") => "WATCH",
            (_, "create" | "post") => "POST",
            (_, "update" | "put") => "PUT",
            (_, "patch") => "PATCH",
            (_, "delete") => "DELETE",
            (_, "deletecollection") => "DELETECOLLECTION",
            (true, "get") => "GET",
            (false, "get" | "head") => "GET",
            _ => "OTHER",
        };
        // Names of what is not served would let clients make up labels.
        let known = info.is_resource
            && self.registry().by_plural(&info.group, &info.version, &info.resource).is_some();
        let text = |text: &str| if known { text.to_owned() } else { String::new() };
        let part = if response.status() == 404 { String::new() } else { text(&info.subresource) };
        let label = Label {
            verb,
            group: text(&info.group),
            resource: text(&info.resource),
            subresource: part,
            code: response.status().as_u16(),
        };
        self.metrics.record(label, began.elapsed());
    }
}

/// The field selector as authorizers see it; what cannot be read is refused later.
fn selected(exchange: &Exchange) -> Vec<FieldRequirement> {
    if !matches!(exchange.info.verb, "list" | "watch" | "deletecollection") {
        return Vec::new();
    }
    let fields = FieldSelector::parse(exchange.query.text("fieldSelector")).unwrap_or_default();
    let terms = fields.terms.into_iter();
    terms
        .map(|term| FieldRequirement { field: term.field, equal: !term.differs, value: term.value })
        .collect()
}
