//! Requests and limits of containers and of pods: which resources there are, and how much.

use std::collections::BTreeSet;

use serde_json::Value;

use super::containers::Around;
use crate::field_error::{At, Errors};
use crate::kinds::rules::{quantity, quantity_not_negative};
use crate::names::{dns1123_label, label_key};
use crate::quantity::Quantity;

/// Whether a resource is Kubernetes' own.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

pub(in crate::kinds) fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether a resource is a device plugin's.
#[must_use]
pub(in crate::kinds) fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && label_key(&format!("requests.{name}")).is_empty()
}

/// A resource of containers, of quotas or with a domain of its own.
pub(in crate::kinds) fn resource_name(at: &At<'_>, name: &str, e: &mut Errors) -> bool {
    const STANDARD: &[&str] = &[
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "persistentvolumeclaims",
        "configmaps",
        "storage",
        "requests.storage",
        "services.nodeports",
        "services.loadbalancers",
    ];
    let before = e.len();
    e.invalid_each_as(at, name, label_key(name));
    if e.len() == before
        && !name.contains('/')
        && !STANDARD.contains(&name)
        && !is_huge_page(name)
        && !name.starts_with("requests.hugepages-")
    {
        e.invalid_as(&at.path, name, "must be a standard resource type or fully qualified");
    }
    e.len() == before
}

