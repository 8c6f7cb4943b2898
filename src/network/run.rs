//! The network as a whole: hears of nodes, Services and endpoints, and applies what they ask for.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base::{Clock, Shutdown, chain};
use client::{Api, Change, Resource, Selection, View, reflect};
use proxy::Services;
use proxy::peers::Peer;
use proxy::rules::Node;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::dns::{self, Known};
use crate::firewall::Firewall;
use crate::links;
use crate::tool::run as tool;

const NEWS: usize = 256;
/// Changes that come within this time are applied together.
const TOGETHER: Duration = Duration::from_millis(50);
/// How often the firewall is looked at, and what failed is tried again.
const LOOK: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);
const PLUGINS: &str = "/etc/cni/net.d";

/// What the network is started with.
pub struct Options {
    /// This node.
    pub node: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// All pods' addresses.
    pub pod_network: String,
    /// Where names are asked for.
    pub dns: Ipv4Addr,
    /// The domain of Services.
    pub domain: String,
    /// Ports on which this node may answer for Services of type LoadBalancer.
    pub service_ports: Vec<u16>,
    /// The API under the node's identity.
    pub api: Arc<dyn Api>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Told once pods can be connected.
    pub ready: watch::Sender<bool>,
    /// Ends everything; what is applied stays.
    pub shutdown: Shutdown,
}

/// Which lists have come.
#[derive(Default)]
struct Listed {
    nodes: bool,
    services: bool,
    slices: bool,
}

struct Network {
    node: Node,
    address: Ipv4Addr,
    known: Known,
    peers: BTreeMap<String, Peer>,
    routed: BTreeMap<String, Peer>,
    own: Option<Peer>,
    /// What the own tunnel was made for.
    made: Option<Peer>,
    firewall: Firewall,
    listed: Listed,
    ready: watch::Sender<bool>,
}

fn resource(group: &str, plural: &str, kind: &str) -> Arc<Resource> {
    Arc::new(Resource {
        group: group.into(),
        version: "v1".into(),
        plural: plural.into(),
        kind: kind.into(),
        namespaced: plural != "nodes",
        verbs: Vec::new(),
    })
}

/// Keeps the network until stopped.
pub async fn run(options: Options) {
    let (tell, mut news) = mpsc::channel(NEWS);
    let mut tasks = JoinSet::new();
    for (group, plural, kind) in [
        ("", "nodes", "Node"),
        ("", "services", "Service"),
        ("discovery.k8s.io", "endpointslices", "EndpointSlice"),
    ] {
        let (api, clock) = (Arc::clone(&options.api), Arc::clone(&options.clock));
        let resource = resource(group, plural, kind);
        let all = Selection::default();
        tasks.spawn(reflect(api, resource, all, View::Whole, tell.clone(), clock, options.shutdown.clone()));
    }
    let known: Known = Arc::new(RwLock::new(Services::default()));
    tasks.spawn(names(
        options.dns,
        options.domain.clone(),
        Arc::clone(&known),
        Arc::clone(&options.clock),
        options.shutdown.clone(),
    ));
    let mut network = Network {
        node: Node {
            name: options.node,
            pod_network: options.pod_network,
            service_ports: options.service_ports,
        },
        address: options.address,
        known,
        peers: BTreeMap::new(),
        routed: BTreeMap::new(),
        own: None,
        made: None,
        firewall: Firewall::default(),
        listed: Listed::default(),
        ready: options.ready,
    };
    let mut wait = LOOK;
    while !options.shutdown.is_triggered() {
        tokio::select! {
            () = options.shutdown.triggered() => break,
            Some((resource, change)) = news.recv() => {
                network.heard(&resource, change);
                options.clock.sleep(TOGETHER).await;
                while let Ok((resource, change)) = news.try_recv() {
                    network.heard(&resource, change);
                }
            }
            () = options.clock.sleep(wait) => drop(network.firewall.look().await),
        }
        wait = if network.apply().await { LOOK } else { RETRY };
    }
    tasks.shutdown().await;
}

