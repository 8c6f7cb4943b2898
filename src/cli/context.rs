//! What most commands begin with: cluster.yaml, an account, and the state folder of the cluster there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use base::{Clock, SystemClock};
use cloud::{Caller, Cloud, CloudError, Ec2};
use plan::config::{self, Config};
use provision::state::{Folder, Lock, StateFile, Store, base_folder};

/// An account in a region, and the cluster there that is meant.
pub(crate) struct Context {
    /// The cluster's name.
    pub(crate) name: String,
    /// AWS.
    pub(crate) cloud: Arc<dyn Cloud>,
    /// Region.
    pub(crate) region: String,
    /// The endpoint configured in place of AWS's own.
    pub(crate) endpoint: Option<String>,
    /// Whose credentials these are.
    pub(crate) caller: Caller,
    /// The cluster's state folder, which need not exist.
    pub(crate) folder: Folder,
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
}

/// Reads and validates cluster.yaml.
pub(crate) fn read_config(path: &Path) -> anyhow::Result<Config> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("{} does not exist; `cluster init` writes one, --file names another", path.display())
        }
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    config::parse(&text, &path.display().to_string()).map_err(|mistakes| anyhow::anyhow!("{mistakes}"))
}

impl Context {
    /// Finds out who we are and where.
    pub(crate) async fn open(name: &str, region: Option<&str>) -> anyhow::Result<Self> {
        let ec2 = Ec2::connect(region).await?;
        if let Some(endpoint) = ec2.endpoint().filter(|endpoint| !is_url(endpoint)) {
            bail!(
                "the endpoint {endpoint} (AWS_ENDPOINT_URL, or endpoint_url of the profile) is no URL: write http://HOST:PORT or https://HOST"
            );
        }
        let caller = ec2.caller().await.map_err(|error| whom_we_asked(error, &ec2))?;
        let region = ec2.region().to_owned();
        let folder = Folder::new(&state_base()?, &caller.account, &region, name)?;
        Ok(Self {
            name: name.to_owned(),
            region,
            endpoint: ec2.endpoint().map(str::to_owned),
            caller,
            folder,
            cloud: Arc::new(ec2),
            clock: Arc::new(SystemClock),
        })
    }

    /// What the state folder remembers of a cluster whose keys it has, checked against
    /// where we are. Takes no lock.
    pub(crate) fn remembered(&self) -> anyhow::Result<Option<StateFile>> {
        let file = self.folder.read()?;
        if let Some(file) = &file {
            self.check_file(file)?;
        }
        Ok(file.filter(|file| !file.keyless))
    }

    /// Locks the state folder; `command` is what the next to ask is told.
    pub(crate) fn lock(&self, command: &str) -> anyhow::Result<Lock> {
        Ok(self.folder.lock(command, &*self.clock)?)
    }

    /// Checks an opened state against where we are.
    pub(crate) fn check(&self, store: &Store) -> anyhow::Result<()> {
        store.read(|file| self.check_file(file))
    }

    fn check_file(&self, file: &StateFile) -> anyhow::Result<()> {
        file.check(&self.caller.account, &self.region, self.endpoint.as_deref())
            .with_context(|| self.folder.path().display().to_string())
    }
}

fn is_url(endpoint: &str) -> bool {
    let host = ["http://", "https://"].iter().find_map(|scheme| endpoint.strip_prefix(scheme));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
}

/// Where nothing of AWS's answered, the address is what a person must check.
fn whom_we_asked(error: CloudError, ec2: &Ec2) -> anyhow::Error {
    let nobody = ["Connection", "Timeout", "Unreadable"].contains(&error.code.as_str());
    let whom = match ec2.endpoint() {
        _ if !nobody => return error.into(),
        Some(endpoint) => format!("the endpoint {endpoint}"),
        None => format!("AWS in region {}", ec2.region()),
    };
    anyhow::Error::new(error).context(whom)
}

fn state_base() -> anyhow::Result<PathBuf> {
    let base = base_folder(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"));
    base.context("neither XDG_STATE_HOME nor HOME is set, so there is no place for the cluster's state")
}
