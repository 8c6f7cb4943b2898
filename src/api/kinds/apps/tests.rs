//! Tables of workloads: what is refused, what is filled in, what a row shows.

use serde_json::{Value, json};

use crate::kinds::testing::{cells, changed, created, updated};

/// A workload whose spec has these fields beside a selector and a template that fit.
fn workload(fields: &Value) -> Value {
    let mut spec = json!({
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}},
    });
    for (name, value) in fields.as_object().unwrap() {
        spec[name] = value.clone();
    }
    json!({"spec": spec})
}

#[test]
fn a_deployment_is_filled_in() {
    let made = created("apps", "Deployment", workload(&json!({}))).unwrap();
    assert_eq!(
        made["spec"]["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
    );
    assert_eq!(
        (&made["spec"]["replicas"], &made["spec"]["progressDeadlineSeconds"]),
        (&json!(1), &json!(600))
    );
    assert_eq!(made["spec"]["template"]["spec"]["dnsPolicy"], "ClusterFirst");
    assert_eq!(made["metadata"]["generation"], 1);
}

#[test]
fn workloads_are_refused_for_what_is_wrong_with_them() {
    let table = [
        (
            "Deployment",
            json!({"selector": {"matchLabels": {"a": "c"}}}),
            vec![
                "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
            ],
        ),
        (
            "Deployment",
            json!({"selector": null}),
            vec![
                "spec.selector: Required value",
                "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
            ],
        ),
        (
            "Deployment",
            json!({"selector": {}}),
            vec!["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
        ),
        (
            "Deployment",
            json!({"strategy": {"type": "X"}, "replicas": -1}),
            vec![
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.strategy: Unsupported value: {\"Type\":\"X\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\"",
            ],
        ),
        (
            "Deployment",
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}}, "minReadySeconds": 700}),
            vec![
                "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
                "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
            ],
        ),
        (
            "StatefulSet",
            json!({"podManagementPolicy": "X", "updateStrategy": {"type": "Y"}, "serviceName": "A"}),
            vec![
                "spec.podManagementPolicy: Invalid value: \"X\": must be 'OrderedReady' or 'Parallel'",
                "spec.updateStrategy: Invalid value: {\"Type\":\"Y\",\"RollingUpdate\":null}: must be 'RollingUpdate' or 'OnDelete'",
                "spec.serviceName: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
        (
            "DaemonSet",
            json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}}),
            vec![
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
            ],
        ),
    ];
    for (kind, fields, wrong) in table {
        assert_eq!(created("apps", kind, workload(&fields)).unwrap_err(), wrong, "{kind} {fields}");
    }
}

#[test]
fn a_selector_stays() {
    let mut new = workload(&json!({}));
    new["spec"]["selector"]["matchLabels"] = json!({"c": "d"});
    new["spec"]["template"]["metadata"]["labels"] = json!({"c": "d"});
    for kind in ["Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"] {
        assert_eq!(
            updated("apps", kind, new.clone(), workload(&json!({}))).unwrap_err(),
            ["spec.selector: Invalid value: {\"matchLabels\":{\"c\":\"d\"}}: field is immutable"],
            "{kind}"
        );
    }
}

#[test]
fn a_stateful_sets_template_may_mount_its_claims() {
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}]}});
    let fields = json!({"template": template, "volumeClaimTemplates": [claim]});
    let made = created("apps", "StatefulSet", workload(&fields)).unwrap();
    assert_eq!(made["spec"]["volumeClaimTemplates"][0]["status"]["phase"], "Pending");
    let without = json!({"template": template});
    assert_eq!(
        created("apps", "StatefulSet", workload(&without)).unwrap_err(),
        ["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\""]
    );
}

#[test]
fn a_daemon_set_counts_its_templates() {
    let made = created("apps", "DaemonSet", workload(&json!({}))).unwrap();
    let of = |object: &Value| {
        object["metadata"]["annotations"]["deprecated.daemonset.template.generation"].clone()
    };
    assert_eq!(of(&made), "1");
    let mut new = made.clone();
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "y".into();
    let made = updated("apps", "DaemonSet", new, made).unwrap();
    assert_eq!((of(&made), &made["metadata"]["generation"]), ("2".into(), &json!(2)));
}

#[test]
fn a_status_adds_up() {
    let old = workload(&json!({}));
    let mut new = old.clone();
    new["spec"]["replicas"] = json!(7);
    new["status"] = json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": 1});
    assert_eq!(
        changed("apps", "Deployment", Some("status"), new.clone(), old.clone()).unwrap_err(),
        ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"]
    );
    new["status"]["readyReplicas"] = json!(1);
    let made = changed("apps", "Deployment", Some("status"), new, old).unwrap();
    assert_eq!((&made["spec"]["replicas"], &made["status"]["replicas"]), (&json!(1), &json!(1)));
}

#[test]
fn rows_count_pods() {
    let mut object = workload(&json!({"replicas": 3}));
    object["metadata"] = json!({"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"});
    object["status"] = json!({"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2});
    let now = "2026-01-03T01:00:00Z";
    assert_eq!(cells("apps", "Deployment", &object, now), ["a", "1/3", "2", "0", "2d1h", "c", "x", "a=b"]);
    assert_eq!(cells("apps", "ReplicaSet", &object, now), ["a", "3", "2", "1", "2d1h", "c", "x", "a=b"]);
    assert_eq!(cells("apps", "StatefulSet", &object, now), ["a", "1/3", "2d1h", "c", "x"]);
    assert_eq!(cells("apps", "DaemonSet", &object, now)[6], "<none>");
}
