//! Where a Service leads: Endpoints and EndpointSlice.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Row;
use super::basic::default_text;
use super::metadata::labels;
use super::rules::{address, known, required};
use super::service::endpoint_address;
use super::table::{AGE, NAME, age, text};
use crate::field_error::{At, Errors};
use crate::kind::{About, Strategy};
use crate::meta;
use crate::names::{dns1123_label, dns1123_subdomain, label_key, label_value, port_number};

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            default: |o| {
                for subset in items(o, "subsets") {
                    items(subset, "ports").for_each(|port| default_text(port, "protocol", "TCP"));
                }
            },
            validate: |new, e| subsets(&new.get("subsets"), e),
            validate_update: |new, old, e| {
                // What was accepted before stays accepted.
                if !meta::same(new.get("subsets").value, old.get("subsets").value) {
                    subsets(&new.get("subsets"), e);
                }
            },
            warn: |_, _| {
                vec!["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned()]
            },
            create_on_update: true,
            ..Strategy::GENERIC
        },
        columns: &[NAME, text("Endpoints", About::Field("Endpoints", "subsets")), AGE],
        cells: |o, now| vec![meta::name(o).into(), addresses(o).into(), age(o, now)],
        ..Row::new("", "Endpoints")
    },
    Row {
        strategy: Strategy {
            default: |o| {
                for port in items(o, "ports") {
                    meta::put_default(port, "name", "");
                    meta::put_default(port, "protocol", "TCP");
                }
            },
            validate: |new, e| {
                slice(new, e);
                endpoints(new, e);
                declared(new, None, e);
            },
            validate_update: |new, old, e| {
                slice(new, e);
                let same = meta::same(new.get("endpoints").value, old.get("endpoints").value);
                if !same {
                    endpoints(new, e);
                }
                if !same || new.get("addressType").value != old.get("addressType").value {
                    declared(new, Some(old), e);
                }
            },
            generation: &["endpoints", "ports", "addressType", "metadata.labels"],
            ..Strategy::GENERIC
        },
        columns: &[
            NAME,
            text("AddressType", About::Field("EndpointSlice", "addressType")),
            text("Ports", About::Field("EndpointSlice", "ports")),
            text("Endpoints", About::Field("EndpointSlice", "endpoints")),
            AGE,
        ],
        cells: |o, now| {
            let ports = meta::list_at(o, "ports").iter().map(|port| match meta::at(port, "port") {
                Some(number) => number.to_string(),
                None => meta::at(port, "name").and_then(Value::as_str).unwrap_or("*").to_owned(),
            });
            let all = meta::list_at(o, "endpoints").iter().flat_map(|e| meta::list_at(e, "addresses"));
            let all = all.filter_map(Value::as_str).map(str::to_owned);
            vec![
                meta::name(o).into(),
                meta::str_at(o, "addressType").into(),
                some_of(ports.collect()).into(),
                some_of(all.collect()).into(),
                age(o, now),
            ]
        },
        ..Row::new("discovery.k8s.io", "EndpointSlice")
    },
];

fn items<'a>(object: &'a mut Value, path: &str) -> impl Iterator<Item = &'a mut Value> {
    meta::at_mut(object, path).and_then(Value::as_array_mut).into_iter().flatten()
}

fn subsets(at: &At<'_>, e: &mut Errors) {
    for subset in at.items() {
        let (ready, others, ports) =
            (subset.get("addresses"), subset.get("notReadyAddresses"), subset.get("ports"));
        if ready.is_empty() && others.is_empty() {
            e.required(&subset.path, "must specify `addresses` or `notReadyAddresses`");
        }
        for one in ready.items().chain(others.items()) {
            let (ip, host, node) = (one.get("ip"), one.get("hostname"), one.get("nodeName"));
            address(&ip, e);
            if !host.is_empty() {
                e.invalid_each(&host, dns1123_label(host.str()));
            }
            if node.is_set() {
                e.invalid_each(&node, dns1123_subdomain(node.str()));
            }
            endpoint_address(&ip, e);
        }
        for port in ports.items() {
            let (name, number) = (port.get("name"), port.get("port"));
            if !name.is_empty() {
                e.invalid_each(&name, dns1123_label(name.str()));
            } else if ports.len() > 1 {
                e.required(&name.path, "");
            }
            for wrong in port_number(number.int()) {
                e.invalid_as(&number.path, number.int(), wrong);
            }
            known(&port.get("protocol"), PROTOCOLS, e);
            application(&port, e);
        }
    }
}

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

