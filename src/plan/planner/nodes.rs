//! The machines: which to launch, start, replace and bootstrap.

use std::collections::BTreeMap;

use super::desired::{Desired, DesiredNode, KEY_PAIR, MASTERS, WORKERS, subnet_slot};
use super::owned::Owned;
use super::{Observed, Refusal};
use crate::action::Action;
use crate::model::{Call, Instance, InstanceState, LaunchRequest, Ref};
use crate::step::{Role, Step};

/// All actions on machines, masters first.
pub(super) fn actions(desired: &Desired, observed: &Observed, owned: &Owned) -> Result<Vec<Action>, Refusal> {
    let live = live_by_slot(desired, observed);
    refuse_undesired(desired, &live)?;
    let mut actions = Vec::new();
    for node in &desired.nodes {
        let instances = live.get(node.slot.as_str()).map_or(&[][..], Vec::as_slice);
        match instances {
            [] => actions.extend(launch(desired, node, observed, owned)?),
            [instance, duplicates @ ..] => {
                refuse_edits(node, instance)?;
                actions.extend(duplicates.iter().map(|extra| terminate(node, instance, extra)));
                actions.extend(keep(node, instance, observed));
            }
        }
    }
    Ok(actions)
}

/// Live instances by slot, the one to keep first: the one we know, then
/// running ones, then the oldest.
fn live_by_slot<'a>(desired: &Desired, observed: &'a Observed) -> BTreeMap<&'a str, Vec<&'a Instance>> {
    let mut by_slot: BTreeMap<&str, Vec<&Instance>> = BTreeMap::new();
    for instance in &observed.inventory.instances {
        if instance.state.is_live()
            && instance.tags.belongs_to(&desired.name)
            && let Some(slot) = instance.tags.slot()
        {
            by_slot.entry(slot).or_default().push(instance);
        }
    }
    for (slot, instances) in &mut by_slot {
        let known = observed.established.get(*slot);
        instances.sort_by_key(|i| {
            (known != Some(&i.id), i.state != InstanceState::Running, i.launched_at.clone(), i.id.clone())
        });
    }
    by_slot
}

fn refuse_undesired(desired: &Desired, live: &BTreeMap<&str, Vec<&Instance>>) -> Result<(), Refusal> {
    let surplus: Vec<String> = live
        .keys()
        .filter(|slot| desired.nodes.iter().all(|node| node.slot != **slot))
        .map(|slot| (*slot).to_owned())
        .collect();
    if surplus.is_empty() { Ok(()) } else { Err(Refusal::Shrinks { nodes: surplus }) }
}

fn refuse_edits(node: &DesiredNode, live: &Instance) -> Result<(), Refusal> {
    let refuse = |field: &str, live: &str, wanted: &str| {
        Err(Refusal::Fixed {
            field: format!("{}.{field}", node.field),
            live: live.to_owned(),
            wanted: wanted.to_owned(),
            nodes: vec![node.slot.clone()],
        })
    };
    if live.instance_type != node.instance_type {
        return refuse("type", &live.instance_type, &node.instance_type);
    }
    if live.zone != node.zone {
        return refuse("zones", &live.zone, &node.zone);
    }
    Ok(())
}

fn launch(
    desired: &Desired,
    node: &DesiredNode,
    observed: &Observed,
    owned: &Owned,
) -> Result<Vec<Action>, Refusal> {
    let lost = observed.established.get(&node.slot);
    if node.role == Role::Master
        && let Some(id) = lost
    {
        return Err(Refusal::LostMaster { slot: node.slot.clone(), id: id.clone() });
    }
    let group = match node.role {
        Role::Master => MASTERS,
        Role::Worker => WORKERS,
    };
    let request = Call::RunInstances(LaunchRequest {
        slot: node.slot.clone(),
        client_token: String::new(),
        image: node.image.clone(),
        root_device: node.root_device.clone(),
        volume_gib: node.volume_gib,
        instance_type: node.instance_type.clone(),
        subnet: owned.name(&subnet_slot(&node.zone)),
        security_groups: vec![owned.name(group)],
        key_name: desired.resource_name(KEY_PAIR),
        public_address: node.public_address,
        instance_profile: node.instance_profile.clone(),
        user_data: String::new(),
        tags: desired.tags(&node.slot),
    });
    let reason = lost.map(|id| format!("{id} is gone; the machine is made anew"));
    let mut actions = vec![Action::Cloud { request, reason }];
    actions.extend(steps(node, Step::of_role(node.role)));
    Ok(actions)
}

fn terminate(node: &DesiredNode, kept: &Instance, extra: &Instance) -> Action {
    Action::Cloud {
        request: Call::TerminateInstances { instances: vec![Ref::Id(extra.id.clone())] },
        reason: Some(format!("a duplicate of {}: {} is the one in use", node.slot, kept.id)),
    }
}

fn keep(node: &DesiredNode, instance: &Instance, observed: &Observed) -> Vec<Action> {
    let mut actions = Vec::new();
    if matches!(instance.state, InstanceState::Stopped | InstanceState::Stopping) {
        actions.push(Action::Cloud {
            request: Call::StartInstances { instances: vec![Ref::Id(instance.id.clone())] },
            reason: Some(format!("{} is {}", node.slot, instance.state.as_str())),
        });
    }
    let all = Step::of_role(node.role);
    let wanted = observed.unsatisfied.get(&node.slot).map_or(all, Vec::as_slice);
    actions.extend(steps(node, wanted));
    actions
}

fn steps<'a>(node: &'a DesiredNode, wanted: &'a [Step]) -> impl Iterator<Item = Action> + 'a {
    let in_order = Step::of_role(node.role).iter().filter(|step| wanted.contains(step));
    in_order.map(|step| Action::Bootstrap { slot: node.slot.clone(), role: node.role, step: *step })
}
