//! What a Service claims in the cluster: its address and its node ports, on a network of
//! IPv4 alone.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::service::{
    has_node_ports, is_external_name, is_headless, is_reached_from_outside, needs_health_check,
};
use crate::field_error::{At, Errors, Path};
use crate::kind::Pools;
use crate::meta;
use crate::status::{Qualified, Status};

/// Keys of what a Service claims.
pub(super) fn claims(service: &Value) -> Vec<String> {
    let mut keys = Vec::new();
    let address = meta::str_at(service, "spec.clusterIP");
    if !is_external_name(service) && !address.is_empty() && address != "None" {
        keys.push(address_key(address));
    }
    let ports = meta::list_at(service, "spec.ports").iter().map(|port| meta::int_at(port, "nodePort"));
    for port in ports.chain([meta::int_at(service, "spec.healthCheckNodePort")]).filter(|port| *port != 0) {
        let key = port_key(port);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

fn address_key(address: &str) -> String {
    format!("claims/serviceips/{address}")
}

fn port_key(port: i64) -> String {
    format!("claims/nodeports/{port}")
}

/// Chooses an address and ports where none are given, and refuses those that are taken.
pub(super) fn reserve(new: &mut Value, old: Option<&Value>, pools: &mut Pools<'_>) -> Result<(), Status> {
    if let Some(old) = old {
        keep(new, old);
    }
    singular_and_plural(new, old);
    if !is_external_name(new) {
        families(new, old)?;
    }
    let held = old.map(claims).unwrap_or_default();
    let mut taken = Taken { pools, held };
    address(new, &mut taken)?;
    node_ports(new, &mut taken)
}

/// What is taken by others.
struct Taken<'a, 'b> {
    pools: &'a mut Pools<'b>,
    held: Vec<String>,
}

impl Taken<'_, '_> {
    fn is(&self, key: &str) -> bool {
        !self.held.iter().any(|held| held == key) && (self.pools.taken)(key)
    }
}

fn invalid(service: &Value, at: &At<'_>, says: String) -> Status {
    let mut e = Errors::new();
    e.invalid(at, says);
    Status::invalid(Qualified { group: "", name: "Service" }, meta::name(service), e)
}

/// An update that leaves out what was chosen keeps it.
fn keep(new: &mut Value, old: &Value) {
    if !is_external_name(new) && !is_external_name(old) {
        if meta::str_at(new, "spec.clusterIP").is_empty() {
            meta::restore(new, old, "spec.clusterIP");
        }
        if meta::list_at(new, "spec.clusterIPs").is_empty() {
            meta::restore(new, old, "spec.clusterIPs");
        }
    }
    if has_node_ports(new) && has_node_ports(old) {
        let port_of = |port: &Value| meta::int_at(port, "nodePort");
        let was: BTreeMap<&str, i64> =
            meta::list_at(old, "spec.ports").iter().map(|p| (meta::str_at(p, "name"), port_of(p))).collect();
        let given: Vec<i64> = meta::list_at(new, "spec.ports").iter().map(port_of).collect();
        for port in meta::at_mut(new, "spec.ports").and_then(Value::as_array_mut).into_iter().flatten() {
            let before = was.get(meta::str_at(port, "name")).copied().unwrap_or(0);
            if port_of(port) == 0 && before != 0 && !given.contains(&before) {
                meta::put(port, "nodePort", before);
            }
        }
    }
    if needs_health_check(new)
        && needs_health_check(old)
        && meta::int_at(new, "spec.healthCheckNodePort") == 0
    {
        meta::restore(new, old, "spec.healthCheckNodePort");
    }
}

/// What belonged to the type that was goes with it, unless the update changes it itself.
pub(super) fn drop_dependent(new: &mut Value, old: &Value) {
    let balanced = |service: &Value| meta::str_at(service, "spec.type") == "LoadBalancer";
    let same = |new: &Value, field: &str| meta::same_at(new, old, field);
    if !is_external_name(old) && is_external_name(new) {
        if same(new, "spec.clusterIP") && same(new, "spec.clusterIPs") {
            meta::remove(new, "spec.clusterIP");
            meta::remove(new, "spec.clusterIPs");
        }
        for field in ["spec.ipFamilies", "spec.ipFamilyPolicy"]
            .iter()
            .filter(|f| meta::same_at(old, new, f))
            .copied()
            .collect::<Vec<_>>()
        {
            meta::remove(new, field);
        }
    }
    if has_node_ports(old) && !has_node_ports(new) {
        let was: Vec<i64> =
            meta::list_at(old, "spec.ports").iter().map(|p| meta::int_at(p, "nodePort")).collect();
        let mut given = meta::list_at(new, "spec.ports").iter().map(|p| meta::int_at(p, "nodePort"));
        if given.all(|port| port == 0 || was.contains(&port)) {
            for port in meta::at_mut(new, "spec.ports").and_then(Value::as_array_mut).into_iter().flatten() {
                meta::remove(port, "nodePort");
            }
        }
    }
    if needs_health_check(old) && !needs_health_check(new) && same(new, "spec.healthCheckNodePort") {
        meta::remove(new, "spec.healthCheckNodePort");
    }
    if balanced(old) && !balanced(new) {
        for field in ["spec.allocateLoadBalancerNodePorts", "spec.loadBalancerClass"] {
            if same(new, field) {
                meta::remove(new, field);
            }
        }
    }
    if is_reached_from_outside(old)
        && !is_reached_from_outside(new)
        && same(new, "spec.externalTrafficPolicy")
    {
        meta::remove(new, "spec.externalTrafficPolicy");
    }
    if !balanced(new) {
        meta::put(new, "status.loadBalancer", json!({}));
    }
}

/// `clusterIP` and `clusterIPs` say the same, whichever of them a client knows.
fn singular_and_plural(new: &mut Value, old: Option<&Value>) {
    let single = meta::str_at(new, "spec.clusterIP").to_owned();
    let same_list = |new: &Value, old: &Value| meta::same_at(new, old, "spec.clusterIPs");
    match old {
        None if !single.is_empty() && meta::list_at(new, "spec.clusterIPs").is_empty() => {
            meta::put(new, "spec.clusterIPs", json!([single]));
        }
        Some(old) if meta::str_at(old, "spec.clusterIP") != single && same_list(new, old) => {
            // The client changed the one it knows; the other follows.
            if single.is_empty() {
                meta::remove(new, "spec.clusterIPs");
            } else {
                meta::put(new, "spec.clusterIPs", json!([single]));
            }
        }
        _ => {}
    }
}

fn families(new: &mut Value, old: Option<&Value>) -> Result<(), Status> {
    let headless = meta::str_at(new, "spec.clusterIP") == "None";
    let selects = meta::at(new, "spec.selector").and_then(Value::as_object).is_some_and(|s| !s.is_empty());
    if meta::str_at(new, "spec.ipFamilyPolicy").is_empty() {
        let before = old.map_or("", |old| meta::str_at(old, "spec.ipFamilyPolicy")).to_owned();
        let policy = match before.as_str() {
            "" if headless && !selects => "RequireDualStack",
            "" => "SingleStack",
            before => before,
        };
        meta::put(new, "spec.ipFamilyPolicy", policy);
    }
    let mut e = Errors::new();
    super::service::addresses(&At::root(new), &mut e);
    if !e.is_empty() {
        return Err(Status::invalid(Qualified { group: "", name: "Service" }, meta::name(new), e));
    }
    let policy = meta::str_at(new, "spec.ipFamilyPolicy").to_owned();
    let (root, mut e) = (At::root(new), Errors::new());
    let (ips, wanted, at) =
        (root.get("spec.clusterIPs"), root.get("spec.ipFamilies"), root.get("spec.ipFamilyPolicy"));
    if policy == "SingleStack" {
        for (list, what) in [(&ips, "cluster IPs"), (&wanted, "IP families")] {
            if list.len() == 2 {
                e.invalid(
                    &at,
                    format!(
                        "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                    ),
                );
            }
        }
    }
    let unknown = |ip: &At<'_>| !ip.is("None") && ip.str().parse::<Ipv4Addr>().is_err();
    for ip in ips.items().skip(wanted.len()).filter(unknown) {
        let shown = ips.value.cloned().unwrap_or_default();
        e.invalid_as(&ip.path, shown, "IPv6 is not configured on this cluster");
    }
    if (!headless || selects) && e.is_empty() {
        if policy == "RequireDualStack" {
            e.invalid(&at, "this cluster is not configured for dual-stack services");
        }
        for family in wanted.items().filter(|family| !family.is("IPv4")) {
            e.invalid(&family, "not configured on this cluster");
        }
    }
    let count = wanted.len();
    if !e.is_empty() {
        return Err(Status::invalid(Qualified { group: "", name: "Service" }, meta::name(new), e));
    }
    if headless && !selects && policy != "SingleStack" {
        let first = meta::list_at(new, "spec.ipFamilies").first().and_then(Value::as_str).unwrap_or("IPv4");
        let second = if first == "IPv4" { "IPv6" } else { "IPv4" };
        if count < 2 {
            let both = json!([first, second]);
            meta::put(new, "spec.ipFamilies", both);
        }
    } else if count == 0 {
        meta::put(new, "spec.ipFamilies", json!(["IPv4"]));
    }
    Ok(())
}

fn address(new: &mut Value, taken: &mut Taken<'_, '_>) -> Result<(), Status> {
    if is_external_name(new) || is_headless(new) {
        return Ok(());
    }
    let (network, length) = taken.pools.addresses;
    let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
    let first = u32::from(network) & mask;
    let size = (!mask).saturating_sub(1);
    let given = meta::str_at(new, "spec.clusterIP").to_owned();
    if given.is_empty() {
        let lower = (size / 16).clamp(16, 256).min(size);
        // The lower part is kept for addresses that are asked for by name.
        let random = u32::try_from((taken.pools.random)() % u64::from(u32::MAX)).unwrap_or(0);
        let free = |at: u32| !taken.is(&address_key(&Ipv4Addr::from(first + at).to_string()));
        let chosen = pick(lower, size + 1, random, free).or_else(|| pick(1, lower, random, free));
        let Some(chosen) = chosen else {
            let why = format!(
                "failed to allocate a serviceIP for Service {}: range is full",
                crate::field_error::quote(meta::name(new))
            );
            return Err(Status::internal(why));
        };
        let address = Ipv4Addr::from(first + chosen).to_string();
        meta::put(new, "spec.clusterIP", address.clone());
        meta::put(new, "spec.clusterIPs", json!([address]));
        return Ok(());
    }
    let Ok(address) = given.parse::<Ipv4Addr>() else { return Ok(()) };
    let within = (1..=size).contains(&(u32::from(address).wrapping_sub(first)));
    let why = if taken.held.contains(&address_key(&given)) {
        return Ok(());
    } else if !within {
        "the provided network does not match the current range"
    } else if taken.is(&address_key(&given)) {
        "provided IP is already allocated"
    } else {
        return Ok(());
    };
    let root = At::root(new);
    Err(invalid(new, &root.get("spec.clusterIPs"), format!("failed to allocate IP {given}: {why}")))
}

/// The first that is free from a random place on, around the range.
fn pick(from: u32, to: u32, random: u32, free: impl Fn(u32) -> bool) -> Option<u32> {
    let count = to.checked_sub(from).filter(|count| *count > 0)?;
    (0..count).map(|step| from + (random % count + step) % count).find(|at| free(*at))
}

fn node_ports(new: &mut Value, taken: &mut Taken<'_, '_>) -> Result<(), Status> {
    let mut chosen: BTreeMap<i64, i64> = BTreeMap::new();
    let allocates = meta::at(new, "spec.allocateLoadBalancerNodePorts") != Some(&Value::Bool(false))
        || meta::str_at(new, "spec.type") == "NodePort";
    let ports = meta::list_at(new, "spec.ports").to_vec();
    let mut held: Vec<i64> = Vec::new();
    for (index, port) in ports.iter().enumerate().filter(|_| has_node_ports(new)).collect::<Vec<_>>() {
        let (own, given) = (meta::int_at(port, "port"), meta::int_at(port, "nodePort"));
        if given != 0 {
            if !held.contains(&given) {
                let at = Path::of("spec.ports").index(index).child("nodePort");
                check_port(new, port, &at, given, taken)?;
            }
            chosen.entry(own).or_insert(given);
            held.push(given);
        }
    }
    for (index, port) in
        ports.iter().enumerate().filter(|_| has_node_ports(new) && allocates).collect::<Vec<_>>()
    {
        if meta::int_at(port, "nodePort") != 0 {
            continue;
        }
        // One number serves all protocols of a port.
        let own = meta::int_at(port, "port");
        let number = match chosen.get(&own) {
            Some(number) => *number,
            None => choose_port(taken, &held)?,
        };
        chosen.insert(own, number);
        held.push(number);
        if let Some(port) = meta::at_mut(new, "spec.ports").and_then(|ports| ports.get_mut(index)) {
            meta::put(port, "nodePort", number);
        }
    }
    let health = meta::int_at(new, "spec.healthCheckNodePort");
    if needs_health_check(new) {
        if health == 0 {
            let number = choose_port(taken, &held)?;
            meta::put(new, "spec.healthCheckNodePort", number);
        } else if taken.is(&port_key(health)) {
            let why = "provided port is already allocated";
            return Err(Status::internal(format!(
                "failed to allocate requested HealthCheck NodePort {health}: {why}"
            )));
        }
    }
    Ok(())
}

fn check_port(
    service: &Value,
    port: &Value,
    at: &Path,
    number: i64,
    taken: &Taken<'_, '_>,
) -> Result<(), Status> {
    let (low, high) = taken.pools.ports;
    let at = At::new(port.get("nodePort"), at.clone());
    if taken.held.contains(&port_key(number)) {
        return Ok(());
    }
    if !(i64::from(low)..=i64::from(high)).contains(&number) {
        let says =
            format!("provided port is not in the valid range. The range of valid ports is {low}-{high}");
        return Err(invalid(service, &at, says));
    }
    if taken.is(&port_key(number)) {
        return Err(invalid(service, &at, "provided port is already allocated".to_owned()));
    }
    Ok(())
}

fn choose_port(taken: &mut Taken<'_, '_>, held: &[i64]) -> Result<i64, Status> {
    let (low, high) = taken.pools.ports;
    let size = u32::from(high.saturating_sub(low)) + 1;
    let lower = (size / 32).clamp(16, 128).min(size);
    let random = u32::try_from((taken.pools.random)() % u64::from(u32::MAX)).unwrap_or(0);
    let number = |at: u32| i64::from(low) + i64::from(at);
    let free = |at: u32| !held.contains(&number(at)) && !taken.is(&port_key(number(at)));
    let chosen = pick(lower, size, random, free).or_else(|| pick(0, lower, random, free));
    chosen.map(number).ok_or_else(|| Status::internal("failed to allocate a nodePort: range is full"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn reserved(mut service: Value, old: Option<&Value>, taken: &[&str]) -> Result<Value, String> {
        let taken: BTreeSet<&str> = taken.iter().copied().collect();
        let mut next = 0;
        let mut random = || {
            next += 1;
            next
        };
        let mut pools = Pools {
            addresses: (Ipv4Addr::new(10, 96, 0, 0), 16),
            ports: (30000, 32767),
            taken: &|key| taken.contains(key),
            random: &mut random,
        };
        reserve(&mut service, old, &mut pools).map_err(|status| status.message)?;
        Ok(service)
    }

    #[test]
    fn an_address_and_ports_are_chosen_beyond_those_asked_for_by_name() {
        let service = json!({"spec": {"type": "NodePort", "ports": [
            {"name": "a", "port": 53, "protocol": "TCP"}, {"name": "b", "port": 53, "protocol": "UDP"}, {"name": "c", "port": 80, "nodePort": 30001}
        ]}});
        let made = reserved(service, None, &["claims/serviceips/10.96.1.1"]).unwrap();
        assert_eq!(made["spec"]["clusterIP"], "10.96.1.2");
        assert_eq!(made["spec"]["clusterIPs"], json!(["10.96.1.2"]));
        assert_eq!(
            (&made["spec"]["ipFamilies"], &made["spec"]["ipFamilyPolicy"]),
            (&json!(["IPv4"]), &json!("SingleStack"))
        );
        let ports: Vec<i64> =
            made["spec"]["ports"].as_array().unwrap().iter().map(|p| meta::int_at(p, "nodePort")).collect();
        assert_eq!(ports, [30088, 30088, 30001], "one number for both protocols");
        assert_eq!(
            claims(&made),
            ["claims/serviceips/10.96.1.2", "claims/nodeports/30088", "claims/nodeports/30001"]
        );
    }

    #[test]
    fn what_is_taken_or_out_of_range_is_refused() {
        let with = |spec: Value| {
            reserved(
                json!({"metadata": {"name": "a"}, "spec": spec}),
                None,
                &["claims/serviceips/10.96.0.10", "claims/nodeports/30080"],
            )
        };
        let table = [
            (
                json!({"clusterIP": "10.96.0.10"}),
                "Service \"a\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.10\"]: failed to allocate IP 10.96.0.10: provided IP is already allocated",
            ),
            (
                json!({"clusterIP": "10.0.0.1"}),
                "Service \"a\" is invalid: spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: failed to allocate IP 10.0.0.1: the provided network does not match the current range",
            ),
            (
                json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30080}]}),
                "Service \"a\" is invalid: spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated",
            ),
            (
                json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 80}]}),
                "Service \"a\" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
            ),
            (
                json!({"ipFamilyPolicy": "RequireDualStack"}),
                "Service \"a\" is invalid: spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
            ),
            (
                json!({"ipFamilies": ["IPv6"]}),
                "Service \"a\" is invalid: spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
            ),
        ];
        for (spec, message) in table {
            assert_eq!(with(spec).unwrap_err(), message);
        }
    }

    #[test]
    fn an_update_keeps_what_it_does_not_name() {
        let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "ports": [{"name": "a", "port": 1, "nodePort": 30123}]}});
        let new = json!({"spec": {"type": "NodePort", "ports": [{"name": "a", "port": 1}]}});
        let made =
            reserved(new, Some(&old), &["claims/serviceips/10.96.0.7", "claims/nodeports/30123"]).unwrap();
        assert_eq!(
            (&made["spec"]["clusterIP"], &made["spec"]["ports"][0]["nodePort"]),
            (&json!("10.96.0.7"), &json!(30123))
        );
        let mut plain = old.clone();
        plain["spec"]["type"] = "ClusterIP".into();
        drop_dependent(&mut plain, &old);
        assert_eq!(claims(&plain), ["claims/serviceips/10.96.0.7"]);
    }

    #[test]
    fn a_headless_service_claims_nothing() {
        let made =
            reserved(json!({"spec": {"clusterIP": "None", "selector": {"a": "b"}}}), None, &[]).unwrap();
        assert_eq!(made["spec"]["ipFamilies"], json!(["IPv4"]));
        assert!(claims(&made).is_empty());
        let made = reserved(json!({"spec": {"clusterIP": "None"}}), None, &[]).unwrap();
        assert_eq!(
            (&made["spec"]["ipFamilies"], &made["spec"]["ipFamilyPolicy"]),
            (&json!(["IPv4", "IPv6"]), &json!("RequireDualStack"))
        );
    }
}
