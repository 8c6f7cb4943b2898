//! Bounds of a namespace and of what is in it: validation, columns.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Row;
use super::pod::default::whole_milli;
use super::pod::resources::{container_resource, is_extended, is_huge_page, resource_name};
use super::rest::{items, name};
use super::rules::{quantity, quantity_not_negative};
use super::table::{AGE, NAME, age, says, text};
use crate::field_error::{At, Errors};
use crate::kind::Strategy;
use crate::meta;
use crate::names::label_key;
use crate::quantity::Quantity;

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            default: |o| {
                for list in ["spec.hard", "status.hard", "status.used"] {
                    meta::at_mut(o, list).into_iter().for_each(whole_milli);
                }
            },
            validate: |new, e| quota(&new.get("spec"), e),
            validate_update: |new, old, e| {
                let (spec, was) = (new.get("spec"), old.get("spec.scopes"));
                quota(&spec, e);
                let scopes = spec.get("scopes");
                let all = |at: &At<'_>| at.items().map(|item| item.str().to_owned()).collect::<BTreeSet<_>>();
                if all(&scopes) != all(&was) {
                    e.invalid(&scopes, "field is immutable");
                }
            },
            ..Strategy::WITH_STATUS
        },
        columns: &[
            NAME,
            text("Request", says("Requests used, of what is allowed")),
            text("Limit", says("Limits used, of what is allowed")),
            AGE,
        ],
        cells: quota_cells,
        ..Row::new("", "ResourceQuota")
    },
    Row {
        strategy: Strategy {
            create_on_update: true,
            default: limit_defaults,
            validate: limits,
            validate_update: |new, _, e| limits(new, e),
            ..Strategy::GENERIC
        },
        ..Row::new("", "LimitRange")
    },
];

