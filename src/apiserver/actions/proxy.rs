//! `proxy` of pods, Services and nodes: a request handed on to what runs there, and its answer,
//! or its upgraded connection, handed back.
//!
//! As upstream: credentials stay here, headers of a hop go no further, and the certificate of an
//! `https:` backend is not looked at, since nobody said whose it should be.

use std::sync::Arc;
use std::time::Duration;

use api::meta;
use api::status::Status;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::{BodyStream, Either, Full};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::tunnel;
use crate::exchange::{Exchange, Scope};
use crate::http::{Body, BodyError, RequestBody, Response};
use crate::refusal::{Refusal, Result};
use crate::server::Server;

const CONNECT: Duration = Duration::from_secs(10);
/// The agent's port.
const AGENT: u16 = 10250;
const SLICES: &str = "/registry/endpointslices/";
/// Headers of one hop.
const HOP: &[HeaderName] =
    &[CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// `https:web:443` as a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named<'a> {
    /// Empty where it is not said.
    pub(super) scheme: &'a str,
    /// The object.
    pub(super) name: &'a str,
    /// A number or a name; empty where it is not said.
    pub(super) port: &'a str,
}

/// Where a request goes.
#[derive(Debug, PartialEq)]
struct Backend {
    host: String,
    port: u16,
    tls: bool,
    /// The node, where it is an agent, which knows us by our certificate.
    agent: Option<String>,
}

/// Splits a name with a scheme and a port.
pub(super) fn named(text: &str) -> Option<Named<'_>> {
    let (scheme, name, port) = match text.split(':').collect::<Vec<_>>()[..] {
        [scheme, name, port] => (scheme, name, port),
        [name, port] => ("", name, port),
        [name] => ("", name, ""),
        _ => return None,
    };
    (["", "http", "https"].contains(&scheme) && !name.is_empty()).then_some(Named { scheme, name, port })
}

