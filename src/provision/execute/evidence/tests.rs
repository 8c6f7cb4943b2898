use super::*;
use plan::model::{
    InternetGateway, KeyPair, Protocol, Route, RouteTable, SecurityGroup, Source, Subnet, Vpc,
};

fn tags(slot: &str) -> Tags {
    Tags::of_slot("shop", "aaaa", slot)
}

fn net<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

fn rule(port: u16) -> Rule<String> {
    Rule { protocol: Protocol::Tcp { from: port, to: port }, source: Source::Cidr(net("10.0.0.0/8")) }
}

/// One resource of each kind, as this cluster makes them.
fn inventory() -> Inventory {
    Inventory {
        vpcs: vec![Vpc { id: "vpc-1".into(), cidr: net("10.0.0.0/16"), tags: tags("vpc") }],
        internet_gateways: vec![InternetGateway {
            id: "igw-1".into(),
            vpc: Some("vpc-1".into()),
            tags: tags("internet-gateway"),
        }],
        route_tables: vec![RouteTable {
            id: "rtb-1".into(),
            vpc: "vpc-1".into(),
            main: false,
            routes: vec![Route { cidr: net("0.0.0.0/0"), gateway: "igw-1".into() }],
            associations: vec![("as-1".into(), "subnet-1".into())],
            tags: tags("route-table"),
        }],
        subnets: vec![Subnet {
            id: "subnet-1".into(),
            vpc: "vpc-1".into(),
            zone: "us-east-1a".into(),
            cidr: net("10.0.0.0/24"),
            tags: tags("subnet-us-east-1a"),
        }],
        security_groups: vec![SecurityGroup {
            id: "sg-1".into(),
            vpc: "vpc-1".into(),
            name: "shop-masters".into(),
            ingress: vec![rule(22), rule(80)],
            tags: tags("masters"),
        }],
        key_pairs: vec![KeyPair {
            id: "key-1".into(),
            name: "shop-key".into(),
            public_key: Some("ssh-ed25519 AAAA".into()),
            tags: tags("key-pair"),
        }],
        ..Inventory::default()
    }
}

fn words(call: &Call<String>) -> String {
    match of_call(call, &inventory()) {
        Evidence::Found(Outcome { id }) => format!("found {}", id.unwrap_or_default()).trim_end().to_owned(),
        Evidence::Ended(reason) => format!("ended {reason:?}"),
        Evidence::Differs(what) => what,
        Evidence::Absent => "absent".to_owned(),
    }
}

#[test]
fn a_creation_is_found_by_slot_and_uid_and_compared_with_what_was_asked_for() {
    let vpc = |slot: &str, cidr: &str, tags| Call::CreateVpc { slot: slot.into(), cidr: net(cidr), tags };
    let subnet = |cidr: &str, zone: &str, slot: &str| Call::CreateSubnet {
        slot: slot.into(),
        vpc: "vpc-1".into(),
        cidr: net(cidr),
        zone: zone.into(),
        tags: tags(slot),
    };
    let group = |vpc: &str, slot: &str| Call::CreateSecurityGroup {
        slot: slot.into(),
        vpc: vpc.into(),
        name: "shop-masters".into(),
        description: String::new(),
        tags: tags(slot),
    };
    let key = |public_key: &str| Call::ImportKeyPair {
        slot: "key-pair".into(),
        name: "shop-key".into(),
        public_key: public_key.into(),
        tags: tags("key-pair"),
    };
    let table = |vpc: &str| Call::CreateRouteTable {
        slot: "route-table".into(),
        vpc: vpc.into(),
        tags: tags("route-table"),
    };
    let cases = [
        (vpc("vpc", "10.0.0.0/16", tags("vpc")), "found vpc-1"),
        (vpc("vpc", "10.9.0.0/16", tags("vpc")), "vpc-1 is there and has another CIDR"),
        (vpc("vpc", "10.0.0.0/16", Tags::of_slot("shop", "bbbb", "vpc")), "absent"),
        (table("vpc-1"), "found rtb-1"),
        (table("vpc-2"), "absent"),
        (subnet("10.0.0.0/24", "us-east-1a", "subnet-us-east-1a"), "found subnet-1"),
        (
            subnet("10.0.1.0/24", "us-east-1a", "subnet-us-east-1a"),
            "subnet-1 is there and has another CIDR or zone",
        ),
        (
            subnet("10.0.0.0/24", "us-east-1b", "subnet-us-east-1b"),
            "subnet-1 is there and has the same CIDR and is not this cluster's",
        ),
        (group("vpc-1", "masters"), "found sg-1"),
        (group("vpc-2", "masters"), "absent"),
        (group("vpc-1", "workers"), "sg-1 is there and has the same name and is not this cluster's"),
        (key("ssh-ed25519 AAAA a-comment"), "found key-1"),
        (key("ssh-ed25519 BBBB"), "key-1 is there and has another public key, or is not this cluster's"),
    ];
    for (call, expected) in cases {
        assert_eq!(words(&call), expected, "{call:?}");
    }
}

