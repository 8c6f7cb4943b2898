//! Policies, ingresses and their classes: validation, columns.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::basic::default_text;
use super::rest::{at, items, name};
use super::rules::{self, known_if_set, named, named_if_set, parse_network, port, port_or_name, required};
use super::table::{self, AGE, NAME, age, or_none, says, text};
use super::{Row, metadata};
use crate::field_error::{At, Errors, Path};
use crate::kind::{About, Strategy};
use crate::meta;
use crate::names::{
    address_rule, dns1123_label, dns1123_subdomain, form_says, path_rule, wildcard_subdomain,
};

const COUNTED: Strategy = Strategy { generation: &["spec"], ..Strategy::GENERIC };

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy { name: address_rule, ..Strategy::GENERIC },
        ..Row::new("networking.k8s.io", "IPAddress")
    },
    Row {
        strategy: Strategy {
            default: |o| {
                if meta::list_at(o, "spec.policyTypes").is_empty() {
                    let out = !meta::list_at(o, "spec.egress").is_empty();
                    meta::put(
                        o,
                        "spec.policyTypes",
                        if out { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) },
                    );
                }
                for side in ["spec.ingress", "spec.egress"] {
                    for rule in items(o, side) {
                        items(rule, "ports").for_each(|port| default_text(port, "protocol", "TCP"));
                    }
                }
            },
            validate: policy,
            validate_update: |new, _, e| policy(new, e),
            ..COUNTED
        },
        columns: &[NAME, text("Pod-Selector", About::Field("NetworkPolicySpec", "podSelector")), AGE],
        cells: |o, now| {
            let empty = json!({});
            let selector = meta::at(o, "spec.podSelector").unwrap_or(&empty);
            vec![name(o), table::selector(Some(selector)), age(o, now)]
        },
        ..Row::new("networking.k8s.io", "NetworkPolicy")
    },
    Row {
        strategy: Strategy {
            generation: &["spec"],
            validate: |new, e| {
                ingress(new, e);
                class_is_one(new, e);
            },
            validate_update: |new, _, e| ingress(new, e),
            ..Strategy::WITH_STATUS
        },
        columns: &[
            NAME,
            text("Class", says("The class that handles it")),
            text("Hosts", says("Hosts that requests are for")),
            text("Address", says("Where it is reached")),
            text("Ports", says("Ports that it opens")),
            AGE,
        ],
        cells: ingress_cells,
        ..Row::new("networking.k8s.io", "Ingress")
    },
    Row {
        strategy: Strategy {
            default: |o| {
                if meta::at(o, "spec.parameters").is_some() {
                    meta::put_default(o, "spec.parameters.scope", "Cluster");
                }
            },
            validate: class,
            validate_update: |new, old, e| {
                metadata::immutable(&new.get("spec.controller"), &old.get("spec.controller"), e);
                class(new, e);
            },
            ..COUNTED
        },
        columns: &[
            NAME,
            text("Controller", says("What handles the class")),
            text("Parameters", says("More of its settings")),
            AGE,
        ],
        cells: |o, now| {
            let default = meta::annotation(o, "ingressclass.kubernetes.io/is-default-class") == Some("true");
            let shown = format!("{}{}", meta::name(o), if default { " (default)" } else { "" });
            let parameters = meta::at(o, "spec.parameters").map_or_else(
                || "<none>".to_owned(),
                |p| {
                    let group = meta::str_at(p, "apiGroup");
                    let dot = if group.is_empty() { "" } else { "." };
                    format!("{}{dot}{group}/{}", meta::str_at(p, "kind"), meta::str_at(p, "name"))
                },
            );
            vec![shown.into(), at(o, "spec.controller"), parameters.into(), age(o, now)]
        },
        ..Row::new("networking.k8s.io", "IngressClass")
    },
    Row {
        columns: &[NAME, text("CIDRs", About::Field("ServiceCIDRSpec", "cidrs")), AGE],
        cells: |o, now| vec![name(o), joined(meta::list_at(o, "spec.cidrs")).into(), age(o, now)],
        strategy: Strategy::WITH_STATUS,
        ..Row::new("networking.k8s.io", "ServiceCIDR")
    },
];

