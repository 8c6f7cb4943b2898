//! Rollouts as tables: a deployment, its sets, what is done next.

use serde_json::{Value, json};

use super::deployment::decided;

fn deployment(replicas: i64, strategy: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "d", "uid": "u", "generation": 1,
            "annotations": {"deployment.kubernetes.io/revision": "2"}},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "strategy": strategy,
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"version": 2}}},
    })
}

fn set(name: &str, version: i64, replicas: i64, available: i64, wanted: i64) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "d", "uid": name, "annotations": {
            "deployment.kubernetes.io/revision": version.to_string(),
            "deployment.kubernetes.io/desired-replicas": wanted.to_string(),
            "deployment.kubernetes.io/max-replicas": (wanted + 1).to_string()}},
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": {"app": "web", "pod-template-hash": "x"}},
            "spec": {"version": version}}},
        "status": {"replicas": replicas, "availableReplicas": available, "readyReplicas": available},
    })
}

#[test]
fn a_rolling_update_goes_up_by_the_surge_and_down_by_what_is_ready() {
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let cases: [(&str, Vec<Value>, &[&str]); 6] = [
        ("first", vec![], &["create 3", "status"]),
        ("a new version begins with the surge", vec![set("old", 1, 3, 3, 3)], &["create 1", "status"]),
        ("waits for it", vec![set("old", 1, 3, 3, 3), set("new", 2, 1, 0, 3)], &["status"]),
        (
            "then an old one goes",
            vec![set("old", 1, 3, 3, 3), set("new", 2, 1, 1, 3)],
            &["old 3 -> 2", "status"],
        ),
        (
            "one that never was ready goes first",
            vec![set("old", 1, 3, 2, 3), set("new", 2, 1, 1, 3)],
            &["old 3 -> 2", "status"],
        ),
        ("done", vec![set("old", 1, 0, 0, 3), set("new", 2, 3, 3, 3)], &["status"]),
    ];
    for (name, sets, expected) in cases {
        assert_eq!(decided(&deployment(3, rolling.clone()), &sets), expected, "{name}");
    }
}

#[test]
fn recreate_begins_when_the_last_old_pod_is_gone() {
    let recreate = json!({"type": "Recreate"});
    let cases: [(&str, Vec<Value>, &[&str]); 2] = [
        ("down first", vec![set("old", 1, 3, 3, 3)], &["old 3 -> 0", "status"]),
        ("then up", vec![set("old", 1, 0, 0, 3)], &["create 3", "status"]),
    ];
    for (name, sets, expected) in cases {
        assert_eq!(decided(&deployment(3, recreate.clone()), &sets), expected, "{name}");
    }
}

#[test]
fn a_change_of_size_is_shared_by_the_sets_in_proportion() {
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}});
    let sets = vec![set("old", 1, 8, 8, 10), set("new", 2, 4, 4, 10)];
    assert_eq!(
        decided(&deployment(22, rolling), &sets)[..5],
        ["annotate new", "old 8 -> 16", "annotate old", "new 4 -> 8", "annotate new"]
    );
}

#[test]
fn old_sets_beyond_the_history_are_removed() {
    let mut one = deployment(1, json!({"type": "Recreate"}));
    one["spec"]["revisionHistoryLimit"] = json!(0);
    let done = decided(&one, &[set("old", 1, 0, 0, 1), set("new", 2, 1, 1, 1)]);
    assert!(done.contains(&"delete old".to_owned()), "{done:?}");
}
