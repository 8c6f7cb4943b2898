//! What a test puts into the account behind the program's back, and what it reads there.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use plan::model::{Instance, InstanceState, Inventory, NetworkInterface, SecurityGroup, Subnet, Tags};

use super::Fake;
use super::shelf::Lag;
use super::world::{Life, World};

/// Somebody else's VPC, with a subnet, a group and a running instance in it: all without our tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bystander {
    /// VPC id.
    pub vpc: String,
    /// Subnet id.
    pub subnet: String,
    /// Security group id.
    pub group: String,
    /// Instance id.
    pub instance: String,
    /// The instance's interface.
    pub interface: String,
}

impl Fake {
    /// Everything in the account as it truly is, whoever owns it and whether or not lists tell it yet.
    #[must_use]
    pub fn world(&self) -> Inventory {
        self.locked(|world| world.truth())
    }

    /// How many live resources carry the cluster's name, by kind and slot
    /// (`instance master-0`). Above 1 is a duplicate; after `down` it must be empty.
    #[must_use]
    pub fn left(&self, name: &str) -> BTreeMap<String, usize> {
        count(&self.world(), name)
    }

    /// Pages of lists that were served.
    #[must_use]
    pub fn pages(&self) -> u64 {
        self.locked(|world| world.pages)
    }

    /// Takes the caller's permission for an action away.
    pub fn deny(&self, action: &str) {
        self.locked(|world| world.denied.insert(action.to_owned()));
    }

    /// The next instance launched goes from pending to terminated, for this state reason.
    pub fn doom_next(&self, reason: &str) {
        self.locked(|world| world.dooms.push(reason.to_owned()));
    }

    /// The next `times` launches of the type in the zone find no capacity.
    pub fn exhaust(&self, instance_type: &str, zone: &str, times: u32) {
        self.locked(|world| world.scarce.insert((instance_type.to_owned(), zone.to_owned()), times));
    }

    /// What every machine's console shows from now on; nothing at first.
    pub fn print_on_consoles(&self, text: &str) {
        self.locked(|world| text.clone_into(&mut world.consoles));
    }

    /// Somebody terminates an instance; it is gone once `Rules::shutting_down` has passed.
    pub fn kill(&self, instance: &str) {
        self.locked(|world| world.enter(instance, InstanceState::ShuttingDown));
    }

    /// Somebody stops an instance.
    pub fn stop(&self, instance: &str) {
        self.locked(|world| world.enter(instance, InstanceState::Stopping));
    }

    /// Puts a bystander into the account.
    pub fn plant_bystander(&self) -> Bystander {
        self.locked(|world| {
            let cidr = net(Ipv4Addr::new(172, 20, 0, 0), 16);
            let vpc = world.make_vpc(cidr, named("bystander"));
            let subnet = world.plant_subnet(&vpc, net(Ipv4Addr::new(172, 20, 1, 0), 24));
            let group = world.plant_group(&vpc);
            let (instance, interface) = world.plant_instance(&vpc, &subnet, &group);
            Bystander { vpc, subnet, group, instance, interface }
        })
    }

    /// Puts a foreign instance into a subnet, under the subnet VPC's default group.
    /// Gives instance and interface id, or nothing if there is no such subnet.
    pub fn plant_instance(&self, subnet: &str) -> Option<(String, String)> {
        self.locked(|world| {
            let vpc = world.subnets.truth(subnet)?.vpc.clone();
            let group = world.groups.live().find(|g| g.vpc == vpc && g.name == "default")?.id.clone();
            Some(world.plant_instance(&vpc, subnet, &group))
        })
    }

    /// Puts a foreign interface into a subnet, as a load balancer or a Lambda function does.
    pub fn plant_interface(&self, subnet: &str, description: &str) -> Option<String> {
        self.locked(|world| {
            let vpc = world.subnets.truth(subnet)?.vpc.clone();
            Some(world.plant_interface(&vpc, subnet, None, description))
        })
    }

