//! What an object uses of a ResourceQuota, and which quotas it falls under (upstream's
//! pkg/quota/v1/evaluator/core).

use std::collections::BTreeMap;

use serde_json::Value;

use super::pod::qos::aggregate;
use crate::field_error::At;
use crate::meta;
use crate::quantity::Quantity;

/// Amounts by the names that quotas have for them.
pub type Usage = BTreeMap<String, Quantity>;

/// Core kinds that have a name of their own beside `count/…`.
const COUNTED: &[&str] = &[
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
];

/// All that an object counts as.
#[must_use]
pub fn of(group: &str, plural: &str, object: &Value) -> Usage {
    let mut usage = Usage::new();
    let one = Quantity::whole(1);
    let counted =
        if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") };
    usage.insert(counted, one);
    if !group.is_empty() {
        return usage;
    }
    if plural == "pods" {
        of_pod(object, &mut usage);
    } else if COUNTED.contains(&plural) {
        usage.insert(plural.to_owned(), one);
    }
    match plural {
        "services" => of_service(object, &mut usage),
        "persistentvolumeclaims" => of_claim(object, &mut usage),
        _ => {}
    }
    usage
}

/// A pod that has ended uses nothing but its place among objects.
fn of_pod(pod: &Value, usage: &mut Usage) {
    if matches!(meta::str_at(pod, "status.phase"), "Succeeded" | "Failed") {
        return;
    }
    usage.insert("pods".to_owned(), Quantity::whole(1));
    for kind in ["requests", "limits"] {
        for resource in resources(pod, kind) {
            let Some(amount) = amount(pod, kind, &resource) else { continue };
            let plain = matches!(&*resource, "cpu" | "memory" | "ephemeral-storage")
                || resource.starts_with("hugepages-");
            if kind == "requests" && plain {
                usage.insert(resource.clone(), amount);
            }
            if kind == "requests" || matches!(&*resource, "cpu" | "memory" | "ephemeral-storage") {
                usage.insert(format!("{kind}.{resource}"), amount);
            }
        }
    }
}

fn resources(pod: &Value, kind: &str) -> Vec<String> {
    let lists = ["spec.containers", "spec.initContainers"];
    let containers =
        lists.iter().flat_map(|list| meta::list_at(pod, list)).map(|one| &one["resources"][kind]);
    let all = containers.chain([&pod["spec"]["resources"][kind], &pod["spec"]["overhead"]]);
    let mut names: Vec<String> =
        all.filter_map(Value::as_object).flat_map(|map| map.keys().cloned()).collect();
    names.sort();
    names.dedup();
    names
}

/// What a pod asks for, its own word before the sum of its containers', and what its runtime takes.
fn amount(pod: &Value, kind: &'static str, resource: &str) -> Option<Quantity> {
    let own = Quantity::of(&pod["spec"]["resources"][kind][resource]);
    let sum = own.or_else(|| aggregate(&At::root(pod).get("spec"), kind, resource));
    let overhead = Quantity::of(&pod["spec"]["overhead"][resource]);
    match (sum, overhead) {
        (Some(sum), Some(overhead)) => Some(sum.plus(overhead)),
        (None, Some(overhead)) if kind == "requests" => Some(overhead),
        (sum, _) => sum,
    }
}

fn of_service(service: &Value, usage: &mut Usage) {
    let spec = &service["spec"];
    let ports = i64::try_from(meta::list_at(service, "spec.ports").len()).unwrap_or(i64::MAX);
    match spec["type"].as_str() {
        Some("NodePort") => drop(usage.insert("services.nodeports".to_owned(), Quantity::whole(ports))),
        Some("LoadBalancer") => {
            usage.insert("services.loadbalancers".to_owned(), Quantity::whole(1));
            let all = meta::list_at(service, "spec.ports").iter();
            let given = all.filter(|port| port["nodePort"].as_i64().is_some_and(|port| port != 0)).count();
            let counted = if spec["allocateLoadBalancerNodePorts"] == false {
                i64::try_from(given).unwrap_or(i64::MAX)
            } else {
                ports
            };
            usage.insert("services.nodeports".to_owned(), Quantity::whole(counted));
        }
        _ => {}
    }
}

fn of_claim(claim: &Value, usage: &mut Usage) {
    let size = Quantity::of(&claim["spec"]["resources"]["requests"]["storage"]);
    let class = claim["spec"]["storageClassName"].as_str();
    let old = meta::annotation(claim, "volume.beta.kubernetes.io/storage-class");
    if let Some(class) = old.or(class).filter(|class| !class.is_empty()) {
        let of_class = |name: &str| format!("{class}.storageclass.storage.k8s.io/{name}");
        usage.insert(of_class("persistentvolumeclaims"), Quantity::whole(1));
        if let Some(size) = size {
            usage.insert(of_class("requests.storage"), size);
        }
    }
    if let Some(size) = size {
        usage.insert("requests.storage".to_owned(), size);
    }
}

/// Whether a quota's scopes take an object in.
#[must_use]
pub fn falls_under(quota: &Value, group: &str, plural: &str, object: &Value) -> bool {
    let scopes = meta::list_at(quota, "spec.scopes").iter().filter_map(Value::as_str);
    let expressions = meta::list_at(quota, "spec.scopeSelector.matchExpressions");
    if (group, plural) != ("", "pods") {
        return scopes.count() == 0 && expressions.is_empty();
    }
    scopes.into_iter().all(|scope| has(object, scope, "Exists", &[]))
        && expressions.iter().all(|one| {
            let text = |field: &str| one[field].as_str().unwrap_or_default();
            has(object, text("scopeName"), text("operator"), meta::list_at(one, "values"))
        })
}

