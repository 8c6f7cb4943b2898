//! The fake's account: all resources, what time does to them, and what a listing shows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use jiff::Timestamp;
use plan::model::{
    Instance, InstanceState, InternetGateway, Inventory, KeyPair, LaunchRequest, NetworkInterface,
    RouteTable, SecurityGroup, Subnet, Tags, Volume, Vpc,
};

use super::rules::Rules;
use super::shelf::{Lag, Shelf, Thing};
use crate::error::CloudError;

/// What an instance is on its way to.
#[derive(Debug, Clone)]
pub(super) struct Life {
    /// Since when it is in its state.
    pub(super) since: Timestamp,
    /// Why it will die instead of running.
    pub(super) doom: Option<String>,
}

/// The account.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) rules: Rules,
    pub(super) now: Timestamp,
    drawn: u64,
    pub(super) vpcs: Shelf<Vpc>,
    pub(super) gateways: Shelf<InternetGateway>,
    pub(super) tables: Shelf<RouteTable>,
    pub(super) subnets: Shelf<Subnet>,
    pub(super) groups: Shelf<SecurityGroup>,
    pub(super) keys: Shelf<KeyPair>,
    pub(super) instances: Shelf<Instance>,
    pub(super) volumes: Shelf<Volume>,
    pub(super) interfaces: Shelf<NetworkInterface>,
    pub(super) lives: BTreeMap<String, Life>,
    /// Client tokens: the request each stands for, and the instance it made. A launch that
    /// found no capacity binds its token to its parameters as well.
    pub(super) tokens: BTreeMap<String, (LaunchRequest<String>, Option<String>)>,
    /// Why coming instances will die, first to last.
    pub(super) dooms: Vec<String>,
    /// Launches of a type in a zone that find no capacity.
    pub(super) scarce: BTreeMap<(String, String), u32>,
    /// Actions that the caller may not use.
    pub(super) denied: BTreeSet<String>,
    /// What every console shows.
    pub(super) consoles: String,
    /// Pages of lists served.
    pub(super) pages: u64,
}

impl World {
    pub(super) fn new(rules: Rules, now: Timestamp) -> Self {
        Self {
            rules,
            now,
            drawn: 0,
            vpcs: Shelf::default(),
            gateways: Shelf::default(),
            tables: Shelf::default(),
            subnets: Shelf::default(),
            groups: Shelf::default(),
            keys: Shelf::default(),
            instances: Shelf::default(),
            volumes: Shelf::default(),
            interfaces: Shelf::default(),
            lives: BTreeMap::new(),
            tokens: BTreeMap::new(),
            dooms: Vec::new(),
            scarce: BTreeMap::new(),
            denied: BTreeSet::new(),
            consoles: String::new(),
            pages: 0,
        }
    }

