//! Which existing resource fills a slot, and which are duplicates of it.
//!
//! A call without a client token whose reply was lost may have taken effect:
//! then a slot has two resources. The one that others refer to is kept; one
//! that nothing refers to is removed; two that are both in use are refused.

use std::collections::BTreeMap;

use super::Refusal;
use super::desired::Desired;
use crate::action::Action;
use crate::model::{Call, Inventory, Ref, Tags};

/// The resources that fill this cluster's slots, and the calls that remove duplicates.
#[derive(Debug, Default)]
pub(super) struct Owned {
    by_slot: BTreeMap<String, String>,
    pub(super) removals: Vec<Action>,
}

/// One existing resource: what choosing between duplicates needs.
struct Candidate<'a> {
    id: &'a str,
    tags: &'a Tags,
    uses: usize,
    delete: fn(&str, &Inventory) -> Vec<Call<Ref>>,
}

impl Owned {
    pub(super) fn new(desired: &Desired, inventory: &Inventory) -> Result<Self, Refusal> {
        let mut owned = Self::default();
        let mut by_slot: BTreeMap<&str, Vec<Candidate<'_>>> = BTreeMap::new();
        for candidate in candidates(inventory) {
            let tags = candidate.tags;
            if !tags.belongs_to(&desired.name) {
                continue;
            }
            if tags.get(crate::model::tags::UID) != Some(&desired.uid) {
                return Err(Refusal::OtherCluster {
                    name: desired.name.clone(),
                    id: candidate.id.to_owned(),
                    uid: tags.get(crate::model::tags::UID).unwrap_or("none").to_owned(),
                });
            }
            if let Some(slot) = tags.slot() {
                by_slot.entry(slot).or_default().push(candidate);
            }
        }
        for (slot, found) in by_slot {
            owned.choose(slot, found, inventory)?;
        }
        Ok(owned)
    }

    /// The id that fills `slot`.
    pub(super) fn id(&self, slot: &str) -> Option<&str> {
        self.by_slot.get(slot).map(String::as_str)
    }

    /// How a call names `slot`.
    pub(super) fn name(&self, slot: &str) -> Ref {
        match self.id(slot) {
            Some(id) => Ref::Id(id.to_owned()),
            None => Ref::Slot(slot.to_owned()),
        }
    }

    fn choose(
        &mut self,
        slot: &str,
        mut found: Vec<Candidate<'_>>,
        inventory: &Inventory,
    ) -> Result<(), Refusal> {
        found.sort_by(|a, b| b.uses.cmp(&a.uses).then(a.id.cmp(b.id)));
        let mut found = found.into_iter();
        let Some(kept) = found.next() else { return Ok(()) };
        for duplicate in found {
            if duplicate.uses > 0 {
                return Err(Refusal::DuplicateInUse {
                    slot: slot.to_owned(),
                    first: kept.id.to_owned(),
                    second: duplicate.id.to_owned(),
                });
            }
            let calls = (duplicate.delete)(duplicate.id, inventory);
            self.removals.extend(calls.into_iter().map(|request| Action::Cloud {
                request,
                reason: Some(format!("a duplicate of {slot}: {} is the one in use", kept.id)),
            }));
        }
        self.by_slot.insert(slot.to_owned(), kept.id.to_owned());
        Ok(())
    }
}