pub(in crate::kinds) fn container_resource(at: &At<'_>, name: &str, e: &mut Errors) {
    resource_name(at, name, e);
    if !name.contains('/') {
        if !["cpu", "memory", "ephemeral-storage"].contains(&name) && !is_huge_page(name) {
            e.invalid_as(&at.path, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        e.invalid_as(&at.path, name, "doesn't follow extended resource name standard");
    }
}

fn pod_resource(at: &At<'_>, name: &str, e: &mut Errors) {
    if resource_name(at, name, e) && !["cpu", "memory"].contains(&name) && !is_huge_page(name) {
        e.not_supported(&named_as(at, &name.into()), &["cpu", "hugepages-", "memory"]);
    }
}

fn named_as<'a>(at: &At<'_>, value: &'a Value) -> At<'a> {
    At::new(Some(value), at.path.clone())
}

/// Requests and limits of a container or, by `pod_resource`, of a pod.
pub(super) fn resources(
    at: &At<'_>,
    name_rule: fn(&At<'_>, &str, &mut Errors),
    claims: &BTreeSet<&str>,
    e: &mut Errors,
) {
    let (limits, requests) = (at.get("limits"), at.get("requests"));
    let (mut ordinary, mut huge) = (false, false);
    for (name, limit) in limits.entries() {
        resource_quantity(&limit, name, name_rule, e);
        ordinary |= ["cpu", "memory"].contains(&name);
        huge |= is_huge_page(name);
    }
    for (name, request) in requests.entries() {
        resource_quantity(&request, name, name_rule, e);
        ordinary |= ["cpu", "memory"].contains(&name);
        huge |= is_huge_page(name);
        let overcommits = is_native(name) && !is_huge_page(name);
        let limit = limits.value.and_then(|l| l.get(name));
        let (wanted, shown) = (quantity(&request), request.str().to_owned());
        match limit.and_then(|l| Quantity::of(l).map(|q| (q, l.as_str().unwrap_or_default()))) {
            Some((most, text)) if wanted != most && !overcommits => {
                e.invalid_as(&requests.path, shown, format!("must be equal to {name} limit of {text}"));
            }
            Some((most, text)) if wanted > most => {
                let says = format!("must be less than or equal to {name} limit of {text}");
                e.invalid_as(&requests.path, shown, says);
            }
            None if !overcommits => {
                e.required(&limits.path, "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
    }
    if huge && !ordinary {
        e.forbidden(&at.path, "HugePages require cpu or memory");
    }
    claim_names(&at.get("claims"), claims, e);
}

fn resource_quantity(at: &At<'_>, name: &str, rule: fn(&At<'_>, &str, &mut Errors), e: &mut Errors) {
    rule(at, name, e);
    amount(at, name, e);
    if let Some(size) = name.strip_prefix("hugepages-") {
        let size = Quantity::parse(size).unwrap_or_default();
        if !quantity(at).divides_by(size) {
            e.invalid(at, format!("{} is not positive integer multiple of {name}", at.str()));
        }
    }
}

/// An amount of a resource: not negative, and whole where the resource is counted.
pub(in crate::kinds) fn amount(at: &At<'_>, name: &str, e: &mut Errors) {
    const COUNTED: &[&str] = &[
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "services.nodeports",
        "services.loadbalancers",
    ];
    quantity_not_negative(at, e);
    if (COUNTED.contains(&name) || is_extended(name)) && quantity(at).milli() % 1000 != 0 {
        e.invalid(at, "must be an integer");
    }
}

fn claim_names(at: &At<'_>, claims: &BTreeSet<&str>, e: &mut Errors) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for claim in at.items() {
        let (name, request) = (claim.get("name").str(), claim.get("request"));
        if name.is_empty() {
            e.required(&claim.path, "");
            continue;
        }
        let mut key = name.to_owned();
        if !request.is_empty() {
            e.invalid_each(&request, dns1123_label(request.str()));
            key = format!("{name}/{}", request.str());
        }
        let whole_too =
            request.is_empty() && seen.iter().any(|k| k.split_once('/').is_some_and(|k| k.0 == name));
        if seen.contains(name) || seen.contains(&key) || whole_too {
            e.duplicate(&claim.path, if seen.contains(name) { name } else { &key });
        }
        seen.insert(key);
        if !claims.contains(name) {
            let known: Vec<&str> = claims.iter().copied().collect();
            let rest = if known.is_empty() {
                " which is empty".to_owned()
            } else {
                format!(": {}", known.join(", "))
            };
            e.not_found(&claim.path, name);
            if let Some(last) = e.0.last_mut() {
                last.detail = format!("must be one of the names in pod.spec.resourceClaims{rest}");
            }
        }
    }
}

/// Requests and limits of the pod as a whole.
pub(super) fn pod_resources(around: &Around<'_>, e: &mut Errors) {
    let at = around.spec.get("resources");
    if !at.is_set() {
        return;
    }
    if around.os().get("name").is("windows") {
        return e.forbidden(&at.path, "may not be set for a windows pod");
    }
    if at.get("claims").is_set() {
        e.forbidden(&at.get("claims").path, "claims may not be set for Resources at pod-level");
    }
    resources(&at, pod_resource, &around.claims, e);
    let requests = at.get("requests");
    for (name, own) in requests.entries() {
        let total = super::qos::aggregate(&around.spec, "requests", name);
        if let Some(total) = total.filter(|total| *total > quantity(&own)) {
            let says = format!("must be greater than or equal to aggregate container requests of {total}");
            e.invalid(&own, says);
        }
    }
    for (index, container) in around.spec.get("containers").items().enumerate() {
        for (name, limit) in container.get("resources.limits").entries() {
            let most = at.value.and_then(|v| v.get("limits")).and_then(|l| l.get(name));
            let Some(most) = most.and_then(Value::as_str) else { continue };
            if quantity(&limit) > Quantity::parse(most).unwrap_or_default() {
                let path = at.path.child("containers").index(index).key(name).child("limits");
                let says = format!("must be less than or equal to pod limits of {most}");
                e.invalid_as(&path, limit.str(), says);
            }
        }
    }
}

/// What the pod's sandbox itself takes.
pub(super) fn overhead(at: &At<'_>, e: &mut Errors) {
    for (name, amount) in at.entries() {
        let amount = amount.under(at.path.child("limits").key(name));
        resource_quantity(&amount, name, container_resource, e);
    }
}
