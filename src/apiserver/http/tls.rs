//! TLS of the server: one provider (rustls with ring), client certificates asked for and
//! judged after the handshake.
//!
//! The handshake takes any certificate whose key the client proves to have; whether its
//! authority is ours is looked at once per connection. So a stranger's certificate gets
//! upstream's answer (401) instead of a broken connection.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};

/// The server's certificates, PEM texts. The key is never printed.
#[derive(Clone)]
pub struct Identity {
    /// What it shows: its certificate and those between it and the authority.
    pub certificate_pem: String,
    /// The private key.
    pub key_pem: String,
    /// Whose client certificates are believed.
    pub client_authority_pem: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Certificates or a key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the server's {what} cannot be used: {detail}")]
pub struct TlsError {
    what: &'static str,
    detail: String,
}

/// What connections are served with.
#[derive(Debug, Clone)]
pub struct Tls {
    /// For the handshake.
    pub config: Arc<ServerConfig>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl Tls {
    /// Reads the certificates.
    pub fn new(identity: &Identity) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let fail = |what| move |error: rustls::Error| TlsError { what, detail: error.to_string() };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&identity.client_authority_pem, "client authority")? {
            roots.add(certificate).map_err(fail("client authority"))?;
        }
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| TlsError { what: "client authority", detail: error.to_string() })?;
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes())
            .map_err(|error| TlsError { what: "private key", detail: error.to_string() })?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(fail("protocol"))?
            .with_client_cert_verifier(Arc::new(AnyCertificate(Arc::clone(&clients))))
            .with_single_cert(certificates(&identity.certificate_pem, "certificate")?, key)
            .map_err(fail("certificate"))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Answers are many and small: a ticket or two a connection are enough.
        config.send_tls13_tickets = 1;
        Ok(Self { config: Arc::new(config), clients })
    }

    /// Whether a chain that a client showed leads to the authority, at this moment.
    #[must_use]
    pub fn believes(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, between)) = chain.split_first() else { return false };
        self.clients.verify_client_cert(leaf, between, UnixTime::now()).is_ok()
    }
}

fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(TlsError { what, detail: "there is no PEM certificate in it".to_owned() }),
        Err(error) => Err(TlsError { what, detail: error.to_string() }),
    }
}

/// Takes any certificate; signatures are checked by the real verifier.
#[derive(Debug)]
struct AnyCertificate(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AnyCertificate {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