/// What a quota counts by the piece.
const COUNTED: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
const COMPUTE: &[&str] = &["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
const OTHERS: &[&str] =
    &["ephemeral-storage", "requests.storage", "requests.ephemeral-storage", "limits.ephemeral-storage"];
const PAIRS: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

fn is_quota_standard(name: &str) -> bool {
    [COUNTED, COMPUTE, OTHERS].iter().any(|list| list.contains(&name))
        || is_huge_page(name)
        || name.starts_with("requests.hugepages-")
}

fn quota(spec: &At<'_>, e: &mut Errors) {
    let hard = spec.get("hard");
    let resources: BTreeMap<&str, At<'_>> = hard.entries().into_iter().collect();
    for (resource, amount) in &resources {
        let amount = amount.under(hard.path.key(resource));
        resource_name(&amount, resource, e);
        if !resource.contains('/') && !is_quota_standard(resource) {
            e.invalid_as(&amount.path, *resource, "must be a standard resource for quota");
        }
        quantity_not_negative(&amount, e);
        if (COUNTED.contains(resource) || is_extended(resource)) && !quantity(&amount).is_whole() {
            e.invalid(&amount, "must be an integer");
        }
    }
    let resources: Vec<&str> = resources.into_keys().collect();
    let scopes = spec.get("scopes");
    let wanted: Vec<&str> = scopes.items().map(|scope| scope.str()).collect();
    for scope in &wanted {
        if !is_scope(scope) {
            e.invalid(&scopes, "unsupported scope");
        }
        for _ in resources.iter().filter(|resource| !fits(scope, resource)) {
            e.invalid(&scopes, "unsupported scope applied to resource");
        }
    }
    for _ in PAIRS.iter().filter(|pair| pair.iter().all(|scope| wanted.contains(scope))) {
        e.invalid(&scopes, "conflicting scopes");
    }
    scope_selector(&spec.get("scopeSelector"), &resources, &scopes, e);
}

fn scope_selector(selector: &At<'_>, resources: &[&str], scopes: &At<'_>, e: &mut Errors) {
    let path = selector.path.child("matchExpressions");
    let mut wanted = Vec::new();
    for one in selector.get("matchExpressions").items() {
        let at = |name: &'static str| one.get(name).under(path.child(name));
        let (scope, operator, values) = (at("scopeName"), at("operator"), at("values"));
        if !is_scope(scope.str()) {
            e.invalid(&scope, "unsupported scope");
        }
        for _ in resources.iter().filter(|resource| !fits(scope.str(), resource)) {
            e.invalid(&selector.under(path.clone()), "unsupported scope applied to resource");
        }
        if is_scope(scope.str())
            && !["PriorityClass", "VolumeAttributesClass"].contains(&scope.str())
            && !operator.is("Exists")
        {
            e.invalid(&operator, "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity");
        }
        match (operator.str(), values.is_empty()) {
            ("In" | "NotIn", true) => {
                e.required(
                    &values.path,
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
                );
            }
            ("Exists" | "DoesNotExist", false) => {
                e.invalid(
                    &values,
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
                );
            }
            ("In" | "NotIn" | "Exists" | "DoesNotExist", _) => (),
            _ => e.invalid(&operator, "not a valid selector operator"),
        }
        wanted.push(scope.str());
    }
    for _ in PAIRS.iter().filter(|pair| pair.iter().all(|scope| wanted.contains(scope))) {
        e.invalid(&scopes.under(path.clone()), "conflicting scopes");
    }
}

fn is_scope(scope: &str) -> bool {
    PAIRS.concat().contains(&scope)
        || ["PriorityClass", "VolumeAttributesClass", "CrossNamespacePodAffinity"].contains(&scope)
}

/// Whether a scope says anything about a resource.
fn fits(scope: &str, resource: &str) -> bool {
    if !is_quota_standard(resource) {
        return true;
    }
    match scope {
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => resource == "pods" || COMPUTE.contains(&resource),
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => ["persistentvolumeclaims", "requests.storage"].contains(&resource),
        _ => true,
    }
}

fn limits(range: &At<'_>, e: &mut Errors) {
    let mut seen = BTreeSet::new();
    for limit in range.get("spec.limits").items() {
        let kind = limit.get("type");
        let wrong = label_key(kind.str());
        let known = ["Pod", "Container", "PersistentVolumeClaim"].contains(&kind.str());
        if wrong.is_empty() && !kind.str().contains('/') && !known {
            e.invalid_as(&kind.path, kind.str(), "must be a standard limit type or fully qualified");
        }
        e.invalid_each_as(&kind, kind.str(), wrong);
        if !seen.insert(kind.str()) {
            e.duplicate(&kind.path, kind.str());
        }
        limit_names(&limit, e);
        let lists = ["min", "max", "default", "defaultRequest", "maxLimitRequestRatio"];
        let keys: BTreeSet<&str> =
            lists.iter().flat_map(|list| limit.get(list).entries()).map(|(key, _)| key).collect();
        keys.iter().for_each(|key| limit_amounts(&limit, key, e));
    }
}

fn limit_names(limit: &At<'_>, e: &mut Errors) {
    let (kind, is_pod) = (limit.get("type"), limit.get("type").is("Pod"));
    let names = |list: &'static str, e: &mut Errors| {
        for (resource, amount) in limit.get(list).entries() {
            let amount = amount.under(limit.get(list).path.key(resource));
            if is_pod || kind.is("Container") {
                container_resource(&amount, resource, e);
            } else {
                resource_name(&amount, resource, e);
            }
        }
    };
    names("max", e);
    names("min", e);
    for list in ["default", "defaultRequest"] {
        if !is_pod {
            names(list, e);
        } else if !limit.get(list).is_empty() {
            e.forbidden(&limit.get(list).path, "may not be specified when `type` is 'Pod'");
        }
    }
    if kind.is("PersistentVolumeClaim")
        && !limit.get("min.storage").is_set()
        && !limit.get("max.storage").is_set()
    {
        let says = "either minimum or maximum storage value is required, but neither was provided";
        e.required(&limit.path.child("limits"), says);
    }
    names("maxLimitRequestRatio", e);
}

/// Bounds of one resource, each against the others.
fn limit_amounts(limit: &At<'_>, key: &str, e: &mut Errors) {
    let of = |list: &'static str| {
        let list = limit.get(list);
        At::new(list.value.and_then(|v| v.get(key)), list.path.key(key))
    };
    let (min, max, default) = (of("min"), of("max"), of("default"));
    let (request, ratio) = (of("defaultRequest"), of("maxLimitRequestRatio"));
    let mut above = |a: (&At<'_>, &str), b: (&At<'_>, &str), shown: (&At<'_>, &At<'_>)| {
        if a.0.is_set() && b.0.is_set() && quantity(a.0) > quantity(b.0) {
            let says = format!("{} value {} is greater than {} value {}", a.1, a.0.str(), b.1, b.0.str());
            e.invalid_as(&shown.0.path, shown.1.str(), says);
        }
    };
    above((&min, "min"), (&max, "max"), (&min, &min));
    above((&min, "min"), (&request, "default request"), (&request, &request));
    above((&request, "default request"), (&max, "max"), (&request, &request));
    above((&request, "default request"), (&default, "default limit"), (&request, &request));
    above((&min, "min"), (&default, "default"), (&default, &min));
    above((&default, "default"), (&max, "max"), (&default, &max));
    let set = [&ratio, &min, &max].iter().all(|at| at.is_set());
    if ratio.is_set() && quantity(&ratio) < Quantity::whole(1) {
        e.invalid(&ratio, format!("ratio {} is less than 1", ratio.str()));
    }
    if set {
        #[allow(clippy::cast_precision_loss)]
        let [wanted, least, most] = [&ratio, &min, &max].map(|at| quantity(at).milli() as f64);
        if wanted / 1000.0 > most / least {
            e.invalid(&ratio, format!("ratio {} is greater than max/min = {:.6}", ratio.str(), most / least));
        }
    }
    let both = default.is_set() && request.is_set() && quantity(&default) != quantity(&request);
    let overcommit = !key.contains('/') && !is_huge_page(key);
    if both && !overcommit {
        let says = format!(
            "default value {} must equal to defaultRequest value {} in {key}",
            default.str(),
            request.str()
        );
        e.invalid(&request, says);
    }
}

