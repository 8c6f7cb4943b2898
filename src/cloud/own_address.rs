//! The address under which the internet sees this machine: one HTTPS GET to a URL the user chose.
//!
//! It refuses plain HTTP, redirects and anything but one IPv4 address in the
//! answer: what comes back becomes a firewall rule.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{HOST, USER_AGENT};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::ec2::names::Names;

const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_AT_MOST: usize = 256;
const HTTPS_PORT: u16 = 443;

/// Why this machine's address is not known.
#[derive(Debug, thiserror::Error)]
pub enum OwnAddressError {
    /// Not a URL that can be asked.
    #[error("{url:?} is no https URL")]
    Url {
        /// As given.
        url: String,
    },
    /// No answer.
    #[error("{host} was not reached: {reason}")]
    Unreachable {
        /// The URL's host.
        host: String,
        /// Why.
        reason: String,
    },
    /// An answer that is no address.
    #[error("{host} answered {answer:?}, which is no IPv4 address")]
    Answer {
        /// The URL's host.
        host: String,
        /// Its beginning.
        answer: String,
    },
}

/// Asks `url` (https) for this machine's public IPv4 address.
///
/// # Errors
/// No such URL, no answer within ten seconds, or another answer than an address.
pub async fn own_address(url: &str) -> Result<Ipv4Addr, OwnAddressError> {
    let refused = || OwnAddressError::Url { url: url.to_owned() };
    let uri: hyper::Uri = url.parse().map_err(|_| refused())?;
    let host = uri.host().filter(|_| uri.scheme_str() == Some("https")).ok_or_else(refused)?.to_owned();
    let unreachable = |reason: String| OwnAddressError::Unreachable { host: host.clone(), reason };
    let answer = tokio::time::timeout(PATIENCE, get(&uri, &host)).await;
    let answer = answer
        .map_err(|_| unreachable(format!("no answer within {} s", PATIENCE.as_secs())))?
        .map_err(|error| unreachable(error.to_string()))?;
    answer.trim().parse().map_err(|_| OwnAddressError::Answer { host: host.clone(), answer })
}

async fn get(uri: &hyper::Uri, host: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let address = address_of(host).await?;
    let stream =
        TcpStream::connect(SocketAddr::from((address, uri.port_u16().unwrap_or(HTTPS_PORT)))).await?;
    let tls = TlsConnector::from(Arc::new(trust()?));
    let stream = tls.connect(ServerName::try_from(host.to_owned())?, stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, host)
        .header(USER_AGENT, "cluster")
        .body(Empty::<Bytes>::new())?;
    // The connection is driven beside the exchange and goes with it.
    let exchange = async {
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()).into());
        }
        let body = Limited::new(response.into_body(), ANSWER_AT_MOST).collect().await?.to_bytes();
        Ok(String::from_utf8_lossy(&body).into_owned())
    };
    tokio::pin!(connection);
    tokio::select! {
        biased;
        answer = exchange => answer,
        ended = &mut connection => Err(match ended {
            Ok(()) => "it closed the connection without an answer".into(),
            Err(error) => error.into(),
        }),
    }
}

async fn address_of(host: &str) -> Result<IpAddr, Box<dyn std::error::Error + Send + Sync>> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        return Ok(address);
    }
    let found = Names::of_system().lookup(host).await?;
    // A rule for IPv4 needs the address that IPv4 is seen from.
    found.into_iter().find(IpAddr::is_ipv4).ok_or_else(|| format!("{host} has no IPv4 address").into())
}

fn trust() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_http_is_refused_before_anything_is_sent() {
        let error = own_address("http://127.0.0.1/").await.err();
        assert!(matches!(error, Some(OwnAddressError::Url { .. })), "{error:?}");
    }

    #[tokio::test]
    async fn a_host_that_does_not_answer_is_named() {
        // Port 1 of loopback is closed: refused at once.
        let error = own_address("https://127.0.0.1:1/").await.err();
        assert!(
            matches!(&error, Some(OwnAddressError::Unreachable { host, .. }) if host == "127.0.0.1"),
            "{error:?}"
        );
    }
}
