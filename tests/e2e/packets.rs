//! Each security group rule by real packets: what is let in, and what is not.

use std::process::Stdio;

use crate::fleet::{Fleet, can_run};

const YAML: &str = "image:\n  owner: \"136693071363\"\n  name: cluster-debian-12-amd64-*\naccess:\n  servicePorts: [80]\nworkers:\n  - name: general\n    count: 2\n";

/// Whether a packet gets through: a closed port answers with a reset, a filtered one not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    Filtered,
}

/// How bash's own /dev/tcp sees a port within two seconds.
const PROBE: &str = "timeout 2 bash -c 'exec 3<>/dev/tcp/ADDRESS/PORT' 2>&1; echo status $?";

fn read_probe(text: &str) -> Way {
    if text.contains("status 0") || text.contains("refused") { Way::Open } else { Way::Filtered }
}

/// From this machine, which access.ssh, access.api and access.services name.
fn from_here(address: &str, port: u16) -> Way {
    let script = PROBE.replace("ADDRESS", address).replace("PORT", &port.to_string());
    let output = std::process::Command::new("bash").args(["-c", &script]).output().expect("bash runs");
    read_probe(&String::from_utf8_lossy(&output.stdout))
}

/// From one node to several ports of another.
fn from_node(fleet: &Fleet, node: &str, address: &str, ports: &[u16]) -> Vec<Way> {
    let script: Vec<String> = ports
        .iter()
        .map(|port| PROBE.replace("ADDRESS", address).replace("PORT", &port.to_string()))
        .collect();
    let text = fleet.on(node, &script.join("; echo next; ")).out;
    text.split("next").map(read_probe).collect()
}

#[test]
fn every_rule_lets_in_what_it_names_and_nothing_else() {
    if !can_run("every_rule_lets_in_what_it_names") {
        return;
    }
    use Way::{Filtered, Open};
    let fleet = Fleet::new("packets", 32, YAML);
    fleet.cluster(&["up", "--yes"]).exits(0);
    let [master, worker, other] =
        ["master-0", "general-0", "general-1"].map(|node| fleet.node(node, "privateAddress"));

    for (address, port, wanted, why) in [
        (&master, 22, Open, "access.ssh"),
        (&worker, 22, Open, "access.ssh"),
        (&master, 6443, Open, "access.api"),
        (&worker, 6443, Filtered, "workers serve no API"),
        (&master, 6444, Filtered, "binaries are for nodes only"),
        (&master, 2379, Filtered, "etcd is for masters only"),
        (&master, 2380, Filtered, "etcd is for masters only"),
        (&master, 10250, Filtered, "kubelets are for masters only"),
        (&worker, 10250, Filtered, "kubelets are for masters only"),
        (&worker, 80, Open, "access.servicePorts"),
        (&worker, 443, Filtered, "not among access.servicePorts"),
        (&worker, 30000, Open, "first node port"),
        (&worker, 32767, Open, "last node port"),
        (&worker, 29999, Filtered, "below the node ports"),
        (&master, 80, Filtered, "services are the workers'"),
        (&master, 30000, Filtered, "services are the workers'"),
    ] {
        assert_eq!(from_here(address, port), wanted, "from here to {address}:{port}: {why}");
    }
    let ports = [6443, 6444, 2379, 22, 10250, 80];
    assert_eq!(
        from_node(&fleet, "general-0", &master, &ports),
        [Open, Open, Filtered, Filtered, Filtered, Filtered],
        "from a worker to the master's {ports:?}"
    );
    let ports = [10250, 22, 80, 30000, 443];
    assert_eq!(
        from_node(&fleet, "master-0", &worker, &ports),
        [Open, Filtered, Open, Open, Filtered],
        "from the master to a worker's {ports:?}"
    );
    assert_eq!(
        from_node(&fleet, "general-0", &other, &ports),
        [Filtered, Filtered, Open, Open, Filtered],
        "from a worker to another's {ports:?}"
    );
    the_pod_networks_packets_pass_between_nodes_only(&fleet, &worker);
    icmp_says_that_a_packet_is_too_big_and_nothing_else(&fleet, &worker);
    an_echo_request_is_not_let_in(&master);
    an_edit_of_access_takes_effect(&fleet, &worker);
    fleet.cluster(&["down", "--yes"]).exits(0);
}

