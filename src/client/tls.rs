//! TLS of a client: whom it trusts, whom it shows, under which name it knows its server.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// What a client has in hand, PEM texts. Keys and tokens are never printed.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Whom to trust.
    pub authority_pem: String,
    /// A client certificate with its private key.
    pub certificate: Option<(String, String)>,
    /// A bearer token.
    pub token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Certificates, a key or a name that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be used: {detail}")]
pub struct TlsError {
    what: &'static str,
    detail: String,
}

impl TlsError {
    fn of(what: &'static str) -> impl Fn(rustls::Error) -> Self {
        move |error| Self { what, detail: error.to_string() }
    }
}

impl Credentials {
    /// The configuration of connections that speak one of `protocols` (ALPN).
    pub fn config(&self, protocols: &[&str]) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.authority_pem, "the authority")? {
            roots.add(certificate).map_err(TlsError::of("the authority"))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::of("TLS"))?
            .with_root_certificates(roots);
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|error| TlsError { what: "the private key", detail: error.to_string() })?;
                let chain = certificates(chain, "the certificate")?;
                builder.with_client_auth_cert(chain, key).map_err(TlsError::of("the certificate"))?
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }
}

/// The name that a server's certificate must carry.
pub fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned())
        .map_err(|error| TlsError { what: "the server's name", detail: format!("{name}: {error}") })
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|error| TlsError { what, detail: error.to_string() })?;
    if all.is_empty() {
        return Err(TlsError { what, detail: "it holds no certificate".to_owned() });
    }
    Ok(all)
}
