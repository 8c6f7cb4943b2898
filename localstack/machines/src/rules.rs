//! Security groups -> one nftables ruleset for the router's namespace.
//!
//! Pure. All traffic of machines is forwarded by the router, also the host's to
//! a machine, so one forward chain sees every packet, once on its way out of a
//! machine (egress rules) and once on its way into one (ingress rules). The
//! text replaces the whole table in one transaction; connections that were
//! allowed are tracked outside of it and stay, as on AWS.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::{Group, Instance, Lifecycle, Permission, World};
use crate::names;

/// Which side of a packet a permission's peers are.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

/// The ruleset for everything `world` lists, as input of `nft -f -`.
pub(crate) fn render(world: &World) -> String {
    let alive: Vec<&Instance> =
        world.instances.iter().filter(|i| i.lifecycle != Lifecycle::Terminated).collect();
    let groups: BTreeMap<&str, &Group> = world.groups.iter().map(|g| (g.id.as_str(), g)).collect();
    let mut text = String::from("table inet cluster\ndelete table inet cluster\ntable inet cluster {\n");
    for group in groups.values() {
        member_set(&mut text, group, &alive);
    }
    vpc_sets(&mut text, &alive);
    input_chain(&mut text);
    forward_chain(&mut text, &alive);
    for group in groups.values() {
        group_chain(&mut text, group, &groups, Way::Out);
        group_chain(&mut text, group, &groups, Way::In);
    }
    for instance in &alive {
        machine_chain(&mut text, instance, &groups, Way::Out);
        machine_chain(&mut text, instance, &groups, Way::In);
    }
    text.push_str("}\n");
    text
}

/// The addresses of a group's members, for rules that name the group.
fn member_set(text: &mut String, group: &Group, alive: &[&Instance]) {
    let members = alive.iter().filter(|i| i.groups.iter().any(|(id, _)| *id == group.id));
    address_set(text, &format!("{}-members", group.id), members);
}

/// The addresses of each VPC: there is no way from one into another.
fn vpc_sets(text: &mut String, alive: &[&Instance]) {
    let mut vpcs: BTreeMap<&str, Vec<&Instance>> = BTreeMap::new();
    for instance in alive {
        vpcs.entry(&instance.vpc).or_default().push(instance);
    }
    for (vpc, members) in vpcs {
        address_set(text, vpc, members.iter());
    }
}

fn address_set<'a, 'b: 'a>(text: &mut String, name: &str, members: impl Iterator<Item = &'a &'b Instance>) {
    let mut addresses: Vec<_> = members.map(|i| i.private_ip).collect();
    addresses.sort();
    addresses.dedup();
    let _ = writeln!(text, "  set {name} {{");
    text.push_str("    type ipv4_addr\n");
    if !addresses.is_empty() {
        let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "    elements = {{ {} }}", list.join(", "));
    }
    text.push_str("  }\n");
}

/// What the router itself answers: metadata, names, packages, as on AWS outside
/// of any security group; nothing for the host.
fn input_chain(text: &mut String) {
    let _ = write!(
        text,
        "  chain input {{\n    type filter hook input priority 0; policy drop;\n    \
         ct state established,related accept\n    \
         iifname \"{}\" drop\n    \
         ip daddr {} tcp dport 80 accept\n    \
         ip daddr {} udp dport 53 accept\n    \
         ip daddr {} tcp dport {} accept\n    \
         meta l4proto tcp reject with tcp reset\n    \
         reject\n  }}\n",
        names::UPLINK,
        names::METADATA,
        names::RESOLVER,
        names::MIRROR,
        names::MIRROR_PORT,
    );
}

fn forward_chain(text: &mut String, alive: &[&Instance]) {
    text.push_str("  chain forward {\n    type filter hook forward priority 0; policy drop;\n");
    // An ICMP error about no connection that is known is let in by rules that name it, as on AWS.
    text.push_str(
        "    ct state established,related accept\n    ct state invalid meta l4proto != icmp drop\n",
    );
    let cables = |suffix: &str| {
        let mut rows: Vec<String> =
            alive.iter().map(|i| format!("\"{}\" : goto {}-{suffix}", names::cable(&i.id), i.id)).collect();
        rows.sort();
        rows.join(", ")
    };
    if !alive.is_empty() {
        let _ = writeln!(text, "    iifname vmap {{ {} }}", cables("out"));
    }
    let _ = writeln!(text, "    iifname \"{}\" goto ingress\n  }}", names::UPLINK);
    text.push_str("  chain ingress {\n");
    if !alive.is_empty() {
        let _ = writeln!(text, "    oifname vmap {{ {} }}", cables("in"));
    }
    let _ = writeln!(text, "    oifname \"{}\" accept\n    drop\n  }}", names::UPLINK);
}

