use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use crate::User;
use crate::admission::Operation::{self, Create, Delete, Update};
use crate::admission::tests::{Case, objects};
use crate::fixture::Objects;
use crate::lookups::What;

fn node() -> User {
    User::new("system:node:n1", &["system:nodes", "system:authenticated"])
}

fn world() -> Objects {
    let mut all = objects();
    let pod = |name: &str, node: &str, volumes: Value| {
        let spec = json!({"nodeName": node, "serviceAccountName": "builder", "volumes": volumes});
        json!({"metadata": {"namespace": "shop", "name": name, "uid": format!("u-{name}")}, "spec": spec})
    };
    let token = |audience: &str| json!([{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"audience": audience}}]}}]);
    all.put(What::Pod, pod("own", "n1", token("vault")));
    all.put(
        What::Pod,
        pod("csi", "n1", json!([{"name": "c", "persistentVolumeClaim": {"claimName": "data"}}])),
    );
    all.put(What::Pod, pod("other", "n2", token("")));
    all.put(What::Node, json!({"metadata": {"name": "n1", "uid": "u-n1"}}));
    all.put(
        What::PersistentVolumeClaim,
        json!({"metadata": {"namespace": "shop", "name": "data"}, "spec": {"volumeName": "pv"}}),
    );
    all.put(
        What::PersistentVolume,
        json!({"metadata": {"name": "pv"}, "spec": {"csi": {"driver": "d.example"}}}),
    );
    all.put(
        What::CsiDriver,
        json!({"metadata": {"name": "d.example"}, "spec": {"tokenRequests": [{"audience": "storage"}]}}),
    );
    all
}

/// What becomes of a node's request: nothing, or the reason of the refusal.
fn ask(
    operation: Operation,
    path: &str,
    namespace: &str,
    name: &str,
    object: Value,
    old: Option<Value>,
) -> Result<(), String> {
    let (group, resource) = path.split_once('/').unwrap();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let case = Case { user: node(), operation, group, resource, subresource, namespace, name, old };
    let found = case.words(&object, &world()).map(|_| ());
    found.map_err(|told| told.split_once("is forbidden: ").map(|(_, why)| why.to_owned()).unwrap_or(told))
}

fn refused(why: &str) -> Result<(), String> {
    Err(why.to_owned())
}

fn mirror() -> Value {
    json!({
        "metadata": {
            "name": "static", "annotations": {"kubernetes.io/config.mirror": "x"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u-n1", "controller": true}],
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}], "volumes": [{"name": "h", "hostPath": {}}]},
    })
}

#[test]
fn a_node_creates_mirror_pods_of_its_own_and_nothing_else() {
    let create = |change: &dyn Fn(&mut Value)| {
        let mut pod = mirror();
        change(&mut pod);
        ask(Create, "/pods", "shop", "static", pod, None)
    };
    assert_eq!(create(&|_| ()), Ok(()));
    let spec = |field: &'static str, value: Value| create(&|pod| pod["spec"][field] = value.clone());
    let owner = |field: &'static str, value: Value| {
        create(&|pod| pod["metadata"]["ownerReferences"][0][field] = value.clone())
    };
    let volume = |source: Value| spec("volumes", json!([{"name": "v", "projected": {"sources": [source]}}]));
    for (found, expected) in [
        (
            create(&|pod| pod["metadata"]["annotations"] = Value::Null),
            r#"pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods"#,
        ),
        (spec("nodeName", json!("n2")), r#"node "n1" can only create pods with spec.nodeName set to itself"#),
        (
            create(&|pod| pod["metadata"]["ownerReferences"] = json!([])),
            r#"node "n1" can only create pods with an owner reference set to itself"#,
        ),
        (
            owner("name", json!("n2")),
            r#"node "n1" can only create pods with an owner reference set to itself"#,
        ),
        (
            owner("controller", json!(false)),
            r#"node "n1" can only create pods with a controller owner reference set to itself"#,
        ),
        (
            owner("blockOwnerDeletion", json!(true)),
            r#"node "n1" must not set blockOwnerDeletion on an owner reference"#,
        ),
        (owner("uid", json!("u-old")), "node n1 UID mismatch: expected u-old got u-n1"),
        (spec("serviceAccountName", json!("builder")), "a mirror pod may not reference service accounts"),
        (spec("imagePullSecrets", json!([{"name": "s"}])), "a mirror pod may not reference secrets"),
        (
            volume(json!({"serviceAccountToken": {}})),
            "a mirror pod may not use ServiceAccountToken volume projections",
        ),
        (
            volume(json!({"clusterTrustBundle": {}})),
            r#"node "n1" can not create pods that reference clustertrustbundles"#,
        ),
        (
            volume(json!({"news": {}})),
            r#"error checking mirror pod for API references: unknown source for projected volume "v""#,
        ),
        (
            spec("volumes", json!([{"name": "v", "configMap": {"name": "m"}}])),
            r#"node "n1" can not create pods that reference configmaps"#,
        ),
        (
            spec("volumes", json!([{"name": "v", "persistentVolumeClaim": {"claimName": "m"}}])),
            r#"node "n1" can not create pods that reference persistentvolumeclaims"#,
        ),
        (
            spec("resourceClaims", json!([{"name": "v"}])),
            r#"node "n1" can not create pods that reference resourceclaims"#,
        ),
    ] {
        assert_eq!(found, refused(expected));
    }
}

