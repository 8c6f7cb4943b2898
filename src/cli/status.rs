//! `cluster status`: the machines, and what is wrong with them.

use std::process::ExitCode;

use base::Shutdown;
use plan::config::Config;
use plan::model::InstanceState;
use provision::bootstrap::Condition;
use serde::Serialize;

use super::arguments::{self, Format};
use super::context::{self, Context};
use super::{decide, fleet, interrupt, output};

/// Version of the JSON form.
const FORMAT: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    format: u32,
    cluster: &'a str,
    account: &'a str,
    region: &'a str,
    nodes: &'a [Row],
}

/// One slot.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    node: String,
    role: String,
    instance: Option<String>,
    state: String,
    instance_type: Option<String>,
    zone: Option<String>,
    private_address: Option<String>,
    public_address: Option<String>,
    ready: bool,
    /// What is wrong; empty if nothing is.
    problem: String,
}

/// Prints the machines; exit status 1 if one is not as it should be.
pub(crate) async fn run(arguments: &arguments::Status) -> anyhow::Result<ExitCode> {
    let config = context::read_config(&arguments.file.file)?;
    let shutdown = Shutdown::new();
    interrupt::on_signal(&shutdown)?;
    let context = Context::open(&config.name, config.region.as_deref()).await?;
    let rows = rows(&context, &config, &shutdown).await?;
    match arguments.output.output {
        Format::Json => output::print_json(&Document {
            format: FORMAT,
            cluster: &context.name,
            account: &context.caller.account,
            region: &context.region,
            nodes: &rows,
        })?,
        Format::Text => output::print(&text(&context, &rows))?,
    }
    Ok(if rows.iter().all(|row| row.ready) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn rows(context: &Context, config: &Config, shutdown: &Shutdown) -> anyhow::Result<Vec<Row>> {
    let inventory = context.cloud.inventory(&context.name).await?;
    let mut conditions = std::collections::BTreeMap::new();
    let known = context.remembered()?;
    if let Some(file) = &known {
        let bootstrap = decide::looking(context, config, &file.uid, &inventory, shutdown)?;
        conditions = fleet::conditions(&inventory, &context.name, &bootstrap).await;
    }
    let mut slots: Vec<String> = config.slots().into_iter().map(|slot| slot.name).collect();
    let extra = fleet::nodes(&inventory, &context.name).map(|(slot, _)| slot.to_owned());
    let extra: Vec<String> = extra.filter(|slot| !slots.contains(slot)).collect();
    slots.extend(extra);
    Ok(slots
        .into_iter()
        .map(|slot| {
            let instance = fleet::nodes(&inventory, &context.name).find(|(name, _)| *name == slot);
            row(slot.clone(), instance.map(|(_, instance)| instance), conditions.get(&slot), known.is_some())
        })
        .collect())
}

fn row(
    slot: String,
    instance: Option<&plan::model::Instance>,
    condition: Option<&Condition>,
    keys: bool,
) -> Row {
    let problem = match (instance, condition) {
        (None, _) => "no machine: `cluster up` makes it".to_owned(),
        (Some(i), _) if i.state == InstanceState::Stopped => {
            "the machine is stopped: `cluster up` starts it".to_owned()
        }
        (Some(i), _) if i.state != InstanceState::Running => {
            format!("the machine is {}", i.state.as_str())
        }
        (Some(_), Some(Condition::Unsatisfied(steps))) if steps.is_empty() => String::new(),
        (Some(_), Some(Condition::Unsatisfied(steps))) => {
            let names: Vec<&str> = steps.iter().map(|step| step.name()).collect();
            format!("to be mended by `cluster up`: {}", names.join(", "))
        }
        (Some(_), Some(Condition::Unknown(why))) => output::after_label(&slot, why).to_owned(),
        (Some(_), None) if keys => "it has no address yet".to_owned(),
        (Some(_), None) => "the cluster's keys are not on this machine, so it cannot be asked".to_owned(),
    };
    Row {
        role: fleet::role_of(&slot).to_string(),
        node: slot,
        instance: instance.map(|i| i.id.clone()),
        state: instance.map_or_else(|| "missing".to_owned(), |i| i.state.as_str().to_owned()),
        instance_type: instance.map(|i| i.instance_type.clone()),
        zone: instance.map(|i| i.zone.clone()),
        private_address: instance.and_then(|i| i.private_address).map(|a| a.to_string()),
        public_address: instance.and_then(|i| i.public_address).map(|a| a.to_string()),
        ready: problem.is_empty(),
        problem,
    }
}

fn text(context: &Context, rows: &[Row]) -> String {
    let header = ["NODE", "ROLE", "MACHINE", "INSTANCE", "TYPE", "ZONE", "PRIVATE", "PUBLIC", "READY"];
    let mut cells = vec![header.map(str::to_owned).to_vec()];
    let or_dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    for row in rows {
        cells.push(vec![
            row.node.clone(),
            row.role.clone(),
            row.state.clone(),
            or_dash(&row.instance),
            or_dash(&row.instance_type),
            or_dash(&row.zone),
            or_dash(&row.private_address),
            or_dash(&row.public_address),
            if row.ready { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let mut text = format!(
        "cluster {} in account {}, region {}\n\n{}",
        context.name,
        context.caller.account,
        context.region,
        output::table(&cells)
    );
    for (index, row) in rows.iter().filter(|row| !row.ready).enumerate() {
        let gap = if index == 0 { "\n" } else { "" };
        text.push_str(&format!("{gap}{}: {}\n", row.node, row.problem));
    }
    text
}