/// Hands a request on to `object`.
pub(super) async fn answer(
    server: &Server,
    exchange: &Exchange,
    scope: &Scope,
    named: Named<'_>,
    object: &Value,
) -> Result<Response> {
    let (before, path) = cut(&exchange.info.path);
    if path.is_empty() && exchange.method == Method::GET {
        // So that relative links of the page lead back here.
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        let place = with_query(&format!("{}/", exchange.info.path), &exchange.query.encoded());
        if let Ok(value) = HeaderValue::from_str(&place) {
            response.headers_mut().insert(LOCATION, value);
        }
        return Ok(response);
    }
    let backend = match &*scope.kind.kind {
        "Pod" => of_pod(named, object)?,
        "Service" => of_service(server, named, object)?,
        _ => of_node(server, named, object)?,
    };
    let path = if path.is_empty() { "/" } else { path };
    let target = with_query(path, &exchange.query.encoded());
    let failed =
        |why: String| Refusal::from(Status::unavailable(format!("error trying to reach service: {why}")));
    let there = ask(server, exchange, &backend, &target).await.map_err(failed)?;
    if there.status() == StatusCode::SWITCHING_PROTOCOLS {
        return tunnel::join(exchange, there);
    }
    Ok(handed_back(there, before, &backend))
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// What is before and after the segment `proxy` of a path.
fn cut(path: &str) -> (&str, &str) {
    // /api/v1/nodes/N/proxy, or with /namespaces/NS and a plural before the name.
    let names = if path.starts_with("/api/v1/namespaces/") { 7 } else { 5 };
    let end = path.match_indices('/').nth(names).map_or(path.len(), |(at, _)| at);
    path.split_at(end)
}

fn refused(says: impl Into<String>) -> Refusal {
    Status::bad_request(says).into()
}

fn of_pod(named: Named<'_>, pod: &Value) -> Result<Backend> {
    let host = meta::str_at(pod, "status.podIP");
    if host.is_empty() {
        return Err(refused("address not allowed"));
    }
    let containers = meta::list_at(pod, "spec.containers");
    let mut ports = containers.iter().flat_map(|one| meta::list_at(one, "ports"));
    let mut first = || ports.next().and_then(|port| port["containerPort"].as_u64()).unwrap_or(80);
    let port = if named.port.is_empty() { Ok(first()) } else { named.port.parse::<u64>() };
    let port = port.ok().and_then(|port| u16::try_from(port).ok());
    let port =
        port.ok_or_else(|| refused(format!("invalid port {:?} of pod {:?}", named.port, named.name)))?;
    Ok(Backend { host: host.to_owned(), port, tls: named.scheme == "https", agent: None })
}

fn of_service(server: &Server, named: Named<'_>, service: &Value) -> Result<Backend> {
    let none = || Status::unavailable(format!("no endpoints available for service {:?}", named.name));
    let ports = meta::list_at(service, "spec.ports");
    let is_named = |port: &&Value| {
        port["name"].as_str().unwrap_or_default() == named.port
            || port["port"].as_u64().is_some_and(|number| number.to_string() == named.port)
    };
    let wanted = match named.port {
        "" if ports.len() == 1 => ports.first(),
        _ => ports.iter().find(is_named),
    };
    let Some(wanted) = wanted else {
        return Err(Status::unavailable(format!(
            "no service port {:?} found for service {:?}",
            named.port, named.name
        ))
        .into());
    };
    let name = wanted["name"].as_str().unwrap_or_default();
    let shelf = server.cache.shelf(SLICES).ok_or_else(none)?;
    let mut all = Vec::new();
    for entry in shelf.list(&format!("{}/", meta::namespace(service))).entries {
        let Ok(slice) = serde_json::from_slice::<Value>(entry.bytes()) else { continue };
        if meta::label(&slice, "kubernetes.io/service-name") == Some(named.name) {
            all.extend(ready(&slice, name));
        }
    }
    if all.is_empty() {
        return Err(none().into());
    }
    let chosen = usize::try_from(server.random()).unwrap_or(0) % all.len();
    let (host, port) = all.swap_remove(chosen);
    Ok(Backend { host, port, tls: named.scheme == "https", agent: None })
}

/// The endpoints of a slice that are ready, with their port of this name.
fn ready(slice: &Value, name: &str) -> Vec<(String, u16)> {
    let port =
        meta::list_at(slice, "ports").iter().find(|port| port["name"].as_str().unwrap_or_default() == name);
    let Some(port) = port.and_then(|port| port["port"].as_u64()).and_then(|port| u16::try_from(port).ok())
    else {
        return Vec::new();
    };
    let endpoints = meta::list_at(slice, "endpoints").iter();
    let serving = endpoints.filter(|one| one["conditions"]["ready"] != false);
    serving.filter_map(|one| Some((one["addresses"][0].as_str()?.to_owned(), port))).collect()
}

fn of_node(server: &Server, named: Named<'_>, node: &Value) -> Result<Backend> {
    let name = meta::name(node);
    let address = tunnel::address(server, name)
        .ok_or_else(|| Status::unavailable(format!("no address of the node {name:?} is known")))?;
    let port = if named.port.is_empty() { Some(AGENT) } else { named.port.parse().ok() };
    let port = port.ok_or_else(|| refused(format!("invalid port {:?} of node {name:?}", named.port)))?;
    let agent = (port == AGENT).then(|| name.to_owned());
    Ok(Backend { host: address.to_string(), port, tls: agent.is_some() || named.scheme == "https", agent })
}

/// A stream of bytes, plain or not.
trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

async fn connect(server: &Server, backend: &Backend) -> std::result::Result<Box<dyn Line>, String> {
    let at = format!("{}:{}", backend.host, backend.port);
    let failed = |error: &dyn std::fmt::Display| format!("dial tcp {at}: {error}");
    let open = async {
        let stream = TcpStream::connect((&*backend.host, backend.port)).await.map_err(|e| failed(&e))?;
        stream.set_nodelay(true).map_err(|e| failed(&e))?;
        if !backend.tls {
            return Ok(Box::new(stream) as Box<dyn Line>);
        }
        let config = match &backend.agent {
            Some(_) => server.agents.clone().ok_or("this server has no certificate for agents")?,
            None => trusting()?,
        };
        let name = backend.agent.as_ref().unwrap_or(&backend.host).clone();
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|e| failed(&e))?;
        Ok(Box::new(stream) as Box<dyn Line>)
    };
    tokio::time::timeout(CONNECT, open).await.unwrap_or_else(|_| Err(failed(&"i/o timeout")))
}

