//! What can go wrong with another machine, and what a caller may do about it.
//!
//! Owns the classes: a machine that is not up yet is worth another attempt; one that
//! shows a wrong host key never is. Every message names the machine.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base::{Class, Classified};

use crate::HostKey;

/// A failed connection, command or upload. `at` is the machine: its slot and address.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// Nothing listens there yet.
    #[error("{at} refused the connection: its SSH server is not up (yet)")]
    Refused {
        /// Slot and address.
        at: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No way there, or no answer.
    #[error(
        "{at} cannot be reached: check that it runs and that its security group lets this address in on the SSH port"
    )]
    Unreachable {
        /// Slot and address.
        at: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something took longer than it may.
    #[error("{at}: no end of {what} after {} s", .after.as_secs_f32())]
    Timeout {
        /// Slot and address.
        at: String,
        /// What was waited for.
        what: String,
        /// How long.
        after: Duration,
    },
    /// The machine answers, but hangs up on whoever logs in, as it does until it has
    /// booted (pam_nologin).
    #[error("{at} hangs up at the login, as a machine does until it has booted")]
    Booting {
        /// Slot and address.
        at: String,
    },
    /// The machine does not accept our key (or not yet: first-boot tools write it late).
    #[error("{at} does not accept the key of user {user}: {detail}")]
    AuthFailed {
        /// Slot and address.
        at: String,
        /// The user we tried to be.
        user: String,
        /// What the library said.
        detail: String,
    },
    /// The machine is not the one we expect. Never retried; nothing was sent to it.
    #[error(
        "{at} shows the host key {got}, but {expected} is expected: it is another machine, or somebody is in between. \
         Nothing was sent to it. If it was rebuilt outside this program, remove it and let `cluster up` make it anew",
        expected = fingerprints(.expected)
    )]
    HostKeyMismatch {
        /// Slot and address.
        at: String,
        /// The keys it may show.
        expected: Vec<HostKey>,
        /// The one it showed.
        got: HostKey,
    },
    /// The target names no host key, so no machine could be it.
    #[error("no host key is known for {at}, so it cannot be told from another machine")]
    Untrusted {
        /// Slot and address.
        at: String,
    },
    /// Our own private key cannot be used.
    #[error(
        "the private key for {at} cannot be read: {detail}. It must be OpenSSH or PEM text without a passphrase"
    )]
    Identity {
        /// Slot and address.
        at: String,
        /// What the library said.
        detail: String,
    },
    /// The connection broke, before or during what was asked.
    #[error("the connection to {at} broke: {detail}")]
    Lost {
        /// Slot and address.
        at: String,
        /// What the library or the system said.
        detail: String,
    },
    /// The machine could not keep the uploaded file.
    #[error("{at} could not store {path} (status {status}): {stderr}")]
    Upload {
        /// Slot and address.
        at: String,
        /// The file's path there.
        path: String,
        /// Exit status of what writes it.
        status: i32,
        /// What it said.
        stderr: String,
    },
    /// A file or terminal on this side failed.
    #[error("{what} on this machine")]
    Local {
        /// What was being done with what.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The deadline for connecting passed; the last attempt's error is the source.
    #[error("gave up connecting to {at} after {attempts} attempts in {} s", .waited.as_secs())]
    GaveUp {
        /// Slot and address.
        at: String,
        /// How often it was tried.
        attempts: u32,
        /// How long.
        waited: Duration,
        /// What the last attempt ended with.
        #[source]
        last: Box<RemoteError>,
    },
    /// We were asked to stop.
    #[error("stopped while talking to {at}")]
    Cancelled {
        /// Slot and address.
        at: String,
    },
}

impl RemoteError {
    pub(crate) fn local(what: &str, path: &std::path::Path, source: io::Error) -> Self {
        let path: PathBuf = path.to_owned();
        Self::Local { what: format!("cannot {what} {}", path.display()), source }
    }

    /// Whether another attempt to connect can end better: the machine is not up yet,
    /// or its first boot has not written our key yet.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::AuthFailed { .. }) || self.class() == Class::Retry
    }
}

impl Classified for RemoteError {
    fn class(&self) -> Class {
        match self {
            Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Booting { .. }
            | Self::Lost { .. } => Class::Retry,
            Self::AuthFailed { .. } | Self::Identity { .. } | Self::Local { .. } => Class::Invalid,
            Self::HostKeyMismatch { .. }
            | Self::Untrusted { .. }
            | Self::Upload { .. }
            | Self::GaveUp { .. }
            | Self::Cancelled { .. } => Class::Fatal,
        }
    }
}

fn fingerprints(keys: &[HostKey]) -> String {
    let all: Vec<String> = keys.iter().map(ToString::to_string).collect();
    all.join(" or ")
}
