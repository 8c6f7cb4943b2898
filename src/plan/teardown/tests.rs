use super::*;
use crate::model::{
    InternetGateway, KeyPair, Protocol, Route, RouteTable, SecurityGroup, Subnet, Volume, Vpc,
};

const UID_OURS: &str = "aaaa";

fn tags(slot: &str) -> Tags {
    Tags::of_slot("shop", UID_OURS, slot)
}

fn instance(id: &str, state: InstanceState, tags: Tags) -> Instance {
    Instance {
        id: id.into(),
        state,
        state_reason: None,
        client_token: None,
        instance_type: "t3.small".into(),
        image: "ami-1".into(),
        zone: "us-east-1a".into(),
        vpc: (state != InstanceState::Terminated).then(|| "vpc-1".into()),
        subnet: (state != InstanceState::Terminated).then(|| "subnet-1".into()),
        security_groups: vec!["sg-w".into()],
        private_address: None,
        public_address: None,
        launched_at: None,
        tags,
    }
}

fn interface(id: &str, instance: Option<&str>, tags: Tags) -> NetworkInterface {
    NetworkInterface {
        id: id.into(),
        vpc: "vpc-1".into(),
        subnet: "subnet-1".into(),
        instance: instance.map(str::to_owned),
        description: String::new(),
        tags,
    }
}

fn group(id: &str, tags: Tags, lets_in: &[&str]) -> SecurityGroup {
    let protocol = Protocol::Tcp { from: 22, to: 22 };
    let ingress = lets_in.iter().map(|g| Rule { protocol, source: Source::Group((*g).to_owned()) });
    SecurityGroup { id: id.into(), vpc: "vpc-1".into(), name: id.into(), ingress: ingress.collect(), tags }
}

/// A cluster of one machine, as `up` leaves it, with the VPC's own group and table.
fn raised() -> Inventory {
    let route = Route { cidr: "0.0.0.0/0".parse().unwrap(), gateway: "igw-1".into() };
    let table = |id: &str, main, routes, associations, tags| RouteTable {
        id: String::from(id),
        vpc: "vpc-1".into(),
        main,
        routes,
        associations,
        tags,
    };
    let mut default = group("sg-default", Tags::default(), &["sg-default"]);
    default.name = "default".into();
    Inventory {
        vpcs: vec![Vpc { id: "vpc-1".into(), cidr: "10.0.0.0/16".parse().unwrap(), tags: tags("vpc") }],
        internet_gateways: vec![InternetGateway {
            id: "igw-1".into(),
            vpc: Some("vpc-1".into()),
            tags: tags("internet-gateway"),
        }],
        route_tables: vec![
            table("rtb-1", false, vec![route], vec![("as-1".into(), "subnet-1".into())], tags("route-table")),
            table("rtb-main", true, vec![], vec![], Tags::default()),
        ],
        subnets: vec![Subnet {
            id: "subnet-1".into(),
            vpc: "vpc-1".into(),
            zone: "us-east-1a".into(),
            cidr: "10.0.0.0/24".parse().unwrap(),
            tags: tags("subnet-us-east-1a"),
        }],
        security_groups: vec![
            default,
            group("sg-m", tags("masters"), &["sg-w", "sg-m"]),
            group("sg-w", tags("workers"), &["sg-m"]),
        ],
        key_pairs: vec![KeyPair {
            id: "key-1".into(),
            name: "shop".into(),
            public_key: None,
            tags: tags("key-pair"),
        }],
        instances: vec![instance("i-1", InstanceState::Running, tags("general-0"))],
        volumes: vec![Volume {
            id: "vol-1".into(),
            size_gib: 20,
            instance: Some("i-1".into()),
            tags: tags("general-0"),
        }],
        network_interfaces: vec![interface("eni-1", Some("i-1"), tags("general-0"))],
    }
}

/// The machine has ended and taken its interface and volume with it.
fn ended() -> Inventory {
    let mut inventory = raised();
    inventory.instances = vec![instance("i-1", InstanceState::Terminated, tags("general-0"))];
    inventory.volumes.clear();
    inventory.network_interfaces.clear();
    inventory
}

fn lines(teardown: &Teardown) -> Vec<String> {
    let subject = |call: &Call<String>| serde_json::to_value(call).unwrap();
    let calls = teardown.calls.iter().map(|call| {
        let fields = subject(call);
        let ids = fields.as_object().unwrap().iter().filter(|(key, _)| *key != "call" && *key != "rules");
        let ids: Vec<String> = ids.map(|(_, v)| v.to_string().replace('"', "")).collect();
        format!("{} {}", call.action_name(), ids.join(" "))
    });
    let waiting = teardown.waiting.iter().map(|w| format!("wait {} {}: {}", w.what, w.id, w.why));
    let foreign = teardown.foreign.iter().map(|f| {
        format!("{} {} {}: {}", if f.blocks { "blocked by" } else { "beside" }, f.what, f.id, f.why)
    });
    let mut lines: Vec<String> = calls.chain(waiting).chain(foreign).collect();
    if teardown.done {
        lines.push("done".into());
    }
    lines
}

