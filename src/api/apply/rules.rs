//! Rules that the recorded answers do not show: other versions, custom resources, times, and
//! entries that come with the request.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::owners::managed_of;
use super::*;
use crate::meta;
use crate::schema::{Field, ListType, Object, Scalar, Schema, Type, builtin};

const NOW: &str = "2026-01-02T03:04:05Z";
const LATER: &str = "2026-01-02T03:04:06Z";
static RESET: Reset = Reset::Nothing;

fn config_map() -> Target<'static> {
    let schema = builtin();
    Target {
        schema,
        ty: schema.find_kind("", "v1", "ConfigMap").unwrap(),
        api_version: "v1",
        kind: "ConfigMap",
        subresource: "",
        reset: &RESET,
        versions: &OneVersion,
    }
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "uid": "u"}, "data": data})
}

/// Entries in one line each: `manager operation fields`.
fn owners(object: &Value) -> Vec<String> {
    let entries = managed_of(object).and_then(Value::as_array).into_iter().flatten();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    entries
        .map(|it| format!("{} {} {}", text(it, "manager"), text(it, "operation"), it["fieldsV1"]))
        .collect()
}

fn created(data: Value) -> Value {
    let mut object = map(data);
    update(&config_map(), None, &mut object, "one", NOW).unwrap();
    object
}

#[test]
fn entries_of_the_request_are_taken_cleared_or_passed_over() {
    let live = created(json!({"a": "1"}));
    let entry = |fields: Value| json!({"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields});
    let written = |managed: Value, subresource: &'static str| {
        let mut new = live.clone();
        new["metadata"]["managedFields"] = managed;
        new["data"]["b"] = json!("2");
        update(&Target { subresource, ..config_map() }, Some(&live), &mut new, "two", LATER).unwrap();
        owners(&new)
    };
    let two = r#"two Update {"f:data":{"f:b":{}}}"#;
    let one = r#"one Update {"f:data":{".":{},"f:a":{}}}"#;
    for (name, managed, subresource, expected) in [
        ("an empty list clears", json!([]), "", vec![]),
        ("an empty entry clears", json!([{}]), "", vec![]),
        ("null does not", json!(null), "", vec![one, two]),
        (
            "what is given is taken",
            json!([entry(json!({"f:data": {"f:a": {}}}))]),
            "",
            vec![r#"x Update {"f:data":{"f:a":{}}}"#, two],
        ),
        ("what cannot be read is not", json!([entry(json!({"data": {}}))]), "", vec![one, two]),
        ("subresources take none", json!([]), "status", vec![one, two]),
    ] {
        assert_eq!(written(managed, subresource), expected, "{name}");
    }
}

#[test]
fn a_write_that_changes_nothing_keeps_its_times() {
    let old = created(json!({"a": "1"}));
    let mut same = old.clone();
    same["metadata"]["managedFields"][0]["time"] = json!(LATER);
    let mut other = same.clone();
    other["data"]["a"] = json!("2");
    let mut kept = same.clone();
    keep_times(&old, &mut kept);
    assert_eq!(kept, old);
    let mut moved = other.clone();
    keep_times(&old, &mut moved);
    assert_eq!(moved, other);
}

#[test]
fn an_item_that_cannot_be_told_apart_keeps_the_entries() {
    let mut target = config_map();
    target.ty = target.schema.find_kind("", "v1", "Pod").unwrap();
    let live = json!({"metadata": {"uid": "u", "managedFields": [{"manager": "x", "operation": "Update",
        "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:nodeName": {}}}}]}});
    let mut new = live.clone();
    new["spec"] = json!({"containers": [null]});
    let error = update(&target, Some(&live), &mut new, "me", NOW).unwrap_err();
    assert!(error.to_string().ends_with("associative list with keys may not have a null element"), "{error}");
    assert_eq!(owners(&new), [r#"x Update {"f:spec":{"f:nodeName":{}}}"#]);
}

/// `data` is called `old` at version v0, and there is no other.
struct Renamed;

impl Versions for Renamed {
    fn at<'o>(
        &self,
        object: &'o Value,
        api_version: &str,
    ) -> Option<(Cow<'o, Value>, crate::schema::TypeId)> {
        let schema = two_versions();
        let ty = match api_version {
            "v1" => schema.find("v1")?,
            "v0" => schema.find("v0")?,
            _ => return None,
        };
        if meta::str_at(object, "apiVersion") == api_version {
            return Some((Cow::Borrowed(object), ty));
        }
        let mut object = object.clone();
        let (from, to) = if api_version == "v0" { ("data", "old") } else { ("old", "data") };
        if let Some(value) = object.as_object_mut()?.shift_remove(from) {
            object[to] = value;
        }
        object["apiVersion"] = json!(api_version);
        Some((Cow::Owned(object), ty))
    }
}

fn object(definition: &str, fields: Vec<Field>) -> Object {
    let mut object = Object::default();
    object.definition = definition.into();
    object.fields = fields;
    object
}

fn two_versions() -> &'static Schema {
    static SCHEMA: std::sync::LazyLock<Schema> = std::sync::LazyLock::new(|| {
        let mut schema = Schema::default();
        let text = || Type::Scalar(Scalar::String);
        let metadata = schema.add(object(
            "meta",
            vec![
                Field::new("name", text()),
                Field::new("uid", text()),
                Field::new("managedFields", Type::List(Box::new(Type::Any))),
            ],
        ));
        for (version, data) in [("v1", "data"), ("v0", "old")] {
            let mut items = Field::new("items", Type::List(Box::new(Type::Map(Box::new(text())))));
            items.list = ListType::Map(vec!["id".into()]);
            schema.add(object(
                version,
                vec![
                    Field::new("apiVersion", text()),
                    Field::new("kind", text()),
                    Field::new("metadata", Type::Object(metadata)),
                    Field::new(data, Type::Map(Box::new(text()))),
                    Field::new("free", Type::Any),
                    items,
                ],
            ));
        }
        schema
    });
    &SCHEMA
}

