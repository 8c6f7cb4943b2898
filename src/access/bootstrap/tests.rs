use serde_json::{Value, json};

use super::*;
use crate::rbac::Policy;
use crate::{Attributes, User};

fn find(kind: RbacKind, name: &str) -> Value {
    let all = rbac();
    let found = all.iter().find(|(k, object)| *k == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}")).1.clone()
}

#[test]
fn a_default_role_is_the_object_that_upstream_makes() {
    assert_eq!(
        find(RbacKind::ClusterRole, "system:aggregate-to-admin").to_string(),
        concat!(
            r#"{"kind":"ClusterRole","apiVersion":"rbac.authorization.k8s.io/v1","metadata":{"#,
            r#""name":"system:aggregate-to-admin","labels":{"kubernetes.io/bootstrapping":"rbac-defaults","#,
            r#""rbac.authorization.k8s.io/aggregate-to-admin":"true"},"annotations":{"#,
            r#""rbac.authorization.kubernetes.io/autoupdate":"true"}},"rules":[{"verbs":["create"],"#,
            r#""apiGroups":["authorization.k8s.io"],"resources":["localsubjectaccessreviews"]},{"verbs":["#,
            r#""create","delete","deletecollection","get","list","patch","update","watch"],"#,
            r#""apiGroups":["rbac.authorization.k8s.io"],"resources":["rolebindings","roles"]}]}"#
        )
    );
    let edit = find(RbacKind::ClusterRole, "edit");
    assert_eq!(edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-admin"], "true");
    assert_eq!(
        edit["aggregationRule"],
        json!({"clusterRoleSelectors": [
            {"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}}
        ]})
    );
    let role = find(RbacKind::Role, "system:controller:token-cleaner");
    assert_eq!(role["metadata"]["namespace"], "kube-system");
    assert_eq!(role["rules"][1]["apiGroups"], json!(["", "events.k8s.io"]));
}

#[test]
fn names_are_single_and_each_binding_points_at_a_role_that_is_there() {
    let all = rbac();
    let key = |object: &Value| {
        ["kind", "/metadata/namespace", "/metadata/name"]
            .map(|at| object.pointer(at).or(object.get(at)).cloned().unwrap_or_default().to_string())
    };
    let mut keys: Vec<_> = all.iter().map(|(_, object)| key(object)).collect();
    keys.sort();
    let count = keys.len();
    keys.dedup();
    assert_eq!(keys.len(), count);
    for (_, binding) in all.iter().filter(|(_, object)| object.get("roleRef").is_some()) {
        let (kind, name) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
        let same_place =
            |role: &Value| role["metadata"].get("namespace") == binding["metadata"].get("namespace");
        let found = all
            .iter()
            .any(|(_, role)| &role["kind"] == kind && &role["metadata"]["name"] == name && same_place(role));
        assert!(found, "{binding}");
    }
}

#[test]
fn the_default_policy_lets_each_component_do_its_work_and_strangers_little() {
    let mut policy = Policy::new();
    for (kind, object) in rbac() {
        policy.put(kind, &object);
    }
    let scheduler = User::new("system:kube-scheduler", &["system:authenticated"]);
    let controller = User::new("system:serviceaccount:kube-system:job-controller", &[]);
    let proxy = User::new("system:kube-proxy", &[]);
    let user = User::new("alice", &["system:authenticated"]);
    let anonymous = User::anonymous();
    let on = Attributes::resource;
    for (expected, user, asked) in [
        (true, &scheduler, on("create", "", "pods").part("binding").within("a")),
        (false, &scheduler, on("create", "", "pods").within("a")),
        (true, &controller, on("create", "", "pods").within("a")),
        (false, &controller, on("create", "apps", "deployments").within("a")),
        (true, &proxy, on("watch", "discovery.k8s.io", "endpointslices")),
        (true, &user, on("create", "authorization.k8s.io", "selfsubjectaccessreviews")),
        (true, &user, on("create", "authentication.k8s.io", "selfsubjectreviews")),
        (true, &user, Attributes::path("get", "/apis/apps/v1")),
        (false, &user, Attributes::path("get", "/metrics")),
        (false, &user, on("get", "", "pods").within("a")),
        (true, &anonymous, Attributes::path("get", "/version")),
        (false, &anonymous, Attributes::path("get", "/apis")),
        (false, &anonymous, on("create", "authorization.k8s.io", "selfsubjectaccessreviews")),
    ] {
        assert_eq!(policy.decide(user, &asked).is_allowed(), expected, "{} {asked:?}", user.name);
    }
}

#[test]
fn what_is_reconciled_once_needs_nothing_more() {
    for (_, wanted) in rbac() {
        let Change::Create(created) = reconcile(None, &wanted) else { panic!("{wanted}") };
        assert_eq!(reconcile(Some(&created), &wanted), Change::Nothing, "{wanted}");
    }
}

#[test]
fn missing_permissions_are_added_and_those_added_by_hand_stay() {
    let wanted = find(RbacKind::ClusterRole, "system:node-bootstrapper");
    let mut existing = wanted.clone();
    existing["metadata"]["resourceVersion"] = json!("7");
    existing["rules"] = json!([
        {"verbs": ["get", "list"], "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"]},
        {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]},
    ]);
    let Change::Update(updated) = reconcile(Some(&existing), &wanted) else { panic!() };
    let rule = |verb: &str| json!({"verbs": [verb], "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"]});
    let rules = updated["rules"].as_array().unwrap();
    assert_eq!(rules[..2], existing["rules"].as_array().unwrap()[..]);
    assert_eq!(rules[2..], [rule("create"), rule("watch")]);
    assert_eq!(updated["metadata"]["resourceVersion"], "7");
    assert_eq!(reconcile(Some(&updated), &wanted), Change::Nothing);

    existing["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = json!("false");
    assert_eq!(reconcile(Some(&existing), &wanted), Change::Nothing, "it has opted out");
}

#[test]
fn subjects_are_added_and_a_binding_of_another_role_is_made_anew() {
    let wanted = find(RbacKind::ClusterRoleBinding, "system:public-info-viewer");
    let mut existing = wanted.clone();
    existing["subjects"] = json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "zoe"}]);
    let Change::Update(updated) = reconcile(Some(&existing), &wanted) else { panic!() };
    let names: Vec<_> = updated["subjects"].as_array().unwrap().iter().map(|s| s["name"].clone()).collect();
    assert_eq!(names, ["zoe", "system:authenticated", "system:unauthenticated"]);
    existing["roleRef"]["name"] = json!("cluster-admin");
    assert_eq!(reconcile(Some(&existing), &wanted), Change::Recreate(wanted));
}

#[test]
fn administrators_may_do_everything_while_they_are_bound() {
    let mut policy = Policy::new();
    for (kind, object) in rbac() {
        policy.put(kind, &object);
    }
    let user = User::new("ann", &[ADMINISTRATORS]);
    let asked = Attributes::resource("delete", "", "nodes");
    assert!(!policy.decide(&user, &asked).is_allowed());
    let (kind, binding) = administrators();
    policy.put(kind, &binding);
    assert!(policy.decide(&user, &asked).is_allowed());
    assert!(policy.decide(&user, &Attributes::path("get", "/metrics")).is_allowed());
}
