//! Commands, files and terminals on other machines, over SSH.
//!
//! Owns the seam [`Remote`] / [`Session`], its one real implementation ([`Ssh`], the
//! only user of `ssh2`) and the scripted [`FakeRemote`]. It refuses trust on first
//! use: a [`Target`] names the host keys it may answer with, and nothing is sent to
//! a machine that shows another. It decides nothing about what to run; secrets reach
//! a command through its standard input, never through its arguments.

mod attach;
mod error;
mod exec;
mod fake;
#[cfg(test)]
mod fixture;
mod pump;
mod retry;
mod ssh;
mod target;
#[cfg(test)]
mod terminal_tests;
#[cfg(test)]
mod tests;
mod threads;
mod upload;
mod wire;
#[cfg(test)]
mod wire_tests;
mod worker;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use attach::Attach;
pub use error::RemoteError;
pub use fake::{Call, FakeRemote, Fault, Handler};
pub use retry::{Attempt, connect_until};
pub use ssh::{Limits, Ssh};
pub use target::{HostKey, HostKeyError, Identity, Target};
pub use threads::wait_for_connections;

/// Opens sessions with machines.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Connects, checks the host key, logs in. One attempt: see [`connect_until`].
    async fn connect(&self, target: &Target) -> Result<Box<dyn Session>, RemoteError>;
}

/// One open connection to a machine. Commands queue: they run one after another, and a
/// `timeout` counts from the call, not from a command's turn.
///
/// A command that ends by its timeout or whose future is dropped takes the session
/// with it (later calls are [`RemoteError::Lost`]); what it started on the machine may
/// go on running, so a command that must end carries its own `timeout`.
#[async_trait]
pub trait Session: Send + Sync {
    /// Runs `command` through the login shell of the target's user, with `input` on
    /// its standard input (closed at once where there is none). A status other than 0
    /// is an answer, not an error.
    async fn run(
        &self,
        command: &str,
        input: Option<Bytes>,
        timeout: Duration,
    ) -> Result<Output, RemoteError>;

    /// Puts `content` at `path` (absolute, its folder exists) with the permissions
    /// `mode`, owned by root: synced, then renamed into place, so that `path` holds
    /// the old file or the whole new one. `progress` hears of bytes sent.
    async fn upload(
        &self,
        content: Upload,
        path: &str,
        mode: u32,
        progress: Option<Progress>,
        timeout: Duration,
    ) -> Result<(), RemoteError>;

    /// Which of the target's accepted host keys answered.
    fn host_key(&self) -> &HostKey;
}

/// What a command left behind.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Exit status; 128 + the signal's number where a signal ended it, as shells say it.
    pub status: i32,
    /// Standard output, its first [`Limits::output_bytes`].
    pub stdout: Vec<u8>,
    /// Standard error, likewise.
    pub stderr: Vec<u8>,
    /// Whether more was printed than is kept here.
    pub truncated: bool,
}

impl Output {
    /// Whether the command said it worked.
    pub fn ok(&self) -> bool {
        self.status == 0
    }

    /// Standard output as text, broken characters replaced.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text, broken characters replaced.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl fmt::Debug for Output {
    /// The outputs as text, shortened.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
        f.debug_struct("Output")
            .field("status", &self.status)
            .field("stdout", &text(&self.stdout))
            .field("stderr", &text(&self.stderr))
            .field("truncated", &self.truncated)
            .finish()
    }
}

/// What to upload.
#[derive(Debug, Clone)]
pub enum Upload {
    /// These bytes.
    Bytes(Bytes),
    /// The content of a local file, read while it is sent.
    File(PathBuf),
}

/// Hears how many bytes of how many were handed to the connection. Called from the
/// session's thread, a few times per megabyte: it must not block.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;
