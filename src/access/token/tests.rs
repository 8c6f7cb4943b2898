use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use serde_json::{Value, json};

use super::*;
use crate::fixture::{NOON, Objects, at, issuer, key};
use crate::lookups::What;

fn object(name: &str, uid: &str) -> Value {
    json!({"metadata": {"namespace": "shop", "name": name, "uid": uid}})
}

fn objects() -> Objects {
    Objects::of(&[
        (What::ServiceAccount, object("builder", "u-builder")),
        (What::Pod, object("web", "u-web")),
        (What::Secret, object("secret", "u-secret")),
        (What::Node, json!({"metadata": {"name": "n1", "uid": "u-n1"}})),
    ])
}

fn reference(name: &str, uid: &str) -> Reference {
    Reference { name: name.to_owned(), uid: uid.to_owned() }
}

fn claims(issuer: &Issuer, bound: Bound) -> Claims {
    Claims {
        issuer: issuer.url.clone(),
        audiences: issuer.audiences.clone(),
        id: "j1".to_owned(),
        bound,
        ..Claims::new("shop", reference("builder", "u-builder"), at(0), 3600)
    }
}

fn sign(issuer: &Issuer, claims: &Claims) -> String {
    jwt::sign(&claims.to_value(), issuer.keys.signing(), &SystemRandom::new()).unwrap()
}

fn pod() -> Bound {
    Bound::Pod(reference("web", "u-web"), Some(reference("n1", "u-n1")))
}

#[test]
fn a_token_of_a_pod_speaks_for_its_account_and_tells_the_pod_and_node() {
    let issuer = issuer();
    let token = sign(&issuer, &claims(&issuer, pod()));
    let verified = issuer.verify(&token, &[], at(10), &objects()).unwrap();
    assert_eq!(verified.user.name, "system:serviceaccount:shop:builder");
    assert_eq!(verified.user.uid, "u-builder");
    assert_eq!(verified.user.groups, ["system:serviceaccounts", "system:serviceaccounts:shop"]);
    assert_eq!(verified.audiences, ["https://issuer.example"]);
    let extra: Vec<_> = verified.user.extra.iter().map(|(k, v)| format!("{k}={}", v.join(","))).collect();
    assert_eq!(
        extra,
        [
            "authentication.kubernetes.io/credential-id=JTI=j1",
            "authentication.kubernetes.io/node-name=n1",
            "authentication.kubernetes.io/node-uid=u-n1",
            "authentication.kubernetes.io/pod-name=web",
            "authentication.kubernetes.io/pod-uid=u-web",
        ]
    );
}

#[test]
fn a_payload_has_the_claims_in_the_order_that_tokens_have() {
    let issuer = issuer();
    let mut all = claims(&issuer, pod());
    all.warn_after = Some(NOON + 3607);
    assert_eq!(
        all.to_value().to_string(),
        concat!(
            r#"{"aud":["https://issuer.example"],"exp":1795525200,"iat":1795521600,"#,
            r#""iss":"https://issuer.example","jti":"j1","kubernetes.io":{"namespace":"shop","#,
            r#""node":{"name":"n1","uid":"u-n1"},"pod":{"name":"web","uid":"u-web"},"#,
            r#""serviceaccount":{"name":"builder","uid":"u-builder"},"warnafter":1795525207},"#,
            r#""nbf":1795521600,"sub":"system:serviceaccount:shop:builder"}"#
        )
    );
    assert_eq!(Claims::from_value(&all.to_value()), Some(all));
}

#[test]
fn a_token_holds_from_its_time_to_its_end_give_or_take_a_minute() {
    let issuer = issuer();
    let token = sign(&issuer, &claims(&issuer, Bound::None));
    for (second, expected) in [
        (-61, Err(TokenError::NotYet)),
        (-60, Ok(())),
        (3600, Ok(())),
        (3660, Ok(())),
        (3661, Err(TokenError::Expired)),
    ] {
        let found = issuer.verify(&token, &[], at(second), &objects()).map(|_| ());
        assert_eq!(found, expected, "{second}");
    }
    let mut ahead = claims(&issuer, Bound::None);
    (ahead.not_before, ahead.issued) = (None, Some(NOON + 120));
    let found = issuer.verify(&sign(&issuer, &ahead), &[], at(0), &objects());
    assert_eq!(found, Err(TokenError::FromTheFuture));
}

