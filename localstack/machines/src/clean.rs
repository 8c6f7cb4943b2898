//! Leaving nothing behind, from what the kernel shows rather than from memory:
//! works after any part was killed, and with no state folder.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::cgroup;
use crate::folders::State;
use crate::net;

/// How long processes may take to end once killed.
const LIMIT: Duration = Duration::from_secs(30);

/// Ends every process started here, then removes namespaces, routes and disks.
///
/// # Errors
/// Names what would not go; running it again goes on from there.
pub(crate) async fn clean(state: &State) -> Result<()> {
    cgroup::clear(&cgroup::hierarchies()?, None, LIMIT).await.context("some processes did not end")?;
    net::remove_all().await.context("the network could not be removed")?;
    let state = state.clone();
    tokio::task::spawn_blocking(move || state.remove_machines())
        .await?
        .context("a machine's disk could not be deleted")
}
