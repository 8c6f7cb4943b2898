//! Sums of a pod's requests, and the class of service they make.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field_error::At;
use crate::meta;
use crate::quantity::Quantity;

/// What all containers together ask for (`requests` or `limits`) of a resource: those that
/// run beside each other are summed, and what runs before them counts where it is more.
pub(in crate::kinds) fn aggregate(spec: &At<'_>, kind: &'static str, resource: &str) -> Option<Quantity> {
    let of = |container: &At<'_>| {
        container.get("resources").get(kind).value.and_then(|list| list.get(resource)).and_then(Quantity::of)
    };
    let sum = |a: Option<Quantity>, b: Option<Quantity>| match (a, b) {
        (Some(a), Some(b)) => Some(a.plus(b)),
        (a, b) => a.or(b),
    };
    let mut total = None;
    for container in spec.get("containers").items() {
        total = sum(total, of(&container));
    }
    let (mut beside, mut most) = (None, None);
    for container in spec.get("initContainers").items() {
        let own = of(&container);
        if container.get("restartPolicy").is("Always") {
            total = sum(total, own);
            beside = sum(beside, own);
            most = most.max(beside);
        } else {
            most = most.max(sum(own, beside));
        }
    }
    total.max(most)
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(super) fn class(pod: &Value) -> &'static str {
    let own = meta::at(pod, "spec.resources");
    if let Some(resources) = own.filter(|r| has_any(r)) {
        return class_of(resources);
    }
    let lists = ["spec.initContainers", "spec.containers"];
    let empty = Value::Null;
    let all = lists.iter().flat_map(|list| meta::list_at(pod, list));
    let classes: BTreeSet<&str> = all.map(|c| class_of(meta::at(c, "resources").unwrap_or(&empty))).collect();
    match classes.len() {
        0 => "BestEffort",
        1 => classes.first().copied().unwrap_or("BestEffort"),
        _ => "Burstable",
    }
}

fn has_any(resources: &Value) -> bool {
    ["limits", "requests"]
        .iter()
        .any(|name| meta::at(resources, name).and_then(Value::as_object).is_some_and(|list| !list.is_empty()))
}

fn class_of(resources: &Value) -> &'static str {
    let amount = |list: &str, name: &str| {
        let value = meta::at(resources, list).and_then(|l| l.get(name)).and_then(Quantity::of);
        value.filter(|amount| *amount > Quantity::ZERO)
    };
    let names = ["cpu", "memory"];
    if names.iter().all(|n| amount("limits", n).is_none() && amount("requests", n).is_none()) {
        return "BestEffort";
    }
    let same = |name: &&str| {
        let limit = amount("limits", name);
        limit.is_some() && limit == amount("requests", name)
    };
    if names.iter().all(same) { "Guaranteed" } else { "Burstable" }
}
