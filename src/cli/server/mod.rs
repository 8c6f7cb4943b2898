//! `cluster server`: the control plane on this machine, over a folder.
//!
//! Needs nothing but the folder: authorities, certificates and the way in for an admin are
//! made there at the first start and kept.

mod identity;
mod run;
pub(crate) mod snapshots;
pub(crate) mod storage;

use std::process::ExitCode;

use super::arguments;

/// Serves until stopped.
pub(crate) async fn run(arguments: &arguments::Server) -> anyhow::Result<ExitCode> {
    run::run(arguments).await
}
