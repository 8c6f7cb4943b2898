//! Service: one address for many pods.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::basic::default_text;
use super::rules::{address, known, network, port_or_name, required};
use super::service_claims::{claims, drop_dependent, reserve};
use super::table::{AGE, NAME, age, labels, or_none, text, wide};
use super::{Row, metadata};
use crate::field_error::{At, Errors, Path, quote};
use crate::kind::{About, Part, Read, Selectable, Strategy, only_status};
use crate::meta;
use crate::names::{dns1123_label, dns1123_subdomain, label_key, label_rule, port_number};

pub(super) const ROWS: &[Row] = &[Row {
    strategy: Strategy {
        name: label_rule,
        default,
        prepare_update: |new, old, _| {
            meta::restore(new, old, "status");
            drop_dependent(new, old);
        },
        validate,
        validate_update: update,
        warn: |new, _| warnings(new),
        reserve: Some(reserve),
        claims,
        create_on_update: true,
        ..Strategy::WITH_STATUS
    },
    parts: &[("status", Part { prepare: only_status, validate: status, warn: |_, _| Vec::new() })],
    columns: &[
        NAME,
        text("Type", About::Field("ServiceSpec", "type")),
        text("Cluster-IP", About::Field("ServiceSpec", "clusterIP")),
        text("External-IP", About::Field("ServiceSpec", "externalIPs")),
        text("Port(s)", About::Field("ServiceSpec", "ports")),
        AGE,
        wide("Selector", About::Field("ServiceSpec", "selector")),
    ],
    cells,
    selectable: &[
        Selectable { name: Cow::Borrowed("spec.clusterIP"), read: Read::Path("") },
        Selectable { name: Cow::Borrowed("spec.type"), read: Read::Path("") },
    ],
    ..Row::new("", "Service")
}];

fn type_of(service: &Value) -> &str {
    meta::str_at(service, "spec.type")
}

pub(super) fn is_external_name(service: &Value) -> bool {
    type_of(service) == "ExternalName"
}

pub(super) fn has_node_ports(service: &Value) -> bool {
    ["NodePort", "LoadBalancer"].contains(&type_of(service))
}

pub(super) fn is_headless(service: &Value) -> bool {
    let all = meta::list_at(service, "spec.clusterIPs");
    all.len() == 1 && all[0] == "None"
}

pub(super) fn is_reached_from_outside(service: &Value) -> bool {
    let plain = ["ClusterIP", ""].contains(&type_of(service));
    has_node_ports(service) || plain && !meta::list_at(service, "spec.externalIPs").is_empty()
}

/// A balancer asks nodes whether they have pods of it.
pub(super) fn needs_health_check(service: &Value) -> bool {
    type_of(service) == "LoadBalancer" && meta::str_at(service, "spec.externalTrafficPolicy") == "Local"
}

fn default(service: &mut Value) {
    default_text(service, "spec.type", "ClusterIP");
    default_text(service, "spec.sessionAffinity", "None");
    match meta::str_at(service, "spec.sessionAffinity") {
        "None" => meta::remove(service, "spec.sessionAffinityConfig"),
        "ClientIP" => {
            meta::put_default(service, "spec.sessionAffinityConfig.clientIP.timeoutSeconds", 10_800)
        }
        _ => {}
    }
    for port in meta::at_mut(service, "spec.ports").and_then(Value::as_array_mut).into_iter().flatten() {
        default_text(port, "protocol", "TCP");
        let target = meta::at(port, "targetPort");
        if target.is_none_or(|target| target == 0 || target == "") {
            let own = meta::int_at(port, "port");
            meta::put(port, "targetPort", own);
        }
    }
    if is_reached_from_outside(service) {
        default_text(service, "spec.externalTrafficPolicy", "Cluster");
    }
    if ["NodePort", "LoadBalancer", "ClusterIP"].contains(&type_of(service)) {
        meta::put_default(service, "spec.internalTrafficPolicy", "Cluster");
    }
    if is_external_name(service) {
        meta::remove(service, "spec.internalTrafficPolicy");
    }
    if type_of(service) == "LoadBalancer" {
        meta::put_default(service, "spec.allocateLoadBalancerNodePorts", true);
        let list = meta::at_mut(service, "status.loadBalancer.ingress").and_then(Value::as_array_mut);
        for ingress in list.into_iter().flatten().filter(|i| !meta::str_at(i, "ip").is_empty()) {
            meta::put_default(ingress, "ipMode", "VIP");
        }
    }
}

