//! What must hold whatever the objects are: indexes say what a look at every object would
//! say, reconciling ends, and nothing that a client may send makes anything panic.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ring::rand::SystemRandom;
use serde_json::{Value, json};

use crate::admission::{self, Operation, Request, World};
use crate::bootstrap::{Change, reconcile};
use crate::fixture::{Objects, at, issuer};
use crate::lookups::What;
use crate::node::{NodeAuthorizer, NodeKind};
use crate::rbac::{Policy, RbacKind, RoleRef, Rule, escalation};
use crate::token::request::Ask;
use crate::user::service_account_name;
use crate::{Attributes, Authorizer, User, authenticate, impersonate, review};

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

fn names(words: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(one_of(words), 0..=most)
}

const VERBS: &[&str] = &["get", "list", "*"];
const RESOURCES: &[&str] = &["pods", "pods/log", "*/log", "secrets", "*"];
const NAMES: &[&str] = &["a", "b"];

/// On resources or on paths: no object has both.
fn rule() -> impl Strategy<Value = Value> {
    let resources = (names(VERBS, 2), names(&["", "apps", "*"], 2), names(RESOURCES, 2), names(NAMES, 1));
    prop_oneof![
        resources.prop_map(|(verbs, groups, resources, names)| {
            json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "resourceNames": names})
        }),
        (names(VERBS, 2), names(&["/healthz", "/api/*", "*"], 2))
            .prop_map(|(verbs, paths)| json!({"verbs": verbs, "nonResourceURLs": paths})),
    ]
}

fn subject() -> impl Strategy<Value = Value> {
    let kind = one_of(&["User", "Group", "ServiceAccount", "Robot"]);
    (kind, one_of(NAMES), one_of(&["", "n", "m"]))
        .prop_map(|(kind, name, namespace)| json!({"kind": kind, "name": name, "namespace": namespace}))
}

/// A change of the policy: a role or binding put, or removed.
fn policy_event() -> impl Strategy<Value = (RbacKind, bool, Value)> {
    let kind = prop::sample::select(vec![
        RbacKind::Role,
        RbacKind::ClusterRole,
        RbacKind::RoleBinding,
        RbacKind::ClusterRoleBinding,
    ]);
    let rules = prop::collection::vec(rule(), 0..3);
    let subjects = prop::collection::vec(subject(), 0..3);
    let role = (one_of(&["Role", "ClusterRole", "Odd"]), one_of(NAMES));
    (kind, any::<bool>(), one_of(NAMES), one_of(&["n", "m"]), rules, subjects, role).prop_map(
        |(kind, keep, name, namespace, rules, subjects, role)| {
            let local = matches!(kind, RbacKind::Role | RbacKind::RoleBinding);
            let namespace = if local { namespace } else { "" };
            let object = json!({
                "metadata": {"name": name, "namespace": namespace}, "rules": rules, "subjects": subjects,
                "roleRef": {"kind": role.0, "name": role.1},
            });
            (kind, keep, object)
        },
    )
}

/// Upstream's way: every binding is looked at.
fn naive(objects: &BTreeMap<(u8, String, String), Value>, user: &User, asked: &Attributes) -> bool {
    let applies = |subject: &Value, namespace: &str| {
        let text = |field: &str| subject[field].as_str().unwrap();
        let own = if text("namespace").is_empty() { namespace } else { text("namespace") };
        match text("kind") {
            "User" => user.name == text("name"),
            "Group" => user.is_in(text("name")),
            "ServiceAccount" => !own.is_empty() && user.name == service_account_name(own, text("name")),
            _ => false,
        }
    };
    objects.iter().any(|((kind, namespace, _), binding)| {
        let here = match kind {
            2 => namespace == asked.namespace && !asked.namespace.is_empty(),
            3 => true,
            _ => return false,
        };
        let mut subjects = binding["subjects"].as_array().unwrap().iter();
        if !here || !subjects.any(|subject| applies(subject, namespace)) {
            return false;
        }
        let role = RoleRef::from_value(&binding["roleRef"]);
        let key = match role.kind.as_str() {
            "Role" => (0, namespace.clone(), role.name),
            "ClusterRole" => (1, String::new(), role.name),
            _ => return false,
        };
        let rules =
            objects.get(&key).map(|role| role["rules"].as_array().unwrap().clone()).unwrap_or_default();
        rules.iter().any(|rule| Rule::from_value(rule).allows(asked))
    })
}

