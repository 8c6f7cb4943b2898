use serde_json::{Value, json};

use super::*;
use crate::{Attributes, User};

fn rule(value: Value) -> Rule {
    Rule::from_value(&value)
}

fn role(name: &str, rules: Value) -> Value {
    json!({"metadata": {"name": name}, "rules": rules})
}

fn bind(name: &str, namespace: &str, role: (&str, &str), subjects: Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role.0, "name": role.1},
        "subjects": subjects,
    })
}

fn user(name: &str) -> Value {
    json!([{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}])
}

#[test]
fn a_rule_allows_what_it_names_and_nothing_else() {
    let pods = Attributes::resource("get", "", "pods").within("default");
    let get = |resources: &[&str]| rule(json!({"verbs": ["get"], "apiGroups": [""], "resources": resources}));
    for (expected, rule, asked) in [
        (true, get(&["pods"]), pods.named("a")),
        (false, get(&["pods"]), pods.part("log")),
        (true, get(&["pods/log"]), pods.part("log")),
        (false, get(&["pods/log"]), pods),
        (true, get(&["*"]), pods.part("log")),
        (true, get(&["*/log"]), pods.part("log")),
        (false, get(&["*/log"]), pods),
        (false, get(&["*/scale"]), pods.part("log")),
        (false, get(&["pods/*"]), pods.part("log")),
        (true, get(&["a/b/c"]), Attributes::resource("get", "", "a").part("b/c")),
        (false, get(&["pods"]), Attributes { verb: "list", ..pods }),
        (false, get(&["pods"]), Attributes { group: "apps", ..pods }),
        (false, get(&["pods"]), Attributes::path("get", "/pods")),
    ] {
        assert_eq!(rule.allows(&asked), expected, "{rule:?} {asked:?}");
    }
    let named = rule(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "resourceNames": ["a"]}));
    assert!(named.allows(&pods.named("a")));
    assert!(!named.allows(&pods.named("b")));
    assert!(!named.allows(&pods), "a list of all is not a list of the one");
}

#[test]
fn a_path_is_allowed_whole_or_by_its_beginning() {
    let urls = |urls: &[&str]| rule(json!({"verbs": ["get"], "nonResourceURLs": urls}));
    for (expected, own, path) in [
        (true, "/healthz", "/healthz"),
        (false, "/healthz", "/healthz/etcd"),
        (true, "/healthz/*", "/healthz/etcd"),
        (false, "/healthz/*", "/healthz"),
        (true, "*", "/anything"),
        (true, "/a**", "/abc"),
        (false, "/*/a", "/b/a"),
    ] {
        assert_eq!(urls(&[own]).allows(&Attributes::path("get", path)), expected, "{own} {path}");
    }
    assert!(!urls(&["*"]).allows(&Attributes::path("post", "/a")));
    assert!(!urls(&["*"]).allows(&Attributes::resource("get", "", "pods")));
}

fn sample() -> Policy {
    let mut policy = Policy::new();
    let read = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]);
    policy.put(RbacKind::ClusterRole, &role("reader", read.clone()));
    let mut local = role("local", read);
    local["metadata"]["namespace"] = json!("shop");
    policy.put(RbacKind::Role, &local);
    policy.put(RbacKind::ClusterRoleBinding, &bind("all", "", ("ClusterRole", "reader"), user("alice")));
    policy.put(RbacKind::RoleBinding, &bind("here", "shop", ("Role", "local"), user("bob")));
    let account = json!([{"kind": "ServiceAccount", "name": "builder"}]);
    policy.put(RbacKind::RoleBinding, &bind("sa", "shop", ("ClusterRole", "reader"), account));
    policy.put(RbacKind::ClusterRoleBinding, &bind("lost", "", ("ClusterRole", "gone"), user("carol")));
    policy.put(RbacKind::RoleBinding, &bind("lost", "shop", ("Role", "gone"), user("carol")));
    policy
}

#[test]
fn a_decision_tells_which_binding_it_is_by() {
    let policy = sample();
    let list = Attributes::resource("list", "", "pods");
    let account = "system:serviceaccount:shop:builder";
    for (name, namespace, expected) in [
        ("alice", "", r#"RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "reader" to User "alice""#),
        (
            "alice",
            "shop",
            r#"RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "reader" to User "alice""#,
        ),
        ("bob", "shop", r#"RBAC: allowed by RoleBinding "here/shop" of Role "local" to User "bob""#),
        ("bob", "other", ""),
        ("bob", "", ""),
        (
            account,
            "shop",
            r#"RBAC: allowed by RoleBinding "sa/shop" of ClusterRole "reader" to ServiceAccount "builder/shop""#,
        ),
        (account, "", ""),
        ("carol", "", r#"RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found"#),
        (
            "carol",
            "shop",
            concat!(
                r#"RBAC: [clusterrole.rbac.authorization.k8s.io "gone" not found, "#,
                r#"role.rbac.authorization.k8s.io "gone" not found]"#
            ),
        ),
    ] {
        let decision = policy.decide(&User::new(name, &[]), &list.within(namespace));
        assert_eq!(decision.reason(), expected, "{name} in {namespace:?}");
        assert_eq!(decision.is_allowed(), expected.contains("allowed"), "{name} in {namespace:?}");
    }
}

#[test]
fn groups_are_looked_at_too_and_the_binding_s_first_fitting_subject_is_told() {
    let mut policy = sample();
    let subjects = json!([{"kind": "User", "name": "x"}, {"kind": "Group", "name": "devs"}, {"kind": "User", "name": "dora"}]);
    policy.put(RbacKind::ClusterRoleBinding, &bind("devs", "", ("ClusterRole", "reader"), subjects));
    let decision = policy.decide(&User::new("dora", &["devs"]), &Attributes::resource("get", "", "pods"));
    let told = r#"RBAC: allowed by ClusterRoleBinding "devs" of ClusterRole "reader" to Group "devs""#;
    assert_eq!(decision, crate::Decision::allow(told));
}

#[test]
fn what_is_removed_or_changed_no_longer_counts() {
    let mut policy = sample();
    let list = Attributes::resource("list", "", "pods").within("shop");
    let allowed = |policy: &Policy, name: &str| policy.decide(&User::new(name, &[]), &list).is_allowed();
    policy.put(RbacKind::RoleBinding, &bind("here", "shop", ("Role", "local"), user("dora")));
    assert!(!allowed(&policy, "bob") && allowed(&policy, "dora"));
    policy.remove(RbacKind::Role, "shop", "local");
    assert!(!allowed(&policy, "dora"));
    policy.remove(RbacKind::ClusterRoleBinding, "", "all");
    assert!(!allowed(&policy, "alice"));
    for name in ["here", "sa", "lost"] {
        policy.remove(RbacKind::RoleBinding, "shop", name);
    }
    assert!(policy.namespaces.is_empty(), "an empty namespace is forgotten");
}

#[test]
fn the_rules_of_a_user_are_those_of_each_binding_once() {
    let policy = sample();
    let (rules, errors) = policy.rules_for(&User::new("alice", &[]), "shop");
    assert_eq!((rules.len(), errors.len()), (1, 0));
    let (rules, errors) = policy.rules_for(&User::new("carol", &[]), "shop");
    assert_eq!((rules.len(), errors.len()), (0, 2));
}
