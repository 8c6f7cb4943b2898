use serde_json::{Value, json};

use super::*;
use crate::{Attributes, FieldRequirement, User};

fn pod(name: &str, node: &str, spec: Value) -> Value {
    let mut pod = json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec});
    pod["spec"]["nodeName"] = json!(node);
    pod
}

fn rich() -> Value {
    json!({
        "serviceAccountName": "builder",
        "imagePullSecrets": [{"name": "pull"}],
        "initContainers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "init-key"}}}]}],
        "containers": [{
            "envFrom": [{"secretRef": {"name": "env-secret"}}, {"configMapRef": {"name": "env-map"}}],
            "env": [{"valueFrom": {"configMapKeyRef": {"name": "key-map"}}}],
        }],
        "volumes": [
            {"name": "a", "secret": {"secretName": "volume-secret"}},
            {"name": "b", "configMap": {"name": "volume-map"}},
            {"name": "c", "projected": {"sources": [
                {"secret": {"name": "projected-secret"}}, {"configMap": {"name": "kube-root-ca.crt"}}]}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "e", "ephemeral": {}},
            {"name": "f", "csi": {"nodePublishSecretRef": {"name": "csi-secret"}}},
        ],
        "resourceClaims": [{"name": "x", "resourceClaimName": "gpu"}, {"name": "y", "resourceClaimTemplateName": "t"}],
    })
}

fn sample() -> NodeAuthorizer {
    let mut nodes = NodeAuthorizer::default();
    let mut web = pod("web", "n1", rich());
    web["status"] = json!({"resourceClaimStatuses": [
        {"name": "y", "resourceClaimName": "made"}, {"name": "z", "resourceClaimName": "foreign"}]});
    nodes.graph.put(NodeKind::Pod, &web);
    nodes.graph.put(NodeKind::Pod, &pod("other", "n2", json!({"serviceAccountName": "default"})));
    let secret = |name: &str| json!({"namespace": "storage", "name": name});
    nodes.graph.put(
        NodeKind::PersistentVolume,
        &json!({"metadata": {"name": "pv"}, "spec": {
            "claimRef": {"namespace": "shop", "name": "data"},
            "csi": {"nodeStageSecretRef": secret("stage"), "controllerPublishSecretRef": secret("controller")},
        }}),
    );
    nodes
        .graph
        .put(NodeKind::VolumeAttachment, &json!({"metadata": {"name": "va"}, "spec": {"nodeName": "n1"}}));
    nodes
        .graph
        .put(NodeKind::ResourceSlice, &json!({"metadata": {"name": "slice"}, "spec": {"nodeName": "n1"}}));
    nodes.graph.put(
        NodeKind::PodCertificateRequest,
        &json!({"metadata": {"namespace": "shop", "name": "pcr"}, "spec": {"nodeName": "n1"}}),
    );
    nodes
}

fn node(name: &str) -> User {
    User::new(&format!("system:node:{name}"), &["system:nodes", "system:authenticated"])
}

#[test]
fn a_node_reads_what_its_pods_refer_to_and_no_other_node_does() {
    let nodes = sample();
    for (group, resource, namespace, names) in [
        (
            "",
            "secrets",
            "shop",
            &["pull", "init-key", "env-secret", "volume-secret", "projected-secret", "csi-secret"][..],
        ),
        ("", "secrets", "storage", &["stage"]),
        ("", "configmaps", "shop", &["env-map", "key-map", "volume-map", "kube-root-ca.crt"]),
        ("", "persistentvolumeclaims", "shop", &["data", "web-e"]),
        ("", "persistentvolumes", "", &["pv"]),
        ("", "serviceaccounts", "shop", &["builder"]),
        ("", "pods", "shop", &["web"]),
        ("resource.k8s.io", "resourceclaims", "shop", &["gpu", "made"]),
        ("resource.k8s.io", "resourceslices", "", &["slice"]),
        ("storage.k8s.io", "volumeattachments", "", &["va"]),
        ("certificates.k8s.io", "podcertificaterequests", "shop", &["pcr"]),
    ] {
        for name in names {
            let get = Attributes::resource("get", group, resource).within(namespace).named(name);
            assert!(nodes.decide(&node("n1"), &get).is_allowed(), "{resource} {name}");
            assert_eq!(
                nodes.decide(&node("n2"), &get).reason(),
                "no relationship found between node 'n2' and this object",
                "{resource} {name}"
            );
        }
    }
    let secret = Attributes::resource("get", "", "secrets");
    for (namespace, name) in [("storage", "controller"), ("other", "pull"), ("shop", "unheard-of")] {
        assert!(!nodes.decide(&node("n1"), &secret.within(namespace).named(name)).is_allowed(), "{name}");
    }
    let claim = Attributes::resource("get", "resource.k8s.io", "resourceclaims").within("shop");
    assert!(!nodes.decide(&node("n1"), &claim.named("foreign")).is_allowed(), "a status without a claim");
}

