use serde_json::json;

use super::*;
use crate::rbac::RbacKind;

/// A user, and what it may do: verbs, group, resources, names.
type Leave<'a> = (&'a str, &'a [&'a str], &'a str, &'a [&'a str], &'a [&'a str]);

fn authorizer(leave: &[Leave]) -> Authorizer {
    let mut authorizer = Authorizer::default();
    for (index, (user, verbs, group, resources, names)) in leave.iter().enumerate() {
        let name = format!("r{index}");
        let rule =
            json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "resourceNames": names});
        let role = json!({"metadata": {"name": name}, "rules": [rule]});
        let binding = json!({
            "metadata": {"name": name},
            "roleRef": {"kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "User", "name": user}],
        });
        authorizer.policy.put(RbacKind::ClusterRole, &role);
        authorizer.policy.put(RbacKind::ClusterRoleBinding, &binding);
    }
    authorizer
}

fn list() -> Attributes<'static> {
    Attributes::resource("list", "", "pods").within("shop")
}

fn wanted_of(headers: &[(&str, &str)]) -> Result<Option<User>, String> {
    wanted(headers.iter().copied()).map_err(|status| status.message)
}

#[test]
fn headers_say_whom_to_act_as() {
    let user = wanted_of(&[
        ("accept", "*/*"),
        ("impersonate-user", "bob"),
        ("impersonate-group", "devs"),
        ("impersonate-group", "ops"),
        ("impersonate-uid", "u1"),
        ("impersonate-extra-acme.com%2fproject", "p1"),
        ("impersonate-extra-acme.com%2fproject", "p2"),
        ("impersonate-extra-bad%zz", "x"),
    ]);
    let user = user.unwrap().unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("bob", "u1"));
    assert_eq!(user.groups, ["devs", "ops"]);
    assert_eq!(user.extra["acme.com/project"], ["p1", "p2"]);
    assert_eq!(user.extra["bad%zz"], ["x"]);
    assert_eq!(wanted_of(&[("accept", "*/*")]), Ok(None));
    assert_eq!(wanted_of(&[("impersonate-user", "")]), Ok(None));
    let bytes: [(&str, &[u8]); 2] = [("accept", b"\xff"), ("impersonate-user", b"b\xffb")];
    let refused = wanted(bytes.into_iter()).unwrap_err();
    assert_eq!((refused.code, refused.message.as_str()), (400, "the header impersonate-user is not UTF-8"));
    assert_eq!(
        wanted_of(&[("impersonate-group", "devs")]).unwrap_err(),
        concat!(
            r#"requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"devs"}, "#,
            r#"Extra:map[string][]string(nil)} without impersonating a user name"#
        )
    );
}

#[test]
fn the_old_verb_allows_each_thing_that_is_asked_for_and_no_other() {
    let authorizer = authorizer(&[
        ("alice", &["impersonate"], "", &["users"], &["bob"]),
        ("alice", &["impersonate"], "", &["groups"], &["devs"]),
        ("alice", &["impersonate"], "authentication.k8s.io", &["uids", "userextras/team"], &["u1", "red"]),
        ("alice", &["impersonate"], "", &["serviceaccounts"], &["builder"]),
    ]);
    let alice = User::new("alice", &["system:authenticated"]);
    let ask = |wanted: &User| impersonate(&authorizer, &alice, wanted, &list());
    let mut bob = User { uid: "u1".to_owned(), ..User::new("bob", &["devs"]) };
    bob.extra.insert("team".to_owned(), vec!["red".to_owned()]);
    let found = ask(&bob).unwrap();
    assert_eq!((found.user.groups.join(" "), found.constraint), ("devs system:authenticated".to_owned(), ""));
    let account = User::new("system:serviceaccount:shop:builder", &[]);
    let groups = ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"];
    assert_eq!(ask(&account).unwrap().user.groups, groups);
    for wanted in [
        User::new("carol", &[]),
        User::new("bob", &["system:masters"]),
        User { uid: "u2".to_owned(), ..User::new("bob", &[]) },
        User::new("system:serviceaccount:shop:admin", &[]),
        User::new("system:node:n1", &[]),
    ] {
        assert_eq!(ask(&wanted).unwrap_err().code, 403, "{wanted:?}");
    }
}

