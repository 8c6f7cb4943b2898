//! Connections to what runs: log, exec, attach, portforward, proxy; and watches over websockets.
//! What can be known without a node is answered here; the rest is the agent's, or the pod's.

mod dial;
mod line;
mod ports;
mod proxy;
mod remote;
mod tunnel;

use api::field_error::{At, Errors, Path};
use api::meta;
use api::status::{Qualified, Status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::BodyStream;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, UPGRADE};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use streams::channel::DIALECTS;

use crate::exchange::{Exchange, Scope};
use crate::http::websocket::{self, Offer};
use crate::http::{Body, BodyError, Response};
use crate::limits::Permit;
use crate::options::number;
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;
use crate::write::commit;
use dial::Target;

/// What streams are spoken in, and with which agents upgrade.
const SPDY: &str = "SPDY/3.1";
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// A port-forward's SPDY in a websocket, and alone.
const CARRIED: &str = "SPDY/3.1+portforward.k8s.io";
const FORWARD: &str = "portforward.k8s.io";
/// Logs over websockets: as they are, or as base64.
const LOGS: [(&str, bool); 3] = [("", false), ("binary.k8s.io", false), ("base64.binary.k8s.io", true)];

/// Answers a connection.
pub async fn answer(server: &Server, exchange: &Exchange, scope: &Scope, part: &str) -> Result<Response> {
    let info = &exchange.info;
    if part == "log" {
        check_log(exchange)?;
    }
    // A websocket begins with GET: who may only read must not get in by that.
    if matches!(part, "exec" | "attach" | "portforward") && info.verb != "create" {
        server.authorize(exchange, "create")?;
    }
    let permit = server.limits.tunnel(&exchange.user)?;
    server.cache.fresh().await?;
    if part == "proxy" {
        return proxy::answer(server, exchange, scope, permit).await;
    }
    let object = object(scope, &info.namespace, &info.name)?;
    pod(server, exchange, &object, part, permit).await
}

/// An object by its name.
fn object(scope: &Scope, namespace: &str, name: &str) -> Result<Value> {
    let entry = scope.shelf.get(&scope.key(namespace, name));
    let entry = entry.ok_or_else(|| commit::not_found(scope, name))?;
    Ok(serde_json::from_slice(entry.bytes()).map_err(Status::internal)?)
}

async fn pod(
    server: &Server,
    exchange: &Exchange,
    pod: &Value,
    part: &str,
    permit: Permit,
) -> Result<Response> {
    let node = meta::str_at(pod, "spec.nodeName");
    if part != "portforward" {
        check_container(exchange.query.text("container"), pod)?;
    }
    if node.is_empty() {
        if part == "log" {
            return Ok(respond::nothing(204));
        }
        let says = format!("pod {} does not have a host assigned", meta::name(pod));
        return Err(Status::bad_request(says).into());
    }
    let container = exchange.query.text("container");
    let first = meta::list_at(pod, "spec.containers").first().map_or("", |one| meta::str_at(one, "name"));
    let container = if container.is_empty() { first } else { container };
    let (namespace, name) = (meta::namespace(pod), meta::name(pod));
    let path = match part {
        "log" => format!("/containerLogs/{namespace}/{name}/{container}?{}", log_query(exchange)),
        "portforward" => format!("/portForward/{namespace}/{name}?{}", repeated(exchange, "ports", "port")),
        part => format!("/{part}/{namespace}/{name}/{container}?{}", stream_query(exchange)),
    };
    let there = Target::agent(server, node).map_err(unreached)?;
    let offer = Offer::of(&exchange.headers).map_err(Status::bad_request)?;
    match (part, offer) {
        ("log", offer) => log(server, exchange, &there, &path, offer, permit).await,
        ("portforward", Some(offer)) => {
            let dialect = if offer.choose(&[CARRIED], |name| name).is_some() {
                None
            } else {
                Some(offer.choose(&DIALECTS[1..], |dialect| dialect.name).ok_or_else(no_protocol)?)
            };
            let ports = ports::read(exchange.query.all("ports"));
            let ports = if dialect.is_none() { Some(Vec::new()) } else { ports };
            let ports = ports.ok_or_else(|| Status::bad_request("ports: 1 to 100 of them, as numbers"))?;
            let near = tunnel::near(exchange)?;
            let there = upgraded(&there, Method::POST, &path, &[FORWARD.to_owned()]).await?;
            tunnel::run(server, permit, near, there, move |near, far| async move {
                match dialect {
                    None => tunnel::carry(near, far).await,
                    Some(dialect) => ports::translate(near, far, dialect, &ports).await,
                }
            });
            Ok(offer.accept(dialect.map_or(CARRIED, |dialect| dialect.name)))
        }
        (_, Some(offer)) => {
            let dialect = offer.choose(&DIALECTS, |dialect| dialect.name).ok_or_else(no_protocol)?;
            let channels = remote::channels(|name| exchange.query.flag(name));
            let there = upgraded(&there, Method::POST, &path, &["v4.channel.k8s.io".to_owned()]).await?;
            tunnel::run(server, permit, tunnel::near(exchange)?, there, move |near, far| async move {
                remote::translate(near, far, dialect, &channels).await;
            });
            Ok(offer.accept(dialect.name))
        }
        (_, None) if websocket::upgrade(&exchange.headers).as_deref() == Some("spdy/3.1") => {
            let asked = websocket::words(&exchange.headers, STREAM_PROTOCOL);
            let there = upgraded(&there, exchange.method.clone(), &path, &asked).await?;
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.headers_mut() = there.headers().clone();
            tunnel::run(server, permit, tunnel::near(exchange)?, there, tunnel::join);
            Ok(response)
        }
        _ => Err(Status::bad_request("Upgrade request required").into()),
    }
}

