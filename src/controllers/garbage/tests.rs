//! Owners and dependents in a world with watches, and the verdict's table.

use serde_json::{Value, json};

use super::decide::{Action, Ownership, Standing, decide};
use super::graph::{FOREGROUND, Node, ORPHAN, Owner};
use super::*;
use crate::Propagation;
use crate::world::{World, resource};

fn reference(kind: &str, owner: &Value, blocks: bool) -> Value {
    let version = if kind == "ConfigMap" || kind == "Pod" || kind == "Namespace" { "v1" } else { "apps/v1" };
    json!({
        "apiVersion": version, "kind": kind, "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks,
    })
}

fn object(name: &str, owners: &[Value]) -> Value {
    json!({"metadata": {"namespace": "ns", "name": name, "ownerReferences": owners}})
}

fn at(name: &str) -> Place {
    Place::within("ns", name)
}

/// A Deployment with a ReplicaSet with two Pods, one of which does not block.
fn family(world: &World) {
    let deployment = world.add("deployments", object("web", &[]));
    let set = world.add("replicasets", object("web-1", &[reference("Deployment", &deployment, true)]));
    world.add("pods", object("web-1-a", &[reference("ReplicaSet", &set, true)]));
    world.add("pods", object("web-1-b", &[reference("ReplicaSet", &set, false)]));
}

#[tokio::test(start_paused = true)]
async fn dependents_of_a_deleted_owner_go_too_down_to_the_last() {
    let world = World::new();
    family(&world);
    world.run(Garbage::default());
    world.delete("deployments", &at("web"), Propagation::Background);
    world.until(|w| !w.has("pods", &at("web-1-a")) && !w.has("pods", &at("web-1-b"))).await;
    assert!(!world.has("replicasets", &at("web-1")));
}

#[tokio::test(start_paused = true)]
async fn an_owner_deleted_in_the_foreground_goes_last() {
    let world = World::new();
    family(&world);
    world.run(Garbage::default());
    world.delete("deployments", &at("web"), Propagation::Foreground);
    world
        .until(|w| {
            let owner = w.has("deployments", &at("web"));
            assert!(owner || !w.has("pods", &at("web-1-a")), "the owner went before a dependent that blocks");
            !owner
        })
        .await;
    world.until(|w| !w.has("pods", &at("web-1-b"))).await;
    let log = world.log();
    assert!(log.contains(&"delete replicasets ns/web-1 Foreground".to_owned()), "{log:#?}");
}

#[tokio::test(start_paused = true)]
async fn orphans_are_kept_without_their_reference() {
    let world = World::new();
    family(&world);
    world.run(Garbage::default());
    world.delete("deployments", &at("web"), Propagation::Orphan);
    world.until(|w| !w.has("deployments", &at("web"))).await;
    let set = world.find("replicasets", &at("web-1")).unwrap();
    assert!(set["metadata"]["ownerReferences"].is_null(), "{set}");
    assert!(world.has("pods", &at("web-1-a")));
}

#[tokio::test(start_paused = true)]
async fn an_object_whose_owner_was_gone_before_anybody_watched_is_deleted() {
    let world = World::new();
    family(&world);
    world.vanish("deployments", &at("web"));
    world.run(Garbage::default());
    world.until(|w| !w.has("pods", &at("web-1-a"))).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_owner_keeps_an_object_and_the_first_ones_reference_goes() {
    let world = World::new();
    let one = world.add("configmaps", object("one", &[]));
    let two = world.add("configmaps", object("two", &[]));
    let owners = [reference("ConfigMap", &one, false), reference("ConfigMap", &two, false)];
    world.add("pods", object("shared", &owners));
    world.run(Garbage::default());
    world.delete("configmaps", &at("one"), Propagation::Background);
    let owners = |w: &World| w.find("pods", &at("shared")).unwrap()["metadata"]["ownerReferences"].clone();
    world.until(|w| owners(w).as_array().unwrap().len() == 1).await;
    assert_eq!(owners(&world)[0]["name"], "two");
}

#[tokio::test(start_paused = true)]
async fn two_that_own_each_other_and_are_deleted_in_the_foreground_do_go() {
    let world = World::new();
    let one = world.add("configmaps", object("one", &[]));
    let two = world.add("configmaps", object("two", &[reference("ConfigMap", &one, true)]));
    let mut one = one;
    one["metadata"]["ownerReferences"] = json!([reference("ConfigMap", &two, true)]);
    world.add("configmaps", one);
    world.run(Garbage::default());
    world.delete("configmaps", &at("one"), Propagation::Foreground);
    world.until(|w| !w.has("configmaps", &at("one")) && !w.has("configmaps", &at("two"))).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_for_an_owner_of_a_kind_that_nobody_serves() {
    let world = World::new();
    let owner = json!({"metadata": {"name": "x", "uid": "uid-x"}});
    let mut unknown = reference("ReplicaSet", &owner, false);
    unknown["kind"] = json!("Widget");
    world.add("pods", object("kept", &[unknown]));
    let seen = world.add("pods", object("dangling", &[reference("ReplicaSet", &owner, false)]));
    world.run(Garbage::default());
    world.until(|w| !w.has("pods", &Place::of(&seen))).await;
    assert!(world.has("pods", &at("kept")));
}

#[test]
fn the_verdict_follows_the_owners() {
    use Standing::{Dangling, Misplaced, Solid, Waiting};
    let (none, some) = (Ownership::default(), Ownership { any: true, waiting: false });
    let circle = Ownership { any: true, waiting: true };
    let cases = [
        ("no owner", &[][..], none, Action::Keep),
        ("an owner", &[Solid], none, Action::Keep),
        ("an owner of two", &[Dangling, Solid], none, Action::Disown(vec!["0".into()])),
        ("one waits, another stays", &[Waiting, Solid], none, Action::Disown(vec!["0".into()])),
        ("no owner left", &[Dangling, Dangling], none, Action::Delete(Propagation::Background)),
        ("the owner waits", &[Waiting], none, Action::Delete(Propagation::Background)),
        ("the owner waits for all", &[Waiting], some, Action::Delete(Propagation::Foreground)),
        ("a circle", &[Waiting], circle, Action::DeleteUnblocked),
        ("an impossible owner", &[Misplaced, Dangling], none, Action::Keep),
    ];
    for (name, standings, dependents, expected) in cases {
        let owner = |at: usize| Owner {
            uid: at.to_string().into(),
            api_version: "v1".into(),
            kind: "Pod".into(),
            name: "x".into(),
            blocks: true,
        };
        let owners: Vec<_> =
            standings.iter().enumerate().map(|(at, standing)| (owner(at), *standing)).collect();
        let node = Node::of(&resource("", "pods", "Pod", true), &json!({"metadata": {"uid": "u"}})).unwrap();
        assert_eq!(decide(&node, &owners, dependents), expected, "{name}");
    }
}

#[test]
fn finalizers_that_are_there_already_are_honoured() {
    for (finalizer, expected) in [
        (ORPHAN, Propagation::Orphan),
        (FOREGROUND, Propagation::Foreground),
        ("x/y", Propagation::Background),
    ] {
        let object = json!({"metadata": {"uid": "u", "finalizers": [finalizer]}});
        let node = Node::of(&resource("", "pods", "Pod", true), &object).unwrap();
        let owner = Owner {
            uid: "o".into(),
            api_version: "v1".into(),
            kind: "Pod".into(),
            name: "x".into(),
            blocks: false,
        };
        let owners = [(owner, Standing::Dangling)];
        assert_eq!(decide(&node, &owners, Ownership::default()), Action::Delete(expected), "{finalizer}");
    }
}