fn thing(api_version: &'static str) -> Target<'static> {
    let schema = two_versions();
    Target {
        schema,
        ty: schema.find(api_version).unwrap(),
        api_version,
        kind: "Thing",
        subresource: "",
        reset: &RESET,
        versions: &Renamed,
    }
}

fn laid(
    target: &Target<'_>,
    live: Option<&Value>,
    config: Value,
    manager: &str,
) -> Result<Value, ApplyError> {
    let mut config = config;
    config["apiVersion"] = json!(target.api_version);
    config["kind"] = json!("Thing");
    config["metadata"] = json!({"name": "t"});
    apply(target, live, &config, Options { manager, force: false, now: NOW }).map(|applied| applied.object)
}

#[test]
fn entries_of_other_versions_follow_the_object() {
    let old = laid(&thing("v0"), None, json!({"old": {"a": "1", "b": "1"}}), "one").unwrap();
    let live = Renamed.at(&old, "v1").unwrap().0.into_owned();
    assert_eq!(owners(&live), [r#"one Apply {"f:old":{"f:a":{},"f:b":{}}}"#]);

    // A conflict is found and named across versions.
    let Err(ApplyError::Conflict(conflicts)) =
        laid(&thing("v1"), Some(&live), json!({"data": {"a": "2"}}), "two")
    else {
        panic!("no conflict")
    };
    assert_eq!(conflicts.status().message, "Apply failed with 1 conflict: conflict with \"one\": .old.a");

    // What an update at v1 changes is no longer owned at v0.
    let mut new = live.clone();
    new["metadata"]["uid"] = json!("u");
    new["data"]["a"] = json!("3");
    update(&thing("v1"), Some(&live), &mut new, "three", LATER).unwrap();
    assert_eq!(owners(&new), [r#"one Apply {"f:old":{"f:b":{}}}"#, r#"three Update {"f:data":{"f:a":{}}}"#]);

    // The applier comes to v1: what it gives up goes by its old name.
    let applied = laid(&thing("v1"), Some(&new), json!({"data": {"c": "1"}}), "one").unwrap();
    assert_eq!(applied["data"], json!({"a": "3", "c": "1"}));
    assert_eq!(owners(&applied)[0], r#"one Apply {"f:data":{"f:c":{}}}"#);

    // A version that is no more takes its entries along.
    let mut ancient = live.clone();
    ancient["metadata"]["managedFields"][0]["apiVersion"] = json!("v00");
    let mut new = ancient.clone();
    new["data"]["a"] = json!("4");
    update(&thing("v1"), Some(&ancient), &mut new, "four", LATER).unwrap();
    assert_eq!(owners(&new), [r#"four Update {"f:data":{"f:a":{}}}"#]);
}

#[test]
fn what_has_no_schema_is_owned_by_maps_and_whole_lists() {
    let target = thing("v1");
    let live = laid(&target, None, json!({"free": {"a": {"b": 1}, "l": [{"x": 1}]}}), "one").unwrap();
    assert_eq!(owners(&live), [r#"one Apply {"f:free":{"f:a":{".":{},"f:b":{}},"f:l":{}}}"#]);
    let both = laid(&target, Some(&live), json!({"free": {"a": {"c": 2}}}), "two").unwrap();
    assert_eq!(both["free"], json!({"a": {"b": 1, "c": 2}, "l": [{"x": 1}]}));
    let error = laid(&target, Some(&live), json!({"free": {"a": 5}}), "two").unwrap_err();
    let ApplyError::Conflict(conflicts) = error else { panic!("{error}") };
    assert_eq!(conflicts.status().message, "Apply failed with 1 conflict: conflict with \"one\": .free.a");
}

#[test]
fn items_that_a_live_list_has_twice_are_owned_together_and_replaced_by_one() {
    let target = thing("v1");
    let mut live = json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t"},
        "items": [{"id": "a", "n": "1"}, {"id": "a", "n": "2"}, {"id": "b", "n": "1"}]});
    update(&target, None, &mut live, "one", NOW).unwrap();
    live["metadata"]["uid"] = json!("u");
    let entry = r#"one Update {"f:items":{".":{},"k:{\"id\":\"a\"}":{},"k:{\"id\":\"b\"}":{".":{},"f:id":{},"f:n":{}}}}"#;
    assert_eq!(owners(&live), [entry]);
    let beside = laid(&target, Some(&live), json!({"items": [{"id": "b", "n": "1"}]}), "two").unwrap();
    assert_eq!(beside["items"], live["items"]);
    let options = Options { manager: "two", force: true, now: NOW };
    let config = json!({"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "t"}, "items": [{"id": "a", "n": "3"}]});
    let one = apply(&target, Some(&live), &config, options).unwrap().object;
    assert_eq!(one["items"], json!([{"id": "a", "n": "3"}, {"id": "b", "n": "1"}]));
}

#[test]
fn parts_of_what_has_become_one_value_are_owned_as_one() {
    let mut target = config_map();
    target.ty = target.schema.find_kind("", "v1", "Service").unwrap();
    let live = json!({"metadata": {"uid": "u", "managedFields": [{"manager": "x", "operation": "Update", "apiVersion": "v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:selector": {"f:app": {}}, "f:type": {}}}}]},
        "spec": {"selector": {"app": "a"}, "type": "ClusterIP"}});
    let mut new = live.clone();
    new["spec"]["selector"]["app"] = json!("b");
    update(&target, Some(&live), &mut new, "me", NOW).unwrap();
    assert_eq!(
        owners(&new),
        [r#"x Update {"f:spec":{"f:type":{}}}"#, r#"me Update {"f:spec":{"f:selector":{}}}"#]
    );
}

#[test]
fn a_kind_of_several_versions_converts_by_what_the_object_says_it_is() {
    let registry = crate::kinds::registry();
    let kind = registry.by_kind("autoscaling", "v2", "HorizontalPodAutoscaler").unwrap();
    let object = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": {"maxReplicas": 3}});
    let (same, _) = kind.at(&object, "autoscaling/v2").unwrap();
    assert!(matches!(same, Cow::Borrowed(_)));
    let (other, ty) = kind.at(&object, "autoscaling/v1").unwrap();
    assert_eq!(
        (meta::str_at(&other, "apiVersion"), &other["spec"]["maxReplicas"]),
        ("autoscaling/v1", &json!(3))
    );
    assert_eq!(Some(ty), kind.schema.find_kind("autoscaling", "v1", "HorizontalPodAutoscaler"));
    let (back, _) = kind.at(&other, "autoscaling/v2").unwrap();
    assert_eq!(*back, object);
    assert!(kind.at(&object, "autoscaling/v2beta1").is_none() && kind.at(&object, "v1").is_none());
}

#[test]
fn thousands_of_entries_are_put_together_in_one_go() {
    let live = created(json!({"a": "1"}));
    let mut new = live.clone();
    let entry = |at: usize| {
        json!({"manager": format!("m{at:05}"), "operation": "Update", "apiVersion": "v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {format!("f:k{at}"): {}}}})
    };
    new["metadata"]["managedFields"] = Value::Array((0..2000).map(entry).collect());
    new["data"] = (0..2000).map(|at| (format!("k{at}"), json!("2"))).collect();
    update(&config_map(), Some(&live), &mut new, "me", LATER).unwrap();
    // All was taken over by this write but the empty rest, which is gone.
    assert_eq!(managed_of(&new).unwrap().as_array().unwrap().len(), 1);
    let mut kept = live.clone();
    kept["metadata"]["managedFields"] = Value::Array((0..2000).map(entry).collect());
    kept["data"]["z"] = json!("1");
    update(&config_map(), Some(&live), &mut kept, "me", LATER).unwrap();
    let entries = ManagedFields::read(managed_of(&kept)).unwrap().entries;
    assert_eq!(entries.len(), 10);
    let owned = |at: usize| entries[at].set().nodes[0].below.nodes.len();
    assert_eq!((&*entries[0].manager.name, owned(0)), ("ancient-changes", 1992));
    assert_eq!((&*entries[1].manager.name, owned(1)), ("m01992", 1));
}
