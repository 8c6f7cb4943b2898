//! One process at a time per cluster: flock on a file that says who holds it.
//!
//! The kernel releases the lock with its process, so there is no stale lock to
//! clear away; the text inside is only for people.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use base::Clock;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::StateError;

/// How often the file may be removed from under us before that is an error.
const REOPENS: u32 = 8;

/// Who holds a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Holder {
    /// Process id on `host`.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// What it runs (`cluster up`).
    pub command: String,
    /// Since when.
    pub started_at: Option<Timestamp>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(started) = self.started_at else { return f.write_str("another process") };
        write!(f, "`{}` (process {} on {}, since {started})", self.command, self.pid, self.host)
    }
}

/// A held lock: released when dropped, or by the kernel with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at `path` without waiting, and writes down who has it.
    pub(super) fn take(path: &Path, command: &str, clock: &dyn Clock) -> Result<Self, StateError> {
        for _ in 0..REOPENS {
            let mut file = open(path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(StateError::Held { holder: read_holder(&mut file) }),
                Err(error) => return Err(StateError::io("lock", path)(error.into())),
            }
            if !is_at(&file, path) {
                continue; // its holder removed the folder meanwhile: this lock guards nothing
            }
            sign(&mut file, command, clock).map_err(StateError::io("write", path))?;
            return Ok(Self { _file: file });
        }
        Err(StateError::Held { holder: Holder::default() })
    }
}

fn open(path: &Path) -> Result<File, StateError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(StateError::io("open", path))
}

/// Whether `path` still names the file we hold.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(there)) => ours.ino() == there.ino() && ours.dev() == there.dev(),
        _ => false,
    }
}

fn sign(file: &mut File, command: &str, clock: &dyn Clock) -> std::io::Result<()> {
    let holder = Holder {
        pid: std::process::id(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        command: command.to_owned(),
        started_at: Some(clock.now()),
    };
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(serde_json::to_string(&holder)?.as_bytes())?;
    file.sync_all()
}

/// Who signed the file; nobody in particular where that cannot be read.
fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) => serde_json::from_str(&text).unwrap_or_default(),
        Err(_) => Holder::default(),
    }
}
