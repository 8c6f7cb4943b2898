//! Services as nftables rules: what the table should hold, and the least that changes it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::endpoints::{Endpoint, Key, Port, Service, Services, Traffic};

/// The table, which is ours alone.
pub const TABLE: &str = "cluster";
/// Packets with this mark leave under the node's address.
const MARK: &str = "0x4000";

/// What the rules depend on beside Services.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// This node's name.
    pub name: String,
    /// Addresses of pods, of all nodes.
    pub pod_network: String,
    /// Ports on which this node may answer for Services of type LoadBalancer.
    pub service_ports: Vec<u16>,
}

/// What the table holds: chains by name, and elements of maps and sets by map and key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    chains: BTreeMap<String, String>,
    elements: BTreeMap<(&'static str, String), String>,
}

/// The table's frame: replaces whatever there is of it.
#[must_use]
pub fn frame(node: &Node) -> String {
    let pods = &node.pod_network;
    format!(
        "table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n\
         map services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}\n\
         map node_ports {{ type inet_proto . inet_service : verdict; }}\n\
         set nobody {{ type ipv4_addr . inet_proto . inet_service; }}\n\
         set nobody_ports {{ type inet_proto . inet_service; }}\n\
         set own {{ type ipv4_addr . ipv4_addr; }}\n\
         chain find {{\n\
         ip daddr . meta l4proto . th dport vmap @services\n\
         ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @node_ports\n\
         }}\n\
         chain prerouting {{ type nat hook prerouting priority dstnat; policy accept; jump find; }}\n\
         chain output {{ type nat hook output priority -100; policy accept; jump find; }}\n\
         chain postrouting {{ type nat hook postrouting priority srcnat; policy accept;\n\
         meta mark & {MARK} == {MARK} meta mark set meta mark & 0xffffbfff masquerade fully-random\n\
         ip saddr . ip daddr @own masquerade fully-random\n\
         ip saddr {pods} ip daddr != {pods} fib daddr type != local masquerade fully-random\n\
         }}\n\
         chain refuse {{ meta l4proto tcp reject with tcp reset; reject; }}\n\
         chain nobody_here {{\n\
         ip daddr . meta l4proto . th dport @nobody jump refuse\n\
         fib daddr type local meta l4proto . th dport @nobody_ports jump refuse\n\
         }}\n\
         chain input {{ type filter hook input priority filter; policy accept; ct state new jump nobody_here; }}\n\
         chain forward {{ type filter hook forward priority filter; policy accept;\n\
         ip saddr {pods} ip daddr 169.254.169.254 drop\n\
         ct state new jump nobody_here\n\
         }}\n\
         chain local {{ type filter hook output priority filter; policy accept; ct state new jump nobody_here; }}\n\
         }}\n"
    )
}

/// A name for a chain that is the Service's own.
fn chain(key: &Key, port: &Port, kind: &str) -> String {
    // Names are bounded; what makes one unique is its hash, what makes it readable the rest.
    let text = format!("{}/{}/{}/{}", key.0, key.1, port.name, port.protocol);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let readable: String = key.1.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    format!("{kind}_{readable}_{hash:016x}")
}

/// Those that answer: the ready ones, or if there are none those that end and still serve.
fn answering(endpoints: &[Endpoint], port: &Port, only: Option<&str>) -> Vec<(Ipv4Addr, u16)> {
    let with = |is: fn(&Endpoint) -> bool| -> Vec<(Ipv4Addr, u16)> {
        let here = endpoints.iter().filter(|one| is(one) && only.is_none_or(|node| one.node == node));
        here.filter_map(|one| Some((one.address, *one.ports.get(&port.name)?))).collect()
    };
    let ready = with(|one| one.ready);
    if ready.is_empty() { with(|one| one.serving) } else { ready }
}

/// What the table should hold.
#[must_use]
pub fn desired(services: &Services, node: &Node) -> State {
    let mut state = State::default();
    for (key, service) in &services.services {
        if service.headless || service.external_name.is_some() {
            continue;
        }
        let endpoints = services.endpoints(key);
        for port in &service.ports {
            one(&mut state, key, service, port, &endpoints, node);
        }
    }
    state
}

