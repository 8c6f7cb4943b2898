//! HorizontalPodAutoscaler in its two versions. It is kept as v2; what v1 has no field for
//! travels in annotations.

use serde_json::{Value, json};

use super::Row;
use super::pod::resources::container_resource;
use super::rules::{known_if_set, named, quantity, quantity_not_negative};
use super::table::{AGE, NAME, age, text};
use crate::field_error::{At, Errors};
use crate::kind::{About, Strategy};
use crate::meta;
use crate::names::{dns1123_label, path_rule};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

pub(super) const ROWS: &[Row] = &[Row {
    strategy: Strategy {
        default: defaults,
        generation: &["spec"],
        validate: |new, e| autoscaler(&new.get("spec"), None, e),
        validate_update: |new, old, e| autoscaler(&new.get("spec"), Some(&old.get("spec")), e),
        ..Strategy::WITH_STATUS
    },
    columns: &[
        NAME,
        text("Reference", About::Field("HorizontalPodAutoscalerSpec", "scaleTargetRef")),
        text("Targets", About::Field("HorizontalPodAutoscalerSpec", "metrics")),
        text("MinPods", About::Field("HorizontalPodAutoscalerSpec", "minReplicas")),
        text("MaxPods", About::Field("HorizontalPodAutoscalerSpec", "maxReplicas")),
        text("Replicas", About::Field("HorizontalPodAutoscalerStatus", "currentReplicas")),
        AGE,
    ],
    cells,
    ..Row::new("autoscaling", "HorizontalPodAutoscaler")
}];

fn autoscaler(spec: &At<'_>, old: Option<&At<'_>>, e: &mut Errors) {
    let (least, most) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    let lowest = i64::from(old.is_none_or(|old| old.get("minReplicas").opt_int() != Some(0)));
    if least.opt_int().is_some_and(|n| n < lowest) {
        e.invalid(&least, format!("must be greater than or equal to {lowest}"));
    }
    if most.int() == 0 {
        e.required(&most.path, "must be set and greater than 0");
    } else if most.int() < 0 {
        e.invalid(&most, "must be greater than or equal to 1");
    }
    if least.opt_int().is_some_and(|n| most.int() < n) {
        e.invalid(&most, "must be greater than or equal to `minReplicas`");
    }
    let target = spec.get("scaleTargetRef");
    let same = old.map(|old| old.get("scaleTargetRef")).is_some_and(|old| {
        ["apiVersion", "kind"].iter().all(|part| old.get(part).str() == target.get(part).str())
    });
    let group = if same { None } else { Some(!target.get("kind").is("ReplicationController")) };
    reference(&target, group, e);
    let metrics = spec.get("metrics");
    metrics.items().for_each(|metric| metric_rules(&metric, e));
    let other = metrics.items().any(|m| m.get("type").is("Object") || m.get("type").is("External"));
    if least.opt_int() == Some(0) && !other {
        e.forbidden(
            &metrics.path,
            "must specify at least one Object or External metric to support scaling to zero replicas",
        );
    }
    for side in [spec.get("behavior.scaleUp"), spec.get("behavior.scaleDown")] {
        if side.is_set() {
            scaling(&side, e);
        }
    }
}

/// What is scaled or looked at; `group` is whether its version must name one, none if any will do.
fn reference(at: &At<'_>, group: Option<bool>, e: &mut Errors) {
    for part in ["kind", "name"] {
        named(&at.get(part), |text| path_rule(text, false), e);
    }
    let version = at.get("apiVersion");
    match (group, version.str().matches('/').count()) {
        (Some(_), 2..) => {
            e.invalid(&version, format!("unexpected GroupVersion string: {}", version.str()));
        }
        (Some(true), _) if version.str().split_once('/').is_none_or(|(group, _)| group.is_empty()) => {
            e.invalid_as(&version.path, version.str(), "apiVersion must specify API group");
        }
        _ => (),
    }
}