fn candidates(inventory: &Inventory) -> Vec<Candidate<'_>> {
    let mut all = Vec::new();
    for vpc in &inventory.vpcs {
        let uses = inventory.uses_of_vpc(&vpc.id);
        all.push(Candidate { id: &vpc.id, tags: &vpc.tags, uses, delete: delete_vpc });
    }
    for gateway in &inventory.internet_gateways {
        let uses = usize::from(gateway.vpc.is_some());
        all.push(Candidate { id: &gateway.id, tags: &gateway.tags, uses, delete: delete_gateway });
    }
    for table in inventory.route_tables.iter().filter(|table| !table.main) {
        // Routes are replaceable; an association is what keeps machines reachable.
        let uses = table.associations.len();
        all.push(Candidate { id: &table.id, tags: &table.tags, uses, delete: delete_table });
    }
    for subnet in &inventory.subnets {
        let uses = inventory.uses_of_subnet(&subnet.id);
        all.push(Candidate { id: &subnet.id, tags: &subnet.tags, uses, delete: delete_subnet });
    }
    for group in &inventory.security_groups {
        let uses = inventory.uses_of_group(&group.id);
        all.push(Candidate { id: &group.id, tags: &group.tags, uses, delete: delete_group });
    }
    for key in &inventory.key_pairs {
        all.push(Candidate { id: &key.id, tags: &key.tags, uses: 0, delete: delete_key });
    }
    all
}

fn delete_vpc(id: &str, inventory: &Inventory) -> Vec<Call<Ref>> {
    let inside = inventory.internet_gateways.iter().filter(|gateway| gateway.vpc.as_deref() == Some(id));
    let mut calls: Vec<_> = inside
        .map(|gateway| Call::DetachInternetGateway {
            gateway: Ref::Id(gateway.id.clone()),
            vpc: Ref::Id(id.to_owned()),
        })
        .collect();
    calls.push(Call::DeleteVpc { vpc: Ref::Id(id.to_owned()) });
    calls
}

fn delete_gateway(id: &str, _: &Inventory) -> Vec<Call<Ref>> {
    vec![Call::DeleteInternetGateway { gateway: Ref::Id(id.to_owned()) }]
}

fn delete_table(id: &str, _: &Inventory) -> Vec<Call<Ref>> {
    vec![Call::DeleteRouteTable { table: Ref::Id(id.to_owned()) }]
}

fn delete_subnet(id: &str, _: &Inventory) -> Vec<Call<Ref>> {
    vec![Call::DeleteSubnet { subnet: Ref::Id(id.to_owned()) }]
}

fn delete_group(id: &str, _: &Inventory) -> Vec<Call<Ref>> {
    vec![Call::DeleteSecurityGroup { group: Ref::Id(id.to_owned()) }]
}

fn delete_key(id: &str, _: &Inventory) -> Vec<Call<Ref>> {
    vec![Call::DeleteKeyPair { key_pair: Ref::Id(id.to_owned()) }]
}

impl Inventory {
    /// How many resources stand in a VPC, its own default group and main table apart.
    fn uses_of_vpc(&self, id: &str) -> usize {
        let inside = |vpc: &str| usize::from(vpc == id);
        let gateways = self.internet_gateways.iter().filter(|g| g.vpc.as_deref() == Some(id)).count();
        let subnets: usize = self.subnets.iter().map(|s| inside(&s.vpc)).sum();
        let tables: usize = self.route_tables.iter().filter(|t| !t.main).map(|t| inside(&t.vpc)).sum();
        let groups: usize =
            self.security_groups.iter().filter(|g| g.name != "default").map(|g| inside(&g.vpc)).sum();
        gateways + subnets + tables + groups
    }

    fn uses_of_subnet(&self, id: &str) -> usize {
        self.network_interfaces.iter().filter(|interface| interface.subnet == id).count()
            + self.instances.iter().filter(|i| i.subnet.as_deref() == Some(id)).count()
            + self.route_tables.iter().flat_map(|t| &t.associations).filter(|(_, s)| s == id).count()
    }

    fn uses_of_group(&self, id: &str) -> usize {
        let by_machine =
            self.instances.iter().filter(|i| i.security_groups.iter().any(|group| group == id)).count();
        let by_rule = self
            .security_groups
            .iter()
            .filter(|group| group.id != id)
            .flat_map(|group| &group.ingress)
            .filter(|rule| matches!(&rule.source, crate::model::Source::Group(source) if source == id))
            .count();
        by_machine + by_rule
    }
}
