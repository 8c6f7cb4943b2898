//! Every door, tried by everybody: the whole chain from evidence to decision, over the
//! default policy as a new cluster has it.

use ring::rand::SystemRandom;
use serde_json::{Value, json};

use crate::authenticate::{Evidence, authenticate};
use crate::bootstrap::rbac;
use crate::fixture::{Objects, at, issuer, key};
use crate::impersonate::impersonate;
use crate::lookups::What;
use crate::node::NodeKind;
use crate::rbac::RbacKind;
use crate::token::{Bound, Claims, Issuer, KeySet, Reference};
use crate::{Attributes, Authorizer, FieldRequirement, User};

/// The default policy, aggregated roles filled as their controller fills them.
fn default_policy(authorizer: &mut Authorizer) {
    let mut objects = rbac();
    // Roles are gathered from gathered ones: as often as there are levels.
    for _ in 0..3 {
        let all = objects.clone();
        for (_, role) in &mut objects {
            let Some(selectors) = role.pointer("/aggregationRule/clusterRoleSelectors/0/matchLabels") else {
                continue;
            };
            let wanted = |other: &Value| {
                let mut labels = selectors.as_object().unwrap().iter();
                labels.all(|(label, value)| other["metadata"]["labels"].get(label) == Some(value))
            };
            let parts = all
                .iter()
                .filter(|(_, other)| wanted(other) && other["metadata"]["name"] != role["metadata"]["name"]);
            let rules: Vec<Value> =
                parts.flat_map(|(_, other)| other["rules"].as_array().cloned().unwrap_or_default()).collect();
            role["rules"] = Value::Array(rules);
        }
    }
    for (kind, object) in &objects {
        authorizer.policy.put(*kind, object);
    }
}

fn bind(name: &str, role: &str, subject: Value) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    })
}

fn authorizer() -> Authorizer {
    let mut authorizer = Authorizer::default();
    default_policy(&mut authorizer);
    let user = |name: &str| json!({"kind": "User", "name": name});
    let account = json!({"kind": "ServiceAccount", "name": "builder"});
    let impersonator = json!({
        "metadata": {"name": "impersonator"},
        "rules": [{"verbs": ["impersonate"], "apiGroups": [""], "resources": ["users"], "resourceNames": ["ann"]}],
    });
    authorizer.policy.put(RbacKind::ClusterRole, &impersonator);
    authorizer.policy.put(RbacKind::RoleBinding, &bind("view", "view", account));
    authorizer.policy.put(RbacKind::RoleBinding, &bind("admin", "admin", user("ann")));
    let mut everywhere = bind("imp", "impersonator", user("ike"));
    everywhere["metadata"] = json!({"name": "imp"});
    authorizer.policy.put(RbacKind::ClusterRoleBinding, &everywhere);
    for (name, node, secret) in [("web", "n1", "web-key"), ("db", "n2", "db-key")] {
        let spec =
            json!({"nodeName": node, "serviceAccountName": name, "imagePullSecrets": [{"name": secret}]});
        let pod = json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec});
        authorizer.nodes.graph.put(NodeKind::Pod, &pod);
    }
    authorizer
}

/// Who tries, in the order of the table's columns.
fn everybody() -> [User; 7] {
    let groups = ["system:authenticated"];
    let account = ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"];
    [
        User::anonymous(),
        User::new("alice", &groups),
        User::new("system:node:n1", &["system:nodes", "system:authenticated"]),
        User::new("system:serviceaccount:shop:builder", &account),
        User::new("ann", &groups),
        User::new("ike", &groups),
        User::new("root", &["system:masters", "system:authenticated"]),
    ]
}

