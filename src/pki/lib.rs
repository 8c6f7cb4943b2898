//! Certificates and keys: authorities, the leaves they sign, and SSH key pairs.
//!
//! Owns how a certificate of this project looks (ECDSA P-256, how long it lives,
//! when it is due) and the one type private keys travel in, [`Secret`]. It refuses
//! files, clocks and names of its own: the time and every name are arguments, and
//! the caller keeps what is made here. Each purpose has its own [`Authority`]
//! (the API, etcd), so that a key of one is worth nothing at the other.

mod authority;
mod inspect;
mod secret;
mod ssh;
#[cfg(test)]
mod tests;

pub use authority::{Authority, BACKDATE, LEAF_LIFE, Leaf, LeafRequest, Usage};
pub use inspect::{CertificateInfo, inspect, needs_renewal};
pub use secret::Secret;
pub use ssh::{SshKey, ssh_keypair};

/// Why a certificate or key could not be made or read.
///
/// None of these passes by waiting: the caller reports them (its class is `Invalid`
/// for what was read from a file, `Fatal` for what the cryptography refused).
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The text is not a PEM certificate.
    #[error("{what} is not a PEM certificate: {detail}")]
    Certificate {
        /// Which certificate, in the caller's words.
        what: String,
        /// What the parser said.
        detail: String,
    },
    /// The certificate is not one that signs others.
    #[error("the certificate of {subject} is not an authority's, so it cannot sign")]
    NotAuthority {
        /// The certificate's subject.
        subject: String,
    },
    /// Certificate and private key do not belong together.
    #[error("the private key beside the certificate of {subject} is another one's")]
    KeyMismatch {
        /// The certificate's subject.
        subject: String,
    },
    /// The authority's own time is over (or has not begun): nothing it signs is valid.
    #[error("the authority {subject} is valid from {not_before} to {not_after}, which {now} is not")]
    OutOfTime {
        /// The authority's subject.
        subject: String,
        /// Start of its validity.
        not_before: jiff::Timestamp,
        /// End of its validity.
        not_after: jiff::Timestamp,
        /// The time that was asked for.
        now: jiff::Timestamp,
    },
    /// A name that a certificate cannot carry.
    #[error(
        "{name:?} cannot be a DNS name in a certificate: names are ASCII letters, digits, dots and dashes"
    )]
    Name {
        /// The name as given.
        name: String,
    },
    /// The private key is not a PEM key this project can use.
    #[error("the private key is not an ECDSA P-256 key in PKCS#8 PEM")]
    Key(#[source] rcgen::Error),
    /// The certificate could not be made.
    #[error("the certificate of {subject} could not be signed")]
    Sign {
        /// The subject it was meant for.
        subject: String,
        /// What the cryptography said.
        #[source]
        source: rcgen::Error,
    },
    /// The SSH key pair could not be made.
    #[error("the SSH key {comment:?} could not be made")]
    Ssh {
        /// The comment it was meant to carry.
        comment: String,
        /// What the cryptography said.
        #[source]
        source: ssh_key::Error,
    },
}
