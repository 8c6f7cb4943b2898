//! A running server's door for snapshots: a socket in its folder, which only its owner can
//! open. Whoever connects is sent one snapshot and nothing else.
//!
//! A store in a folder belongs to one process, so that the server itself must read it.

use std::fs;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base::{Shutdown, chain};
use store::Embedded;
use tokio::net::UnixListener;

/// The socket's name in the folder.
const SOCKET: &str = "snapshot.sock";
/// A reader that takes nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// The listening end.
pub(crate) struct Door {
    path: PathBuf,
    listener: UnixListener,
    store: Arc<Embedded>,
}

/// Where a server's folder has its door.
pub(crate) fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join(SOCKET)
}

impl Door {
    /// Opens the door. The store's lock is held, so that a socket that is there is a dead server's.
    pub(crate) fn open(data_dir: &Path, store: Arc<Embedded>) -> anyhow::Result<Self> {
        let path = socket(data_dir);
        let opened = match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => UnixListener::bind(&path),
        };
        let listener = opened.with_context(|| format!("open the socket {}", path.display()))?;
        let private = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
        private.with_context(|| format!("set the permissions of {}", path.display()))?;
        Ok(Self { path, listener, store })
    }

    /// Sends a snapshot to whoever connects, one at a time, until stopped.
    pub(crate) async fn serve(self, shutdown: Shutdown) {
        while let Some(Ok((socket, _))) = shutdown.race(self.listener.accept()).await {
            let store = Arc::clone(&self.store);
            let sent = tokio::task::spawn_blocking(move || send(socket, &store)).await;
            match sent {
                Ok(Ok(info)) => {
                    tracing::info!(revision = %info.revision, bytes = info.bytes, "a snapshot was saved");
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = %chain(error.as_ref()), "a snapshot was not saved");
                }
                Err(error) => tracing::error!(%error, "saving a snapshot failed"),
            }
        }
        // The next server removes one that is left.
        let _ = fs::remove_file(&self.path);
    }
}

fn send(socket: tokio::net::UnixStream, store: &Embedded) -> anyhow::Result<store::SnapshotInfo> {
    let socket = socket.into_std()?;
    socket.set_nonblocking(false)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut out = BufWriter::with_capacity(1 << 16, socket);
    let info = store.save_snapshot(&mut out)?;
    out.flush()?;
    Ok(info)
}
