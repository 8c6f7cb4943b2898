//! SSH key pairs: the operator's login key and the host keys pinned before first contact.
//!
//! Owns their form: ed25519, OpenSSH text without a passphrase (the file's mode and
//! the state folder protect it). Using them is the business of `remote`.

use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey};

use crate::{PkiError, Secret};

/// An ed25519 key pair as OpenSSH writes it.
#[derive(Debug, Clone)]
pub struct SshKey {
    /// `-----BEGIN OPENSSH PRIVATE KEY-----`…, newline at the end.
    pub private_openssh: Secret,
    /// One line, `ssh-ed25519 AAAA… comment`, without a newline.
    pub public: String,
    /// The public key's `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
}

/// Makes a new ed25519 key pair that carries `comment`.
pub fn ssh_keypair(comment: &str) -> Result<SshKey, PkiError> {
    let failed = |source| PkiError::Ssh { comment: comment.to_owned(), source };
    let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(failed)?;
    key.set_comment(comment);
    let private = key.to_openssh(LineEnding::LF).map_err(failed)?;
    let public = key.public_key().to_openssh().map_err(failed)?;
    Ok(SshKey {
        private_openssh: Secret::new(private.to_string()),
        public,
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
    })
}
