//! Looking at all running nodes at once, and handing bootstrap to the executor.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt as _;
use plan::model::{Instance, InstanceState, Inventory};
use plan::planner::{Desired, Observed};
use plan::{Role, Step};
use provision::bootstrap::{Addresses, Bootstrap, BootstrapError, Condition, HostKeys, Machine, Vault};
use provision::execute::{Launcher, NodeAddress, Prepared, Report, StepError, StepRunner};

/// Nodes asked at the same time.
const AT_ONCE: usize = 32;

/// Bootstrap as the executor sees it.
pub(crate) struct Fleet {
    /// The steps.
    pub(crate) bootstrap: Bootstrap,
    /// What a slot is for.
    pub(crate) roles: BTreeMap<String, Role>,
    /// Where host keys are recorded.
    pub(crate) vault: Arc<dyn Vault>,
}

#[async_trait]
impl Launcher for Fleet {
    async fn prepare(&self, slot: &str, attempt: u32) -> Result<Prepared, StepError> {
        let role = self.roles.get(slot).copied().unwrap_or(Role::Worker);
        let made = self.bootstrap.user_data(slot, role, attempt);
        Ok(Prepared { user_data: made.map_err(StepError::new)? })
    }
}

#[async_trait]
impl StepRunner for Fleet {
    async fn run(
        &self,
        slot: &str,
        role: Role,
        step: Step,
        node: &NodeAddress,
        report: &Report<'_>,
    ) -> Result<(), StepError> {
        let machine = Machine {
            id: node.instance_id.clone(),
            instance_type: node.instance_type.clone(),
            zone: node.zone.clone(),
            at: Addresses { private: node.private, public: node.public },
        };
        let waiting = |what: &str, last: &str| report.waiting(what, last, None);
        let done = self.bootstrap.run(slot, role, step, &machine, &waiting).await;
        done.map_err(|error| match error {
            BootstrapError::Stopped { .. } => StepError::Stopped,
            error => StepError::new(error),
        })?;
        if step == Step::Ready {
            let vault = &*self.vault;
            let recorded = HostKeys::load(vault, slot).and_then(|mut keys| {
                keys.established = Some(node.instance_id.clone());
                keys.save(vault, slot)
            });
            recorded.map_err(StepError::new)?;
        }
        Ok(())
    }
}

/// Everything the planner needs to see of a cluster.
pub(crate) async fn observe(
    inventory: Inventory,
    desired: &Desired,
    vault: &dyn Vault,
    bootstrap: Option<&Bootstrap>,
) -> anyhow::Result<(Observed, Vec<String>)> {
    let mut observed = Observed { inventory, ..Observed::default() };
    let mut unknown = Vec::new();
    for node in &desired.nodes {
        if let Some(id) = HostKeys::load(vault, &node.slot)?.established {
            observed.established.insert(node.slot.clone(), id);
        }
    }
    let Some(bootstrap) = bootstrap else { return Ok((observed, unknown)) };
    for (slot, condition) in conditions(&observed.inventory, &desired.name, bootstrap).await {
        match condition {
            Condition::Unsatisfied(steps) => {
                observed.unsatisfied.insert(slot, steps);
            }
            Condition::Unknown(why) => unknown.push(why),
        }
    }
    Ok((observed, unknown))
}

/// Asks every running node, in parallel.
pub(crate) async fn conditions(
    inventory: &Inventory,
    name: &str,
    bootstrap: &Bootstrap,
) -> BTreeMap<String, Condition> {
    let running = nodes(inventory, name).filter(|(_, instance)| instance.state == InstanceState::Running);
    let asked = running.filter_map(|(slot, instance)| {
        let machine = Machine {
            id: instance.id.clone(),
            instance_type: instance.instance_type.clone(),
            zone: instance.zone.clone(),
            at: Addresses { private: instance.private_address?, public: instance.public_address },
        };
        Some(async move { (slot.to_owned(), bootstrap.observe(slot, role_of(slot), &machine).await) })
    });
    futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await
}

/// The live instances of a cluster, by slot.
pub(crate) fn nodes<'a>(
    inventory: &'a Inventory,
    name: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Instance)> {
    let live = inventory.instances.iter().filter(|i| i.state.is_live() && i.tags.belongs_to(name));
    live.filter_map(|instance| Some((instance.tags.slot()?, instance)))
}

/// The private addresses of running masters.
pub(crate) fn masters(inventory: &Inventory, name: &str) -> BTreeMap<String, Ipv4Addr> {
    nodes(inventory, name)
        .filter(|(slot, _)| role_of(slot) == Role::Master)
        .filter_map(|(slot, instance)| Some((slot.to_owned(), instance.private_address?)))
        .collect()
}

/// Slots of masters begin with `master-`; no worker group may be called that.
pub(crate) fn role_of(slot: &str) -> Role {
    match slot.rsplit_once('-') {
        Some((group, _)) if group == plan::config::MASTER_GROUP => Role::Master,
        _ => Role::Worker,
    }
}