#[test]
fn a_node_deletes_reports_and_evicts_its_own_pods() {
    let pod = |node: &str, labels: Value, status: Value| json!({"metadata": {"name": "p", "labels": labels}, "spec": {"nodeName": node}, "status": status});
    let own = || pod("n1", json!({"a": "b"}), json!({}));
    let status = |old: Value, new: Value| ask(Update, "/pods/status", "shop", "p", new, Some(old));
    let delete = |name: &str| ask(Delete, "/pods", "shop", name, Value::Null, None);
    let evict =
        |name: &str| ask(Create, "/pods/eviction", "shop", name, json!({"metadata": {"name": name}}), None);
    for (found, expected) in [
        (delete("own"), Ok(())),
        (delete("other"), refused(r#"node "n1" can only delete pods with spec.nodeName set to itself"#)),
        (delete("none"), refused(r#"pod "none" not found"#)),
        (evict("own"), Ok(())),
        (evict("other"), refused("node n1 can only evict pods with spec.nodeName set to itself")),
        (status(own(), own()), Ok(())),
        (
            status(pod("n2", json!({}), json!({})), own()),
            refused(r#"node "n1" can only update pod status for pods with spec.nodeName set to itself"#),
        ),
        (
            status(own(), pod("n1", json!({"a": "c"}), json!({}))),
            refused(r#"node "n1" cannot update labels through pod status"#),
        ),
        (
            status(own(), pod("n1", json!({"a": "b"}), json!({"resourceClaimStatuses": [{"name": "x"}]}))),
            refused(r#"node "n1" cannot update resource claim statues"#),
        ),
        (
            ask(Update, "/pods", "shop", "p", own(), Some(own())),
            refused(r#"unexpected operation "UPDATE", node "n1" can only create and delete mirror pods"#),
        ),
        (
            ask(Create, "/pods/binding", "shop", "p", json!({}), None),
            refused(r#"unexpected pod subresource "binding", only 'status' and 'eviction' are allowed"#),
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn a_node_changes_its_own_node_and_not_what_steers_pods_to_it() {
    let named =
        |labels: Value, spec: Value| json!({"metadata": {"name": "n1", "labels": labels}, "spec": spec});
    let plain = || named(json!({"kubernetes.io/hostname": "n1"}), json!({}));
    let create = |labels: Value| ask(Create, "/nodes", "", "n1", named(labels, json!({})), None);
    let update = |new: Value| ask(Update, "/nodes", "", "n1", new, Some(plain()));
    let labels = "is not allowed to modify labels: ";
    for (found, expected) in [
        (
            create(json!({"topology.kubernetes.io/zone": "a", "x.kubelet.kubernetes.io/y": "", "mine": "z"})),
            Ok(()),
        ),
        (
            create(
                json!({"node-role.kubernetes.io/master": "", "a.node-restriction.kubernetes.io/b": "", "k8s.io/c": ""}),
            ),
            refused(concat!(
                r#"node "n1" is not allowed to set the following labels: a.node-restriction.kubernetes.io/b, "#,
                "k8s.io/c, node-role.kubernetes.io/master"
            )),
        ),
        (
            ask(Create, "/nodes", "", "n2", json!({"metadata": {"name": "n2"}}), None),
            refused(r#"node "n1" is not allowed to modify node "n2""#),
        ),
        (update(plain()), Ok(())),
        (
            update(named(json!({"kubernetes.io/hostname": "n1"}), json!({"taints": [{"key": "a"}]}))),
            refused(r#"node "n1" is not allowed to modify taints"#),
        ),
        (
            update(named(json!({"node-role.kubernetes.io/x": ""}), json!({}))),
            refused(&format!("{labels}node-role.kubernetes.io/x")),
        ),
        (update(named(json!({}), json!({}))), Ok(())),
        (
            update(
                json!({"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}, "ownerReferences": [{"name": "x"}]}}),
            ),
            refused(r#"node "n1" is not allowed to modify ownerReferences"#),
        ),
        (
            ask(Delete, "/nodes", "", "n2", Value::Null, None),
            refused(r#"node "n1" is not allowed to modify node "n2""#),
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn tokens_are_for_pods_on_the_node_and_for_audiences_that_these_mount() {
    let token = |pod: Value, audiences: Value| {
        let request = json!({"spec": {"boundObjectRef": pod, "audiences": audiences}});
        ask(Create, "/serviceaccounts/token", "shop", "builder", request, None)
    };
    let bound = |name: &str, uid: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid});
    for (found, expected) in [
        (token(bound("own", "u-own"), json!(["vault"])), Ok(())),
        (token(bound("csi", "u-csi"), json!(["storage"])), Ok(())),
        (token(Value::Null, json!([])), refused("node requested token not bound to a pod")),
        (
            token(json!({"apiVersion": "v1", "kind": "Secret", "name": "s"}), json!([])),
            refused("node requested token not bound to a pod"),
        ),
        (
            token(bound("own", ""), json!([])),
            refused("node requested token with a pod binding without a uid"),
        ),
        (token(bound("none", "u"), json!([])), refused(r#"pod "none" not found"#)),
        (
            token(bound("own", "u-old"), json!(["vault"])),
            refused(concat!(
                "the UID in the bound object reference (u-old) does not match the UID in record. ",
                "The object might have been deleted and then recreated"
            )),
        ),
        (
            token(bound("other", "u-other"), json!([])),
            refused("node requested token bound to a pod scheduled on a different node"),
        ),
        (
            token(bound("own", "u-own"), json!(["bank"])),
            refused(r#"system:node:n1 is not authorized to request tokens for audience "bank""#),
        ),
        (token(bound("own", "u-own"), json!(["a", "b"])), refused("node may only request 0 or 1 audiences")),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn leases_csi_nodes_slices_and_claims_are_the_node_s_own() {
    let named = |name: &str| json!({"metadata": {"name": name}});
    let slice = |node: &str| json!({"metadata": {"name": "s"}, "spec": {"nodeName": node}});
    let lease = |namespace: &str, name: &str| {
        ask(Create, "coordination.k8s.io/leases", namespace, "", named(name), None)
    };
    let claim = |field: &str, value: Value| {
        let old = json!({"metadata": {"name": "c"}, "spec": {}, "status": {"phase": "Bound"}});
        let mut new = old.clone();
        new["status"][field] = value;
        ask(Update, "/persistentvolumeclaims/status", "shop", "c", new, Some(old))
    };
    let only_own = "can only access node lease with the same name as the requesting node";
    for (found, expected) in [
        (lease("shop", "n1"), refused(r#"can only access leases in the "kube-node-lease" system namespace"#)),
        (
            ask(Update, "coordination.k8s.io/leases", "kube-node-lease", "n2", named("n2"), None),
            refused(only_own),
        ),
        (ask(Update, "coordination.k8s.io/leases", "kube-node-lease", "n1", named("n1"), None), Ok(())),
        (ask(Create, "storage.k8s.io/csinodes", "", "", named("n1"), None), Ok(())),
        (
            ask(Create, "storage.k8s.io/csinodes", "", "", named("n2"), None),
            refused("can only access CSINode with the same name as the requesting node"),
        ),
        (ask(Create, "resource.k8s.io/resourceslices", "", "", slice("n1"), None), Ok(())),
        (
            ask(Create, "resource.k8s.io/resourceslices", "", "", slice("n2"), None),
            refused("can only create ResourceSlice with the same NodeName as the requesting node"),
        ),
        (
            ask(Delete, "resource.k8s.io/resourceslices", "", "s", Value::Null, Some(slice("n2"))),
            refused("can only delete ResourceSlice with the same NodeName as the requesting node"),
        ),
        (claim("capacity", json!({"storage": "1Gi"})), Ok(())),
        (
            claim("phase", json!("Lost")),
            refused(
                r#"node "n1" is not allowed to update fields other than status.quantity and status.conditions"#,
            ),
        ),
        (
            ask(Update, "/persistentvolumeclaims", "shop", "c", json!({}), Some(json!({}))),
            refused("may only update PVC status"),
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn a_certificate_is_asked_for_in_the_node_s_own_name() {
    let csr = |name: &str, signer: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, "system:masters");
        let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let spec = json!({"signerName": signer, "request": STANDARD.encode(pem)});
        let object = json!({"metadata": {"name": "c"}, "spec": spec});
        ask(Create, "certificates.k8s.io/certificatesigningrequests", "", "c", object, None)
    };
    assert_eq!(csr("system:node:n1", "kubernetes.io/kube-apiserver-client-kubelet"), Ok(()));
    assert_eq!(
        csr("system:node:n2", "kubernetes.io/kubelet-serving"),
        refused("can only create a node CSR with CN=system:node:n1")
    );
    assert_eq!(
        csr("anybody", "kubernetes.io/kube-apiserver-client"),
        refused("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed")
    );
    assert_eq!(csr("anybody", "acme.io/web"), Ok(()));
}

#[test]
fn a_pod_certificate_is_asked_for_a_pod_that_mounts_one() {
    let mut all = world();
    let mut pod = json!({
        "metadata": {"namespace": "shop", "name": "cert", "uid": "u-cert"},
        "spec": {"nodeName": "n1", "serviceAccountName": "builder", "volumes": [
            {"name": "v", "projected": {"sources": [{"podCertificate": {"signerName": "acme.io/web"}}]}}]},
    });
    all.put(What::Pod, pod.clone());
    pod["metadata"]["name"] = json!("far");
    pod["spec"]["nodeName"] = json!("n2");
    all.put(What::Pod, pod);
    let ask = |change: &[(&str, &str)]| {
        let mut spec = json!({
            "nodeName": "n1", "nodeUID": "u-n1", "podName": "cert", "podUID": "u-cert",
            "serviceAccountName": "builder", "serviceAccountUID": "u-builder", "signerName": "acme.io/web",
        });
        for (field, value) in change {
            spec[*field] = json!(value);
        }
        let (group, resource) = ("certificates.k8s.io", "podcertificaterequests");
        let case = Case { user: node(), group, resource, ..Case::default() };
        case.words(&json!({"metadata": {"name": "r"}, "spec": spec}), &all).map(|_| ())
    };
    assert_eq!(ask(&[]), Ok(()));
    for (change, expected) in [
        (
            &[("nodeName", "n2")][..],
            r#"PodCertificateRequest.Spec.NodeName="n2", which is not the requesting node "n1""#,
        ),
        (
            &[("podName", "far")],
            r#"pod "shop/far" is not running on node "n1" named in the PodCertificateRequest"#,
        ),
        (
            &[("serviceAccountName", "default")],
            r#"contains serviceAccountName ("default") that differs from running pod ("builder")"#,
        ),
        (
            &[("signerName", "acme.io/other")],
            r#"pod "shop/cert" does not mount a podCertificate projected volume for signer "acme.io/other""#,
        ),
        (&[("podUID", "u-x")], r#"contains pod UID ("u-x") which differs from running pod "u-cert""#),
        (
            &[("podName", "none")],
            r#"while retrieving pod "shop/none" named in the PodCertificateRequest: pod "none" not found"#,
        ),
        (&[("nodeUID", "u-x")], r#"names node UID "u-x", inconsistent with the running node ("u-n1")"#),
    ] {
        let told = ask(change).unwrap_err();
        assert!(told.contains(expected), "{told}");
    }
}