/// What comes in at general-0 on `socket` while all of `senders` repeat what they say, until
/// all that is `wanted` was heard: `tell` names a packet `p`, or gives nothing.
fn heard(
    fleet: &Fleet,
    socket: &str,
    tell: &str,
    wanted: &[&str],
    senders: &[(Option<&str>, &str)],
) -> String {
    let wanted: String = wanted.iter().map(|name| format!("\"{name}\", ")).collect();
    let listener = format!(
        "import socket, time\ns = socket.socket(socket.AF_INET, {socket})\ns.bind((\"\", 8472))\ns.settimeout(1)\n\
         heard, end = set(), time.time() + 30\n\
         while time.time() < end and not heard >= {{{wanted}}}:\n    \
         try: p = s.recv(2048)\n    except OSError: continue\n    heard.add({tell})\n\
         print(*sorted(filter(None, heard)))\n"
    );
    let speak = |(node, says): &(Option<&str>, &str)| {
        let script = format!("for turn in $(seq 150); do {says}; sleep 0.2; done");
        let mut command = match node {
            Some(node) => fleet.command(&["ssh", node, "--", &script]),
            None => std::process::Command::new("bash"),
        };
        if node.is_none() {
            command.args(["-c", &script]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    };
    let speaking: Vec<_> = senders.iter().map(speak).collect();
    let listened = fleet.on("general-0", &format!("sudo python3 -c '{listener}'"));
    for mut child in speaking {
        child.kill().and_then(|()| child.wait()).expect("it ends");
    }
    listened.exits(0).out.trim().to_owned()
}

fn the_pod_networks_packets_pass_between_nodes_only(fleet: &Fleet, worker: &str) {
    // The port is the tunnel's own: what listens in its stead wants it free.
    fleet.on("general-0", "sudo systemctl stop cluster-agent && sudo ip link del cluster-vxlan").exits(0);
    let says = |who: &str| format!("echo {who} >/dev/udp/{worker}/8472");
    let (outside, master, other) = (says("outside"), says("master-0"), says("general-1"));
    let senders = [(None, &*outside), (Some("master-0"), &*master), (Some("general-1"), &*other)];
    let tell = "p.decode().strip() if p.isascii() else None";
    let got = heard(fleet, "socket.SOCK_DGRAM", tell, &["master-0", "general-1"], &senders);
    assert_eq!(got, "general-1 master-0", "8472/udp at a worker");
}

fn icmp_says_that_a_packet_is_too_big_and_nothing_else(fleet: &Fleet, worker: &str) {
    // Destination unreachable, with codes 1 (host) and 4 (too big), about a packet of its receiver's.
    let says = format!(
        "sudo python3 -c 'import socket, struct\nd = socket.inet_aton(\"{worker}\")\n\
         about = struct.pack(\"!BBHHHBBH4s4s8s\", 69, 0, 28, 1, 0, 64, 17, 0, d, d, bytes(8))\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)\n\
         for code in (1, 4):\n    \
         def icmp(digest): return struct.pack(\"!BBHHH\", 3, code, digest, 0, 1400) + about\n    \
         words = sum(struct.unpack(\"!18H\", icmp(0)))\n    \
         while words >> 16: words = (words >> 16) + (words & 65535)\n    \
         s.sendto(icmp(65535 - words), (\"{worker}\", 0))\n'"
    );
    let tell = "{1: \"unreachable\", 4: \"too-big\"}.get(p[21]) if p[20] == 3 else None";
    let senders = [(Some("general-1"), &*says)];
    let got = heard(fleet, "socket.SOCK_RAW, socket.IPPROTO_ICMP", tell, &["too-big"], &senders);
    assert_eq!(got, "too-big", "ICMP at a worker");
}

fn an_echo_request_is_not_let_in(master: &str) {
    let ping = format!("ping -c 1 -W 2 {master} >/dev/null 2>&1; echo status $?");
    let output = std::process::Command::new("bash").args(["-c", &ping]).output().expect("bash runs");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("status 0"), "ICMP echo was let in");
}

fn an_edit_of_access_takes_effect(fleet: &Fleet, worker: &str) {
    fleet.write(&YAML.replace("servicePorts: [80]", "servicePorts: [443]"));
    fleet.cluster(&["up", "--yes"]).exits(0);
    assert_eq!(from_here(worker, 443), Way::Open, "a port that was added");
    assert_eq!(from_here(worker, 80), Way::Filtered, "a port that was taken away");
}
