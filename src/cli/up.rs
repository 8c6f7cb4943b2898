//! `cluster up`: look, decide, ask, do.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use base::RandomIds;
use plan::config::Config;
use plan::{Action, price};
use provision::bootstrap::{Material, Vault};
use provision::execute::{self, RunError};
use provision::journal::Journal;
use provision::state::{NewState, Opened, StateFile, Store};

use super::arguments::{Format, Up};
use super::context::{self, Context};
use super::crash::CrashAfter;
use super::decide::{self, Decided, Situation};
use super::files::{APPLIED_BINARY, StoreVault};
use super::fleet::{self, Fleet};
use super::output::Failure;
use super::target::Target;
use super::work::Work;
use super::{ask, output, plan as plan_screen};

/// Raises the cluster, or brings it to what cluster.yaml says.
pub(crate) async fn run(arguments: &Up) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let config = context::read_config(&arguments.file.file)?;
    let work = Work::begin(&config.name, config.region.as_deref(), arguments.output.output).await?;
    let Work { shutdown, context, screen } = &work;
    let (store, new) = open(context).await?;
    let store = Arc::new(store);
    let journal = CrashAfter::attach(Journal::open(&context.folder.journal())?, arguments.crash_after);
    let vault: Arc<dyn Vault> = Arc::new(StoreVault(Arc::clone(&store)));
    let material = Arc::new(Material::open(vault.clone(), context.clock.clone(), &context.name)?);
    let execution = work.execution(&journal, &store);
    let inventory = execute::settle(&execution).await?;
    let known = store.read(StateFile::clone);
    let situation = Situation {
        context,
        config: &config,
        known: Some(&known),
        inventory,
        vault: Arc::clone(&vault),
        material: Some(material),
        node_binary: arguments.binary.node_binary.as_deref(),
        shutdown,
    };
    let mut decided = match agree(arguments, situation, &work).await {
        Ok(decided) => decided,
        Err(error) => {
            if new {
                // Keys of a cluster that nobody wanted after all, tied to this account and endpoint.
                store.remove()?;
            }
            return Err(error);
        }
    };
    if decided.plan.actions.is_empty() {
        screen.say("nothing to do: the cluster is as cluster.yaml says");
        finish(&store, &config, &decided.target)?;
        return Ok(ExitCode::SUCCESS);
    }
    let bootstrap = decided.bootstrap.take();
    let bootstrap = bootstrap.context("the cluster's keys are there, so its steps are too")?;
    let fleet = Fleet {
        bootstrap,
        roles: decided.target.desired.nodes.iter().map(|node| (node.slot.clone(), node.role)).collect(),
        vault,
    };
    let result = execute::run(&decided.plan, &decided.observed.inventory, &execution, &fleet, &fleet).await;
    screen.clear();
    match result {
        Ok(_) => {}
        Err(error) => return Err(unfinished(&work, error).await),
    }
    finish(&store, &config, &decided.target)?;
    screen.say(&farewell(context, &config, began));
    Ok(ExitCode::SUCCESS)
}

/// Decides what is to be done, shows it and asks. Nothing is made yet.
async fn agree(arguments: &Up, situation: Situation<'_>, work: &Work) -> anyhow::Result<Decided> {
    let config = situation.config;
    let mut decided = situation.decide().await?;
    work.screen.clear();
    if decided.plan.actions.is_empty() {
        return Ok(decided);
    }
    let (denied, unasked) = decide::permissions(&*work.context.cloud, &decided.plan).await?;
    decided.unchecked.extend(unasked);
    if arguments.output.output == Format::Text {
        eprint!("{}", summary(work, config, &decided));
    }
    if !denied.is_empty() {
        bail!("AWS would refuse:\n  {}\ninfra/ holds the policy these credentials need", denied.join("\n  "));
    }
    if !arguments.yes {
        ask::ask("Do this?", "yes")?;
    }
    Ok(decided)
}

