//! From counts to places: the slots of a cluster, the zones they stand in and the subnets of
//! those zones.
//!
//! Owns that a slot keeps its name, zone and subnet when workers or groups are added: assignments
//! depend on the slot's own index and on nothing that an additive edit changes.

use std::fmt;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::rules::place;
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
    /// A subnet each.
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

    /// Chooses zones among those `offered` by the region, in the region's order. Local and
    /// wavelength zones among them are passed over.
    ///
    /// # Errors
    /// A zone the file names is not offered, or none is.
    pub fn zone_plan(&self, offered: &[String]) -> Result<ZonePlan, ZonesError> {
        let offered: Vec<String> =
            offered.iter().filter(|zone| place::subnet_index(zone).is_some()).cloned().collect();
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
    /// The zones that need a subnet.
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
    /// The subnet of a zone: an eighth of the VPC's range, by the zone's letter, so that no further
    /// zone moves it. `None` if the name does not end in a letter from a to h.
    pub fn subnet(&self, zone: &str) -> Option<Ipv4Net> {
        let index = place::subnet_index(zone)?;
        self.cidr.subnets(self.subnet_prefix()).ok()?.nth(index)
    }

    /// Three bits more than the VPC's.
    fn subnet_prefix(&self) -> u8 {
        self.cidr.prefix_len().saturating_add(3).min(32)
    }

    /// How many machines one zone's subnet has addresses for: EC2 keeps five of each subnet.
    pub fn machines_per_zone(&self) -> u32 {
        let addresses = 2_u32.saturating_pow(u32::from(32 - self.subnet_prefix()));
        addresses.saturating_sub(5)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::{Config, WorkerGroup, parse};
    use super::*;

    fn config(text: &str) -> Config {
        parse(&format!("name: a\n{text}"), "f").unwrap_or_else(|e| panic!("{e}"))
    }

    fn offered(letters: &str) -> Vec<String> {
        letters.chars().map(|c| format!("us-east-1{c}")).collect()
    }

    /// `SLOT=ZONE-LETTER …`
    fn placed(config: &Config, letters: &str) -> String {
        let plan = config.zone_plan(&offered(letters)).unwrap();
        let slots = config.slots();
        let words = slots
            .iter()
            .map(|slot| format!("{slot}={}", plan.zone_of(config, slot).trim_start_matches("us-east-1")));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn slots_are_masters_then_groups_in_the_files_order() {
        let config = config("workers: [{name: web, count: 2}, {name: db}, {name: idle, count: 0}]");
        let names: Vec<String> = config.slots().iter().map(Slot::to_string).collect();
        assert_eq!(names, ["master-0", "web-0", "web-1", "db-0"]);
        assert_eq!(config.node_count(), 4);
    }

    #[test]
    fn a_small_cluster_stays_in_one_zone() {
        assert_eq!(placed(&config(""), "abcd"), "master-0=a general-0=a");
    }

    #[test]
    fn workers_are_spread_over_at_most_three_zones() {
        let config = config("workers: [{name: w, count: 5}]");
        assert_eq!(placed(&config, "abcd"), "master-0=a w-0=a w-1=b w-2=c w-3=a w-4=b");
        assert_eq!(placed(&config, "a"), "master-0=a w-0=a w-1=a w-2=a w-3=a w-4=a");
        assert_eq!(config.zone_plan(&offered("abcd")).unwrap().zones(), offered("abc"));
    }

    #[test]
    fn named_zones_are_taken_as_named() {
        let config = config(
            "network: {zones: [us-east-1c, us-east-1a]}\n\
             workers: [{name: w, count: 2}, {name: x, zones: [us-east-1a]}]",
        );
        assert_eq!(placed(&config, "abc"), "master-0=c w-0=c w-1=a x-0=a");
    }

    #[test]
    fn a_groups_own_zones_come_after_those_left_to_us() {
        let config = config("workers: [{name: w, count: 2}, {name: x, zones: [us-east-1d]}]");
        assert_eq!(placed(&config, "abcd"), "master-0=a w-0=a w-1=b x-0=d");
        assert_eq!(config.zone_plan(&offered("abcd")).unwrap().zones(), offered("abd"));
    }

    #[test]
    fn local_zones_are_passed_over() {
        let mut zones = offered("ab");
        zones.insert(0, "us-east-1-bos-1a".to_owned());
        let config = config("workers: [{name: w, count: 4}]");
        assert_eq!(config.zone_plan(&zones).unwrap().zones(), offered("ab"));
    }

    #[test]
    fn a_zone_that_is_not_offered_is_named() {
        let config = config("workers: [{name: w, zones: [us-east-1e]}]");
        let error = config.zone_plan(&offered("ab")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "zone \"us-east-1e\" is not offered in this region; offered are us-east-1a, us-east-1b"
        );
        assert_eq!(config.zone_plan(&[]), Err(ZonesError::NoneOffered));
    }

    #[test]
    fn the_vpcs_range_is_cut_into_eight() {
        let network = config("network: {cidr: 10.20.0.0/24}").network;
        let subnet = |letter| network.subnet(&format!("us-east-1{letter}")).map(|net| net.to_string());
        assert_eq!(subnet('a').as_deref(), Some("10.20.0.0/27"));
        assert_eq!(subnet('h').as_deref(), Some("10.20.0.224/27"));
        assert_eq!(subnet('i'), None);
        assert_eq!(network.subnet("us-east-1"), None);
        assert_eq!(network.machines_per_zone(), 27);
    }

    fn group() -> impl Strategy<Value = WorkerGroup> {
        ("[a-c](-[a-c0-9]{1,2})?", 0_u32..12, proptest::option::of(1_usize..3)).prop_map(
            |(name, count, zones)| WorkerGroup {
                count,
                zones: zones.map_or(OrAuto::Auto, |many| OrAuto::Given(offered(&"dcb"[..many]))),
                ..WorkerGroup::defaults(&name)
            },
        )
    }

    /// Only those that the parser lets through.
    fn valid() -> impl Strategy<Value = Config> {
        let groups = proptest::collection::vec(group(), 0..4);
        groups.prop_filter_map("refused by the parser", |workers| {
            let config = Config { workers, ..Config::defaults("a") };
            parse(&serde_json::to_string(&config).ok()?, "f").ok()
        })
    }

    proptest! {
        #[test]
        fn slots_have_names_of_their_own(config in valid()) {
            let slots = config.slots();
            let names: BTreeSet<&String> = slots.iter().map(|slot| &slot.name).collect();
            prop_assert_eq!(names.len(), slots.len());
        }

        #[test]
        fn one_worker_more_moves_no_other(config in valid(), which in 0_usize..4) {
            let mut larger = config.clone();
            let Some(group) = larger.workers.get_mut(which) else { return Ok(()) };
            group.count += 1;
            let (before, after) = (
                config.zone_plan(&offered("abcd")).unwrap(),
                larger.zone_plan(&offered("abcd")).unwrap(),
            );
            for slot in config.slots() {
                prop_assert_eq!(
                    before.zone_of(&config, &slot),
                    after.zone_of(&larger, &slot),
                    "{}", slot
                );
            }
        }
    }
}
