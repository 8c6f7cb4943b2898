//! Certificate authorities and the leaves they sign.
//!
//! Owns the shape of both: ECDSA P-256, ten years and one year, a start slightly in
//! the past, sorted alternative names, and only the key usages a leaf asked for. An
//! authority signs leaves and nothing else (path length 0). Names, addresses and the
//! time come from the caller.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};

use crate::{CertificateInfo, PkiError, Secret, inspect};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an authority lives.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * DAY.as_secs());

/// How long a leaf lives unless its request says less or more.
pub const LEAF_LIFE: Duration = Duration::from_secs(365 * DAY.as_secs());

/// Every certificate begins this long before it is made, for machines whose clock is behind.
pub const BACKDATE: Duration = Duration::from_secs(10 * 60);

/// A certificate authority: signs, and keeps its private key in memory only.
pub struct Authority {
    cert_pem: String,
    key_pem: Secret,
    info: CertificateInfo,
    issuer: Issuer<'static, KeyPair>,
}

/// What a leaf may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// Answering TLS connections.
    Server,
    /// Opening them.
    Client,
    /// Both, as members of an etcd cluster do with each other.
    Peer,
}

/// What a leaf should say. Order and duplicates of the names do not matter.
#[derive(Debug, Clone)]
pub struct LeafRequest {
    /// The user of a client certificate; for a server only a label.
    pub common_name: String,
    /// The group of a client certificate, as Kubernetes reads it.
    pub organization: Option<String>,
    /// Names a server answers to.
    pub dns_names: Vec<String>,
    /// Addresses a server answers at.
    pub ip_addresses: Vec<IpAddr>,
    /// Who shows it to whom.
    pub usage: Usage,
    /// How long it lives from `now`; never past its authority. Usually [`LEAF_LIFE`].
    pub valid_for: Duration,
}

/// A signed certificate and its private key.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The certificate alone; verifiers have the authority's.
    pub cert_pem: String,
    /// Its key, PKCS#8.
    pub key_pem: Secret,
}

impl Authority {
    /// Makes a new authority called `name`, valid for ten years from `now`.
    pub fn create(name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let failed = |source| PkiError::Sign { subject: name.to_owned(), source };
        let key = generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        set_validity(&mut params, now, AUTHORITY_LIFE, None);
        let cert_pem = params.self_signed(&key).map_err(failed)?.pem();
        Self::assemble(cert_pem, key)
    }

    /// Takes up an authority that was made earlier, checking that the two belong together.
    pub fn load(cert_pem: &str, key_pem: &Secret) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key_pem.expose()).map_err(PkiError::Key)?;
        Self::assemble(cert_pem.to_owned(), key)
    }

    fn assemble(cert_pem: String, key: KeyPair) -> Result<Self, PkiError> {
        let info = inspect(&cert_pem)?;
        if !info.ca {
            return Err(PkiError::NotAuthority { subject: info.subject });
        }
        if !owns(&cert_pem, &key) {
            return Err(PkiError::KeyMismatch { subject: info.subject });
        }
        let key_pem = Secret::new(key.serialize_pem());
        let issuer = Issuer::from_ca_cert_pem(&cert_pem, key)
            .map_err(|source| PkiError::Sign { subject: info.subject.clone(), source })?;
        Ok(Self { cert_pem, key_pem, info, issuer })
    }

    /// Signs a leaf with a new key. Fails where the authority itself is out of its time.
    pub fn issue(&self, request: &LeafRequest, now: Timestamp) -> Result<Leaf, PkiError> {
        self.in_time(now)?;
        let failed = |source| PkiError::Sign { subject: request.common_name.clone(), source };
        let key = generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&request.common_name, request.organization.as_deref());
        params.subject_alt_names = alternative_names(request)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = request.usage.purposes();
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, request.valid_for, Some(&self.info));
        let cert = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Leaf { cert_pem: cert.pem(), key_pem: Secret::new(key.serialize_pem()) })
    }

    /// The authority's own certificate, which verifiers trust.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The authority's private key, PKCS#8 PEM.
    pub fn key_pem(&self) -> &Secret {
        &self.key_pem
    }

    /// What its certificate says.
    pub fn info(&self) -> &CertificateInfo {
        &self.info
    }

    fn in_time(&self, now: Timestamp) -> Result<(), PkiError> {
        if now >= self.info.not_before && now < self.info.not_after {
            return Ok(());
        }
        Err(PkiError::OutOfTime {
            subject: self.info.subject.clone(),
            not_before: self.info.not_before,
            not_after: self.info.not_after,
            now,
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Usage {
    fn purposes(self) -> Vec<ExtendedKeyUsagePurpose> {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        match self {
            Self::Server => vec![ServerAuth],
            Self::Client => vec![ClientAuth],
            Self::Peer => vec![ServerAuth, ClientAuth],
        }
    }
}

fn generate() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
}

fn subject(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn alternative_names(request: &LeafRequest) -> Result<Vec<SanType>, PkiError> {
    let mut names = request.dns_names.clone();
    names.sort();
    names.dedup();
    let mut addresses = request.ip_addresses.clone();
    addresses.sort();
    addresses.dedup();
    let mut all = Vec::with_capacity(names.len() + addresses.len());
    for name in names {
        if !is_dns_name(&name) {
            return Err(PkiError::Name { name });
        }
        let text = name.as_str().try_into().map_err(|_| PkiError::Name { name: name.clone() })?;
        all.push(SanType::DnsName(text));
    }
    all.extend(addresses.into_iter().map(SanType::IpAddress));
    Ok(all)
}

fn is_dns_name(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    (1..=253).contains(&name.len())
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// Sets the validity in whole seconds, as certificates have it, inside that of `within`.
fn set_validity(
    params: &mut CertificateParams,
    now: Timestamp,
    life: Duration,
    within: Option<&CertificateInfo>,
) {
    let now = now.as_second();
    let mut start = now.saturating_sub_unsigned(BACKDATE.as_secs());
    let mut end = now.saturating_add_unsigned(life.as_secs());
    if let Some(authority) = within {
        start = start.max(authority.not_before.as_second());
        end = end.min(authority.not_after.as_second());
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(start.max(0).unsigned_abs());
    params.not_after = epoch + Duration::from_secs(end.max(0).unsigned_abs());
}

fn owns(cert_pem: &str, key: &KeyPair) -> bool {
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(cert_pem.as_bytes()) else {
        return false;
    };
    pem.parse_x509().is_ok_and(|cert| cert.public_key().raw == key.subject_public_key_info())
}
