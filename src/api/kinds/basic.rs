//! Namespace, ConfigMap, Secret, ServiceAccount.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::table::{AGE, NAME, NAME_AND_AGE, age, name_and_age, says, text};
use super::{Row, metadata};
use crate::field_error::{At, Errors, Path};
use crate::kind::{About, Context, Part, Read, Selectable, Strategy, only_status};
use crate::meta;
use crate::names::{config_key, label_key, label_rule};

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            name: label_rule,
            default: label_with_name,
            prepare_create: create_namespace,
            prepare_update: |new, old, _| {
                meta::restore(new, old, "spec.finalizers");
                meta::restore(new, old, "status");
                label_with_name(new);
            },
            validate: |new, e| {
                let finalizers = new.get("spec.finalizers");
                finalizers.items().for_each(|f| namespace_finalizer(&f.under(finalizers.path.clone()), e));
            },
            ..Strategy::GENERIC
        },
        parts: &[("status", NAMESPACE_STATUS), ("finalize", NAMESPACE_FINALIZE)],
        columns: &[NAME, text("Status", says("Whether it is in use or on its way out")), AGE],
        cells: |o, now| vec![meta::name(o).into(), meta::str_at(o, "status.phase").into(), age(o, now)],
        selectable: &[Selectable { name: std::borrow::Cow::Borrowed("status.phase"), read: Read::Path("") }],
        ..Row::new("", "Namespace")
    },
    Row {
        strategy: Strategy { validate: config_map, validate_update: config_map_update, ..Strategy::GENERIC },
        columns: &[NAME, text("Data", About::Field("ConfigMap", "data")), AGE],
        cells: |o, now| {
            let count = count_at(o, "data") + count_at(o, "binaryData");
            vec![meta::name(o).into(), count.into(), age(o, now)]
        },
        ..Row::new("", "ConfigMap")
    },
    Row {
        strategy: Strategy {
            default: |secret| {
                default_text(secret, "type", "Opaque");
                text_to_bytes(secret);
            },
            prepare_update: |new, old, _| {
                if meta::str_at(new, "type").is_empty() {
                    meta::restore(new, old, "type");
                }
            },
            validate: secret,
            validate_update: secret_update,
            ..Strategy::GENERIC
        },
        columns: &[
            NAME,
            text("Type", About::Field("Secret", "type")),
            text("Data", About::Field("Secret", "data")),
            AGE,
        ],
        cells: |o, now| {
            let kind = meta::str_at(o, "type");
            vec![meta::name(o).into(), kind.into(), count_at(o, "data").into(), age(o, now)]
        },
        selectable: &[Selectable { name: std::borrow::Cow::Borrowed("type"), read: Read::Path("") }],
        ..Row::new("", "Secret")
    },
    Row {
        strategy: Strategy {
            prepare_create: |new, _| clean_references(new),
            prepare_update: |new, _, _| clean_references(new),
            warn: |new, old| {
                const KEY: &str = "kubernetes.io/enforce-mountable-secrets";
                let says =
                    "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
                let new_to_it = old.is_none_or(|old| meta::annotation(old, KEY).is_none());
                match meta::annotation(new, KEY).filter(|_| new_to_it) {
                    Some(_) => vec![format!("metadata.annotations[{KEY}]: {says}")],
                    None => Vec::new(),
                }
            },
            ..Strategy::GENERIC
        },
        columns: NAME_AND_AGE,
        cells: name_and_age,
        ..Row::new("", "ServiceAccount")
    },
];

/// `stringData` is written as text and kept as `data`.
fn text_to_bytes(secret: &mut Value) {
    let Some(Value::Object(texts)) = secret.as_object_mut().and_then(|s| s.shift_remove("stringData")) else {
        return;
    };
    if texts.is_empty() {
        return;
    }
    let data = meta::fields(meta::entry(secret, "data"));
    for (key, text) in texts {
        data.insert(key, STANDARD.encode(text.as_str().unwrap_or_default()).into());
    }
}

/// Bytes that a ConfigMap or Secret may hold.
const BYTES_AT_MOST: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";

/// Gives a text where there is none or an empty one.
pub(super) fn default_text(object: &mut Value, path: &str, text: &str) {
    let at = meta::entry(object, path);
    if at.as_str().is_none_or(str::is_empty) {
        *at = text.into();
    }
}

