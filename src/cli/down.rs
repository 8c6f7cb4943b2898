//! `cluster down`: removes everything that belongs to the cluster, and proves it.

use std::process::ExitCode;

use anyhow::bail;
use base::{RandomIds, Shutdown};
use plan::model::Inventory;
use plan::teardown::{self, Foreign};
use provision::execute::{self, Limits};
use provision::journal::Journal;
use provision::state::{NewState, Opened, StateFile, Store};
use provision::{DownError, down};

use super::arguments::{Down, Format};
use super::context::{self, Context};
use super::crash::CrashAfter;
use super::output::Failure;
use super::progress::Screen;
use super::{ask, interrupt, output};

const STOPPING: &str = "calls in flight are finished, nothing new is started (Ctrl-C again ends at once)";

/// Removes the cluster.
pub(crate) async fn run(arguments: &Down) -> anyhow::Result<ExitCode> {
    let (name, region) = which(arguments)?;
    let shutdown = Shutdown::new();
    interrupt::on_signal_saying(&shutdown, STOPPING)?;
    let context = Context::open(&name, region.as_deref()).await?;
    let screen = Screen::new(arguments.output.output);
    let inventory = context.cloud.inventory(&name).await?;
    let lock = context.lock("cluster down")?;
    let (store, known) = match Store::open(&context.folder, lock)? {
        Opened::Known(store) => {
            context.check(&store)?;
            (store, true)
        }
        Opened::New(lock) => (Store::create(&context.folder, lock, stand_in(&context, &inventory))?, false),
    };
    let uid = known.then(|| store.read(|file| file.uid.clone()));
    let confirmed = confirm(arguments, &context, &inventory, uid.as_deref());
    if let Err(error) = confirmed {
        forget(&store, known)?;
        return Err(error);
    }
    let journal = CrashAfter::attach(Journal::open(&context.folder.journal())?, arguments.crash_after);
    let execution = execute::Context {
        cluster: &name,
        cloud: &*context.cloud,
        journal: &journal,
        store: &store,
        clock: &*context.clock,
        ids: &RandomIds,
        shutdown: &shutdown,
        progress: &screen,
        limits: Limits::default(),
    };
    let result = down(&execution, uid.as_deref()).await;
    screen.clear();
    match result {
        Ok(removed) => {
            for foreign in &removed.namesakes {
                screen.say(&format!("left alone: {}", words(foreign)));
            }
            screen.say(&format!(
                "\n{} nothing of {name} is left in account {}, region {} ({})",
                output::paint("done:", output::GREEN),
                context.caller.account,
                context.region,
                output::counted(removed.calls, "call")
            ));
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
                // What the folder remembers is gone, and its keys open nothing any more.
                forget(&store, false)?;
            }
            if let DownError::Failed { failures } = &error {
                for failure in failures {
                    screen.warn(&output::failure(&failure.label, &failure.error));
                }
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

/// A state for a cluster whose own state folder is elsewhere or lost.
fn stand_in(context: &Context, inventory: &Inventory) -> StateFile {
    let new = NewState {
        name: context.name.clone(),
        uid: teardown::uids(inventory, &context.name).first().cloned().unwrap_or_default(),
        account: context.caller.account.clone(),
        region: context.region.clone(),
        endpoint: context.endpoint.clone(),
    };
    StateFile::new(new, context.clock.now())
}

/// Takes a state folder away that was only made for this run.
fn forget(store: &Store, keep: bool) -> anyhow::Result<()> {
    if !keep {
        store.remove()?;
    }
    Ok(())
}

fn confirm(
    arguments: &Down,
    context: &Context,
    inventory: &Inventory,
    uid: Option<&str>,
) -> anyhow::Result<()> {
    if arguments.output.output == Format::Text {
        let uids = teardown::uids(inventory, &context.name);
        eprintln!(
            "cluster {} in account {} ({}), region {}",
            context.name, context.caller.account, context.caller.arn, context.region
        );
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
    ask::ask("This cannot be undone.", &context.name)
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
