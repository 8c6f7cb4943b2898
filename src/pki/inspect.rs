//! Reading certificates back: whose they are, for how long, and whether they are due.
//!
//! Owns the rule of renewal (the last third of a life). It only reads PEM text it is
//! given, and judges no chain: a verifier does that when the certificate is used.

use std::net::IpAddr;

use jiff::Timestamp;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::PkiError;

/// What a certificate says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The subject's common name, or the whole subject where it has none.
    pub subject: String,
    /// The subject's organizations: the groups of a Kubernetes client.
    pub organizations: Vec<String>,
    /// The issuer's common name, or the whole issuer where it has none.
    pub issuer: String,
    /// First moment it is valid.
    pub not_before: Timestamp,
    /// Last moment it is valid.
    pub not_after: Timestamp,
    /// DNS names it answers to, sorted.
    pub dns_names: Vec<String>,
    /// Addresses it answers to, sorted.
    pub ips: Vec<IpAddr>,
    /// Serial number, lower-case hexadecimal without separators.
    pub serial: String,
    /// Whether it may sign others.
    pub ca: bool,
    /// SHA-256 of the DER form, lower-case hexadecimal.
    pub fingerprint: String,
}

/// Reads the first certificate of a PEM text.
pub fn inspect(cert_pem: &str) -> Result<CertificateInfo, PkiError> {
    let unreadable = |detail: String| PkiError::Certificate { what: "the text".to_owned(), detail };
    let (_, pem) = x509_parser::pem::parse_x509_pem(cert_pem.as_bytes())
        .map_err(|error| unreadable(error.to_string()))?;
    if pem.label != "CERTIFICATE" {
        return Err(unreadable(format!("it is a {}", pem.label)));
    }
    let (_, cert) =
        X509Certificate::from_der(&pem.contents).map_err(|error| unreadable(error.to_string()))?;
    let (dns_names, ips) = alternative_names(&cert);
    Ok(CertificateInfo {
        subject: common_name(cert.subject()),
        organizations: cert
            .subject()
            .iter_organization()
            .filter_map(|value| value.as_str().ok())
            .map(str::to_owned)
            .collect(),
        issuer: common_name(cert.issuer()),
        not_before: timestamp(cert.validity().not_before.timestamp()).map_err(unreadable)?,
        not_after: timestamp(cert.validity().not_after.timestamp()).map_err(unreadable)?,
        dns_names,
        ips,
        serial: hex(cert.raw_serial()),
        ca: cert.is_ca(),
        fingerprint: sha256_hex(&pem.contents),
    })
}

/// Whether a certificate is in the last third of its life at `now` (or past it).
pub fn needs_renewal(info: &CertificateInfo, now: Timestamp) -> bool {
    let life = info.not_after.as_second() - info.not_before.as_second();
    now.as_second() >= info.not_after.as_second() - life / 3
}

fn alternative_names(cert: &X509Certificate<'_>) -> (Vec<String>, Vec<IpAddr>) {
    let (mut names, mut ips) = (Vec::new(), Vec::new());
    for extension in cert.extensions() {
        let ParsedExtension::SubjectAlternativeName(san) = extension.parsed_extension() else {
            continue;
        };
        for name in &san.general_names {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => ips.extend(address(bytes)),
                _ => {}
            }
        }
    }
    names.sort();
    ips.sort();
    (names, ips)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn common_name(name: &x509_parser::x509::X509Name<'_>) -> String {
    name.iter_common_name()
        .find_map(|value| value.as_str().ok().map(str::to_owned))
        .unwrap_or_else(|| name.to_string())
}

fn timestamp(seconds: i64) -> Result<Timestamp, String> {
    Timestamp::from_second(seconds).map_err(|error| error.to_string())
}

fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