fn count_at(object: &Value, path: &str) -> usize {
    meta::at(object, path).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

fn label_with_name(namespace: &mut Value) {
    let name = meta::name(namespace).to_owned();
    if !name.is_empty() {
        let labels = meta::fields(meta::entry(namespace, "metadata.labels"));
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.into());
    }
}

fn create_namespace(new: &mut Value, _: &Context<'_>) {
    meta::put(new, "status", json!({"phase": "Active"}));
    let finalizers = meta::entry(new, "spec.finalizers");
    match finalizers.as_array_mut() {
        Some(list) if list.iter().any(|f| f == "kubernetes") => {}
        Some(list) => list.push("kubernetes".into()),
        None => *finalizers = json!(["kubernetes"]),
    }
    label_with_name(new);
}

fn namespace_finalizer(at: &At<'_>, e: &mut Errors) {
    e.invalid_each(at, label_key(at.str()));
    metadata::standard_finalizer(at, e);
}

const NAMESPACE_STATUS: Part = Part {
    prepare: only_status,
    validate: |new, _, e| {
        let phase = new.get("status.phase");
        let path = Path::of("status").child("Phase");
        if new.get("metadata.deletionTimestamp").is_set() {
            if !phase.is("Terminating") {
                let says = "may only be 'Terminating' if `deletionTimestamp` is not empty";
                e.invalid_as(&path, phase.str(), says);
            }
        } else if !phase.is("Active") {
            e.invalid_as(&path, phase.str(), "may only be 'Active' if `deletionTimestamp` is empty");
        }
    },
    warn: |_, _| Vec::new(),
};

const NAMESPACE_FINALIZE: Part = Part {
    prepare: |new, old, _| meta::restore(new, old, "status"),
    validate: |new, _, e| new.get("spec.finalizers").items().for_each(|f| namespace_finalizer(&f, e)),
    warn: |_, _| Vec::new(),
};

fn config_map(at: &At<'_>, e: &mut Errors) {
    let (data, binary) = (at.get("data"), at.get("binaryData"));
    let mut size = 0;
    for (key, value) in data.entries() {
        e.invalid_each_as(&value, key, config_key(key));
        if binary.value.is_some_and(|b| b.get(key).is_some()) {
            e.invalid_as(&value.path, key, "duplicate of key present in binaryData");
        }
        size += value.str().len();
    }
    for (key, value) in binary.entries() {
        e.invalid_each_as(&value, key, config_key(key));
        size += decoded_length(value.str());
    }
    if size > BYTES_AT_MOST {
        e.too_long(&Path::ROOT, BYTES_AT_MOST);
    }
}

fn decoded_length(base64: &str) -> usize {
    base64.len() / 4 * 3 - base64.bytes().rev().take_while(|c| *c == b'=').count().min(2)
}

fn frozen(new: &At<'_>, old: &At<'_>, fields: &[&'static str], e: &mut Errors) {
    if !old.get("immutable").bool() {
        return;
    }
    if !new.get("immutable").bool() {
        e.forbidden(&new.get("immutable").path, FROZEN);
    }
    for field in fields {
        if !meta::same(new.get(field).value, old.get(field).value) {
            e.forbidden(&new.get(field).path, FROZEN);
        }
    }
}

fn config_map_update(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    frozen(new, old, &["data", "binaryData"], e);
    config_map(new, e);
}

fn secret(at: &At<'_>, e: &mut Errors) {
    let data = at.get("data");
    let mut size = 0;
    for (key, value) in data.entries() {
        e.invalid_each_as(&value, key, config_key(key));
        size += decoded_length(value.str());
    }
    if size > BYTES_AT_MOST {
        e.too_long(&data.path, BYTES_AT_MOST);
    }
    let has = |key: &str| data.value.is_some_and(|d| d.get(key).is_some());
    let missing = |key: &str, e: &mut Errors| {
        if !has(key) {
            e.required(&data.path.key(key), "");
        }
    };
    match at.get("type").str() {
        "kubernetes.io/service-account-token" => {
            const KEY: &str = "kubernetes.io/service-account.name";
            if at.value.and_then(|v| meta::annotation(v, KEY)).is_none_or(str::is_empty) {
                e.required(&Path::of("metadata.annotations").key(KEY), "");
            }
        }
        "kubernetes.io/dockercfg" => docker(&data, ".dockercfg", e),
        "kubernetes.io/dockerconfigjson" => docker(&data, ".dockerconfigjson", e),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            missing("username", e);
            missing("password", e);
        }
        "kubernetes.io/ssh-auth" => {
            let key = data.value.and_then(|d| d.get("ssh-privatekey")).and_then(Value::as_str);
            if key.is_none_or(str::is_empty) {
                e.required(&data.path.key("ssh-privatekey"), "");
            }
        }
        "kubernetes.io/tls" => {
            missing("tls.crt", e);
            missing("tls.key", e);
        }
        _ => {}
    }
}