fn validate(service: &At<'_>, e: &mut Errors) {
    let Some(object) = service.value else { return };
    let spec = service.get("spec");
    let kind = type_of(object);
    topology_annotations(object, e);
    if spec.get("ports").is_empty() && !is_headless(object) && kind != "ExternalName" {
        e.required(&spec.get("ports").path, "");
    }
    if has_node_ports(object) && is_headless(object) {
        let first = spec.get("clusterIPs").path.index(0);
        e.invalid_as(&first, "None", format!("may not be set to 'None' for {kind} services"));
    }
    if kind == "ExternalName" {
        external_name(&spec, e);
    }
    ports(&spec.get("ports"), e);
    metadata::labels(&spec.get("selector"), e);
    affinity(&spec, e);
    addresses(service, e);
    for ip in spec.get("externalIPs").items() {
        let before = e.len();
        address(&ip, e);
        if e.len() == before {
            endpoint_address(&ip, e);
        }
    }
    known(&spec.get("type"), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], e);
    unique_ports(&spec, e);
    balancer(service, &spec, e);
    traffic(object, &spec, e);
}

fn topology_annotations(service: &Value, e: &mut Errors) {
    let (hints, mode) = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode");
    let old = meta::annotation(service, hints);
    if let Some(new) = meta::annotation(service, mode).filter(|new| old.is_some_and(|old| old != *new)) {
        let path = Path::of("metadata.annotations").key(mode);
        e.invalid_as(&path, new, format!("must match annotations[{hints}] when both are specified"));
    }
}

fn external_name(spec: &At<'_>, e: &mut Errors) {
    for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if !spec.get(field).is_empty() {
            e.forbidden(&spec.get(field).path, "may not be set for ExternalName services");
        }
    }
    let name = spec.get("externalName");
    let text = name.str().strip_suffix('.').unwrap_or(name.str());
    if text.is_empty() {
        e.required(&name.path, "");
    } else {
        e.invalid_each_as(&name, text, dns1123_subdomain(text));
    }
}

fn ports(at: &At<'_>, e: &mut Errors) {
    let mut names = BTreeSet::new();
    for port in at.items() {
        let name = port.get("name");
        if name.is_empty() && at.len() > 1 {
            e.required(&name.path, "");
        } else if !name.is_empty() {
            e.invalid_each(&name, dns1123_label(name.str()));
            if !names.insert(name.str()) {
                e.duplicate(&name.path, name.str());
            }
        }
        let number = port.get("port");
        for wrong in port_number(number.int()) {
            e.invalid_as(&number.path, number.int(), wrong);
        }
        known(&port.get("protocol"), &["SCTP", "TCP", "UDP"], e);
        port_or_name(&port.get("targetPort"), e);
        let application = port.get("appProtocol");
        if application.is_set() {
            e.invalid_each(&application, label_key(application.str()));
        }
    }
}