fn decided(inventory: &Inventory) -> Vec<String> {
    lines(&decide(inventory, "shop", Some(UID_OURS)))
}

/// Does to `inventory` what AWS would do for `call`.
fn carry_out(inventory: &mut Inventory, call: &Call<String>) {
    let i = inventory;
    match call {
        Call::TerminateInstances { instances } => {
            for instance in i.instances.iter_mut().filter(|x| instances.contains(&x.id)) {
                instance.state = InstanceState::ShuttingDown;
            }
        }
        Call::DeleteKeyPair { key_pair } => i.key_pairs.retain(|x| x.id != *key_pair),
        Call::DeleteVolume { volume } => i.volumes.retain(|x| x.id != *volume),
        Call::DeleteNetworkInterface { interface } => i.network_interfaces.retain(|x| x.id != *interface),
        Call::DeleteSecurityGroup { group } => i.security_groups.retain(|x| x.id != *group),
        Call::RevokeSecurityGroupIngress { group, rules } => {
            let group = i.security_groups.iter_mut().find(|x| x.id == *group).unwrap();
            group.ingress.retain(|rule| !rules.contains(rule));
        }
        Call::DisassociateRouteTable { association } => {
            i.route_tables.iter_mut().for_each(|t| t.associations.retain(|(id, _)| id != association));
        }
        Call::DeleteRouteTable { table } => i.route_tables.retain(|x| x.id != *table),
        Call::DeleteSubnet { subnet } => i.subnets.retain(|x| x.id != *subnet),
        Call::DetachInternetGateway { gateway, .. } => {
            i.internet_gateways.iter_mut().filter(|g| g.id == *gateway).for_each(|g| g.vpc = None);
        }
        Call::DeleteInternetGateway { gateway } => i.internet_gateways.retain(|x| x.id != *gateway),
        Call::DeleteVpc { vpc } => {
            i.vpcs.retain(|x| x.id != *vpc);
            i.route_tables.retain(|x| x.vpc != *vpc);
            i.security_groups.retain(|x| x.vpc != *vpc);
        }
        other => panic!("a teardown asked for {other:?}"),
    }
}

#[test]
fn a_running_cluster_loses_its_machines_first() {
    assert_eq!(
        decided(&raised()),
        [
            "TerminateInstances [i-1]",
            "DeleteKeyPair key-1",
            "wait volume vol-1: it is attached to i-1",
            "wait network interface eni-1: it is attached to i-1",
        ]
    );
}

#[test]
fn while_machines_shut_down_routes_and_rules_go_and_nothing_they_hold() {
    let mut inventory = raised();
    inventory.instances[0].state = InstanceState::ShuttingDown;
    assert_eq!(
        decided(&inventory),
        [
            "DeleteKeyPair key-1",
            "DisassociateRouteTable as-1",
            "RevokeSecurityGroupIngress sg-m",
            "RevokeSecurityGroupIngress sg-w",
            "wait instance i-1: it is shutting down",
            "wait volume vol-1: it is attached to i-1",
            "wait network interface eni-1: it is attached to i-1",
        ]
    );
}

#[test]
fn rounds_end_with_nothing_left_and_no_call_is_ever_too_early() {
    let mut inventory = ended();
    let mut rounds = Vec::new();
    for _ in 0..10 {
        let teardown = decide(&inventory, "shop", Some(UID_OURS));
        rounds.push(lines(&teardown).join(", "));
        if teardown.done {
            break;
        }
        teardown.calls.iter().for_each(|call| carry_out(&mut inventory, call));
    }
    assert_eq!(
        rounds,
        [
            "DeleteKeyPair key-1, DisassociateRouteTable as-1, RevokeSecurityGroupIngress sg-m, RevokeSecurityGroupIngress sg-w, DeleteSubnet subnet-1, DetachInternetGateway igw-1 vpc-1",
            "DeleteRouteTable rtb-1, DeleteSecurityGroup sg-m, DeleteSecurityGroup sg-w, DeleteInternetGateway igw-1",
            "DeleteVpc vpc-1",
            "done",
        ]
    );
}

#[test]
fn duplicates_of_a_slot_go_too() {
    let mut inventory = ended();
    let mut twin = inventory.vpcs[0].clone();
    twin.id = "vpc-2".into();
    inventory.vpcs.push(twin);
    inventory.instances.push(instance("i-2", InstanceState::Pending, tags("general-0")));
    assert_eq!(decided(&inventory), ["TerminateInstances [i-2]", "DeleteKeyPair key-1", "DeleteVpc vpc-2"]);
}