/// One machine, one way: the chains of its groups in turn, then nothing.
fn machine_chain(text: &mut String, instance: &Instance, groups: &BTreeMap<&str, &Group>, way: Way) {
    let suffix = way.suffix();
    let _ = writeln!(text, "  chain {}-{suffix} {{", instance.id);
    if matches!(way, Way::In) {
        // Only machines come in by a cable other than the uplink.
        let _ = writeln!(text, "    iifname != \"{}\" ip saddr != @{} drop", names::UPLINK, instance.vpc);
    }
    for (id, _) in instance.groups.iter().filter(|(id, _)| groups.contains_key(id.as_str())) {
        let _ = writeln!(text, "    jump {id}-{suffix}");
    }
    text.push_str("    drop\n  }\n");
}

fn group_chain(text: &mut String, group: &Group, groups: &BTreeMap<&str, &Group>, way: Way) {
    let _ = writeln!(text, "  chain {}-{} {{", group.id, way.suffix());
    let permissions = match way {
        Way::In => &group.ingress,
        Way::Out => &group.egress,
    };
    for permission in permissions {
        let Some(traffic) = traffic(permission) else { continue };
        for peer in peers(permission, groups) {
            let _ = writeln!(text, "    {}{peer}{traffic}{}", way.peer(), way.verdict());
        }
    }
    text.push_str("  }\n");
}

impl Way {
    fn suffix(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    fn peer(self) -> &'static str {
        match self {
            Self::In => "ip saddr ",
            Self::Out => "ip daddr ",
        }
    }

    /// What may leave must still be let in by whoever it is for.
    fn verdict(self) -> &'static str {
        match self {
            Self::In => " accept",
            Self::Out => " goto ingress",
        }
    }
}

fn peers(permission: &Permission, groups: &BTreeMap<&str, &Group>) -> Vec<String> {
    let ranges = permission.cidrs.iter().map(ToString::to_string);
    let members = permission.groups.iter().filter(|id| groups.contains_key(id.as_str()));
    ranges.chain(members.map(|id| format!("@{id}-members"))).collect()
}

/// The match on protocol and ports, with a leading blank; `None` for what
/// machines without IPv6 can never see.
fn traffic(permission: &Permission) -> Option<String> {
    let known = |value: Option<i32>| value.filter(|v| *v >= 0);
    let (from, to) = (known(permission.from), known(permission.to));
    Some(match permission.protocol.as_str() {
        "-1" | "all" => String::new(),
        "tcp" | "6" => format!(" tcp dport {}", ports(from, to)),
        "udp" | "17" => format!(" udp dport {}", ports(from, to)),
        "icmp" | "1" => match (from, to) {
            (None, _) => " meta l4proto icmp".to_owned(),
            (Some(kind), None) => format!(" icmp type {kind}"),
            (Some(kind), Some(code)) => format!(" icmp type {kind} icmp code {code}"),
        },
        "icmpv6" | "58" => return None,
        other => {
            let number: u8 = other.parse().ok()?;
            format!(" meta l4proto {number}")
        }
    })
}

