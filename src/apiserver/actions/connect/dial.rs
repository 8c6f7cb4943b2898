//! Connections out of the server: to agents with its own certificate, to pods and Services as
//! anybody, each for one request.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::http::RequestBody;
use crate::server::Server;

/// For a connection with its handshake.
const CONNECT: Duration = Duration::from_secs(10);
/// Where nodes are kept.
const NODES: &str = "/registry/minions/";
/// The agent's port.
const PORT: u16 = 10250;

/// What a request is sent with.
pub(super) type Sent = UnsyncBoxBody<Bytes, hyper::Error>;

/// Where a request goes.
pub(super) struct Target {
    /// `address:port`, as it stands in messages.
    pub(super) authority: String,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// No body.
pub(super) fn nothing() -> Sent {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is passed on as it comes.
pub(super) fn passed(body: Option<RequestBody>) -> Sent {
    match body {
        None => nothing(),
        Some(RequestBody::Wire(body)) => body.boxed_unsync(),
        Some(RequestBody::Held(bytes)) => Full::new(bytes).map_err(|never| match never {}).boxed_unsync(),
    }
}

impl Target {
    /// The agent of a node.
    pub(super) fn agent(server: &Server, node: &str) -> Result<Self, String> {
        let tls = server.agents.clone().ok_or("this server has no certificate for agents")?;
        let object = node_object(server, node);
        let host = address(&object).ok_or_else(|| format!("no address of the node {node:?} is known"))?;
        let name = ServerName::try_from(node.to_owned()).map_err(|error| error.to_string())?;
        let port = agent_port(&object);
        Ok(Self { authority: format!("{host}:{port}"), tls: Some((tls, name)) })
    }

    /// Something else than the agent on a node, with the node's address.
    pub(super) fn on_node(server: &Server, node: &str, https: bool, port: &str) -> Option<(Self, IpAddr)> {
        let object = node_object(server, node);
        let host = address(&object).filter(|_| port != agent_port(&object).to_string())?;
        Some((Self::open(&host.to_string(), port, https), host))
    }

    /// A pod, or what else proves nothing of itself: its certificate is not looked at, as upstream's is not.
    pub(super) fn open(host: &str, port: &str, https: bool) -> Self {
        let port = match (port, https) {
            ("", true) => "443",
            ("", false) => "80",
            (port, _) => port,
        };
        let name = ServerName::try_from(host.to_owned()).ok().filter(|_| https);
        let tls = name.and_then(|name| Some((trusting()?, name)));
        Self { authority: format!("{host}:{port}"), tls }
    }

    /// Sends one request over a connection of its own; an upgrade can be taken from the answer.
    pub(super) async fn send(&self, mut request: Request<Sent>) -> Result<Response<Incoming>, String> {
        let connect = async {
            let stream = TcpStream::connect(&self.authority).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(match &self.tls {
                None => Box::new(stream) as Box<dyn Connection>,
                Some((config, name)) => {
                    Box::new(TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream).await?)
                }
            })
        };
        let stream = tokio::time::timeout(CONNECT, connect).await;
        let stream = stream.map_err(|_| format!("dial tcp {}: i/o timeout", self.authority))?;
        let stream = stream.map_err(|error| format!("dial tcp {}: {}", self.authority, words(&error)))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| base::chain(&error))?;
        tokio::spawn(connection.with_upgrades());
        if !request.headers().contains_key(HOST)
            && let Ok(host) = HeaderValue::from_str(&self.authority)
        {
            request.headers_mut().insert(HOST, host);
        }
        sender.send_request(request).await.map_err(|error| base::chain(&error))
    }
}

/// A connection's errors in the words that clients know.
fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        _ => error.to_string(),
    }
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

fn node_object(server: &Server, node: &str) -> Value {
    let entry = server.cache.shelf(NODES).and_then(|shelf| shelf.get(node));
    entry.and_then(|entry| serde_json::from_slice(entry.bytes()).ok()).unwrap_or_default()
}

/// Where a node is reached.
fn address(node: &Value) -> Option<IpAddr> {
    let all = meta::list_at(node, "status.addresses");
    all.iter().find(|one| one["type"] == "InternalIP")?["address"].as_str()?.parse().ok()
}

fn agent_port(node: &Value) -> u16 {
    let told = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
    told.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).unwrap_or(PORT)
}

/// For pods: encrypted, and nobody's identity is claimed.
fn trusting() -> Option<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().ok()?.dangerous();
    let config = builder.with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    Some(Arc::new(config.with_no_client_auth()))
}

/// Takes any certificate whose key the other side has.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
