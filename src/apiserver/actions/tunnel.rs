//! The way to agents: a request passed on, its answer or its upgraded connection passed back.

use std::net::IpAddr;
use std::time::Duration;

use api::meta;
use api::status::Status;
use bytes::Bytes;
use futures::TryStreamExt as _;
use http_body_util::{BodyExt as _, BodyStream, Empty};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::exchange::Exchange;
use crate::http::{Body, BodyError, Response};
use crate::refusal::{Refusal, Result};
use crate::server::Server;

/// For a connection with its handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// Where nodes are kept.
const NODES: &str = "/registry/minions/";
/// The agent's port.
const PORT: u16 = 10250;

/// Passes a request on to the agent of `node`.
pub(super) async fn forward(
    server: &Server,
    exchange: &Exchange,
    node: &str,
    path: &str,
) -> Result<Response> {
    let failed = |why: String| Refusal::from(Status::unavailable(format!("error dialing backend: {why}")));
    let wants = exchange.headers.get(UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let streams = !path.starts_with("/containerLogs");
    if streams && !wants.eq_ignore_ascii_case("SPDY/3.1") {
        // Clients that try websockets first fall back on SPDY when they are told so.
        return Err(Status::bad_request("Upgrade request required: SPDY/3.1 is what is spoken here").into());
    }
    let there = ask(server, exchange, node, path).await.map_err(failed)?;
    if there.status() == StatusCode::SWITCHING_PROTOCOLS {
        return join(exchange, there);
    }
    if there.status() != StatusCode::OK {
        let code = there.status().as_u16();
        let words = there.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        return Err(match code {
            400 => Status::bad_request(words).into(),
            code => Refusal::plain(code, if code == 404 { "NotFound" } else { "InternalError" }, words),
        });
    }
    let pieces = BodyStream::new(there.into_body()).map_ok(|frame| frame.into_data().unwrap_or_default());
    let pieces = pieces.map_err(|error| BodyError(error.to_string()));
    let mut response = Response::new(Body::Stream(Box::pin(pieces)));
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/plain"));
    Ok(response)
}

async fn ask(
    server: &Server,
    exchange: &Exchange,
    node: &str,
    path: &str,
) -> std::result::Result<hyper::Response<Incoming>, String> {
    let tls = server.agents.clone().ok_or("this server has no certificate for agents")?;
    let address = address(server, node).ok_or_else(|| format!("no address of the node {node:?} is known"))?;
    let name = ServerName::try_from(node.to_owned()).map_err(|error| error.to_string())?;
    let connect = async {
        let stream = TcpStream::connect((address, PORT)).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(tls).connect(name, stream).await
    };
    let stream = tokio::time::timeout(CONNECT, connect).await;
    let stream = stream.map_err(|_| format!("dial tcp {address}:{PORT}: i/o timeout"))?;
    let stream = stream.map_err(|error| format!("dial tcp {address}:{PORT}: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection.with_upgrades());
    let mut asked = Request::builder().method(&exchange.method).uri(path).header(HOST, node);
    for (name, value) in &exchange.headers {
        let passed = name == CONNECTION || name == UPGRADE || name.as_str().starts_with("x-stream");
        if passed && !path.starts_with("/containerLogs") {
            asked = asked.header(name, value);
        }
    }
    let asked = asked.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    sender.send_request(asked).await.map_err(|error| error.to_string())
}

/// Where a node is reached.
fn address(server: &Server, node: &str) -> Option<IpAddr> {
    let entry = server.cache.shelf(NODES)?.get(node)?;
    let object: Value = serde_json::from_slice(entry.bytes()).ok()?;
    let all = meta::list_at(&object, "status.addresses");
    all.iter().find(|one| one["type"] == "InternalIP")?["address"].as_str()?.parse().ok()
}

/// Joins the client's connection with the agent's.
fn join(exchange: &Exchange, mut there: hyper::Response<Incoming>) -> Result<Response> {
    let near = exchange.extensions.get::<OnUpgrade>().cloned();
    let near =
        near.ok_or_else(|| Refusal::from(Status::bad_request("this connection cannot be upgraded")))?;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = there.headers().clone();
    let far = hyper::upgrade::on(&mut there);
    tokio::spawn(async move {
        if let (Ok(near), Ok(far)) = tokio::join!(near, far) {
            let _ = copy_bidirectional(&mut TokioIo::new(near), &mut TokioIo::new(far)).await;
        }
    });
    Ok(response)
}