fn ports(from: Option<i32>, to: Option<i32>) -> String {
    match (from, to) {
        (None, _) => "0-65535".to_owned(),
        (Some(from), Some(to)) if from < to => format!("{from}-{to}"),
        (Some(from), _) => from.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples::instance;

    fn permission(protocol: &str, from: i32, to: i32, cidrs: &[&str], groups: &[&str]) -> Permission {
        Permission {
            protocol: protocol.to_owned(),
            from: Some(from),
            to: Some(to),
            cidrs: cidrs.iter().map(|c| c.parse().unwrap()).collect(),
            groups: groups.iter().map(|&g| g.to_owned()).collect(),
        }
    }

    fn all_out() -> Vec<Permission> {
        vec![Permission { from: None, to: None, ..permission("-1", 0, 0, &["0.0.0.0/0"], &[]) }]
    }

    #[test]
    fn two_machines_of_one_group_reach_each_other_and_the_caller_reaches_ssh() {
        let world = World {
            instances: vec![instance("i-0aaa", "10.0.1.5"), instance("i-0bbb", "10.0.1.6")],
            groups: vec![Group {
                id: "sg-1".to_owned(),
                ingress: vec![
                    permission("tcp", 22, 22, &["192.0.2.2/32"], &[]),
                    permission("udp", 8472, 8472, &[], &["sg-1"]),
                    permission("tcp", 30000, 32767, &["198.51.100.0/24"], &["sg-1", "sg-gone"]),
                    permission("icmp", 3, 4, &["0.0.0.0/0"], &[]),
                ],
                egress: all_out(),
            }],
        };
        insta::assert_snapshot!(render(&world), @r#"
        table inet cluster
        delete table inet cluster
        table inet cluster {
          set sg-1-members {
            type ipv4_addr
            elements = { 10.0.1.5, 10.0.1.6 }
          }
          set vpc-1 {
            type ipv4_addr
            elements = { 10.0.1.5, 10.0.1.6 }
          }
          chain input {
            type filter hook input priority 0; policy drop;
            ct state established,related accept
            iifname "up0" drop
            ip daddr 169.254.169.254 tcp dport 80 accept
            ip daddr 169.254.169.253 udp dport 53 accept
            ip daddr 169.254.169.252 tcp dport 3142 accept
            meta l4proto tcp reject with tcp reset
            reject
          }
          chain forward {
            type filter hook forward priority 0; policy drop;
            ct state established,related accept
            ct state invalid meta l4proto != icmp drop
            iifname vmap { "mi-0aaa" : goto i-0aaa-out, "mi-0bbb" : goto i-0bbb-out }
            iifname "up0" goto ingress
          }
          chain ingress {
            oifname vmap { "mi-0aaa" : goto i-0aaa-in, "mi-0bbb" : goto i-0bbb-in }
            oifname "up0" accept
            drop
          }
          chain sg-1-out {
            ip daddr 0.0.0.0/0 goto ingress
          }
          chain sg-1-in {
            ip saddr 192.0.2.2/32 tcp dport 22 accept
            ip saddr @sg-1-members udp dport 8472 accept
            ip saddr 198.51.100.0/24 tcp dport 30000-32767 accept
            ip saddr @sg-1-members tcp dport 30000-32767 accept
            ip saddr 0.0.0.0/0 icmp type 3 icmp code 4 accept
          }
          chain i-0aaa-out {
            jump sg-1-out
            drop
          }
          chain i-0aaa-in {
            iifname != "up0" ip saddr != @vpc-1 drop
            jump sg-1-in
            drop
          }
          chain i-0bbb-out {
            jump sg-1-out
            drop
          }
          chain i-0bbb-in {
            iifname != "up0" ip saddr != @vpc-1 drop
            jump sg-1-in
            drop
          }
        }
        "#);
    }

    #[test]
    fn a_terminated_instance_leaves_no_trace_and_no_groups_means_nothing_in_or_out() {
        let world = World {
            instances: vec![
                Instance { lifecycle: Lifecycle::Terminated, ..instance("i-0aaa", "10.0.1.5") },
                Instance { groups: Vec::new(), ..instance("i-0bbb", "10.0.1.6") },
            ],
            groups: Vec::new(),
        };
        let text = render(&world);
        assert!(!text.contains("i-0aaa") && !text.contains("10.0.1.5"), "{text}");
        insta::assert_snapshot!(text, @r#"
        table inet cluster
        delete table inet cluster
        table inet cluster {
          set vpc-1 {
            type ipv4_addr
            elements = { 10.0.1.6 }
          }
          chain input {
            type filter hook input priority 0; policy drop;
            ct state established,related accept
            iifname "up0" drop
            ip daddr 169.254.169.254 tcp dport 80 accept
            ip daddr 169.254.169.253 udp dport 53 accept
            ip daddr 169.254.169.252 tcp dport 3142 accept
            meta l4proto tcp reject with tcp reset
            reject
          }
          chain forward {
            type filter hook forward priority 0; policy drop;
            ct state established,related accept
            ct state invalid meta l4proto != icmp drop
            iifname vmap { "mi-0bbb" : goto i-0bbb-out }
            iifname "up0" goto ingress
          }
          chain ingress {
            oifname vmap { "mi-0bbb" : goto i-0bbb-in }
            oifname "up0" accept
            drop
          }
          chain i-0bbb-out {
            drop
          }
          chain i-0bbb-in {
            iifname != "up0" ip saddr != @vpc-1 drop
            drop
          }
        }
        "#);
    }

    #[test]
    fn each_way_to_write_a_protocol_has_its_match() {
        for (protocol, from, to, expected) in [
            ("-1", -1, -1, Some("")),
            ("tcp", 22, 22, Some(" tcp dport 22")),
            ("6", 2379, 2380, Some(" tcp dport 2379-2380")),
            ("udp", 0, 65535, Some(" udp dport 0-65535")),
            ("tcp", -1, -1, Some(" tcp dport 0-65535")),
            ("icmp", -1, -1, Some(" meta l4proto icmp")),
            ("icmp", 8, -1, Some(" icmp type 8")),
            ("icmp", 3, 4, Some(" icmp type 3 icmp code 4")),
            ("50", -1, -1, Some(" meta l4proto 50")),
            ("58", -1, -1, None),
            ("nonsense", -1, -1, None),
        ] {
            assert_eq!(traffic(&permission(protocol, from, to, &[], &[])).as_deref(), expected, "{protocol}");
        }
    }
}
