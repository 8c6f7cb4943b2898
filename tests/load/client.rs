//! One HTTP/1.1 connection per client, kept open, with the answer's body left to the caller.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::kubeconfig::Target;

/// Opens connections to one server.
#[derive(Clone)]
pub(crate) struct Client {
    target: Target,
}

/// An open connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    target: Target,
}

impl Client {
    /// For this server.
    pub(crate) fn new(target: Target) -> Self {
        Self { target }
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let address = &self.target.address;
        let socket = TcpStream::connect(address).await.with_context(|| format!("cannot reach {address}"))?;
        socket.set_nodelay(true)?;
        let connector = TlsConnector::from(self.target.tls.clone());
        let stream = connector.connect(self.target.name.clone(), socket).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // How it ended is told by the request that it ended under.
            let _ = connection.await;
        });
        Ok(Connection { sender, target: self.target.clone() })
    }
}

impl Connection {
    /// Sends a request and gives the answer when its head is here.
    pub(crate) async fn open(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.target.address)
            .header("accept", "application/json")
            .header("user-agent", "load/0.1");
        if !body.is_empty() {
            request = request.header("content-type", kind);
        }
        if let Some(token) = &self.target.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.sender.ready().await?;
        Ok(self.sender.send_request(request.body(Full::new(body))?).await?)
    }

    /// Sends a request and reads the whole answer; its status and the size of its body.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let response = self.open(method, path, kind, body).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }

    /// As [`Connection::ask`], where anything but success is an error with the server's words.
    pub(crate) async fn must(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> anyhow::Result<Bytes> {
        let (status, bytes) = self.ask(method.clone(), path, kind, body).await?;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned();
            bail!("{method} {path}: {status}: {text}");
        }
        Ok(bytes)
    }
}
