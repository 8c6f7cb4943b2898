//! The smaller controllers in a world with watches.

use serde_json::{Value, json};

use crate::aggregation::Aggregation;
use crate::namespace::Deletion;
use crate::root_ca::RootCa;
use crate::service_account::ServiceAccounts;
use crate::world::World;
use crate::*;

fn namespace(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
}

fn delete(world: &World, name: &str) {
    world.delete("namespaces", &Place::cluster(name), Propagation::Background);
}

#[tokio::test(start_paused = true)]
async fn every_namespace_gets_a_default_account_and_gets_it_back() {
    let world = World::new();
    world.add("namespaces", namespace("one"));
    world.run(ServiceAccounts::default());
    let account = |name| Place::within(name, "default");
    world.until(|w| w.has("serviceaccounts", &account("one"))).await;
    world.add("namespaces", namespace("two"));
    world.until(|w| w.has("serviceaccounts", &account("two"))).await;
    world.vanish("serviceaccounts", &account("one"));
    world.until(|w| w.has("serviceaccounts", &account("one"))).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_ends_gets_nothing() {
    let world = World::new();
    world.add("namespaces", namespace("ending"));
    delete(&world, "ending");
    world.add("namespaces", namespace("staying"));
    world.run(ServiceAccounts::default());
    world.until(|w| w.has("serviceaccounts", &Place::within("staying", "default"))).await;
    assert_eq!(world.log(), ["create serviceaccounts staying/default"]);
}

#[tokio::test(start_paused = true)]
async fn the_authorities_are_published_and_put_right() {
    let world = World::new();
    world.add("namespaces", namespace("one"));
    let wrong =
        json!({"metadata": {"namespace": "one", "name": "kube-root-ca.crt"}, "data": {"ca.crt": "old"}});
    world.add("configmaps", wrong.clone());
    world.run(RootCa::new("PEM"));
    let place = Place::within("one", "kube-root-ca.crt");
    let right = |w: &World| w.find("configmaps", &place).is_some_and(|map| map["data"]["ca.crt"] == "PEM");
    world.until(right).await;
    world.add("configmaps", wrong);
    world.until(right).await;
    world.vanish("configmaps", &place);
    world.until(right).await;
}

#[tokio::test(start_paused = true)]
async fn aggregated_roles_follow_their_sources() {
    let world = World::new();
    let aggregate = json!({
        "metadata": {"name": "view"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"view": "true"}}]},
    });
    world.add("clusterroles", aggregate);
    world.run(Aggregation::default());
    let source =
        json!({"metadata": {"name": "x", "labels": {"view": "true"}}, "rules": [{"verbs": ["get"]}]});
    world.add("clusterroles", source);
    let rules = |w: &World| w.find("clusterroles", &Place::cluster("view")).unwrap()["rules"].clone();
    world.until(|w| rules(w) == json!([{"verbs": ["get"]}])).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_is_emptied_pods_first_and_let_go() {
    let world = World::new();
    world.add("namespaces", namespace("ns"));
    let named = |name: &str| json!({"metadata": {"namespace": "ns", "name": name}});
    world.add("pods", named("pod"));
    world.add("configmaps", named("map"));
    world.add("configmaps", json!({"metadata": {"namespace": "other", "name": "kept"}}));
    world.run(Deletion::default());
    delete(&world, "ns");
    world.until(|w| !w.has("namespaces", &Place::cluster("ns"))).await;
    assert!(world.has("configmaps", &Place::within("other", "kept")));
    let log = world.log();
    let all: Vec<_> = log.iter().filter(|line| line.starts_with("delete all")).collect();
    assert_eq!(all, ["delete all pods in ns", "delete all configmaps in ns"]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_says_which_finalizers_hold_it() {
    let world = World::new();
    world.add("namespaces", namespace("ns"));
    let place = Place::within("ns", "held");
    world.add(
        "configmaps",
        json!({"metadata": {"namespace": "ns", "name": "held", "finalizers": ["example.com/hold"]}}),
    );
    world.run(Deletion::default());
    delete(&world, "ns");
    let said = |w: &World| {
        let namespace = w.find("namespaces", &Place::cluster("ns"));
        namespace.is_some_and(|n| n.to_string().contains("example.com/hold in 1 resource instances"))
    };
    world.until(said).await;
    assert_eq!(world.find("namespaces", &Place::cluster("ns")).unwrap()["status"]["phase"], "Terminating");
    let mut free = world.find("configmaps", &place).unwrap();
    free["metadata"]["finalizers"] = json!([]);
    world.add("configmaps", free);
    world.until(|w| !w.has("namespaces", &Place::cluster("ns"))).await;
}
