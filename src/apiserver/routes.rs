//! Paths that are no resource: discovery, health, version, metrics, tokens' documents.

use std::sync::Arc;

use api::status::Status;
use hyper::Method;
use serde_json::Value;
use store::StoreError;

use crate::describe::discovery;
use crate::describe::health::{self, Check};
use crate::describe::metrics::Gauge;
use crate::describe::openapi;
use crate::describe::version::version;
use crate::exchange::Exchange;
use crate::http::{Response, accept};
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;

/// Answers.
pub async fn answer(server: &Arc<Server>, exchange: &Exchange) -> Result<Response> {
    let path = exchange.info.path.trim_end_matches('/');
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    if !matches!(exchange.method, Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed().into());
    }
    let registry = server.registry();
    let found = match parts[..] {
        ["" | "api" | "apis"] if wants_aggregated(exchange) && parts != [""] => {
            let all = discovery::aggregated(&registry, parts == ["api"]);
            return Ok(aggregated(exchange, &all));
        }
        [""] => Some(index(server)),
        ["api"] => Some(discovery::core_versions(&server.address)),
        ["apis"] => Some(discovery::group_list(&registry)),
        ["api", version] => discovery::resource_list(&registry, "", version),
        ["apis", group] => discovery::group(&registry, group),
        ["apis", group, version] => discovery::resource_list(&registry, group, version),
        ["version"] => Some(version()),
        ["healthz" | "livez" | "readyz", ref only @ ..] => {
            return Ok(health(server, exchange, parts[0], only).await);
        }
        ["metrics"] => return Ok(metrics(server).await),
        ["openapi", ref below @ ..] => return openapi::answer(server, exchange, below).await,
        ["openid", "v1", "jwks"] => {
            return Ok(respond::typed(200, "application/jwk-set+json", server.issuer.jwks().to_string()));
        }
        [".well-known", "openid-configuration"] => {
            let document = server.issuer.openid_configuration(&server.address);
            return Ok(respond::typed(200, "application/json", document.to_string()));
        }
        _ => None,
    };
    let found = found.ok_or_else(Refusal::no_page)?;
    let accepted = exchange.negotiate(false)?;
    Ok(respond::object(200, found.to_string().as_bytes(), &accepted, exchange.takes_gzip()))
}

fn wants_aggregated(exchange: &Exchange) -> bool {
    let header = exchange.accept().unwrap_or_default();
    accept::clauses(&header).first().is_some_and(|clause| {
        let has = |name: &str, value: &str| clause.parameters.contains(&(name, value));
        clause.sub == "json"
            && has("g", "apidiscovery.k8s.io")
            && has("v", "v2")
            && has("as", "APIGroupDiscoveryList")
    })
}

fn aggregated(exchange: &Exchange, all: &Value) -> Response {
    let media = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let body = all.to_string();
    let digest = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    let tag = format!("\"{}\"", base::ids::hex(digest.as_ref()).to_uppercase());
    let known = exchange.header(hyper::header::IF_NONE_MATCH) == Some(&tag);
    let mut response = if known {
        respond::typed(304, media, Vec::new())
    } else {
        respond::object(200, body.as_bytes(), &accept::PLAIN, exchange.takes_gzip())
    };
    let headers = response.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(media));
    if let Ok(value) = tag.parse() {
        headers.insert(hyper::header::ETAG, value);
    }
    headers.insert(hyper::header::VARY, hyper::header::HeaderValue::from_static("Accept"));
    headers.insert(hyper::header::CACHE_CONTROL, hyper::header::HeaderValue::from_static("public"));
    response
}

fn index(server: &Server) -> Value {
    let mut paths =
        vec!["/.well-known/openid-configuration".to_owned(), "/api".to_owned(), "/apis".to_owned()];
    for (group, versions) in server.registry().groups() {
        if group.is_empty() {
            paths.extend(versions.keys().map(|version| format!("/api/{version}")));
        } else {
            paths.push(format!("/apis/{group}"));
            paths.extend(versions.keys().map(|version| format!("/apis/{group}/{version}")));
        }
    }
    for path in [
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ] {
        paths.push(path.to_owned());
    }
    paths.sort();
    serde_json::json!({"paths": paths})
}

async fn health(server: &Server, exchange: &Exchange, root: &str, only: &[&str]) -> Response {
    let store = server.store.status().await;
    let problem = match store {
        Ok(status) if status.problems.is_empty() => None,
        Ok(status) => Some(status.problems.join("; ")),
        Err(error) => Some(said(&error)),
    };
    let behind = server.cache.fresh().await.err().map(|error| error.to_string());
    let mut checks = vec![Check { name: "ping", problem: None }, Check { name: "log", problem: None }];
    if root != "livez" {
        checks.push(Check { name: "etcd", problem });
        checks.push(Check { name: "informer-sync", problem: behind });
    }
    if root == "readyz" {
        let stopping = server.shutdown.is_triggered().then(|| "process is shutting down".to_owned());
        checks.push(Check { name: "shutdown", problem: stopping });
    }
    health::answer(root, only.first().copied(), &checks, &exchange.query)
}

fn said(error: &StoreError) -> String {
    base::chain(error)
}

async fn metrics(server: &Server) -> Response {
    let mut objects = Vec::new();
    let (mut bytes, mut window) = (Vec::new(), Vec::new());
    for (prefix, shelf) in server.cache.shelves() {
        let label = format!("resource=\"{}\"", prefix.trim_start_matches("/registry/").trim_end_matches('/'));
        let (count, object_bytes, window_bytes) = shelf.sizes();
        objects.push((label.clone(), count as f64));
        bytes.push((label.clone(), object_bytes as f64));
        window.push((label, window_bytes as f64));
    }
    let (reads, writes) = server.limits.in_flight();
    let mut gauges = vec![
        Gauge { name: "apiserver_storage_objects", help: "Objects by resource.", values: objects },
        Gauge {
            name: "cluster_cache_object_bytes",
            help: "Bytes of the objects in the cache.",
            values: bytes,
        },
        Gauge {
            name: "cluster_cache_window_bytes",
            help: "Bytes of the events that watches can go on from.",
            values: window,
        },
        Gauge {
            name: "apiserver_current_inflight_requests",
            help: "Requests under way.",
            values: vec![
                ("request_kind=\"readOnly\"".to_owned(), reads as f64),
                ("request_kind=\"mutating\"".to_owned(), writes as f64),
            ],
        },
        Gauge {
            name: "apiserver_longrunning_requests",
            help: "Watches under way.",
            values: vec![("verb=\"WATCH\"".to_owned(), server.limits.watches() as f64)],
        },
        Gauge {
            name: "cluster_cache_revision",
            help: "The store's revision that the cache has come to.",
            values: vec![(String::new(), server.cache.reached().0 as f64)],
        },
    ];
    if let Ok(status) = server.store.status().await {
        gauges.push(Gauge {
            name: "apiserver_storage_size_bytes",
            help: "Bytes of the store on disk.",
            values: vec![(String::new(), status.disk_bytes as f64)],
        });
        if let Some(sync) = status.last_sync {
            gauges.push(Gauge {
                name: "cluster_store_sync_seconds",
                help: "How long the store's last write to disk took.",
                values: vec![(String::new(), sync.as_secs_f64())],
            });
        }
    }
    respond::text(200, server.metrics.text(&gauges))
}
