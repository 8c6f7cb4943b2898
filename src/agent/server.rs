//! The kubelet's HTTP API: logs of containers, the way into them (exec, attach, port-forward),
//! what they use, and which pods are here.
//!
//! Who may ask is `doors`' to say. What is upgraded is tunnelled to the runtime's own streaming
//! server as it is, counts as a connection and ends with the agent; it is SPDY from end to end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Shutdown;
use bytes::Bytes;
use client::{Selection, View};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use crate::context::{Context, core};
use crate::cri::messages as m;
use crate::doors::{Caller, Doors};
use crate::log;
use crate::stats::{self, Sampler};

const PORT: u16 = 10250;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a request's head, the next one's too.
const HEAD: Duration = Duration::from_secs(90);
const CONNECTIONS: usize = 1024;
const RETRY: Duration = Duration::from_secs(1);

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What all connections share.
struct Kubelet {
    context: Arc<Context>,
    doors: Doors,
    sampler: Sampler,
    shutdown: Shutdown,
}

/// Serves until stopped.
pub(crate) async fn serve(context: Arc<Context>, shutdown: Shutdown) {
    let kubelet = Arc::new(Kubelet {
        context: Arc::clone(&context),
        doors: Doors::default(),
        sampler: Sampler::default(),
        shutdown: shutdown.clone(),
    });
    while !shutdown.is_triggered() {
        let ended = shutdown.race(listen(&kubelet)).await;
        if let Some(Err(error)) = ended {
            tracing::warn!(%error, "logs and exec cannot be served; trying again");
        }
        shutdown.race(context.clock.sleep(RETRY)).await;
    }
}

async fn listen(kubelet: &Arc<Kubelet>) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls(&kubelet.context).map_err(io::Error::other)?));
    let listener = TcpListener::bind((kubelet.context.config.address, PORT)).await?;
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, from) = listener.accept().await?;
        let (acceptor, kubelet, permit) = (acceptor.clone(), Arc::clone(kubelet), Arc::new(permit));
        tokio::spawn(async move {
            let shutdown = kubelet.shutdown.clone();
            shutdown.race(connection(stream, from, acceptor, kubelet, permit)).await;
        });
    }
}

