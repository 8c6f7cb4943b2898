//! What can go wrong with a store, in words that tell an operator what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use base::{Class, Classified};
use bytes::Bytes;

use crate::{LeaseId, Revision};

/// A cause that only its words matter of.
pub type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// A call to a store that did not do what was asked.
///
/// Only [`StoreError::OutcomeUnknown`] leaves open whether the store changed; after every other
/// error it did not.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody answers, or who answers cannot serve now.
    #[error(
        "the store at {at} cannot be reached or does not serve: {detail}; what was asked was not done and may be asked again"
    )]
    Unavailable {
        /// Which store.
        at: String,
        /// What was said or seen.
        detail: String,
    },
    /// A read was not answered in time.
    #[error("the store at {at} did not answer within {after_ms} ms: look at its load and its disk")]
    TimedOut {
        /// Which store.
        at: String,
        /// How long it had.
        after_ms: u64,
    },
    /// A write was sent, and whether it was done is not known.
    #[error("whether the store at {at} made the change is not known ({detail}): read before asking again")]
    OutcomeUnknown {
        /// Which store.
        at: String,
        /// What happened.
        detail: String,
    },
    /// It has more to do than it takes.
    #[error("the store at {at} has too many requests: {detail}; ask again later, or more slowly")]
    Overloaded {
        /// Which store.
        at: String,
        /// What it said.
        detail: String,
    },
    /// No room for a write.
    #[error("the store at {at} has no space left ({detail}): nothing was changed, reads go on; {remedy}")]
    NoSpace {
        /// Which store.
        at: String,
        /// What is full.
        detail: String,
        /// What makes writes possible again.
        remedy: &'static str,
    },
    /// History before this is gone.
    #[error("revision {asked} is compacted: history begins behind {at}; list again and go on from there")]
    Compacted {
        /// What was asked for.
        asked: Revision,
        /// Up to where history is gone.
        at: Revision,
    },
    /// A watch was so slow that what it had not read yet was compacted.
    #[error(
        "the watch was too slow: it has come to {reached}, and history up to {compacted} is compacted; list again and watch from there"
    )]
    WatchTooSlow {
        /// The last revision it delivered.
        reached: Revision,
        /// Up to where history is gone.
        compacted: Revision,
    },
    /// A revision that was not made yet.
    #[error("revision {asked} lies in the future: the store stands at {current}")]
    FutureRevision {
        /// What was asked for.
        asked: Revision,
        /// Where the store stands.
        current: Revision,
    },
    /// The store stands before what this process has seen of it.
    #[error(
        "the store at {at} stands at revision {current}, though {seen} was seen: it was restored or replaced; start all servers anew"
    )]
    WentBack {
        /// Which store.
        at: String,
        /// What was seen.
        seen: Revision,
        /// Where it stands now.
        current: Revision,
    },
    /// Too many bytes.
    #[error("{what} has {bytes} bytes, more than the {limit} that the store takes; make it smaller")]
    TooLarge {
        /// Which part of the request.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// Too many operations in a transaction.
    #[error("a transaction of {count} operations: at most {limit} are taken in a branch; split it")]
    TooManyOperations {
        /// How many it has.
        count: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A branch changes one key more than once.
    #[error("a branch changes the key {} twice; leave one of them out", show(.key))]
    DuplicateKey {
        /// Which.
        key: Bytes,
    },
    /// A key without a byte.
    #[error("a key is empty")]
    EmptyKey,
    /// A lease that ended, or never was.
    #[error("the lease {id} does not exist (any more): grant one and put the key again")]
    LeaseNotFound {
        /// Which.
        id: LeaseId,
    },
    /// Another process has the folder.
    #[error("{path} is in use by {holder}: one process serves a store at a time; stop that one first")]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// Data that was acknowledged cannot be read as it was written.
    #[error(
        "{path} is damaged or of another format ({detail}): restore a snapshot into an empty folder, and check the disk"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A file or folder of the store.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The two sides do not trust each other, or the server wants somebody else.
    #[error(
        "the store at {at} refuses this client ({detail}): look at the certificate, its key and the authority"
    )]
    Refused {
        /// Which store.
        at: String,
        /// What it said.
        detail: String,
    },
    /// A snapshot that cannot be read as one.
    #[error("this is no snapshot that can be restored: {detail}")]
    BadSnapshot {
        /// What is wrong with it.
        detail: String,
    },
    /// A restore into a store that holds something.
    #[error("{at} is not empty ({detail}): a snapshot is restored into an empty store only")]
    NotEmpty {
        /// Which store.
        at: String,
        /// What is there.
        detail: String,
    },
    /// It ended by a fault of its own.
    #[error("the store at {at} has stopped: {detail}; look at its disk, then start the process again")]
    Failed {
        /// Which store.
        at: String,
        /// What happened.
        detail: String,
    },
    /// The store was closed by this process.
    #[error("the store at {at} is closed")]
    Closed {
        /// Which store.
        at: String,
    },
    /// An answer that breaks the contract.
    #[error("the store at {at} answered what it should not: {detail}")]
    Unexpected {
        /// Which store.
        at: String,
        /// What.
        detail: String,
    },
}

impl StoreError {
    /// Whether the store may have changed although this is an error.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }

    /// Whether history was asked for that is gone: the answer is to list again.
    #[must_use]
    pub fn is_compacted(&self) -> bool {
        matches!(self, Self::Compacted { .. } | Self::WatchTooSlow { .. })
    }
}

impl Classified for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Overloaded { .. }
            | Self::NoSpace { .. } => Class::Retry,
            Self::OutcomeUnknown { .. }
            | Self::Compacted { .. }
            | Self::WatchTooSlow { .. }
            | Self::FutureRevision { .. }
            | Self::LeaseNotFound { .. } => Class::Conflict,
            Self::TooLarge { .. }
            | Self::TooManyOperations { .. }
            | Self::DuplicateKey { .. }
            | Self::EmptyKey
            | Self::BadSnapshot { .. }
            | Self::NotEmpty { .. } => Class::Invalid,
            Self::WentBack { .. }
            | Self::Locked { .. }
            | Self::Corrupt { .. }
            | Self::File { .. }
            | Self::Refused { .. }
            | Self::Failed { .. }
            | Self::Closed { .. }
            | Self::Unexpected { .. } => Class::Fatal,
        }
    }
}

/// A key in words: as text where it is text.
pub(crate) fn show(key: &[u8]) -> impl fmt::Display {
    String::from_utf8_lossy(key).into_owned()
}