fn policy(policy: &At<'_>, e: &mut Errors) {
    let spec = policy.get("spec");
    metadata::selector(&spec.get("podSelector"), true, e);
    for (side, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.get(side).items() {
            rule.get("ports").items().for_each(|port| policy_port(&port, e));
            rule.get(peers).items().for_each(|peer| policy_peer(&peer, e));
        }
    }
    let types = spec.get("policyTypes");
    if types.len() > 2 {
        return e.invalid(&types, "may not specify more than two policyTypes");
    }
    for one in types.items() {
        e.one_of(&one, &["Ingress", "Egress"]);
    }
}

fn policy_port(at: &At<'_>, e: &mut Errors) {
    let (first, last) = (at.get("port"), at.get("endPort"));
    known_if_set(&at.get("protocol"), &["TCP", "UDP", "SCTP"], e);
    match first.value {
        Some(Value::String(_)) if last.is_set() => {
            e.invalid(&last, "may not be specified when `port` is non-numeric");
        }
        None if last.is_set() => e.invalid(&last, "may not be specified when `port` is not specified"),
        _ => (),
    }
    if first.is_set() {
        port_or_name(&first, e);
    }
    if last.is_set() && first.value.is_some_and(Value::is_number) {
        if last.int() < first.int() {
            e.invalid(&last, "must be greater than or equal to `port`");
        }
        port(&last, e);
    }
}

fn policy_peer(at: &At<'_>, e: &mut Errors) {
    let block = at.get("ipBlock");
    let mut peers = usize::from(block.is_set());
    for selector in [at.get("podSelector"), at.get("namespaceSelector")] {
        if selector.is_set() {
            peers += 1;
            metadata::selector(&selector, true, e);
        }
    }
    if block.is_set() {
        networks(&block, e);
    }
    if peers == 0 {
        e.required(&at.path, "must specify a peer");
    } else if peers > 1 && block.is_set() {
        e.forbidden(&at.path, "may not specify both ipBlock and another peer");
    }
}

fn networks(block: &At<'_>, e: &mut Errors) {
    let whole = block.get("cidr");
    if !required(&whole, e) {
        return;
    }
    rules::network(&whole, e);
    let Some(outer) = parse_network(whole.str()) else { return };
    for without in block.get("except").items() {
        rules::network(&without, e);
        if parse_network(without.str()).is_some_and(|inner| !within(outer, inner)) {
            e.invalid(&without, "must be a strict subset of `cidr`");
        }
    }
}

/// Whether a network is a part of another, and not all of it.
fn within((outer, long): (IpAddr, u8), (inner, longer): (IpAddr, u8)) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        IpAddr::V6(ip) => ip.into(),
    };
    let apart = (bits(outer) ^ bits(inner)).leading_zeros();
    outer.is_ipv4() == inner.is_ipv4() && longer > long && apart >= u32::from(long)
}

fn ingress(ingress: &At<'_>, e: &mut Errors) {
    let spec = ingress.get("spec");
    let (lists, default) = (spec.get("rules"), spec.get("defaultBackend"));
    if lists.is_empty() && !default.is_set() {
        e.invalid_as(&spec.path, Value::Null, "either `defaultBackend` or `rules` must be specified");
    }
    if default.is_set() {
        backend(&default, e);
    }
    for rule in lists.items() {
        let name = rule.get("host");
        if name.str().parse::<IpAddr>().is_ok() {
            e.invalid(&name, "must be a DNS name, not an IP address");
        }
        if !name.is_empty() {
            host(&name, e);
        }
        let (http, paths) = (rule.get("http"), rule.get("http.paths"));
        if http.is_set() && paths.is_empty() {
            e.required(&paths.path, "");
        }
        paths.items().for_each(|path| ingress_path(&path, e));
    }
    for tls in spec.get("tls").items() {
        tls.get("hosts").items().for_each(|name| host(&name, e));
        named_if_set(&tls.get("secretName"), dns1123_subdomain, e);
    }
    let class = spec.get("ingressClassName");
    if class.is_set() {
        e.invalid_each(&class, dns1123_subdomain(class.str()));
    }
}

/// The class may be named by the field or, as it was once, by an annotation.
fn class_is_one(ingress: &At<'_>, e: &mut Errors) {
    let key = "kubernetes.io/ingress.class";
    let (old, new) =
        (ingress.value.and_then(|v| meta::annotation(v, key)), ingress.get("spec.ingressClassName"));
    if let Some(old) = old.filter(|old| new.is_set() && !new.is(old)) {
        let path = Path::of("annotations").dotted(key);
        e.invalid_as(&path, old, "must match `ingressClassName` when both are specified");
    }
}

fn host(at: &At<'_>, e: &mut Errors) {
    let rule = if at.str().contains('*') { wildcard_subdomain } else { dns1123_subdomain };
    e.invalid_each(at, rule(at.str()));
}

