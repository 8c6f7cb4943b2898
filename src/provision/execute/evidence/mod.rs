//! What a listing says of a call whose outcome is not known. Pure.

use cloud::Outcome;
use plan::model::tags::UID;
use plan::model::{Call, Instance, Inventory, Rule, Tags};

/// What a listing says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// It took effect.
    Found(Outcome),
    /// It took effect, and the machine it made has ended since.
    Ended(Option<String>),
    /// What it would make is there with another content.
    Differs(String),
    /// Nothing of it to be seen.
    Absent,
}

/// How far a call may be repeated when its outcome is not known and a listing does not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// At once: twice is the same as once, or AWS refuses the second.
    Harmless,
    /// At once: its token makes the second the first.
    Token,
    /// Only after repeated listings: a second call makes a second resource.
    Unprotected,
}

/// How far `call` may be repeated.
pub(crate) fn repeat(call: &Call<String>) -> Repeat {
    match call {
        Call::RunInstances(_) => Repeat::Token,
        Call::CreateVpc { .. } | Call::CreateInternetGateway { .. } | Call::CreateRouteTable { .. } => {
            Repeat::Unprotected
        }
        _ => Repeat::Harmless,
    }
}

/// What `inventory` says of `call`.
pub(crate) fn of_call(call: &Call<String>, inventory: &Inventory) -> Evidence {
    match call {
        Call::CreateVpc { slot, cidr, tags } => {
            let vpc = inventory.vpcs.iter().find(|v| fills(&v.tags, slot, tags));
            made(vpc.map(|v| (&v.id, v.cidr == *cidr)), "another CIDR")
        }
        Call::CreateInternetGateway { slot, tags } => {
            let gateway = inventory.internet_gateways.iter().find(|g| fills(&g.tags, slot, tags));
            made(gateway.map(|g| (&g.id, true)), "")
        }
        Call::CreateRouteTable { slot, vpc, tags } => {
            let table = inventory.route_tables.iter().find(|t| fills(&t.tags, slot, tags) && t.vpc == *vpc);
            made(table.map(|t| (&t.id, true)), "")
        }
        Call::CreateSubnet { slot, vpc, cidr, zone, tags } => {
            let subnets = &inventory.subnets;
            match subnets.iter().find(|s| fills(&s.tags, slot, tags) && s.vpc == *vpc) {
                Some(s) => made(Some((&s.id, s.cidr == *cidr && s.zone == *zone)), "another CIDR or zone"),
                None => {
                    let there = subnets.iter().find(|s| s.vpc == *vpc && s.cidr == *cidr);
                    made(there.map(|s| (&s.id, false)), "the same CIDR and is not this cluster's")
                }
            }
        }
        Call::CreateSecurityGroup { slot, vpc, name, tags, .. } => {
            let group = inventory.security_groups.iter().find(|g| g.vpc == *vpc && g.name == *name);
            made(
                group.map(|g| (&g.id, fills(&g.tags, slot, tags))),
                "the same name and is not this cluster's",
            )
        }
        Call::ImportKeyPair { slot, name, public_key, tags } => {
            let pair = inventory.key_pairs.iter().find(|k| k.name == *name);
            let equal = |known: Option<&str>| known.is_none_or(|known| same_key(known, public_key));
            let pair = pair.map(|k| (&k.id, fills(&k.tags, slot, tags) && equal(k.public_key.as_deref())));
            made(pair, "another public key, or is not this cluster's")
        }
        Call::RunInstances(request) => of_launch(&request.client_token, &inventory.instances),
        _ => of_link(call, inventory),
    }
}

/// What `instances` say of the launch with `token`.
pub(crate) fn of_launch(token: &str, instances: &[Instance]) -> Evidence {
    let of_token = || instances.iter().filter(|i| i.client_token.as_deref() == Some(token));
    if let Some(live) = of_token().find(|i| i.state.is_live()) {
        return found(Some(&live.id));
    }
    match of_token().next() {
        Some(ended) => Evidence::Ended(ended.state_reason.clone()),
        None => Evidence::Absent,
    }
}

