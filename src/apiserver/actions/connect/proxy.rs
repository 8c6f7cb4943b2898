//! Requests passed on to pods, Services and nodes, with their bodies and upgrades as they are.
//!
//! Upstream's rules: where a name leads, what is taken off a request before it leaves, and what
//! is made of redirects in the answer. Links in HTML are left as they are.

use std::net::IpAddr;

use api::meta;
use api::status::Status;
use hyper::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;

use super::dial::{self, Target};
use super::{held, object, pieces, tunnel};
use crate::exchange::{Exchange, Scope};
use crate::http::{Body, Peer, Response, websocket};
use crate::limits::Permit;
use crate::refusal::Result;
use crate::request::RequestInfo;
use crate::respond;
use crate::server::Server;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
/// Headers that are about one connection.
const HOP: [HeaderName; 8] = [
    CONNECTION,
    PROXY_CONNECTION,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
];
const SLICES: &str = "/registry/endpointslices/";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What a name in a proxy's path says: `web`, `web:80`, `https:web:443`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named<'a> {
    https: bool,
    name: &'a str,
    port: &'a str,
}

impl<'a> Named<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (scheme, name, port) = match text.split(':').collect::<Vec<_>>()[..] {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => return None,
        };
        let known = matches!(scheme, "" | "http" | "https") && !name.is_empty();
        known.then_some(Self { https: scheme == "https", name, port })
    }
}

/// Passes a request on.
pub(super) async fn answer(
    server: &Server,
    exchange: &Exchange,
    scope: &Scope,
    permit: Permit,
) -> Result<Response> {
    let info = &exchange.info;
    let kind = scope.kind.kind.to_ascii_lowercase();
    let named = Named::read(&info.name)
        .ok_or_else(|| Status::bad_request(format!("invalid {kind} request {:?}", info.name)))?;
    let object = object(scope, &info.namespace, named.name)?;
    let target = match &*kind {
        "pod" => pod(&object, named)?,
        "service" => service(server, &object, named, &info.name)?,
        _ => node(server, named)?,
    };
    let place = Place::of(info);
    if place.path.is_empty() && matches!(exchange.method, Method::GET | Method::HEAD) {
        return Ok(redirect(&format!("{}/{}", info.path, query(exchange))));
    }
    pass(server, exchange, &target, &place, permit).await
}

/// A path behind a proxy, and the one that leads to it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    path: String,
    prefix: String,
}

impl Place {
    fn of(info: &RequestInfo) -> Self {
        let mut path = info.parts.get(3..).unwrap_or_default().join("/");
        if !path.is_empty() {
            path.insert(0, '/');
        }
        if info.path.ends_with('/') && !path.ends_with('/') {
            path.push('/');
        }
        let prefix = info.path.strip_suffix(path.as_str()).unwrap_or(&info.path).to_owned();
        Self { path, prefix }
    }

    /// Where a redirect of what is behind leads when it is followed through the proxy.
    fn location(&self, told: &str, hosts: [&str; 2]) -> String {
        let rest = told.split_once("://").map(|(_, rest)| rest).or_else(|| told.strip_prefix("//"));
        let path = match rest {
            Some(rest) => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                let (host, path) = rest.split_at(end);
                if !hosts.contains(&host) {
                    return told.to_owned();
                }
                path
            }
            None => told,
        };
        let whole = rest.is_some() && !path.starts_with('/');
        if !whole && (!path.starts_with('/') || path.starts_with(&self.prefix)) {
            return if rest.is_some() { path.to_owned() } else { told.to_owned() };
        }
        format!("{}{path}", self.prefix)
    }
}

