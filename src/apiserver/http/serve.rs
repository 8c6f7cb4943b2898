//! Connections: accepting them, TLS, HTTP/1.1 and HTTP/2, and ending them in peace.
//!
//! Bounded: connections, handshakes in time, header bytes, streams of a connection. When
//! stopping is asked for, nothing new is accepted, idle connections close, requests under
//! way get [`GRACE`].

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Shutdown;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::tls::Tls;
use super::{Peer, Request, RequestBody, Response};

/// Connections at once; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 16_384;
/// For a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a request's head.
const HEAD: Duration = Duration::from_secs(30);
/// For requests that are under way when stopping is asked for.
pub const GRACE: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;
/// Streams of an HTTP/2 connection: upstream's number.
const STREAMS: u32 = 250;
/// Flow control windows of HTTP/2, a stream's and a connection's.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// After a failed accept (out of file descriptors): upstream's web servers wait likewise.
const PAUSE: Duration = Duration::from_millis(50);

/// What answers requests. A panic in it must not leave it.
pub trait Service: Send + Sync + 'static {
    /// Answers one request.
    fn call(self: Arc<Self>, request: Request) -> impl Future<Output = Response> + Send;
}

/// Serves connections of `listener` until stopped, then waits for those under way.
pub async fn serve<S: Service>(listener: TcpListener, tls: Option<Tls>, service: Arc<S>, shutdown: Shutdown) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Some(accepted) = shutdown.race(accept(&listener, &permits)).await else { break };
        match accepted {
            Ok((stream, address, permit)) => {
                let (tls, service, shutdown) = (tls.clone(), Arc::clone(&service), shutdown.clone());
                connections.spawn(async move {
                    connection(stream, address, tls, service, shutdown).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!(open = connections.len(), "connections are cut: their requests took too long to end");
    }
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, address, permit))
}

async fn connection<S: Service>(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Tls>,
    service: Arc<S>,
    shutdown: Shutdown,
) {
    let Some(tls) = tls else {
        let peer = Peer { address: Some(address), ..Peer::default() };
        return http1(stream, peer, service, shutdown).await;
    };
    let handshake = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream);
    let stream = match tokio::time::timeout(HANDSHAKE, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%address, %error, "no TLS"),
        Err(_) => return tracing::debug!(%address, "the handshake took too long"),
    };
    let session = stream.get_ref().1;
    let chain = session.peer_certificates().unwrap_or_default();
    let peer = Peer {
        address: Some(address),
        certificate: chain.first().filter(|_| tls.believes(chain)).map(|leaf| Arc::from(leaf.as_ref())),
        strange_certificate: !chain.is_empty() && !tls.believes(chain),
    };
    if session.alpn_protocol() == Some(b"h2") {
        http2(stream, peer, service, shutdown).await;
    } else {
        http1(stream, peer, service, shutdown).await;
    }
}

async fn http1<S: Service>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    service: Arc<S>,
    shutdown: Shutdown,
) {
    let answer = service_fn(move |request| answer(request, peer.clone(), Arc::clone(&service)));
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES).half_close(false);
    let connection = builder.serve_connection(TokioIo::new(stream), answer).with_upgrades();
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.triggered() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn http2<S: Service>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    service: Arc<S>,
    shutdown: Shutdown,
) {
    let answer = service_fn(move |request| answer(request, peer.clone(), Arc::clone(&service)));
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEAD_BYTES as u32)
        .keep_alive_interval(HEAD);
    let connection = builder.serve_connection(TokioIo::new(stream), answer);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.triggered() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

async fn answer<S: Service>(
    request: hyper::Request<Incoming>,
    peer: Peer,
    service: Arc<S>,
) -> Result<Response, Infallible> {
    let mut request = request.map(RequestBody::Wire);
    request.extensions_mut().insert(peer);
    Ok(service.call(request).await)
}
