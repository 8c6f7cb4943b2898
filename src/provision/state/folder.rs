//! Where the state of a cluster lies, and making and removing that folder.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base::Clock;

use super::file::StateFile;
use super::lock::Lock;
use super::{StateError, sync_folder};

const STATE: &str = "state.json";
const JOURNAL: &str = "journal.jsonl";
const LOCK: &str = "lock";
const SECRETS: &str = "secrets";

/// The folder under which all clusters' state lies: `$XDG_STATE_HOME`, or
/// `~/.local/state` where that is unset, empty or relative. `None` without both.
#[must_use]
pub fn base_folder(xdg_state_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let xdg = xdg_state_home.map(PathBuf::from).filter(|path| path.is_absolute());
    xdg.or_else(|| home.map(|home| PathBuf::from(home).join(".local/state")))
}

/// The place of one cluster's state. It need not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The place of cluster `name` in `account` and `region`, under `base` (see [`base_folder`]).
    ///
    /// # Errors
    /// [`StateError::Name`] where one of them cannot be a folder's name.
    pub fn new(base: &Path, account: &str, region: &str, name: &str) -> Result<Self, StateError> {
        let mut path = base.join("cluster");
        for (what, value) in [("account", account), ("region", region), ("cluster name", name)] {
            if !is_plain(value) {
                return Err(StateError::Name { what, value: value.to_owned() });
            }
            path.push(value);
        }
        Ok(Self { path })
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The journal's file.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL)
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path.join(STATE)
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.path.join(LOCK)
    }

    pub(super) fn secrets(&self) -> PathBuf {
        self.path.join(SECRETS)
    }

    /// What the folder remembers, without locking it: for commands that only look. `None`: nothing yet.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged or comes from a newer version.
    pub fn read(&self) -> Result<Option<StateFile>, StateError> {
        let path = self.state();
        match fs::read(&path) {
            Ok(bytes) => StateFile::parse(&path, &bytes).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::io("read", path)(error)),
        }
    }

    /// A secret without locking the folder (see [`super::Store::secret`]).
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.secret_path(name)?;
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::io("read", path)(error)),
        }
    }

    /// Where the secret called `name` lies: `a` or `a/b`.
    pub(super) fn secret_path(&self, name: &str) -> Result<PathBuf, StateError> {
        let mut path = self.secrets();
        for part in name.split('/') {
            if !is_plain(part) {
                return Err(StateError::Name { what: "secret", value: name.to_owned() });
            }
            path.push(part);
        }
        Ok(path)
    }

    /// Makes the folder where it is missing, and takes its lock without waiting.
    /// `command` is what the next to ask is told; no secrets.
    ///
    /// # Errors
    /// [`StateError::Held`] naming the holder, or a folder that cannot be made.
    pub fn lock(&self, command: &str, clock: &dyn Clock) -> Result<Lock, StateError> {
        self.make()?;
        Lock::take(&self.lock_file(), command, clock)
    }

    fn make(&self) -> Result<(), StateError> {
        make_private(&self.path)?;
        make_private(&self.secrets())?;
        sync_folder(&self.path)
    }

    /// Removes the folder: secrets first, `state.json` near the end, so that a
    /// removal cut short is still known to be this cluster's.
    pub(super) fn remove(&self) -> Result<(), StateError> {
        gone(fs::remove_dir_all(self.secrets())).map_err(StateError::io("remove", self.secrets()))?;
        gone(fs::remove_file(self.journal())).map_err(StateError::io("remove", self.journal()))?;
        gone(fs::remove_file(self.state())).map_err(StateError::io("remove", self.state()))?;
        gone(fs::remove_dir_all(&self.path)).map_err(StateError::io("remove", &self.path))
    }
}

/// Makes `folder` and what leads to it, for us alone.
pub(super) fn make_private(folder: &Path) -> Result<(), StateError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(StateError::io("create", folder))?;
    let closed = fs::set_permissions(folder, Permissions::from_mode(0o700));
    closed.map_err(StateError::io("close to others", folder))
}

/// Whether `name` can be one part of a path and nothing else.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(plain)
}

fn gone(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
