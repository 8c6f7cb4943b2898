//! `cluster plan`: the exact actions, and nothing done.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;
use base::Shutdown;
use plan::{Action, Plan};
use provision::bootstrap::{Material, Vault};
use serde::Serialize;

use super::arguments::{self, Format};
use super::context::{self, Context};
use super::decide::{self, Situation};
use super::files::FolderVault;
use super::{CHANGES, interrupt, output};

/// Version of the JSON form.
const FORMAT: u32 = 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    format: u32,
    cluster: &'a str,
    account: &'a str,
    region: &'a str,
    actions: Vec<Line<'a>>,
    notes: &'a [String],
    unchecked: &'a [String],
    denied: &'a [String],
}

#[derive(Serialize)]
struct Line<'a> {
    words: String,
    #[serde(flatten)]
    action: &'a Action,
}

/// Prints the plan; exit status 2 if it has actions.
pub(crate) async fn run(arguments: &arguments::Plan) -> anyhow::Result<ExitCode> {
    let config = context::read_config(&arguments.file.file)?;
    let shutdown = Shutdown::new();
    interrupt::on_signal(&shutdown)?;
    let context = Context::open(&config.name, config.region.as_deref()).await?;
    let known = context.remembered()?;
    let vault: Arc<dyn Vault> = Arc::new(FolderVault(context.folder.clone()));
    let material = match &known {
        Some(_) => Some(Arc::new(Material::open(vault.clone(), context.clock.clone(), &context.name)?)),
        None => None,
    };
    let situation = Situation {
        context: &context,
        config: &config,
        known: known.as_ref(),
        inventory: context.cloud.inventory(&context.name).await?,
        vault,
        material,
        node_binary: arguments.binary.node_binary.as_deref(),
        shutdown: &shutdown,
    };
    let decided = situation.decide().await?;
    let (denied, unasked) = decide::permissions(&*context.cloud, &decided.plan).await?;
    let unchecked = [decided.unchecked, unasked].concat();
    show(arguments.output.output, &context, &decided.plan, &unchecked, &denied)?;
    if !denied.is_empty() {
        bail!("AWS would refuse {} of these actions; infra/ holds the policy they need", denied.len());
    }
    Ok(if decided.plan.actions.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) })
}

fn show(
    format: Format,
    context: &Context,
    plan: &Plan,
    unchecked: &[String],
    denied: &[String],
) -> anyhow::Result<()> {
    if format == Format::Json {
        let actions = plan.actions.iter().map(|action| Line { words: action.to_string(), action });
        return output::print_json(&Document {
            format: FORMAT,
            cluster: &context.name,
            account: &context.caller.account,
            region: &context.region,
            actions: actions.collect(),
            notes: &plan.notes,
            unchecked,
            denied,
        });
    }
    let mut text = format!(
        "cluster {} in account {}, region {}\n",
        context.name, context.caller.account, context.region
    );
    if let Some(endpoint) = &context.endpoint {
        text.push_str(&format!("endpoint {endpoint}\n"));
    }
    text.push('\n');
    text.push_str(&render(plan));
    let lists = [("note", &plan.notes[..]), ("not checked", unchecked), ("denied", denied)];
    for (title, lines) in lists {
        for line in lines {
            text.push_str(&format!("{title}: {line}\n"));
        }
    }
    output::print(&text)
}

/// The plan for a person: calls first, then each node with its steps.
pub(crate) fn render(plan: &Plan) -> String {
    if plan.actions.is_empty() {
        return "nothing to do: the cluster is as cluster.yaml says\n".to_owned();
    }
    let mut text = String::new();
    let mut slot_shown = "";
    for action in &plan.actions {
        match action {
            Action::Cloud { request, reason } => {
                slot_shown = request.creates().unwrap_or("");
                text.push_str(&wrapped(&request.to_string(), reason.as_deref()));
            }
            Action::Bootstrap { slot, step, .. } => {
                if slot_shown != slot.as_str() {
                    text.push_str(&format!("  bootstrap {slot}\n"));
                }
                slot_shown = slot;
                text.push_str(&format!("      {:<13} {}\n", step.name(), step.purpose()));
            }
        }
    }
    let calls = plan.actions.iter().filter(|action| matches!(action, Action::Cloud { .. })).count();
    let steps = plan.actions.len() - calls;
    let (calls, steps) = (output::counted(calls, "call"), output::counted(steps, "step"));
    text.push_str(&format!("\n{calls} to AWS, {steps} on nodes\n"));
    text
}

/// One call; the rules of a security group a line each.
fn wrapped(words: &str, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!("  ({reason})")).unwrap_or_default();
    let Some((head, rules)) = words.split_once(": ").filter(|(head, _)| head.contains("allow into")) else {
        return format!("  {words}{reason}\n");
    };
    let lines: String = rules.split("; ").map(|rule| format!("      {rule}\n")).collect();
    format!("  {head}{reason}\n{lines}")
}
