//! Services told as objects; rules, routes and answers compared as text.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::dns::{self, Reply};
use crate::names::{Answer, Kind, answer};
use crate::peers::{self, Peer};
use crate::rules::{Node, State, change, desired, frame};
use crate::*;

fn service(name: &str, ip: &str, extra: Value) -> Value {
    let mut service = json!({
        "metadata": {"name": name, "namespace": "d"},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    });
    if let (Some(spec), Some(extra)) = (service["spec"].as_object_mut(), extra.as_object()) {
        spec.extend(extra.clone());
    }
    service
}

fn slice(service: &str, endpoints: &[(&str, &str, bool)]) -> Value {
    let all: Vec<Value> = endpoints
        .iter()
        .map(|(ip, node, ready)| json!({"addresses": [ip], "nodeName": node, "conditions": {"ready": ready, "serving": ready}}))
        .collect();
    json!({
        "metadata": {"name": format!("{service}-x"), "namespace": "d", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "endpoints": all, "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

fn all(objects: &[(Value, Value)]) -> Services {
    let mut services = Services::default();
    for (service, slice) in objects {
        services.put_service(service);
        services.put_slice(slice);
    }
    services
}

fn node() -> Node {
    Node { name: "n1".to_owned(), pod_network: "10.244.0.0/16".to_owned(), service_ports: vec![80] }
}

fn rules(services: &Services) -> String {
    change(&State::default(), &desired(services, &node()))
}

#[test]
fn a_service_is_found_by_its_address_and_goes_to_one_of_its_endpoints() {
    let two = [("10.244.0.5", "n1", true), ("10.244.1.5", "n2", true)];
    let text = rules(&all(&[(service("web", "10.96.0.9", json!({})), slice("web", &two))]));
    assert!(
        text.contains("add element ip cluster services { 10.96.0.9 . tcp . 80 : goto svc_web_"),
        "{text}"
    );
    assert!(
        text.contains("dnat ip to numgen random mod 2 map { 0 : 10.244.0.5 . 8080, 1 : 10.244.1.5 . 8080 }"),
        "{text}"
    );
    assert!(text.contains("ip saddr != 10.244.0.0/16 meta mark set meta mark | 0x4000"), "{text}");
    assert!(text.contains("own { 10.244.0.5 . 10.244.0.5 }") && !text.contains("own { 10.244.1.5"), "{text}");
}

#[test]
fn policies_and_missing_endpoints_show_in_the_rules() {
    let far = [("10.244.1.5", "n2", true)];
    let node_port = json!({"type": "NodePort", "ports": [{"name": "http", "port": 80, "nodePort": 30080, "protocol": "TCP"}]});
    let mut balanced = service("a", "10.96.0.9", json!({"type": "LoadBalancer"}));
    balanced["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}});
    let mut local = node_port.clone();
    local["externalTrafficPolicy"] = json!("Local");
    let cases = [
        ("nobody", service("a", "10.96.0.9", json!({})), slice("a", &[]), "nobody { 10.96.0.9 . tcp . 80 }"),
        (
            "one",
            service("a", "10.96.0.9", json!({})),
            slice("a", &far),
            "meta l4proto tcp dnat to 10.244.1.5:8080",
        ),
        (
            "node port",
            service("a", "10.96.0.9", node_port),
            slice("a", &far),
            "node_ports { tcp . 30080 : goto ext_a_",
        ),
        ("balanced", balanced, slice("a", &far), "node_ports { tcp . 80 : goto ext_a_"),
        ("nobody here", service("a", "10.96.0.9", local), slice("a", &far), "nobody_ports { tcp . 30080 }"),
        (
            "sticky",
            service("a", "10.96.0.9", json!({"sessionAffinity": "ClientIP"})),
            slice("a", &[("10.244.1.5", "n2", true), ("10.244.1.6", "n2", true)]),
            "jhash ip saddr mod 2",
        ),
    ];
    for (name, service, slice, expected) in cases {
        let text = rules(&all(&[(service, slice)]));
        assert!(text.contains(expected), "{name}: {text}");
    }
    assert!(frame(&node()).contains("ip saddr 10.244.0.0/16 ip daddr 169.254.169.254 drop"));
}

#[test]
fn a_change_of_one_service_among_a_thousand_is_as_long_as_that_service() {
    let objects: Vec<_> = (0..1000)
        .map(|i| {
            let ip = format!("10.96.{}.{}", i / 250, i % 250 + 1);
            (
                service(&format!("s{i}"), &ip, json!({})),
                slice(&format!("s{i}"), &[("10.244.1.5", "n2", true)]),
            )
        })
        .collect();
    let mut services = all(&objects);
    let before = desired(&services, &node());
    services.put_slice(&slice("s7", &[("10.244.1.5", "n2", true), ("10.244.0.6", "n1", true)]));
    let after = desired(&services, &node());
    let text = change(&before, &after);
    assert!(text.lines().count() <= 6, "{text}");
    assert_eq!(change(&after, &after), "");
    let gone = change(&after, &State::default());
    assert!(
        gone.starts_with("delete element") && gone.contains("delete chain"),
        "elements go before the chains they name"
    );
}

#[test]
fn routes_follow_the_nodes() {
    let peer = |ip: &str, pods: &str| Peer { address: ip.parse().unwrap(), pods: pods.to_owned() };
    let one = BTreeMap::from([("b".to_owned(), peer("10.0.0.2", "10.244.1.0/24"))]);
    let (routes, bridge) = peers::change(&BTreeMap::new(), &one);
    assert_eq!(bridge, "fdb replace 0e:00:0a:00:00:02 dev cluster-vxlan dst 10.0.0.2\n");
    assert!(
        routes.contains("route replace 10.244.1.0/24 via 10.244.1.0 dev cluster-vxlan onlink"),
        "{routes}"
    );
    let (routes, bridge) = peers::change(&one, &BTreeMap::new());
    assert!(routes.contains("route del 10.244.1.0/24") && bridge.contains("fdb del"), "{routes}{bridge}");
    assert_eq!(peers::change(&one, &one), (String::new(), String::new()));
    let node = json!({"spec": {"podCIDR": "10.244.1.0/24"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.2"}]}});
    assert_eq!(Peer::read(&node), Some(peer("10.0.0.2", "10.244.1.0/24")));
}

#[test]
fn names_stand_for_what_the_specification_says() {
    let mut headless = slice("db", &[("10.244.0.7", "n1", true), ("10.244.1.7", "n2", false)]);
    headless["endpoints"][0]["hostname"] = json!("db-0");
    let services = all(&[
        (service("web", "10.96.0.9", json!({})), slice("web", &[])),
        (service("db", "None", json!({})), headless),
        (
            service("out", "", json!({"type": "ExternalName", "externalName": "Example.COM"})),
            slice("out", &[]),
        ),
    ]);
    let ip = |text: &str| text.parse().unwrap();
    let cases = [
        ("web.d.svc.cluster.local", Kind::A, Answer::Addresses(vec![ip("10.96.0.9")])),
        ("web.d.svc.cluster.local", Kind::Other, Answer::Nothing),
        ("none.d.svc.cluster.local", Kind::A, Answer::Missing),
        ("db.d.svc.cluster.local", Kind::A, Answer::Addresses(vec![ip("10.244.0.7")])),
        ("db-0.db.d.svc.cluster.local", Kind::A, Answer::Addresses(vec![ip("10.244.0.7")])),
        ("db-1.db.d.svc.cluster.local", Kind::A, Answer::Missing),
        (
            "_http._tcp.web.d.svc.cluster.local",
            Kind::Srv,
            Answer::Ports(vec![(80, "web.d.svc.cluster.local".to_owned())]),
        ),
        (
            "_http._tcp.db.d.svc.cluster.local",
            Kind::Srv,
            Answer::Ports(vec![(8080, "db-0.db.d.svc.cluster.local".to_owned())]),
        ),
        ("_http._udp.web.d.svc.cluster.local", Kind::Srv, Answer::Missing),
        ("out.d.svc.cluster.local", Kind::A, Answer::Alias("example.com".to_owned())),
        ("10-244-0-7.d.pod.cluster.local", Kind::A, Answer::Addresses(vec![ip("10.244.0.7")])),
        ("9.0.96.10.in-addr.arpa", Kind::Ptr, Answer::Pointer("web.d.svc.cluster.local".to_owned())),
        ("8.8.8.8.in-addr.arpa", Kind::Ptr, Answer::Elsewhere),
        ("example.com", Kind::A, Answer::Elsewhere),
        ("cluster.local", Kind::A, Answer::Nothing),
    ];
    for (name, kind, expected) in cases {
        assert_eq!(answer(&services, "cluster.local", name, kind), expected, "{name}");
    }
}

#[test]
fn messages_are_answered_byte_by_byte_and_hostile_ones_with_a_code_or_not_at_all() {
    let services = all(&[(service("web", "10.96.0.9", json!({})), slice("web", &[]))]);
    let reply = |message: &[u8]| dns::reply(&services, "cluster.local", message, true);
    let Reply::Send(answer) = reply(&dns::ask(7, "WEB.d.svc.cluster.local", 1)) else { panic!("it is ours") };
    assert_eq!((&answer[..2], answer[2] & 0x84, answer[3]), (&[0, 7][..], 0x84, 0x80));
    assert_eq!((answer[7], &answer[answer.len() - 4..]), (1, &[10, 96, 0, 9][..]));
    let Reply::Send(missing) = reply(&dns::ask(7, "no.d.svc.cluster.local", 1)) else { panic!("it is ours") };
    assert_eq!((missing[3] & 15, missing[7], missing[9]), (3, 0, 1), "no such name, with who says so");
    assert_eq!(reply(&dns::ask(7, "example.com", 1)), Reply::Forward);
    let question = dns::ask(7, "web.d.svc.cluster.local", 1);
    for cut in 0..question.len() {
        let _ = reply(&question[..cut]);
        let mut odd = question.clone();
        odd[cut] ^= 0xff;
        let _ = reply(&odd);
    }
    assert_eq!(reply(&question[..11]), Reply::Ignore);
}

#[test]
fn an_answer_too_long_for_udp_is_cut_and_says_so() {
    let many: Vec<_> = (0..100).map(|i| (format!("10.244.0.{i}"), "n1", true)).collect();
    let many: Vec<_> = many.iter().map(|(ip, node, ready)| (ip.as_str(), *node, *ready)).collect();
    let services = all(&[(service("db", "None", json!({})), slice("db", &many))]);
    let question = dns::ask(7, "db.d.svc.cluster.local", 1);
    let Reply::Send(short) = dns::reply(&services, "cluster.local", &question, true) else {
        panic!("it is ours")
    };
    assert!(short.len() <= 512 && short[2] & 2 == 2);
    let Reply::Send(long) = dns::reply(&services, "cluster.local", &question, false) else {
        panic!("it is ours")
    };
    assert_eq!((long[7], long[2] & 2), (100, 0));
}
