//! What the router answers machines: metadata, names and packages.
//!
//! I/O only: `imds` and `dns` say what. Who asks is known by the source address,
//! which the router's reverse path check makes unforgeable.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::{Ids as _, RandomIds, Shutdown};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};

use crate::imds::{self, Token};
use crate::model::Instance;
use crate::{dns, names};

/// Connections at a time, to each of the two servers.
const CONNECTIONS: usize = 256;
/// Session tokens kept; the oldest go first.
const TOKENS: usize = 4096;
/// A connection that says nothing for this long is closed.
const IDLE: Duration = Duration::from_secs(30);

/// What the servers know of the machines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Directory {
    /// By private address: the instance, and whether it is booting.
    pub(crate) machines: BTreeMap<Ipv4Addr, (Arc<Instance>, bool)>,
}

impl Directory {
    fn names(&self) -> BTreeMap<String, Ipv4Addr> {
        let rows = self.machines.values();
        rows.map(|(i, _)| (names::hostname(i.private_ip, &i.region), i.private_ip)).collect()
    }
}

/// Session tokens by value: whose, and until when.
#[derive(Default)]
struct Tokens(Mutex<Vec<(String, String, Instant)>>);

impl Tokens {
    fn issue(&self, instance: &str, ttl_s: u64) -> String {
        let token = format!("{}{}", RandomIds.next(), RandomIds.next());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        all.retain(|(_, _, until)| *until > now);
        if all.len() >= TOKENS {
            all.remove(0);
        }
        all.push((token.clone(), instance.to_owned(), now + Duration::from_secs(ttl_s)));
        token
    }

    fn check(&self, presented: Option<&str>, instance: &str) -> Token {
        let Some(presented) = presented else { return Token::Absent };
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let known = all.iter().any(|(t, i, until)| t == presented && i == instance && *until > now);
        if known { Token::Valid } else { Token::Invalid }
    }
}

/// Serves metadata until shutdown.
pub(crate) async fn metadata(
    listener: TcpListener,
    directory: watch::Receiver<Directory>,
    shutdown: Shutdown,
) {
    let tokens = Arc::new(Tokens::default());
    accept(listener, shutdown, move |stream, peer| {
        let (directory, tokens) = (directory.clone(), Arc::clone(&tokens));
        async move {
            let found = directory.borrow().machines.get(&peer).cloned();
            // Answers live as many hops as the instance allows: one keeps pods out.
            let hops = found.as_ref().map_or(1, |(instance, _)| instance.hop_limit.clamp(1, 64));
            let _ = stream.set_ttl(hops);
            let service = service_fn(move |request| {
                let found = directory.borrow().machines.get(&peer).cloned();
                let response = match found {
                    Some((instance, booting)) => metadata_response(&request, &instance, booting, &tokens),
                    None => plain(404, "this address is no instance's\n"),
                };
                async move { Ok::<_, Infallible>(response) }
            });
            converse(stream, service).await;
        }
    })
    .await;
}

fn metadata_response(
    request: &Request<Incoming>,
    instance: &Instance,
    booting: bool,
    tokens: &Tokens,
) -> Response<Full<Bytes>> {
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
    let path = request.uri().path();
    match *request.method() {
        Method::PUT if imds::is_token_path(path) && instance.metadata_enabled => {
            // AWS gives none to who was forwarded: a proxy on the machine would hand it on.
            if header("x-forwarded-for").is_some() {
                return plain(403, "Forbidden");
            }
            match imds::token_ttl_s(header("x-aws-ec2-metadata-token-ttl-seconds")) {
                Some(ttl_s) => plain(200, &tokens.issue(&instance.id, ttl_s)),
                None => plain(400, "Bad Request"),
            }
        }
        Method::GET | Method::HEAD => {
            let token = tokens.check(header("x-aws-ec2-metadata-token"), &instance.id);
            let answer = imds::answer(path, instance, token, booting);
            respond(answer.status, "text/plain", Bytes::from(answer.body))
        }
        _ => plain(405, "Method Not Allowed"),
    }
}