fn tls(context: &Context) -> Result<ServerConfig, String> {
    let read =
        |path: &std::path::Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&read(&context.config.authority)?) {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error| error.to_string())?;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&read(&context.config.certificate)?).collect();
    let key =
        PrivateKeyDer::from_pem_slice(&read(&context.config.key)?).map_err(|error| error.to_string())?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.map_err(|error| error.to_string())?, key)
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    acceptor: TlsAcceptor,
    kubelet: Arc<Kubelet>,
    permit: Arc<OwnedSemaphorePermit>,
) {
    let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%from, %error, "no TLS"),
        Err(_) => return tracing::debug!(%from, "the handshake took too long"),
    };
    let caller = Caller::of(stream.get_ref().1.peer_certificates().and_then(<[_]>::first));
    let service = service_fn(move |request: Request<Incoming>| {
        let (kubelet, caller, permit) = (Arc::clone(&kubelet), caller.clone(), Arc::clone(&permit));
        async move {
            let asked = (request.method(), request.uri().path(), request.headers());
            let answer = match kubelet.doors.check(&kubelet.context, &caller, asked).await {
                Ok(()) => answer(&kubelet, permit, request).await,
                Err((status, words)) => said(status, &words),
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!(%from, %error, "a connection ended");
    }
}

/// A short answer.
pub(crate) fn said(status: StatusCode, words: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(words.to_owned())).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// JSON.
fn told(value: &Value) -> Response<Body> {
    let mut response = said(StatusCode::OK, &value.to_string());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn failed(words: &str) -> Response<Body> {
    said(StatusCode::INTERNAL_SERVER_ERROR, words)
}

/// The values of a query's field, decoded.
pub(crate) fn values(query: &str, field: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(name, _)| *name == field).map(|(_, value)| decoded(value)).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                let hex = std::str::from_utf8(&digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
                out.push(hex.unwrap_or(b'?'));
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

async fn answer(
    kubelet: &Kubelet,
    permit: Arc<OwnedSemaphorePermit>,
    request: Request<Incoming>,
) -> Response<Body> {
    let context = &kubelet.context;
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts[..] {
        ["healthz", ..] => said(StatusCode::OK, "ok"),
        ["pods"] => pods(context).await,
        ["configz"] => told(&stats::configz(context)),
        ["stats", "summary"] | ["stats"] | ["metrics"] | ["metrics", "resource"] => {
            match stats::look(context, &kubelet.sampler).await {
                Err(words) => failed(&words),
                Ok(usage) => match parts[..] {
                    ["metrics"] => said(StatusCode::OK, &usage.metrics(&context.config.node)),
                    ["metrics", ..] => said(StatusCode::OK, &usage.resource_metrics()),
                    _ => told(&usage.summary()),
                },
            }
        }
        ["containerLogs", namespace, pod, container] => {
            log::answer(context, (namespace, pod, container), &query).await
        }
        [kind @ ("exec" | "attach"), namespace, pod, container] => {
            match context.find(namespace, pod, container, false).await {
                Ok(id) => tunnel(kubelet, permit, request, stream_url(context, kind, id, &query).await).await,
                Err(_) => failed(&format!("container not found ({container:?})")),
            }
        }
        ["portForward", namespace, pod] => match context.find_sandbox(namespace, pod).await {
            Ok(id) => {
                let ports = values(&query, "port").iter().filter_map(|port| port.parse().ok()).collect();
                let url = context.cri.forward_url(m::PortForward { sandbox: id, ports }).await;
                tunnel(kubelet, permit, request, url.map_err(|error| error.message)).await
            }
            Err(words) => said(StatusCode::NOT_FOUND, &words),
        },
        _ => said(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

async fn pods(context: &Context) -> Response<Body> {
    let which = Selection::of_fields(&format!("spec.nodeName={}", context.config.node));
    match context.api.list(&core("pods", "Pod"), &which, View::Whole).await {
        Ok(list) => told(&stats::pod_list(list.items)),
        Err(error) => failed(&base::chain(&error)),
    }
}

async fn stream_url(context: &Context, kind: &str, id: String, query: &str) -> Result<String, String> {
    let asked = |field: &str| values(query, field).iter().any(|value| matches!(value.as_str(), "1" | "true"));
    let (stdin, stdout, stderr, tty) = (asked("input"), asked("output"), asked("error"), asked("tty"));
    let url = if kind == "exec" {
        let command = values(query, "command");
        context.cri.exec_url(m::Exec { id, command, tty, stdin, stdout, stderr: stderr && !tty }).await
    } else {
        context.cri.attach_url(m::Attach { id, stdin, tty, stdout, stderr: stderr && !tty }).await
    };
    url.map_err(|error| error.message)
}

/// Joins the caller's connection with one to the runtime's streaming server.
async fn tunnel(
    kubelet: &Kubelet,
    permit: Arc<OwnedSemaphorePermit>,
    mut request: Request<Incoming>,
    url: Result<String, String>,
) -> Response<Body> {
    let url = match url {
        Ok(url) => url,
        Err(words) => return failed(&words),
    };
    match backend(&request, &url).await {
        Ok(mut there) if there.status() == StatusCode::SWITCHING_PROTOCOLS => {
            let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            *response.headers_mut() = there.headers().clone();
            let (near, far) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut there));
            let shutdown = kubelet.shutdown.clone();
            tokio::spawn(async move {
                let joined = async {
                    if let (Ok(near), Ok(far)) = tokio::join!(near, far) {
                        let _ = copy_bidirectional(&mut TokioIo::new(near), &mut TokioIo::new(far)).await;
                    }
                };
                shutdown.race(joined).await;
                drop(permit);
            });
            response
        }
        Ok(there) => {
            let status = there.status();
            let body = there.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            said(status, &String::from_utf8_lossy(&body))
        }
        Err(words) => said(StatusCode::BAD_GATEWAY, &words),
    }
}

async fn backend(request: &Request<Incoming>, url: &str) -> Result<Response<Incoming>, String> {
    let rest =
        url.strip_prefix("http://").ok_or_else(|| format!("the runtime's streaming server is at {url}"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let stream = TcpStream::connect(authority).await.map_err(|error| format!("{authority}: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection.with_upgrades());
    let mut asked =
        Request::builder().method(request.method()).uri(format!("/{path}")).header(HOST, authority);
    for (name, value) in request.headers() {
        let passed = name == CONNECTION || name == UPGRADE || name.as_str().starts_with("x-stream");
        if passed {
            asked = asked.header(name, value);
        }
    }
    let asked = asked.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    sender.send_request(asked).await.map_err(|error| error.to_string())
}
