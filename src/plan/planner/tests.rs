use super::*;
use crate::Action;
use crate::config::Config;
use crate::model::{
    Instance, InstanceState, InternetGateway, KeyPair, Route, RouteTable, SecurityGroup, Subnet, Tags, Vpc,
};

fn resolved() -> Resolved {
    let here = vec!["203.0.113.7/32".parse().unwrap()];
    Resolved {
        uid: "0123456789abcdef".to_owned(),
        image: "ami-1".to_owned(),
        root_device: "/dev/xvda".to_owned(),
        offered_zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
        ssh: here.clone(),
        api: here.clone(),
        services: here,
        public_addresses: true,
        public_key: "ssh-ed25519 AAAA".to_owned(),
    }
}

fn desired(config: &Config) -> Desired {
    Desired::new(config, &resolved()).unwrap()
}

/// The inventory of a cluster that `up` has raised: each slot's id is its name.
fn raised(desired: &Desired) -> Inventory {
    let id = str::to_owned;
    let group = |slot: &str, rules: &std::collections::BTreeSet<crate::model::Rule<crate::model::Ref>>| {
        let ingress = rules.iter().map(|rule| {
            rule.try_map(&mut |name| match name {
                crate::model::Ref::Slot(slot) | crate::model::Ref::Id(slot) => Ok::<_, ()>(slot.clone()),
            })
            .unwrap()
        });
        SecurityGroup {
            id: id(slot),
            vpc: id("vpc"),
            name: desired.resource_name(slot),
            ingress: ingress.collect(),
            tags: desired.tags(slot),
        }
    };
    let mut inventory = Inventory {
        vpcs: vec![Vpc { id: id("vpc"), cidr: desired.vpc_cidr, tags: desired.tags("vpc") }],
        internet_gateways: vec![InternetGateway {
            id: id("internet-gateway"),
            vpc: Some(id("vpc")),
            tags: desired.tags("internet-gateway"),
        }],
        route_tables: vec![RouteTable {
            id: id("route-table"),
            vpc: id("vpc"),
            main: false,
            routes: vec![Route { cidr: "0.0.0.0/0".parse().unwrap(), gateway: id("internet-gateway") }],
            associations: desired.subnets.iter().map(|s| (format!("a-{}", s.slot), s.slot.clone())).collect(),
            tags: desired.tags("route-table"),
        }],
        security_groups: vec![
            group("masters", &desired.master_rules),
            group("workers", &desired.worker_rules),
        ],
        key_pairs: vec![KeyPair {
            id: id("key-pair"),
            name: desired.resource_name("key-pair"),
            public_key: Some(desired.public_key.clone()),
            tags: desired.tags("key-pair"),
        }],
        ..Inventory::default()
    };
    for subnet in &desired.subnets {
        inventory.subnets.push(Subnet {
            id: subnet.slot.clone(),
            vpc: id("vpc"),
            zone: subnet.zone.clone(),
            cidr: subnet.cidr,
            tags: desired.tags(&subnet.slot),
        });
    }
    inventory.instances =
        desired.nodes.iter().map(|node| instance(node, &desired.tags(&node.slot))).collect();
    inventory
}

fn instance(node: &DesiredNode, tags: &Tags) -> Instance {
    Instance {
        id: format!("i-{}", node.slot),
        state: InstanceState::Running,
        state_reason: None,
        client_token: None,
        instance_type: node.instance_type.clone(),
        image: node.image.clone(),
        zone: node.zone.clone(),
        vpc: Some("vpc".to_owned()),
        subnet: Some(desired::subnet_slot(&node.zone)),
        security_groups: Vec::new(),
        private_address: None,
        public_address: None,
        launched_at: None,
        tags: tags.clone(),
    }
}

/// What `up` would have observed after it ended well.
fn satisfied(desired: &Desired, inventory: Inventory) -> Observed {
    Observed {
        inventory,
        established: desired.nodes.iter().map(|n| (n.slot.clone(), format!("i-{}", n.slot))).collect(),
        unsatisfied: desired.nodes.iter().map(|n| (n.slot.clone(), Vec::new())).collect(),
    }
}

fn lines(plan: &Plan) -> String {
    plan.actions.iter().map(|action| format!("{action}\n")).collect()
}

#[test]
fn an_empty_account_gets_every_resource_once_and_in_an_order_that_works() {
    let desired = desired(&Config::defaults("shop"));
    let plan = decide(&desired, &Observed::default()).unwrap();
    insta::assert_snapshot!(lines(&plan));
    for (index, needs) in plan.dependencies().iter().enumerate() {
        assert!(needs.iter().all(|need| *need < index), "action {index} needs {needs:?}");
    }
}

