//! TLS between nodes: both sides show a certificate, TLS 1.3, one provider (ring).

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::NodeError;

/// One side's certificates, PEM texts. The key is never printed.
#[derive(Clone)]
pub struct TlsFiles {
    /// Whom to trust.
    pub ca_pem: String,
    /// Whom to show.
    pub cert_pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFiles").finish_non_exhaustive()
    }
}

impl TlsFiles {
    /// Demands a certificate of the same authority from whoever connects.
    pub(crate) fn server(&self) -> Result<ServerConfig, NodeError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider())
            .build()
            .map_err(|error| unusable(format!("the authority: {error}")))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unusable(error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain()?, self.key()?)
            .map_err(|error| unusable(format!("the certificate: {error}")))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Shows our certificate to a server of the same authority.
    pub(crate) fn client(&self, protocol: &[u8]) -> Result<ClientConfig, NodeError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(self.chain()?, self.key()?)
            .map_err(|error| unusable(format!("the certificate: {error}")))?;
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, NodeError> {
        let mut roots = RootCertStore::empty();
        for cert in certificates(&self.ca_pem, "the authority")? {
            roots.add(cert).map_err(|error| unusable(format!("the authority: {error}")))?;
        }
        Ok(roots)
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>, NodeError> {
        certificates(&self.cert_pem, "the certificate")
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, NodeError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|error| unusable(format!("the private key: {error}")))
    }
}

/// The organizations of a certificate, as Kubernetes reads groups off it.
pub(crate) fn organizations(cert: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, cert)) = x509_parser::parse_x509_certificate(cert) else {
        return Vec::new();
    };
    let values = cert.subject().iter_organization();
    values.filter_map(|value| value.as_str().ok().map(str::to_owned)).collect()
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, NodeError> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(format!("{what}: {error}")))?;
    if all.is_empty() {
        return Err(unusable(format!("{what} holds no certificate")));
    }
    Ok(all)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn unusable(detail: String) -> NodeError {
    NodeError::Tls { detail }
}
