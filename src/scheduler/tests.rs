//! Decisions as tables: a cluster, a pod, where it goes or what is said.

use serde_json::{Value, json};

use crate::*;

fn node(name: &str, cpu: &str, extra: Value) -> Value {
    let mut node = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "zone": &name[..1]}},
        "spec": {},
        "status": {"allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "10"}},
    });
    if let (Some(node), Some(extra)) = (node["spec"].as_object_mut(), extra.as_object()) {
        node.extend(extra.clone());
    }
    node
}

fn pod(name: &str, spec: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": &name[..1]}},
        "spec": {"containers": [{"image": "i"}]},
    });
    if let (Some(pod), Some(spec)) = (pod["spec"].as_object_mut(), spec.as_object()) {
        pod.extend(spec.clone());
    }
    pod
}

fn cpu(amount: &str) -> Value {
    json!({"containers": [{"resources": {"requests": {"cpu": amount}}}]})
}

fn on(node: &str, mut spec: Value) -> Value {
    spec["nodeName"] = json!(node);
    spec
}

fn cluster(nodes: &[Value], pods: &[Value]) -> Cluster {
    let mut cluster = Cluster::default();
    nodes.iter().for_each(|node| cluster.put_node(Node::read(node)));
    pods.iter().for_each(|pod| cluster.put_pod(Pod::read(pod)));
    cluster
}

fn said(cluster: &Cluster, pod: &Value) -> String {
    match decide(cluster, &Pod::read(pod), 7) {
        Outcome::Node(node) => node.to_string(),
        Outcome::Nowhere(refusal) => refusal.message(),
    }
}

fn anti(key: &str, app: &str) -> Value {
    json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        [{"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}]}})
}

#[test]
fn a_pod_goes_where_it_fits_or_is_told_why_not_in_upstreams_words() {
    let tainted = json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]});
    let nodes = [
        node("a1", "1", json!({})),
        node("b1", "2", tainted),
        node("b2", "500m", json!({"unschedulable": true})),
    ];
    let full = cluster(&nodes, &[pod("x", on("a1", cpu("900m")))]);
    let tolerates = json!({"tolerations": [{"key": "k", "operator": "Exists"}]});
    let cases = [
        ("plain", pod("p", json!({})), "a1"),
        (
            "too big",
            pod("p", cpu("200m")),
            "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.",
        ),
        (
            "tolerated",
            pod("p", json!({"tolerations": tolerates["tolerations"], "nodeSelector": {"zone": "b"}})),
            "b1",
        ),
        (
            "selector",
            pod("p", json!({"nodeSelector": {"zone": "c"}})),
            "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable.",
        ),
    ];
    for (name, pod, expected) in cases {
        assert_eq!(said(&full, &pod), expected, "{name}");
    }
    assert_eq!(said(&Cluster::default(), &pod("p", json!({}))), "no nodes available to schedule pods");
}

#[test]
fn neighbours_attract_and_repel_by_topology() {
    let nodes = [node("a1", "4", json!({})), node("a2", "4", json!({})), node("b1", "4", json!({}))];
    let web = pod("w1", on("a1", json!({})));
    let near = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        [{"labelSelector": {"matchLabels": {"app": "w"}}, "topologyKey": "kubernetes.io/hostname"}]}}});
    let loner = pod("l1", on("b1", json!({"affinity": anti("zone", "p")})));
    let cases = [
        ("near the web", vec![web.clone()], near.clone(), "a1"),
        ("away from its zone", vec![web.clone()], json!({"affinity": anti("zone", "w")}), "b1"),
        (
            "an existing pod repels it",
            vec![loner, web.clone()],
            json!({"nodeSelector": {"zone": "b"}}),
            "0/3 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules, 2 node(s) didn't match Pod's node affinity/selector.",
        ),
        (
            "nobody to be near to",
            vec![],
            near,
            "0/3 nodes are available: 3 node(s) didn't match pod affinity rules.",
        ),
    ];
    for (name, pods, spec, expected) in cases {
        assert_eq!(said(&cluster(&nodes, &pods), &pod("p", spec)), expected, "{name}");
    }
}

#[test]
fn constraints_spread_pods_over_domains() {
    let nodes = [node("a1", "4", json!({})), node("b1", "4", json!({}))];
    let spread = json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
        "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "p"}}}]});
    let one = [pod("p1", on("a1", json!({})))];
    assert_eq!(said(&cluster(&nodes, &one), &pod("p2", spread.clone())), "b1");
    let mut only_a = spread;
    only_a["nodeName"] = json!("");
    only_a["tolerations"] = json!([]);
    let closed = [node("a1", "4", json!({})), node("b1", "4", json!({"unschedulable": true}))];
    assert_eq!(
        said(&cluster(&closed, &one), &pod("p2", only_a)),
        "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable."
    );
}

#[test]
fn replicas_of_one_owner_go_to_different_nodes() {
    let nodes = [node("a1", "4", json!({})), node("b1", "4", json!({}))];
    let owned = |name: &str, node: &str| {
        let mut pod = pod(name, on(node, json!({})));
        pod["metadata"]["ownerReferences"] = json!([{"uid": "rs", "controller": true}]);
        pod
    };
    for random in 0..8 {
        let cluster = cluster(&nodes, &[owned("p1", "a1")]);
        assert_eq!(decide(&cluster, &Pod::read(&owned("p2", "")), random), Outcome::Node("b1".into()));
    }
}

#[test]
fn the_least_important_pods_make_room_and_no_more_of_them_than_needed() {
    let nodes = [node("a1", "1", json!({}))];
    let with = |amount: &str, priority: i32| {
        let mut spec = on("a1", cpu(amount));
        spec["priority"] = json!(priority);
        spec
    };
    let cluster = cluster(
        &nodes,
        &[pod("low", with("400m", 1)), pod("mid", with("400m", 5)), pod("top", with("100m", 100))],
    );
    let mut wanted = cpu("300m");
    wanted["priority"] = json!(10);
    let wanted = Pod::read(&pod("p", wanted));
    let Outcome::Nowhere(refusal) = decide(&cluster, &wanted, 0) else { panic!("it fits") };
    let room = preempt(&cluster, &wanted, &refusal, &[]).expect("there is room to make");
    assert_eq!(
        (&*room.node, room.victims.iter().map(|pod| &*pod.name).collect::<Vec<_>>()),
        ("a1", vec!["low"])
    );
    let modest = Pod { may_preempt: false, ..wanted };
    assert_eq!(preempt(&cluster, &modest, &refusal, &[]), None);
}

#[test]
fn what_a_pod_takes_is_given_back_when_it_leaves() {
    let nodes = [node("a1", "1", json!({}))];
    let mut cluster = cluster(&nodes, &[]);
    let big = pod("p", on("a1", cpu("800m")));
    cluster.put_pod(Pod::read(&big));
    cluster.put_pod(Pod::read(&big));
    assert!(said(&cluster, &pod("q", cpu("800m"))).contains("Insufficient cpu"));
    cluster.remove_pod("p");
    assert_eq!(said(&cluster, &pod("q", cpu("800m"))), "a1");
}
