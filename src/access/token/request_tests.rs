use ring::rand::SystemRandom;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{NOON, Objects, at, issuer};
use crate::lookups::What;

fn objects() -> Objects {
    let object = |name: &str, spec: Value| json!({"metadata": {"namespace": "shop", "name": name, "uid": format!("u-{name}")}, "spec": spec});
    Objects::of(&[
        (What::ServiceAccount, object("builder", Value::Null)),
        (What::Pod, object("web", json!({"serviceAccountName": "builder", "nodeName": "n1"}))),
        (What::Pod, object("lost", json!({"serviceAccountName": "builder", "nodeName": "gone"}))),
        (What::Pod, object("other", json!({"serviceAccountName": "default"}))),
        (What::Secret, object("s", Value::Null)),
        (What::Node, json!({"metadata": {"name": "n1", "uid": "u-n1"}})),
    ])
}

fn ask(issuer: &Issuer, account: &str, request: Value) -> Result<Granted, String> {
    let ask = request::Ask { namespace: "shop", account, request: &request, id: "j1", now: at(0) };
    issuer.request(&ask, &objects(), &SystemRandom::new()).map_err(|status| status.message)
}

fn claims(issuer: &Issuer, granted: &Granted) -> Claims {
    let token = granted.object["status"]["token"].as_str().unwrap();
    let asked = granted.object["spec"]["audiences"].as_array().unwrap();
    let asked: Vec<String> = asked.iter().map(|audience| audience.as_str().unwrap().to_owned()).collect();
    issuer.verify(token, &asked, at(1), &objects()).unwrap();
    Claims::from_value(&jwt::split(token).unwrap().payload).unwrap()
}

fn bind(kind: &str, name: &str) -> Value {
    json!({"kind": kind, "apiVersion": "v1", "name": name})
}

#[test]
fn a_token_is_given_with_defaults_filled_in() {
    let issuer = issuer();
    let mut granted = ask(&issuer, "builder", json!({"spec": {}})).unwrap();
    let claims = claims(&issuer, &granted);
    assert_eq!((claims.expires, claims.warn_after, claims.id.as_str()), (Some(NOON + 3600), None, "j1"));
    granted.object["status"]["token"] = json!("T");
    assert_eq!(
        granted.object.to_string(),
        concat!(
            r#"{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","metadata":{"name":"builder","#,
            r#""namespace":"shop","uid":"u-builder","creationTimestamp":"2026-11-24T12:00:00Z"},"spec":{"#,
            r#""audiences":["https://issuer.example"],"expirationSeconds":3600,"boundObjectRef":null},"#,
            r#""status":{"token":"T","expirationTimestamp":"2026-11-24T13:00:00Z"}}"#
        )
    );
}

#[test]
fn a_pod_s_own_token_lives_a_year_and_tells_since_when_it_should_not() {
    let issuer = issuer();
    let spec = |seconds: i64, audiences: Value, reference: Value| {
        let spec = json!({"expirationSeconds": seconds, "audiences": audiences, "boundObjectRef": reference});
        ask(&issuer, "builder", json!({"spec": spec})).unwrap()
    };
    let extended = spec(3607, json!([]), bind("Pod", "web"));
    let found = claims(&issuer, &extended);
    assert_eq!((found.expires, found.warn_after), (Some(NOON + 365 * 86_400), Some(NOON + 3607)));
    assert_eq!(extended.object["status"]["expirationTimestamp"], "2026-11-24T13:00:07Z");
    let node = Reference { name: "n1".to_owned(), uid: "u-n1".to_owned() };
    assert_eq!(
        found.bound,
        Bound::Pod(Reference { name: "web".to_owned(), uid: "u-web".to_owned() }, Some(node))
    );
    for plain in [
        spec(3600, json!([]), bind("Pod", "web")),
        spec(3607, json!(["vault"]), bind("Pod", "web")),
        spec(3607, json!([]), bind("Secret", "s")),
    ] {
        assert_eq!(claims(&issuer, &plain).warn_after, None);
    }
    let lost = claims(&issuer, &spec(3600, json!([]), bind("Pod", "lost")));
    let Bound::Pod(_, Some(node)) = lost.bound else { panic!() };
    assert_eq!((node.name.as_str(), node.uid.as_str()), ("gone", ""));
}