/// Answers names; a socket that cannot be had is tried again.
async fn names(address: Ipv4Addr, domain: String, known: Known, clock: Arc<dyn Clock>, shutdown: Shutdown) {
    while !shutdown.is_triggered() {
        // The address is every node's own: the packets of its pods end here.
        let own = format!("{address}/32");
        if let Err(error) = tool("ip", &["address", "replace", &own, "dev", "lo"], "").await {
            tracing::warn!(error = %chain(&error), "the resolver's address could not be taken");
        }
        match dns::serve(address, domain.clone(), Arc::clone(&known), shutdown.clone()).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, %address, "names cannot be answered; trying again"),
        }
        clock.sleep(RETRY).await;
    }
}

impl Network {
    fn heard(&mut self, resource: &Resource, change: Change) {
        match &*resource.plural {
            "nodes" => self.nodes(change),
            plural => {
                let slices = plural == "endpointslices";
                let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
                let put = |known: &mut Services, object: &Value| {
                    if slices { known.put_slice(object) } else { known.put_service(object) }
                };
                match change {
                    Change::Listed(items) => {
                        known.clear(slices);
                        items.iter().for_each(|item| put(&mut known, item));
                        if slices { self.listed.slices = true } else { self.listed.services = true }
                    }
                    Change::Put(object) => put(&mut known, &object),
                    Change::Gone(object) if slices => known.remove_slice(&object),
                    Change::Gone(object) => known.remove_service(&object),
                }
            }
        }
    }

    fn nodes(&mut self, change: Change) {
        let mut put = |node: &Value| {
            let name = api_name(node);
            let peer = Peer::read(node);
            if name == self.node.name {
                self.own = peer.map(|peer| Peer { address: self.address, ..peer });
                return;
            }
            match peer {
                Some(peer) => drop(self.peers.insert(name, peer)),
                None => drop(self.peers.remove(&name)),
            }
        };
        match change {
            Change::Put(node) => put(&node),
            Change::Gone(node) => drop(self.peers.remove(&api_name(&node))),
            Change::Listed(nodes) => {
                nodes.iter().for_each(&mut put);
                let names: Vec<String> = nodes.iter().map(api_name).collect();
                self.peers.retain(|name, _| names.contains(name));
                self.listed.nodes = true;
            }
        }
    }

    /// Applies what is known; whether all of it worked.
    async fn apply(&mut self) -> bool {
        let Listed { nodes, services, slices } = self.listed;
        let mut well = true;
        if let (Some(own), true) = (self.own.clone(), nodes) {
            well &= self.links(&own).await;
        }
        if services && slices {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
            if let Err(error) = self.firewall.apply(&known, &self.node).await {
                tracing::warn!(error = %chain(&error), "the firewall could not be brought up to date");
                well = false;
            }
        }
        if well && services && slices && self.made.is_some() {
            self.ready.send_if_modified(|ready| !std::mem::replace(ready, true));
        }
        well
    }

    async fn links(&mut self, own: &Peer) -> bool {
        if self.made.as_ref() != Some(own) {
            let made = links::tunnel(own).await;
            let written = made.map_err(|error| chain(&error)).and_then(|mtu| {
                links::plugins(&PathBuf::from(PLUGINS), &own.pods, mtu).map_err(|error| error.to_string())
            });
            if let Err(error) = written {
                tracing::warn!(error, "the pod network could not be prepared");
                return false;
            }
            self.made = Some(own.clone());
        }
        if self.routed != self.peers {
            if let Err(error) = links::routes(&self.routed, &self.peers).await {
                tracing::warn!(error = %chain(&error), "routes to other nodes' pods could not be brought up to date");
                return false;
            }
            self.routed.clone_from(&self.peers);
        }
        true
    }
}

fn api_name(node: &Value) -> String {
    node["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
