//! `cluster man [FOLDER]`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::arguments::Cluster;
use super::output;

/// Prints the manual page, or writes one page a command into `folder`.
pub(crate) fn run(folder: Option<&Path>) -> anyhow::Result<ExitCode> {
    let command = Cluster::command();
    match folder {
        None => {
            let mut text = Vec::new();
            clap_mangen::Man::new(command).render(&mut text)?;
            output::print(&String::from_utf8_lossy(&text))?;
        }
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
            clap_mangen::generate_to(command, folder)
                .with_context(|| format!("write manual pages into {}", folder.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
