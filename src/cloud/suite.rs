//! Cases that hold on every cloud: the fake, and an EC2 endpoint where one is given.
//!
//! They make a whole cluster's set of resources, list it, and take it away
//! again, the way execution does: list before calling again, poll by listing.

use std::collections::BTreeSet;
use std::time::Duration;

use base::Clock;
use ipnet::Ipv4Net;
use plan::model::{Call, InstanceState, Inventory, LaunchRequest, Protocol, Rule, Source, Tags};

use crate::seam::{Architecture, Cloud, Image, ImageQuery};
use crate::{CloudError, Verdict};

pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

/// One cluster to be made and unmade.
pub(crate) struct Kit<'a> {
    pub(crate) cloud: &'a dyn Cloud,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) name: String,
    /// Listings, a second apart, before something counts as never coming.
    pub(crate) polls: u32,
}

/// The ids of what was made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Made {
    pub(crate) vpc: String,
    pub(crate) gateway: String,
    pub(crate) table: String,
    pub(crate) subnet: String,
    pub(crate) group: String,
    pub(crate) peer: String,
    pub(crate) key: String,
    pub(crate) association: String,
}

pub(crate) fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

impl Kit<'_> {
    pub(crate) fn tags(&self, slot: &str) -> Tags {
        Tags::of_slot(&self.name, "0f0e0d0c", slot)
    }

    /// Calls until the answer is final; what is too new to be seen is asked for again.
    pub(crate) async fn call(&self, call: Call<String>) -> Result<Option<String>, CloudError> {
        let mut last = None;
        for _ in 0..self.polls {
            match self.cloud.apply(&call).await {
                Ok(outcome) => return Ok(outcome.id),
                Err(error) if error.is_not_found() || error.verdict() == Verdict::Retry => last = Some(error),
                Err(error) => return Err(error),
            }
            self.clock.sleep(Duration::from_secs(1)).await;
        }
        Err(last.unwrap())
    }

    async fn make(&self, call: Call<String>) -> String {
        self.call(call).await.unwrap().unwrap()
    }

    async fn done(&self, call: Call<String>) {
        self.call(call).await.unwrap();
    }

    /// Lists until `holds`.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Inventory) -> bool) -> Inventory {
        let mut seen = Inventory::default();
        for _ in 0..self.polls {
            seen = self.cloud.inventory(&self.name).await.unwrap();
            if holds(&seen) {
                return seen;
            }
            self.clock.sleep(Duration::from_secs(1)).await;
        }
        panic!("{what} never came: {seen:#?}");
    }

    pub(crate) async fn network(&self) -> Made {
        let zone = self.cloud.zones().await.unwrap()[0].name.clone();
        let vpc = self
            .make(Call::CreateVpc { slot: "vpc".into(), cidr: net("10.42.0.0/16"), tags: self.tags("vpc") })
            .await;
        let gateway = self
            .make(Call::CreateInternetGateway { slot: "gateway".into(), tags: self.tags("gateway") })
            .await;
        self.done(Call::AttachInternetGateway { gateway: gateway.clone(), vpc: vpc.clone() }).await;
        let table = self
            .make(Call::CreateRouteTable {
                slot: "routes".into(),
                vpc: vpc.clone(),
                tags: self.tags("routes"),
            })
            .await;
        let (cidr, to) = (net("0.0.0.0/0"), gateway.clone());
        self.done(Call::CreateRoute { table: table.clone(), cidr, gateway: to }).await;
        let subnet = self
            .make(Call::CreateSubnet {
                slot: "subnet-a".into(),
                vpc: vpc.clone(),
                cidr: net("10.42.0.0/20"),
                zone,
                tags: self.tags("subnet-a"),
            })
            .await;
        let association =
            self.make(Call::AssociateRouteTable { table: table.clone(), subnet: subnet.clone() }).await;
        let group = self.group(&vpc, "masters").await;
        let peer = self.group(&vpc, "workers").await;
        let key = self
            .make(Call::ImportKeyPair {
                slot: "key".into(),
                name: format!("{}-key", self.name),
                public_key: KEY.into(),
                tags: self.tags("key"),
            })
            .await;
        Made { vpc, gateway, table, subnet, group, peer, key, association }
    }

    async fn group(&self, vpc: &str, slot: &str) -> String {
        self.make(Call::CreateSecurityGroup {
            slot: slot.into(),
            vpc: vpc.into(),
            name: format!("{}-{slot}", self.name),
            description: "of the suite".into(),
            tags: self.tags(slot),
        })
        .await
    }

    pub(crate) async fn image(&self) -> Image {
        let query = ImageQuery::Newest {
            owner: crate::fake::DEBIAN.into(),
            name: "debian-12-*".into(),
            architecture: Architecture::X86_64,
        };
        self.cloud.image(&query).await.unwrap().unwrap()
    }

    pub(crate) async fn launch(&self, made: &Made, slot: &str, token: &str) -> LaunchRequest<String> {
        let image = self.image().await;
        LaunchRequest {
            slot: slot.into(),
            client_token: token.into(),
            image: image.id,
            root_device: image.root_device,
            volume_gib: image.root_gib.max(20),
            instance_type: "t3.small".into(),
            subnet: made.subnet.clone(),
            security_groups: vec![made.group.clone()],
            key_name: format!("{}-key", self.name),
            public_address: true,
            instance_profile: None,
            user_data: "#cloud-config\nhostname: suite\n".into(),
            tags: self.tags(slot),
        }
    }

    /// Takes everything of the cluster away, found by listing only.
    pub(crate) async fn unmake(&self) {
        let seen = self.until("a full listing", |i| !i.vpcs.is_empty()).await;
        let live: Vec<String> =
            seen.instances.iter().filter(|i| i.state.is_live()).map(|i| i.id.clone()).collect();
        if !live.is_empty() {
            self.done(Call::TerminateInstances { instances: live }).await;
        }
        let gone = |i: &Inventory| {
            i.instances.iter().all(|i| i.state == InstanceState::Terminated)
                && i.network_interfaces.is_empty()
        };
        let seen = self.until("the end of the instances", gone).await;
        for call in deletions(&seen) {
            self.done(call).await;
        }
        self.until("an empty listing", Inventory::is_empty).await;
    }
}

