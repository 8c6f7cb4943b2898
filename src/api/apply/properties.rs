//! What must hold of any objects: applying again changes nothing, managers do not disturb each
//! other, nothing that nobody gave up is lost, and no input panics.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::collect::said;
use super::owners::{managed_of, take_managed};
use super::shape::Shape;
use super::*;
use crate::patch;
use crate::schema::builtin;

const NOW: &str = "2026-01-02T03:04:05Z";
const LATER: &str = "2026-01-02T03:04:06Z";

fn target() -> Target<'static> {
    static RESET: Reset = Reset::Nothing;
    let schema = builtin();
    Target {
        schema,
        ty: schema.find_kind("apps", "v1", "Deployment").unwrap(),
        api_version: "apps/v1",
        kind: "Deployment",
        subresource: "",
        reset: &RESET,
        versions: &OneVersion,
    }
}

/// A Deployment with some of: labels, finalizers, replicas, a selector (one value), containers
/// with images, ports and environment. Names come from `letters`.
fn config(letters: &'static str) -> impl Strategy<Value = Value> {
    let name = move || prop::sample::select(letters.chars().map(String::from).collect::<Vec<_>>());
    let value = || "[0-2]";
    let env = btree_map(name(), value(), 0..3).prop_map(|env| {
        env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>()
    });
    let ports = btree_set(80..83_i32, 0..3)
        .prop_map(|ports| ports.into_iter().map(|port| json!({"containerPort": port})).collect::<Vec<_>>());
    let container = (option::of(value()), env, ports).prop_map(|(image, env, ports)| {
        let mut container = json!({"env": env, "ports": ports});
        if let Some(image) = image {
            container["image"] = json!(image);
        }
        container
    });
    let containers = btree_map(name(), container, 0..3).prop_map(|containers| {
        containers
            .into_iter()
            .map(|(name, mut container)| {
                container["name"] = json!(name);
                container
            })
            .collect::<Vec<_>>()
    });
    let labels = btree_map(name(), value(), 0..3);
    let finalizers = btree_set(name().prop_map(|name| format!("example.com/{name}")), 0..3);
    (labels, finalizers, option::of(0..3_i32), option::of(name()), containers).prop_map(
        |(labels, finalizers, replicas, selector, containers)| {
            let mut config = json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "it", "labels": labels, "finalizers": finalizers},
                "spec": {"template": {"spec": {"containers": containers}}}
            });
            if let Some(replicas) = replicas {
                config["spec"]["replicas"] = json!(replicas);
            }
            if let Some(selector) = selector {
                config["spec"]["selector"] = json!({"matchLabels": {"app": selector}});
            }
            without_empty(config)
        },
    )
}

/// Empty lists and maps say something of their own; here they are left out.
fn without_empty(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().map(|(name, value)| (name, without_empty(value)));
            let kept = kept.filter(|(_, it)| !(it.is_null() || it == &json!([]) || it == &json!({})));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_empty).collect()),
        scalar => scalar,
    }
}

fn applied(live: Option<&Value>, config: &Value, manager: &str, force: bool, now: &str) -> Applied {
    let mut applied = apply(&target(), live, config, Options { manager, force, now }).unwrap();
    let entries = take_managed(&mut applied.object);
    // As canonical form would have it.
    applied.object = without_empty(applied.object);
    super::owners::put_managed(&mut applied.object, entries);
    applied
}

fn nothing() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "it"}})
}

fn fields_of(object: &Value) -> FieldSet {
    let mut object = object.clone();
    take_managed(&mut object);
    let target = target();
    let mut set = said(target.schema, Shape::of_object(target.schema, target.ty), &object).unwrap();
    super::owners::strip(&mut set);
    set
}

/// The members of a set that have none below them.
fn leaves(set: &FieldSet) -> Vec<Vec<Element>> {
    let mut all = Vec::new();
    set.each(&mut |path| all.push(path.to_vec()));
    let inner =
        |path: &Vec<Element>| all.iter().any(|other| other.len() > path.len() && other.starts_with(path));
    all.iter().filter(|path| !inner(path)).cloned().collect()
}

