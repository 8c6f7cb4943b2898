//! `cluster snapshot`: all objects of a server into a file, and a store out of one.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use store::etcd::EtcdRestore;
use store::{SnapshotInfo, embedded, etcd};

use super::arguments::{Restore, Snapshot};
use super::output;
use super::server::snapshots::socket;
use super::server::storage::{self, Storage};

/// Saves or restores.
pub(crate) async fn run(command: &Snapshot) -> anyhow::Result<ExitCode> {
    match command {
        Snapshot::Save { file, data_dir, etcd } => {
            let partial = Partial::create(file)?;
            let info = match data_dir.as_deref().map(|folder| (folder, UnixStream::connect(socket(folder)))) {
                // A server runs on the folder: it alone may read it.
                Some((_, Ok(server))) => partial.fill(move |out| receive(server, out)).await?,
                Some((folder, Err(_))) if !storage::embedded(folder).folder.exists() => {
                    bail!("{} is no server's folder: it has no store in it", folder.display());
                }
                _ => match Storage::open(data_dir.as_deref(), etcd).await? {
                    Storage::Embedded(store) => {
                        partial.fill(move |out| Ok(Some(store.save_snapshot(out)?))).await?
                    }
                    Storage::Etcd(store) => partial.fill_from_etcd(&store).await?,
                },
            };
            partial.keep()?;
            told("saved", file, &info)
        }
        Snapshot::Restore(arguments) => {
            let info = restore(arguments).await?;
            let into = arguments.data_dir.as_ref().or(arguments.etcd_data_dir.as_ref());
            told("restored into", into.unwrap_or(&arguments.file), &info)
        }
    }
}

async fn restore(arguments: &Restore) -> anyhow::Result<SnapshotInfo> {
    let (file, bump) = (arguments.file.clone(), arguments.bump);
    let work: Box<dyn FnOnce() -> anyhow::Result<SnapshotInfo> + Send> = match &arguments.data_dir {
        Some(folder) => {
            let options = storage::embedded(folder);
            Box::new(move || {
                let mut input = File::open(&file).with_context(|| format!("read {}", file.display()))?;
                Ok(embedded::restore_snapshot(&mut input, &options, bump)?)
            })
        }
        None => {
            let options = EtcdRestore {
                tool: arguments.etcd_tool.clone(),
                data_dir: arguments.etcd_data_dir.clone().unwrap_or_default(),
                name: arguments.etcd_name.clone(),
                initial_cluster: format!("{}={}", arguments.etcd_name, arguments.etcd_peer_url),
                peer_url: arguments.etcd_peer_url.clone(),
                bump,
            };
            Box::new(move || Ok(etcd::restore_snapshot(&file, &options)?))
        }
    };
    tokio::task::spawn_blocking(work).await?
}

fn told(what: &str, path: &Path, info: &SnapshotInfo) -> anyhow::Result<ExitCode> {
    let revision = match info.revision.0 {
        0 => String::new(),
        revision => format!("revision {revision}, "),
    };
    output::print(&format!(
        "{what} {}: {revision}{} bytes, sha256 {}\n",
        path.display(),
        info.bytes,
        info.sha256
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Copies what a running server sends. Whether it is whole is seen by its digest.
fn receive(mut server: UnixStream, out: &mut dyn Write) -> anyhow::Result<Option<SnapshotInfo>> {
    io::copy(&mut server, out).context("receive the snapshot from the running server")?;
    Ok(None)
}

/// A file that gets its name once it is whole; until then it is nobody else's to read, and
/// it goes away with this value.
struct Partial {
    path: PathBuf,
    at: PathBuf,
}

type Fill = dyn FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<Option<SnapshotInfo>> + Send;

impl Partial {
    fn create(path: &Path) -> anyhow::Result<Arc<Self>> {
        if path.exists() {
            bail!("{} is there already: name a file that is not", path.display());
        }
        let mut name = path.file_name().context("give the file a name")?.to_owned();
        name.push(".partial");
        let at = path.with_file_name(name);
        let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&at);
        made.with_context(|| format!("write {}", at.display()))?;
        Ok(Arc::new(Self { path: path.to_owned(), at }))
    }

    /// Fills it where blocking is allowed, and checks what is in it.
    async fn fill(
        self: &Arc<Self>,
        fill: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<Option<SnapshotInfo>> + Send + 'static,
    ) -> anyhow::Result<SnapshotInfo> {
        let (this, fill): (Arc<Self>, Box<Fill>) = (Arc::clone(self), Box::new(fill));
        let work = move || {
            let mut out = BufWriter::with_capacity(1 << 16, this.open()?);
            let said = fill(&mut out)?;
            let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all().with_context(|| format!("sync {}", this.at.display()))?;
            let mut input = File::open(&this.at).with_context(|| format!("read {}", this.at.display()))?;
            let info = embedded::check_snapshot(&mut input)?;
            if said.is_some_and(|said| said != info) {
                bail!("{} does not hold what was written to it", this.at.display());
            }
            Ok(info)
        };
        tokio::task::spawn_blocking(work).await?
    }

    async fn fill_from_etcd(&self, store: &store::Etcd) -> anyhow::Result<SnapshotInfo> {
        let mut out = self.open()?;
        let info = store.save_snapshot(&mut out).await?;
        out.sync_all().with_context(|| format!("sync {}", self.at.display()))?;
        Ok(info)
    }

    fn open(&self) -> anyhow::Result<File> {
        let opened = OpenOptions::new().write(true).open(&self.at);
        opened.with_context(|| format!("write {}", self.at.display()))
    }

    fn keep(&self) -> anyhow::Result<()> {
        std::fs::rename(&self.at, &self.path).with_context(|| format!("write {}", self.path.display()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Kept under its own name by now, or of no use.
        let _ = std::fs::remove_file(&self.at);
    }
}