/// The deletions of all but instances, in an order that AWS accepts.
pub(crate) fn deletions(seen: &Inventory) -> Vec<Call<String>> {
    let mut calls = Vec::new();
    for group in seen.security_groups.iter().filter(|g| !g.ingress.is_empty()) {
        calls
            .push(Call::RevokeSecurityGroupIngress { group: group.id.clone(), rules: group.ingress.clone() });
    }
    for group in seen.security_groups.iter().filter(|g| g.name != "default") {
        calls.push(Call::DeleteSecurityGroup { group: group.id.clone() });
    }
    for (association, _) in seen.route_tables.iter().flat_map(|table| &table.associations) {
        calls.push(Call::DisassociateRouteTable { association: association.clone() });
    }
    for subnet in &seen.subnets {
        calls.push(Call::DeleteSubnet { subnet: subnet.id.clone() });
    }
    for table in seen.route_tables.iter().filter(|t| !t.main) {
        calls.push(Call::DeleteRouteTable { table: table.id.clone() });
    }
    for gateway in &seen.internet_gateways {
        if let Some(vpc) = &gateway.vpc {
            calls.push(Call::DetachInternetGateway { gateway: gateway.id.clone(), vpc: vpc.clone() });
        }
        calls.push(Call::DeleteInternetGateway { gateway: gateway.id.clone() });
    }
    for key in &seen.key_pairs {
        calls.push(Call::DeleteKeyPair { key_pair: key.id.clone() });
    }
    for vpc in &seen.vpcs {
        calls.push(Call::DeleteVpc { vpc: vpc.id.clone() });
    }
    calls
}

/// The rules of the suite: every protocol, both sources.
pub(crate) fn rules(peer: &str) -> Vec<Rule<String>> {
    let from = |text: &str| Source::Cidr(net(text));
    let mut rules = vec![
        Rule { protocol: Protocol::Tcp { from: 22, to: 22 }, source: from("192.0.2.7/32") },
        Rule { protocol: Protocol::Tcp { from: 2379, to: 2380 }, source: Source::Group(peer.into()) },
        Rule { protocol: Protocol::Udp { from: 8472, to: 8472 }, source: Source::Group(peer.into()) },
        Rule { protocol: Protocol::Icmp { kind: 3, code: 4 }, source: from("0.0.0.0/0") },
        Rule { protocol: Protocol::Tcp { from: 22, to: 22 }, source: from("198.51.100.0/24") },
    ];
    rules.sort();
    rules
}