/// The values at a set's leaves.
fn values<'o>(object: &'o Value, path: &[Element]) -> Option<&'o Value> {
    path.iter().try_fold(object, |at, element| match element {
        Element::Field(name) => at.get(&**name),
        Element::Value(value) => at.as_array()?.iter().find(|it| *it == &**value),
        Element::Key(keys) => at
            .as_array()?
            .iter()
            .find(|it| keys.iter().all(|(name, value)| it.get(&**name).is_none_or(|it| it == value))),
        Element::Index(_) => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn applying_the_same_again_changes_nothing(before in option::of(config("abc")), it in config("abc")) {
        let live = before.map(|before| applied(None, &before, "other", true, NOW).object);
        let once = applied(live.as_ref(), &it, "me", true, NOW).object;
        let again = applied(Some(&once), &it, "me", false, LATER);
        prop_assert!(!again.changed);
        prop_assert_eq!(again.object, once);
    }

    #[test]
    fn what_is_applied_is_there(before in config("abc"), it in config("abc")) {
        let live = applied(None, &before, "other", true, NOW).object;
        let object = applied(Some(&live), &it, "me", true, NOW).object;
        for path in leaves(&fields_of(&it)) {
            prop_assert_eq!(values(&object, &path), values(&it, &path), "{:?}", path);
        }
    }

    #[test]
    fn disjoint_managers_do_not_disturb_each_other(mine in config("abc"), yours in config("xyz")) {
        let mut yours = yours;
        crate::meta::remove(&mut yours, "spec.replicas");
        crate::meta::remove(&mut yours, "spec.selector");
        let yours = without_empty(yours);
        let one = applied(None, &mine, "me", false, NOW).object;
        let both = applied(Some(&one), &yours, "you", false, NOW).object;
        let all = fields_of(&mine).union(fields_of(&yours));
        prop_assert_eq!(fields_of(&both), all);
        // I give up all of mine: yours stays, and nothing else.
        let left = applied(Some(&both), &nothing(), "me", false, LATER).object;
        prop_assert_eq!(fields_of(&left), fields_of(&yours));
        prop_assert_eq!(applied(Some(&left), &yours, "you", false, LATER).object, left);
    }

    #[test]
    fn what_nobody_applied_is_never_lost(live in config("abc"), it in config("abc")) {
        // Written before anybody was recorded, as by an older server.
        let mut live = live;
        live["metadata"]["uid"] = json!("u");
        let held = fields_of(&it);
        let object = applied(Some(&live), &it, "me", true, NOW).object;
        let left = applied(Some(&object), &nothing(), "me", false, LATER).object;
        for path in leaves(&fields_of(&live)).iter().filter(|path| !held.contains(path)) {
            prop_assert_eq!(values(&left, path), values(&live, path), "{:?}", path);
        }
    }

    #[test]
    fn every_field_has_the_updater_who_wrote_it_last(first in config("abc"), second in config("abc"), third in config("abc")) {
        let target = target();
        // Where there is nothing to own at first, nothing is tracked ever.
        let mut object = first;
        object["metadata"]["annotations"] = json!({"first": "yes"});
        update(&target, None, &mut object, "one", NOW).unwrap();
        object["metadata"]["uid"] = json!("u");
        for (mut next, manager) in [(second, "two"), (third, "three")] {
            next["metadata"]["uid"] = json!("u");
            next["metadata"]["annotations"] = json!({"first": "yes"});
            update(&target, Some(&object), &mut next, manager, LATER).unwrap();
            object = next;
        }
        let entries = ManagedFields::read(managed_of(&object)).unwrap().entries;
        for path in leaves(&fields_of(&object)) {
            let owners = entries.iter().filter(|entry| entry.set().contains(&path)).count();
            prop_assert_eq!(owners, 1, "{:?} in {:?}", path, &entries);
        }
        for entry in &entries {
            let mut dangling = Vec::new();
            entry.set().each(&mut |path| {
                if values(&object, path).is_none() {
                    dangling.push(path.to_vec());
                }
            });
            prop_assert!(dangling.is_empty(), "{:?}", dangling);
        }
    }

    #[test]
    fn no_input_panics(document in any_json(), change in any_json(), steps in vec(any_step(), 0..6)) {
        let target = target();
        let _ = patch::json(&document, &Value::Array(steps));
        let _ = patch::merge(&document, &change);
        let _ = patch::strategic(target.schema, target.ty, &document, &change);
        let mut written = change.clone();
        let _ = update(&target, Some(&document), &mut written, "me", NOW);
        let mut config = change;
        if let Value::Object(members) = &mut config {
            members.insert("apiVersion".into(), json!("apps/v1"));
            members.insert("kind".into(), json!("Deployment"));
        }
        let _ = apply(&target, Some(&document), &config, Options { manager: "kubectl", force: false, now: NOW });
        let _ = apply(&target, None, &config, Options { manager: "me", force: true, now: NOW });
    }
}

/// JSON that is often nearly a Deployment, and often has orders of a strategic patch.
fn any_json() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 25] = [
        "metadata",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
        "managedFields",
        "uid",
        "name",
        "spec",
        "template",
        "containers",
        "env",
        "ports",
        "containerPort",
        "volumes",
        "strategy",
        "status",
        "conditions",
        "type",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
        "manager",
        "kubectl.kubernetes.io/last-applied-configuration",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..3_i64).prop_map(Value::from),
        prop_oneof!["a", "b", "replace", "delete", "merge"].prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(prop::sample::select(&NAMES[..]), inner, 0..5).prop_map(|members| Value::Object(
                members.into_iter().map(|(name, it)| (name.to_owned(), it)).collect()
            )),
        ]
    })
}

fn any_step() -> impl Strategy<Value = Value> {
    let op = prop_oneof!["add", "remove", "replace", "move", "copy", "test"];
    let path = || "(/(metadata|spec|labels|0|-1|-)){0,3}";
    (op, path(), path(), any_json())
        .prop_map(|(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}))
}