const SOURCES: &[(&str, &str)] = &[
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

fn metric_rules(metric: &At<'_>, e: &mut Errors) {
    let kind = metric.get("type");
    if kind.is_empty() {
        e.required(&kind.path, "must specify a metric source type");
    }
    let expected = SOURCES.iter().find(|(name, _)| kind.is(name)).map(|(_, field)| *field);
    let known = ["ContainerResource", "External", "Object", "Pods", "Resource"];
    if expected.is_none() {
        e.not_supported(&kind, &known);
    }
    let given: Vec<&str> =
        SOURCES.iter().map(|(_, field)| *field).filter(|field| metric.get(field).is_set()).collect();
    if let Some(first) = given.first() {
        source(&metric.get(first), first, e);
    }
    if let Some(expected) = expected.filter(|field| !metric.get(field).is_set()) {
        e.required(&metric.path.child(expected), "must populate information for the given metric source");
    }
    if given.len() > 1 {
        let others = SOURCES.iter().map(|(_, field)| *field).filter(|field| expected != Some(*field));
        for other in others.map(|field| metric.get(field)).filter(|other| other.is_set()) {
            e.forbidden(&other.path, "must populate the given metric source only");
        }
    }
}

fn source(at: &At<'_>, name: &str, e: &mut Errors) {
    let target = at.get("target");
    let (value, average, share) =
        (target.get("value"), target.get("averageValue"), target.get("averageUtilization"));
    if name == "object" {
        reference(&at.get("describedObject"), Some(false), e);
    }
    if name.ends_with('s') || name == "object" || name == "external" {
        let metric = at.get("metric.name");
        if metric.is_empty() {
            e.required(&metric.path, "must specify a metric name");
        }
        e.invalid_each_as(&metric, metric.str(), path_rule(metric.str(), false));
    } else if at.get("name").is_empty() {
        e.required(&at.get("name").path, "must specify a resource name");
    }
    if name == "containerResource" {
        let (resource, container) = (at.get("name"), at.get("container"));
        if !resource.is_empty() {
            container_resource(&resource, resource.str(), e);
        }
        if container.is_empty() {
            e.required(&container.path, "must specify a container");
        } else {
            e.invalid_each(&container, dns1123_label(container.str()));
        }
    }
    metric_target(&target, e);
    match name {
        "object" if !value.is_set() && !average.is_set() => {
            e.required(&average.path, "must set either a target value or averageValue");
        }
        "external" if !value.is_set() && !average.is_set() => {
            e.required(&average.path, "must set either a target value for metric or a per-pod target");
        }
        "external" if value.is_set() && average.is_set() => {
            e.forbidden(&value.path, "may not set both a target value for metric and a per-pod target");
        }
        "pods" if !average.is_set() => {
            e.required(&average.path, "must specify a positive target averageValue")
        }
        "resource" | "containerResource" if !share.is_set() && !average.is_set() => {
            e.required(&share.path, "must set either a target raw value or a target utilization");
        }
        "resource" | "containerResource" if share.is_set() && average.is_set() => {
            e.forbidden(&average.path, "may not set both a target raw value and a target utilization");
        }
        _ => (),
    }
}

fn metric_target(target: &At<'_>, e: &mut Errors) {
    let kind = target.get("type");
    if kind.is_empty() {
        e.required(&kind.path, "must specify a metric target type");
    }
    if !["Utilization", "Value", "AverageValue"].contains(&kind.str()) {
        e.invalid_as(&kind.path, kind.str(), "must be either Utilization, Value, or AverageValue");
    }
    for amount in [target.get("value"), target.get("averageValue")] {
        if amount.is_set() && quantity(&amount) <= crate::quantity::Quantity::ZERO {
            e.invalid(&amount, "must be positive");
        }
    }
    let share = target.get("averageUtilization");
    if share.opt_int().is_some_and(|n| n < 1) {
        e.invalid(&share, "must be greater than 0");
    }
}

fn scaling(side: &At<'_>, e: &mut Errors) {
    let window = side.get("stabilizationWindowSeconds");
    if window.int() < 0 {
        e.invalid(&window, "must be greater than or equal to zero");
    } else if window.int() > 3600 {
        e.invalid(&window, "must be less than or equal to 3600");
    }
    known_if_set(&side.get("selectPolicy"), &["Disabled", "Max", "Min"], e);
    let policies = side.get("policies");
    if policies.is_empty() {
        e.required(&policies.path, "must specify at least one Policy");
    }
    for policy in policies.items() {
        e.one_of(&policy.get("type"), &["Percent", "Pods"]);
        for part in ["value", "periodSeconds"] {
            super::rules::positive(&policy.get(part), e);
        }
        if policy.get("periodSeconds").int() > 1800 {
            e.invalid(&policy.get("periodSeconds"), "must be less than or equal to 1800");
        }
    }
    quantity_not_negative(&side.get("tolerance"), e);
}

/// Defaults of v2, which hold for v1 too once it is v2.
fn defaults(object: &mut Value) {
    meta::put_default(object, "spec.minReplicas", 1);
    if meta::list_at(object, "spec.metrics").is_empty() {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        meta::put(
            object,
            "spec.metrics",
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]),
        );
    }
    if meta::at(object, "spec.behavior").is_none() {
        return;
    }
    let policy = |kind: &str, value: i64| json!({"type": kind, "value": value, "periodSeconds": 15});
    meta::put_default(object, "spec.behavior.scaleUp.stabilizationWindowSeconds", 0);
    meta::put_default(
        object,
        "spec.behavior.scaleUp.policies",
        json!([policy("Pods", 4), policy("Percent", 100)]),
    );
    meta::put_default(object, "spec.behavior.scaleDown.policies", json!([policy("Percent", 100)]));
    for side in ["scaleUp", "scaleDown"] {
        meta::put_default(object, &format!("spec.behavior.{side}.selectPolicy"), "Max");
    }
}

