//! `cluster down`: removes everything that belongs to the cluster, and proves it.

use std::process::ExitCode;

use anyhow::bail;
use plan::model::Inventory;
use plan::teardown::{self, Foreign};
use provision::journal::Journal;
use provision::state::{NewState, Opened, StateFile, Store};
use provision::{DownError, Removed, down};

use super::arguments::{Down, Format};
use super::context::{self, Context};
use super::crash::CrashAfter;
use super::output::Failure;
use super::work::Work;
use super::{ask, output};

/// Removes the cluster.
pub(crate) async fn run(arguments: &Down) -> anyhow::Result<ExitCode> {
    let (name, region) = which(arguments)?;
    let work = Work::begin(&name, region.as_deref(), arguments.output.output).await?;
    let Work { context, screen, .. } = &work;
    let inventory = context.cloud.inventory(&name).await?;
    let lock = context.lock("cluster down")?;
    let (store, known) = match Store::open(&context.folder, lock)? {
        Opened::Known(store) => {
            context.check(&store)?;
            (store, true)
        }
        Opened::New(lock) => (Store::create(&context.folder, lock, stand_in(context))?, false),
    };
    let uid = store.read(|file| (!file.keyless).then(|| file.uid.clone()));
    let confirmed = confirm(arguments, &work, &inventory, uid.as_deref());
    if let Err(error) = confirmed {
        forget(&store, known)?;
        return Err(error);
    }
    let journal = CrashAfter::attach(Journal::open(&context.folder.journal())?, arguments.crash_after);
    let execution = work.execution(&journal, &store);
    let result = down(&execution, uid.as_deref()).await;
    screen.clear();
    match result {
        Ok(removed) => {
            screen.say(&farewell(context, &removed));
            Ok(ExitCode::SUCCESS)
        }
        Err(DownError::Interrupted { left }) => {
            screen.warn(&format!(
                "\nstopped; `cluster down` goes on from here. Still there:\n{}",
                listing(&left)
            ));
            Err(Failure::interrupted())
        }
        Err(error) => {
            if matches!(error, DownError::NothingFound { .. }) {
                // It was made for this `down`, or for one that was interrupted.
                forget(&store, false)?;
            }
            if let DownError::Failed { failures } = &error {
                work.tell(failures);
            }
            Err(error.into())
        }
    }
}

/// The cluster's name and region: from the command line, or from cluster.yaml.
fn which(arguments: &Down) -> anyhow::Result<(String, Option<String>)> {
    if let Some(name) = &arguments.name {
        return Ok((name.clone(), arguments.region.clone()));
    }
    if !arguments.file.file.exists() {
        bail!(
            "{} does not exist; name the cluster: `cluster down --name NAME [--region REGION]`",
            arguments.file.file.display()
        );
    }
    let config = context::read_config(&arguments.file.file)?;
    Ok((config.name, config.region))
}

/// A state for a cluster, or several of one name, whose own state folder is elsewhere or lost.
fn stand_in(context: &Context) -> StateFile {
    let new = NewState {
        name: context.name.clone(),
        uid: String::new(),
        account: context.caller.account.clone(),
        region: context.region.clone(),
        endpoint: context.endpoint.clone(),
    };
    StateFile { keyless: true, ..StateFile::new(new, context.clock.now()) }
}

/// Takes a state folder away that was only made for this run.
fn forget(store: &Store, keep: bool) -> anyhow::Result<()> {
    if !keep {
        store.remove()?;
    }
    Ok(())
}

/// The last words, with what was left alone because it only has the cluster's name.
fn farewell(context: &Context, removed: &Removed) -> String {
    let mut text = String::new();
    for foreign in &removed.namesakes {
        text.push_str(&format!("left alone: {}\n", words(foreign)));
    }
    let how = match removed.calls {
        0 => "nothing was there to remove but its state folder".to_owned(),
        calls => output::counted(calls, "call"),
    };
    format!(
        "{text}\n{} nothing of {} is left in account {}, region {} ({how})",
        output::paint("done:", output::GREEN),
        context.name,
        context.caller.account,
        context.region,
    )
}

fn confirm(arguments: &Down, work: &Work, inventory: &Inventory, uid: Option<&str>) -> anyhow::Result<()> {
    if arguments.output.output == Format::Text {
        let uids = teardown::uids(inventory, &work.context.name);
        eprint!("{}", work.heading());
        if uid.is_none() && uids.len() > 1 {
            eprintln!(
                "its state folder is not here, and {} clusters carry this name: all of them go",
                uids.len()
            );
        }
        if inventory.is_empty() {
            eprintln!("\nnothing of it is listed; looking again, since AWS lists new resources late");
        } else {
            eprint!("\nto be removed, data and all:\n{}\n", listing(inventory));
        }
    }
    if arguments.yes || inventory.is_empty() {
        return Ok(());
    }
    ask::ask("This cannot be undone.", &work.context.name)
}

/// What is there, a line per kind.
fn listing(inventory: &Inventory) -> String {
    let mut instances = inventory
        .instances
        .iter()
        .filter(|i| i.state != plan::model::InstanceState::Terminated)
        .map(|i| format!("{} ({})", i.tags.slot().unwrap_or("?"), i.id))
        .collect::<Vec<_>>();
    instances.sort();
    let ids = |mut list: Vec<&String>| {
        list.sort();
        list.into_iter().cloned().collect::<Vec<_>>()
    };
    let kinds = [
        ("instances", instances),
        ("volumes", ids(inventory.volumes.iter().map(|r| &r.id).collect())),
        ("key pairs", ids(inventory.key_pairs.iter().map(|r| &r.name).collect())),
        (
            "security groups",
            ids(inventory.security_groups.iter().filter(|r| r.name != "default").map(|r| &r.name).collect()),
        ),
        ("subnets", ids(inventory.subnets.iter().map(|r| &r.id).collect())),
        ("route tables", ids(inventory.route_tables.iter().filter(|r| !r.main).map(|r| &r.id).collect())),
        ("gateways", ids(inventory.internet_gateways.iter().map(|r| &r.id).collect())),
        ("VPCs", ids(inventory.vpcs.iter().map(|r| &r.id).collect())),
    ];
    let lines = kinds.iter().filter(|(_, ids)| !ids.is_empty());
    let text: String = lines.map(|(kind, ids)| format!("  {kind:<16} {}\n", ids.join(", "))).collect();
    if text.is_empty() { "  nothing\n".to_owned() } else { text }
}

fn words(foreign: &Foreign) -> String {
    format!("the {} {} ({})", foreign.what, foreign.id, foreign.why)
}