fn has(pod: &Value, scope: &str, operator: &str, values: &[Value]) -> bool {
    let ends = pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0);
    let best_effort = meta::str_at(pod, "status.qosClass") == "BestEffort";
    match scope {
        "Terminating" => ends,
        "NotTerminating" => !ends,
        "BestEffort" => best_effort,
        "NotBestEffort" => !best_effort,
        "CrossNamespacePodAffinity" => looks_elsewhere(pod),
        "PriorityClass" => {
            let class = &pod["spec"]["priorityClassName"];
            let is_set = class.as_str().is_some_and(|class| !class.is_empty());
            match operator {
                "In" => values.contains(class),
                "NotIn" => !values.contains(class),
                "DoesNotExist" => !is_set,
                _ => is_set,
            }
        }
        _ => false,
    }
}

fn looks_elsewhere(pod: &Value) -> bool {
    let affinity = &pod["spec"]["affinity"];
    let kinds = ["podAffinity", "podAntiAffinity"];
    kinds.iter().any(|kind| {
        let required =
            meta::list_at(&affinity[*kind], "requiredDuringSchedulingIgnoredDuringExecution").iter();
        let preferred =
            meta::list_at(&affinity[*kind], "preferredDuringSchedulingIgnoredDuringExecution").iter();
        required
            .chain(preferred.map(|one| &one["podAffinityTerm"]))
            .any(|term| !meta::list_at(term, "namespaces").is_empty() || !term["namespaceSelector"].is_null())
    })
}

/// Containers of a pod that do not say what a quota counts of them, as upstream names it.
#[must_use]
pub fn unsaid(pod: &Value, hard: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in hard {
        let (kind, resource) = name.split_once('.').unwrap_or(("requests", name));
        if !matches!(kind, "requests" | "limits") || !matches!(resource, "cpu" | "memory") {
            continue;
        }
        if !pod["spec"]["resources"][kind][resource].is_null() {
            continue;
        }
        for container in
            meta::list_at(pod, "spec.containers").iter().chain(meta::list_at(pod, "spec.initContainers"))
        {
            if container["resources"][kind][resource].is_null() {
                missing
                    .entry((*name).to_owned())
                    .or_default()
                    .push(meta::str_at(container, "name").to_owned());
            }
        }
    }
    missing
}

/// A quantity of these bytes as people write memory, others as they are.
#[must_use]
pub fn written(name: &str, amount: Quantity) -> String {
    let bytes = ["memory", "storage"].iter().any(|kind| name.ends_with(kind)) || name.contains("hugepages-");
    let value = amount.value();
    if !bytes || value == 0 || !amount.is_whole() {
        return amount.to_string();
    }
    let units = [(40, "Ti"), (30, "Gi"), (20, "Mi"), (10, "Ki")];
    match units.iter().find(|(shift, _)| value % (1_i64 << shift) == 0) {
        Some((shift, unit)) => format!("{}{unit}", value >> shift),
        None => amount.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(usage: Usage) -> String {
        usage
            .into_iter()
            .map(|(name, amount)| format!("{name}={}", written(&name, amount)))
            .collect::<Vec<_>>()
            .join(",")
    }

    #[test]
    fn objects_count_by_kind_and_by_what_they_ask_for() {
        let pod = |phase: &str| {
            json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "500m", "memory": "1Gi", "x.io/gpu": 2}, "limits": {"cpu": 1}}}]},
                "status": {"phase": phase}})
        };
        let cases = [
            (
                "",
                "pods",
                pod("Running"),
                "count/pods=1,cpu=500m,limits.cpu=1,memory=1Gi,pods=1,requests.cpu=500m,requests.memory=1Gi,requests.x.io/gpu=2",
            ),
            ("", "pods", pod("Failed"), "count/pods=1"),
            ("apps", "deployments", json!({}), "count/deployments.apps=1"),
            (
                "",
                "services",
                json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 1}, {"port": 2}]}}),
                "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2",
            ),
            (
                "",
                "persistentvolumeclaims",
                json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "5Gi"}}}}),
                "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=5Gi,persistentvolumeclaims=1,requests.storage=5Gi",
            ),
        ];
        for (group, plural, object, wanted) in cases {
            assert_eq!(said(of(group, plural, &object)), wanted);
        }
    }

    #[test]
    fn scopes_take_in_pods_only() {
        let quota = |scope: &str| json!({"spec": {"scopes": [scope]}});
        let pod = json!({"spec": {"activeDeadlineSeconds": 5, "priorityClassName": "high"}, "status": {"qosClass": "Burstable"}});
        for (scope, wanted) in [
            ("Terminating", true),
            ("NotTerminating", false),
            ("BestEffort", false),
            ("NotBestEffort", true),
            ("PriorityClass", true),
        ] {
            assert_eq!(falls_under(&quota(scope), "", "pods", &pod), wanted, "{scope}");
        }
        assert!(!falls_under(&quota("Terminating"), "", "secrets", &json!({})));
        assert!(falls_under(&json!({"spec": {}}), "", "secrets", &json!({})));
        let selects = |operator: &str, class: &str| json!({"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": [class]}]}}});
        assert!(
            falls_under(&selects("In", "high"), "", "pods", &pod)
                && !falls_under(&selects("NotIn", "high"), "", "pods", &pod)
        );
        let bare = json!({"spec": {"containers": [{"name": "c"}]}});
        assert_eq!(unsaid(&bare, &["limits.cpu", "pods"]).get("limits.cpu"), Some(&vec!["c".to_owned()]));
    }
}
