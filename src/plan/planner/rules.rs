//! Who may send what to masters and workers: the whole inbound policy, in one place.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::desired::{MASTERS, Resolved, WORKERS};
use crate::model::{Protocol, Ref, Rule, Source};

const SSH: u16 = 22;
const API: u16 = 6443;
const ARTIFACTS: u16 = 6444;
const KUBELET: u16 = 10250;
const VXLAN: u16 = 8472;
const FRAGMENTATION_NEEDED: Protocol = Protocol::Icmp { kind: 3, code: 4 };

/// Inbound rules of the masters' group.
#[must_use]
pub(super) fn of_masters(resolved: &Resolved) -> BTreeSet<Rule<Ref>> {
    let mut rules = of_every_node(resolved);
    rules.extend(from_cidrs(tcp(API), &resolved.api));
    rules.extend(from_nodes(tcp(API)));
    rules.extend(from_nodes(tcp(ARTIFACTS)));
    rules.insert(from_group(Protocol::Tcp { from: 2379, to: 2380 }, MASTERS));
    rules
}

/// Inbound rules of the workers' group.
#[must_use]
pub(super) fn of_workers(resolved: &Resolved, service_ports: &[u16]) -> BTreeSet<Rule<Ref>> {
    let mut rules = of_every_node(resolved);
    let node_ports = Protocol::Tcp { from: 30000, to: 32767 };
    let node_ports_udp = Protocol::Udp { from: 30000, to: 32767 };
    for port in service_ports.iter().map(|&port| tcp(port)).chain([node_ports, node_ports_udp]) {
        rules.extend(from_cidrs(port, &resolved.services));
        rules.extend(from_nodes(port));
    }
    rules
}

fn of_every_node(resolved: &Resolved) -> BTreeSet<Rule<Ref>> {
    let mut rules: BTreeSet<Rule<Ref>> = from_cidrs(tcp(SSH), &resolved.ssh).collect();
    rules.insert(from_group(tcp(KUBELET), MASTERS));
    rules.extend(from_nodes(Protocol::Udp { from: VXLAN, to: VXLAN }));
    rules.insert(Rule { protocol: FRAGMENTATION_NEEDED, source: Source::Cidr(Ipv4Net::default()) });
    rules
}

fn tcp(port: u16) -> Protocol {
    Protocol::Tcp { from: port, to: port }
}

fn from_cidrs(protocol: Protocol, nets: &[Ipv4Net]) -> impl Iterator<Item = Rule<Ref>> {
    nets.iter().map(move |net| Rule { protocol, source: Source::Cidr(*net) })
}

fn from_nodes(protocol: Protocol) -> [Rule<Ref>; 2] {
    [from_group(protocol, MASTERS), from_group(protocol, WORKERS)]
}

fn from_group(protocol: Protocol, slot: &str) -> Rule<Ref> {
    Rule { protocol, source: Source::Group(Ref::Slot(slot.to_owned())) }
}