#[test]
fn a_launch_waits_until_its_machine_would_be_reachable() {
    let desired = desired(&Config::defaults("shop"));
    let plan = decide(&desired, &Observed::default()).unwrap();
    let dependencies = plan.dependencies();
    let launch = plan.actions.iter().position(|a| a.to_string().starts_with("launch general-0")).unwrap();
    let needed: Vec<_> = dependencies[launch].iter().map(|i| plan.actions[*i].to_string()).collect();
    for word in ["route 0.0.0.0/0", "use (route-table)", "allow into (masters)", "import key pair"] {
        assert!(needed.iter().any(|line| line.starts_with(word)), "{word} is not among {needed:?}");
    }
}

#[test]
fn a_worker_fetches_the_binary_only_once_the_master_hands_it_on() {
    let plan = decide(&desired(&Config::defaults("shop")), &Observed::default()).unwrap();
    let find = |slot: &str, step: Step| {
        let found =
            |a: &Action| matches!(a, Action::Bootstrap { slot: s, step: t, .. } if s == slot && *t == step);
        plan.actions.iter().position(found).unwrap()
    };
    let needs = &plan.dependencies()[find("general-0", Step::Binary)];
    assert!(needs.contains(&find("master-0", Step::Artifacts)));
}

#[test]
fn planning_again_after_up_changes_nothing() {
    let desired = desired(&Config::defaults("shop"));
    let plan = decide(&desired, &satisfied(&desired, raised(&desired))).unwrap();
    assert_eq!(plan, Plan::default(), "{}", lines(&plan));
}