fn redirect(to: &str) -> Response {
    let mut response = respond::nothing(301);
    if let Ok(value) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

/// The query as it came, with its question mark.
fn query(exchange: &Exchange) -> String {
    let uri = exchange.extensions.get::<hyper::Uri>();
    uri.and_then(hyper::Uri::query).map(|query| format!("?{query}")).unwrap_or_default()
}

fn not_allowed() -> Status {
    Status::bad_request("address not allowed")
}

/// Whether an address is one machine's in a network: not this host, its link, or many.
fn is_machine(address: IpAddr) -> bool {
    let link = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(link || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

fn pod(pod: &Value, named: Named<'_>) -> Result<Target> {
    let address = meta::str_at(pod, "status.podIP");
    if !address.parse().is_ok_and(is_machine) {
        return Err(not_allowed().into());
    }
    let containers = meta::list_at(pod, "spec.containers").iter();
    let first = containers.filter_map(|one| one["ports"][0]["containerPort"].as_u64()).next();
    let first = first.map(|port| port.to_string()).unwrap_or_default();
    let port = if named.port.is_empty() { &first } else { named.port };
    Ok(Target::open(address, port, named.https))
}

fn node(server: &Server, named: Named<'_>) -> Result<Target> {
    match Target::on_node(server, named.name, named.https, named.port) {
        Some((target, address)) if !named.port.is_empty() => {
            if is_machine(address) {
                Ok(target)
            } else {
                Err(not_allowed().into())
            }
        }
        _ => Ok(Target::agent(server, named.name).map_err(super::unreached)?),
    }
}

/// A ready endpoint of a Service, any of them.
fn service(server: &Server, service: &Value, named: Named<'_>, id: &str) -> Result<Target> {
    let name = meta::name(service);
    let port = match named.port.parse::<i64>() {
        Err(_) => named.port,
        Ok(number) => {
            let ports = meta::list_at(service, "spec.ports");
            let found = ports.iter().find(|port| port["port"].as_i64() == Some(number));
            let found = found.ok_or_else(|| {
                Status::unavailable(format!("no service port {number} found for service {name:?}"))
            })?;
            meta::str_at(found, "name")
        }
    };
    let namespace = meta::namespace(service);
    let slices = server.cache.shelf(SLICES).map(|shelf| shelf.list(&format!("{namespace}/")).entries);
    let mut places = Vec::new();
    for entry in slices.unwrap_or_default() {
        if entry.labels()(SERVICE_NAME).as_deref() == Some(name) {
            let slice: Value = serde_json::from_slice(entry.bytes()).map_err(Status::internal)?;
            places.extend(endpoints(&slice, port));
        }
    }
    let count = places.len();
    let begin = usize::try_from(server.random()).unwrap_or_default().checked_rem(count).unwrap_or_default();
    let mut tried = places.iter().cycle().skip(begin).take(count);
    match tried.find(|place| is_pods(server, namespace, place)) {
        Some(place) => Ok(Target::open(&place.address, &place.port, named.https)),
        None => {
            let id = if count == 0 { name } else { id };
            Err(Status::unavailable(format!("no endpoints available for service {id:?}")).into())
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    address: String,
    port: String,
    pod: String,
}

/// The endpoints of a slice that take connections on a port of this name.
fn endpoints(slice: &Value, port: &str) -> Vec<Endpoint> {
    let ports = meta::list_at(slice, "ports");
    let Some(port) = ports.iter().find(|one| meta::str_at(one, "name") == port) else { return Vec::new() };
    let Some(port) = port["port"].as_u64() else { return Vec::new() };
    let ready = |one: &&Value| one["conditions"]["ready"].as_bool().unwrap_or(true);
    let all = meta::list_at(slice, "endpoints").iter().filter(ready);
    let endpoint = |one: &Value| {
        let pod = (one["targetRef"]["kind"] == "Pod").then(|| meta::str_at(one, "targetRef.name"))?;
        let address = one["addresses"][0].as_str()?.to_owned();
        Some(Endpoint { address, port: port.to_string(), pod: pod.to_owned() })
    };
    all.filter_map(endpoint).collect()
}

/// Whether an address is the pod's that it is said to be: slices are anybody's to write.
fn is_pods(server: &Server, namespace: &str, place: &Endpoint) -> bool {
    let shelf = server.cache.shelf("/registry/pods/");
    let entry = shelf.and_then(|shelf| shelf.get(&format!("{namespace}/{}", place.pod)));
    let pod: Value = entry.and_then(|e| serde_json::from_slice(e.bytes()).ok()).unwrap_or_default();
    let all = meta::list_at(&pod, "status.podIPs");
    all.iter().any(|one| one["ip"] == place.address.as_str()) || pod["status"]["podIP"] == place.address
}

async fn pass(
    server: &Server,
    exchange: &Exchange,
    target: &Target,
    place: &Place,
    permit: Permit,
) -> Result<Response> {
    let upgrade = websocket::upgrade(&exchange.headers).is_some();
    let near = if upgrade { Some(tunnel::near(exchange)?) } else { None };
    let path = if place.path.is_empty() { "/" } else { &place.path };
    let uri = format!("{}{}", escaped(path), query(exchange));
    let body = if upgrade { dial::nothing() } else { dial::passed(exchange.take_body()) };
    let mut request = Request::new(body);
    *request.method_mut() = exchange.method.clone();
    *request.uri_mut() = uri.parse().map_err(|_| Status::bad_request("the path cannot be passed on"))?;
    *request.headers_mut() = outgoing(exchange, place, path);
    let answer = target.send(request).await;
    let answer =
        answer.map_err(|why| Status::unavailable(format!("error trying to reach service: {why}")))?;
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    if let Some(near) = near.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS) {
        tunnel::run(server, permit, near, answer, tunnel::join);
        return Ok(with(status, headers, Body::Empty));
    }
    strip(&mut headers);
    let host = exchange.header(HOST).unwrap_or_default();
    let told = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    if let Some(told) = told.map(|told| place.location(told, [&target.authority, host]))
        && let Ok(value) = HeaderValue::from_str(&told)
    {
        headers.insert(LOCATION, value);
    }
    // The server's end is the end of what it passes on.
    let shutdown = server.shutdown.clone();
    let body = futures::StreamExt::take_until(pieces(answer), async move { shutdown.triggered().await });
    Ok(with(status, headers, held(body, permit)))
}

fn with(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The headers that leave: none of this connection's, none that prove who the client is.
fn outgoing(exchange: &Exchange, place: &Place, path: &str) -> HeaderMap {
    let mut headers = exchange.headers.clone();
    let upgrade = websocket::upgrade(&headers).and_then(|_| headers.get(UPGRADE).cloned());
    strip(&mut headers);
    headers.remove(AUTHORIZATION);
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
    if let Ok(value) = HeaderValue::from_str(&escaped(&format!("{}{path}", place.prefix))) {
        headers.insert(FORWARDED_URI, value);
    }
    let peer = exchange.extensions.get::<Peer>().and_then(|peer| peer.address);
    if let Some(peer) = peer {
        let mut all = websocket::words(&headers, FORWARDED_FOR);
        all.push(peer.ip().to_string());
        if let Ok(value) = HeaderValue::from_str(&all.join(", ")) {
            headers.insert(FORWARDED_FOR, value);
        }
    }
    headers
}

/// Takes off what is about one connection, and what the connection names as such.
fn strip(headers: &mut HeaderMap) {
    for name in websocket::words(headers, CONNECTION) {
        headers.remove(name);
    }
    for name in HOP {
        headers.remove(name);
    }
    headers.remove(UPGRADE);
}

/// A path as it stands in a request line.
fn escaped(path: &str) -> String {
    super::percent(path, b"-._~$&+,/:;=@")
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