#[test]
fn each_door_opens_for_whom_it_should() {
    let authorizer = authorizer();
    let own = [FieldRequirement { field: "spec.nodeName".to_owned(), equal: true, value: "n1".to_owned() }];
    let core = |verb, resource| Attributes::resource(verb, "", resource).within("shop");
    let of = |verb, group, resource| Attributes::resource(verb, group, resource).within("shop");
    let wide = Attributes::resource;
    let rbac = "rbac.authorization.k8s.io";
    let certificates = "certificates.k8s.io";
    // Columns: anonymous, alice (no role), node n1, account builder (view), ann (admin in
    // shop), ike (may act as ann), root (system:masters).
    for (asked, expected) in [
        (core("get", "pods").named("web"), "..nva.m"),
        (core("get", "pods").named("db"), "...va.m"),
        (core("list", "pods"), "...va.m"),
        (Attributes { field_selector: &own, ..wide("list", "", "pods") }, "..n...m"),
        (core("create", "pods"), "..n.a.m"),
        (core("delete", "pods").named("db"), "..n.a.m"),
        (core("create", "pods").part("exec").named("web"), "....a.m"),
        (core("get", "pods").part("log").named("web"), "...va.m"),
        (core("update", "pods").part("status").named("web"), "..n...m"),
        (core("create", "pods").part("binding").named("web"), "......m"),
        (core("create", "pods").part("eviction").named("web"), "..n.a.m"),
        (wide("list", "", "pods"), "......m"),
        (wide("list", "", "pods").within("other"), "......m"),
        (core("get", "secrets").named("web-key"), "..n.a.m"),
        (core("get", "secrets").named("db-key"), "....a.m"),
        (core("list", "secrets"), "....a.m"),
        (core("watch", "secrets").named("web-key"), "..n.a.m"),
        (core("delete", "secrets").named("web-key"), "....a.m"),
        (wide("get", "", "secrets").within("kube-system").named("x"), "......m"),
        (core("create", "serviceaccounts").part("token").named("web"), "..n.a.m"),
        (core("create", "serviceaccounts").part("token").named("db"), "....a.m"),
        (core("impersonate", "serviceaccounts").named("web"), "....a.m"),
        (of("create", "apps", "deployments"), "....a.m"),
        (of("list", "apps", "deployments"), "...va.m"),
        (of("patch", "apps", "deployments").part("scale").named("web"), "....a.m"),
        (of("create", rbac, "rolebindings"), "....a.m"),
        (of("bind", rbac, "clusterroles").named("cluster-admin"), "......m"),
        (of("escalate", rbac, "roles").named("x"), "......m"),
        (wide("create", rbac, "clusterrolebindings"), "......m"),
        (wide("list", rbac, "clusterroles"), "......m"),
        (wide("get", "", "nodes").named("n1"), "..n...m"),
        (wide("get", "", "nodes").named("n2"), "......m"),
        (wide("list", "", "nodes"), "......m"),
        (wide("delete", "", "nodes").named("n1"), "......m"),
        (wide("get", "", "nodes").part("proxy").named("n1"), "......m"),
        (wide("update", "coordination.k8s.io", "leases").within("kube-node-lease").named("n1"), "..n...m"),
        (wide("update", "coordination.k8s.io", "leases").within("kube-node-lease").named("n2"), "......m"),
        (wide("create", certificates, "certificatesigningrequests"), "..n...m"),
        (wide("update", certificates, "certificatesigningrequests").part("approval").named("c"), "......m"),
        (wide("get", "", "namespaces").within("shop").named("shop"), "...va.m"),
        (wide("delete", "", "namespaces").within("shop").named("shop"), "......m"),
        (wide("impersonate", "", "users").named("ann"), ".....im"),
        (wide("impersonate", "", "users").named("root"), "......m"),
        (wide("impersonate", "", "groups").named("system:masters"), "......m"),
        (wide("create", "authentication.k8s.io", "tokenreviews"), "..n...m"),
        (wide("create", "authorization.k8s.io", "subjectaccessreviews"), "..n...m"),
        (of("create", "authorization.k8s.io", "localsubjectaccessreviews"), "..n.a.m"),
        (wide("create", "authorization.k8s.io", "selfsubjectaccessreviews"), ".lnvaim"),
        (Attributes::path("get", "/healthz"), "slnvaim"),
        (Attributes::path("get", "/version"), "slnvaim"),
        (Attributes::path("get", "/api"), ".lnvaim"),
        (Attributes::path("get", "/openapi/v3"), ".lnvaim"),
        (Attributes::path("get", "/metrics"), "......m"),
        (Attributes::path("get", "/debug/pprof"), "......m"),
        (Attributes::path("get", "/openid/v1/jwks"), "...v..m"),
        (Attributes::path("post", "/healthz"), "......m"),
    ] {
        let everybody = everybody();
        let marks = everybody.iter().zip("slnvaim".chars());
        let marks = marks.map(|(user, mark)| match authorizer.decide(user, &asked).is_allowed() {
            true => mark,
            false => '.',
        });
        assert_eq!(marks.collect::<String>(), expected, "{asked:?}");
    }
}