#[test]
fn a_tie_is_found_where_it_is_and_compared() {
    let attach =
        |gateway: &str, vpc: &str| Call::AttachInternetGateway { gateway: gateway.into(), vpc: vpc.into() };
    let route = |cidr: &str, gateway: &str| Call::CreateRoute {
        table: "rtb-1".into(),
        cidr: net(cidr),
        gateway: gateway.into(),
    };
    let associate =
        |table: &str, subnet: &str| Call::AssociateRouteTable { table: table.into(), subnet: subnet.into() };
    let authorize =
        |rules: Vec<Rule<String>>| Call::AuthorizeSecurityGroupIngress { group: "sg-1".into(), rules };
    let cases = [
        (attach("igw-1", "vpc-1"), "found"),
        (attach("igw-1", "vpc-2"), "igw-1 is attached to vpc-1"),
        (attach("igw-2", "vpc-1"), "absent"),
        (route("0.0.0.0/0", "igw-1"), "found"),
        (route("0.0.0.0/0", "igw-2"), "rtb-1 sends 0.0.0.0/0 to igw-1"),
        (route("10.0.0.0/8", "igw-1"), "absent"),
        (associate("rtb-1", "subnet-1"), "found as-1"),
        (associate("rtb-2", "subnet-1"), "subnet-1 is associated with rtb-1"),
        (associate("rtb-1", "subnet-2"), "absent"),
        (authorize(vec![rule(22), rule(80)]), "found"),
        (authorize(vec![rule(22), rule(443)]), "absent"),
        (Call::DeleteVpc { vpc: "vpc-1".into() }, "absent"),
    ];
    for (call, expected) in cases {
        assert_eq!(words(&call), expected, "{call:?}");
    }
}

#[test]
fn the_rest_of_a_batch_is_what_is_still_to_do() {
    let group = || "sg-1".to_owned();
    let authorize = |ports: &[u16]| Call::AuthorizeSecurityGroupIngress {
        group: group(),
        rules: ports.iter().map(|port| rule(*port)).collect(),
    };
    let revoke = |ports: &[u16]| Call::RevokeSecurityGroupIngress {
        group: group(),
        rules: ports.iter().map(|port| rule(*port)).collect(),
    };
    let cases = [
        (authorize(&[22, 80]), None),
        (authorize(&[22, 443]), Some(authorize(&[443]))),
        (revoke(&[22, 443]), Some(revoke(&[22]))),
        (revoke(&[443, 444]), None),
        (Call::TerminateInstances { instances: vec!["i-1".into(), "i-2".into()] }, None),
    ];
    for (call, expected) in cases {
        assert!(is_batch(&call), "{call:?}");
        assert_eq!(rest_of_batch(&call, &inventory()), expected, "{call:?}");
    }
    assert!(!is_batch(&authorize(&[22])));
    assert!(!is_batch(&Call::DeleteVpc { vpc: "vpc-1".into() }));
}
