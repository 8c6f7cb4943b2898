//! The files bootstrap keeps on a node.

use base::ids::hex;
use pki::Secret;
use sha2::{Digest as _, Sha256};

/// A file as it should be on a node.
#[derive(Debug)]
pub(super) struct ManagedFile {
    /// Absolute path.
    pub(super) path: String,
    /// Permissions.
    pub(super) mode: u32,
    /// `USER:GROUP`.
    pub(super) owner: &'static str,
    /// What it holds.
    pub(super) content: Content,
}

/// A file's content: shown in debug output only where it is no secret.
#[derive(Debug)]
pub(super) enum Content {
    /// Anyone may read it.
    Public(String),
    /// A private key.
    Private(Secret),
}

impl Content {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Public(text) => text.as_bytes(),
            Self::Private(secret) => secret.expose().as_bytes(),
        }
    }
}

impl ManagedFile {
    /// A file of root's that everyone may read.
    pub(super) fn public(path: &str, content: String) -> Self {
        Self { path: path.to_owned(), mode: 0o644, owner: "root:root", content: Content::Public(content) }
    }

    /// A private key that only its owner may read (group `GROUP` too, for `owner` = `root:GROUP`).
    pub(super) fn private(path: &str, owner: &'static str, content: Secret) -> Self {
        let mode = if owner == "root:root" { 0o600 } else { 0o640 };
        Self { path: path.to_owned(), mode, owner, content: Content::Private(content) }
    }

    /// SHA-256 of the content, hexadecimal.
    pub(super) fn digest(&self) -> String {
        hex(&Sha256::digest(self.content.as_bytes()))
    }
}
