//! Rules between fields: ranges that must not overlap, machines that must fit, zones of one
//! region, one architecture.
//!
//! A rule is skipped where a field it needs is wrong already; its mistake stands at the first of
//! its fields that the file writes out.

use std::collections::BTreeMap;

use super::super::diagnostic::Mistake;
use super::super::rules::{machine, place, shown};
use super::super::tree::{Node, Place, Value};
use super::super::{Config, OrAuto, limits};
use super::reader::Reader;

/// Notes every rule that `config` breaks.
pub(super) fn check(reader: &mut Reader<'_>, root: &Node, config: &Config) {
    let mut check = Check { reader, root, config };
    check.ranges_are_apart();
    check.groups_are_distinct();
    check.machines_fit();
    check.zones_belong_together();
    check.groups_stay_in_the_networks_zones();
    check.one_architecture();
}

struct Check<'a, 't> {
    reader: &'a mut Reader<'t>,
    root: &'a Node,
    config: &'a Config,
}

impl Check<'_, '_> {
    /// Notes a mistake at the first of `paths` that is written out; `false` in `clean` skips it.
    fn wrong(&mut self, paths: &[&str], mistake: Mistake) {
        let written = paths.iter().find_map(|path| find(self.root, path).map(|place| (*path, place)));
        let whole = (paths.first().copied().unwrap_or_default(), self.root.place);
        let (path, place) = written.unwrap_or(whole);
        self.reader.wrong_at(path, place, mistake);
    }

    fn clean(&self, paths: &[&str]) -> bool {
        paths.iter().all(|path| self.reader.clean(path))
    }

    fn ranges_are_apart(&mut self) {
        let network = &self.config.network;
        let ranges = [
            ("network.serviceCidr", network.service_cidr),
            ("network.podCidr", network.pod_cidr),
            ("network.cidr", network.cidr),
        ];
        for (index, (path, range)) in ranges.iter().enumerate() {
            for (other_path, other) in ranges.iter().skip(index + 1) {
                let apart = !range.contains(other) && !other.contains(range);
                if apart || !self.clean(&[path, other_path]) {
                    continue;
                }
                // Said at the one that is written out; both are named.
                let (at, mine, far, theirs) = match find(self.root, path) {
                    Some(_) => (path, range, other_path, other),
                    None => (other_path, other, path, range),
                };
                let mistake = Mistake::new(
                    format!("{mine} overlaps {far} {theirs}"),
                    "write ranges that share no address",
                );
                self.wrong(&[at], mistake);
            }
        }
    }

    fn groups_are_distinct(&mut self) {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for (index, group) in self.config.workers.iter().enumerate() {
            if group.name.is_empty() {
                continue;
            }
            if let Some(before) = first.insert(&group.name, index) {
                let mistake = Mistake::new(
                    format!("{} names workers[{before}] already", shown(&group.name)),
                    "choose another name, or make them one group",
                );
                self.wrong(&[&format!("workers[{index}].name")], mistake);
            }
        }
    }

    fn machines_fit(&mut self) {
        if !self.clean(&["masters", "workers"]) {
            return;
        }
        let nodes = self.config.node_count();
        let workers = ["workers", "masters"];
        if nodes > limits::MAX_NODES {
            let problem = format!("there are {nodes} machines in all");
            let remedy = format!("write counts of at most {} together", limits::MAX_NODES);
            self.wrong(&workers, Mistake::new(problem, remedy));
            return;
        }
        let network = &self.config.network;
        if self.clean(&["network.podCidr"]) {
            let room = 1_u32 << 24_u8.saturating_sub(network.pod_cidr.prefix_len());
            if nodes > room {
                let mistake = Mistake::new(
                    format!(
                        "{} has room for {room} machines of a /24 each, not for {nodes}",
                        network.pod_cidr
                    ),
                    "write a wider range, or fewer machines",
                );
                self.wrong(&["network.podCidr", "workers"], mistake);
            }
        }
        if self.clean(&["network.cidr", "network.zones"]) {
            self.zones_hold_their_machines();
        }
    }

    /// Zones left to AWS may turn out to be a single one.
    fn zones_hold_their_machines(&mut self) {
        let network = &self.config.network;
        let room = network.machines_per_zone();
        let mut load: BTreeMap<String, u32> = BTreeMap::new();
        for slot in self.config.slots() {
            *load.entry(self.zone_of(&slot)).or_default() += 1;
        }
        let fullest = load.into_iter().max_by_key(|(_, machines)| *machines);
        let Some((zone, machines)) = fullest.filter(|(_, machines)| *machines > room) else {
            return;
        };
        let zone = if zone.is_empty() { "one zone".to_owned() } else { zone };
        let mistake = Mistake::new(
            format!(
                "an eighth of {} has addresses for {room} machines, and {zone} gets {machines}",
                network.cidr
            ),
            "write a wider range, or name more zones",
        );
        self.wrong(&["network.cidr", "workers"], mistake);
    }

