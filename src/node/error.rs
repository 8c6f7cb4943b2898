//! What can be wrong on a node, in words that say where to look.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base::{Class, Classified};

/// A failed check, or an artifact that could not be served or fetched.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file or socket of this machine.
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
    /// A certificate or key that TLS cannot use.
    #[error("the TLS files cannot be used: {detail}")]
    Tls {
        /// What is wrong with which of them.
        detail: String,
    },
    /// Nothing answers at an address.
    #[error("{what} at {at} cannot be reached: {detail}")]
    Unreachable {
        /// The service.
        what: &'static str,
        /// Its address or socket.
        at: String,
        /// What the system said.
        detail: String,
    },
    /// It answers, but one side does not trust the other.
    #[error("{what} at {at} and this node do not trust each other: {detail}")]
    Untrusted {
        /// The service.
        what: &'static str,
        /// Its address.
        at: String,
        /// What TLS said.
        detail: String,
    },
    /// It answers, but not as it should.
    #[error("{what} at {at} failed to {action}: {detail}")]
    Failed {
        /// The service.
        what: &'static str,
        /// Its address or socket.
        at: String,
        /// What was asked of it.
        action: &'static str,
        /// What it said.
        detail: String,
    },
    /// It did not answer in time.
    #[error("{what} at {at} did not {action} within {} s", .after.as_secs_f32())]
    Timeout {
        /// The service.
        what: &'static str,
        /// Its address or socket.
        at: String,
        /// What was asked of it.
        action: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// What came is not what was asked for.
    #[error("what {at} sent has the digest {got}, not {expected}")]
    Digest {
        /// Who sent it.
        at: String,
        /// The digest that was asked for.
        expected: String,
        /// The digest of what came.
        got: String,
    },
    /// No master had an artifact.
    #[error("no master could hand over {digest}: {reasons}")]
    NoSource {
        /// The artifact.
        digest: String,
        /// What each of them said.
        reasons: String,
    },
    /// We were asked to stop.
    #[error("stopped")]
    Stopped,
}

impl Classified for NodeError {
    fn class(&self) -> Class {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Failed { .. } | Self::NoSource { .. } => {
                Class::Retry
            }
            Self::File { .. } | Self::Tls { .. } => Class::Invalid,
            Self::Untrusted { .. } | Self::Digest { .. } | Self::Stopped => Class::Fatal,
        }
    }
}
