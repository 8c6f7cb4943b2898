//! What the state learns from finished calls, and which id fills which slot.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cloud::Outcome;
use jiff::Timestamp;
use plan::model::{Call, Instance, Inventory, Ref, Tags};
use plan::{Action, Plan};

use crate::state::{StateError, StateFile, Store};

/// Locks a map of this execution. Never held across a wait.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes in the state what `call` made or removed, if that is news.
pub(super) fn record(
    store: &Store,
    now: Timestamp,
    call: &Call<String>,
    outcome: &Outcome,
) -> Result<(), StateError> {
    let changed = store.read(|state| {
        let mut changed = state.clone();
        apply(&mut changed, now, call, outcome);
        (changed != *state).then_some(changed)
    });
    match changed {
        Some(changed) => store.update(|state| *state = changed),
        None => Ok(()),
    }
}

/// What `call` with `outcome` changes in the state.
fn apply(state: &mut StateFile, now: Timestamp, call: &Call<String>, outcome: &Outcome) {
    if let Some(slot) = call.creates() {
        let slot = state.slot_mut(slot);
        let current = match call {
            Call::RunInstances(request) => slot.client_token.as_deref() == Some(&*request.client_token),
            _ => true,
        };
        if current && outcome.id.is_some() && outcome.id != slot.id {
            slot.id.clone_from(&outcome.id);
            slot.since = Some(now);
        }
    }
    for id in removed(call) {
        forget(state, id);
    }
}

/// Forgets the resource `id`; how often a machine was asked for stays known.
pub(super) fn forget(state: &mut StateFile, id: &str) {
    for slot in state.slots.values_mut().filter(|slot| slot.id.as_deref() == Some(id)) {
        (slot.id, slot.since) = (None, None);
    }
    state.slots.retain(|_, slot| slot.id.is_some() || slot.attempt > 0);
}

fn removed(call: &Call<String>) -> Vec<&str> {
    match call {
        Call::TerminateInstances { instances } => instances.iter().map(String::as_str).collect(),
        Call::DeleteKeyPair { key_pair: id }
        | Call::DeleteSecurityGroup { group: id }
        | Call::DeleteRouteTable { table: id }
        | Call::DeleteSubnet { subnet: id }
        | Call::DeleteInternetGateway { gateway: id }
        | Call::DeleteVpc { vpc: id } => vec![id],
        _ => Vec::new(),
    }
}

/// The id that fills each slot: the state's where it is listed, else the first
/// listed that `plan` does not remove.
pub(super) fn slots_of(plan: &Plan, inventory: &Inventory, store: &Store) -> BTreeMap<String, String> {
    let going = leaving(plan);
    let mut slots: BTreeMap<String, String> = BTreeMap::new();
    store.read(|state| {
        for (tags, id) in tagged(inventory) {
            let Some(slot) = tags.slot() else { continue };
            if going.contains(&id) || !tags.belongs_to(&state.name) {
                continue;
            }
            let remembered = state.slots.get(slot).and_then(|s| s.id.as_deref()) == Some(id);
            if remembered || !slots.contains_key(slot) {
                slots.insert(slot.to_owned(), id.to_owned());
            }
        }
    });
    slots
}

fn leaving(plan: &Plan) -> Vec<&str> {
    let terminated = plan.actions.iter().filter_map(|action| match action {
        Action::Cloud { request: Call::TerminateInstances { instances }, .. } => Some(instances),
        _ => None,
    });
    let ids = terminated.flatten().filter_map(|name| match name {
        Ref::Id(id) => Some(id.as_str()),
        Ref::Slot(_) => None,
    });
    ids.collect()
}

fn tagged(inventory: &Inventory) -> impl Iterator<Item = (&Tags, &str)> {
    let i = inventory;
    let live = |instance: &&Instance| instance.state.is_live();
    i.vpcs
        .iter()
        .map(|x| (&x.tags, x.id.as_str()))
        .chain(i.internet_gateways.iter().map(|x| (&x.tags, x.id.as_str())))
        .chain(i.route_tables.iter().map(|x| (&x.tags, x.id.as_str())))
        .chain(i.subnets.iter().map(|x| (&x.tags, x.id.as_str())))
        .chain(i.security_groups.iter().map(|x| (&x.tags, x.id.as_str())))
        .chain(i.key_pairs.iter().map(|x| (&x.tags, x.id.as_str())))
        .chain(i.instances.iter().filter(live).map(|x| (&x.tags, x.id.as_str())))
}
