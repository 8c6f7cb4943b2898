//! The part of `plan` and `up` that is the same: look, refuse, decide, ask AWS what it would allow.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use base::Shutdown;
use cloud::{Cloud, Neighbour, Permission};
use plan::config::{self, Config, Via};
use plan::model::{Call, Inventory, Ref, tags};
use plan::planner::{self, Observed};
use plan::{Action, Plan};
use provision::bootstrap::{Bootstrap, Material, NodeBinary, Settings, Vault};
use provision::state::StateFile;
use remote::{Limits, Ssh};

use super::context::Context;
use super::files::{APPLIED_BINARY, FolderVault};
use super::target::Target;
use super::{access, fleet};

/// What was decided, and what could not be looked at.
pub(crate) struct Decided {
    /// The plan.
    pub(crate) plan: Plan,
    /// What it was made from.
    pub(crate) observed: Observed,
    /// What cluster.yaml means here.
    pub(crate) target: Target,
    /// The steps, if the cluster has keys already.
    pub(crate) bootstrap: Option<Bootstrap>,
    /// What could not be checked.
    pub(crate) unchecked: Vec<String>,
}

/// What deciding starts from.
pub(crate) struct Situation<'a> {
    pub(crate) context: &'a Context,
    pub(crate) config: &'a Config,
    pub(crate) known: Option<&'a StateFile>,
    pub(crate) inventory: Inventory,
    pub(crate) vault: Arc<dyn Vault>,
    pub(crate) material: Option<Arc<Material>>,
    pub(crate) node_binary: Option<&'a Path>,
    pub(crate) shutdown: &'a Shutdown,
}

/// What stands for the uid and the key that the first `up` will make.
const UNMADE: &str = "(made by the first up)";

impl Situation<'_> {
    /// Looks at what is there and decides what is to be done.
    pub(crate) async fn decide(self) -> anyhow::Result<Decided> {
        if self.known.is_none() {
            refuse_orphans(self.context, &self.inventory)?;
        }
        self.refuse_edits()?;
        let uid = self.known.map_or(UNMADE, |file| &file.uid);
        let key = self.material.as_ref().map_or(UNMADE, |material| material.ssh_public());
        let target = Target::find(self.context, self.config, self.node_binary, uid, key).await?;
        if self.inventory.vpcs.is_empty() {
            self.refuse_twins(&target).await?;
        }
        let bootstrap = self.material.clone().map(|material| self.bootstrap(&target, material));
        let (observed, unknown) =
            fleet::observe(self.inventory, &target.desired, &*self.vault, bootstrap.as_ref()).await?;
        let plan = planner::decide(&target.desired, &observed)?;
        let mut unchecked = target.unchecked.clone();
        unchecked.extend(unknown);
        Ok(Decided { plan, observed, target, bootstrap, unchecked })
    }

    fn bootstrap(&self, target: &Target, material: Arc<Material>) -> Bootstrap {
        let settings = Settings {
            config: self.config.clone(),
            uid: target.desired.uid.clone(),
            region: self.context.region.clone(),
            binary: target.binary.clone(),
            public: target.access.public,
            masters: fleet::masters(&self.inventory, &self.context.name),
        };
        connected(self.context, settings, Arc::clone(&self.vault), material, self.shutdown)
    }

    /// Where a stand-in for AWS runs, machines of every VPC share this machine's routes: of two
    /// with one address only one could be dialled.
    async fn refuse_twins(&self, target: &Target) -> anyhow::Result<()> {
        let (access, network) = (&self.config.access, &self.config.network);
        if target.access.public || access.via != Via::Auto {
            return Ok(());
        }
        let neighbours = self.context.cloud.neighbours(&self.context.name, network.cidr).await?;
        let Some(Neighbour { vpc, cidr, cluster }) = neighbours.first() else { return Ok(()) };
        let whose = cluster.as_ref().map(|name| format!(" of the cluster {name}")).unwrap_or_default();
        bail!(
            "network.cidr: {} overlaps {cidr} of the VPC {vpc}{whose}, which has machines; here machines are dialled by their private addresses, so each needs one of its own: choose another range",
            network.cidr
        )
    }

    /// Edits since the last `up` that would cost machines.
    fn refuse_edits(&self) -> anyhow::Result<()> {
        let Some(applied) = self.known.and_then(|file| file.applied_config.clone()) else { return Ok(()) };
        let old: Config = serde_json::from_value(applied)?;
        let refused: Vec<String> = config::diff(&old, self.config)
            .iter()
            .filter(|edit| !edit.is_additive())
            .map(|edit| format!("  {edit}"))
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        bail!("cluster.yaml has edits that a running cluster cannot follow:\n{}", refused.join("\n"))
    }
}

