//! Which host keys a node may show: pinned before first contact, replaced once, then fixed.
//!
//! The order of writes makes every crash harmless: the key made on the node is
//! recorded before the node switches to it, and the single-use one is struck
//! out only after the new one has answered.

use remote::HostKey;
use serde::{Deserialize, Serialize};

use super::material::{MaterialError, Vault};

/// A slot's host keys, `TYPE BASE64` each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostKeys {
    /// Which attempt at the slot's machine they belong to.
    pub attempt: u32,
    /// From user-data; `None` once it was replaced.
    pub single_use: Option<String>,
    /// Made on the node; `None` before the first session.
    pub own: Option<String>,
    /// The instance that passed every step: from then on it holds data.
    pub established: Option<String>,
}

impl HostKeys {
    /// The record of a slot; empty if there is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(vault: &dyn Vault, slot: &str) -> Result<Self, MaterialError> {
        let name = name(slot);
        let file = |source| MaterialError::File { name: name.clone(), source };
        match vault.read(&name).map_err(file)? {
            None => Ok(Self::default()),
            Some(text) => serde_json::from_str(&text).map_err(|error| file(error.into())),
        }
    }

    /// Writes the record of a slot.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, vault: &dyn Vault, slot: &str) -> Result<(), MaterialError> {
        let name = name(slot);
        let file = |source| MaterialError::File { name: name.clone(), source };
        let text = serde_json::to_string_pretty(self).map_err(|error| file(error.into()))?;
        vault.write(&name, &text).map_err(file)
    }

    /// The keys the node may show now.
    #[must_use]
    pub fn accepted(&self) -> Vec<HostKey> {
        [&self.own, &self.single_use]
            .into_iter()
            .flatten()
            .filter_map(|line| HostKey::parse(line).ok())
            .collect()
    }

    /// Whether only the key made on the node is accepted.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.own.is_some() && self.single_use.is_none()
    }
}

fn name(slot: &str) -> String {
    format!("nodes/{slot}.json")
}