fn ingress_path(at: &At<'_>, e: &mut Errors) {
    let (kind, path) = (at.get("pathType"), at.get("path"));
    if !kind.is_set() {
        return e.required(&kind.path, "pathType must be specified");
    }
    let absolute = path.str().starts_with('/');
    if e.one_of(&kind, &["Exact", "ImplementationSpecific", "Prefix"]) {
        let free = kind.is("ImplementationSpecific");
        if !(absolute || free && path.is_empty()) {
            e.invalid_as(&path.path, path.str(), "must be an absolute path");
        }
        for part in ["//", "/./", "/../", "%2f", "%2F"] {
            if !free && path.str().contains(part) {
                e.invalid(&path, format!("must not contain '{part}'"));
            }
        }
        for ending in ["/..", "/."] {
            if !free && path.str().ends_with(ending) {
                e.invalid(&path, format!("cannot end with '{ending}'"));
            }
        }
    }
    backend(&at.get("backend"), e);
}

fn backend(at: &At<'_>, e: &mut Errors) {
    let (resource, service) = (at.get("resource"), at.get("service"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => e.invalid_as(&at.path, "", "cannot set both resource and service backends"),
        (true, false) => reference(&resource, e),
        (false, false) => e.invalid_as(&at.path, "", "resource or service backend is required"),
        (false, true) => {
            named(&service.get("name"), dns1123_label, e);
            let (name, number) = (service.get("port.name"), service.get("port.number"));
            match (!name.is_empty(), number.int() != 0) {
                (true, true) => e.invalid_as(&at.path, "", "cannot set both port name & port number"),
                (true, false) => port_or_name(&name, e),
                (false, true) => port(&number, e),
                (false, false) => e.required(&at.path, "port name or number is required"),
            }
        }
    }
}

fn reference(at: &At<'_>, e: &mut Errors) {
    let group = at.get("apiGroup");
    if group.is_set() {
        e.invalid_each(&group, dns1123_subdomain(group.str()));
    }
    for part in ["kind", "name"] {
        named(&at.get(part), |text| path_rule(text, false), e);
    }
}

fn class(class: &At<'_>, e: &mut Errors) {
    let controller = class.get("spec.controller");
    if controller.str().len() > 250 {
        e.too_long(&controller.path, 250);
    }
    prefixed_path(&controller, e);
    let parameters = class.get("spec.parameters");
    if !parameters.is_set() {
        return;
    }
    reference(&parameters, e);
    let (scope, namespace) = (parameters.get("scope"), parameters.get("namespace"));
    if !e.one_of(&scope, &["Cluster", "Namespace"]) {
        return;
    }
    match (scope.is("Namespace"), namespace.is_set()) {
        (true, true) => e.invalid_each(&namespace, dns1123_label(namespace.str())),
        (true, false) => e.required(&namespace.path, "`parameters.scope` is set to 'Namespace'"),
        (false, true) => e.forbidden(&namespace.path, "`parameters.scope` is set to 'Cluster'"),
        (false, false) => (),
    }
}

/// `acme.io/foo`.
fn prefixed_path(at: &At<'_>, e: &mut Errors) {
    if !required(at, e) {
        return;
    }
    let parts = at.str().split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty());
    let Some((host, path)) = parts else {
        return e.invalid(at, "must be a domain-prefixed path (such as \"acme.io/foo\")");
    };
    e.invalid_each_as(at, host, dns1123_subdomain(host));
    if !path.bytes().all(|c| c.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&c)) {
        let form = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
        e.invalid_as(&at.path, path, form_says("Invalid path", form, &[]));
    }
}

fn ingress_cells(o: &Value, now: i64) -> Vec<Value> {
    let rules = meta::list_at(o, "spec.rules");
    let hosts: Vec<&str> =
        rules.iter().map(|r| meta::str_at(r, "host")).filter(|h| !h.is_empty()).take(3).collect();
    let hosts = match (hosts.len(), rules.len()) {
        (0, _) => "*".to_owned(),
        (3, more) if more > 3 => format!("{} + {} more...", hosts.join(","), more - 3),
        _ => hosts.join(","),
    };
    let reached: BTreeSet<&str> = meta::list_at(o, "status.loadBalancer.ingress")
        .iter()
        .map(|i| {
            if meta::str_at(i, "ip").is_empty() { meta::str_at(i, "hostname") } else { meta::str_at(i, "ip") }
        })
        .filter(|text| !text.is_empty())
        .collect();
    let ports = if meta::list_at(o, "spec.tls").is_empty() { "80" } else { "80, 443" };
    let reached: Vec<&str> = reached.into_iter().collect();
    vec![
        name(o),
        or_none(meta::str_at(o, "spec.ingressClassName")),
        hosts.into(),
        reached.join(",").into(),
        ports.into(),
        age(o, now),
    ]
}

