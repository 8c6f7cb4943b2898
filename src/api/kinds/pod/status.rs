//! A pod's status: what it starts with, and how kubelets and schedulers may change it.

use serde_json::{Value, json};

use super::qos;
use crate::field_error::{At, Errors};
use crate::kind::{Context, Part};
use crate::kinds::metadata;
use crate::kinds::rules::address;
use crate::meta;
use crate::names::{dns1123_subdomain, label_key};

/// What a new pod starts with: pending, its class of service, and why it waits if it is gated.
pub(super) fn prepare_create(pod: &mut Value, context: &Context<'_>) {
    let mut status = json!({"phase": "Pending"});
    if !meta::list_at(pod, "spec.schedulingGates").is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": null,
            "lastTransitionTime": context.now,
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
    }
    meta::put(pod, "status", status);
    own_labels(pod);
    pod_requests(pod);
    let class = qos::class(pod);
    meta::put(pod, "status.qosClass", class);
}

/// Keys whose values are taken from the pod itself become requirements of the selector.
fn own_labels(pod: &mut Value) {
    let labels = meta::at(pod, "metadata.labels").cloned().unwrap_or_default();
    let mut terms: Vec<&mut Value> = Vec::new();
    let Some(spec) = pod.get_mut("spec") else { return };
    let mut rest = spec.as_object_mut().map(|spec| spec.iter_mut()).into_iter().flatten();
    let (mut affinity, mut spread) = (None, None);
    for (name, value) in rest.by_ref() {
        match name.as_str() {
            "affinity" => affinity = Some(value),
            "topologySpreadConstraints" => spread = Some(value),
            _ => {}
        }
    }
    let sides = affinity.and_then(Value::as_object_mut).into_iter().flatten();
    for (_, side) in sides.filter(|(name, _)| name.as_str() != "nodeAffinity") {
        for (_, list) in side.as_object_mut().into_iter().flatten() {
            for term in list.as_array_mut().into_iter().flatten() {
                let weighted = term.get("podAffinityTerm").is_some();
                terms.extend(if weighted { term.get_mut("podAffinityTerm") } else { Some(term) });
            }
        }
    }
    terms.extend(spread.and_then(Value::as_array_mut).into_iter().flatten());
    for term in terms {
        for (keys, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
            let keys: Vec<Value> = meta::list_at(term, keys).to_vec();
            for key in keys {
                let value = key.as_str().and_then(|key| labels.get(key));
                let (Some(value), true) = (value, meta::at(term, "labelSelector").is_some()) else {
                    continue;
                };
                let list = meta::entry(term, "labelSelector.matchExpressions");
                let added = json!({"key": key, "operator": operator, "values": [value]});
                match list.as_array_mut() {
                    Some(list) => list.push(added),
                    None => *list = json!([added]),
                }
            }
        }
    }
}

/// Requests of a pod as a whole that has limits: what its containers ask for, else the limits.
fn pod_requests(pod: &mut Value) {
    let Some(Value::Object(limits)) = meta::at(pod, "spec.resources.limits").cloned() else { return };
    if limits.is_empty() {
        return;
    }
    let spec = meta::at(pod, "spec").cloned().unwrap_or_default();
    let spec = At::root(&spec);
    let mut requests = meta::at(pod, "spec.resources.requests").cloned().unwrap_or_else(|| json!({}));
    let list = meta::fields(&mut requests);
    for name in
        ["cpu", "memory"].iter().filter(|name| !list.contains_key(**name)).copied().collect::<Vec<_>>()
    {
        if let Some(total) = qos::aggregate(&spec, "requests", name) {
            list.insert(name.to_owned(), total.to_string().into());
        }
    }
    for (name, limit) in limits {
        list.entry(name).or_insert(limit);
    }
    meta::put(pod, "spec.resources.requests", requests);
}

/// The status subresource.
pub(super) const STATUS: Part = Part { prepare, validate, warn: |_, _| Vec::new() };

fn prepare(new: &mut Value, old: &Value, _: &Context<'_>) {
    meta::restore(new, old, "spec");
    meta::remove(new, "metadata.deletionTimestamp");
    meta::restore(new, old, "metadata.ownerReferences");
    let kept = [
        "qosClass",
        "resourceClaimStatuses",
        "extendedResourceClaimStatus",
        "nodeAllocatableResourceClaimStatuses",
    ];
    for name in kept.map(|name| format!("status.{name}")) {
        if meta::at(new, &name).is_none_or(|v| v == "") {
            meta::restore(new, old, &name);
        }
    }
}