#[test]
fn a_further_worker_adds_its_machine_and_its_zone() {
    let before = desired(&Config::defaults("shop"));
    let mut config = Config::defaults("shop");
    config.workers[0].count = 2;
    let after = desired(&config);
    let plan = decide(&after, &satisfied(&before, raised(&before))).unwrap();
    insta::assert_snapshot!(lines(&plan), @r"
    create subnet 10.20.32.0/19 in us-east-1b
    use route-table for (subnet-us-east-1b)
    launch general-1: t3.small, 20 GiB gp3, ami-1 in (subnet-us-east-1b), public address
    general-1: reach (SSH answers with the pinned key, cloud-init has finished)
    general-1: host-key (a host key made on the node replaces the single-use one)
    general-1: clock (its clock agrees with this machine's)
    general-1: packages (the distribution's packages are installed)
    general-1: kernel (kernel modules and sysctls for pod networking)
    general-1: certificates (its certificates and keys are in place)
    general-1: binary (the cluster binary is in place)
    general-1: containerd (containerd is ready)
    general-1: agent (the agent runs pods, their network and DNS)
    general-1: ready (its own checks pass, and the API says that it is Ready)
    ");
}

#[test]
fn a_changed_source_address_adds_a_rule_and_takes_the_old_one_away() {
    let before = desired(&Config::defaults("shop"));
    let mut moved = resolved();
    moved.ssh = vec!["198.51.100.9/32".parse().unwrap()];
    let after = Desired::new(&Config::defaults("shop"), &moved).unwrap();
    let plan = decide(&after, &satisfied(&before, raised(&before))).unwrap();
    insta::assert_snapshot!(lines(&plan), @r"
    allow into masters: tcp 22 from 198.51.100.9/32
    no longer allow into masters: tcp 22 from 203.0.113.7/32
    allow into workers: tcp 22 from 198.51.100.9/32
    no longer allow into workers: tcp 22 from 203.0.113.7/32
    ");
}

#[test]
fn a_lost_worker_is_made_anew_and_a_lost_master_is_refused() {
    let desired = desired(&Config::defaults("shop"));
    let mut observed = satisfied(&desired, raised(&desired));
    observed.inventory.instances.retain(|i| i.id != "i-general-0");
    let plan = decide(&desired, &observed).unwrap();
    assert!(lines(&plan).contains("launch general-0"), "{}", lines(&plan));
    assert!(lines(&plan).contains("i-general-0 is gone; the machine is made anew"));

    observed.inventory.instances.clear();
    let refusal = decide(&desired, &observed).unwrap_err();
    assert!(matches!(refusal, Refusal::LostMaster { .. }), "{refusal}");
}

#[test]
fn edits_that_would_replace_machines_are_refused_naming_field_and_node() {
    let before = desired(&Config::defaults("shop"));
    let mut config = Config::defaults("shop");
    config.workers[0].instance_type = "m5.large".to_owned();
    let refusal = decide(&desired(&config), &satisfied(&before, raised(&before))).unwrap_err();
    let words = refusal.to_string();
    assert!(words.starts_with("workers[general].type: t3.small cannot become m5.large"), "{words}");
    assert!(words.contains("(general-0)"), "{words}");
}

#[test]
fn fewer_workers_are_refused_naming_them() {
    let before = desired(&Config::defaults("shop"));
    let mut config = Config::defaults("shop");
    config.workers[0].count = 0;
    let refusal = decide(&desired(&config), &satisfied(&before, raised(&before))).unwrap_err();
    assert_eq!(refusal, Refusal::Shrinks { nodes: vec!["general-0".to_owned()] });
}

#[test]
fn of_two_vpcs_the_one_in_use_is_kept_and_the_other_removed() {
    let desired = desired(&Config::defaults("shop"));
    let mut inventory = raised(&desired);
    inventory.vpcs.insert(0, Vpc { id: "a-lost".to_owned(), ..inventory.vpcs[0].clone() });
    let plan = decide(&desired, &satisfied(&desired, inventory)).unwrap();
    insta::assert_snapshot!(lines(&plan), @"delete VPC a-lost (a duplicate of vpc: vpc is the one in use)");
}

#[test]
fn two_machines_in_one_slot_become_the_known_one() {
    let desired = desired(&Config::defaults("shop"));
    let mut inventory = raised(&desired);
    let mut twin = inventory.instances[1].clone();
    twin.id = "i-a-twin".to_owned();
    inventory.instances.push(twin);
    let plan = decide(&desired, &satisfied(&desired, inventory)).unwrap();
    insta::assert_snapshot!(lines(&plan), @"terminate i-a-twin (a duplicate of general-0: i-general-0 is the one in use)");
}

#[test]
fn a_stopped_machine_is_started() {
    let desired = desired(&Config::defaults("shop"));
    let mut observed = satisfied(&desired, raised(&desired));
    observed.inventory.instances[1].state = InstanceState::Stopped;
    observed.unsatisfied.remove("general-0");
    let plan = decide(&desired, &observed).unwrap();
    assert!(lines(&plan).starts_with("start i-general-0 (general-0 is stopped)"), "{}", lines(&plan));
    assert_eq!(plan.actions.len(), 1 + Step::of_role(crate::Role::Worker).len());
}

#[test]
fn resources_of_a_cluster_with_another_uid_are_never_taken_over() {
    let desired = desired(&Config::defaults("shop"));
    let mut inventory = raised(&desired);
    inventory.vpcs[0].tags = Tags::of_slot("shop", "fedcba", "vpc");
    let refusal = decide(&desired, &satisfied(&desired, inventory)).unwrap_err();
    assert!(matches!(refusal, Refusal::OtherCluster { .. }), "{refusal}");
}

#[test]
fn a_rule_added_by_hand_is_taken_away_again() {
    let desired = desired(&Config::defaults("shop"));
    let mut inventory = raised(&desired);
    inventory.security_groups[1].ingress.push(crate::model::Rule {
        protocol: crate::model::Protocol::Tcp { from: 22, to: 22 },
        source: crate::model::Source::Cidr("0.0.0.0/0".parse().unwrap()),
    });
    let plan = decide(&desired, &satisfied(&desired, inventory)).unwrap();
    insta::assert_snapshot!(lines(&plan), @"no longer allow into workers: tcp 22 from 0.0.0.0/0");
}

#[test]
fn a_node_that_was_shut_off_by_a_moved_caller_is_asked_only_once_the_caller_is_let_in() {
    let before = desired(&Config::defaults("shop"));
    let mut moved = resolved();
    moved.ssh = vec!["198.51.100.9/32".parse().unwrap()];
    let after = Desired::new(&Config::defaults("shop"), &moved).unwrap();
    let mut observed = satisfied(&before, raised(&before));
    observed.unsatisfied.clear();
    let plan = decide(&after, &observed).unwrap();
    let dependencies = plan.dependencies();
    let first = plan.actions.iter().position(|action| matches!(action, Action::Bootstrap { .. })).unwrap();
    let needed: Vec<_> = dependencies[first].iter().map(|i| plan.actions[*i].to_string()).collect();
    assert!(needed.iter().any(|line| line.starts_with("allow into workers: tcp 22")), "{needed:?}");
}
