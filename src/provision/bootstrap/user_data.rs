//! User-data: a single-use host key, and the packages that install while we wait for SSH.

use plan::Role;

use super::distribution::DEBIAN_12;
use super::host_keys::HostKeys;
use super::material::{MaterialError, Vault};
use super::script;
use super::template::{self, TemplateError, UserData};

/// EC2's limit for user-data before base64, in bytes.
pub(super) const LIMIT: usize = 16 * 1024;

/// Why there is no user-data.
#[derive(Debug, thiserror::Error)]
pub enum UserDataError {
    /// The state folder.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The single-use host key.
    #[error("the single-use host key of {slot} cannot be made")]
    Key {
        /// Its slot.
        slot: String,
        /// Why.
        #[source]
        source: pki::PkiError,
    },
    /// EC2 would refuse it.
    #[error("the user-data of {slot} has {bytes} bytes, more than the {LIMIT} that EC2 takes; this is a bug")]
    TooLong {
        /// Its slot.
        slot: String,
        /// Its length.
        bytes: usize,
    },
}

/// Makes the user-data of one attempt at a slot's machine. Its host key is
/// recorded as the only one that machine may show before the text leaves here.
pub(super) fn make(vault: &dyn Vault, slot: &str, role: Role, attempt: u32) -> Result<String, UserDataError> {
    let key =
        pki::ssh_keypair(slot).map_err(|source| UserDataError::Key { slot: slot.to_owned(), source })?;
    let public = key.public.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let text = template::render(&UserData {
        hostname: slot,
        host_key_private: key.private_openssh.expose(),
        host_key_public: &public,
        packages_script: &script::packages_at_boot(&DEBIAN_12, role)?,
    })?;
    if text.len() > LIMIT {
        return Err(UserDataError::TooLong { slot: slot.to_owned(), bytes: text.len() });
    }
    HostKeys { attempt, single_use: Some(public), ..HostKeys::default() }.save(vault, slot)?;
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bootstrap::material::tests::MapVault;

    #[test]
    fn user_data_fits_ec2_and_carries_no_secret_but_the_recorded_host_key() {
        let vault = MapVault::default();
        let text = make(&vault, "master-0", Role::Master, 1).unwrap();
        assert!(text.len() <= LIMIT, "{} bytes", text.len());
        assert_eq!(text.matches("PRIVATE KEY").count(), 2, "one key: its first and last line");
        let recorded = HostKeys::load(&vault, "master-0").unwrap();
        assert!(text.contains(&recorded.single_use.unwrap()));
    }

    #[test]
    fn two_attempts_never_share_a_host_key() {
        let vault = MapVault::default();
        make(&vault, "general-0", Role::Worker, 1).unwrap();
        let first = HostKeys::load(&vault, "general-0").unwrap();
        make(&vault, "general-0", Role::Worker, 2).unwrap();
        assert_ne!(first.single_use, HostKeys::load(&vault, "general-0").unwrap().single_use);
    }
}