fn one(state: &mut State, key: &Key, service: &Service, port: &Port, endpoints: &[Endpoint], node: &Node) {
    let only = |traffic: Traffic| (traffic == Traffic::Local).then_some(node.name.as_str());
    let inside = answering(endpoints, port, only(service.internal));
    let outside = answering(endpoints, port, only(service.external));
    for (address, _) in inside.iter().chain(&outside) {
        let local = endpoints.iter().any(|one| one.address == *address && one.node == node.name);
        if local {
            state.elements.insert(("own", format!("{address} . {address}")), String::new());
        }
    }
    let place = |address: &Ipv4Addr| format!("{address} . {} . {}", port.protocol, port.number);
    let mut put = |map: &'static str, nobody: &'static str, element: String, to: &str, answers: bool| {
        if answers {
            state.elements.insert((map, element), format!("goto {to}"));
        } else {
            state.elements.insert((nobody, element), String::new());
        }
    };
    let (near, far) = (chain(key, port, "svc"), chain(key, port, "ext"));
    for address in &service.cluster_ips {
        put("services", "nobody", place(address), &near, !inside.is_empty());
    }
    let is_open = |address: &&Ipv4Addr| !service.cluster_ips.contains(address);
    for address in service.external_ips.iter().filter(is_open) {
        put("services", "nobody", place(address), &far, !outside.is_empty());
    }
    let balanced = service.balanced && node.service_ports.contains(&port.number);
    let own = [(port.node_port > 0, port.node_port), (balanced, port.number)];
    for (_, number) in own.into_iter().filter(|(answers, _)| *answers) {
        let element = format!("{} . {number}", port.protocol);
        put("node_ports", "nobody_ports", element, &far, !outside.is_empty());
    }
    let is_reached = port.node_port > 0 || !service.external_ips.is_empty();
    if !inside.is_empty() && !service.cluster_ips.is_empty() {
        let pods = &node.pod_network;
        let masquerade = format!("ip saddr != {pods} meta mark set meta mark | {MARK}\n");
        state.chains.insert(near, masquerade + &choose(&inside, service, port));
    }
    if is_reached && !outside.is_empty() {
        // What is answered by another node comes back the way it went; what stays keeps its sender.
        let masquerade = match service.external {
            Traffic::Cluster => format!("meta mark set meta mark | {MARK}\n"),
            Traffic::Local => String::new(),
        };
        state.chains.insert(far, masquerade + &choose(&outside, service, port));
    }
}

/// One of the endpoints: any, or for a client always the same.
fn choose(endpoints: &[(Ipv4Addr, u16)], service: &Service, port: &Port) -> String {
    let protocol = &port.protocol;
    if let [(address, number)] = endpoints {
        return format!("meta l4proto {protocol} dnat to {address}:{number}\n");
    }
    let count = endpoints.len();
    let pick = if service.sticky {
        format!("jhash ip saddr mod {count} seed 0x5eed")
    } else {
        format!("numgen random mod {count}")
    };
    let all: Vec<String> = endpoints
        .iter()
        .enumerate()
        .map(|(index, (address, number))| format!("{index} : {address} . {number}"))
        .collect();
    format!("meta l4proto {protocol} dnat ip to {pick} map {{ {} }}\n", all.join(", "))
}

/// The commands that bring the table from one state to another, in one transaction; empty where they are equal.
#[must_use]
pub fn change(from: &State, to: &State) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    let element = |(map, key): &(&'static str, String), value: &str| {
        let value = if value.is_empty() { String::new() } else { format!(" : {value}") };
        format!("element ip {TABLE} {map} {{ {key}{value} }}")
    };
    for (at, value) in &from.elements {
        if to.elements.get(at) != Some(value) {
            line(format!("delete {}", element(at, "")));
        }
    }
    for (name, rules) in &to.chains {
        if from.chains.get(name) == Some(rules) {
            continue;
        }
        line(format!("add chain ip {TABLE} {name}"));
        line(format!("flush chain ip {TABLE} {name}"));
        for rule in rules.lines() {
            line(format!("add rule ip {TABLE} {name} {rule}"));
        }
    }
    for (at, value) in &to.elements {
        if from.elements.get(at) != Some(value) {
            line(format!("add {}", element(at, value)));
        }
    }
    for name in from.chains.keys().filter(|name| !to.chains.contains_key(*name)) {
        line(format!("flush chain ip {TABLE} {name}"));
        line(format!("delete chain ip {TABLE} {name}"));
    }
    text
}
