//! Where things lie on disk: one type per folder, so that no other file spells a
//! path of it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::model::Instance;

/// The state folder: a folder per machine, 0700 since user data holds keys.
#[derive(Debug, Clone)]
pub(crate) struct State(PathBuf);

/// The cache that `localstack/images` filled.
#[derive(Debug, Clone)]
pub(crate) struct Images(PathBuf);

/// One machine's folder.
#[derive(Debug, Clone)]
pub(crate) struct MachineFolder(PathBuf);

impl State {
    /// The state in `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    fn machines(&self) -> PathBuf {
        self.0.join("machines")
    }

    /// The daemon's pid file, also its lock.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.0.join("machines.pid")
    }

    /// Written once the daemon serves and polls: what `localstack/up` waits for.
    pub(crate) fn ready_file(&self) -> PathBuf {
        self.0.join("machines.ready")
    }

    /// The folder of one machine, whether it exists or not.
    pub(crate) fn machine(&self, id: &str) -> MachineFolder {
        MachineFolder(self.machines().join(id))
    }

    /// The ids of all machines there are folders for.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn ids(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.machines()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
        Ok(names.filter(|name| name.starts_with("i-")).collect())
    }

    /// Deletes all machines' folders.
    ///
    /// # Errors
    /// When one cannot be deleted.
    pub(crate) fn remove_machines(&self) -> io::Result<()> {
        remove_dir_all(&self.machines())
    }
}

impl Images {
    /// The cache in `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// One layer of an image.
    pub(crate) fn layer(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The apt repository.
    pub(crate) fn mirror(&self) -> PathBuf {
        self.0.join("mirror")
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl MachineFolder {
    /// The machine in `path`.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The machine's changes to its image.
    pub(crate) fn upper(&self) -> PathBuf {
        self.0.join("upper")
    }

    /// The overlay's scratch space.
    pub(crate) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// Where the overlay is mounted, seen by the machine only.
    pub(crate) fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// Where the machine's cgroups are gathered, seen by the machine only.
    pub(crate) fn cgroups(&self) -> PathBuf {
        self.0.join("cgroups")
    }

    /// /var/lib/containerd.
    pub(crate) fn containerd(&self) -> PathBuf {
        self.0.join("containerd")
    }

    /// What the machine says while it boots.
    pub(crate) fn console(&self) -> PathBuf {
        self.0.join("console.log")
    }

    /// The process of systemd-nspawn.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.0.join("pid")
    }

    fn record(&self) -> PathBuf {
        self.0.join("machine.json")
    }

    /// Makes the folder and writes the instance down, atomically.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn write_instance(&self, instance: &Instance) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&self.0)?;
        // Inside it is a root file system: its top has the mode a root has.
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o755);
        for folder in [self.upper(), self.work(), self.root(), self.cgroups(), self.containerd()] {
            builder.create(folder)?;
        }
        let beside = self.0.join("machine.json.new");
        let file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        serde_json::to_writer(&file, instance)?;
        fs::rename(beside, self.record())
    }

    /// The instance as it was written down.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub(crate) fn read_instance(&self) -> io::Result<Instance> {
        Ok(serde_json::from_slice(&fs::read(self.record())?)?)
    }

    /// Deletes the machine's disk and record.
    ///
    /// # Errors
    /// When something in it cannot be deleted.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_dir_all(&self.0)
    }
}

fn remove_dir_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
