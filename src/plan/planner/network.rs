//! The calls that make the VPC, its subnets, routes, groups and key pair what they should be.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::Refusal;
use super::desired::{Desired, DesiredSubnet, GATEWAY, KEY_PAIR, MASTERS, ROUTE_TABLE, VPC, WORKERS};
use super::owned::Owned;
use crate::action::Action;
use crate::model::{Call, Inventory, Ref, Rule};

/// All actions up to the machines.
pub(super) fn actions(
    desired: &Desired,
    inventory: &Inventory,
    owned: &Owned,
) -> Result<Vec<Action>, Refusal> {
    let mut calls = vpc(desired, inventory, owned)?;
    calls.extend(gateway(desired, inventory, owned));
    for subnet in &desired.subnets {
        calls.extend(subnet_calls(desired, subnet, inventory, owned)?);
    }
    calls.extend(route_table(desired, inventory, owned));
    calls.extend(groups(desired, inventory, owned));
    calls.extend(key_pair(desired, inventory, owned)?);
    Ok(calls.into_iter().map(|request| Action::Cloud { request, reason: None }).collect())
}

fn vpc(desired: &Desired, inventory: &Inventory, owned: &Owned) -> Result<Vec<Call<Ref>>, Refusal> {
    let Some(id) = owned.id(VPC) else {
        let tags = desired.tags(VPC);
        return Ok(vec![Call::CreateVpc { slot: VPC.to_owned(), cidr: desired.vpc_cidr, tags }]);
    };
    match inventory.vpcs.iter().find(|vpc| vpc.id == id) {
        Some(vpc) if vpc.cidr != desired.vpc_cidr => Err(Refusal::Fixed {
            field: "network.cidr".to_owned(),
            live: vpc.cidr.to_string(),
            wanted: desired.vpc_cidr.to_string(),
            nodes: desired.nodes.iter().map(|node| node.slot.clone()).collect(),
        }),
        _ => Ok(Vec::new()),
    }
}

fn gateway(desired: &Desired, inventory: &Inventory, owned: &Owned) -> Vec<Call<Ref>> {
    let mut calls = Vec::new();
    let id = owned.id(GATEWAY);
    if id.is_none() {
        let tags = desired.tags(GATEWAY);
        calls.push(Call::CreateInternetGateway { slot: GATEWAY.to_owned(), tags });
    }
    let attached = inventory
        .internet_gateways
        .iter()
        .any(|g| Some(g.id.as_str()) == id && g.vpc.is_some() && g.vpc.as_deref() == owned.id(VPC));
    if !attached {
        calls.push(Call::AttachInternetGateway { gateway: owned.name(GATEWAY), vpc: owned.name(VPC) });
    }
    calls
}

fn subnet_calls(
    desired: &Desired,
    subnet: &DesiredSubnet,
    inventory: &Inventory,
    owned: &Owned,
) -> Result<Option<Call<Ref>>, Refusal> {
    let Some(id) = owned.id(&subnet.slot) else {
        return Ok(Some(Call::CreateSubnet {
            slot: subnet.slot.clone(),
            vpc: owned.name(VPC),
            cidr: subnet.cidr,
            zone: subnet.zone.clone(),
            tags: desired.tags(&subnet.slot),
        }));
    };
    match inventory.subnets.iter().find(|found| found.id == id) {
        Some(found) if found.cidr != subnet.cidr => Err(Refusal::Fixed {
            field: "network.zones".to_owned(),
            live: format!("{} with {}", found.zone, found.cidr),
            wanted: format!("{} with {}", subnet.zone, subnet.cidr),
            nodes: nodes_in(desired, &subnet.zone),
        }),
        _ => Ok(None),
    }
}

fn nodes_in(desired: &Desired, zone: &str) -> Vec<String> {
    desired.nodes.iter().filter(|node| node.zone == zone).map(|node| node.slot.clone()).collect()
}