/// The calls that tie resources together, or take away.
fn of_link(call: &Call<String>, inventory: &Inventory) -> Evidence {
    match call {
        Call::AttachInternetGateway { gateway, vpc } => {
            match inventory.internet_gateways.iter().find(|g| g.id == *gateway).and_then(|g| g.vpc.as_ref()) {
                Some(attached) if attached == vpc => found(None),
                Some(other) => Evidence::Differs(format!("{gateway} is attached to {other}")),
                None => Evidence::Absent,
            }
        }
        Call::CreateRoute { table, cidr, gateway } => {
            let routes = inventory.route_tables.iter().filter(|t| t.id == *table).flat_map(|t| &t.routes);
            match routes.into_iter().find(|r| r.cidr == *cidr) {
                Some(route) if route.gateway == *gateway => found(None),
                Some(route) => Evidence::Differs(format!("{table} sends {cidr} to {}", route.gateway)),
                None => Evidence::Absent,
            }
        }
        Call::AssociateRouteTable { table, subnet } => {
            let all = inventory.route_tables.iter().flat_map(|t| t.associations.iter().map(move |a| (t, a)));
            match all.into_iter().find(|(_, (_, s))| s == subnet) {
                Some((there, (association, _))) if there.id == *table => found(Some(association)),
                Some((there, _)) => Evidence::Differs(format!("{subnet} is associated with {}", there.id)),
                None => Evidence::Absent,
            }
        }
        Call::AuthorizeSecurityGroupIngress { group, rules } => {
            match missing_rules(group, rules, inventory).is_empty() {
                true => found(None),
                false => Evidence::Absent,
            }
        }
        _ => Evidence::Absent,
    }
}

/// Whether `call` does several things at once, so that a refusal may concern only some of them.
pub(crate) fn is_batch(call: &Call<String>) -> bool {
    match call {
        Call::AuthorizeSecurityGroupIngress { rules, .. }
        | Call::RevokeSecurityGroupIngress { rules, .. } => rules.len() > 1,
        Call::TerminateInstances { instances } => instances.len() > 1,
        _ => false,
    }
}

/// The part of a batch that `inventory` shows still to be done; none if all is done.
pub(crate) fn rest_of_batch(call: &Call<String>, inventory: &Inventory) -> Option<Call<String>> {
    match call {
        Call::AuthorizeSecurityGroupIngress { group, rules } => {
            let rules = missing_rules(group, rules, inventory);
            (!rules.is_empty()).then(|| Call::AuthorizeSecurityGroupIngress { group: group.clone(), rules })
        }
        Call::RevokeSecurityGroupIngress { group, rules } => {
            let missing = missing_rules(group, rules, inventory);
            let rules: Vec<_> = rules.iter().filter(|r| !missing.contains(r)).cloned().collect();
            (!rules.is_empty()).then(|| Call::RevokeSecurityGroupIngress { group: group.clone(), rules })
        }
        Call::TerminateInstances { instances } => {
            let live = |id: &&String| inventory.instances.iter().any(|i| i.id == **id && i.state.is_live());
            let instances: Vec<_> = instances.iter().filter(live).cloned().collect();
            (!instances.is_empty()).then_some(Call::TerminateInstances { instances })
        }
        _ => None,
    }
}

/// Those of `rules` that `group` does not have.
fn missing_rules(group: &str, rules: &[Rule<String>], inventory: &Inventory) -> Vec<Rule<String>> {
    let there = inventory.security_groups.iter().find(|g| g.id == group).map(|g| g.ingress.as_slice());
    rules.iter().filter(|rule| !there.unwrap_or_default().contains(rule)).cloned().collect()
}

/// Whether `id` is listed and, if an instance, alive.
pub(crate) fn is_listed(id: &str, inventory: &Inventory) -> bool {
    let i = inventory;
    i.vpcs.iter().any(|x| x.id == id)
        || i.internet_gateways.iter().any(|x| x.id == id)
        || i.route_tables.iter().any(|x| x.id == id)
        || i.subnets.iter().any(|x| x.id == id)
        || i.security_groups.iter().any(|x| x.id == id)
        || i.key_pairs.iter().any(|x| x.id == id)
        || i.instances.iter().any(|x| x.id == id)
}

fn fills(there: &Tags, slot: &str, wanted: &Tags) -> bool {
    there.slot() == Some(slot) && there.get(UID) == wanted.get(UID)
}

fn made(resource: Option<(&String, bool)>, otherwise: &str) -> Evidence {
    match resource {
        Some((id, true)) => found(Some(id)),
        Some((id, false)) => Evidence::Differs(format!("{id} is there and has {otherwise}")),
        None => Evidence::Absent,
    }
}

fn found(id: Option<&String>) -> Evidence {
    Evidence::Found(Outcome { id: id.cloned() })
}

/// Whether two OpenSSH public keys are the same key: type and body, comments aside.
fn same_key(a: &str, b: &str) -> bool {
    let body = |key: &str| key.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    body(a) == body(b)
}

#[cfg(test)]
mod tests;