#[test]
fn what_may_not_be_asked_for_is_told() {
    let issuer = issuer();
    let with = |spec: Value| json!({"spec": spec});
    let bound = |reference: Value| with(json!({"boundObjectRef": reference}));
    let of_other_uid = json!({"kind": "Secret", "apiVersion": "v1", "name": "s", "uid": "x"});
    for (account, request, expected) in [
        ("none", with(json!({})), r#"serviceaccounts "none" not found"#),
        (
            "builder",
            with(json!({"expirationSeconds": 599})),
            r#"TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes"#,
        ),
        (
            "builder",
            with(json!({"expirationSeconds": 5_000_000_000_i64})),
            r#"TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 5000000000: may not specify a duration larger than 2^32 seconds"#,
        ),
        (
            "builder",
            json!({"metadata": {"name": "x"}}),
            r#"TokenRequest.authentication.k8s.io "builder" is invalid: metadata.name: Invalid value: "x": must match the service account name if specified"#,
        ),
        (
            "builder",
            json!({"metadata": {"namespace": "x"}}),
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (
            "builder",
            json!({"metadata": {"uid": "x"}}),
            r#"Operation cannot be fulfilled on TokenRequest.authentication.k8s.io "builder": the UID in the token request (x) does not match the UID of the service account (u-builder)"#,
        ),
        ("builder", bound(bind("Pod", "x")), r#"pods "x" not found"#),
        (
            "builder",
            bound(bind("Pod", "other")),
            r#"cannot bind token for serviceaccount "builder" to pod running with different serviceaccount name."#,
        ),
        ("builder", bound(bind("ConfigMap", "x")), "cannot bind token to object of type /v1, Kind=ConfigMap"),
        (
            "builder",
            bound(of_other_uid),
            r#"Operation cannot be fulfilled on Secret "s": the UID in the bound object reference (x) does not match the UID in record. The object might have been deleted and then recreated"#,
        ),
        (
            "builder",
            with(json!({"attestations": {"a": ["b"]}})),
            r#"TokenRequest.authentication.k8s.io "" is invalid: spec.attestations: Invalid value: {"a":["b"]}: attestations may only be specified with a webhook bound object reference"#,
        ),
        (
            "builder",
            with(json!({"audiences": ["x"], "boundObjectRef": {
                "kind": "ValidatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1", "name": "x"}})),
            r#"TokenRequest.authentication.k8s.io "" is invalid: spec.attestations: Invalid value: null: webhook bound requests require exactly one admissionReviewAPIGroups attestation"#,
        ),
    ] {
        assert_eq!(ask(&issuer, account, request).unwrap_err(), expected);
    }
}

#[test]
fn no_token_lives_longer_than_the_longest() {
    let issuer = Issuer { longest_seconds: Some(7200), ..issuer() };
    let granted = ask(&issuer, "builder", json!({"spec": {"expirationSeconds": 86_400}})).unwrap();
    assert_eq!(granted.warnings, ["requested expiration of 86400 seconds shortened to 7200 seconds"]);
    assert_eq!(granted.object["spec"]["expirationSeconds"], 7200);
    assert_eq!(claims(&issuer, &granted).expires, Some(NOON + 7200));
    let spec = json!({"expirationSeconds": 3607, "boundObjectRef": bind("Pod", "web")});
    let granted = ask(&issuer, "builder", json!({"spec": spec})).unwrap();
    assert_eq!(claims(&issuer, &granted).expires, Some(NOON + 7200), "extending has a limit too");
}
