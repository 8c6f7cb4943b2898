//! `cluster init` and `cluster schema`.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use plan::config;

use super::arguments::Init;
use super::output;

/// Writes a commented cluster.yaml; never over an existing one.
pub(crate) fn run(arguments: &Init) -> anyhow::Result<ExitCode> {
    let path = &arguments.file.file;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => folder_name()?,
    };
    let text = config::template(&name);
    if let Err(mistakes) = config::parse(&text, "NAME") {
        let words = mistakes.mistakes.first().map(|m| format!("{}; {}", m.problem, m.remedy));
        bail!("{}", words.unwrap_or_else(|| format!("{name:?} cannot be a cluster's name")));
    }
    let mut file = match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already and is never replaced; --file names another", path.display())
        }
        other => other.with_context(|| format!("{} cannot be written", path.display()))?,
    };
    file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))?;
    output::print(&format!(
        "wrote {} for the cluster {name}\nnext: look at it, then `cluster plan` and `cluster up`\n",
        path.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn folder_name() -> anyhow::Result<String> {
    let folder = std::env::current_dir().context("find the current folder")?;
    let last = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    match config::name_from_folder(&last) {
        Ok(name) => Ok(name),
        Err(reason) => bail!("{reason}; give a name: `cluster init NAME`"),
    }
}

/// Prints the JSON Schema of cluster.yaml.
pub(crate) fn schema() -> anyhow::Result<ExitCode> {
    output::print_json(&config::json_schema())?;
    Ok(ExitCode::SUCCESS)
}