/// From v1 to v2.
pub(super) fn to_v2(object: &mut Value) {
    let mut metrics: Vec<Value> =
        take_annotation(object, METRICS).and_then(|v| v.as_array().cloned()).unwrap_or_default();
    if let Some(percent) = meta::at(object, "spec.targetCPUUtilizationPercentage").cloned() {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        metrics.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    meta::remove(object, "spec.targetCPUUtilizationPercentage");
    if !metrics.is_empty() {
        meta::put(object, "spec.metrics", metrics);
    }
    if let Some(behavior) = take_annotation(object, BEHAVIOR) {
        meta::put(object, "spec.behavior", behavior);
    }
    if let Some(percent) = meta::at(object, "status.currentCPUUtilizationPercentage").cloned() {
        let current = json!({"averageUtilization": percent, "averageValue": "0"});
        meta::put(
            object,
            "status.currentMetrics",
            json!([{"type": "Resource", "resource": {"name": "cpu", "current": current}}]),
        );
    }
    meta::remove(object, "status.currentCPUUtilizationPercentage");
}

/// From v2 to v1.
pub(super) fn to_v1(object: &mut Value) {
    let mut metrics = meta::list_at(object, "spec.metrics").to_vec();
    let is_cpu = |metric: &Value| {
        meta::str_at(metric, "resource.name") == "cpu"
            && meta::at(metric, "resource.target.averageUtilization").is_some()
    };
    if let Some(at) = metrics.iter().position(is_cpu) {
        let cpu = metrics.remove(at);
        let percent = meta::at(&cpu, "resource.target.averageUtilization").cloned().unwrap_or_default();
        meta::put(object, "spec.targetCPUUtilizationPercentage", percent);
    }
    meta::remove(object, "spec.metrics");
    if !metrics.is_empty() {
        annotate(object, METRICS, &Value::from(metrics));
    }
    if let Some(behavior) = meta::at(object, "spec.behavior").cloned() {
        annotate(object, BEHAVIOR, &behavior);
    }
    meta::remove(object, "spec.behavior");
    let current = meta::list_at(object, "status.currentMetrics").iter();
    let percent = current
        .filter(|m| meta::str_at(m, "resource.name") == "cpu")
        .find_map(|m| meta::at(m, "resource.current.averageUtilization").cloned());
    if let Some(percent) = percent {
        meta::put(object, "status.currentCPUUtilizationPercentage", percent);
    }
    meta::remove(object, "status.currentMetrics");
    meta::remove(object, "status.conditions");
}

fn take_annotation(object: &mut Value, key: &str) -> Option<Value> {
    let annotations = meta::at_mut(object, "metadata.annotations")?.as_object_mut()?;
    let text = annotations.shift_remove(key)?;
    serde_json::from_str(text.as_str()?).ok()
}

fn annotate(object: &mut Value, key: &str, value: &Value) {
    let annotations = meta::fields(meta::entry(object, "metadata.annotations"));
    annotations.insert(key.to_owned(), value.to_string().into());
}

/// A row: what is scaled, by what, between which bounds.
fn cells(object: &Value, now: i64) -> Vec<Value> {
    let text = |path: &str| meta::str_at(object, path);
    let metrics = meta::list_at(object, "spec.metrics");
    let shown: Vec<String> = metrics.iter().take(2).map(|metric| target(object, metric)).collect();
    let targets = match metrics.len() {
        0 => "<none>".to_owned(),
        1 | 2 => shown.join(", "),
        more => format!("{} + {} more...", shown.join(", "), more - 2),
    };
    let least =
        meta::at(object, "spec.minReplicas").map_or_else(|| "<unset>".to_owned(), ToString::to_string);
    vec![
        meta::name(object).into(),
        format!("{}/{}", text("spec.scaleTargetRef.kind"), text("spec.scaleTargetRef.name")).into(),
        targets.into(),
        least.into(),
        meta::int_at(object, "spec.maxReplicas").into(),
        meta::int_at(object, "status.currentReplicas").into(),
        age(object, now),
    ]
}

fn target(object: &Value, metric: &Value) -> String {
    let name = meta::str_at(metric, "resource.name");
    if name.is_empty() {
        return format!("{}: <unknown>", meta::str_at(metric, "type"));
    }
    let current = meta::list_at(object, "status.currentMetrics")
        .iter()
        .find(|c| meta::str_at(c, "resource.name") == name);
    let value =
        |of: Option<&Value>, path: &str| of.and_then(|of| meta::at(of, path)).map(ToString::to_string);
    match meta::at(metric, "resource.target.averageUtilization") {
        Some(wanted) => {
            let now = value(current, "resource.current.averageUtilization");
            let now = now.map_or_else(|| "<unknown>".to_owned(), |now| format!("{now}%"));
            format!("{name}: {now}/{wanted}%")
        }
        None => {
            let now =
                value(current, "resource.current.averageValue").unwrap_or_else(|| "<unknown>".to_owned());
            format!(
                "{name}: {}/{}",
                now.trim_matches('"'),
                meta::str_at(metric, "resource.target.averageValue")
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::cells as row;
    use super::*;

    #[test]
    fn the_older_version_keeps_what_it_has_no_field_for() {
        let kept = json!({"metadata": {"name": "a", "annotations": {}}, "spec": {"metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
            {"type": "Pods"}
        ], "behavior": {"scaleUp": {}}}, "status": {}});
        let mut object = kept.clone();
        to_v1(&mut object);
        assert_eq!(object["spec"], json!({"targetCPUUtilizationPercentage": 80}));
        to_v2(&mut object);
        assert_eq!(object, kept);
    }

    #[test]
    fn what_is_scaled_and_by_what_is_said() {
        let spec = json!({"minReplicas": 5, "maxReplicas": 3, "scaleTargetRef": {}, "metrics": [
            {"type": "Resource"}, {"type": "Pods", "pods": {}, "resource": {"name": "cpu"}}
        ], "behavior": {"scaleDown": {"policies": [{"type": "Odd", "value": 0, "periodSeconds": 1801}]}}});
        let wrong = [
            "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
            "spec.scaleTargetRef.kind: Required value",
            "spec.scaleTargetRef.name: Required value",
            "spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group",
            "spec.metrics[0].resource: Required value: must populate information for the given metric source",
            "spec.metrics[1].pods.metric.name: Required value: must specify a metric name",
            "spec.metrics[1].pods.target.type: Required value: must specify a metric target type",
            "spec.metrics[1].pods.target.type: Invalid value: \"\": must be either Utilization, Value, or AverageValue",
            "spec.metrics[1].pods.target.averageValue: Required value: must specify a positive target averageValue",
            "spec.metrics[1].resource: Forbidden: must populate the given metric source only",
            "spec.behavior.scaleDown.policies[0].type: Unsupported value: \"Odd\": supported values: \"Percent\", \"Pods\"",
            "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
            "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
        ];
        assert_eq!(
            super::super::testing::created("autoscaling", "HorizontalPodAutoscaler", json!({"spec": spec}))
                .unwrap_err(),
            wrong
        );
    }

    #[test]
    fn rows_show_targets() {
        let object = json!({"metadata": {"name": "a"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3, "metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}
        ]}});
        assert_eq!(
            row("autoscaling", "HorizontalPodAutoscaler", &object, "2026-01-01T00:00:00Z"),
            ["a", "Deployment/d", "cpu: <unknown>/80%", "<unset>", "3", "0", "<unknown>"]
        );
    }
}