    /// Puts a foreign security group into a VPC.
    pub fn plant_group(&self, vpc: &str) -> String {
        self.locked(|world| world.plant_group(vpc))
    }

    /// Takes an interface away, as its owner would.
    pub fn unplant_interface(&self, interface: &str) {
        self.locked(|world| world.interfaces.delete(interface, 0));
    }
}

fn count(world: &Inventory, name: &str) -> BTreeMap<String, usize> {
    let mut left = BTreeMap::new();
    let mut add = |kind: &str, tags: &Tags| {
        if tags.belongs_to(name) {
            *left.entry(format!("{kind} {}", tags.slot().unwrap_or("?"))).or_insert(0) += 1;
        }
    };
    world.vpcs.iter().for_each(|x| add("vpc", &x.tags));
    world.internet_gateways.iter().for_each(|x| add("internet-gateway", &x.tags));
    world.route_tables.iter().for_each(|x| add("route-table", &x.tags));
    world.subnets.iter().for_each(|x| add("subnet", &x.tags));
    world.security_groups.iter().for_each(|x| add("security-group", &x.tags));
    world.key_pairs.iter().for_each(|x| add("key-pair", &x.tags));
    world.volumes.iter().for_each(|x| add("volume", &x.tags));
    world.network_interfaces.iter().for_each(|x| add("interface", &x.tags));
    let there = |i: &&Instance| i.state != InstanceState::Terminated;
    world.instances.iter().filter(there).for_each(|x| add("instance", &x.tags));
    left
}

impl World {
    fn plant_subnet(&mut self, vpc: &str, cidr: Ipv4Net) -> String {
        let id = self.id("subnet");
        let zone = self.rules.zones.first().map(|zone| zone.name.clone()).unwrap_or_default();
        let subnet = Subnet { id: id.clone(), vpc: vpc.to_owned(), zone, cidr, tags: named("bystander") };
        self.subnets.put(subnet, Lag::default());
        id
    }

    fn plant_group(&mut self, vpc: &str) -> String {
        let id = self.id("sg");
        let group = SecurityGroup {
            id: id.clone(),
            vpc: vpc.to_owned(),
            name: format!("bystander-{id}"),
            ingress: Vec::new(),
            tags: named("bystander"),
        };
        self.groups.put(group, Lag::default());
        id
    }

    fn plant_instance(&mut self, vpc: &str, subnet: &str, group: &str) -> (String, String) {
        let id = self.id("i");
        let home = self.subnets.truth(subnet).cloned();
        let address = home.as_ref().and_then(|home| self.free_address("RunInstances", home).ok());
        let instance = Instance {
            id: id.clone(),
            state: InstanceState::Running,
            state_reason: None,
            client_token: None,
            instance_type: "t3.micro".to_owned(),
            image: "ami-00000000000000a11".to_owned(),
            zone: home.map(|home| home.zone).unwrap_or_default(),
            vpc: Some(vpc.to_owned()),
            subnet: Some(subnet.to_owned()),
            security_groups: vec![group.to_owned()],
            private_address: address,
            public_address: None,
            launched_at: Some(self.now.to_string()),
            tags: named("bystander"),
        };
        self.instances.put(instance, Lag::default());
        self.lives.insert(id.clone(), Life { since: self.now, doom: None });
        let interface = self.plant_interface(vpc, subnet, Some(id.clone()), "");
        (id, interface)
    }

    fn plant_interface(
        &mut self,
        vpc: &str,
        subnet: &str,
        instance: Option<String>,
        description: &str,
    ) -> String {
        let id = self.id("eni");
        let interface = NetworkInterface {
            id: id.clone(),
            vpc: vpc.to_owned(),
            subnet: subnet.to_owned(),
            instance,
            description: description.to_owned(),
            tags: Tags::default(),
        };
        self.interfaces.put(interface, Lag::default());
        id
    }
}

fn named(name: &str) -> Tags {
    Tags(BTreeMap::from([(plan::model::tags::NAME.to_owned(), name.to_owned())]))
}

fn net(address: Ipv4Addr, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(address, length)
}