fn validate(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    super::update::annotations(new, old, e);
    let (status, was) = (new.get("status"), old.get("status"));
    for condition in status.get("conditions").items() {
        not_negative(&condition.get("observedGeneration"), e);
        let kind = condition.get("type").str();
        if !["PodScheduled", "Ready", "Initialized"].contains(&kind) {
            e.invalid_each_as(&At::new(None, condition.path.child("Type")), kind, label_key(kind));
        }
    }
    let nominated = status.get("nominatedNodeName");
    if !nominated.is_empty() && !was.get("nominatedNodeName").is(nominated.str()) {
        e.invalid_each(&nominated, dns1123_subdomain(nominated.str()));
        if !old.get("spec.nodeName").is_empty() {
            e.forbidden(&nominated.path, "may not be set on pods that are already bound to a node");
        }
    }
    not_negative(&status.get("observedGeneration"), e);
    metadata::immutable(&status.get("qosClass"), &was.get("qosClass"), e);
    let spec = old.get("spec");
    for (list, containers) in
        [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")]
    {
        transitions(&status.get(list), &was.get(list), &spec, containers, e);
    }
    for gone in ended(&status.get("ephemeralContainerStatuses"), &was.get("ephemeralContainerStatuses")) {
        e.forbidden(&gone.get("state").path, ENDED);
    }
    addresses(&status, "podIP", "podIPs", e);
    addresses(&status, "hostIP", "hostIPs", e);
}

const ENDED: &str = "may not be transitioned to non-terminated state";

fn not_negative(at: &At<'_>, e: &mut Errors) {
    if at.int() < 0 {
        e.invalid(at, "must be a non-negative integer");
    }
}

/// Statuses that were terminated and no longer are.
fn ended<'a>(new: &At<'a>, old: &At<'a>) -> Vec<At<'a>> {
    let runs =
        |name: &str| new.items().any(|n| n.get("name").is(name) && !n.get("state.terminated").is_set());
    old.items().filter(|o| o.get("state.terminated").is_set() && runs(o.get("name").str())).collect()
}

/// A container that has ended stays so unless its policy lets it start again.
fn transitions(new: &At<'_>, old: &At<'_>, spec: &At<'_>, list: &'static str, e: &mut Errors) {
    let restarts_all = ["containers", "initContainers"].iter().any(|list| {
        let mut rules = spec.get(list).items().flat_map(|c| c.get("restartPolicyRules").items());
        rules.any(|rule| rule.get("action").is("RestartAllContainers"))
    });
    if restarts_all {
        return;
    }
    for gone in ended(new, old) {
        let name = gone.get("name").str();
        let container = spec.get(list).items().find(|c| c.get("name").is(name));
        let code = gone.get("state.terminated.exitCode").int();
        let init = list == "initContainers";
        if !container.is_some_and(|c| may_restart(&c, spec, code, init)) {
            // Upstream names the place of the old status.
            e.forbidden(&gone.get("state").path, ENDED);
        }
    }
}

fn may_restart(container: &At<'_>, spec: &At<'_>, code: i64, init: bool) -> bool {
    for rule in container.get("restartPolicyRules").items() {
        let codes = rule.get("exitCodes");
        let listed = codes.get("values").items().any(|v| v.int() == code);
        if rule.get("action").is("Restart") && codes.get("operator").is("In") == listed {
            return true;
        }
    }
    let own = container.get("restartPolicy");
    let policy = if own.is_set() { own.str() } else { spec.get("restartPolicy").str() };
    match policy {
        "Always" => true,
        "OnFailure" => code != 0,
        _ => init && policy.is_empty(),
    }
}

fn addresses(status: &At<'_>, one: &'static str, many: &'static str, e: &mut Errors) {
    let (single, list) = (status.get(one), status.get(many));
    let ips: Vec<_> =
        list.items().filter_map(|ip| address(&ip.get("ip").under(ip.path.clone()), e)).collect();
    let both = ips.len() == 2 && ips[0].is_ipv4() != ips[1].is_ipv4();
    if list.len() > 1 && !both {
        e.invalid(&list, "may specify no more than one IP for each IP family");
    }
    let first = list.items().next().map(|ip| ip.get("ip"));
    if one == "podIP" && single.is_empty() != list.is_empty() {
        let shown = list.value.cloned().unwrap_or(Value::Null);
        e.invalid_as(&list.path, shown, "podIP and podIPs must either both be set or both be unset");
    } else if let Some(first) = first.filter(|first| first.str() != single.str()) {
        e.invalid(&first, format!("must be equal to `{one}`"));
    }
}
