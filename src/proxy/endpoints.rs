//! Services and who answers for them, read from Services and EndpointSlices.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use api::meta;
use serde_json::Value;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// Who may answer what comes from outside, or from inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Traffic {
    /// Every endpoint.
    #[default]
    Cluster,
    /// Those of this node alone.
    Local,
}

/// A Service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Service {
    /// Its addresses, none where it is headless.
    pub cluster_ips: Vec<Ipv4Addr>,
    /// Whether it is one without an address.
    pub headless: bool,
    /// The name that it stands for.
    pub external_name: Option<String>,
    /// Addresses beside its own on which nodes answer: external ones and those in its status.
    pub external_ips: Vec<Ipv4Addr>,
    /// Whether nodes answer on its own ports under any address of theirs.
    pub balanced: bool,
    /// Its ports.
    pub ports: Vec<Port>,
    /// Whether a client stays with one endpoint.
    pub sticky: bool,
    /// For what comes from outside.
    pub external: Traffic,
    /// For what comes from inside.
    pub internal: Traffic,
    /// Whether endpoints that are not ready are told by name.
    pub publishes_unready: bool,
}

/// A Service's port.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// Its name, empty where it is the only one.
    pub name: String,
    /// `tcp`, `udp`, `sctp`.
    pub protocol: String,
    /// Number.
    pub number: u16,
    /// The port of nodes, 0 where none.
    pub node_port: u16,
}

/// One that answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its name below a headless Service's.
    pub hostname: Option<String>,
    /// The node that it is on.
    pub node: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it still serves although it ends.
    pub serving: bool,
    /// Numbers of ports by name.
    pub ports: BTreeMap<String, u16>,
}

/// All of them, kept up to date.
#[derive(Debug, Clone, Default)]
pub struct Services {
    /// Services by namespace and name.
    pub services: BTreeMap<Key, Service>,
    slices: BTreeMap<Key, (Key, Vec<Endpoint>)>,
}

fn key(object: &Value) -> Key {
    (meta::namespace(object).to_owned(), meta::name(object).to_owned())
}

impl Services {
    /// A Service came or changed.
    pub fn put_service(&mut self, object: &Value) {
        self.services.insert(key(object), Service::read(object));
    }

    /// A Service is gone.
    pub fn remove_service(&mut self, object: &Value) {
        self.services.remove(&key(object));
    }

    /// An EndpointSlice came or changed.
    pub fn put_slice(&mut self, object: &Value) {
        let service = meta::label(object, "kubernetes.io/service-name").unwrap_or_default();
        if object["addressType"] != "IPv4" || service.is_empty() {
            return;
        }
        let owner = (meta::namespace(object).to_owned(), service.to_owned());
        self.slices.insert(key(object), (owner, endpoints(object)));
    }

    /// An EndpointSlice is gone.
    pub fn remove_slice(&mut self, object: &Value) {
        self.slices.remove(&key(object));
    }

    /// Forgets all Services (`slices`: all slices), for a new list.
    pub fn clear(&mut self, slices: bool) {
        if slices { self.slices.clear() } else { self.services.clear() }
    }

    /// All endpoints of a Service, in order.
    #[must_use]
    pub fn endpoints(&self, service: &Key) -> Vec<Endpoint> {
        let ours = self.slices.values().filter(|(owner, _)| owner == service);
        let mut all: Vec<Endpoint> = ours.flat_map(|(_, endpoints)| endpoints.clone()).collect();
        all.sort();
        all.dedup();
        all
    }
}

impl Service {
    fn read(object: &Value) -> Self {
        let spec = &object["spec"];
        let addresses = |list: &Value, field: Option<&str>| -> Vec<Ipv4Addr> {
            let all = list.as_array().into_iter().flatten();
            all.filter_map(|one| field.map_or(one, |field| &one[field]).as_str()?.parse().ok()).collect()
        };
        let mut external_ips = addresses(&spec["externalIPs"], None);
        let ingress = addresses(&object["status"]["loadBalancer"]["ingress"], Some("ip"));
        let balanced = spec["type"] == "LoadBalancer" && !ingress.is_empty();
        external_ips.extend(ingress);
        let local = |field: &str| if spec[field] == "Local" { Traffic::Local } else { Traffic::Cluster };
        Self {
            cluster_ips: addresses(&spec["clusterIPs"], None),
            headless: spec["clusterIP"] == "None",
            external_name: spec["externalName"]
                .as_str()
                .filter(|_| spec["type"] == "ExternalName")
                .map(str::to_owned),
            external_ips,
            balanced,
            ports: meta::list_at(spec, "ports").iter().map(Port::read).collect(),
            sticky: spec["sessionAffinity"] == "ClientIP",
            external: local("externalTrafficPolicy"),
            internal: local("internalTrafficPolicy"),
            publishes_unready: spec["publishNotReadyAddresses"] == true,
        }
    }
}

impl Port {
    fn read(port: &Value) -> Self {
        let number = |field: &str| u16::try_from(port[field].as_u64().unwrap_or(0)).unwrap_or(0);
        Self {
            name: meta::str_at(port, "name").to_owned(),
            protocol: port["protocol"].as_str().unwrap_or("TCP").to_lowercase(),
            number: number("port"),
            node_port: number("nodePort"),
        }
    }
}

fn endpoints(slice: &Value) -> Vec<Endpoint> {
    let ports: BTreeMap<String, u16> = meta::list_at(slice, "ports")
        .iter()
        .filter_map(|port| {
            Some((meta::str_at(port, "name").to_owned(), u16::try_from(port["port"].as_u64()?).ok()?))
        })
        .collect();
    let read = |one: &Value| {
        let conditions = &one["conditions"];
        Some(Endpoint {
            address: one["addresses"][0].as_str()?.parse().ok()?,
            hostname: one["hostname"].as_str().map(str::to_owned),
            node: meta::str_at(one, "nodeName").to_owned(),
            ready: conditions["ready"] != false,
            serving: conditions["serving"] != false,
            ports: ports.clone(),
        })
    };
    meta::list_at(slice, "endpoints").iter().filter_map(read).collect()
}
