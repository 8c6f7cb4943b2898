//! Handing artifacts to other nodes by digest, over mTLS.
//!
//! Owns one route, GET and HEAD of `/binaries/sha256:HEX`, over a folder whose files
//! are named by the 64 digits. Whoever asks must show a certificate of the cluster's
//! authority that carries the organization it was told. A file is hashed before it is
//! first served and again when it has changed; one that is not what its name says is
//! never sent. Connections, headers and their time are bounded.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Shutdown;
use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::artifact_tls::organizations;
use crate::{Digest, NodeError, TlsFiles};

/// Connections at once; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// For a whole connection: the largest artifact over a slow link.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// For transfers that are under way when stopping is asked for.
const GRACE: Duration = Duration::from_secs(5);
/// Read and sent at once.
const PIECE: usize = 256 * 1024;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// What to serve to whom.
#[derive(Debug, Clone)]
pub struct ArtifactServer {
    /// Folder of files named by their digest's 64 digits.
    pub folder: PathBuf,
    /// The server's certificate, and the authority its clients must come from.
    pub tls: TlsFiles,
    /// The organization a client's certificate must carry.
    pub organization: String,
    /// Time for the TLS handshake, and for each request's header to arrive.
    pub patience: Duration,
}

/// State of a file at the time its digest was found right: any change is a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    bytes: u64,
    changed: (i64, i64),
}

struct Shared {
    config: ArtifactServer,
    verified: Mutex<BTreeMap<Digest, Stamp>>,
}

/// Serves on `listener` until `shutdown`; transfers under way then get a few seconds.
///
/// Fails only where the TLS files cannot be used; a client's failure ends that client.
pub async fn serve_artifacts(
    listener: TcpListener,
    config: ArtifactServer,
    shutdown: Shutdown,
) -> Result<(), NodeError> {
    let acceptor = TlsAcceptor::from(Arc::new(config.tls.server()?));
    let shared = Arc::new(Shared { config, verified: Mutex::default() });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    while let Some((socket, place)) = shutdown.race(next(&listener, &places)).await {
        let connection = connection(socket, acceptor.clone(), Arc::clone(&shared), shutdown.clone());
        connections.spawn(async move {
            let _place = place;
            if tokio::time::timeout(LIFETIME, connection).await.is_err() {
                tracing::warn!("an artifact client took too long and was cut off");
            }
        });
        while connections.try_join_next().is_some() {}
    }
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
    Ok(())
}

/// The next connection, and a place for it.
async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = Arc::clone(places).acquire_owned().await else {
            // The semaphore is never closed.
            std::future::pending().await
        };
        match listener.accept().await {
            Ok((socket, _)) => return (socket, place),
            Err(error) => {
                tracing::warn!(%error, "an artifact connection was not accepted");
                // Out of file descriptors, most likely: not a reason to spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(socket: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>, shutdown: Shutdown) {
    let patience = shared.config.patience;
    let tls = match tokio::time::timeout(patience, acceptor.accept(socket)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err(error)) => return tracing::debug!(%error, "an artifact client was turned away"),
        Err(_) => return tracing::debug!("an artifact client never finished its handshake"),
    };
    let shown = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let groups = shown.map(organizations).unwrap_or_default();
    let allowed = groups.contains(&shared.config.organization);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, allowed, &request).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(PIECE)
        .serve_connection(TokioIo::new(tls), service);
    tokio::pin!(serving);
    let result = match shutdown.race(serving.as_mut()).await {
        Some(result) => result,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "an artifact connection ended early");
    }
}

async fn answer(shared: &Shared, allowed: bool, request: &Request<Incoming>) -> Response<Body> {
    if !allowed {
        let organization = &shared.config.organization;
        let text = format!("this is for certificates of the organization {organization}\n");
        return plain(StatusCode::FORBIDDEN, text);
    }
    let name = request.uri().path().strip_prefix("/binaries/");
    let Some(digest) = name.and_then(|name| name.parse::<Digest>().ok()) else {
        return plain(StatusCode::NOT_FOUND, "there is only /binaries/sha256:HEX here\n".to_owned());
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match shared.open(&digest).await {
        Ok(Some((file, bytes))) => artifact(file, bytes, request.method() == Method::HEAD),
        Ok(None) => plain(StatusCode::NOT_FOUND, format!("{digest} is not here\n")),
        Err(error) => {
            tracing::error!(%digest, %error, "an artifact cannot be served");
            plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
        }
    }
}

impl Shared {
    /// Opens an artifact whose content is known to be what its name says.
    async fn open(&self, digest: &Digest) -> Result<Option<(File, u64)>, NodeError> {
        let path = self.config.folder.join(digest.hex());
        let failed = |action, source| NodeError::File { action, path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", error)),
        };
        let stamp = Stamp::of(&file).map_err(|error| failed("read", error))?;
        let bytes = stamp.bytes;
        if self.verified().get(digest) == Some(&stamp) {
            return Ok(Some((file, bytes)));
        }
        let (file, found) = hash(file).await.map_err(|error| failed("read", error))?;
        if found != *digest {
            let (at, expected, got) = (path.display().to_string(), digest.to_string(), found.to_string());
            return Err(NodeError::Digest { at, expected, got });
        }
        self.verified().insert(digest.clone(), stamp);
        Ok(Some((file, bytes)))
    }

    fn verified(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Stamp>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    fn of(file: &File) -> std::io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self {
            inode: (meta.dev(), meta.ino()),
            bytes: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

/// Hashes a file on a thread that may block, and gives it back at its start.
async fn hash(file: File) -> std::io::Result<(File, Digest)> {
    let work = tokio::task::spawn_blocking(move || {
        use std::io::{Seek, SeekFrom};
        let mut file = file;
        let (digest, _) = Digest::of_reader(&mut file)?;
        file.seek(SeekFrom::Start(0))?;
        Ok((file, digest))
    });
    work.await.map_err(std::io::Error::other)?
}

fn artifact(file: File, bytes: u64, head: bool) -> Response<Body> {
    let body =
        if head { Empty::new().map_err(|never| match never {}).boxed_unsync() } else { stream_file(file) };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

fn stream_file(file: File) -> Body {
    let file = tokio::fs::File::from_std(file);
    let pieces = stream::try_unfold(file, async |mut file| {
        let mut piece = Vec::with_capacity(PIECE);
        let count = file.read_buf(&mut piece).await?;
        Ok((count > 0).then(|| (Frame::data(Bytes::from(piece)), file)))
    });
    StreamBody::new(pieces).boxed_unsync()
}

fn plain(status: StatusCode, text: String) -> Response<Body> {
    let mut response =
        Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
