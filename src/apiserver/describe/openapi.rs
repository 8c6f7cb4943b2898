//! `/openapi/v3` and `/openapi/v2`: documents made of the registry once it is asked for them,
//! kept packed, and made anew when the registry changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::kind::Registry;
use api::openapi;
use api::status::Status;
use apidocs::Descriptions;
use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use serde_json::Value;

use crate::exchange::Exchange;
use crate::http::{Response, accept, gzip};
use crate::refusal::Result;
use crate::respond;
use crate::server::Server;

/// A document, packed.
#[derive(Debug, Clone)]
struct Document {
    packed: Bytes,
    hash: String,
}

/// All documents of one registry, by their place (`apis/apps/v1`; `v2` for the old one).
struct Documents {
    registry: Arc<Registry>,
    documents: BTreeMap<String, Document>,
}

/// The documents that were made last.
#[derive(Default)]
pub struct OpenApi(Mutex<Option<Arc<Documents>>>);

const V2: &str = "v2";

impl Documents {
    fn make(registry: Arc<Registry>) -> Self {
        let described = Descriptions::load();
        let describe = |definition: &str, field: &str| described.get(definition, field);
        let mut documents = BTreeMap::new();
        for (group, versions) in registry.groups() {
            for version in versions.keys() {
                if let Some(document) = openapi::document(&registry, group, version, &describe) {
                    documents.insert(openapi::place(group, version), packed(&document));
                }
            }
        }
        documents.insert(V2.to_owned(), packed(&openapi::document_v2(&registry, &describe)));
        Self { registry, documents }
    }
}

fn packed(document: &Value) -> Document {
    let text = document.to_string();
    let digest = ring::digest::digest(&ring::digest::SHA512, text.as_bytes());
    let hash = base::ids::hex(digest.as_ref()).to_uppercase();
    Document { packed: gzip::compress(text.as_bytes()), hash }
}

impl OpenApi {
    async fn of(&self, server: &Arc<Server>) -> Result<Arc<Documents>> {
        let registry = server.registry();
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(held) = held.filter(|held| Arc::ptr_eq(&held.registry, &registry)) {
            return Ok(held);
        }
        let made = tokio::task::spawn_blocking(move || Documents::make(registry)).await;
        let made = Arc::new(made.map_err(Status::internal)?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&made));
        Ok(made)
    }
}

/// Answers for a path below `/openapi`.
pub async fn answer(server: &Arc<Server>, exchange: &Exchange, below: &[&str]) -> Result<Response> {
    let documents = server.openapi.of(server).await?;
    let place = match below {
        ["v2"] => V2.to_owned(),
        ["v3"] => {
            let of_v3 = documents.documents.iter().filter(|(place, _)| *place != V2);
            let index =
                openapi::index(of_v3.map(|(place, document)| (place.as_str(), document.hash.as_str())));
            return Ok(respond::text(200, index.to_string()));
        }
        ["v3", rest @ ..] => rest.join("/"),
        _ => return Err(Status::no_such_path().into()),
    };
    let Some(document) = documents.documents.get(&place) else { return Ok(respond::nothing(404)) };
    if accept::negotiate(exchange.accept().as_deref(), false).is_none() {
        return Err(Status::not_acceptable(&["application/json"]).into());
    }
    Ok(written(exchange, document))
}

fn written(exchange: &Exchange, document: &Document) -> Response {
    let tag = format!("\"{}\"", document.hash);
    let known = exchange.header(IF_NONE_MATCH) == Some(&tag);
    let mut response = match (known, exchange.takes_gzip()) {
        (true, _) => respond::typed(304, "application/json", Vec::new()),
        (false, true) => {
            let mut response = respond::typed(200, "application/json", document.packed.clone());
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            response
        }
        (false, false) => respond::typed(200, "application/json", gzip::expand(&document.packed)),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}
