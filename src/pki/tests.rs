//! The certificates judged by other people's code: x509-parser reads them, rustls
//! verifies the chains at chosen times.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error, RootCertStore};

use crate::*;

const DAY: i64 = 24 * 60 * 60;

fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn after(days: i64) -> Timestamp {
    now() + SignedDuration::from_secs(days * DAY)
}

fn request(usage: Usage) -> LeafRequest {
    LeafRequest {
        common_name: "master-0".to_owned(),
        organization: Some("cluster:nodes".to_owned()),
        dns_names: vec!["b.example".to_owned(), "a.example".to_owned(), "b.example".to_owned()],
        ip_addresses: vec!["10.0.0.9".parse().unwrap(), "10.0.0.4".parse().unwrap()],
        usage,
        valid_for: LEAF_LIFE,
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn roots(authority: &Authority) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(der(authority.cert_pem())).unwrap();
    Arc::new(roots)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn unix(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.as_second().unsigned_abs()))
}

fn as_server(authority: &Authority, leaf: &Leaf, name: &str, at: Timestamp) -> Result<(), Error> {
    WebPkiServerVerifier::builder_with_provider(roots(authority), provider())
        .build()
        .unwrap()
        .verify_server_cert(
            &der(&leaf.cert_pem),
            &[],
            &ServerName::try_from(name.to_owned()).unwrap(),
            &[],
            unix(at),
        )
        .map(|_| ())
}

fn as_client(authority: &Authority, leaf: &Leaf, at: Timestamp) -> Result<(), Error> {
    WebPkiClientVerifier::builder_with_provider(roots(authority), provider())
        .build()
        .unwrap()
        .verify_client_cert(&der(&leaf.cert_pem), &[], unix(at))
        .map(|_| ())
}

#[test]
fn a_peer_is_accepted_as_server_and_as_client() {
    let ca = Authority::create("etcd", now()).unwrap();
    let leaf = ca.issue(&request(Usage::Peer), now()).unwrap();
    as_server(&ca, &leaf, "a.example", now()).unwrap();
    as_server(&ca, &leaf, "10.0.0.4", now()).unwrap();
    as_client(&ca, &leaf, now()).unwrap();
}

#[test]
fn a_leaf_is_refused_for_what_it_was_not_made_for() {
    let ca = Authority::create("api", now()).unwrap();
    let server = ca.issue(&request(Usage::Server), now()).unwrap();
    let client = ca.issue(&request(Usage::Client), now()).unwrap();
    as_server(&ca, &server, "a.example", now()).unwrap();
    as_client(&ca, &client, now()).unwrap();
    assert!(as_client(&ca, &server, now()).is_err());
    assert!(as_server(&ca, &client, "a.example", now()).is_err());
    assert!(as_server(&ca, &server, "c.example", now()).is_err());
}

#[test]
fn a_leaf_of_another_authority_is_refused_even_under_the_same_name() {
    let ours = Authority::create("cluster", now()).unwrap();
    let theirs = Authority::create("cluster", now()).unwrap();
    let leaf = theirs.issue(&request(Usage::Peer), now()).unwrap();
    assert!(as_client(&ours, &leaf, now()).is_err());
    assert!(as_server(&ours, &leaf, "a.example", now()).is_err());
}

#[test]
fn a_leaf_is_valid_a_little_early_and_not_after_its_year() {
    let ca = Authority::create("api", now()).unwrap();
    let leaf = ca.issue(&request(Usage::Client), now()).unwrap();
    let behind = now() - SignedDuration::from_secs(300);
    as_client(&ca, &leaf, behind).unwrap();
    as_client(&ca, &leaf, after(364)).unwrap();
    let refused = as_client(&ca, &leaf, after(366)).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })
        ),
        "{refused}"
    );
}

#[test]
fn a_certificate_is_due_in_the_last_third_of_its_life() {
    let ca = Authority::create("api", now()).unwrap();
    let leaf = ca.issue(&request(Usage::Client), now()).unwrap();
    let info = inspect(&leaf.cert_pem).unwrap();
    for (days, due) in [(0, false), (242, false), (244, true), (365, true), (4000, true)] {
        assert_eq!(needs_renewal(&info, after(days)), due, "after {days} days");
    }
    assert!(!needs_renewal(ca.info(), after(365 * 6)));
    assert!(needs_renewal(ca.info(), after(365 * 7)));
}

#[test]
fn a_leaf_never_outlives_its_authority_and_an_expired_authority_signs_nothing() {
    let ca = Authority::create("api", now()).unwrap();
    let leaf = ca.issue(&request(Usage::Client), after(3600)).unwrap();
    let info = inspect(&leaf.cert_pem).unwrap();
    assert_eq!(info.not_after, ca.info().not_after);
    let refused = ca.issue(&request(Usage::Client), after(3651)).unwrap_err();
    assert!(matches!(refused, PkiError::OutOfTime { .. }), "{refused}");
}

