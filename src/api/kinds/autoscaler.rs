//! HorizontalPodAutoscaler in its two versions. It is kept as v2; what v1 has no field for
//! travels in annotations.

use serde_json::{Value, json};

use super::table::age;
use crate::meta;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Defaults of v2, which hold for v1 too once it is v2.
pub(super) fn defaults(object: &mut Value) {
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
pub(super) fn cells(object: &Value, now: i64) -> Vec<Value> {
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
