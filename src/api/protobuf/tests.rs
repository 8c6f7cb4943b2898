//! Messages that Go's generated code wrote of our own objects (golden.jsonl: the object as Go's
//! JSON, the body as base64), round trips, and hostile bytes.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::canonical::{normalise, to_vec};
use crate::schema::builtin;
use crate::value::base64;

const GOLDEN: &str = include_str!("golden.jsonl");

fn kind_of(value: &Value) -> TypeId {
    let version = value["apiVersion"].as_str().unwrap();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    builtin().find_kind(group, version, value["kind"].as_str().unwrap()).unwrap_or_else(|| {
        // Options are of every group.
        builtin().find("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions").unwrap()
    })
}

fn bodies() -> impl Iterator<Item = (Value, Vec<u8>)> {
    GOLDEN.lines().map(|line| {
        let (json, body): (String, String) = serde_json::from_str(line).unwrap();
        (serde_json::from_str(&json).unwrap(), base64::decode(&body).unwrap())
    })
}

#[test]
fn what_gos_clients_send_is_the_object_that_their_json_is() {
    for (json, body) in bodies() {
        let ty = kind_of(&json);
        let envelope = open(&body).unwrap();
        let mut value = decode(&envelope.raw, builtin(), ty).unwrap();
        value["apiVersion"] = envelope.api_version.into();
        value["kind"] = envelope.kind.into();
        normalise(builtin(), ty, &mut value);
        assert_eq!(String::from_utf8(to_vec(&value)).unwrap(), String::from_utf8(to_vec(&json)).unwrap());
    }
}

#[test]
fn what_we_write_is_what_go_writes() {
    for (json, body) in bodies() {
        assert!(encode_object(&json, builtin(), kind_of(&json)) == body, "{} differs", json["kind"]);
    }
}

#[test]
fn a_body_that_is_none_is_refused_in_upstreams_words() {
    for (body, expect) in [
        (&b""[..], "empty data"),
        (b"{}", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
        (b"k8s\0", "empty body"),
        (b"k8s\0\x0a\x05a", "unexpected EOF"),
        (b"k8s\0\x0f\x05a", "proto: illegal wireType 7"),
        (b"k8s\0\x02\x05a", "proto: Unknown: illegal tag 0 (wire type 2)"),
    ] {
        assert_eq!(open(body).map_err(|e| e.to_string()), Err(expect.to_owned()));
    }
    let pod = builtin().find_kind("", "v1", "Pod").unwrap();
    let error = decode(&[8, 1], builtin(), pod).unwrap_err();
    assert_eq!(error.to_string(), "proto: wrong wireType = 0 for field metadata");
}

#[test]
fn messages_deep_within_each_other_are_refused() {
    let schema =
        builtin().find("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps").unwrap();
    let not = builtin().object(schema).field("not").unwrap().number;
    let mut message = Vec::new();
    for _ in 0..5000 {
        let mut outer = Vec::new();
        wire::write_bytes(not, &message, &mut outer);
        message = outer;
    }
    assert_eq!(decode(&message, builtin(), schema), Err(ProtobufError::Depth));
}

fn pods() -> impl Strategy<Value = Value> {
    let text = || proptest::option::of("[a-z]{0,6}");
    let number = || proptest::option::of(any::<i32>());
    let labels = proptest::collection::btree_map("[a-z]{1,4}", "[a-z<é]{0,4}", 0..3);
    let port = (number(), text()).prop_map(|(port, name)| json!({"containerPort": port, "name": name}));
    let container =
        (text(), proptest::collection::vec(port, 0..3), "[1-9][0-9]{0,5}(m|Mi|k|e3)?", any::<bool>())
            .prop_map(|(name, ports, cpu, tty)| {
                json!({"name": name, "ports": ports, "tty": tty, "resources": {"limits": {"cpu": cpu}},
                "livenessProbe": {"httpGet": {"port": if tty { json!("a") } else { json!(5) }}}})
            });
    (labels, proptest::collection::vec(container, 0..3), number(), 0..4_000_000_000_i64).prop_map(
        |(labels, containers, priority, created)| {
            let created = crate::value::time::Instant { seconds: created, nanos: 0 }.print();
            json!({"metadata": {"labels": labels, "creationTimestamp": created},
                "spec": {"containers": containers, "priority": priority, "volumes": [{"name": "v", "emptyDir": {}}]}})
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_is_read_back(mut pod in pods()) {
        let ty = builtin().find_kind("", "v1", "Pod").unwrap();
        normalise(builtin(), ty, &mut pod);
        let mut back = decode(&encode(&pod, builtin(), ty), builtin(), ty).unwrap();
        normalise(builtin(), ty, &mut back);
        prop_assert_eq!(back, pod);
    }

    #[test]
    fn damaged_bodies_are_answered(at in any::<prop::sample::Index>(), which in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let bodies: Vec<_> = bodies().collect();
        let (json, mut body) = bodies[which.index(bodies.len())].clone();
        let at = at.index(body.len());
        body[at] = byte;
        if cut {
            body.truncate(at);
        }
        if let Ok(envelope) = open(&body) {
            let _ = decode(&envelope.raw, builtin(), kind_of(&json));
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>) {
        let _ = decode(&bytes, builtin(), builtin().find_kind("", "v1", "Pod").unwrap());
        let _ = open(&[MAGIC.as_slice(), &bytes].concat());
    }
}
