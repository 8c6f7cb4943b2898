//! The fields under `access` and `network`.

use ipnet::Ipv4Net;

use super::super::rules::{cidr, machine, place};
use super::super::{Access, Network, OrAuto, limits};
use super::reader::{At, Fields, Reader};

const SOURCES: &str = "[203.0.113.0/24]";
const ZONES: &str = "[us-east-1a, us-east-1b]";

pub(super) fn access<'t>(reader: &mut Reader<'_>, at: &At<'t>) -> Access {
    let mut access = Access::default();
    let Some(fields) = reader.mapping(at) else {
        return access;
    };
    if let Some(via) = fields.get("via").and_then(|at| reader.text(&at, machine::via)) {
        access.via = via;
    }
    let url = fields.get("addressUrl");
    if let Some(url) = url.and_then(|at| reader.text(&at, cidr::address_url)) {
        access.address_url = url;
    }
    access.ssh = sources(reader, &fields, "ssh", 1);
    access.api = sources(reader, &fields, "api", 1);
    access.services = sources(reader, &fields, "services", 0);
    if let Some(at) = fields.get("servicePorts") {
        access.service_ports = ports(reader, &at).unwrap_or_default();
    }
    access
}

fn sources<'t>(
    reader: &mut Reader<'_>,
    fields: &Fields<'t>,
    name: &str,
    fewest: usize,
) -> OrAuto<Vec<Ipv4Net>> {
    let Some(at) = fields.get(name) else {
        return OrAuto::Auto;
    };
    let sizes = fewest..=limits::MAX_SOURCES;
    reader.auto_or_list(&at, sizes, SOURCES, cidr::source).unwrap_or_default()
}

fn ports<'t>(reader: &mut Reader<'_>, at: &At<'t>) -> Option<Vec<u16>> {
    let items = reader.list(at, limits::MAX_SERVICE_PORTS, "[80, 443]")?;
    let take = |reader: &mut Reader<'_>, item: &At<'t>| {
        reader.number(item, "a port, such as 443", cidr::service_port)
    };
    Some(reader.distinct(&items, take))
}

pub(super) fn network<'t>(reader: &mut Reader<'_>, at: &At<'t>) -> Network {
    let mut network = Network::default();
    let Some(fields) = reader.mapping(at) else {
        return network;
    };
    if let Some(net) = fields.get("cidr").and_then(|at| reader.text(&at, cidr::vpc)) {
        network.cidr = net;
    }
    if let Some(net) = fields.get("podCidr").and_then(|at| reader.text(&at, cidr::pods)) {
        network.pod_cidr = net;
    }
    let services = fields.get("serviceCidr");
    if let Some(net) = services.and_then(|at| reader.text(&at, cidr::services)) {
        network.service_cidr = net;
    }
    network.zones = zones(reader, &fields);
    network
}

/// The `zones` of the network, the masters or a group.
pub(super) fn zones<'t>(reader: &mut Reader<'_>, fields: &Fields<'t>) -> OrAuto<Vec<String>> {
    let Some(at) = fields.get("zones") else {
        return OrAuto::Auto;
    };
    reader.auto_or_list(&at, 1..=limits::MAX_ZONES, ZONES, place::zone).unwrap_or_default()
}