#[test]
fn acting_as_another_gives_the_other_s_leave_and_no_more() {
    let authorizer = authorizer();
    let [_, alice, node, account, _, ike, root] = everybody();
    let ask = Attributes::resource("create", "", "pods").within("shop");
    let ann = User::new("ann", &[]);
    let found = impersonate(&authorizer, &ike, &ann, &ask).unwrap();
    assert!(authorizer.decide(&found.user, &ask).is_allowed());
    assert!(!authorizer.decide(&found.user, &Attributes::resource("list", "", "nodes")).is_allowed());
    let masters = User::new("ann", &["system:masters"]);
    for (who, whom, allowed) in [
        (&ike, &masters, false),
        (&ike, &User::new("root", &[]), false),
        (&ike, &User { uid: "u".to_owned(), ..User::new("ann", &[]) }, false),
        (&alice, &ann, false),
        (&node, &User::new("system:node:n2", &["system:nodes"]), false),
        (&account, &User::new("system:serviceaccount:shop:default", &[]), false),
        (&root, &masters, true),
    ] {
        let found = impersonate(&authorizer, who, whom, &ask);
        assert_eq!(found.is_ok(), allowed, "{} as {whom:?}", who.name);
    }
}

fn account() -> Value {
    json!({"metadata": {"namespace": "shop", "name": "builder", "uid": "u1"}})
}

fn token(issuer: &Issuer, change: impl Fn(&mut Claims)) -> String {
    let reference = Reference { name: "builder".to_owned(), uid: "u1".to_owned() };
    let mut claims = Claims::new("shop", reference, at(0), 3600);
    claims.issuer.clone_from(&issuer.url);
    claims.audiences.clone_from(&issuer.audiences);
    change(&mut claims);
    issuer.sign(&claims, &SystemRandom::new()).unwrap()
}

#[test]
fn a_token_opens_its_account_s_doors_while_all_it_speaks_of_is_so() {
    let (issuer, authorizer) = (issuer(), authorizer());
    let stranger = Issuer::new(&issuer.url, KeySet::new(key(), Vec::new()));
    let pod = json!({"metadata": {"namespace": "shop", "name": "web", "uid": "u-web"}});
    let here = || Objects::of(&[(What::ServiceAccount, account()), (What::Pod, pod.clone())]);
    let without = |what, name| {
        let mut objects = here();
        objects.remove(what, "shop", name);
        objects
    };
    let bound = |claims: &mut Claims| {
        claims.bound = Bound::Pod(Reference { name: "web".to_owned(), uid: "u-web".to_owned() }, None);
    };
    let plain = token(&issuer, |_| ());
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", plain.split('.').nth(1).unwrap());
    let of_other_uid = token(&issuer, |claims| claims.account.uid = "u0".to_owned());
    let other_audience = token(&issuer, |claims| claims.audiences = vec!["vault".to_owned()]);
    let list = Attributes::resource("list", "", "pods").within("shop");
    for (what, token, objects, second, opens) in [
        ("a good one", plain.clone(), here(), 0, true),
        ("one of a pod", token(&issuer, bound), here(), 0, true),
        ("an expired one", plain.clone(), here(), 3700, false),
        ("one from the future", plain.clone(), here(), -3600, false),
        ("one of a deleted account", plain.clone(), without(What::ServiceAccount, "builder"), 0, false),
        ("one of an account made anew", of_other_uid, here(), 0, false),
        ("one of a deleted pod", token(&issuer, bound), without(What::Pod, "web"), 0, false),
        ("one for others", other_audience, here(), 0, false),
        ("one by a stranger", self::token(&stranger, |_| ()), here(), 0, false),
        ("one without a signature", unsigned, here(), 0, false),
        ("none at all", String::new(), here(), 0, false),
    ] {
        let evidence =
            Evidence { token: Some(&token), path: "/api/v1/namespaces/shop/pods", certificate: None };
        let found = authenticate(evidence, &issuer, at(second), &objects);
        let found = found.is_ok_and(|found| authorizer.decide(&found.user, &list).is_allowed());
        assert_eq!(found, opens, "{what}");
    }
}
