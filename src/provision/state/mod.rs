//! What this machine remembers of one cluster: a folder for each account, region and name.
//!
//! Owns the folder `BASE/cluster/ACCOUNT/REGION/NAME` (0700; its files 0600):
//! `state.json`, `journal.jsonl`, `lock`, and secrets under `secrets/`. Nothing
//! here is needed to find or delete a resource in AWS: that is what tags are
//! for. What is lost with the folder is the keys.

mod atomic;
mod file;
mod folder;
mod lock;
mod store;

pub use file::{FORMAT, NewState, SlotState, StateFile};
pub use folder::{Folder, base_folder};
pub use lock::{Holder, Lock};
pub use store::{Opened, Store};

pub(crate) use atomic::{sync_folder, write_atomic};

use std::io;
use std::path::PathBuf;

/// What can go wrong with the state folder.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The folder or a file in it could not be used.
    #[error("cannot {doing} {}: check that the disk has room and that the folder is yours", path.display())]
    Io {
        /// What was tried (`write`).
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process works on the same cluster.
    #[error(
        "{holder} is working on this cluster: wait until it ends, or end it (the lock goes with its process)"
    )]
    Held {
        /// Who.
        holder: Holder,
    },
    /// A name that cannot be a folder of its own.
    #[error("{what} {value:?} cannot be part of a path: use letters, digits, `-`, `_` and `.`")]
    Name {
        /// Which name (`cluster name`).
        what: &'static str,
        /// The name.
        value: String,
    },
    /// `state.json` is not what this program writes.
    #[error("{} is damaged: restore it from a backup, or move the folder away; `cluster down` finds the cluster by its tags", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// A later version of this program wrote the file.
    #[error("{} has format {found}, and this program knows formats up to {FORMAT}: use the newer `cluster` that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The folder remembers another account, region, endpoint or cluster than the one at hand.
    #[error(
        "this folder belongs to {what} {remembered}, and the {what} at hand is {at_hand}: nothing was touched; switch credentials or settings back, or work on a cluster with another name"
    )]
    Mismatch {
        /// Which of them (`account`).
        what: &'static str,
        /// What `state.json` says.
        remembered: String,
        /// What the credentials and settings say.
        at_hand: String,
    },
}

impl StateError {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

impl base::Classified for StateError {
    fn class(&self) -> base::Class {
        match self {
            Self::Held { .. } => base::Class::Retry,
            Self::Name { .. } | Self::Mismatch { .. } => base::Class::Invalid,
            Self::Io { .. } | Self::Damaged { .. } | Self::Newer { .. } => base::Class::Fatal,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