fn route_table(desired: &Desired, inventory: &Inventory, owned: &Owned) -> Vec<Call<Ref>> {
    let mut calls = Vec::new();
    let id = owned.id(ROUTE_TABLE);
    let table = inventory.route_tables.iter().find(|table| Some(table.id.as_str()) == id);
    if table.is_none() {
        calls.push(Call::CreateRouteTable {
            slot: ROUTE_TABLE.to_owned(),
            vpc: owned.name(VPC),
            tags: desired.tags(ROUTE_TABLE),
        });
    }
    let everywhere = Ipv4Net::default();
    let routed = table.is_some_and(|table| {
        table.routes.iter().any(|r| r.cidr == everywhere && Some(r.gateway.as_str()) == owned.id(GATEWAY))
    });
    if !routed {
        calls.push(Call::CreateRoute {
            table: owned.name(ROUTE_TABLE),
            cidr: everywhere,
            gateway: owned.name(GATEWAY),
        });
    }
    for subnet in &desired.subnets {
        let associated = table.is_some_and(|table| {
            table.associations.iter().any(|(_, id)| Some(id.as_str()) == owned.id(&subnet.slot))
        });
        if !associated {
            calls.push(Call::AssociateRouteTable {
                table: owned.name(ROUTE_TABLE),
                subnet: owned.name(&subnet.slot),
            });
        }
    }
    calls
}

fn groups(desired: &Desired, inventory: &Inventory, owned: &Owned) -> Vec<Call<Ref>> {
    let mut calls = Vec::new();
    for slot in [MASTERS, WORKERS] {
        if owned.id(slot).is_none() {
            calls.push(Call::CreateSecurityGroup {
                slot: slot.to_owned(),
                vpc: owned.name(VPC),
                name: desired.resource_name(slot),
                description: format!("{slot} of the cluster {}", desired.name),
                tags: desired.tags(slot),
            });
        }
    }
    calls.extend(group_rules(MASTERS, &desired.master_rules, inventory, owned));
    calls.extend(group_rules(WORKERS, &desired.worker_rules, inventory, owned));
    calls
}

fn group_rules(
    slot: &str,
    wanted: &BTreeSet<Rule<Ref>>,
    inventory: &Inventory,
    owned: &Owned,
) -> Vec<Call<Ref>> {
    let group = inventory.security_groups.iter().find(|group| Some(group.id.as_str()) == owned.id(slot));
    let live: BTreeSet<Rule<Ref>> = group.map(|g| g.ingress.iter().map(by_id).collect()).unwrap_or_default();
    let wanted: BTreeSet<Rule<Ref>> = wanted.iter().map(|rule| named(rule, owned)).collect();
    let missing: Vec<_> = wanted.difference(&live).cloned().collect();
    let surplus: Vec<_> = live.difference(&wanted).cloned().collect();
    let mut calls = Vec::new();
    if !missing.is_empty() {
        calls.push(Call::AuthorizeSecurityGroupIngress { group: owned.name(slot), rules: missing });
    }
    if !surplus.is_empty() {
        calls.push(Call::RevokeSecurityGroupIngress { group: owned.name(slot), rules: surplus });
    }
    calls
}

fn by_id(rule: &Rule<String>) -> Rule<Ref> {
    let Ok(rule) = rule.try_map(&mut |id: &String| Ok::<_, std::convert::Infallible>(Ref::Id(id.clone())));
    rule
}

fn named(rule: &Rule<Ref>, owned: &Owned) -> Rule<Ref> {
    let Ok(rule) = rule.try_map(&mut |name: &Ref| {
        Ok::<_, std::convert::Infallible>(match name {
            Ref::Slot(slot) => owned.name(slot),
            Ref::Id(_) => name.clone(),
        })
    });
    rule
}

fn key_pair(desired: &Desired, inventory: &Inventory, owned: &Owned) -> Result<Option<Call<Ref>>, Refusal> {
    let name = desired.resource_name(KEY_PAIR);
    let found = inventory.key_pairs.iter().find(|key| Some(key.id.as_str()) == owned.id(KEY_PAIR));
    match found {
        None => Ok(Some(Call::ImportKeyPair {
            slot: KEY_PAIR.to_owned(),
            name,
            public_key: desired.public_key.clone(),
            tags: desired.tags(KEY_PAIR),
        })),
        Some(key) if key.public_key.as_deref().is_some_and(|live| live != desired.public_key) => {
            Err(Refusal::OtherKey { id: key.id.clone(), name: key.name.clone() })
        }
        Some(_) => Ok(None),
    }
}