#[test]
fn a_token_is_for_its_audiences_only() {
    let issuer = issuer();
    let mut vault = claims(&issuer, Bound::None);
    vault.audiences = vec!["vault".to_owned()];
    let token = sign(&issuer, &vault);
    let error = issuer.verify(&token, &[], at(0), &objects()).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"token audiences ["vault"] is invalid for the target audiences ["https://issuer.example"]"#
    );
    let asked = ["other".to_owned(), "vault".to_owned()];
    assert_eq!(issuer.verify(&token, &asked, at(0), &objects()).unwrap().audiences, ["vault"]);
}

#[test]
fn what_is_forged_is_refused_in_every_form() {
    let issuer = issuer();
    let good = sign(&issuer, &claims(&issuer, Bound::None));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let kid = issuer.keys.signing().public().id();
    let with = |header: Value| format!("{}.{payload}.{signature}", encode(&header));
    let mut richer = claims(&issuer, Bound::None).to_value();
    richer["sub"] = json!("system:serviceaccount:kube-system:admin");
    let mut foreign = claims(&issuer, Bound::None);
    foreign.issuer = "https://elsewhere.example".to_owned();
    let stranger = key();
    let by_stranger = |kid: &str| {
        let head = encode(&json!({"alg": "ES256", "kid": kid}));
        let signed = format!("{head}.{payload}");
        let signature = stranger.sign(signed.as_bytes(), &SystemRandom::new()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    for (what, token, expected) in [
        (
            "no algorithm, no signature",
            format!("{}.{payload}.", encode(&json!({"alg": "none"}))),
            TokenError::Signature,
        ),
        ("no algorithm", with(json!({"alg": "none", "kid": kid})), TokenError::Signature),
        ("a symmetric algorithm", with(json!({"alg": "HS256", "kid": kid})), TokenError::Signature),
        (
            "a critical extension",
            with(json!({"alg": "ES256", "kid": kid, "crit": ["b64"]})),
            TokenError::Signature,
        ),
        ("changed claims", format!("{header}.{}.{signature}", encode(&richer)), TokenError::Signature),
        ("no signature", format!("{signed}."), TokenError::Signature),
        ("a stranger's key under its name", by_stranger(stranger.public().id()), TokenError::UnknownKey),
        ("a stranger's key under ours", by_stranger(kid), TokenError::Signature),
        ("a stranger's key under none", by_stranger(""), TokenError::Signature),
        ("another issuer", sign(&issuer, &foreign), TokenError::Foreign),
        ("two parts", signed.to_owned(), TokenError::Foreign),
        ("four parts", format!("{good}.x"), TokenError::Foreign),
        ("no token", "abc".to_owned(), TokenError::Foreign),
        ("nothing", String::new(), TokenError::Foreign),
        ("too long", "a".repeat(20_000), TokenError::Foreign),
    ] {
        assert_eq!(issuer.verify(&token, &[], at(0), &objects()), Err(expected), "{what}");
    }
}

#[test]
fn a_token_ends_with_its_account_and_with_what_it_is_bound_to() {
    let issuer = issuer();
    let token = sign(&issuer, &claims(&issuer, pod()));
    let verify = |objects: &Objects| {
        issuer.verify(&token, &[], at(100), objects).map(|_| ()).map_err(|e| e.to_string())
    };
    let deleted = |name: &str, uid: &str, second: i64| {
        let mut object = object(name, uid);
        object["metadata"]["deletionTimestamp"] = json!(at(second).to_string());
        object
    };
    let mut without = objects();
    without.remove(What::ServiceAccount, "shop", "builder");
    assert_eq!(verify(&without), Err(r#"serviceaccounts "builder" not found"#.to_owned()));
    let mut without = objects();
    without.remove(What::Pod, "shop", "web");
    assert_eq!(verify(&without), Err("service account token has been invalidated".to_owned()));
    for (what, object, expected) in [
        (
            What::ServiceAccount,
            object("builder", "u-2"),
            Err("service account UID (u-2) does not match claim (u-builder)"),
        ),
        (
            What::ServiceAccount,
            deleted("builder", "u-builder", 0),
            Err("service account shop/builder has been deleted"),
        ),
        (What::ServiceAccount, deleted("builder", "u-builder", 60), Ok(())),
        (
            What::Pod,
            object("web", "u-2"),
            Err("pod UID (u-2) does not match service account pod ref claim (u-web)"),
        ),
        (What::Pod, deleted("web", "u-web", 0), Err("service account token has been invalidated")),
        (What::Pod, deleted("web", "u-web", 40), Ok(())),
        (What::Pod, deleted("web", "u-web", 500), Ok(())),
    ] {
        let mut changed = objects();
        changed.put(what, object.clone());
        assert_eq!(verify(&changed), expected.map_err(str::to_owned), "{object}");
    }
}

#[test]
fn tokens_of_secrets_and_nodes_are_held_to_them() {
    let issuer = issuer();
    for (bound, what, namespace, name) in [
        (Bound::Secret(reference("secret", "u-secret")), What::Secret, "shop", "secret"),
        (Bound::Node(reference("n1", "u-n1")), What::Node, "", "n1"),
    ] {
        let token = sign(&issuer, &claims(&issuer, bound));
        assert!(issuer.verify(&token, &[], at(0), &objects()).is_ok());
        let mut without = objects();
        without.remove(what, namespace, name);
        assert_eq!(issuer.verify(&token, &[], at(0), &without), Err(TokenError::Invalidated));
    }
}

#[test]
fn a_token_that_should_have_been_read_anew_holds_and_tells_since_when() {
    let issuer = issuer();
    let mut stale = claims(&issuer, Bound::None);
    stale.warn_after = Some(NOON + 100);
    let token = sign(&issuer, &stale);
    assert_eq!(issuer.verify(&token, &[], at(50), &objects()).unwrap().stale_seconds, None);
    assert_eq!(issuer.verify(&token, &[], at(150), &objects()).unwrap().stale_seconds, Some(50));
}

#[test]
fn the_newest_key_signs_and_older_ones_verify_until_they_are_dropped() {
    let (old, new) = (key(), key());
    let (old_public, new_id) = (old.public().clone(), new.public().id().to_owned());
    let before = Issuer::new("https://issuer.example", KeySet::new(old, Vec::new()));
    let token = sign(&before, &claims(&before, Bound::None));
    let rotated = KeySet::new(new, vec![old_public.clone(), old_public]);
    assert_eq!(rotated.jwks()["keys"].as_array().unwrap().len(), 2);
    let after = Issuer::new("https://issuer.example", rotated);
    assert!(after.verify(&token, &[], at(0), &objects()).is_ok());
    let fresh = sign(&after, &claims(&after, Bound::None));
    assert_eq!(jwt::split(&fresh).unwrap().header, json!({"alg": "ES256", "kid": new_id}));
    let dropped = Issuer::new("https://issuer.example", KeySet::new(key(), Vec::new()));
    assert_eq!(dropped.verify(&token, &[], at(0), &objects()), Err(TokenError::UnknownKey));
}

#[test]
fn keys_are_read_from_pem_and_what_is_none_is_named_without_being_shown() {
    let random = SystemRandom::new();
    // A published test vector of RFC 7515 would need its own encoding; this key is for the tests alone.
    let public = concat!(
        "-----BEGIN PUBLIC KEY-----\n",
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n",
        "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n",
        "-----END PUBLIC KEY-----\n"
    );
    let key = PublicKey::from_pem(public).unwrap();
    assert_eq!(key.id().len(), 43);
    for (pem, expected) in [
        ("", KeyError::NoBlock("PRIVATE KEY")),
        ("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----", KeyError::NotBase64("PRIVATE KEY")),
    ] {
        assert_eq!(SigningKey::from_pem(pem, &random).unwrap_err(), expected);
    }
    let other = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";
    let error = SigningKey::from_pem(other, &random).unwrap_err().to_string();
    assert!(!error.contains("secret") && error.contains("P-256"), "{error}");
}

#[test]
fn the_discovery_documents_name_issuer_and_keys() {
    let issuer = issuer();
    assert_eq!(
        issuer.openid_configuration("10.0.0.1:6443").to_string(),
        concat!(
            r#"{"issuer":"https://issuer.example","jwks_uri":"https://10.0.0.1:6443/openid/v1/jwks","#,
            r#""response_types_supported":["id_token"],"subject_types_supported":["public"],"#,
            r#""id_token_signing_alg_values_supported":["ES256"]}"#
        )
    );
    let keys = issuer.jwks();
    let fields: Vec<_> = keys["keys"][0].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["use", "kty", "kid", "crv", "alg", "x", "y"]);
}