fn docker(data: &At<'_>, key: &str, e: &mut Errors) {
    let path = data.path.key(key);
    let Some(text) = data.value.and_then(|d| d.get(key)).and_then(Value::as_str) else {
        return e.required(&path, "");
    };
    let bytes = STANDARD.decode(text).unwrap_or_default();
    if let Err(error) = serde_json::from_slice::<BTreeMap<String, Value>>(&bytes) {
        let says =
            if bytes.is_empty() { "unexpected end of JSON input".to_owned() } else { error.to_string() };
        e.invalid_as(&path, "<secret contents redacted>", says);
    }
}

fn secret_update(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    metadata::immutable(&new.get("type"), &old.get("type"), e);
    frozen(new, old, &["data"], e);
    secret(new, e);
}

/// References to Secrets keep their names alone.
fn clean_references(account: &mut Value) {
    for secret in meta::at_mut(account, "secrets").and_then(Value::as_array_mut).into_iter().flatten() {
        *secret = json!({"name": meta::str_at(secret, "name")});
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{cells, created, updated, warned};

    #[test]
    fn a_namespace_starts_active_with_its_finalizer_and_its_label() {
        let made =
            created("", "Namespace", json!({"metadata": {"name": "a"}, "status": {"phase": "Terminating"}}));
        let made = made.unwrap();
        assert_eq!(made["spec"]["finalizers"], json!(["kubernetes"]));
        assert_eq!(made["status"]["phase"], "Active");
        assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], "a");
    }

    #[test]
    fn secrets_are_refused_for_what_their_type_needs() {
        let table = [
            (
                "tls",
                json!({"type": "kubernetes.io/tls"}),
                vec!["data[tls.crt]: Required value", "data[tls.key]: Required value"],
            ),
            (
                "docker",
                json!({"type": "kubernetes.io/dockerconfigjson"}),
                vec!["data[.dockerconfigjson]: Required value"],
            ),
            (
                "a token without an account",
                json!({"type": "kubernetes.io/service-account-token"}),
                vec!["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            ),
            (
                "a key with a slash",
                json!({"data": {"a/b": "YQ=="}}),
                vec![
                    "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
                ],
            ),
        ];
        for (why, secret, wrong) in table {
            assert_eq!(created("", "Secret", secret).unwrap_err(), wrong, "{why}");
        }
    }

    #[test]
    fn tables_count_what_is_held() {
        let now = "2026-01-01T00:02:05Z";
        let metadata = json!({"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"});
        let map = json!({"metadata": metadata, "data": {"a": "b"}, "binaryData": {"c": "YQ=="}});
        assert_eq!(cells("", "ConfigMap", &map, now), ["a", "2", "2m5s"]);
        let secret = json!({"metadata": metadata, "type": "Opaque"});
        assert_eq!(cells("", "Secret", &secret, now), ["a", "Opaque", "0", "2m5s"]);
        let namespace = json!({"metadata": metadata, "status": {"phase": "Active"}});
        assert_eq!(cells("", "Namespace", &namespace, now), ["a", "Active", "2m5s"]);
    }

    #[test]
    fn mountable_secrets_are_a_thing_of_the_past() {
        let account =
            json!({"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}});
        assert_eq!(warned("", "ServiceAccount", &account).len(), 1);
    }

    #[test]
    fn what_is_immutable_stays() {
        let old = json!({"type": "Opaque", "immutable": true, "data": {"a": "YQ=="}});
        let new = json!({"type": "Other", "data": {"a": "Yg=="}});
        assert_eq!(
            updated("", "Secret", new, old).unwrap_err(),
            [
                "type: Invalid value: \"Other\": field is immutable",
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ]
        );
        let old = json!({"data": {"a": "b"}, "immutable": true});
        assert!(updated("", "ConfigMap", old.clone(), old).is_ok());
    }
}
