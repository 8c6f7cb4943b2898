//! `cluster ssh NODE [-- COMMAND]`: a shell on a node, its host key pinned.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use base::Shutdown;
use plan::model::InstanceState;
use provision::bootstrap::Addresses;
use remote::{Attach, Limits, Ssh};

use super::arguments;
use super::context::{self, Context};
use super::{decide, fleet};

/// Opens a shell, or runs a command; its exit status is ours.
pub(crate) async fn run(arguments: &arguments::Ssh) -> anyhow::Result<ExitCode> {
    let config = context::read_config(&arguments.file.file)?;
    let context = Context::open(&config.name, config.region.as_deref()).await?;
    let Some(file) = context.remembered()? else {
        bail!(
            "no keys of the cluster {} are in {}; `cluster up` makes a cluster and its keys",
            context.name,
            context.folder.path().display()
        )
    };
    let inventory = context.cloud.inventory(&context.name).await?;
    let found = fleet::nodes(&inventory, &context.name).find(|(slot, _)| *slot == arguments.node);
    let Some((slot, instance)) = found else {
        let mut names: Vec<&str> = fleet::nodes(&inventory, &context.name).map(|(slot, _)| slot).collect();
        names.sort_unstable();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        bail!("there is no node {:?}; there are: {names}", arguments.node)
    };
    let private = match instance.private_address {
        Some(address) if instance.state == InstanceState::Running => address,
        _ => bail!("{slot} is {}; `cluster up` starts it", instance.state.as_str()),
    };
    let shutdown = Shutdown::new();
    let bootstrap = decide::looking(&context, &config, &file.uid, &inventory, &shutdown)?;
    let at = Addresses { private, public: instance.public_address };
    let target = bootstrap.target(slot, at)?;
    let command = (!arguments.command.is_empty()).then(|| arguments.command.join(" "));
    let term = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    let attach = Attach::stdio(command, &term)?;
    // Ctrl-C belongs to the far side while it is attached.
    let status = Ssh::new(Limits::default(), shutdown).attach(&target, attach).await?;
    Ok(ExitCode::from(u8::try_from(status).context("the exit status does not fit")?))
}
