//! A [`Transport`] over the network: TLS, HTTP/2, and every master's address tried in turn.
//!
//! Requests share one connection and watches another, so that many watches never keep a
//! request waiting for a stream. A connection that breaks or falls silent is replaced by
//! one to the next address. A request is sent once: whether to repeat it is the caller's.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http_body_util::{BodyStream, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Request, Response, Uri, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::http::{Answer, Transport};
use crate::tls::{Credentials, TlsError, server_name};

/// For a connection with its handshake.
const CONNECT: Duration = Duration::from_secs(5);
/// For the head of an answer. The server ends requests after a minute.
const HEAD: Duration = Duration::from_secs(70);
/// How often a silent connection is asked whether it is there, and how long it may think.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(5);

/// Where an API server is and how to be known to it.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port` of every master, tried in this order.
    pub addresses: Vec<String>,
    /// The name in their certificates.
    pub server_name: String,
    /// Whom to trust and whom to show.
    pub credentials: Credentials,
}

/// Connections to one cluster's API servers, opened when they are needed.
pub struct Connection {
    addresses: Vec<String>,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    token: Option<HeaderValue>,
    requests: Mutex<Line>,
    watches: Mutex<Line>,
}

/// One connection, and which address comes next.
#[derive(Default)]
struct Line {
    sender: Option<SendRequest<Full<Bytes>>>,
    next: usize,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Connection {
    /// Reads the credentials. Nothing is connected yet.
    pub fn new(target: &Target) -> Result<Self, TlsError> {
        let token = target.credentials.token.as_ref();
        let token = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        Ok(Self {
            addresses: target.addresses.clone(),
            name: server_name(&target.server_name)?,
            tls: Arc::new(target.credentials.config(&["h2"])?),
            token,
            requests: Mutex::default(),
            watches: Mutex::default(),
        })
    }

    /// Sends a request and gives the answer when its head is there, with its body to be read.
    pub async fn open(&self, mut request: Request<Bytes>) -> Result<Response<Incoming>, String> {
        let is_long = request.uri().query().is_some_and(|query| {
            query.split('&').any(|part| matches!(part, "watch=true" | "watch=1" | "follow=true"))
        });
        let line = if is_long { &self.watches } else { &self.requests };
        let mut sender = self.sender(line).await?;
        let target = format!("https://cluster{}", request.uri());
        *request.uri_mut() = target.parse::<Uri>().map_err(|error| error.to_string())?;
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        let answer = timeout(HEAD, sender.send_request(request.map(Full::new))).await;
        match answer {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                if sender.is_closed() {
                    line.lock().await.sender = None;
                }
                Err(words(&error))
            }
            Err(_) => {
                line.lock().await.sender = None;
                Err(format!("no answer within {} s", HEAD.as_secs()))
            }
        }
    }

    async fn sender(&self, line: &Mutex<Line>) -> Result<SendRequest<Full<Bytes>>, String> {
        let mut line = line.lock().await;
        if let Some(sender) = line.sender.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let mut reasons = Vec::new();
        for _ in 0..self.addresses.len() {
            let address = &self.addresses[line.next % self.addresses.len()];
            match timeout(CONNECT, self.connect(address)).await {
                Ok(Ok(sender)) => {
                    line.sender = Some(sender.clone());
                    return Ok(sender);
                }
                Ok(Err(reason)) => reasons.push(format!("{address}: {reason}")),
                Err(_) => reasons.push(format!("{address}: no connection within {} s", CONNECT.as_secs())),
            }
            line.next += 1;
        }
        Err(if reasons.is_empty() { "no address is known".to_owned() } else { reasons.join("; ") })
    }

    async fn connect(&self, address: &str) -> Result<SendRequest<Full<Bytes>>, String> {
        let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        socket.set_nodelay(true).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(self.name.clone(), socket).await.map_err(|error| error.to_string())?;
        let mut builder = Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(PING).keep_alive_timeout(PONG);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| words(&error))?;
        tokio::spawn(async move {
            // How it ended is told by the requests that it ended under.
            let _ = connection.await;
        });
        Ok(sender)
    }
}

fn words(error: &hyper::Error) -> String {
    base::chain(error)
}

/// The pieces of an answer's body.
pub(crate) fn body(response: Response<Incoming>) -> impl Stream<Item = Result<Bytes, String>> + Send {
    BodyStream::new(response.into_body()).map(|frame| match frame {
        Ok(frame) => Ok(frame.into_data().unwrap_or_default()),
        Err(error) => Err(words(&error)),
    })
}

#[async_trait]
impl Transport for Arc<Connection> {
    async fn send(&self, request: Request<Bytes>) -> Result<Answer, String> {
        Transport::send(&**self, request).await
    }
}

#[async_trait]
impl Transport for Connection {
    async fn send(&self, request: Request<Bytes>) -> Result<Answer, String> {
        let response = self.open(request).await?;
        let status = response.status().as_u16();
        Ok(Answer { status, body: body(response).boxed() })
    }
}
