//! Where a machine is, who we are there, and which host keys it may show.
//!
//! Owns the comparison of host keys (the exact key, byte for byte) and their
//! fingerprints. Everything here is given by the caller; nothing is read from files
//! such as `known_hosts`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::RemoteError;

/// A machine to connect to.
#[derive(Debug, Clone)]
pub struct Target {
    /// The node's name, for messages and for the fake.
    pub slot: String,
    /// Address and port of its SSH server.
    pub address: SocketAddr,
    /// Who to log in as.
    pub user: String,
    /// The private key to log in with.
    pub identity: Identity,
    /// The host keys it may answer with; with none, nothing is trusted.
    pub accepted: Vec<HostKey>,
}

impl Target {
    /// Slot and address, as messages name the machine.
    pub fn at(&self) -> String {
        format!("{} ({})", self.slot, self.address)
    }

    pub(crate) fn mismatch(&self, got: HostKey) -> RemoteError {
        RemoteError::HostKeyMismatch { at: self.at(), expected: self.accepted.clone(), got }
    }

    pub(crate) fn untrusted(&self) -> RemoteError {
        RemoteError::Untrusted { at: self.at() }
    }
}

/// A private key, OpenSSH or PEM text without a passphrase. Never printed, wiped when dropped.
#[derive(Clone)]
pub struct Identity(Zeroizing<String>);

impl Identity {
    /// Takes the key's text over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[private key]")
    }
}

/// A public host key, as in `ssh_host_ed25519_key.pub`. Shown as its `SHA256:` fingerprint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey {
    kind: String,
    blob: Vec<u8>,
}

/// Why a text is no host key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    /// Not `TYPE BASE64 [COMMENT]`.
    #[error("a host key is one line: its type, its base64 form and perhaps a comment")]
    Form,
    /// The base64 part is broken, or is of another type than the line says.
    #[error("the base64 part of the {0} host key is damaged")]
    Damaged(String),
    /// A type this program does not pin.
    #[error("{0:?} is no host key type known here (use ssh-ed25519, ecdsa-sha2-nistp… or ssh-rsa)")]
    Kind(String),
}

impl HostKey {
    /// Reads `TYPE BASE64 [COMMENT]`.
    pub fn parse(line: &str) -> Result<Self, HostKeyError> {
        let mut words = line.split_whitespace();
        let (Some(kind), Some(text)) = (words.next(), words.next()) else {
            return Err(HostKeyError::Form);
        };
        if algorithms(kind).is_none() {
            return Err(HostKeyError::Kind(kind.to_owned()));
        }
        let blob = STANDARD.decode(text).map_err(|_| HostKeyError::Damaged(kind.to_owned()))?;
        match kind_of(&blob) {
            Some(inner) if inner == kind => Ok(Self { kind: kind.to_owned(), blob }),
            _ => Err(HostKeyError::Damaged(kind.to_owned())),
        }
    }

    /// A key as the wire has it; `None` where it does not even name its type.
    pub(crate) fn from_blob(blob: &[u8]) -> Option<Self> {
        Some(Self { kind: kind_of(blob)?.to_owned(), blob: blob.to_vec() })
    }

    /// The key type, such as `ssh-ed25519`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.blob);
        format!("SHA256:{}", STANDARD_NO_PAD.encode(digest))
    }

    /// `TYPE BASE64`, the form that [`HostKey::parse`] reads.
    pub fn line(&self) -> String {
        format!("{} {}", self.kind, STANDARD.encode(&self.blob))
    }

    /// Names of the signature algorithms with which a server proves it holds such a key.
    pub(crate) fn algorithms(&self) -> &'static str {
        algorithms(&self.kind).unwrap_or_default()
    }
}

impl FromStr for HostKey {
    type Err = HostKeyError;

    fn from_str(line: &str) -> Result<Self, HostKeyError> {
        Self::parse(line)
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.fingerprint(), self.kind)
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn algorithms(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "ssh-ed25519" => "ssh-ed25519",
        "ecdsa-sha2-nistp256" => "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384" => "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521" => "ecdsa-sha2-nistp521",
        "ssh-rsa" => "rsa-sha2-512,rsa-sha2-256",
        _ => return None,
    })
}

/// The type a key names itself: a big-endian length, then that many bytes of ASCII.
fn kind_of(blob: &[u8]) -> Option<&str> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    std::str::from_utf8(rest.get(..length)?).ok()
}
