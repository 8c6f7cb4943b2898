//! Files that are either the old ones or the new ones, never in between, and for our eyes only.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::StateError;

/// Replaces `path` by `bytes`, mode 0600: a temporary file beside it, synced,
/// renamed over it, and the folder synced, so that it holds after a power cut.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = path.with_file_name(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(StateError::io("create", &temporary))?;
    file.write_all(bytes).map_err(StateError::io("write", &temporary))?;
    file.sync_all().map_err(StateError::io("sync", &temporary))?;
    fs::rename(&temporary, path).map_err(StateError::io("replace", path))?;
    match path.parent() {
        Some(folder) => sync_folder(folder),
        None => Ok(()),
    }
}

/// Makes the names inside `folder` last.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StateError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(StateError::io("sync", folder))
}
