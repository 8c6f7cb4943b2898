//! The store that a server's arguments name: etcd where it is given, else the server's folder.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use store::{Embedded, EmbeddedOptions, Etcd, EtcdOptions, EtcdTls, Store};

use crate::cli::arguments;

/// Longest that one member of etcd may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An open store.
pub(crate) enum Storage {
    /// In a folder.
    Embedded(Arc<Embedded>),
    /// In etcd.
    Etcd(Arc<Etcd>),
}

impl Storage {
    /// Opens what the arguments name.
    pub(crate) async fn open(data_dir: Option<&Path>, etcd: &arguments::Etcd) -> anyhow::Result<Self> {
        if !etcd.urls.is_empty() {
            return Ok(Self::Etcd(Arc::new(Etcd::new(options(etcd)?).await?)));
        }
        let options = embedded(data_dir.context("give --data-dir or --etcd")?);
        let opened = tokio::task::spawn_blocking(move || Embedded::open(&options)).await?;
        Ok(Self::Embedded(Arc::new(opened?)))
    }

    /// Whichever it is.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Etcd(store) => Arc::clone(store) as Arc<dyn Store>,
        }
    }
}

/// Where a server's folder has its store.
pub(crate) fn embedded(data_dir: &Path) -> EmbeddedOptions {
    EmbeddedOptions { folder: data_dir.join("store") }
}

fn options(etcd: &arguments::Etcd) -> anyhow::Result<EtcdOptions> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let tls = match (&etcd.authority, &etcd.certificate, &etcd.key) {
        (Some(authority), Some(certificate), Some(key)) => {
            Some(EtcdTls { ca_pem: read(authority)?, cert_pem: read(certificate)?, key_pem: read(key)? })
        }
        _ => None,
    };
    Ok(EtcdOptions { endpoints: etcd.urls.clone(), tls, timeout: TIMEOUT })
}
