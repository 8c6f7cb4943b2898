use api::status::Status;
use ring::rand::SystemRandom;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{Objects, at, issuer};
use crate::lookups::What;
use crate::rbac::RbacKind;
use crate::token::{Bound, Claims, Reference};
use crate::{Authorizer, User};

fn authorizer() -> Authorizer {
    let mut authorizer = Authorizer::default();
    for (kind, object) in crate::bootstrap::rbac() {
        authorizer.policy.put(kind, &object);
    }
    let lost = |kind: &str, namespace: &str| {
        json!({
            "metadata": {"name": "lost", "namespace": namespace}, "roleRef": {"kind": kind, "name": "gone"},
            "subjects": [{"kind": "User", "name": "carol"}],
        })
    };
    authorizer.policy.put(RbacKind::ClusterRoleBinding, &lost("ClusterRole", ""));
    authorizer.policy.put(RbacKind::RoleBinding, &lost("Role", "default"));
    authorizer
}

fn told(found: Result<Value, Status>) -> String {
    match found {
        Ok(review) => review["status"].to_string(),
        Err(status) => status.message,
    }
}

const LOST: &str = concat!(
    r#"rbac: RBAC: [clusterrole.rbac.authorization.k8s.io \"gone\" not found, "#,
    r#"role.rbac.authorization.k8s.io \"gone\" not found]"#
);

#[test]
fn an_access_review_is_answered_as_upstream_answers() {
    let ask = |spec: Value| told(subject_access(&authorizer(), json!({"spec": spec})));
    let pods = json!({"verb": "get", "resource": "pods", "namespace": "default"});
    let with = |field: &str, selector: Value| {
        let mut pods = pods.clone();
        pods[field] = selector;
        pods
    };
    for (spec, expected) in [
        (
            json!({"user": "u", "groups": ["system:masters"], "resourceAttributes": pods}),
            r#"{"allowed":true}"#.to_owned(),
        ),
        (
            json!({"user": "u", "groups": ["system:authenticated"], "nonResourceAttributes": {"verb": "get", "path": "/api"}}),
            concat!(
                r#"{"allowed":true,"reason":"RBAC: allowed by ClusterRoleBinding \"system:discovery\" of ClusterRole "#,
                r#"\"system:discovery\" to Group \"system:authenticated\""}"#
            )
            .to_owned(),
        ),
        (
            json!({"user": "carol", "resourceAttributes": pods}),
            format!(r#"{{"allowed":false,"reason":"{LOST}"}}"#),
        ),
        (
            json!({"user": "carol", "resourceAttributes": with("fieldSelector", json!({"rawSelector": "a=b,c"}))}),
            format!(
                r#"{{"allowed":false,"reason":"{LOST}","evaluationError":"spec.resourceAttributes.fieldSelector ignored due to parse error"}}"#
            ),
        ),
        (
            json!({}),
            concat!(
                r#".authorization.k8s.io "" is invalid: [spec: Invalid value: null: exactly one of nonResourceAttributes "#,
                r#"or resourceAttributes must be specified, spec.user: Invalid value: "": at least one of user or group "#,
                "must be specified]"
            )
            .to_owned(),
        ),
        (
            json!({"user": "u", "resourceAttributes": pods, "nonResourceAttributes": {"path": "/x", "verb": "get"}}),
            concat!(
                r#".authorization.k8s.io "" is invalid: spec: Invalid value: {"Path":"/x","Verb":"get"}: exactly one of "#,
                "nonResourceAttributes or resourceAttributes must be specified"
            )
            .to_owned(),
        ),
        (
            json!({"user": "u", "resourceAttributes": with("labelSelector", json!({}))}),
            concat!(
                r#".authorization.k8s.io "" is invalid: spec.resourceAttributes.labelSelector.requirements: Required value: "#,
                "when spec.resourceAttributes.labelSelector is specified, requirements or rawSelector is required"
            )
            .to_owned(),
        ),
    ] {
        assert_eq!(ask(spec.clone()), expected, "{spec}");
    }
    let named = json!({"metadata": {"name": "x"}, "spec": {"user": "u", "resourceAttributes": pods}});
    assert_eq!(
        told(subject_access(&authorizer(), named)),
        r#".authorization.k8s.io "" is invalid: metadata: Invalid value: {"name":"x"}: must be empty"#
    );
}

#[test]
fn selectors_of_a_review_are_read_in_both_forms() {
    let node = |selector: Value| {
        let resource = json!({"verb": "list", "resource": "pods", "fieldSelector": selector});
        let spec =
            json!({"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": resource});
        subject_access(&authorizer(), json!({"spec": spec})).unwrap()["status"].clone()
    };
    let requirement = |operator: &str, value: &str| json!({"key": "spec.nodeName", "operator": operator, "values": [value]});
    let several = json!({"requirements": [requirement("In", "n1"), requirement("Near", "x")]});
    for (selector, allowed) in [
        (json!({"rawSelector": "spec.nodeName=n1"}), true),
        (json!({"rawSelector": r"metadata.name!=a\,b,spec.nodeName==n1"}), true),
        (json!({"rawSelector": "spec.nodeName=n2"}), false),
        (json!({"rawSelector": "spec.nodeName!=n1"}), false),
        (json!({"requirements": [requirement("In", "n1")]}), true),
        (json!({"requirements": [requirement("NotIn", "n1")]}), false),
        (several.clone(), true),
    ] {
        assert_eq!(node(selector.clone())["allowed"], allowed, "{selector}");
    }
    let told = &node(several)["evaluationError"];
    assert_eq!(told, "spec.resourceAttributes.fieldSelector partially ignored due to parse error");
}

#[test]
fn a_local_review_is_about_its_namespace() {
    let ask = |object: Value| told(local_subject_access(&authorizer(), "default", object));
    let resource = |namespace: &str| json!({"verb": "get", "resource": "pods", "namespace": namespace});
    assert_eq!(
        ask(json!({"spec": {"user": "u", "resourceAttributes": resource("other")}})),
        concat!(
            r#".authorization.k8s.io "" is invalid: spec.resourceAttributes.namespace: Invalid value: "other": "#,
            "must match metadata.namespace"
        )
    );
    assert_eq!(
        ask(json!({"spec": {"user": "u", "nonResourceAttributes": {"path": "/", "verb": "get"}}})),
        concat!(
            r#".authorization.k8s.io "" is invalid: spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":"get"}: "#,
            "disallowed on this kind of request"
        )
    );
    assert_eq!(
        ask(json!({"metadata": {"namespace": "other"}, "spec": {}})),
        "the namespace of the provided object does not match the namespace sent on the request"
    );
    let found = local_subject_access(
        &authorizer(),
        "default",
        json!({"spec": {"user": "u", "resourceAttributes": resource("default")}}),
    );
    assert_eq!(found.unwrap()["metadata"]["namespace"], "default");
}

#[test]
fn my_own_reviews_are_about_me() {
    let root = User::new("root", &["system:masters"]);
    let spec = json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}});
    assert_eq!(told(self_subject_access(&authorizer(), &root, spec)), r#"{"allowed":true}"#);
    let mut user = User::new("carol", &["system:authenticated"]);
    user.extra.insert("acme.com/team".to_owned(), vec!["red".to_owned()]);
    let review = self_subject(&user, json!({"kind": "SelfSubjectReview"}), at(0));
    assert_eq!(
        review.to_string(),
        concat!(
            r#"{"kind":"SelfSubjectReview","metadata":{"creationTimestamp":"2026-11-24T12:00:00Z"},"status":{"userInfo":"#,
            r#"{"username":"carol","groups":["system:authenticated"],"extra":{"acme.com/team":["red"]}}}}"#
        )
    );
}