fn application(port: &At<'_>, e: &mut Errors) {
    let protocol = port.get("appProtocol");
    if protocol.is_set() {
        e.invalid_each(&protocol, label_key(protocol.str()));
    }
}

/// Three of a list, and how many more there are.
fn some_of(all: Vec<String>) -> String {
    match all.len() {
        0 => "<unset>".to_owned(),
        1..=3 => all.join(","),
        more => format!("{} + {} more...", all[..3].join(","), more - 3),
    }
}

fn addresses(object: &Value) -> String {
    let subsets = meta::list_at(object, "subsets");
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let ips = || meta::list_at(subset, "addresses").iter().map(|a| meta::str_at(a, "ip"));
        let ports = meta::list_at(subset, "ports");
        if ports.is_empty() {
            all.extend(ips().map(str::to_owned));
        }
        for port in ports {
            let number = meta::int_at(port, "port");
            all.extend(ips().map(|ip| {
                if ip.contains(':') { format!("[{ip}]:{number}") } else { format!("{ip}:{number}") }
            }));
        }
    }
    if all.is_empty() { String::new() } else { some_of(all) }
}

fn slice(at: &At<'_>, e: &mut Errors) {
    let ports = at.get("ports");
    if ports.len() > 20_000 {
        return e.too_many(&ports.path, ports.len(), 20_000);
    }
    let mut names = BTreeSet::new();
    for port in ports.items() {
        let name = port.get("name");
        if !name.is_empty() {
            e.invalid_each(&name, dns1123_label(name.str()));
        }
        if !names.insert(name.str()) {
            e.duplicate(&name.path, name.str());
        }
        if required(&port.get("protocol"), e) {
            e.one_of(&port.get("protocol"), PROTOCOLS);
        }
        application(&port, e);
    }
}

fn endpoints(slice: &At<'_>, e: &mut Errors) {
    let (all, kind) = (slice.get("endpoints"), slice.get("addressType"));
    if all.len() > 1000 {
        return e.too_many(&all.path, all.len(), 1000);
    }
    for endpoint in all.items() {
        let own = endpoint.get("addresses");
        for one in own.items() {
            slice_address(&one, &own, kind.str(), e);
        }
        let node = endpoint.get("nodeName");
        if node.is_set() {
            e.invalid_each(&node, dns1123_subdomain(node.str()));
        }
        let topology = endpoint.get("deprecatedTopology");
        if topology.len() > 16 {
            e.too_many(&topology.path, topology.len(), 16);
        }
        labels(&topology, e);
        let host = endpoint.get("hostname");
        if host.is_set() {
            e.invalid_each(&host, dns1123_label(host.str()));
        }
        hints(&endpoint.get("hints"), e);
    }
}

fn slice_address(at: &At<'_>, list: &At<'_>, kind: &str, e: &mut Errors) {
    let before = e.len();
    match kind {
        "IPv4" | "IPv6" => {
            let found = address(at, e);
            if let Some(canonical) = found.filter(|ip| e.len() == before && ip.to_string() != at.str()) {
                e.invalid_as(&at.path, at.str(), format!("must be in canonical form (\"{canonical}\")"));
            }
            if e.len() > before {
                return;
            }
            if found.is_some_and(|ip| ip.is_ipv4() != (kind == "IPv4")) {
                let article = if kind == "IPv4" { "an IPv4" } else { "an IPv6" };
                e.invalid_as(&list.path, at.str(), format!("must be {article} address"));
            }
            endpoint_address(at, e);
        }
        "FQDN" => {
            if !required(at, e) {
                return;
            }
            let name = at.str().strip_suffix('.').unwrap_or(at.str());
            let wrong = dns1123_subdomain(name);
            if !wrong.is_empty() {
                e.invalid_as(&at.path, name, wrong.join(","));
            } else if !name.contains('.') {
                e.invalid_as(
                    &at.path,
                    name,
                    "should be a domain with at least two segments separated by dots",
                );
            }
        }
        _ => {}
    }
}