    /// A number nobody chose, the same for the same seed and history.
    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let mut z = self.rules.seed.wrapping_add(self.drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A new id; ids are in no order.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}-0{:016x}", self.draw())
    }

    /// How long what is made now stays unseen.
    pub(super) fn lag(&mut self) -> Lag {
        let (lists, uses) = (self.rules.hidden_lists, self.rules.hidden_uses);
        Lag { lists: self.draw_up_to(lists), uses: self.draw_up_to(uses) }
    }

    /// How many lists still show what is deleted now.
    pub(super) fn ghosts(&mut self) -> u32 {
        let most = self.rules.ghost_lists;
        self.draw_up_to(most)
    }

    fn draw_up_to(&mut self, most: u32) -> u32 {
        if most == 0 {
            return 0;
        }
        u32::try_from(self.draw() % (u64::from(most) + 1)).unwrap_or(most)
    }

    /// Lets time pass up to `now`.
    pub(super) fn tick(&mut self, now: Timestamp) {
        self.now = now;
        let lives: Vec<(String, Life)> =
            self.lives.iter().map(|(id, life)| (id.clone(), life.clone())).collect();
        for (id, life) in lives {
            let Some(instance) = self.instances.truth(&id) else { continue };
            let age = now.duration_since(life.since);
            let passed = |limit: std::time::Duration| age.unsigned_abs() >= limit;
            match instance.state {
                InstanceState::Pending if passed(self.rules.pending) => match life.doom {
                    Some(reason) => self.terminated(&id, Some(reason)),
                    None => self.enter(&id, InstanceState::Running),
                },
                InstanceState::ShuttingDown if passed(self.rules.shutting_down) => self.terminated(&id, None),
                InstanceState::Stopping if passed(self.rules.shutting_down) => {
                    self.enter(&id, InstanceState::Stopped);
                }
                InstanceState::Terminated if passed(self.rules.remembered) => {
                    self.instances.delete(&id, 0);
                    self.lives.remove(&id);
                }
                _ => {}
            }
        }
    }

    /// Puts an instance into a state, now.
    pub(super) fn enter(&mut self, id: &str, state: InstanceState) {
        let now = self.now;
        if let Some(instance) = self.instances.truth(id) {
            instance.state = state;
            if state == InstanceState::Stopped {
                instance.public_address = None;
            }
        }
        let doom = self.lives.get(id).and_then(|life| life.doom.clone());
        self.lives.insert(id.to_owned(), Life { since: now, doom });
    }

    /// An instance is gone, with its interface and its root volume.
    fn terminated(&mut self, id: &str, reason: Option<String>) {
        self.enter(id, InstanceState::Terminated);
        if let Some(instance) = self.instances.truth(id) {
            instance.vpc = None;
            instance.subnet = None;
            instance.security_groups.clear();
            instance.private_address = None;
            instance.public_address = None;
            if reason.is_some() {
                instance.state_reason = reason;
            }
        }
        let held = |owner: &Option<String>| owner.as_deref() == Some(id);
        let interfaces: Vec<String> =
            self.interfaces.live().filter(|i| held(&i.instance)).map(|i| i.id.clone()).collect();
        let volumes: Vec<String> =
            self.volumes.live().filter(|v| held(&v.instance)).map(|v| v.id.clone()).collect();
        for interface in interfaces {
            let ghosts = self.ghosts();
            self.interfaces.delete(&interface, ghosts);
        }
        for volume in volumes {
            let ghosts = self.ghosts();
            self.volumes.delete(&volume, ghosts);
        }
    }

    /// What `inventory` shows of the cluster `name`.
    pub(super) fn inventory(&mut self, name: &str) -> Inventory {
        let vpcs = self.vpcs.list(|vpc| vpc.tags.belongs_to(name));
        let ids: BTreeSet<String> = vpcs.iter().map(|vpc| vpc.id.clone()).collect();
        let mut inventory = Inventory {
            internet_gateways: self.gateways.list(ours(name, &ids)),
            route_tables: self.tables.list(ours(name, &ids)),
            subnets: self.subnets.list(ours(name, &ids)),
            security_groups: self.groups.list(ours(name, &ids)),
            key_pairs: self.keys.list(ours(name, &ids)),
            instances: self.instances.list(ours(name, &ids)),
            volumes: self.volumes.list(ours(name, &ids)),
            network_interfaces: self.interfaces.list(ours(name, &ids)),
            vpcs,
        };
        self.count_pages(&inventory);
        inventory.sort();
        inventory
    }

    /// What `instances` shows of the cluster `name`.
    pub(super) fn instances_of(&mut self, name: &str) -> Vec<Instance> {
        let shown = self.instances.list(|instance| instance.tags.belongs_to(name));
        self.pages += pages_of(shown.len(), self.rules.page);
        shown
    }

    /// Everything in the account, as it truly is.
    pub(super) fn truth(&self) -> Inventory {
        let mut inventory = Inventory {
            vpcs: self.vpcs.live().cloned().collect(),
            internet_gateways: self.gateways.live().cloned().collect(),
            route_tables: self.tables.live().cloned().collect(),
            subnets: self.subnets.live().cloned().collect(),
            security_groups: self.groups.live().cloned().collect(),
            key_pairs: self.keys.live().cloned().collect(),
            instances: self.instances.live().cloned().collect(),
            volumes: self.volumes.live().cloned().collect(),
            network_interfaces: self.interfaces.live().cloned().collect(),
        };
        inventory.sort();
        inventory
    }

    fn count_pages(&mut self, inventory: &Inventory) {
        let lengths = [
            inventory.vpcs.len(),
            inventory.internet_gateways.len(),
            inventory.route_tables.len(),
            inventory.subnets.len(),
            inventory.security_groups.len(),
            inventory.instances.len(),
            inventory.volumes.len(),
            inventory.network_interfaces.len(),
        ];
        self.pages += lengths.iter().map(|length| pages_of(*length, self.rules.page)).sum::<u64>() + 1;
    }

    /// The lowest free address of a subnet; AWS keeps its first four and its last.
    pub(super) fn free_address(&self, operation: &str, subnet: &Subnet) -> Result<Ipv4Addr, CloudError> {
        let taken: BTreeSet<Ipv4Addr> = self
            .instances
            .live()
            .filter(|i| i.subnet.as_deref() == Some(&subnet.id))
            .filter_map(|i| i.private_address)
            .collect();
        let hosts = u32::from(subnet.cidr.network()) + 4..u32::from(subnet.cidr.broadcast());
        hosts.map(Ipv4Addr::from).find(|address| !taken.contains(address)).ok_or_else(|| {
            CloudError::refused(
                operation,
                "InsufficientFreeAddressesInSubnet",
                format!(
                    "There are not enough free addresses in subnet '{}' to satisfy the requested number of instances.",
                    subnet.id
                ),
            )
        })
    }

    /// A public address of a range that nobody uses.
    pub(super) fn public_address(&self) -> Option<Ipv4Addr> {
        let taken: BTreeSet<Ipv4Addr> = self.instances.live().filter_map(|i| i.public_address).collect();
        (1..=254).map(|host| Ipv4Addr::new(203, 0, 113, host)).find(|address| !taken.contains(address))
    }

    /// A VPC with the two things AWS makes with it.
    pub(super) fn make_vpc(&mut self, cidr: ipnet::Ipv4Net, tags: Tags) -> String {
        let (id, table, group) = (self.id("vpc"), self.id("rtb"), self.id("sg"));
        let lag = self.lag();
        self.vpcs.put(Vpc { id: id.clone(), cidr, tags }, lag);
        let main = RouteTable {
            id: table,
            vpc: id.clone(),
            main: true,
            routes: Vec::new(),
            associations: Vec::new(),
            tags: Tags::default(),
        };
        self.tables.put(main, lag);
        let default = SecurityGroup {
            id: group.clone(),
            vpc: id.clone(),
            name: "default".to_owned(),
            ingress: Vec::new(),
            tags: Tags::default(),
        };
        self.groups.put(default, lag);
        id
    }
}

fn ours<'a, T: Thing>(name: &'a str, vpcs: &'a BTreeSet<String>) -> impl Fn(&T) -> bool + 'a {
    move |thing: &T| thing.tags().belongs_to(name) || thing.vpc().is_some_and(|vpc| vpcs.contains(vpc))
}

fn pages_of(length: usize, page: usize) -> u64 {
    u64::try_from(length.div_ceil(page.max(1)).max(1)).unwrap_or(u64::MAX)
}