/// Make everything, see it as it was asked for, take it away, see nothing.
pub(crate) async fn whole_life(kit: &Kit<'_>) {
    let made = kit.network().await;
    let rules = rules(&made.peer);
    kit.done(Call::AuthorizeSecurityGroupIngress { group: made.group.clone(), rules: rules.clone() }).await;
    let request = kit.launch(&made, "master-0", "suite-token-1").await;
    let instance = kit.make(Call::RunInstances(request.clone())).await;

    let running = |i: &Inventory| {
        let run = i.instances.iter().any(|i| i.id == instance && i.state == InstanceState::Running);
        run && i.key_pairs.len() == 1
            && i.internet_gateways.len() == 1
            && i.route_tables.len() == 2
            && i.security_groups.len() == 3
            && i.subnets.len() == 1
            && i.volumes.len() == 1
            && i.network_interfaces.len() == 1
    };
    let seen = kit.until("the whole set", running).await;
    check_network(kit, &made, &rules, &seen);
    check_instance(kit, &made, &request, &seen);
    let polled = kit.cloud.instances(&kit.name).await.unwrap();
    assert_eq!(polled, seen.instances);
    kit.unmake().await;
}

fn check_network(kit: &Kit<'_>, made: &Made, rules: &[Rule<String>], seen: &Inventory) {
    assert_eq!(seen.vpcs[0].id, made.vpc);
    assert_eq!(seen.vpcs[0].cidr, net("10.42.0.0/16"));
    assert_eq!(seen.vpcs[0].tags, kit.tags("vpc"));
    assert_eq!(seen.internet_gateways[0].id, made.gateway);
    assert_eq!(seen.internet_gateways[0].vpc.as_deref(), Some(made.vpc.as_str()));
    assert_eq!(seen.internet_gateways[0].tags, kit.tags("gateway"));
    assert_eq!(seen.subnets[0].cidr, net("10.42.0.0/20"));
    assert_eq!(seen.subnets[0].tags, kit.tags("subnet-a"));
    assert_eq!(seen.key_pairs[0].id, made.key);
    assert_eq!(seen.key_pairs[0].public_key.as_deref(), Some(KEY));
    assert_eq!(seen.key_pairs[0].tags, kit.tags("key"));
    let table = seen.route_tables.iter().find(|t| t.id == made.table).unwrap();
    assert!(!table.main);
    assert_eq!(table.associations, [(made.association.clone(), made.subnet.clone())]);
    assert_eq!(table.routes.len(), 1);
    assert_eq!(table.routes[0].gateway, made.gateway);
    assert_eq!(table.tags, kit.tags("routes"));
    assert_eq!(seen.route_tables.iter().filter(|t| t.main).count(), 1);
    let group = seen.security_groups.iter().find(|g| g.id == made.group).unwrap();
    assert_eq!(group.ingress, rules);
    assert_eq!(group.tags, kit.tags("masters"));
    assert!(seen.security_groups.iter().any(|g| g.name == "default"));
}

fn check_instance(kit: &Kit<'_>, made: &Made, request: &LaunchRequest<String>, seen: &Inventory) {
    let instance = &seen.instances[0];
    assert_eq!(instance.client_token.as_deref(), Some(request.client_token.as_str()));
    assert_eq!(instance.instance_type, request.instance_type);
    assert_eq!(instance.image, request.image);
    assert_eq!(instance.vpc.as_deref(), Some(made.vpc.as_str()));
    assert_eq!(instance.subnet.as_deref(), Some(made.subnet.as_str()));
    assert_eq!(instance.security_groups, std::slice::from_ref(&made.group));
    assert!(net("10.42.0.0/20").contains(&instance.private_address.unwrap()));
    assert!(instance.public_address.is_some());
    assert!(instance.launched_at.is_some());
    assert_eq!(instance.tags, kit.tags("master-0"));
    assert_eq!(seen.volumes[0].size_gib, request.volume_gib);
    assert_eq!(seen.volumes[0].instance.as_deref(), Some(instance.id.as_str()));
    assert_eq!(seen.volumes[0].tags, kit.tags("master-0"));
    assert_eq!(seen.network_interfaces[0].instance.as_deref(), Some(instance.id.as_str()));
    assert_eq!(seen.network_interfaces[0].subnet, made.subnet);
}