fn affinity(spec: &At<'_>, e: &mut Errors) {
    let (at, config) = (spec.get("sessionAffinity"), spec.get("sessionAffinityConfig"));
    known(&at, &["ClientIP", "None"], e);
    if at.is("None") && config.is_set() {
        e.forbidden(&config.path, "must not be set when session affinity is None");
    }
    if !at.is("ClientIP") {
        return;
    }
    for missing in [config.clone(), config.get("clientIP"), config.get("clientIP.timeoutSeconds")] {
        if !missing.is_set() {
            return e.required(&missing.path, "when session affinity type is ClientIP");
        }
    }
    let timeout = config.get("clientIP.timeoutSeconds");
    if !(1..=86_400).contains(&timeout.int()) {
        e.invalid(&timeout, "must be greater than 0 and less than 86400");
    }
}

/// Addresses and their families.
pub(super) fn addresses(service: &At<'_>, e: &mut Errors) {
    let spec = service.get("spec");
    if spec.get("type").is("ExternalName") {
        return;
    }
    let (single, list, families) = (spec.get("clusterIP"), spec.get("clusterIPs"), spec.get("ipFamilies"));
    let first = list.items().next();
    match (single.is_empty(), &first) {
        (false, None) => e.required(&list.path, ""),
        (false, Some(first)) if !first.is(single.str()) => {
            e.invalid(&list, "first value must match `clusterIP`");
        }
        (true, Some(_)) => e.invalid(&list, "must be empty when `clusterIP` is not specified"),
        _ => {}
    }
    let mut seen = BTreeSet::new();
    for family in families.items() {
        e.one_of(&family, &["IPv4", "IPv6"]);
        if !seen.insert(family.str()) {
            e.duplicate(&family.path, family.str());
        }
    }
    let policy = spec.get("ipFamilyPolicy");
    if policy.is_set() {
        e.one_of(&policy, &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    }
    let before = e.len();
    let mut ips = Vec::new();
    for (index, ip) in list.items().enumerate() {
        if index == 0 && ip.is("None") {
            if list.len() > 1 {
                e.invalid(&list, "'None' must be the first and only value");
            }
        } else {
            ips.extend(address(&ip, e));
        }
    }
    let wrong = e.len() > before;
    if list.len() > 2 {
        e.invalid(&list, "may only hold up to 2 values");
    }
    if wrong {
        return;
    }
    let both = ips.len() == 2 && ips[0].is_ipv4() != ips[1].is_ipv4();
    if list.len() > 1 && !both {
        e.invalid(&list, "may specify no more than one IP for each IP family");
    }
    for (index, (ip, family)) in ips.iter().zip(families.items()).enumerate() {
        if ["IPv4", "IPv6"].contains(&family.str()) && ip.is_ipv4() != family.is("IPv4") {
            let says = format!("expected an {} value as indicated by `ipFamilies[{index}]`", family.str());
            e.invalid_as(&list.path.index(index), ip.to_string(), says);
        }
    }
}

/// An address that packets can be sent to.
pub(super) fn endpoint_address(at: &At<'_>, e: &mut Errors) {
    let Ok(ip) = at.str().parse::<std::net::IpAddr>() else {
        return e.invalid_as(&at.path, at.str(), "must be a valid IP address");
    };
    let (local, multicast) = match ip {
        std::net::IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        std::net::IpAddr::V6(ip) => {
            (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] & 0xff0f == 0xff02)
        }
    };
    if ip.is_unspecified() {
        e.invalid(at, format!("may not be unspecified ({})", at.str()));
    }
    if ip.is_loopback() {
        e.invalid(at, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if local {
        e.invalid(at, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if multicast {
        e.invalid(at, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

fn unique_ports(spec: &At<'_>, e: &mut Errors) {
    let ports = spec.get("ports");
    let (mut node, mut own) = (BTreeSet::new(), BTreeSet::new());
    let inside = spec.get("type").is("ClusterIP");
    for port in ports.items().filter(|port| inside && !port.get("nodePort").is_empty()) {
        e.forbidden(&port.get("nodePort").path, "may not be used when `type` is 'ClusterIP'");
    }
    for port in ports.items() {
        let number = port.get("nodePort");
        if !number.is_empty() && !node.insert((port.get("protocol").str(), number.int())) {
            e.duplicate(&number.path, number.int());
        }
    }
    for port in ports.items() {
        let (protocol, number) = (port.get("protocol").str(), port.get("port").int());
        if !own.insert((protocol, number)) {
            let shown = json!({"Name": "", "Protocol": protocol, "AppProtocol": null, "Port": number, "TargetPort": 0, "NodePort": 0});
            e.duplicate(&port.path, shown);
        }
    }
}

fn balancer(service: &At<'_>, spec: &At<'_>, e: &mut Errors) {
    const RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
    let balanced = spec.get("type").is("LoadBalancer");
    let only = "may only be used when `type` is 'LoadBalancer'";
    let ranges = spec.get("loadBalancerSourceRanges").under(spec.path.child("LoadBalancerSourceRanges"));
    let annotation = service.value.and_then(|s| meta::annotation(s, RANGES));
    if !ranges.is_empty() {
        if !balanced {
            e.forbidden(&ranges.path, only);
        }
        for range in ranges.items() {
            let trimmed = Value::from(range.str().trim());
            network(&At::new(Some(&trimmed), range.path), e);
        }
    } else if let Some(text) = annotation {
        let path = Path::of("metadata.annotations").key(RANGES);
        if !balanced {
            e.forbidden(&path, only);
        }
        for range in text.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            network(&At::new(Some(&range.into()), path.clone()), e);
        }
    }
    let allocates = spec.get("allocateLoadBalancerNodePorts");
    if allocates.is_set() && !balanced {
        e.forbidden(&allocates.path, only);
    }
    if balanced && !allocates.is_set() {
        e.required(&Path::of("allocateLoadBalancerNodePorts"), "");
    }
    let class = spec.get("loadBalancerClass");
    if class.is_set() {
        if balanced {
            e.invalid_each(&class, label_key(class.str()));
        } else {
            e.forbidden(&class.path, only);
        }
    }
}

fn traffic(service: &Value, spec: &At<'_>, e: &mut Errors) {
    let (outside, health) = (spec.get("externalTrafficPolicy"), spec.get("healthCheckNodePort"));
    if is_reached_from_outside(service) {
        known(&outside, &["Cluster", "Local"], e);
    } else if !outside.is_empty() {
        e.invalid(&outside, "may only be set for externally-accessible services");
    }
    if needs_health_check(service) {
        if required(&health, e) {
            e.invalid_each(&health, port_number(health.int()));
        }
    } else if !health.is_empty() {
        let says = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        e.invalid(&health, says);
    }
    let inside = spec.get("internalTrafficPolicy");
    if inside.is_set() {
        e.one_of(&inside, &["Cluster", "Local"]);
    } else if ["NodePort", "LoadBalancer", "ClusterIP"].contains(&type_of(service)) {
        e.required(&inside.path, "");
    }
    let spread = spec.get("trafficDistribution");
    if spread.is_set() {
        e.one_of(&spread, &["PreferClose", "PreferSameZone", "PreferSameNode"]);
    }
}

fn update(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    let (Some(now), Some(was)) = (new.value, old.value) else { return };
    let (spec, before) = (new.get("spec"), old.get("spec"));
    if !is_external_name(now) && !is_external_name(was) {
        let (headless, was_headless) = (is_headless(now), is_headless(was));
        if !(headless && was_headless) {
            unchanged(
                &spec.get("clusterIPs"),
                &before.get("clusterIPs"),
                "primary clusterIP can not be unset",
                e,
            );
        }
        if !headless && !was_headless {
            unchanged(
                &spec.get("ipFamilies"),
                &before.get("ipFamilies"),
                "primary ipFamily can not be unset",
                e,
            );
        }
    }
    let (class, was_class) = (spec.get("loadBalancerClass"), before.get("loadBalancerClass"));
    let balanced = |spec: &At<'_>| spec.get("type").is("LoadBalancer");
    if balanced(&spec) && balanced(&before) && class.value != was_class.value {
        e.invalid_as(&class.path, class.value.cloned().unwrap_or_default(), "may not change once set");
    }
    if balanced(&spec) && class.is_set() {
        e.invalid_each(&class, label_key(class.str()));
    }
    let health = spec.get("healthCheckNodePort");
    if needs_health_check(now)
        && needs_health_check(was)
        && health.int() != before.get("healthCheckNodePort").int()
    {
        e.forbidden(&health.path, "field is immutable");
    }
    validate(new, e);
}

/// A list whose first item may not change once it is there.
fn unchanged(new: &At<'_>, old: &At<'_>, unset: &str, e: &mut Errors) {
    let shown = new.value.cloned().unwrap_or(Value::Null);
    if new.is_empty() && !old.is_empty() {
        return e.invalid_as(&new.path.index(0), shown, unset);
    }
    for (index, (now, was)) in new.items().zip(old.items()).enumerate() {
        if now.str() != was.str() {
            e.invalid_as(&new.path.index(index), shown.clone(), "may not change once set");
        }
    }
}

fn status(new: &At<'_>, _: &At<'_>, e: &mut Errors) {
    let list = new.get("status.loadBalancer.ingress");
    if !new.get("spec.type").is("LoadBalancer") && !list.is_empty() {
        return e.forbidden(&list.path, "may only be used when `spec.type` is 'LoadBalancer'");
    }
    for ingress in list.items() {
        let (ip, mode, host) = (ingress.get("ip"), ingress.get("ipMode"), ingress.get("hostname"));
        if !ip.is_empty() {
            address(&ip, e);
        }
        match (mode.is_set(), ip.is_empty()) {
            (false, false) => e.required(&mode.path, "must be specified when `ip` is set"),
            (true, true) => e.forbidden(&mode.path, "may not be specified when `ip` is not set"),
            (true, false) => {
                e.one_of(&mode, &["Proxy", "VIP"]);
            }
            (false, true) => {}
        }
        if !host.is_empty() {
            e.invalid_each(&host, dns1123_subdomain(host.str()));
            if host.str().parse::<std::net::IpAddr>().is_ok() {
                e.invalid(&host, "must be a DNS name, not an IP address");
            }
        }
    }
}

fn warnings(service: &Value) -> Vec<String> {
    let mut all = Vec::new();
    let (hints, mode) = ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode");
    let has = |field: &str| !meta::str_at(service, &format!("spec.{field}")).is_empty();
    let outside = !meta::list_at(service, "spec.externalIPs").is_empty();
    if meta::annotation(service, hints).is_some() {
        all.push(format!("annotation {hints} is deprecated, please use {mode} instead"));
    }
    if is_headless(service) {
        let affinity = meta::str_at(service, "spec.sessionAffinity") != "None";
        let ignored = [
            (has("loadBalancerIP"), "loadBalancerIP"),
            (outside, "externalIPs"),
            (affinity, "SessionAffinity"),
        ];
        all.extend(
            ignored
                .iter()
                .filter(|(is, _)| *is)
                .map(|(_, name)| format!("spec.{name} is ignored for headless services")),
        );
    }
    let named = is_external_name(service);
    if outside && !is_headless(service) && !named {
        all.push(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned(),
        );
    }
    if named && outside {
        all.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !named && has("externalName") {
        all.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if meta::str_at(service, "spec.trafficDistribution") == "PreferClose" {
        let (old, new) = (quote("PreferClose"), quote("PreferSameZone"));
        all.push(format!("spec.trafficDistribution: {old} is deprecated; use {new}"));
    }
    all
}

fn cells(service: &Value, now: i64) -> Vec<Value> {
    let ports: Vec<String> = meta::list_at(service, "spec.ports")
        .iter()
        .map(|port| {
            let (number, protocol) = (meta::int_at(port, "port"), meta::str_at(port, "protocol"));
            match meta::int_at(port, "nodePort") {
                0 => format!("{number}/{protocol}"),
                node => format!("{number}:{node}/{protocol}"),
            }
        })
        .collect();
    let first = meta::list_at(service, "spec.clusterIPs").first().and_then(Value::as_str);
    vec![
        meta::name(service).into(),
        type_of(service).into(),
        first.unwrap_or("<none>").into(),
        outside(service).into(),
        or_none(&ports.join(",")),
        age(service, now),
        labels(meta::at(service, "spec.selector")),
    ]
}

fn outside(service: &Value) -> String {
    let given: Vec<&str> =
        meta::list_at(service, "spec.externalIPs").iter().filter_map(Value::as_str).collect();
    match type_of(service) {
        "ClusterIP" | "NodePort" if given.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => given.join(","),
        "LoadBalancer" => {
            let ingress = meta::list_at(service, "status.loadBalancer.ingress").iter();
            let balanced: BTreeSet<&str> = ingress
                .map(|i| {
                    if meta::str_at(i, "ip").is_empty() {
                        meta::str_at(i, "hostname")
                    } else {
                        meta::str_at(i, "ip")
                    }
                })
                .filter(|text| !text.is_empty())
                .collect();
            let all: Vec<&str> = balanced.into_iter().chain(given).collect();
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => meta::str_at(service, "spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{cells, created, updated};

    #[test]
    fn services_are_refused_for_what_is_wrong_with_them() {
        let table = [
            ("no port", json!({}), vec!["spec.ports: Required value"]),
            (
                "two ports without names, one twice",
                json!({"ports": [{"port": 80}, {"port": 80}]}),
                vec![
                    "spec.ports[0].name: Required value",
                    "spec.ports[1].name: Required value",
                    "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":null,\"Port\":80,\"TargetPort\":0,\"NodePort\":0}",
                ],
            ),
            (
                "a name elsewhere without a name",
                json!({"type": "ExternalName"}),
                vec!["spec.externalName: Required value"],
            ),
            (
                "a node port inside",
                json!({"ports": [{"port": 80, "nodePort": 30000}]}),
                vec!["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
            ),
            (
                "a type nobody knows",
                json!({"type": "X", "ports": [{"port": 80}]}),
                vec![
                    "spec.type: Unsupported value: \"X\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
                ],
            ),
            (
                "an address that leads nowhere",
                json!({"ports": [{"port": 80}], "externalIPs": ["127.0.0.1"]}),
                vec![
                    "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                ],
            ),
        ];
        for (why, spec, wrong) in table {
            assert_eq!(created("", "Service", json!({"spec": spec})).unwrap_err(), wrong, "{why}");
        }
    }

    #[test]
    fn defaults_depend_on_the_type() {
        let made = created("", "Service", json!({"spec": {"ports": [{"port": 80}]}})).unwrap();
        assert_eq!(
            made["spec"],
            json!({"ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}], "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster"})
        );
    }

    #[test]
    fn an_address_stays() {
        let with = |ip: &str| json!({"spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80}]}});
        assert_eq!(
            updated("", "Service", with("10.96.0.2"), with("10.96.0.1")).unwrap_err(),
            ["spec.clusterIPs[0]: Invalid value: [\"10.96.0.2\"]: may not change once set"]
        );
    }

    #[test]
    fn rows_show_how_it_is_reached() {
        let service = json!({
            "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"type": "LoadBalancer", "clusterIPs": ["10.96.0.1"], "ports": [{"port": 80, "nodePort": 30000, "protocol": "TCP"}], "selector": {"b": "c", "a": "b"}},
        });
        assert_eq!(
            cells("", "Service", &service, "2026-01-01T00:00:10Z"),
            ["a", "LoadBalancer", "10.96.0.1", "<pending>", "80:30000/TCP", "10s", "a=b,b=c"]
        );
    }
}