fn ordinal(kind: RbacKind) -> u8 {
    match kind {
        RbacKind::Role => 0,
        RbacKind::ClusterRole => 1,
        RbacKind::RoleBinding => 2,
        RbacKind::ClusterRoleBinding => 3,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn the_policy_s_index_says_what_a_look_at_every_binding_says(
        events in prop::collection::vec(policy_event(), 0..16),
    ) {
        let (mut policy, mut objects) = (Policy::new(), BTreeMap::new());
        for (kind, keep, object) in events {
            let text = |field: &str| object["metadata"][field].as_str().unwrap().to_owned();
            let key = (ordinal(kind), text("namespace"), text("name"));
            if keep {
                policy.put(kind, &object);
                objects.insert(key, object);
            } else {
                policy.remove(kind, &key.1, &key.2);
                objects.remove(&key);
            }
        }
        for name in ["a", "b", "system:serviceaccount:n:a"] {
            let user = User::new(name, &["b"]);
            for namespace in ["", "n", "m"] {
                for (resource, part) in [("pods", ""), ("pods", "log"), ("secrets", "")] {
                    let asked = Attributes::resource("get", "", resource).within(namespace).named("a").part(part);
                    let found = policy.decide(&user, &asked).is_allowed();
                    prop_assert_eq!(found, naive(&objects, &user, &asked), "{} {:?}", name, asked);
                }
                let asked = Attributes { namespace, ..Attributes::path("get", "/api/x") };
                prop_assert_eq!(policy.decide(&user, &asked).is_allowed(), naive(&objects, &user, &asked));
            }
        }
    }

    #[test]
    fn a_rule_covers_each_of_its_atoms_and_what_is_covered_is_allowed(first in rule(), second in rule()) {
        let (first, second) = (Rule::from_value(&first), Rule::from_value(&second));
        prop_assert!(first.atoms().iter().all(|atom| first.covers(atom)));
        for atom in second.atoms().iter().filter(|atom| first.covers(atom)) {
            for (resource, part) in [("pods", ""), ("pods", "log"), ("secrets", "")] {
                let asked = Attributes::resource("get", "apps", resource).named("a").part(part);
                prop_assert!(!atom.allows(&asked) || first.allows(&asked), "{:?} {:?}", atom, asked);
            }
        }
    }

    #[test]
    fn reconciling_adds_all_that_is_wanted_and_then_has_nothing_to_do(
        own in prop::collection::vec(rule(), 0..4),
        wanted in prop::collection::vec(rule(), 0..4),
    ) {
        let role = |rules: &[Value]| json!({"metadata": {"name": "r"}, "rules": rules});
        let (existing, wanted) = (role(&own), role(&wanted));
        let after = match reconcile(Some(&existing), &wanted) {
            Change::Nothing => existing,
            Change::Update(after) => after,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(reconcile(Some(&after), &wanted), Change::Nothing);
        let rules = |role: &Value| -> Vec<Rule> {
            role["rules"].as_array().unwrap().iter().map(Rule::from_value).collect()
        };
        let held = rules(&after);
        for atom in rules(&wanted).iter().flat_map(Rule::atoms) {
            prop_assert!(held.iter().any(|rule| rule.covers(&atom)));
        }
    }

    #[test]
    fn a_node_reaches_what_its_pods_refer_to_after_any_history(
        events in prop::collection::vec(
            (any::<bool>(), one_of(&["p", "q", "r"]), one_of(&["", "n1", "n2"]), names(&["s", "t"], 2)), 0..20),
    ) {
        let (mut nodes, mut pods) = (NodeAuthorizer::default(), BTreeMap::new());
        for (keep, name, node, secrets) in events {
            if !keep {
                nodes.graph.remove(NodeKind::Pod, "x", name);
                pods.remove(name);
                continue;
            }
            let pull: Vec<Value> = secrets.iter().map(|secret| json!({"name": secret})).collect();
            let spec = json!({"nodeName": node, "imagePullSecrets": pull});
            nodes.graph.put(NodeKind::Pod, &json!({"metadata": {"namespace": "x", "name": name}, "spec": spec}));
            // A pod without a node is none yet; one that had a node does not lose it.
            if !node.is_empty() {
                pods.insert(name, (node, secrets));
            }
        }
        let mut wanted = BTreeSet::new();
        for (node, secrets) in pods.values() {
            wanted.extend(secrets.iter().map(|secret| (*node, *secret)));
        }
        for node in ["n1", "n2"] {
            let user = User::new(&format!("system:node:{node}"), &["system:nodes"]);
            for secret in ["s", "t"] {
                let asked = Attributes::resource("get", "", "secrets").within("x").named(secret);
                prop_assert_eq!(nodes.decide(&user, &asked).is_allowed(), wanted.contains(&(node, secret)));
            }
        }
    }

    #[test]
    fn no_token_but_the_one_that_was_signed_is_taken(place in 0..400_usize, with in "[A-Za-z0-9._-]") {
        let issuer = issuer();
        let account = json!({"metadata": {"namespace": "x", "name": "a", "uid": "u"}});
        let objects = Objects::of(&[(What::ServiceAccount, account)]);
        let ask = Ask { namespace: "x", account: "a", request: &json!({}), id: "j", now: at(0) };
        let granted = issuer.request(&ask, &objects, &SystemRandom::new()).unwrap();
        let token = granted.object["status"]["token"].as_str().unwrap();
        prop_assert!(issuer.verify(token, &[], at(0), &objects).is_ok());
        let place = place % token.len();
        let changed = format!("{}{with}{}", &token[..place], &token[place + 1..]);
        // The last symbol of each part has bits that nothing is said by.
        let same = changed == token || token[place + 1..].starts_with('.') || place + 1 == token.len();
        prop_assert!(same || issuer.verify(&changed, &[], at(0), &objects).is_err());
    }
}

/// Any JSON, of words that mean something somewhere.
fn anything() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "metadata",
        "spec",
        "status",
        "name",
        "namespace",
        "labels",
        "annotations",
        "ownerReferences",
        "kind",
        "nodeName",
        "volumes",
        "containers",
        "env",
        "envFrom",
        "valueFrom",
        "secretKeyRef",
        "projected",
        "sources",
        "serviceAccountToken",
        "serviceAccountName",
        "imagePullSecrets",
        "tolerations",
        "taints",
        "priority",
        "priorityClassName",
        "roleRef",
        "rules",
        "subjects",
        "resourceAttributes",
        "fieldSelector",
        "requirements",
        "boundObjectRef",
        "audiences",
        "expirationSeconds",
        "signerName",
        "request",
        "extra",
        "groups",
        "Pod",
        "v1",
        "kubernetes.io/config.mirror",
        "aggregationRule",
        "a=b,c",
        "default",
        "n1",
        "claimRef",
        "csi",
        "apiVersion",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        one_of(WORDS).prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((one_of(WORDS), inner), 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    #[test]
    fn nothing_that_may_be_sent_makes_anything_panic(
        object in anything(),
        old in anything(),
        operation in prop::sample::select(vec![
            Operation::Create, Operation::Update, Operation::Delete, Operation::Connect]),
    ) {
        let (mut authorizer, issuer) = (Authorizer::default(), issuer());
        let mut objects = Objects::default();
        for what in [What::Namespace, What::ServiceAccount, What::Pod, What::PriorityClass] {
            objects.put(what, old.clone());
        }
        for kind in [RbacKind::Role, RbacKind::ClusterRole, RbacKind::RoleBinding, RbacKind::ClusterRoleBinding] {
            authorizer.policy.put(kind, &object);
        }
        for kind in [
            NodeKind::Pod, NodeKind::PersistentVolume, NodeKind::VolumeAttachment,
            NodeKind::ResourceSlice, NodeKind::PodCertificateRequest,
        ] {
            authorizer.nodes.graph.put(kind, &object);
        }
        let node = User::new("system:node:n1", &["system:nodes"]);
        let alice = User::new("alice", &[]);
        for user in [&node, &alice] {
            for (group, resource, subresource) in [
                ("", "pods", ""), ("", "pods", "status"), ("", "pods", "eviction"), ("", "pods", "ephemeralcontainers"),
                ("", "nodes", ""), ("", "namespaces", ""), ("", "persistentvolumeclaims", "status"),
                ("", "serviceaccounts", "token"), ("scheduling.k8s.io", "priorityclasses", ""),
                ("certificates.k8s.io", "certificatesigningrequests", ""),
                ("certificates.k8s.io", "podcertificaterequests", ""), ("storage.k8s.io", "csinodes", ""),
                ("resource.k8s.io", "resourceslices", ""), ("rbac.authorization.k8s.io", "roles", ""),
                ("rbac.authorization.k8s.io", "rolebindings", ""),
            ] {
                let request = Request {
                    user, operation, group, version: "v1", resource, subresource, namespace: "default",
                    name: "n1", old: Some(&old), dry_run: false, random: 7,
                };
                let world = World { objects: &objects, authorizer: &authorizer };
                let mut changed = object.clone();
                let _ = admission::mutate(&request, &mut changed, &world);
                let _ = admission::validate(&request, &changed, &world);
            }
            let write = escalation::Write {
                kind: RbacKind::RoleBinding, namespace: "default", name: "", object: &object, old: Some(&old),
            };
            let _ = escalation::check(&authorizer, user, write);
            let _ = review::subject_access(&authorizer, object.clone());
            let _ = review::local_subject_access(&authorizer, "default", object.clone());
            let _ = review::self_subject_access(&authorizer, user, object.clone());
            let _ = review::self_subject_rules(&authorizer, user, object.clone());
            let _ = review::self_subject(user, object.clone(), at(0));
        }
        let _ = review::token(&issuer, object.clone(), at(0), &objects);
        let ask = Ask { namespace: "default", account: "n1", request: &object, id: "j", now: at(0) };
        let _ = issuer.request(&ask, &objects, &SystemRandom::new());
        let _ = reconcile(Some(&object), &old);
    }

    #[test]
    fn nor_do_headers_and_bytes(text in ".{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let objects = Objects::default();
        let _ = authenticate::bearer::of_header(&text);
        let _ = authenticate::bearer::of_protocols([text.as_str()].into_iter());
        let _ = authenticate::certificate::user(&bytes);
        let _ = issuer().verify(&text, &[], at(0), &objects);
        let name = format!("impersonate-extra-{text}");
        let headers = [("impersonate-user", text.as_str()), (name.as_str(), "x"), ("impersonate-group", "g")];
        if let Ok(Some(wanted)) = impersonate::wanted(headers.into_iter()) {
            let alice = User::new("alice", &[]);
            let _ = impersonate::impersonate(&Authorizer::default(), &alice, &wanted, &Attributes::path("get", &text));
        }
    }
}