/// The questions that change nothing.
pub(crate) async fn questions(kit: &Kit<'_>) {
    let caller = kit.cloud.caller().await.unwrap();
    assert_eq!(caller.account.len(), 12);
    assert!(caller.arn.starts_with("arn:aws"));
    let zones = kit.cloud.zones().await.unwrap();
    assert!(zones.len() >= 2 && zones.is_sorted() && zones.iter().all(|z| z.available));
    let asked: BTreeSet<String> = ["t3.small", "t3.medium", "t9.colossal"].map(str::to_owned).into();
    let types = kit.cloud.instance_types(&asked).await.unwrap();
    let names: Vec<&str> = types.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["t3.medium", "t3.small"]);
    assert_eq!((types[1].vcpus, types[1].memory_mib), (2, 2048));
    assert_eq!(types[1].architectures, [Architecture::X86_64]);
    assert!(types[1].zones.contains(&zones[0].name), "{:?}", types[1].zones);
    let image = kit.image().await;
    assert!(image.id.starts_with("ami-") && image.root_device.starts_with("/dev/") && image.root_gib > 0);
    assert_eq!(kit.cloud.image(&ImageQuery::Id(image.id.clone())).await.unwrap(), Some(image));
    assert!(kit.cloud.inventory("nobody-has-this-name").await.unwrap().is_empty());
}

/// A launch that names what need not exist.
pub(crate) fn launch(slot: &str) -> LaunchRequest<String> {
    LaunchRequest {
        slot: slot.into(),
        client_token: "0123456789abcdef".into(),
        image: "ami-00000000000000001".into(),
        root_device: "/dev/xvda".into(),
        volume_gib: 20,
        instance_type: "t3.small".into(),
        subnet: "subnet-00000000000000001".into(),
        security_groups: vec!["sg-00000000000000001".into(), "sg-00000000000000002".into()],
        key_name: "demo".into(),
        public_address: true,
        instance_profile: Some("nodes".into()),
        user_data: "#cloud-config\n".into(),
        tags: Tags::of_slot("demo", "0f0e0d0c", slot),
    }
}

/// One call of each kind, in no useful order.
pub(crate) fn every_call() -> Vec<Call<String>> {
    let id = |kind: &str| format!("{kind}-00000000000000001");
    let tags = Tags::of_slot("demo", "0f0e0d0c", "x");
    let (slot, cidr, name) = ("x".to_owned(), net("10.42.0.0/16"), "demo".to_owned());
    let (gateway, vpc, table, subnet, group) = (id("igw"), id("vpc"), id("rtb"), id("subnet"), id("sg"));
    let rules = rules(&id("sg"));
    vec![
        Call::CreateVpc { slot: slot.clone(), cidr, tags: tags.clone() },
        Call::CreateInternetGateway { slot: slot.clone(), tags: tags.clone() },
        Call::AttachInternetGateway { gateway: gateway.clone(), vpc: vpc.clone() },
        Call::CreateRouteTable { slot: slot.clone(), vpc: vpc.clone(), tags: tags.clone() },
        Call::CreateRoute { table: table.clone(), cidr, gateway: gateway.clone() },
        Call::CreateSubnet {
            slot: slot.clone(),
            vpc: vpc.clone(),
            cidr,
            zone: "us-east-1a".into(),
            tags: tags.clone(),
        },
        Call::AssociateRouteTable { table: table.clone(), subnet: subnet.clone() },
        Call::CreateSecurityGroup {
            slot: slot.clone(),
            vpc: vpc.clone(),
            name: name.clone(),
            description: name.clone(),
            tags: tags.clone(),
        },
        Call::AuthorizeSecurityGroupIngress { group: group.clone(), rules: rules.clone() },
        Call::RevokeSecurityGroupIngress { group: group.clone(), rules },
        Call::ImportKeyPair { slot, name, public_key: KEY.into(), tags },
        Call::RunInstances(launch("general-0")),
        Call::StartInstances { instances: vec![id("i")] },
        Call::TerminateInstances { instances: vec![id("i")] },
        Call::DeleteKeyPair { key_pair: "key-1".into() },
        Call::DeleteVolume { volume: id("vol") },
        Call::DeleteNetworkInterface { interface: id("eni") },
        Call::DeleteSecurityGroup { group },
        Call::DisassociateRouteTable { association: id("rtbassoc") },
        Call::DeleteRouteTable { table },
        Call::DeleteSubnet { subnet },
        Call::DetachInternetGateway { gateway: gateway.clone(), vpc: vpc.clone() },
        Call::DeleteInternetGateway { gateway },
        Call::DeleteVpc { vpc },
    ]
}