/// Locks the state folder, and begins a new state where there is none; whether it did.
async fn open(context: &Context) -> anyhow::Result<(Store, bool)> {
    let lock = context.lock("cluster up")?;
    match Store::open(&context.folder, lock)? {
        Opened::Known(store) => {
            context.check(&store)?;
            if store.read(|file| file.keyless) {
                bail!(
                    "a `cluster down` of {} began without its keys and did not end: run `cluster down` until it is done, then `cluster up`",
                    context.name
                );
            }
            store.update(|file| file.going_down = false)?;
            Ok((store, false))
        }
        Opened::New(lock) => {
            let inventory = context.cloud.inventory(&context.name).await?;
            decide::refuse_orphans(context, &inventory)?;
            let new = NewState {
                name: context.name.clone(),
                uid: base::Ids::next(&RandomIds),
                account: context.caller.account.clone(),
                region: context.region.clone(),
                endpoint: context.endpoint.clone(),
            };
            let file = StateFile::new(new, context.clock.now());
            Ok((Store::create(&context.folder, lock, file)?, true))
        }
    }
}

/// The run went through: what cluster.yaml says now is what the next edit is compared with.
fn finish(store: &Arc<Store>, config: &Config, target: &Target) -> anyhow::Result<()> {
    let applied = serde_json::to_value(config)?;
    StoreVault(Arc::clone(store)).write(APPLIED_BINARY, &target.binary.digest)?;
    store.update(|file| file.applied_config = Some(applied))?;
    Ok(())
}

/// What `up` shows before it asks.
fn summary(work: &Work, config: &Config, decided: &Decided) -> String {
    let access = &decided.target.access;
    let nets = |nets: &[ipnet::Ipv4Net]| match nets {
        [] => "nobody".to_owned(),
        nets => nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let mut text = work.heading();
    let ports: Vec<String> = config.access.service_ports.iter().map(ToString::to_string).collect();
    text.push_str(&format!(
        "\nwho may reach it\n  SSH       {}\n  API       {}\n  services  {} (ports {}, 30000-32767)\n",
        nets(&access.ssh),
        nets(&access.api),
        nets(&access.services),
        ports.join(", ")
    ));
    text.push_str(&format!("\nimage {} ({})\n", decided.target.image.name, decided.target.image.id));
    text.push_str("\nwhat is done\n");
    text.push_str(&plan_screen::render(&decided.plan));
    if decided.plan.actions.iter().any(launches) {
        let estimate = price::estimate(config, &work.context.region, true);
        text.push_str("\nwhat the whole cluster is billed\n");
        text.push_str(&estimate.to_string().lines().map(|line| format!("  {line}\n")).collect::<String>());
    }
    for line in &decided.unchecked {
        text.push_str(&format!("not checked: {line}\n"));
    }
    text.push('\n');
    text
}

fn launches(action: &Action) -> bool {
    matches!(action, Action::Cloud { request: plan::model::Call::RunInstances(_), .. })
}

/// Says what a run that ended early left, what still bills and how to go on.
async fn unfinished(work: &Work, error: RunError) -> anyhow::Error {
    let Work { context, screen, .. } = work;
    let interrupted = matches!(error, RunError::Interrupted { .. });
    if let RunError::Failed { failures, .. } = &error {
        work.tell(failures);
    }
    screen.warn(&format!("\n{error}"));
    if let Ok(inventory) = context.cloud.inventory(&context.name).await {
        let running: Vec<String> = fleet::nodes(&inventory, &context.name)
            .map(|(slot, instance)| format!("{slot} ({}, {})", instance.id, instance.state.as_str()))
            .collect();
        if !running.is_empty() {
            screen.warn(&format!("billed meanwhile: {}", running.join(", ")));
        }
    }
    screen.warn("`cluster up` goes on from here; `cluster down` removes what is there");
    if interrupted { Failure::interrupted() } else { Failure::said() }
}

fn farewell(context: &Context, config: &Config, began: Instant) -> String {
    format!(
        "\n{} {} is up: {}, {}, in {:.1} s\nnext: `cluster kubeconfig`, then `kubectl get nodes`; `cluster status`, `cluster ssh master-0`; `cluster down` removes it all",
        output::paint("done:", output::GREEN),
        context.name,
        output::counted(config.masters.count, "master"),
        output::counted(config.node_count() - config.masters.count, "worker"),
        began.elapsed().as_secs_f64()
    )
}