#[test]
fn the_refusal_is_that_of_the_first_way_that_was_tried() {
    let authorizer = Authorizer::default();
    let alice = User::new("alice", &[]);
    for (name, verb) in [
        ("bob", "impersonate-on:user-info:list"),
        ("system:node:n1", "impersonate-on:arbitrary-node:list"),
        ("system:serviceaccount:a:b", "impersonate-on:serviceaccount:list"),
    ] {
        let status = impersonate(&authorizer, &alice, &User::new(name, &[]), &list()).unwrap_err();
        let expected = format!(
            r#"pods is forbidden: User "alice" cannot {verb} resource "pods" in API group "" in the namespace "shop""#
        );
        assert_eq!(status.message, expected);
    }
}

#[test]
fn who_may_act_as_the_user_by_the_old_verb_is_told_what_else_it_lacks() {
    let authorizer = authorizer(&[("alice", &["impersonate"], "", &["users"], &["bob"])]);
    let mut bob = User::new("bob", &[]);
    bob.extra.insert("team".to_owned(), vec!["blue".to_owned()]);
    let refused = impersonate(&authorizer, &User::new("alice", &[]), &bob, &list()).unwrap_err();
    assert_eq!(
        refused.message,
        concat!(
            r#"userextras.authentication.k8s.io "blue" is forbidden: User "alice" cannot impersonate resource "#,
            r#""userextras/team" in API group "authentication.k8s.io" at the cluster scope"#
        )
    );
}

#[test]
fn a_constrained_way_needs_leave_for_the_user_and_for_the_deed() {
    let leave: [Leave; 2] = [
        ("alice", &["impersonate:user-info"], "authentication.k8s.io", &["users", "groups"], &[]),
        ("alice", &["impersonate-on:user-info:list"], "", &["pods"], &[]),
    ];
    let alice = User::new("alice", &[]);
    let both = authorizer(&leave);
    let bob = User::new("bob", &["devs"]);
    let found = impersonate(&both, &alice, &bob, &list()).unwrap();
    assert_eq!(found.constraint, "impersonate:user-info");
    assert_eq!(found.user.groups, ["devs", "system:authenticated"]);
    let delete = Attributes { verb: "delete", ..list() };
    assert!(impersonate(&both, &alice, &bob, &delete).is_err(), "listing does not give deleting");
    for one in [&leave[..1], &leave[1..]] {
        assert!(impersonate(&authorizer(one), &alice, &bob, &list()).is_err());
    }
    for (group, why) in [("system:masters", "system:masters group"), ("", "empty string group")] {
        let status = impersonate(&both, &alice, &User::new("bob", &[group]), &list()).unwrap_err();
        assert!(
            status.message.ends_with(&format!("impersonating the {why} is not allowed")),
            "{}",
            status.message
        );
    }
}

#[test]
fn an_agent_acts_as_its_own_node_and_as_no_other() {
    let agent = "system:serviceaccount:kube-system:agent";
    let authorizer = authorizer(&[
        (agent, &["impersonate:associated-node"], "authentication.k8s.io", &["nodes"], &["*"]),
        (agent, &["impersonate-on:associated-node:list"], "", &["pods"], &[]),
    ]);
    let mut user = User::new(agent, &[]);
    user.extra.insert(EXTRA_NODE_NAME.to_owned(), vec!["n1".to_owned()]);
    let found = impersonate(&authorizer, &user, &User::new("system:node:n1", &[]), &list()).unwrap();
    assert_eq!(found.user.groups, ["system:nodes", "system:authenticated"]);
    assert_eq!(found.user.node_name(), Some("n1"));
    assert!(impersonate(&authorizer, &user, &User::new("system:node:n2", &[]), &list()).is_err());
}

#[test]
fn masters_may_act_as_anybody_and_the_anonymous_stay_unauthenticated() {
    let authorizer = Authorizer::default();
    let root = User::new("root", &[MASTERS]);
    let found = impersonate(&authorizer, &root, &User::new(ANONYMOUS, &[]), &list()).unwrap();
    assert_eq!(found.user.groups, [UNAUTHENTICATED]);
    let found = impersonate(&authorizer, &root, &User::new("bob", &[MASTERS]), &list()).unwrap();
    assert_eq!((found.constraint, found.user.is_in(MASTERS)), ("", true));
}

#[test]
fn extras_of_a_constrained_way_have_a_form() {
    let of = |key: &str, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        check_extra_form(&BTreeMap::from([(key.to_owned(), values)]))
    };
    assert_eq!(of("acme.io/team", &["red"]), Ok(()));
    for (key, values, expected) in [
        ("", &["x"][..], "impersonating the empty string key in extra is not allowed"),
        (
            "team",
            &["x"],
            concat!(
                r#"impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "team": "#,
                r#"must be a domain-prefixed path (such as "acme.io/foo")"#
            ),
        ),
        (
            "acme.io/Team",
            &["x"],
            r#"impersonating a non-lowercase key in extra is not allowed: "acme.io/Team""#,
        ),
        ("acme.io/team", &[], "impersonating empty values in extra is not allowed"),
        ("acme.io/team", &[""], "impersonating the empty string value in extra is not allowed"),
    ] {
        assert_eq!(of(key, values), Err(expected.to_owned()));
    }
}

