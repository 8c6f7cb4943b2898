//! Saving an etcd cluster: etcd's own snapshot, as `etcdctl snapshot save` writes it, so that
//! etcd's own tools check and restore it. Restoring is theirs: it makes a data folder for a
//! member that does not run, and is called here with its checks before it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::Etcd;
use super::errors::{Kind, fault};
use crate::snapshot::{DIGEST_BYTES, bad, stream_error};
use crate::{Revision, SnapshotInfo, StoreError};

impl Etcd {
    /// Streams a snapshot of the member in use, and checks the digest that etcd puts at its end.
    pub async fn save_snapshot(&self, out: &mut (dyn Write + Send)) -> Result<SnapshotInfo, StoreError> {
        let revision = super::current(&self.endpoints).await?;
        let (url, client) = self.endpoints.own_connection().await?;
        let failed = |error| self.endpoints.error(fault(&url, error, Kind::Read));
        let mut stream = client.maintenance_client().snapshot().await.map_err(failed)?;
        let mut tail = Tail::default();
        loop {
            let next = tokio::time::timeout(self.endpoints.timeout(), stream.message()).await;
            let Ok(next) = next else {
                let after_ms = self.endpoints.timeout().as_millis().try_into().unwrap_or(u64::MAX);
                return Err(StoreError::TimedOut { at: url, after_ms });
            };
            let Some(part) = next.map_err(failed)? else { break };
            out.write_all(part.blob()).map_err(stream_error("write"))?;
            tail.push(part.blob());
        }
        out.flush().map_err(stream_error("write"))?;
        tail.finish(revision)
    }
}

/// How a data folder is made of a snapshot: what `etcdutl snapshot restore` (3.5 and later) or
/// `etcdctl snapshot restore` (3.4) is given.
#[derive(Debug, Clone)]
pub struct EtcdRestore {
    /// `etcdutl`, or etcd 3.4's `etcdctl`.
    pub tool: PathBuf,
    /// The folder to make; must not be there, or be empty.
    pub data_dir: PathBuf,
    /// The member's name.
    pub name: String,
    /// `NAME=PEER-URL,...` of all members of the new cluster.
    pub initial_cluster: String,
    /// The member's own peer URL.
    pub peer_url: String,
    /// Raises the revision by so much and counts all history as compacted; zero leaves both.
    /// Tools before 3.6 cannot.
    pub bump: u64,
}

/// Makes a member's data folder of a snapshot. Blocks.
pub fn restore_snapshot(snapshot: &Path, restore: &EtcdRestore) -> Result<SnapshotInfo, StoreError> {
    let info = verify(snapshot)?;
    let data_dir = &restore.data_dir;
    let file = |action, source| StoreError::File { action, path: data_dir.clone(), source };
    if data_dir.exists() {
        let mut entries = std::fs::read_dir(data_dir).map_err(|source| file("read", source))?;
        if let Some(Ok(entry)) = entries.next() {
            let (at, detail) =
                (data_dir.display().to_string(), format!("{} is there", entry.path().display()));
            return Err(StoreError::NotEmpty { at, detail });
        }
        // The tools want to make it themselves.
        std::fs::remove_dir(data_dir).map_err(|source| file("remove", source))?;
    }
    let mut command = Command::new(&restore.tool);
    let flag = |name: &str, value: &OsString| {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        flag
    };
    command
        .env("ETCDCTL_API", "3")
        .args(["snapshot", "restore"])
        .arg(snapshot)
        .arg(flag("data-dir", &data_dir.clone().into_os_string()))
        .arg(flag("name", &restore.name.clone().into()))
        .arg(flag("initial-cluster", &restore.initial_cluster.clone().into()))
        .arg(flag("initial-advertise-peer-urls", &restore.peer_url.clone().into()))
        .stdin(Stdio::null());
    if restore.bump > 0 {
        command.arg(format!("--bump-revision={}", restore.bump)).arg("--mark-compacted");
    }
    let output = command.output().map_err(|source| StoreError::File {
        action: "run",
        path: restore.tool.clone(),
        source,
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().next_back().unwrap_or("it said nothing").to_owned();
        return Err(bad(format!("{} failed: {said}", restore.tool.display())));
    }
    Ok(info)
}

/// Checks the digest at the end of a saved snapshot.
fn verify(path: &Path) -> Result<SnapshotInfo, StoreError> {
    let file = |source| StoreError::File { action: "read", path: path.to_owned(), source };
    let mut input = std::fs::File::open(path).map_err(file)?;
    let (mut tail, mut buffer) = (Tail::default(), vec![0; 1 << 16]);
    loop {
        let count = input.read(&mut buffer).map_err(file)?;
        if count == 0 {
            return tail.finish(Revision::ZERO);
        }
        tail.push(buffer.get(..count).unwrap_or_default());
    }
}

/// Digests all but the last bytes, which are the digest.
#[derive(Default)]
struct Tail {
    digest: Sha256,
    held: Vec<u8>,
    bytes: u64,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.held.extend_from_slice(bytes);
        let sure = self.held.len().saturating_sub(DIGEST_BYTES);
        self.digest.update(self.held.get(..sure).unwrap_or_default());
        self.held.drain(..sure);
    }

    fn finish(self, revision: Revision) -> Result<SnapshotInfo, StoreError> {
        let digest: [u8; DIGEST_BYTES] = self.digest.finalize().into();
        // The database before it has whole pages.
        let whole = self.bytes % 512 == DIGEST_BYTES as u64;
        if !whole || self.held != digest {
            return Err(bad("its digest does not match its content: it was damaged or cut"));
        }
        Ok(SnapshotInfo { revision, bytes: self.bytes, sha256: base::ids::hex(&digest) })
    }
}
