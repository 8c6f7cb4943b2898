//! An opened state: locked, in memory and on disk the same.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::file::StateFile;
use super::folder::{Folder, make_private};
use super::lock::Lock;
use super::{StateError, write_atomic};

/// One cluster's state, held by this process alone.
///
/// Writes are small and synchronous: each returns once the disk has it, which
/// is what the order of "remember, then call" rests on.
#[derive(Debug)]
pub struct Store {
    folder: Folder,
    file: Mutex<StateFile>,
    _lock: Lock,
}

/// What a locked folder turned out to be.
#[derive(Debug)]
pub enum Opened {
    /// It remembers a cluster.
    Known(Store),
    /// It remembers nothing: the lock comes back, for [`Store::create`].
    New(Lock),
}

impl Store {
    /// Opens what `folder` remembers.
    ///
    /// # Errors
    /// See [`Folder::read`].
    pub fn open(folder: &Folder, lock: Lock) -> Result<Opened, StateError> {
        Ok(match folder.read()? {
            Some(file) => Opened::Known(Self { folder: folder.clone(), file: Mutex::new(file), _lock: lock }),
            None => Opened::New(lock),
        })
    }

    /// Begins a new state in `folder`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn create(folder: &Folder, lock: Lock, file: StateFile) -> Result<Self, StateError> {
        let store = Self { folder: folder.clone(), file: Mutex::new(file), _lock: lock };
        store.update(|_| ())?;
        Ok(store)
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Looks at the state.
    pub fn read<T>(&self, f: impl FnOnce(&StateFile) -> T) -> T {
        f(&self.guard())
    }

    /// Changes the state, in memory and on disk; on an error in neither.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn update<T>(&self, f: impl FnOnce(&mut StateFile) -> T) -> Result<T, StateError> {
        let mut guard = self.guard();
        let mut changed = guard.clone();
        let result = f(&mut changed);
        let path = self.folder.state();
        let mut text = serde_json::to_vec_pretty(&changed)
            .map_err(|source| StateError::Damaged { path: path.clone(), source })?;
        text.push(b'\n');
        write_atomic(&path, &text)?;
        *guard = changed;
        Ok(result)
    }

    /// The secret called `name` (`ca.key`), or `None` if there is none yet.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.folder.secret(name)
    }

    /// Writes the secret called `name` (`NAME` or `FOLDER/NAME`), 0600, whole or not at all.
    ///
    /// # Errors
    /// A file that cannot be written, or a name that is none.
    pub fn write_secret(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.folder.secret_path(name)?;
        if let Some(folder) = path.parent() {
            make_private(folder)?;
        }
        write_atomic(&path, bytes)
    }

    /// Forgets the cluster: secrets, journal, state and folder. Only for a
    /// cluster proven gone; nothing may be written afterwards.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn remove(&self) -> Result<(), StateError> {
        self.folder.remove()
    }

    fn guard(&self) -> MutexGuard<'_, StateFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