    /// The zone a slot surely gets; empty where it is left to AWS.
    fn zone_of(&self, slot: &super::super::Slot) -> String {
        let own = match self.config.group(&slot.group) {
            Some(group) => &group.zones,
            None => &self.config.masters.zones,
        };
        let zones = own.given().or(self.config.network.zones.given());
        zones
            .and_then(|zones| {
                let index = usize::try_from(slot.index).ok()?;
                zones.get(index % zones.len().max(1))
            })
            .cloned()
            .unwrap_or_default()
    }

    /// Every `zones` list, with its path.
    fn zone_lists(&self) -> Vec<(String, &OrAuto<Vec<String>>)> {
        let config = self.config;
        let mut lists = vec![
            ("network.zones".to_owned(), &config.network.zones),
            ("masters.zones".to_owned(), &config.masters.zones),
        ];
        for (index, group) in config.workers.iter().enumerate() {
            lists.push((format!("workers[{index}].zones"), &group.zones));
        }
        lists.retain(|(path, _)| self.reader.clean(path));
        lists
    }

    fn zones_belong_together(&mut self) {
        let named: Vec<(String, String)> = self
            .zone_lists()
            .into_iter()
            .filter_map(|(path, zones)| Some((path, zones.given()?)))
            .flat_map(|(path, zones)| {
                zones.iter().enumerate().map(move |(index, zone)| (format!("{path}[{index}]"), zone.clone()))
            })
            .collect();
        let said = self.config.region.clone();
        let first = named.first().and_then(|(_, zone)| place::region_of(zone));
        let Some(region) = said.as_deref().or(first) else {
            return;
        };
        for (path, zone) in &named {
            if place::region_of(zone) == Some(region) {
                continue;
            }
            let mistake = match &said {
                Some(_) => Mistake::new(
                    format!("{} is not in region {region}", shown(zone)),
                    format!("write one like {region}a, or change region"),
                ),
                None => Mistake::new(
                    format!("{} is not in {region}, as other zones here are", shown(zone)),
                    "write zones of one region",
                ),
            };
            self.wrong(&[path], mistake);
        }
    }

    fn groups_stay_in_the_networks_zones(&mut self) {
        let OrAuto::Given(known) = &self.config.network.zones else {
            return;
        };
        if !self.clean(&["network.zones"]) {
            return;
        }
        let lists: Vec<(String, Vec<String>)> = self
            .zone_lists()
            .into_iter()
            .filter_map(|(path, zones)| Some((path, zones.given()?.clone())))
            .collect();
        for (path, zones) in lists {
            for (index, zone) in zones.iter().enumerate() {
                let path = format!("{path}[{index}]");
                if !known.contains(zone) && self.reader.clean(&path) {
                    let mistake = Mistake::new(
                        format!("{} is not one of network.zones", shown(zone)),
                        format!("write one of {}, or add it there", known.join(", ")),
                    );
                    self.wrong(&[&path], mistake);
                }
            }
        }
    }

    fn one_architecture(&mut self) {
        if !self.clean(&["image.architecture"]) {
            return;
        }
        let config = self.config;
        let mut types = vec![("masters.type".to_owned(), &config.masters.instance_type)];
        for (index, group) in config.workers.iter().enumerate() {
            types.push((format!("workers[{index}].type"), &group.instance_type));
        }
        let written = find(self.root, "image.architecture").is_some();
        let expected = config.image.architecture;
        for (path, instance_type) in types {
            let actual = machine::architecture_of(instance_type);
            if actual == expected || !self.reader.clean(&path) {
                continue;
            }
            let whose = if written {
                format!("image.architecture is {}", expected.as_str())
            } else {
                format!("other types here are {}", expected.as_str())
            };
            let mistake = Mistake::new(
                format!("{} runs {} while {whose}", shown(instance_type), actual.as_str()),
                "write types and an image of one architecture",
            );
            self.wrong(&[&path, "image.architecture", "masters", "workers"], mistake);
        }
    }
}

/// Where the value at `path` stands, if the file writes it out.
fn find(root: &Node, path: &str) -> Option<Place> {
    let mut node = root;
    for part in path.split('.') {
        let (name, positions) = part.split_once('[').map_or((part, ""), |(name, rest)| (name, rest));
        let Value::Mapping(entries) = &node.value else {
            return None;
        };
        node = entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)?;
        if let Some(index) = positions.strip_suffix(']') {
            let Value::List(items) = &node.value else {
                return None;
            };
            node = items.get(index.parse::<usize>().ok()?)?;
        }
    }
    Some(node.place)
}