fn unreached(why: String) -> Refusal {
    Status::unavailable(format!("error dialing backend: {why}")).into()
}

fn no_protocol() -> Refusal {
    Status::bad_request("none of the websocket's subprotocols is spoken here").into()
}

/// Asks an agent for streams; its refusal is the answer.
async fn upgraded(
    there: &Target,
    method: Method,
    path: &str,
    protocols: &[String],
) -> Result<hyper::Response<Incoming>> {
    let mut asked = Request::builder().method(method).uri(path);
    asked = asked.header(CONNECTION, "Upgrade").header(UPGRADE, SPDY);
    for protocol in protocols {
        asked = asked.header(STREAM_PROTOCOL, protocol);
    }
    let answer = ask(there, asked).await?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(answer);
    }
    Err(refused(answer).await)
}

async fn ask(there: &Target, asked: hyper::http::request::Builder) -> Result<hyper::Response<Incoming>> {
    let asked = asked.body(dial::nothing()).map_err(Status::internal)?;
    there.send(asked).await.map_err(unreached)
}

/// An agent's refusal, in its own words.
async fn refused(answer: hyper::Response<Incoming>) -> Refusal {
    let code = answer.status().as_u16();
    let body = http_body_util::Limited::new(answer.into_body(), WORDS);
    let words = http_body_util::BodyExt::collect(body).await.map(|body| body.to_bytes()).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    match code {
        400 => Status::bad_request(words).into(),
        404 => Refusal::plain(404, "NotFound", words),
        code if code < 400 => Status::internal(format!("the agent answered with {code}: {words}")).into(),
        code => Refusal::plain(code, "InternalError", words),
    }
}

/// Longest refusal that is passed on.
const WORDS: usize = 64 * 1024;

