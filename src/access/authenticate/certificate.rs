//! The user of a client certificate: its common name, its organisations as groups, and
//! its UID where it has one. That the certificate is signed by the cluster's authority and
//! may be used by clients is TLS's to verify, before.

use ring::digest::{SHA256, digest};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use crate::User;
use crate::user::EXTRA_CREDENTIAL_ID;

/// The attribute of a subject that is a user's UID.
const UID: &str = "1.3.6.1.4.1.57683.2";
const COMMON_NAME: &str = "2.5.4.3";
const ORGANISATION: &str = "2.5.4.10";

/// Why a verified certificate is nobody's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not X.509.
    #[error("client certificate: it cannot be read")]
    Unreadable,
    /// Two UIDs.
    #[error("client certificate: expected 1 UID, but found multiple: [{}]", .0.join(" "))]
    Uids(Vec<String>),
    /// One, and nothing in it.
    #[error("client certificate: UID cannot be an empty string")]
    EmptyUid,
}

/// The user of a certificate in DER form; none if it has no common name.
pub fn user(der: &[u8]) -> Result<Option<User>, CertificateError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::Unreadable)?;
    let subject = certificate.subject();
    // The last one counts, as for others who read certificates.
    let Some(name) = texts(subject, COMMON_NAME).pop().filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let uids = texts(subject, UID);
    let uid = match &uids[..] {
        [] => String::new(),
        [only] if only.is_empty() => return Err(CertificateError::EmptyUid),
        [only] => only.clone(),
        _ => return Err(CertificateError::Uids(uids)),
    };
    let hex: String = digest(&SHA256, der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut user = User { name, uid, groups: texts(subject, ORGANISATION), ..User::default() };
    user.extra.insert(EXTRA_CREDENTIAL_ID.to_owned(), vec![format!("X509SHA256={hex}")]);
    Ok(Some(user))
}

/// The values of an attribute in a name.
fn texts(name: &X509Name, attribute: &str) -> Vec<String> {
    let of_type = name.iter_attributes().filter(|item| item.attr_type().to_id_string() == attribute);
    of_type.filter_map(|item| item.as_str().ok()).map(str::to_owned).collect()
}

/// Whom a certificate is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requested {
    /// Empty if there is none.
    pub(crate) common_name: String,
    pub(crate) organisations: Vec<String>,
}

/// Reads the subject of a PEM certificate request; none if it is no request.
pub(crate) fn requested(pem: &[u8]) -> Option<Requested> {
    let (_, pem) = parse_x509_pem(pem).ok().filter(|(_, pem)| pem.label == "CERTIFICATE REQUEST")?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    let subject = &request.certification_request_info.subject;
    let common_name = texts(subject, COMMON_NAME).pop().unwrap_or_default();
    Some(Requested { common_name, organisations: texts(subject, ORGANISATION) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    fn certificate(subject: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), DnValue::Utf8String((*value).to_owned()));
        }
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn uid() -> DnType {
        DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2])
    }

    #[test]
    fn a_subject_is_a_user() {
        let der = certificate(&[
            (DnType::CommonName, "system:node:n1"),
            (DnType::OrganizationName, "system:nodes"),
            (uid(), "u-1"),
        ]);
        let user = user(&der).unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:node:n1", "u-1"));
        assert_eq!(user.groups, ["system:nodes"]);
        let id = user.only_extra(EXTRA_CREDENTIAL_ID).unwrap();
        assert_eq!((id.len(), &id[..11]), (11 + 64, "X509SHA256="));
    }

    #[test]
    fn a_certificate_without_a_name_is_nobody_s_and_a_broken_one_is_an_error() {
        let der = certificate(&[(DnType::OrganizationName, "system:masters")]);
        assert_eq!(user(&der), Ok(None));
        assert_eq!(user(b"no certificate"), Err(CertificateError::Unreadable));
        let der = certificate(&[(DnType::CommonName, "a"), (uid(), "")]);
        assert_eq!(user(&der), Err(CertificateError::EmptyUid));
    }

    #[test]
    fn a_request_tells_whom_it_is_for() {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "system:node:n1");
        let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let found = requested(request.pem().unwrap().as_bytes()).unwrap();
        assert_eq!((found.common_name.as_str(), found.organisations.len()), ("system:node:n1", 0));
        assert_eq!(requested(b"nothing"), None);
    }
}