/// What upstream was heard to say to each of these.
#[test]
fn the_words_of_each_refusal_are_upstream_s() {
    let auth = "authentication.k8s.io";
    let authorizer = authorizer(&[
        ("alice", &["impersonate:user-info"], auth, &["users", "groups"], &["bob", "devs"]),
        ("alice", &["impersonate:user-info"], auth, &["userextras/acme.io/team"], &["red"]),
        ("alice", &["impersonate-on:user-info:create"], auth, &["selfsubjectreviews"], &[]),
        ("alice", &["impersonate:serviceaccount"], auth, &["serviceaccounts"], &["x"]),
        ("alice", &["impersonate-on:serviceaccount:create"], auth, &["selfsubjectreviews"], &[]),
    ]);
    let alice = User::new("alice", &["system:authenticated"]);
    let asked = Attributes::resource("create", auth, "selfsubjectreviews");
    let extra = |key: &str, value: &str| {
        let mut bob = User::new("bob", &[]);
        bob.extra.insert(key.to_owned(), vec![value.to_owned()]);
        bob
    };
    let of = |what: &str, verb: &str, resource: &str, group: &str| {
        format!(
            r#"{what} is forbidden: User "alice" cannot {verb} resource "{resource}" in API group "{group}""#
        )
    };
    let info = |what: &str, resource: &str| {
        of(what, "impersonate:user-info", resource, auth) + " at the cluster scope"
    };
    for (wanted, expected) in [
        (
            User::new("bob", &["system:masters"]),
            info(r#"groups.authentication.k8s.io "system:masters""#, "groups")
                + ": impersonating the system:masters group is not allowed",
        ),
        (
            User::new("bob", &[""]),
            info("groups.authentication.k8s.io", "groups")
                + ": impersonating the empty string group is not allowed",
        ),
        (
            User::new("bob", &["devs", "devs", "devs", "ops"]),
            info(r#"groups.authentication.k8s.io "ops""#, "groups"),
        ),
        (User::new("carl", &[]), info(r#"users.authentication.k8s.io "carl""#, "users")),
        (
            User { uid: "7".to_owned(), ..User::new("bob", &[]) },
            info(r#"uids.authentication.k8s.io "7""#, "uids"),
        ),
        (
            extra("acme.io/team", "blue"),
            info(r#"userextras.authentication.k8s.io "blue""#, "userextras/acme.io/team"),
        ),
        (
            extra("acme.io/te am", "red"),
            info("userextras.authentication.k8s.io", "userextras")
                + r#": impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "te am": "#
                + r"Invalid path (regex used for validation is '[A-Za-z0-9/\-._~%!$&'()*+,;=:]+')",
        ),
        (
            User::new("system:serviceaccount:d:y", &[]),
            of(
                r#"serviceaccounts.authentication.k8s.io "y""#,
                "impersonate:serviceaccount",
                "serviceaccounts",
                auth,
            ) + r#" in the namespace "d""#,
        ),
        (
            User::new("system:serviceaccount:d:x", &["devs"]),
            of(r#"serviceaccounts "x""#, "impersonate", "serviceaccounts", "") + r#" in the namespace "d""#,
        ),
        (
            User::new("system:node:n1", &[]),
            of(
                "selfsubjectreviews.authentication.k8s.io",
                "impersonate-on:arbitrary-node:create",
                "selfsubjectreviews",
                auth,
            ) + " at the cluster scope",
        ),
    ] {
        let refused = impersonate(&authorizer, &alice, &wanted, &asked).unwrap_err();
        assert_eq!(refused.message, expected, "{wanted:?}");
    }
    for (wanted, groups) in [
        (User::new("bob", &["devs"]), "devs system:authenticated"),
        (extra("acme.io/team", "red"), "system:authenticated"),
        (
            User::new("system:serviceaccount:d:x", &[]),
            "system:serviceaccounts system:serviceaccounts:d system:authenticated",
        ),
    ] {
        assert_eq!(impersonate(&authorizer, &alice, &wanted, &asked).unwrap().user.groups.join(" "), groups);
    }
}
