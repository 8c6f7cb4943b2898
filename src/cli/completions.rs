//! `cluster completions SHELL`.

use std::process::ExitCode;

use clap::CommandFactory as _;

use super::arguments::Cluster;
use super::output;

/// Prints the completions of a shell.
pub(crate) fn run(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cluster::command(), "cluster", &mut text);
    output::print(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}