#[test]
fn what_inspect_reads_is_what_was_asked_for_sorted_and_without_duplicates() {
    let ca = Authority::create("etcd", now()).unwrap();
    let leaf = ca.issue(&request(Usage::Peer), now()).unwrap();
    let info = inspect(&leaf.cert_pem).unwrap();
    assert_eq!(info.subject, "master-0");
    assert_eq!(info.organizations, ["cluster:nodes"]);
    assert_eq!(info.issuer, "etcd");
    assert_eq!(info.dns_names, ["a.example", "b.example"]);
    let ips: [IpAddr; 2] = ["10.0.0.4".parse().unwrap(), "10.0.0.9".parse().unwrap()];
    assert_eq!(info.ips, ips);
    assert!(!info.ca);
    assert_eq!(info.fingerprint.len(), 64);
    let again = inspect(&ca.issue(&request(Usage::Peer), now()).unwrap().cert_pem).unwrap();
    assert_ne!(info.serial, again.serial);
    assert_ne!(info.fingerprint, again.fingerprint);
}

#[test]
fn an_authority_signs_leaves_only_and_says_which_key_signed() {
    let ca = Authority::create("api", now()).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(ca.cert_pem().as_bytes()).unwrap();
    let cert = pem.parse_x509().unwrap();
    let constraints = cert.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = cert.key_usage().unwrap().unwrap();
    assert!(usage.value.key_cert_sign() && !usage.value.key_encipherment());

    let leaf = ca.issue(&request(Usage::Server), now()).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(leaf.cert_pem.as_bytes()).unwrap();
    let leaf = pem.parse_x509().unwrap();
    let oid = x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER;
    assert!(leaf.get_extension_unique(&oid).unwrap().is_some());
    assert!(!leaf.key_usage().unwrap().unwrap().value.key_cert_sign());
}

#[test]
fn an_authority_that_was_kept_signs_as_before() {
    let ca = Authority::create("api", now()).unwrap();
    let kept = Authority::load(ca.cert_pem(), ca.key_pem()).unwrap();
    assert_eq!(kept.info(), ca.info());
    let leaf = kept.issue(&request(Usage::Client), now()).unwrap();
    as_client(&ca, &leaf, now()).unwrap();
}

#[test]
fn files_that_do_not_belong_together_are_refused_by_name() {
    let ca = Authority::create("api", now()).unwrap();
    let other = Authority::create("etcd", now()).unwrap();
    let leaf = ca.issue(&request(Usage::Client), now()).unwrap();
    let mixed = Authority::load(ca.cert_pem(), other.key_pem()).unwrap_err();
    assert!(matches!(mixed, PkiError::KeyMismatch { .. }), "{mixed}");
    let leaf = Authority::load(&leaf.cert_pem, &leaf.key_pem).unwrap_err();
    assert!(matches!(leaf, PkiError::NotAuthority { .. }), "{leaf}");
    let swapped = Authority::load(ca.key_pem().expose(), ca.key_pem()).unwrap_err();
    assert!(matches!(swapped, PkiError::Certificate { .. }), "{swapped}");
    let garbage = Secret::new("garbage".to_owned());
    let garbage = Authority::load(ca.cert_pem(), &garbage).unwrap_err();
    assert!(matches!(garbage, PkiError::Key(_)), "{garbage}");
}

#[test]
fn a_name_that_no_verifier_would_match_is_refused() {
    let ca = Authority::create("api", now()).unwrap();
    for bad in ["", "a b", "ä.example", "-a.example", "a..example", "a_b.example"] {
        let mut request = request(Usage::Server);
        request.dns_names = vec![bad.to_owned()];
        let refused = ca.issue(&request, now()).unwrap_err();
        assert!(matches!(refused, PkiError::Name { .. }), "{bad}: {refused}");
    }
    let mut wildcard = request(Usage::Server);
    wildcard.dns_names = vec!["*.example.org".to_owned()];
    ca.issue(&wildcard, now()).unwrap();
}

#[test]
fn secrets_are_not_printed() {
    let ca = Authority::create("api", now()).unwrap();
    let leaf = ca.issue(&request(Usage::Client), now()).unwrap();
    let ssh = ssh_keypair("demo").unwrap();
    for text in [format!("{ca:?}"), format!("{leaf:?} {}", leaf.key_pem), format!("{ssh:?}")] {
        assert!(!text.contains("PRIVATE"), "{text}");
    }
}

#[test]
fn an_ssh_key_reads_back_as_the_pair_it_is() {
    let made = ssh_keypair("demo@laptop").unwrap();
    let private = ssh_key::PrivateKey::from_openssh(made.private_openssh.expose()).unwrap();
    let public = ssh_key::PublicKey::from_openssh(&made.public).unwrap();
    assert_eq!(private.public_key().key_data(), public.key_data());
    assert_eq!(public.comment(), "demo@laptop");
    assert!(made.public.starts_with("ssh-ed25519 AAAA"));
    assert!(!made.public.ends_with('\n'));
    assert_eq!(made.fingerprint, public.fingerprint(ssh_key::HashAlg::Sha256).to_string());
}
