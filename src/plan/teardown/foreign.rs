//! What is not the cluster's and has to be named: it blocks, or it only has the same name.

use super::{Foreign, Teardown, View, names};
use crate::model::tags::UID;
use crate::model::{Inventory, NetworkInterface, Tags};

/// Every resource with its kind, id and tags.
pub(super) fn tagged(inventory: &Inventory) -> impl Iterator<Item = (&'static str, &str, &Tags)> {
    let i = inventory;
    i.instances
        .iter()
        .map(|x| ("instance", x.id.as_str(), &x.tags))
        .chain(i.key_pairs.iter().map(|x| ("key pair", x.id.as_str(), &x.tags)))
        .chain(i.volumes.iter().map(|x| ("volume", x.id.as_str(), &x.tags)))
        .chain(i.network_interfaces.iter().map(|x| ("network interface", x.id.as_str(), &x.tags)))
        .chain(i.route_tables.iter().map(|x| ("route table", x.id.as_str(), &x.tags)))
        .chain(i.security_groups.iter().map(|x| ("security group", x.id.as_str(), &x.tags)))
        .chain(i.subnets.iter().map(|x| ("subnet", x.id.as_str(), &x.tags)))
        .chain(i.internet_gateways.iter().map(|x| ("internet gateway", x.id.as_str(), &x.tags)))
        .chain(i.vpcs.iter().map(|x| ("VPC", x.id.as_str(), &x.tags)))
}

impl View<'_> {
    pub(super) fn name_foreign(&self, to: &mut Teardown) {
        self.name_machines(to);
        self.name_interfaces(to);
        self.name_network(to);
        self.name_groups(to);
        self.name_holders(to);
        self.name_namesakes(to);
    }

    /// What stands in one of our VPCs and is not ours.
    fn stands_in_ours(&self, vpc: &str, tags: &Tags) -> bool {
        self.is_our_vpc(vpc) && !self.is_ours(tags)
    }

    fn name_machines(&self, to: &mut Teardown) {
        for instance in self.holding() {
            let Some(vpc) = instance.vpc.as_deref() else { continue };
            if self.stands_in_ours(vpc, &instance.tags) {
                let subnet = instance.subnet.as_deref().unwrap_or(vpc);
                to.block("instance", &instance.id, format!("it runs in {subnet}{}", called(&instance.tags)));
            }
        }
    }

    fn name_interfaces(&self, to: &mut Teardown) {
        let of_named_machine = |interface: &NetworkInterface| {
            interface.instance.as_deref().is_some_and(|id| self.holding().any(|i| i.id == id))
        };
        for interface in &self.inventory.network_interfaces {
            let foreign = self.is_our_vpc(&interface.vpc) && !self.is_our_interface(interface);
            if foreign && !of_named_machine(interface) {
                let words = match interface.description.as_str() {
                    "" => called(&interface.tags),
                    words => format!(": {words}"),
                };
                let why = format!("it uses an address of {}{words}", interface.subnet);
                to.block("network interface", &interface.id, why);
            }
        }
    }

    fn name_network(&self, to: &mut Teardown) {
        let inventory = self.inventory;
        for subnet in inventory.subnets.iter().filter(|s| self.stands_in_ours(&s.vpc, &s.tags)) {
            to.block("subnet", &subnet.id, format!("it is part of {}{}", subnet.vpc, called(&subnet.tags)));
        }
        let tables = inventory.route_tables.iter().filter(|t| !t.main);
        for table in tables.filter(|t| self.stands_in_ours(&t.vpc, &t.tags)) {
            to.block("route table", &table.id, format!("it is part of {}{}", table.vpc, called(&table.tags)));
        }
        for gateway in &inventory.internet_gateways {
            let Some(vpc) = gateway.vpc.as_deref() else { continue };
            if self.stands_in_ours(vpc, &gateway.tags) {
                let why = format!("it is attached to {vpc}{}", called(&gateway.tags));
                to.block("internet gateway", &gateway.id, why);
            } else if self.is_ours(&gateway.tags) && !self.is_our_vpc(vpc) {
                let why = format!("it is not this cluster's and {} is attached to it", gateway.id);
                to.block("VPC", vpc, why);
            }
        }
    }

    fn name_groups(&self, to: &mut Teardown) {
        let inventory = self.inventory;
        for group in inventory.security_groups.iter().filter(|g| !self.is_ours(&g.tags)) {
            let ours = inventory.security_groups.iter().filter(|g| self.is_ours(&g.tags));
            let named = ours.into_iter().find(|g| group.ingress.iter().any(|rule| names(rule, &g.id)));
            if let Some(named) = named {
                let why = format!("{:?} has a rule that lets in {}", group.name, named.id);
                to.block("security group", &group.id, why);
            } else if group.name != "default" && self.is_our_vpc(&group.vpc) {
                to.block("security group", &group.id, format!("{:?} is part of {}", group.name, group.vpc));
            }
        }
    }

    /// Somebody else's machines that hold our volumes or groups.
    fn name_holders(&self, to: &mut Teardown) {
        for volume in self.inventory.volumes.iter().filter(|v| self.is_ours(&v.tags)) {
            let holder = volume.instance.as_deref().and_then(|id| self.holding().find(|i| i.id == id));
            if let Some(holder) = holder.filter(|holder| !self.is_ours(&holder.tags)) {
                let why = format!("the volume {} is attached to it{}", volume.id, called(&holder.tags));
                to.block("instance", &holder.id, why);
            }
        }
    }

    /// Another cluster of the same name; named unless it is named as in the way.
    fn name_namesakes(&self, to: &mut Teardown) {
        for (what, id, tags) in tagged(self.inventory) {
            let other = tags.belongs_to(self.name) && !self.is_ours(tags);
            if other && !to.foreign.iter().any(|foreign| foreign.id == id) {
                let uid = tags.get(UID).unwrap_or("none");
                let why = format!("it belongs to another cluster called {} (uid {uid})", self.name);
                to.foreign.push(Foreign { what, id: id.to_owned(), why, blocks: false });
            }
        }
    }
}

impl Teardown {
    fn block(&mut self, what: &'static str, id: &str, why: String) {
        self.foreign.push(Foreign { what, id: id.to_owned(), why, blocks: true });
    }
}

/// The resource's own name, if somebody gave it one.
fn called(tags: &Tags) -> String {
    tags.get(crate::model::tags::NAME).map(|name| format!(" and is called {name:?}")).unwrap_or_default()
}
