//! What the canonical form of objects is.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::builtin;

fn normal(group: &str, version: &str, kind: &str, mut value: Value) -> String {
    let ty = builtin().find_kind(group, version, kind).unwrap();
    normalise(builtin(), ty, &mut value);
    let text = String::from_utf8(to_vec(&value)).unwrap();
    let mut again = value.clone();
    normalise(builtin(), ty, &mut again);
    assert_eq!(String::from_utf8(to_vec(&again)).unwrap(), text, "normalising again changes nothing");
    text
}

#[test]
fn fields_come_in_gos_order_and_empty_ones_go() {
    let pod = json!({"spec": {"containers": [{"image": "i", "name": "a", "ports": [], "stdin": false,
        "resources": {"requests": {"memory": "1024Mi", "cpu": "1000m"}}}], "hostname": "", "nodeSelector": {"b": "1", "a": "2"}},
        "metadata": {"labels": {}, "name": "x", "creationTimestamp": null}, "apiVersion": "v1", "kind": "Pod"});
    assert_eq!(
        normal("", "v1", "Pod", pod),
        r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"},"spec":{"containers":[{"name":"a","image":"i","resources":{"requests":{"cpu":"1","memory":"1Gi"}}}],"nodeSelector":{"a":"2","b":"1"}},"status":{}}"#
    );
}

#[test]
fn what_go_cannot_leave_out_is_printed() {
    assert_eq!(
        normal("", "v1", "Pod", json!({})),
        r#"{"metadata":{},"spec":{"containers":null},"status":{}}"#
    );
    assert_eq!(
        normal("apps", "v1", "Deployment", json!({"spec": {"replicas": 0, "selector": null}})),
        r#"{"metadata":{},"spec":{"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":null}},"strategy":{}},"status":{}}"#
    );
    assert_eq!(
        normal("", "v1", "Service", json!({"spec": {"ports": [{"port": 80}]}})),
        r#"{"metadata":{},"spec":{"ports":[{"port":80,"targetPort":0}]},"status":{"loadBalancer":{}}}"#
    );
    assert_eq!(
        normal("", "v1", "Node", json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})),
        r#"{"metadata":{},"spec":{},"status":{"conditions":[{"type":"Ready","status":"True","lastHeartbeatTime":null,"lastTransitionTime":null}],"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":{"machineID":"","systemUUID":"","bootID":"","kernelVersion":"","osImage":"","containerRuntimeVersion":"","kubeletVersion":"","kubeProxyVersion":"","operatingSystem":"","architecture":""}}}"#
    );
}

#[test]
fn an_empty_list_that_is_always_printed_is_null_unless_it_is_stored_as_json() {
    let role = json!({"rules": []});
    assert_eq!(
        normal("rbac.authorization.k8s.io", "v1", "ClusterRole", role),
        r#"{"metadata":{},"rules":null}"#
    );
    let crd = json!({"spec": {"versions": []}, "status": {"conditions": []}});
    let text = normal("apiextensions.k8s.io", "v1", "CustomResourceDefinition", crd);
    assert!(text.contains(r#""versions":[]"#) && text.contains(r#""conditions":[]"#), "{text}");
}

#[test]
fn what_is_given_by_pointer_is_kept_though_it_is_empty() {
    let pod = json!({"spec": {"containers": [], "automountServiceAccountToken": false, "securityContext": {}, "priority": 0,
        "volumes": [{"name": "a", "emptyDir": {}}]}});
    let text = normal("", "v1", "Pod", pod);
    assert!(text.contains(r#""volumes":[{"name":"a","emptyDir":{}}],"containers":null"#), "{text}");
    assert!(
        text.contains(r#""automountServiceAccountToken":false,"securityContext":{},"priority":0"#),
        "{text}"
    );
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!(0)),
        Just(json!(1.5)),
        Just(json!("")),
        Just(json!("1000m")),
        Just(json!(true)),
        Just(json!("2026-01-01T00:00:00Z")),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let name = proptest::sample::select(vec![
            "spec",
            "metadata",
            "status",
            "containers",
            "name",
            "resources",
            "limits",
            "cpu",
            "labels",
            "env",
            "volumes",
            "creationTimestamp",
            "conditions",
            "type",
            "lastProbeTime",
            "zzz",
        ]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
            proptest::collection::vec((name, inner), 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn normalising_is_idempotent_on_any_tree(tree in tree()) {
        normal("", "v1", "Pod", tree);
    }
}