/// Serves the apt mirror in `folder` until shutdown.
pub(crate) async fn mirror(listener: TcpListener, folder: PathBuf, shutdown: Shutdown) {
    let files: Arc<Mutex<BTreeMap<String, Bytes>>> = Arc::default();
    accept(listener, shutdown, move |stream, _| {
        let (folder, files) = (folder.clone(), Arc::clone(&files));
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (folder, files) = (folder.clone(), Arc::clone(&files));
                async move { Ok::<_, Infallible>(file(&folder, &files, request.uri().path()).await) }
            });
            converse(stream, service).await;
        }
    })
    .await;
}

/// One file of the mirror, which has no folders. Kept once read: every machine of
/// a cluster wants the same ones at the same time.
async fn file(folder: &Path, files: &Mutex<BTreeMap<String, Bytes>>, path: &str) -> Response<Full<Bytes>> {
    let Some(name) = file_name(path) else { return plain(404, "no such file\n") };
    let kept = files.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
    if let Some(bytes) = kept {
        return respond(200, "application/octet-stream", bytes);
    }
    match tokio::fs::read(folder.join(&name)).await {
        Ok(bytes) => {
            let bytes = Bytes::from(bytes);
            files.lock().unwrap_or_else(PoisonError::into_inner).insert(name, bytes.clone());
            respond(200, "application/octet-stream", bytes)
        }
        Err(_) => plain(404, "no such file\n"),
    }
}

/// The file that a path names: `/./runc_1.1.5%2bds1_amd64.deb`. None for anything
/// that would lead out of the folder.
fn file_name(path: &str) -> Option<String> {
    let path = path.trim_start_matches('/').trim_start_matches("./");
    let mut name = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let decoded = match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        };
        name.push(decoded);
    }
    let name = String::from_utf8(name).ok()?;
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    plain.then_some(name)
}

/// Answers names until shutdown.
pub(crate) async fn resolver(socket: UdpSocket, directory: watch::Receiver<Directory>, shutdown: Shutdown) {
    let mut buffer = [0_u8; 1500];
    loop {
        let Some(received) = shutdown.race(socket.recv_from(&mut buffer)).await else { return };
        let Ok((length, peer)) = received else { continue };
        let names = directory.borrow().names();
        if let Some(reply) = buffer.get(..length).and_then(|query| dns::answer(query, &names)) {
            let _ = socket.send_to(&reply, peer).await;
        }
    }
}

/// Accepts connections until shutdown, a bounded number at a time.
async fn accept<F, Fut>(listener: TcpListener, shutdown: Shutdown, handle: F)
where
    F: Fn(TcpStream, Ipv4Addr) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let Some(accepted) = shutdown.race(listener.accept()).await else { return };
        let Ok((stream, peer)) = accepted else { continue };
        let IpAddr::V4(peer) = peer.ip() else { continue };
        let connection = handle(stream, peer);
        tokio::spawn(async move {
            connection.await;
            drop(slot);
        });
    }
}

async fn converse<S>(stream: TcpStream, service: S)
where
    S: hyper::service::Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible>,
{
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A bound on the whole conversation; apt and cloud-init open a new one.
    let _ = tokio::time::timeout(IDLE * 10, connection).await;
}

fn plain(status: u16, text: &str) -> Response<Full<Bytes>> {
    respond(status, "text/plain", Bytes::copy_from_slice(text.as_bytes()))
}

fn respond(status: u16, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_file_of_the_mirror_or_nothing() {
        assert_eq!(file_name("/./runc_1.1.5%2bds1.deb").as_deref(), Some("runc_1.1.5+ds1.deb"));
        assert_eq!(file_name("/Packages.gz").as_deref(), Some("Packages.gz"));
        for path in ["/", "/../etc/passwd", "/%2e%2e/x", "/a/b", "/a%2fb", "/a%00", "/a%4", "/.hidden"] {
            assert_eq!(file_name(path), None, "{path}");
        }
    }

    #[test]
    fn a_token_is_good_for_its_own_instance_only() {
        let tokens = Tokens::default();
        let token = tokens.issue("i-1", 60);
        assert_eq!(tokens.check(Some(&token), "i-1"), Token::Valid);
        assert_eq!(tokens.check(Some(&token), "i-2"), Token::Invalid);
        assert_eq!(tokens.check(Some("guess"), "i-1"), Token::Invalid);
        assert_eq!(tokens.check(None, "i-1"), Token::Absent);
        let expired = tokens.issue("i-1", 0);
        assert_eq!(tokens.check(Some(&expired), "i-1"), Token::Invalid);
    }
}
