//! `decide(inventory, name, uid) -> Teardown`: what `down` can do now, what it waits for, and what is in its way.
//!
//! Called again after each round until [`Teardown::done`]. Only resources with
//! the cluster's tags are ever named in a call; a VPC's own default group and
//! main route table go with it. Everything else is named, never touched.

mod foreign;

use serde::Serialize;

use crate::model::tags::UID;
use crate::model::{Call, Instance, InstanceState, Inventory, NetworkInterface, Rule, Source, Tags};

/// How far a cluster is from being gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Teardown {
    /// Calls that can be made now, in any order.
    pub calls: Vec<Call<String>>,
    /// What goes by itself, and what follows once it has gone.
    pub waiting: Vec<Waiting>,
    /// What is not this cluster's and stands in its way, or carries its name.
    pub foreign: Vec<Foreign>,
    /// Nothing of this cluster is left.
    pub done: bool,
}

/// A resource that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Its kind (`instance`).
    pub what: &'static str,
    /// AWS's id.
    pub id: String,
    /// What it waits for (`shutting-down`).
    pub why: String,
}

/// A resource that is not this cluster's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Foreign {
    /// Its kind (`network interface`).
    pub what: &'static str,
    /// AWS's id.
    pub id: String,
    /// What it blocks and what it is, in AWS's words where there are any.
    pub why: String,
    /// It must go before the cluster can; otherwise it only carries the same name.
    pub blocks: bool,
}

/// The uids of the clusters called `name` in `inventory`, each once, in order.
/// Resources without one count as the empty uid.
#[must_use]
pub fn uids(inventory: &Inventory, name: &str) -> Vec<String> {
    let of = |tags: &Tags| tags.belongs_to(name).then(|| tags.get(UID).unwrap_or_default().to_owned());
    let mut all: Vec<String> = foreign::tagged(inventory).filter_map(|(_, _, tags)| of(tags)).collect();
    all.sort();
    all.dedup();
    all
}

/// What is to be done to make the cluster `name` disappear.
///
/// With `uid` only resources of that very cluster are taken; without (no state
/// folder), all that carry the name.
#[must_use]
pub fn decide(inventory: &Inventory, name: &str, uid: Option<&str>) -> Teardown {
    let view = View { inventory, name, uid };
    let mut teardown = Teardown { done: view.is_gone(), ..Teardown::default() };
    view.instances(&mut teardown);
    view.key_pairs(&mut teardown);
    view.volumes(&mut teardown);
    view.interfaces(&mut teardown);
    view.route_tables(&mut teardown);
    view.security_groups(&mut teardown);
    view.subnets(&mut teardown);
    view.gateways(&mut teardown);
    view.vpcs(&mut teardown);
    view.name_foreign(&mut teardown);
    teardown
}

/// An inventory, as seen by the one cluster that is to go.
struct View<'a> {
    inventory: &'a Inventory,
    name: &'a str,
    uid: Option<&'a str>,
}

impl<'a> View<'a> {
    fn is_ours(&self, tags: &Tags) -> bool {
        tags.belongs_to(self.name) && self.uid.is_none_or(|uid| tags.get(UID) == Some(uid))
    }

    fn is_gone(&self) -> bool {
        let ended = |id: &str| self.instance(id).is_some_and(|i| i.state == InstanceState::Terminated);
        !foreign::tagged(self.inventory).any(|(_, id, tags)| self.is_ours(tags) && !ended(id))
    }