async fn log(
    server: &Server,
    exchange: &Exchange,
    there: &Target,
    path: &str,
    offer: Option<Offer>,
    permit: Permit,
) -> Result<Response> {
    let chosen = offer.as_ref().map(|offer| offer.choose(&LOGS, |(name, _)| name).ok_or_else(no_protocol));
    let chosen = chosen.transpose()?;
    let answer = ask(there, Request::builder().uri(path)).await?;
    if answer.status() != StatusCode::OK {
        return Err(refused(answer).await);
    }
    let body = pieces(answer);
    if let (Some(offer), Some((name, base64))) = (offer, chosen) {
        let near = tunnel::near(exchange)?;
        tunnel::spawn(server, permit, async move {
            let Ok(near) = near.await else { return };
            let near = websocket::open(TokioIo::new(near)).await;
            let write = |bytes: Bytes| {
                let bytes = if base64 { STANDARD.encode(&bytes).into() } else { bytes };
                websocket::message(base64, bytes)
            };
            tunnel::tell(near, Box::pin(body), write).await;
        });
        return Ok(offer.accept(name));
    }
    let mut response = Response::new(held(body, permit));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// A watch, as messages of one event each where its client asked for a websocket.
pub async fn watched(server: &Server, exchange: &Exchange, response: Response) -> Result<Response> {
    let Some(offer) = Offer::of(&exchange.headers).map_err(Status::bad_request)? else { return Ok(response) };
    let name = offer.choose(&[""], |name| name).ok_or_else(no_protocol)?;
    let (permit, near) = (server.limits.tunnel(&exchange.user)?, tunnel::near(exchange)?);
    let events = tunnel::lines(BodyStream::new(response.into_body()));
    tunnel::spawn(server, permit, async move {
        let Ok(near) = near.await else { return };
        let near = websocket::open(TokioIo::new(near)).await;
        tunnel::tell(near, Box::pin(events), |line| websocket::message(true, line)).await;
    });
    Ok(offer.accept(name))
}

/// The body of an answer, piece by piece.
fn pieces(
    answer: hyper::Response<Incoming>,
) -> impl futures::Stream<Item = std::result::Result<Bytes, BodyError>> + Send + 'static {
    let pieces = BodyStream::new(answer.into_body()).map_ok(|frame| frame.into_data().unwrap_or_default());
    pieces.map_err(|error| BodyError(error.to_string()))
}

/// A body that counts as long as it flows.
fn held(
    body: impl futures::Stream<Item = std::result::Result<Bytes, BodyError>> + Send + 'static,
    permit: Permit,
) -> Body {
    Body::stream(body.inspect_ok(move |_| {
        let _ = &permit;
    }))
}

fn log_query(exchange: &Exchange) -> String {
    let fields = ["follow", "previous", "timestamps", "tailLines", "limitBytes", "sinceSeconds", "sinceTime"];
    let given =
        fields.iter().filter_map(|field| Some(format!("{field}={}", encoded(exchange.query.get(field)?))));
    given.collect::<Vec<_>>().join("&")
}

/// The streams asked for, in the agent's words.
fn stream_query(exchange: &Exchange) -> String {
    let streams = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
    let given =
        streams.iter().filter(|(field, _)| exchange.query.flag(field)).map(|(_, word)| format!("{word}=1"));
    let given: Vec<String> = given.collect();
    format!("{}&{}", given.join("&"), repeated(exchange, "command", "command"))
}

fn repeated(exchange: &Exchange, field: &str, word: &str) -> String {
    let all: Vec<String> =
        exchange.query.all(field).map(|value| format!("{word}={}", encoded(value))).collect();
    all.join("&")
}

fn encoded(text: &str) -> String {
    percent(text, b"-._~")
}

/// Percent-encoding of all but letters, digits and `plain`.
fn percent(text: &str, plain: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || plain.contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A container must be one of the pod's; it may be left out where there is only one.
fn check_container(wanted: &str, pod: &Value) -> Result<()> {
    let names = |path: &str| -> Vec<&str> {
        meta::list_at(pod, path).iter().map(|container| meta::str_at(container, "name")).collect()
    };
    let (containers, before) = (names("spec.containers"), names("spec.initContainers"));
    let name = meta::name(pod);
    if wanted.is_empty() {
        if containers.len() == 1 {
            return Ok(());
        }
        let mut says = format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            containers.join(" ")
        );
        if !before.is_empty() {
            says.push_str(&format!(" or one of the init containers: [{}]", before.join(" ")));
        }
        return Err(Status::bad_request(says).into());
    }
    let later = names("spec.ephemeralContainers");
    if containers.iter().chain(&before).chain(&later).any(|known| *known == wanted) {
        return Ok(());
    }
    Err(Status::bad_request(format!("container {wanted} is not valid for pod {name}")).into())
}

fn check_log(exchange: &Exchange) -> Result<()> {
    let query = &exchange.query;
    let mut errors = Errors::new();
    let bounds = [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ];
    for (field, least, says) in bounds {
        if let Some(value) = number(query, field)?.filter(|value| *value < least) {
            let value = Value::from(value);
            errors.invalid(&At::new(Some(&value), Path::of(field)), says);
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let what = Qualified { group: "", name: "PodLogOptions" };
    Err(Status::invalid(what, &exchange.info.name, errors).into())
}
