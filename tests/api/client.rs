//! HTTP/1.1 over TLS to one server, a connection for each request: with a client certificate, a
//! bearer token, or as nobody.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// No request of the table takes longer; a watch's events are waited for less long.
const ANSWER: Duration = Duration::from_secs(30);
const EVENT: Duration = Duration::from_secs(5);

/// Where the server is, and the administrator's credentials.
pub(crate) struct Server {
    /// `127.0.0.1:6443`
    pub(crate) authority: String,
    admin: Arc<ClientConfig>,
    nobody: Arc<ClientConfig>,
}

/// Who asks.
pub(crate) enum Credentials {
    Admin,
    Nobody,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer whose body is read line by line.
pub(crate) struct Stream {
    body: Incoming,
    pending: Vec<u8>,
    ended: bool,
}

impl Server {
    /// From the files that `tests/oracle/upstream` writes.
    pub(crate) fn from_folder(folder: &Path) -> Self {
        let address = std::fs::read_to_string(folder.join("address")).expect("the server's address");
        let authority = address.trim().trim_start_matches("https://").to_owned();
        Self::new(authority, &folder.join("ca.crt"), &folder.join("admin.crt"), &folder.join("admin.key"))
    }

    /// From an address and PEM files.
    pub(crate) fn new(authority: String, ca: &Path, certificate: &Path, key: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(ca).expect("the authority's certificate") {
            roots.add(root.expect("a certificate")).expect("an authority");
        }
        let chain = CertificateDer::pem_file_iter(certificate)
            .expect("the administrator's certificate")
            .collect::<Result<Vec<_>, _>>()
            .expect("certificates");
        let key = PrivateKeyDer::from_pem_file(key).expect("the administrator's key");
        let with = || {
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("TLS versions")
                .with_root_certificates(roots.clone())
        };
        let admin = with().with_client_auth_cert(chain, key).expect("a client certificate");
        let nobody = with().with_no_client_auth();
        Self { authority, admin: Arc::new(admin), nobody: Arc::new(nobody) }
    }

    async fn send(&self, who: &Credentials, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let config = match who {
            Credentials::Admin => &self.admin,
            Credentials::Nobody => &self.nobody,
        };
        let what = format!("{} {}", request.method(), request.uri());
        let socket = TcpStream::connect(&self.authority).await.expect("the server takes a connection");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let tls = TlsConnector::from(config.clone()).connect(name, socket).await.expect("TLS to the server");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.expect("HTTP to the server");
        tokio::spawn(connection);
        tokio::time::timeout(ANSWER, sender.send_request(request))
            .await
            .unwrap_or_else(|_| panic!("{what}: no answer within {ANSWER:?}"))
            .unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// The whole answer.
    pub(crate) async fn ask(&self, who: &Credentials, request: Request<Full<Bytes>>) -> Answer {
        let (head, body) = self.send(who, request).await.into_parts();
        let body = tokio::time::timeout(ANSWER, body.collect())
            .await
            .expect("the body ends within the time")
            .map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
        Answer { status: head.status, headers: head.headers, body }
    }

    /// The head of the answer, and its body to be read on. Other than 200 it is read at once.
    pub(crate) async fn open(
        &self,
        who: &Credentials,
        request: Request<Full<Bytes>>,
    ) -> (Answer, Option<Stream>) {
        let (head, body) = self.send(who, request).await.into_parts();
        let mut answer = Answer { status: head.status, headers: head.headers, body: Bytes::new() };
        if head.status == StatusCode::OK {
            return (answer, Some(Stream { body, pending: Vec::new(), ended: false }));
        }
        answer.body = body.collect().await.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
        (answer, None)
    }
}

impl Stream {
    /// The next line; `None` when the stream ended, or when nothing came in time.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            let frame = tokio::time::timeout(EVENT, self.body.frame()).await.ok()?;
            let Some(Ok(frame)) = frame else {
                self.ended = true;
                return None;
            };
            if let Some(bytes) = frame.data_ref() {
                self.pending.extend_from_slice(bytes);
            }
        }
    }

    /// Whether the server closed it.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }
}