fn joined(list: &[Value]) -> String {
    list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{cells, created};
    use super::*;

    fn refused(kind: &str, spec: Value) -> Vec<String> {
        created("networking.k8s.io", kind, json!({"spec": spec})).err().unwrap_or_default()
    }

    #[test]
    fn a_policy_is_about_what_comes_in_unless_it_says_more() {
        let made = created(
            "networking.k8s.io",
            "NetworkPolicy",
            json!({"spec": {"egress": [{"ports": [{"port": 53}]}]}}),
        )
        .unwrap();
        assert_eq!(made["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(made["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
    }

    #[test]
    fn policies_name_peers_and_ports_that_can_be() {
        let spec = json!({"podSelector": {}, "policyTypes": ["Odd"], "ingress": [{
            "ports": [{"port": 0}, {"port": 5, "endPort": 3}, {"endPort": 3}],
            "from": [{}, {"podSelector": {}, "ipBlock": {"cidr": "nope"}},
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "11.0.0.0/16", "10.0.0.0/8"]}}]
        }]});
        let wrong = [
            "spec.ingress[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ingress[0].ports[1].endPort: Invalid value: 3: must be greater than or equal to `port`",
            "spec.ingress[0].ports[2].endPort: Invalid value: 3: may not be specified when `port` is not specified",
            "spec.ingress[0].from[0]: Required value: must specify a peer",
            "spec.ingress[0].from[1].ipBlock.cidr: Invalid value: \"nope\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            "spec.ingress[0].from[1]: Forbidden: may not specify both ipBlock and another peer",
            "spec.ingress[0].from[2].ipBlock.except[1]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
            "spec.ingress[0].from[2].ipBlock.except[2]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
            "spec.policyTypes[0]: Unsupported value: \"Odd\": supported values: \"Ingress\", \"Egress\"",
        ];
        assert_eq!(refused("NetworkPolicy", spec), wrong);
    }

    #[test]
    fn ingresses_lead_somewhere() {
        assert_eq!(
            refused("Ingress", json!({})),
            ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]
        );
        let service = json!({"service": {"name": "s", "port": {"number": 80}}});
        let spec = json!({"rules": [{"host": "1.2.3.4", "http": {}}, {"http": {"paths": [
            {"pathType": "Odd"}, {}, {"pathType": "Exact", "path": "/a//b/..", "backend": service}
        ]}}]});
        let wrong = [
            "spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address",
            "spec.rules[0].http.paths: Required value",
            "spec.rules[1].http.paths[0].pathType: Unsupported value: \"Odd\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
            "spec.rules[1].http.paths[0].backend: Invalid value: \"\": resource or service backend is required",
            "spec.rules[1].http.paths[1].pathType: Required value: pathType must be specified",
            "spec.rules[1].http.paths[2].path: Invalid value: \"/a//b/..\": must not contain '//'",
            "spec.rules[1].http.paths[2].path: Invalid value: \"/a//b/..\": cannot end with '/..'",
        ];
        assert_eq!(refused("Ingress", spec), wrong);
    }

    #[test]
    fn classes_are_of_a_domain() {
        assert_eq!(
            refused("IngressClass", json!({"controller": "a"})),
            [
                "spec.controller: Invalid value: \"a\": must be a domain-prefixed path (such as \"acme.io/foo\")"
            ]
        );
        let parameters = json!({"kind": "K", "name": "n", "scope": "Namespace"});
        assert_eq!(
            refused("IngressClass", json!({"controller": "a.io/b", "parameters": parameters})),
            ["spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"]
        );
    }

    #[test]
    fn hosts_are_shown_up_to_three() {
        let now = "2026-01-01T00:00:00Z";
        let ingress = json!({"metadata": {"name": "i"}, "spec": {"rules": [{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}], "tls": [{}]}});
        assert_eq!(
            cells("networking.k8s.io", "Ingress", &ingress, now),
            ["i", "<none>", "a,b,c + 1 more...", "", "80, 443", "<unknown>"]
        );
    }
}
