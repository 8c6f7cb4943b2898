//! The content of `state.json`, format 1.
//!
//! Fields may be added within a format; readers of an older program ignore
//! them. Anything that an older program would misread needs a new format.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::StateError;

/// The format this program writes.
pub const FORMAT: u64 = 1;

/// What is remembered of a cluster beside its secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateFile {
    /// Format version.
    pub format: u64,
    /// Cluster name.
    pub name: String,
    /// Cluster uid: tells a cluster from another of the same name.
    pub uid: String,
    /// AWS account id.
    pub account: String,
    /// AWS region.
    pub region: String,
    /// AWS endpoint where it is not AWS's own.
    pub endpoint: Option<String>,
    /// When this cluster was first brought up.
    pub created_at: Timestamp,
    /// A `down` has begun; until `up` is asked for again, finding nothing left is success.
    #[serde(default)]
    pub going_down: bool,
    /// Made by a `down` whose cluster has its keys elsewhere or nowhere: good for
    /// nothing but going on with that `down`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keyless: bool,
    /// The configuration last brought up in full.
    #[serde(default)]
    pub applied_config: Option<serde_json::Value>,
    /// What fills each slot.
    #[serde(default)]
    pub slots: BTreeMap<String, SlotState>,
}

/// What fills one slot. Networks have an id only; machines the rest too.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SlotState {
    /// AWS's id, once the call that made it has answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When AWS gave it: what is young may be missing from lists for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How often a machine was asked for, this time included.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempt: u32,
    /// The client token of that attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a new cluster's state begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewState {
    /// Cluster name.
    pub name: String,
    /// Cluster uid.
    pub uid: String,
    /// AWS account id.
    pub account: String,
    /// AWS region.
    pub region: String,
    /// AWS endpoint where it is not AWS's own.
    pub endpoint: Option<String>,
}

impl StateFile {
    /// The state of a cluster that has nothing yet.
    #[must_use]
    pub fn new(new: NewState, created_at: Timestamp) -> Self {
        let NewState { name, uid, account, region, endpoint } = new;
        Self {
            format: FORMAT,
            name,
            uid,
            account,
            region,
            endpoint,
            created_at,
            going_down: false,
            keyless: false,
            applied_config: None,
            slots: BTreeMap::new(),
        }
    }

    /// Reads the content of the file at `path` (named in errors only).
    ///
    /// # Errors
    /// [`StateError::Newer`] and [`StateError::Damaged`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, StateError> {
        #[derive(Deserialize)]
        struct Format {
            format: u64,
        }
        let damaged = |source| StateError::Damaged { path: path.to_owned(), source };
        let Format { format } = serde_json::from_slice(bytes).map_err(damaged)?;
        if format > FORMAT {
            return Err(StateError::Newer { path: path.to_owned(), found: format });
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }

    /// Checks that the account at hand is the one remembered, before anything is touched.
    ///
    /// # Errors
    /// [`StateError::Mismatch`] with both values.
    pub fn check(&self, account: &str, region: &str, endpoint: Option<&str>) -> Result<(), StateError> {
        equal("account", &self.account, account)?;
        equal("region", &self.region, region)?;
        let words =
            |endpoint: Option<&str>| endpoint.unwrap_or("AWS itself").trim_end_matches('/').to_owned();
        equal("endpoint", &words(self.endpoint.as_deref()), &words(endpoint))
    }

    /// Checks that the cluster found in the account is the one remembered.
    ///
    /// # Errors
    /// [`StateError::Mismatch`] with both uids.
    pub fn check_uid(&self, uid: &str) -> Result<(), StateError> {
        equal("cluster uid", &self.uid, uid)
    }

    /// The slot's entry, made where it is missing.
    pub fn slot_mut(&mut self, slot: &str) -> &mut SlotState {
        self.slots.entry(slot.to_owned()).or_default()
    }
}

fn equal(what: &'static str, remembered: &str, at_hand: &str) -> Result<(), StateError> {
    if remembered == at_hand {
        return Ok(());
    }
    Err(StateError::Mismatch { what, remembered: remembered.to_owned(), at_hand: at_hand.to_owned() })
}
