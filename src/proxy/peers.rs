//! The other nodes' pods: which tunnel leads to them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use api::meta;
use serde_json::Value;

/// The tunnel's device.
pub const DEVICE: &str = "cluster-vxlan";

/// A node, as the tunnel needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Where it is reached.
    pub address: Ipv4Addr,
    /// Its pods' addresses, `10.244.1.0/24`.
    pub pods: String,
}

impl Peer {
    /// Reads a Node; none before it has a range and an address.
    #[must_use]
    pub fn read(node: &Value) -> Option<Self> {
        let addresses = meta::list_at(node, "status.addresses");
        let internal = addresses.iter().find(|one| one["type"] == "InternalIP")?;
        let pods = meta::str_at(node, "spec.podCIDR");
        Some(Self {
            address: internal["address"].as_str()?.parse().ok()?,
            pods: Some(pods).filter(|pods| pods.contains('/'))?.to_owned(),
        })
    }

    /// The tunnel's end there: the first address of its range.
    #[must_use]
    pub fn end(&self) -> &str {
        self.pods.split('/').next().unwrap_or_default()
    }

    /// The hardware address of its tunnel's end, made of its own.
    #[must_use]
    pub fn hardware(&self) -> String {
        let [a, b, c, d] = self.address.octets();
        format!("0e:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }
}

/// Commands for `ip -batch` and `bridge -batch` that bring the routes from one set of peers to another.
#[must_use]
pub fn change(from: &BTreeMap<String, Peer>, to: &BTreeMap<String, Peer>) -> (String, String) {
    let (mut routes, mut bridge) = (String::new(), String::new());
    for (name, peer) in from.iter().filter(|(name, peer)| to.get(*name) != Some(peer)) {
        let same_place = to.values().any(|other| other.pods == peer.pods);
        if !same_place {
            routes.push_str(&format!("route del {} dev {DEVICE}\n", peer.pods));
        }
        routes.push_str(&format!("neigh del {} dev {DEVICE}\n", peer.end()));
        bridge.push_str(&format!("fdb del {} dev {DEVICE} dst {}\n", peer.hardware(), peer.address));
        let _ = name;
    }
    for (_, peer) in to.iter().filter(|(name, peer)| from.get(*name) != Some(peer)) {
        let (end, hardware) = (peer.end(), peer.hardware());
        bridge.push_str(&format!("fdb replace {hardware} dev {DEVICE} dst {}\n", peer.address));
        routes.push_str(&format!("neigh replace {end} lladdr {hardware} dev {DEVICE} nud permanent\n"));
        routes.push_str(&format!("route replace {} via {end} dev {DEVICE} onlink\n", peer.pods));
    }
    (routes, bridge)
}