async fn ask(
    server: &Server,
    exchange: &Exchange,
    backend: &Backend,
    target: &str,
) -> std::result::Result<hyper::Response<Incoming>, String> {
    let stream = connect(server, backend).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection.with_upgrades());
    let upgrades = exchange.headers.contains_key(UPGRADE);
    let mut request = Request::builder().method(&exchange.method).uri(target);
    for (name, value) in &exchange.headers {
        let held = HOP.contains(name) && !(upgrades && (name == CONNECTION || name == UPGRADE));
        let ours = name == AUTHORIZATION || name == HOST || name.as_str().starts_with("impersonate-");
        if !held && !ours {
            request = request.header(name, value);
        }
    }
    let host = if backend.port == 80 && !backend.tls {
        backend.host.clone()
    } else {
        format!("{}:{}", backend.host, backend.port)
    };
    let asked = exchange.header(HOST).unwrap_or_default().to_owned();
    request = request
        .header(HOST, host)
        .header("x-forwarded-uri", &*exchange.info.path)
        .header("x-forwarded-proto", "https");
    if !asked.is_empty() {
        request = request.header("x-forwarded-host", asked);
    }
    let body = match exchange.take_body() {
        Some(RequestBody::Wire(body)) => Either::Left(body),
        Some(RequestBody::Held(bytes)) => Either::Right(Full::new(bytes)),
        None => Either::Right(Full::new(Bytes::new())),
    };
    let request = request.body(body).map_err(|error| error.to_string())?;
    sender.send_request(request).await.map_err(|error| base::chain(&error))
}

/// The backend's answer, its own addresses made those of the proxy.
fn handed_back(there: hyper::Response<Incoming>, before: &str, backend: &Backend) -> Response {
    let (head, body) = there.into_parts();
    let pieces = BodyStream::new(body).map_ok(|frame| frame.into_data().unwrap_or_default());
    let pieces = pieces.map_err(|error| BodyError(error.to_string()));
    let mut response = Response::new(Body::Stream(Box::pin(pieces)));
    *response.status_mut() = head.status;
    let mut headers: HeaderMap = head.headers;
    HOP.iter().for_each(|name| drop(headers.remove(name)));
    if let Some(place) = headers.get(LOCATION).and_then(|value| value.to_str().ok())
        && let Some(place) = moved(place, before, backend)
        && let Ok(value) = HeaderValue::from_str(&place)
    {
        headers.insert(LOCATION, value);
    }
    *response.headers_mut() = headers;
    response
}

/// A redirection within the backend, as the client has to follow it.
fn moved(place: &str, before: &str, backend: &Backend) -> Option<String> {
    let own = format!("{}://{}:{}", if backend.tls { "https" } else { "http" }, backend.host, backend.port);
    let path = place.strip_prefix(&own).unwrap_or(place);
    path.starts_with('/').then(|| format!("{before}{path}"))
}

/// TLS that believes whatever it is shown.
fn trusting() -> std::result::Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    Ok(Arc::new(config.with_no_client_auth()))
}

#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_paths_and_redirections_are_read_as_upstream_reads_them() {
        let is = |scheme, name, port| Some(Named { scheme, name, port });
        assert_eq!(named("web"), is("", "web", ""));
        assert_eq!(named("web:80"), is("", "web", "80"));
        assert_eq!(named("https:web:"), is("https", "web", ""));
        assert_eq!(named("ftp:web:21"), None);
        assert_eq!(named("a:b:c:d"), None);
        let pod = "/api/v1/namespaces/a/pods/p:80/proxy";
        assert_eq!(cut(pod), (pod, ""));
        assert_eq!(cut(&format!("{pod}/x/proxy/y")), (pod, "/x/proxy/y"));
        assert_eq!(cut("/api/v1/nodes/n/proxy/logs/"), ("/api/v1/nodes/n/proxy", "/logs/"));
        let backend = Backend { host: "10.0.0.1".to_owned(), port: 80, tls: false, agent: None };
        assert_eq!(
            moved("/login", pod, &backend).as_deref(),
            Some("/api/v1/namespaces/a/pods/p:80/proxy/login")
        );
        assert_eq!(
            moved("http://10.0.0.1:80/x", pod, &backend).as_deref(),
            Some("/api/v1/namespaces/a/pods/p:80/proxy/x")
        );
        assert_eq!(moved("https://elsewhere/", pod, &backend), None);
    }

    #[test]
    fn backends_are_a_pods_first_port_and_a_slices_ready_endpoints() {
        let pod = json!({"spec": {"containers": [{}, {"ports": [{"containerPort": 8080}]}]}, "status": {"podIP": "10.0.0.2"}});
        let found = |text: &str| of_pod(named(text).unwrap(), &pod).map(|to| (to.host, to.port, to.tls)).ok();
        assert_eq!(found("p"), Some(("10.0.0.2".to_owned(), 8080, false)));
        assert_eq!(found("https:p:443"), Some(("10.0.0.2".to_owned(), 443, true)));
        assert_eq!(found("p:http"), None);
        let slice = json!({"ports": [{"name": "http", "port": 80}], "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}}, {"addresses": ["10.0.0.2"], "conditions": {"ready": false}}]});
        assert_eq!(ready(&slice, "http"), [("10.0.0.1".to_owned(), 80)]);
        assert_eq!(ready(&slice, "other"), []);
    }
}