    fn instance(&self, id: &str) -> Option<&'a Instance> {
        self.inventory.instances.iter().find(|instance| instance.id == id)
    }

    /// Instances that still hold what they use: everyone's, up to terminated.
    fn holding(&self) -> impl Iterator<Item = &'a Instance> {
        self.inventory.instances.iter().filter(|i| i.state != InstanceState::Terminated)
    }

    fn our_instances(&self) -> impl Iterator<Item = &'a Instance> {
        self.inventory.instances.iter().filter(|i| self.is_ours(&i.tags))
    }

    /// Ours by tag, or attached to one of our instances and going with it.
    fn is_our_interface(&self, interface: &NetworkInterface) -> bool {
        let owner = interface.instance.as_deref().and_then(|id| self.instance(id));
        self.is_ours(&interface.tags) || owner.is_some_and(|owner| self.is_ours(&owner.tags))
    }

    fn is_our_vpc(&self, id: &str) -> bool {
        self.inventory.vpcs.iter().any(|vpc| vpc.id == id && self.is_ours(&vpc.tags))
    }

    /// Whether none of our machines works any more; they may still be on their way out.
    fn machines_are_ending(&self) -> bool {
        !self.our_instances().any(|i| i.state.is_live())
    }

    /// Whether no machine holds anything in the VPC, and no interface is left in it.
    fn is_vacant(&self, vpc: &str) -> bool {
        !self.holding().any(|i| i.vpc.as_deref() == Some(vpc))
            && !self.inventory.network_interfaces.iter().any(|i| i.vpc == vpc)
    }

    fn instances(&self, to: &mut Teardown) {
        let live: Vec<String> =
            self.our_instances().filter(|i| i.state.is_live()).map(|i| i.id.clone()).collect();
        if !live.is_empty() {
            to.calls.push(Call::TerminateInstances { instances: live });
        }
        for instance in self.our_instances().filter(|i| i.state == InstanceState::ShuttingDown) {
            to.wait("instance", &instance.id, "it is shutting down");
        }
    }

    fn key_pairs(&self, to: &mut Teardown) {
        let ours = self.inventory.key_pairs.iter().filter(|k| self.is_ours(&k.tags));
        to.calls.extend(ours.map(|k| Call::DeleteKeyPair { key_pair: k.id.clone() }));
    }

    /// Most go with their instance; what is left over is deleted.
    fn volumes(&self, to: &mut Teardown) {
        for volume in self.inventory.volumes.iter().filter(|v| self.is_ours(&v.tags)) {
            let holder = volume.instance.as_deref().and_then(|id| self.holding().find(|i| i.id == id));
            match holder {
                Some(holder) if self.is_ours(&holder.tags) => {
                    to.wait("volume", &volume.id, &format!("it is attached to {}", holder.id));
                }
                Some(_) => {} // attached to somebody else's machine: named among the foreign
                None => to.calls.push(Call::DeleteVolume { volume: volume.id.clone() }),
            }
        }
    }

    /// Most go with their instance; what is left over is deleted.
    fn interfaces(&self, to: &mut Teardown) {
        for interface in self.inventory.network_interfaces.iter().filter(|i| self.is_our_interface(i)) {
            let holder = interface.instance.as_deref().filter(|id| self.holding().any(|i| i.id == *id));
            match holder {
                Some(id) => to.wait("network interface", &interface.id, &format!("it is attached to {id}")),
                None => to.calls.push(Call::DeleteNetworkInterface { interface: interface.id.clone() }),
            }
        }
    }

    fn route_tables(&self, to: &mut Teardown) {
        if !self.machines_are_ending() {
            return;
        }
        let ours = |t: &&crate::model::RouteTable| self.is_ours(&t.tags) && !t.main;
        for table in self.inventory.route_tables.iter().filter(ours) {
            if table.associations.is_empty() {
                to.calls.push(Call::DeleteRouteTable { table: table.id.clone() });
            }
            let associations = table.associations.iter().map(|(id, _)| id.clone());
            to.calls.extend(associations.map(|association| Call::DisassociateRouteTable { association }));
        }
    }

    /// Rules that name another group go first: they keep it.
    fn security_groups(&self, to: &mut Teardown) {
        if !self.machines_are_ending() {
            return;
        }
        for group in self.inventory.security_groups.iter().filter(|g| self.is_ours(&g.tags)) {
            let rules: Vec<Rule<String>> =
                group.ingress.iter().filter(|r| names_another(r, &group.id)).cloned().collect();
            if !rules.is_empty() {
                to.calls.push(Call::RevokeSecurityGroupIngress { group: group.id.clone(), rules });
            } else if !self.is_group_used(&group.id, &group.vpc) {
                to.calls.push(Call::DeleteSecurityGroup { group: group.id.clone() });
            }
        }
    }

    fn is_group_used(&self, id: &str, vpc: &str) -> bool {
        let by_machine = self.holding().any(|i| i.security_groups.iter().any(|group| group == id));
        let ours = |i: &NetworkInterface| i.vpc == vpc && self.is_our_interface(i);
        let by_interface = self.inventory.network_interfaces.iter().any(ours);
        let others = self.inventory.security_groups.iter().filter(|g| g.id != id);
        by_machine || by_interface || others.flat_map(|g| &g.ingress).any(|rule| names(rule, id))
    }

    fn subnets(&self, to: &mut Teardown) {
        for subnet in self.inventory.subnets.iter().filter(|s| self.is_ours(&s.tags)) {
            let machine = self.holding().any(|i| i.subnet.as_deref() == Some(&*subnet.id));
            let interface = self.inventory.network_interfaces.iter().any(|i| i.subnet == subnet.id);
            if !machine && !interface {
                to.calls.push(Call::DeleteSubnet { subnet: subnet.id.clone() });
            }
        }
    }

    /// A gateway is detached once no public address is left behind it.
    fn gateways(&self, to: &mut Teardown) {
        for gateway in self.inventory.internet_gateways.iter().filter(|g| self.is_ours(&g.tags)) {
            let gateway_id = gateway.id.clone();
            match &gateway.vpc {
                None => to.calls.push(Call::DeleteInternetGateway { gateway: gateway_id }),
                Some(vpc) if self.is_our_vpc(vpc) && self.is_vacant(vpc) => {
                    to.calls.push(Call::DetachInternetGateway { gateway: gateway_id, vpc: vpc.clone() });
                }
                Some(_) => {} // something is left in the VPC, or it is not ours
            }
        }
    }

    fn vpcs(&self, to: &mut Teardown) {
        let inventory = self.inventory;
        for vpc in inventory.vpcs.iter().filter(|v| self.is_ours(&v.tags)) {
            let id = vpc.id.as_str();
            let empty = self.is_vacant(id)
                && !inventory.subnets.iter().any(|s| s.vpc == id)
                && !inventory.route_tables.iter().any(|t| t.vpc == id && !t.main)
                && !inventory.security_groups.iter().any(|g| g.vpc == id && g.name != "default")
                && !inventory.internet_gateways.iter().any(|g| g.vpc.as_deref() == Some(id));
            if empty {
                to.calls.push(Call::DeleteVpc { vpc: id.to_owned() });
            }
        }
    }
}

impl Teardown {
    fn wait(&mut self, what: &'static str, id: &str, why: &str) {
        self.waiting.push(Waiting { what, id: id.to_owned(), why: why.to_owned() });
    }
}

fn names(rule: &Rule<String>, group: &str) -> bool {
    matches!(&rule.source, Source::Group(named) if named == group)
}

fn names_another(rule: &Rule<String>, group: &str) -> bool {
    matches!(&rule.source, Source::Group(named) if named != group)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