#[test]
fn what_a_node_may_not_do_is_told() {
    let nodes = sample();
    let on = |verb, group, resource| Attributes::resource(verb, group, resource);
    let own = [FieldRequirement { field: "spec.nodeName".to_owned(), equal: true, value: "n1".to_owned() }];
    let not = [FieldRequirement { equal: false, ..own[0].clone() }];
    let yes = Ok(());
    for (asked, expected) in [
        (on("list", "", "secrets").within("shop"), Err("No Object name found")),
        (on("list", "", "secrets"), Err("can only read namespaced object of this type")),
        (
            on("delete", "", "secrets").within("shop").named("pull"),
            Err("can only read resources of this type"),
        ),
        (on("watch", "", "secrets").within("shop").named("pull"), yes),
        (on("get", "", "secrets").part("x").within("shop").named("pull"), Err("cannot read subresource")),
        (on("list", "", "persistentvolumes"), Err("can only get individual resources of this type")),
        (on("patch", "", "persistentvolumeclaims").part("status").within("shop").named("data"), yes),
        (
            on("get", "", "persistentvolumeclaims").part("status").within("shop").named("data"),
            Err("can only get/update/patch this type"),
        ),
        (on("create", "", "serviceaccounts").part("token").within("shop").named("builder"), yes),
        (
            on("create", "", "serviceaccounts").part("token").within("shop").named("default"),
            Err("no relationship found between node 'n1' and this object"),
        ),
        (
            on("create", "", "serviceaccounts").within("shop").named("builder"),
            Err("can only create token subresource of serviceaccount"),
        ),
        (
            on("list", "", "serviceaccounts").within("shop"),
            Err("can only create tokens for individual service accounts"),
        ),
        (on("create", "coordination.k8s.io", "leases").within("kube-node-lease"), yes),
        (on("update", "coordination.k8s.io", "leases").within("kube-node-lease").named("n1"), yes),
        (
            on("update", "coordination.k8s.io", "leases").within("kube-node-lease").named("n2"),
            Err("can only access node lease with the same name as the requesting node"),
        ),
        (
            on("get", "coordination.k8s.io", "leases").within("kube-system").named("n1"),
            Err(r#"can only access leases in the "kube-node-lease" system namespace"#),
        ),
        (
            on("list", "coordination.k8s.io", "leases").within("kube-node-lease"),
            Err("can only get, create, update, patch, or delete a node lease"),
        ),
        (on("patch", "storage.k8s.io", "csinodes").named("n1"), yes),
        (
            on("patch", "storage.k8s.io", "csinodes").named("n2"),
            Err("can only access CSINode with the same name as the requesting node"),
        ),
        (on("get", "", "nodes").named("n1"), yes),
        (on("get", "", "nodes").named("n2"), Err("node 'n1' cannot read 'n2', only its own Node object")),
        (on("list", "", "nodes"), Err("node 'n1' cannot read all nodes, only its own Node object")),
        (on("patch", "", "nodes").part("status").named("n2"), yes),
        (on("delete", "", "nodes").named("n1"), Err("")),
        (Attributes { field_selector: &own, ..on("list", "", "pods") }, yes),
        (
            Attributes { field_selector: &not, ..on("list", "", "pods") },
            Err("can only list/watch pods with spec.nodeName field selector"),
        ),
        (on("watch", "", "pods"), Err("can only list/watch pods with spec.nodeName field selector")),
        (on("create", "", "pods").within("shop"), yes),
        (on("create", "", "pods").part("eviction").within("shop").named("other"), yes),
        (on("create", "", "pods").part("exec").within("shop").named("web"), Err("")),
        (on("create", "", "events").within("shop"), yes),
        (on("list", "", "services"), yes),
        (on("list", "apps", "deployments"), Err("")),
        (Attributes::path("get", "/metrics"), Err("")),
    ] {
        let decision = nodes.decide(&node("n1"), &asked);
        let found = if decision.is_allowed() { Ok(()) } else { Err(decision.reason()) };
        assert_eq!(found, expected, "{asked:?}");
    }
}

#[test]
fn there_is_no_opinion_on_others_nor_on_a_node_without_a_name() {
    let nodes = sample();
    let get = Attributes::resource("get", "", "secrets").within("shop").named("pull");
    for (user, reason) in [
        (User::new("alice", &["system:nodes"]), ""),
        (User::new("system:node:n1", &[]), ""),
        (User::new("system:node:", &["system:nodes"]), r#"unknown node for user "system:node:""#),
    ] {
        assert_eq!(nodes.decide(&user, &get), crate::Decision::no_opinion(reason));
    }
}

#[test]
fn access_ends_with_the_last_pod_that_gave_it_and_nothing_is_left() {
    let mut nodes = sample();
    nodes.graph.put(NodeKind::Pod, &pod("second", "n1", json!({"imagePullSecrets": [{"name": "pull"}]})));
    let get = Attributes::resource("get", "", "secrets").within("shop").named("pull");
    nodes.graph.remove(NodeKind::Pod, "shop", "web");
    assert!(nodes.decide(&node("n1"), &get).is_allowed());
    nodes.graph.remove(NodeKind::Pod, "shop", "second");
    assert!(!nodes.decide(&node("n1"), &get).is_allowed());
    let stage = Attributes::resource("get", "", "secrets").within("storage").named("stage");
    assert!(!nodes.decide(&node("n1"), &stage).is_allowed(), "the volume is not used here any more");
    nodes.graph.remove(NodeKind::Pod, "shop", "other");
    nodes.graph.remove(NodeKind::PersistentVolume, "", "pv");
    nodes.graph.remove(NodeKind::VolumeAttachment, "", "va");
    nodes.graph.remove(NodeKind::ResourceSlice, "", "slice");
    nodes.graph.remove(NodeKind::PodCertificateRequest, "shop", "pcr");
    assert!(nodes.graph.is_empty());
}

#[test]
fn a_mirror_pod_and_a_pod_without_a_node_give_nothing() {
    let mut nodes = NodeAuthorizer::default();
    let mut mirror = pod("mirror", "n1", rich());
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    nodes.graph.put(NodeKind::Pod, &mirror);
    nodes.graph.put(NodeKind::Pod, &pod("waiting", "", rich()));
    let on = |resource| Attributes::resource("get", "", resource).within("shop");
    assert!(!nodes.decide(&node("n1"), &on("secrets").named("pull")).is_allowed());
    assert!(!nodes.decide(&node("n1"), &on("serviceaccounts").named("builder")).is_allowed());
    assert!(nodes.decide(&node("n1"), &on("pods").named("mirror")).is_allowed());
    assert!(!nodes.decide(&node("n1"), &on("pods").named("waiting")).is_allowed());
}

#[test]
fn an_ephemeral_container_that_comes_later_is_seen() {
    let mut nodes = NodeAuthorizer::default();
    nodes.graph.put(NodeKind::Pod, &pod("web", "n1", json!({})));
    let debug = json!({"ephemeralContainers": [{"envFrom": [{"secretRef": {"name": "late"}}]}]});
    nodes.graph.put(NodeKind::Pod, &pod("web", "n1", debug));
    let get = Attributes::resource("get", "", "secrets").within("shop").named("late");
    assert!(nodes.decide(&node("n1"), &get).is_allowed());
}
