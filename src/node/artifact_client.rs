//! Fetching an artifact from whichever master has it.
//!
//! Owns the destination: it appears whole, synced and with the digest that was asked
//! for, or not at all. The masters' word is not taken for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::digest::Hasher;
use crate::{Digest, NodeError, TlsFiles};

/// For connection, handshake and the answer's header, and for each further piece.
const PATIENCE: Duration = Duration::from_secs(15);

const SERVICE: &str = "the artifact server";

/// What to fetch from where to where.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Artifact servers, tried in this order.
    pub masters: Vec<SocketAddr>,
    /// The name their certificates carry.
    pub server_name: String,
    /// Our certificate and the authority to trust.
    pub tls: TlsFiles,
    /// What to fetch.
    pub digest: Digest,
    /// Where it goes; its folder exists.
    pub destination: PathBuf,
    /// Its permissions.
    pub mode: u32,
    /// The most that is taken before a master is called a liar.
    pub limit_bytes: u64,
}

/// Fetches an artifact and gives its size. What exists at the destination with the right
/// digest is left as it is.
pub async fn fetch_artifact(fetch: &Fetch) -> Result<u64, NodeError> {
    if let Some(bytes) = present(fetch).await {
        return Ok(bytes);
    }
    let connector = TlsConnector::from(Arc::new(fetch.tls.client(b"http/1.1")?));
    let mut reasons = Vec::new();
    for master in &fetch.masters {
        let half = HalfFile::new(&fetch.destination);
        match fetch_from(fetch, &connector, *master, &half).await {
            Ok(bytes) => return Ok(bytes),
            Err(error) => reasons.push(base::chain(&error)),
        }
    }
    if reasons.is_empty() {
        reasons.push("none is known".to_owned());
    }
    Err(NodeError::NoSource { digest: fetch.digest.to_string(), reasons: reasons.join("; ") })
}

/// A file on its way, removed again unless it was renamed.
struct HalfFile(PathBuf);

impl HalfFile {
    fn new(destination: &Path) -> Self {
        let mut name = destination.as_os_str().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        Self(name.into())
    }
}

impl Drop for HalfFile {
    fn drop(&mut self) {
        // Usually it is gone: renamed, or never made.
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn present(fetch: &Fetch) -> Option<u64> {
    let file = std::fs::File::open(&fetch.destination).ok()?;
    let hashed = tokio::task::spawn_blocking(move || Digest::of_reader(file)).await;
    let (digest, bytes) = hashed.ok()?.ok()?;
    (digest == fetch.digest).then_some(bytes)
}

async fn fetch_from(
    fetch: &Fetch,
    connector: &TlsConnector,
    master: SocketAddr,
    half: &HalfFile,
) -> Result<u64, NodeError> {
    let asking = ask(fetch, connector, master);
    let body = in_time(master, "answer", asking).await??;
    let got = receive(fetch, master, body, half).await?;
    if got.0 != fetch.digest {
        let (at, expected) = (master.to_string(), fetch.digest.to_string());
        return Err(NodeError::Digest { at, expected, got: got.0.to_string() });
    }
    let placed = tokio::fs::rename(&half.0, &fetch.destination).await;
    placed.map_err(|source| NodeError::File { action: "write", path: fetch.destination.clone(), source })?;
    Ok(got.1)
}

/// Sends the request and gives the body of a good answer.
async fn ask(fetch: &Fetch, connector: &TlsConnector, master: SocketAddr) -> Result<Incoming, NodeError> {
    let at = master.to_string();
    let failed =
        |detail: String| NodeError::Failed { what: SERVICE, at: at.clone(), action: "answer", detail };
    let name = ServerName::try_from(fetch.server_name.clone()).map_err(|error| failed(error.to_string()))?;
    let socket = TcpStream::connect(master).await.map_err(|error| NodeError::Unreachable {
        what: SERVICE,
        at: at.clone(),
        detail: error.to_string(),
    })?;
    let tls = connector.connect(name, socket).await.map_err(|error| NodeError::Untrusted {
        what: SERVICE,
        at: at.clone(),
        detail: error.to_string(),
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let request = Request::get(format!("/binaries/{}", fetch.digest))
        .header(HOST, &fetch.server_name)
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(error.to_string()))?;
    // Ends with the body, or when the body is dropped.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| failed(base::chain(&error)))?;
    match response.status() {
        StatusCode::OK => Ok(response.into_body()),
        status => Err(failed(format!("it said {status}"))),
    }
}

async fn receive(
    fetch: &Fetch,
    master: SocketAddr,
    mut body: Incoming,
    half: &HalfFile,
) -> Result<(Digest, u64), NodeError> {
    let written = |source| NodeError::File { action: "write", path: half.0.clone(), source };
    let sending =
        |detail| NodeError::Failed { what: SERVICE, at: master.to_string(), action: "send it all", detail };
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&half.0).await.map_err(written)?;
    let (mut hasher, mut total) = (Hasher::new(), 0_u64);
    while let Some(frame) = in_time(master, "send more", body.frame()).await? {
        let frame = frame.map_err(|error| sending(base::chain(&error)))?;
        let Some(piece) = frame.data_ref() else {
            continue;
        };
        total += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if total > fetch.limit_bytes {
            return Err(sending(format!("it sent more than {} bytes", fetch.limit_bytes)));
        }
        hasher.update(piece);
        file.write_all(piece).await.map_err(written)?;
    }
    file.flush().await.map_err(written)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(fetch.mode);
    file.set_permissions(mode).await.map_err(written)?;
    file.sync_all().await.map_err(written)?;
    Ok((hasher.finish(), total))
}

async fn in_time<T>(
    master: SocketAddr,
    action: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, NodeError> {
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| NodeError::Timeout {
        what: SERVICE,
        at: master.to_string(),
        action,
        after: PATIENCE,
    })
}