#[test]
fn what_a_machine_left_over_is_deleted() {
    let inventory = Inventory {
        volumes: raised().volumes,
        network_interfaces: vec![interface("eni-1", None, tags("general-0"))],
        ..Inventory::default()
    };
    assert_eq!(decided(&inventory), ["DeleteVolume vol-1", "DeleteNetworkInterface eni-1"]);
}

#[test]
fn terminated_machines_are_records_and_nothing_to_wait_for() {
    let instances = vec![instance("i-1", InstanceState::Terminated, tags("general-0"))];
    assert_eq!(decided(&Inventory { instances, ..Inventory::default() }), ["done"]);
}

#[test]
fn each_thing_in_the_way_is_named_with_what_it_blocks() {
    let mut lambda = interface("eni-9", None, Tags::default());
    lambda.description = "AWS Lambda VPC ENI-resize".into();
    let mut other = instance("i-9", InstanceState::Running, Tags::default());
    other.tags.0.insert("Name".into(), "bastion".into());
    type Change = Box<dyn Fn(&mut Inventory)>;
    let cases: Vec<(Change, &str)> = vec![
        (
            Box::new(move |i| i.network_interfaces.push(lambda.clone())),
            "blocked by network interface eni-9: it uses an address of subnet-1: AWS Lambda VPC ENI-resize",
        ),
        (
            Box::new(move |i| i.instances.push(other.clone())),
            "blocked by instance i-9: it runs in subnet-1 and is called \"bastion\"",
        ),
        (
            Box::new(|i| i.security_groups.push(group("sg-9", Tags::default(), &[]))),
            "blocked by security group sg-9: \"sg-9\" is part of vpc-1",
        ),
        (
            Box::new(|i| i.security_groups.push(group("sg-9", Tags::default(), &["sg-m"]))),
            "blocked by security group sg-9: \"sg-9\" has a rule that lets in sg-m",
        ),
        (
            Box::new(|i| i.subnets[0].tags = Tags::default()),
            "blocked by subnet subnet-1: it is part of vpc-1",
        ),
        (
            Box::new(|i| i.route_tables[0].tags = Tags::default()),
            "blocked by route table rtb-1: it is part of vpc-1",
        ),
        (
            Box::new(|i| i.internet_gateways[0].tags = Tags::default()),
            "blocked by internet gateway igw-1: it is attached to vpc-1",
        ),
        (
            Box::new(|i| i.internet_gateways[0].vpc = Some("vpc-9".into())),
            "blocked by VPC vpc-9: it is not this cluster's and igw-1 is attached to it",
        ),
    ];
    for (change, expected) in cases {
        let mut inventory = ended();
        change(&mut inventory);
        let lines = decided(&inventory);
        assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:#?}");
        assert!(!lines.contains(&"DeleteVpc vpc-1".to_owned()), "{lines:#?}");
        assert!(!lines.contains(&"done".to_owned()), "{lines:#?}");
    }
}

#[test]
fn nothing_without_our_tags_is_named_in_a_call() {
    let mut inventory = ended();
    let theirs = Tags::of_slot("shop", "bbbb", "x");
    inventory.vpcs.push(Vpc {
        id: "vpc-b".into(),
        cidr: "10.1.0.0/16".parse().unwrap(),
        tags: theirs.clone(),
    });
    let mut machine = instance("i-b", InstanceState::Running, theirs.clone());
    machine.vpc = Some("vpc-b".into());
    inventory.instances.push(machine);
    inventory.network_interfaces.push(interface("eni-b", Some("i-b"), theirs));
    inventory.network_interfaces.push(interface("eni-f", None, Tags::default()));
    for _ in 0..10 {
        let teardown = decide(&inventory, "shop", Some(UID_OURS));
        let text = serde_json::to_string(&teardown.calls).unwrap();
        for id in ["vpc-b", "i-b", "eni-b", "eni-f", "sg-default", "rtb-main"] {
            assert!(!text.contains(id), "{id} in {text}");
        }
        teardown.calls.iter().for_each(|call| carry_out(&mut inventory, call));
    }
    let lines = decided(&inventory);
    assert!(
        lines.contains(&"beside VPC vpc-b: it belongs to another cluster called shop (uid bbbb)".into()),
        "{lines:#?}"
    );
}

#[test]
fn another_cluster_of_the_same_name_does_not_keep_ours_from_being_done() {
    let theirs = Tags::of_slot("shop", "bbbb", "vpc");
    let vpc = Vpc { id: "vpc-b".into(), cidr: "10.1.0.0/16".parse().unwrap(), tags: theirs };
    let inventory = Inventory { vpcs: vec![vpc], ..Inventory::default() };
    assert_eq!(
        decided(&inventory),
        ["beside VPC vpc-b: it belongs to another cluster called shop (uid bbbb)", "done"]
    );
    assert_eq!(lines(&decide(&inventory, "shop", None)), ["DeleteVpc vpc-b"]);
    assert_eq!(uids(&inventory, "shop"), ["bbbb"]);
}