/// What is wrong with a name.
type Rule = fn(&str) -> Vec<String>;

fn hints(at: &At<'_>, e: &mut Errors) {
    let rules: [(_, Rule); 2] = [("forZones", label_value), ("forNodes", dns1123_subdomain)];
    for (list, rule) in rules {
        let all = at.get(list);
        if all.len() > 8 {
            return e.too_many(&all.path, all.len(), 8);
        }
        let mut seen = BTreeSet::new();
        for one in all.items() {
            let name = one.get("name");
            if !seen.insert(name.str()) {
                e.duplicate(&name.path, name.str());
            }
            e.invalid_each(&name, rule(name.str()));
        }
    }
}

/// Rules that upstream keeps as annotations of its types, and so says last.
fn declared(slice: &At<'_>, old: Option<&At<'_>>, e: &mut Errors) {
    let kind = slice.get("addressType");
    let changed = old.is_some_and(|old| old.get("addressType").value != kind.value);
    if required(&kind, e) {
        if changed {
            e.invalid_as(&kind.path, Value::Null, "field is immutable");
        } else if old.is_none() {
            e.one_of(&kind, &["FQDN", "IPv4", "IPv6"]);
        }
    }
    for endpoint in slice.get("endpoints").items() {
        let own = endpoint.get("addresses");
        if own.is_empty() {
            e.required(&own.path, "");
        } else if own.len() > 100 {
            e.too_many(&own.path, own.len(), 100);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{cells, created, updated};

    #[test]
    fn slices_are_refused_for_what_is_wrong_with_them() {
        let refused = |object| created("discovery.k8s.io", "EndpointSlice", object).err().unwrap_or_default();
        assert_eq!(
            refused(
                json!({"addressType": "IPv4", "endpoints": [{"addresses": ["127.0.0.1"]}, {"addresses": []}], "ports": [{"port": 1}, {"port": 2}]})
            ),
            [
                "ports[1].name: Duplicate value: \"\"",
                "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                "endpoints[1].addresses: Required value",
            ]
        );
        assert_eq!(refused(json!({})), ["addressType: Required value"]);
        assert_eq!(
            refused(json!({"addressType": "X"})),
            ["addressType: Unsupported value: \"X\": supported values: \"FQDN\", \"IPv4\", \"IPv6\""]
        );
        let (new, old) = (json!({"addressType": "IPv6"}), json!({"addressType": "IPv4"}));
        assert_eq!(
            updated("discovery.k8s.io", "EndpointSlice", new, old).unwrap_err(),
            ["addressType: Invalid value: null: field is immutable"]
        );
    }

    #[test]
    fn subsets_need_addresses() {
        assert_eq!(
            created("", "Endpoints", json!({"subsets": [{"ports": [{"port": 0}]}]})).unwrap_err(),
            [
                "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
                "subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ]
        );
    }

    #[test]
    fn rows_show_the_first_three() {
        let addresses: Vec<_> = (1..=5).map(|n| format!("10.0.0.{n}")).collect();
        let slice = json!({"metadata": {"name": "a"}, "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": addresses}]});
        let row = cells("discovery.k8s.io", "EndpointSlice", &slice, "2026-01-01T00:00:00Z");
        assert_eq!(row, ["a", "IPv4", "80", "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...", "<unknown>"]);
    }
}