/// Bootstrap for commands that only look: what counts is what the last `up` put there.
pub(crate) fn looking(
    context: &Context,
    config: &Config,
    uid: &str,
    inventory: &Inventory,
    shutdown: &Shutdown,
) -> anyhow::Result<Bootstrap> {
    let vault: Arc<dyn Vault> = Arc::new(FolderVault(context.folder.clone()));
    let material = Arc::new(Material::open(Arc::clone(&vault), Arc::clone(&context.clock), &context.name)?);
    let digest = vault.read(APPLIED_BINARY)?.unwrap_or_default();
    let settings = Settings {
        config: config.clone(),
        uid: uid.to_owned(),
        region: context.region.clone(),
        binary: NodeBinary { path: PathBuf::new(), digest, size: 0 },
        public: access::dials_public(config, context.endpoint.as_deref())?,
        masters: fleet::masters(inventory, &context.name),
    };
    Ok(connected(context, settings, vault, material, shutdown))
}

fn connected(
    context: &Context,
    settings: Settings,
    vault: Arc<dyn Vault>,
    material: Arc<Material>,
    shutdown: &Shutdown,
) -> Bootstrap {
    let remote = Arc::new(Ssh::new(Limits::default(), shutdown.clone()));
    Bootstrap::new(settings, vault, material, remote, Arc::clone(&context.clock), shutdown.clone())
}

/// Resources without their state folder cannot be gone on with: the keys are there.
pub(crate) fn refuse_orphans(context: &Context, inventory: &Inventory) -> anyhow::Result<()> {
    if inventory.is_empty() {
        return Ok(());
    }
    let uid = inventory.vpcs.iter().find_map(|vpc| vpc.tags.get(tags::UID)).unwrap_or("unknown");
    bail!(
        "a cluster called {} (uid {uid}) exists in account {}, region {}, but its keys are not in {}; put that folder back from the machine that raised it, or remove the cluster with `cluster down`",
        context.name,
        context.caller.account,
        context.region,
        context.folder.path().display()
    )
}

/// Asks AWS, without doing anything, whether each kind of call in the plan
/// would be allowed. Gives those denied, and those it could not tell of.
pub(crate) async fn permissions(
    cloud: &dyn Cloud,
    plan: &Plan,
) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let mut asked = BTreeSet::new();
    let (mut denied, mut unchecked) = (Vec::new(), Vec::new());
    for action in &plan.actions {
        let Action::Cloud { request, .. } = action else { continue };
        let name = request.action_name();
        if !asked.insert(name) {
            continue;
        }
        match cloud.permission(&stand_in(request)).await? {
            Permission::Allowed => {}
            Permission::Denied(words) => denied.push(format!("{name}: {words}")),
            Permission::Unchecked(why) => unchecked.push(format!("permission for {name}: {why}")),
        }
    }
    Ok((denied, shorten(unchecked)))
}

/// The call with stand-ins for resources that do not exist yet.
fn stand_in(call: &Call<Ref>) -> Call<String> {
    let Ok(mut call) = call.try_map(|name| {
        Ok::<_, std::convert::Infallible>(match name {
            Ref::Id(id) => id.clone(),
            Ref::Slot(slot) => stand_in_id(slot),
        })
    });
    if let Call::RunInstances(request) = &mut call {
        request.client_token = "dry-run".to_owned();
    }
    call
}

fn stand_in_id(slot: &str) -> String {
    use planner::desired::{GATEWAY, MASTERS, ROUTE_TABLE, VPC, WORKERS};
    let prefix = match slot {
        VPC => "vpc",
        GATEWAY => "igw",
        ROUTE_TABLE => "rtb",
        MASTERS | WORKERS => "sg",
        _ => "subnet",
    };
    format!("{prefix}-0123456789abcdef0")
}

/// Calls that could not be asked about for the same reason share a line.
fn shorten(lines: Vec<String>) -> Vec<String> {
    let reason = |line: &str| line.split_once(": ").map(|(_, why)| why.to_owned()).unwrap_or_default();
    let mut shortened: Vec<(String, Vec<String>)> = Vec::new();
    for line in lines {
        let why = reason(&line);
        let name =
            line.trim_start_matches("permission for ").split(':').next().unwrap_or_default().to_owned();
        match shortened.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(name),
            None => shortened.push((why, vec![name])),
        }
    }
    shortened.into_iter().map(|(why, names)| format!("permission for {}: {why}", names.join(", "))).collect()
}