#[test]
fn all_that_i_may_do_is_listed_once() {
    let ask = |user: &User, namespace: &str| {
        told(self_subject_rules(&authorizer(), user, json!({"spec": {"namespace": namespace}})))
    };
    let carol = User::new("carol", &["system:authenticated"]);
    let found: Value = serde_json::from_str(&ask(&carol, "default")).unwrap();
    assert_eq!(
        found["resourceRules"].to_string(),
        concat!(
            r#"[{"verbs":["create"],"apiGroups":["authorization.k8s.io"],"resources":["selfsubjectaccessreviews","#,
            r#""selfsubjectrulesreviews"]},{"verbs":["create"],"apiGroups":["authentication.k8s.io"],"#,
            r#""resources":["selfsubjectreviews"]}]"#
        )
    );
    assert_eq!(found["nonResourceRules"].as_array().unwrap().len(), 2);
    assert_eq!(
        found["evaluationError"],
        concat!(
            r#"[clusterrole.rbac.authorization.k8s.io "gone" not found, "#,
            r#"role.rbac.authorization.k8s.io "gone" not found]"#
        )
    );
    assert_eq!(found["incomplete"], false);
    let node: Value =
        serde_json::from_str(&ask(&User::new("system:node:n1", &["system:nodes"]), "default")).unwrap();
    assert_eq!((&node["incomplete"], &node["resourceRules"]), (&json!(true), &json!([])));
    assert_eq!(node["evaluationError"], "node authorizer does not support user rule resolution");
    assert_eq!(ask(&carol, ""), "no namespace on request");
}

#[test]
fn a_token_review_tells_whose_it_is_or_why_it_is_nobody_s() {
    let issuer = issuer();
    let account = json!({"metadata": {"namespace": "shop", "name": "builder", "uid": "u1"}});
    let objects = Objects::of(&[(What::ServiceAccount, account)]);
    let reference = Reference { name: "builder".to_owned(), uid: "u1".to_owned() };
    let claims = Claims {
        issuer: issuer.url.clone(),
        audiences: vec!["vault".to_owned()],
        id: "j1".to_owned(),
        bound: Bound::None,
        ..Claims::new("shop", reference, at(0), 600)
    };
    let good = issuer.sign(&claims, &SystemRandom::new()).unwrap();
    let ask = |spec: Value, second: i64| told(token(&issuer, json!({"spec": spec}), at(second), &objects));
    assert_eq!(
        ask(json!({"token": good, "audiences": ["x", "vault"]}), 0),
        concat!(
            r#"{"authenticated":true,"user":{"username":"system:serviceaccount:shop:builder","uid":"u1","#,
            r#""groups":["system:serviceaccounts","system:serviceaccounts:shop","system:authenticated"],"#,
            r#""extra":{"authentication.kubernetes.io/credential-id":["JTI=j1"]}},"audiences":["vault"]}"#
        )
    );
    let audiences = r#"[\"vault\"] is invalid for the target audiences [\"https://issuer.example\"]"#;
    for (spec, second, expected) in [
        (json!({"token": good}), 0, format!("[invalid bearer token, token audiences {audiences}]")),
        (
            json!({"token": good, "audiences": ["vault"]}),
            700,
            "[invalid bearer token, service account token has expired]".to_owned(),
        ),
        (json!({"token": "junk"}), 0, "invalid bearer token".to_owned()),
    ] {
        assert_eq!(ask(spec, second), format!(r#"{{"user":{{}},"error":"{expected}"}}"#));
    }
    assert_eq!(ask(json!({}), 0), "token is required for TokenReview in authentication");
}
