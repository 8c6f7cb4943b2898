//! From counts to places: the slots of a cluster, the zones they stand in and the subnets of
//! those zones.
//!
//! Owns that a slot keeps its name, zone and subnet when workers or groups are added: assignments
//! depend on the slot's own index and on nothing that an additive edit changes.

use std::fmt;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::{Config, Network, OrAuto, limits};
use crate::step::Role;

/// The group name of masters: no worker group may take it.
pub const MASTER_GROUP: &str = "master";

/// A place for one machine. The machine in it may be replaced; the slot stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// `GROUP-INDEX`: `master-0`, `general-3`. Unique within the cluster.
    pub name: String,
    /// What the machine does.
    pub role: Role,
    /// `master`, or the worker group's name.
    pub group: String,
    /// Counts from 0 within the group.
    pub index: u32,
}

/// The region offers fewer zones than the file names, or none at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZonesError {
    /// A zone is named that the region does not offer.
    #[error("zone {zone:?} is not offered in this region; offered are {}", offered.join(", "))]
    NotOffered {
        /// As written in cluster.yaml.
        zone: String,
        /// What the region offers.
        offered: Vec<String>,
    },
    /// The region offers no zone.
    #[error("the region offers no availability zone to this account")]
    NoneOffered,
}

/// The zones of a cluster in a region: which subnets it needs and which slot stands where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZonePlan {
    /// A subnet each, in order of their subnet index.
    subnets: Vec<String>,
    /// What a group with `zones: auto` is spread over; a prefix of `subnets`.
    spread: Vec<String>,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Slot {
    fn new(role: Role, group: &str, index: u32) -> Self {
        Self { name: format!("{group}-{index}"), role, group: group.to_owned(), index }
    }
}

impl Config {
    /// Every slot: masters first, then the groups in the file's order.
    pub fn slots(&self) -> Vec<Slot> {
        let masters = (0..self.masters.count).map(|index| Slot::new(Role::Master, MASTER_GROUP, index));
        let workers = self
            .workers
            .iter()
            .flat_map(|group| (0..group.count).map(|index| Slot::new(Role::Worker, &group.name, index)));
        masters.chain(workers).collect()
    }

    /// The instance type of a slot's machine.
    pub fn instance_type(&self, slot: &Slot) -> &str {
        match self.worker_group(slot) {
            Some(group) => &group.instance_type,
            None => &self.masters.instance_type,
        }
    }

    /// The size of a slot's root volume, in GiB.
    pub fn volume_gib(&self, slot: &Slot) -> u32 {
        match self.worker_group(slot) {
            Some(group) => group.volume.size_gib,
            None => self.masters.volume.size_gib,
        }
    }

    fn worker_group(&self, slot: &Slot) -> Option<&super::WorkerGroup> {
        match slot.role {
            Role::Master => None,
            Role::Worker => self.group(&slot.group),
        }
    }

    fn slot_zones(&self, slot: &Slot) -> Option<&Vec<String>> {
        match self.worker_group(slot) {
            Some(group) => group.zones.given(),
            None => self.masters.zones.given(),
        }
    }

    /// Chooses zones among those `offered` by the region, in the region's order.
    ///
    /// # Errors
    /// A zone the file names is not offered, or none is.
    pub fn zone_plan(&self, offered: &[String]) -> Result<ZonePlan, ZonesError> {
        let mut subnets = match &self.network.zones {
            OrAuto::Given(zones) => zones.clone(),
            OrAuto::Auto => offered.iter().take(self.auto_zones()).cloned().collect(),
        };
        if offered.is_empty() {
            return Err(ZonesError::NoneOffered);
        }
        let spread = subnets.clone();
        for zone in self.zones_of_groups() {
            if !subnets.contains(zone) {
                subnets.push(zone.clone());
            }
        }
        match subnets.iter().find(|zone| !offered.contains(zone)) {
            None => Ok(ZonePlan { subnets, spread }),
            Some(zone) => Err(ZonesError::NotOffered { zone: zone.clone(), offered: offered.to_vec() }),
        }
    }

    /// As many zones as the largest group left to us can fill, at most three: a zone with no
    /// machine in it would be a subnet for nothing, and one more zone never moves a lower index.
    fn auto_zones(&self) -> usize {
        let groups = self.workers.iter().map(|group| (&group.zones, group.count));
        let largest = groups
            .chain([(&self.masters.zones, self.masters.count)])
            .filter(|(zones, _)| zones.is_auto())
            .map(|(_, count)| count)
            .max()
            .unwrap_or(0);
        usize::try_from(largest).map_or(limits::AUTO_ZONES, |count| count.min(limits::AUTO_ZONES))
    }

    /// The zones that masters and groups name, in the file's order, with repetitions.
    pub(super) fn zones_of_groups(&self) -> impl Iterator<Item = &String> {
        let groups = self.workers.iter().map(|group| &group.zones);
        std::iter::once(&self.masters.zones).chain(groups).filter_map(OrAuto::given).flatten()
    }
}

impl ZonePlan {
    /// The zones that need a subnet; a zone's place in it is its subnet index.
    pub fn zones(&self) -> &[String] {
        &self.subnets
    }

    /// The zone of a slot of `config`: round-robin over the zones of its group.
    pub fn zone_of<'a>(&'a self, config: &'a Config, slot: &Slot) -> &'a str {
        let zones = config.slot_zones(slot).unwrap_or(&self.spread);
        let count = zones.len().max(1);
        let place = usize::try_from(slot.index).unwrap_or(0) % count;
        zones.get(place).map_or("", String::as_str)
    }
}

impl Network {
    /// The subnet of the zone with this index: an eighth of the VPC's range, `None` from 8 on.
    ///
    /// It does not depend on how many zones there are, so a further zone moves no subnet.
    pub fn subnet(&self, index: usize) -> Option<Ipv4Net> {
        let prefix = self.cidr.prefix_len().checked_add(3)?;
        self.cidr.subnets(prefix).ok()?.nth(index)
    }

    /// How many machines one zone's subnet has addresses for: EC2 keeps five of each subnet.
    pub fn machines_per_zone(&self) -> u32 {
        self.subnet(0)
            .map_or(0, |subnet| 2_u32.saturating_pow(u32::from(32 - subnet.prefix_len())).saturating_sub(5))
    }
}