/// Bounds of containers are also their defaults.
fn limit_defaults(o: &mut Value) {
    for item in items(o, "spec.limits") {
        for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            meta::at_mut(item, list).into_iter().for_each(whole_milli);
        }
        if meta::str_at(item, "type") != "Container" {
            continue;
        }
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let Some(Value::Object(bounds)) = meta::at(item, from).cloned() else { continue };
            let list = meta::fields(meta::entry(item, to));
            for (name, amount) in bounds {
                list.entry(name).or_insert(amount);
            }
        }
    }
}

fn quota_cells(o: &Value, now: i64) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let hard = meta::at(o, "status.hard").and_then(Value::as_object);
    let mut names: Vec<(&String, &Value)> = hard.into_iter().flatten().collect();
    names.sort_by_key(|(name, _)| *name);
    for (resource, most) in names {
        let used = meta::at(o, "status.used").and_then(|used| used.get(resource));
        let used =
            used.map_or_else(|| Quantity::ZERO.to_string(), |used| used.as_str().unwrap_or("0").to_owned());
        let shown = format!("{resource}: {used}/{}", most.as_str().unwrap_or_default());
        if resource.starts_with("limits.") { limits.push(shown) } else { requests.push(shown) }
    }
    vec![name(o), requests.join(", ").into(), limits.join(", ").into(), age(o, now)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{cells, created};

    #[test]
    fn quotas_count_what_can_be_counted() {
        let spec = json!({"hard": {"colour": "1", "pods": "-1"}, "scopes": ["Odd"]});
        let wrong = [
            "spec.hard[colour]: Invalid value: \"colour\": must be a standard resource type or fully qualified",
            "spec.hard[colour]: Invalid value: \"colour\": must be a standard resource for quota",
            "spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0",
            "spec.scopes: Invalid value: [\"Odd\"]: unsupported scope",
        ];
        assert_eq!(created("", "ResourceQuota", json!({"spec": spec})).unwrap_err(), wrong);
        let spec = json!({"hard": {"services": "1"}, "scopes": ["BestEffort", "NotBestEffort"]});
        let wrong = created("", "ResourceQuota", json!({"spec": spec})).unwrap_err();
        assert_eq!(wrong.len(), 2, "they say nothing about services, and contradict each other");
    }

    #[test]
    fn bounds_do_not_cross() {
        let spec = json!({"limits": [
            {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}},
            {"type": "Pod", "default": {"cpu": "1"}}, {"type": "Pod"}, {"type": "PersistentVolumeClaim"}, {"type": "Odd"}
        ]});
        let wrong = [
            "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
            "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1",
            "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1",
            "spec.limits[1].default: Forbidden: may not be specified when `type` is 'Pod'",
            "spec.limits[2].type: Duplicate value: \"Pod\"",
            "spec.limits[3].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            "spec.limits[4].type: Invalid value: \"Odd\": must be a standard limit type or fully qualified",
        ];
        assert_eq!(created("", "LimitRange", json!({"spec": spec})).unwrap_err(), wrong);
    }

    #[test]
    fn quotas_are_printed_as_upstream_prints_them() {
        let now = "2026-01-01T00:00:00Z";
        let quota = json!({"metadata": {"name": "q"}, "status": {"hard": {"pods": "10", "limits.cpu": "2"}, "used": {"pods": "1"}}});
        assert_eq!(
            cells("", "ResourceQuota", &quota, now),
            ["q", "pods: 1/10", "limits.cpu: 0/2", "<unknown>"]
        );
    }
}
