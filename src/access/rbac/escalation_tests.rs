use serde_json::{Value, json};

use super::*;
use crate::{Authorizer, User};

fn role(name: &str, rules: Value) -> Value {
    json!({"metadata": {"name": name, "resourceVersion": "1"}, "rules": rules})
}

fn bind(name: &str, role: &str, user: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "name": user}],
    })
}

/// alice has the role `own`.
fn with(rules: Value) -> Authorizer {
    let mut authorizer = Authorizer::default();
    authorizer.policy.put(RbacKind::ClusterRole, &role("own", rules));
    authorizer.policy.put(RbacKind::ClusterRoleBinding, &bind("own", "own", "alice"));
    authorizer
}

fn reader() -> Value {
    json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}])
}

fn write<'a>(kind: RbacKind, object: &'a Value, old: Option<&'a Value>) -> escalation::Write<'a> {
    escalation::Write { kind, namespace: "", name: "", object, old }
}

fn check(authorizer: &Authorizer, write: escalation::Write) -> Result<(), String> {
    let alice = User::new("alice", &["devs", "system:authenticated"]);
    escalation::check(authorizer, &alice, write).map_err(|status| status.message)
}

#[test]
fn a_role_of_what_is_held_may_be_written_and_what_is_missing_is_listed() {
    let authorizer = with(reader());
    let same = role("new", reader());
    assert_eq!(check(&authorizer, write(RbacKind::ClusterRole, &same, None)), Ok(()));
    let more = role(
        "new",
        json!([
            {"verbs": ["get", "list", "watch", "delete"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["b", "a"]},
            {"verbs": ["get"], "nonResourceURLs": ["/metrics"]},
        ]),
    );
    assert_eq!(
        check(&authorizer, write(RbacKind::ClusterRole, &more, None)).unwrap_err(),
        concat!(
            r#"clusterroles.rbac.authorization.k8s.io "new" is forbidden: user "alice" "#,
            r#"(groups=["devs" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:"#,
            "\n",
            r#"{APIGroups:[""], Resources:["pods"], Verbs:["watch" "delete"]}"#,
            "\n",
            r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["a"], Verbs:["get"]}"#,
            "\n",
            r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["b"], Verbs:["get"]}"#,
            "\n",
            r#"{NonResourceURLs:["/metrics"], Verbs:["get"]}"#
        )
    );
}

#[test]
fn a_named_permission_does_not_cover_all_names_and_a_star_covers_each() {
    let named =
        json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]}]);
    let all = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}]);
    let scale = json!([{"verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments/scale"]}]);
    let stars = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/scale"]}]);
    for (own, wanted, expected) in [
        (&named, &all, false),
        (&all, &named, true),
        (&named, &named, true),
        (&stars, &scale, true),
        (&scale, &stars, false),
        (&stars, &all, false),
    ] {
        let new = role("new", wanted.clone());
        let found = check(&with(own.clone()), write(RbacKind::ClusterRole, &new, None));
        assert_eq!(found.is_ok(), expected, "{own} {wanted}");
    }
}

#[test]
fn masters_and_who_may_escalate_write_any_role() {
    let new = role("new", json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
    let escalate = json!([{"verbs": ["escalate"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"]}]);
    assert_eq!(check(&with(escalate), write(RbacKind::ClusterRole, &new, None)), Ok(()));
    let root = User::new("root", &["system:masters"]);
    let nobody = Authorizer::default();
    assert_eq!(escalation::check(&nobody, &root, write(RbacKind::ClusterRole, &new, None)), Ok(()));
    let bind = json!([{"verbs": ["bind"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"]}]);
    assert!(check(&with(bind), write(RbacKind::ClusterRole, &new, None)).is_err(), "bind is not escalate");
}

#[test]
fn aggregation_takes_everything() {
    let mut gathering = role("new", Value::Null);
    gathering["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
    let plain = role("new", Value::Null);
    let why = concat!(
        r#"clusterroles.rbac.authorization.k8s.io "new" is forbidden: "#,
        "must have cluster-admin privileges to use the aggregationRule"
    );
    let authorizer = with(reader());
    for (new, old) in [(&gathering, None), (&plain, Some(&gathering))] {
        assert_eq!(check(&authorizer, write(RbacKind::ClusterRole, new, old)), Err(why.to_owned()));
    }
    let all = json!([
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]);
    assert_eq!(check(&with(all), write(RbacKind::ClusterRole, &gathering, None)), Ok(()));
}

#[test]
fn owners_and_finalizers_may_change_without_leave() {
    let old = role("big", json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
    let mut new = old.clone();
    new["metadata"]["finalizers"] = json!([]);
    new["metadata"]["resourceVersion"] = Value::Null;
    new["metadata"]["ownerReferences"] = json!([{"name": "x"}]);
    let authorizer = with(reader());
    assert_eq!(check(&authorizer, write(RbacKind::ClusterRole, &new, Some(&old))), Ok(()));
    new["metadata"]["labels"] = json!({"a": "b"});
    assert!(check(&authorizer, write(RbacKind::ClusterRole, &new, Some(&old))).is_err());
}

#[test]
fn a_binding_gives_what_is_held_or_what_may_be_bound() {
    let mut authorizer = with(reader());
    let all = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
    authorizer.policy.put(RbacKind::ClusterRole, &role("big", all));
    let (own, big, gone) = (bind("b", "own", "bob"), bind("b", "big", "bob"), bind("b", "gone", "bob"));
    let binding = |object| write(RbacKind::ClusterRoleBinding, object, None);
    assert_eq!(check(&authorizer, binding(&own)), Ok(()));
    let refused = check(&authorizer, binding(&big)).unwrap_err();
    assert!(
        refused
            .starts_with(r#"clusterrolebindings.rbac.authorization.k8s.io "b" is forbidden: user "alice""#)
    );
    assert_eq!(
        check(&authorizer, binding(&gone)),
        Err(r#"clusterrolebindings.rbac.authorization.k8s.io "gone" not found"#.to_owned())
    );
    let may_bind = json!([{
        "verbs": ["bind"], "apiGroups": ["rbac.authorization.k8s.io"],
        "resources": ["clusterroles"], "resourceNames": ["big", "gone"],
    }]);
    authorizer.policy.put(RbacKind::ClusterRole, &role("own", may_bind));
    assert_eq!(check(&authorizer, binding(&big)), Ok(()));
    assert_eq!(check(&authorizer, binding(&gone)), Ok(()));
}
