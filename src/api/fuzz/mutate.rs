//! Ways to break a tree, and ways to break its text.

use serde_json::{Map, Value, json};

use super::Random;

/// Values that have broken something somewhere.
fn odd(random: &mut Random) -> Value {
    let texts = [
        "",
        " ",
        "-",
        "0",
        "-1",
        "1e9",
        "1Ki",
        "9223372036854775808",
        "0.0000000001",
        "1500m",
        "..",
        "/",
        "a/b/c",
        "%",
        "%s%n",
        "\u{0}",
        "\u{7f}",
        "é",
        "\u{2028}",
        "ＡＢ",
        "2026-01-01T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "127.0.0.1",
        "::1",
        "10.0.0.0/8",
        "*",
        "$(A)",
        "{{",
        "kubernetes.io/os",
        "Always",
        "None",
        "100%",
        "101%",
        "YQ==",
        "YQ",
        "null",
    ];
    match random.below(14) {
        0 => Value::Null,
        1 => json!(random.one_in(2)),
        2 => json!([]),
        3 => json!({}),
        4 => json!(random.pick(&[0_i64, 1, -1, 65535, 65536, i64::MAX, i64::MIN, 2_147_483_648])),
        5 => json!(random.pick(&[0.5, -0.0, 1e300, 5e-324, 1e16])),
        6 => json!(u64::MAX),
        7 => json!("x".repeat(random.below(5000))),
        8 => json!([null, {}, [], "", 0]),
        9 => (0..random.below(500)).fold(json!(1), |inner, _| json!([inner])),
        10 => (0..random.below(500)).fold(json!(1), |inner, _| json!({"a": inner})),
        _ => json!(random.pick(&texts)),
    }
}

/// A copy with a few things changed.
pub(super) fn mutated(random: &mut Random, value: &Value, corpus: &[Value]) -> Value {
    let mut changed = value.clone();
    for _ in 0..random.below(4) {
        let foreign = random.pick(corpus);
        change(random, &mut changed, foreign, 0);
    }
    changed
}

fn change(random: &mut Random, value: &mut Value, foreign: &Value, depth: usize) {
    let deeper = depth < 12 && !random.one_in(6);
    match value {
        Value::Object(map) if !map.is_empty() && deeper => {
            let key = nth_key(map, random.below(map.len()));
            if let Some(inner) = map.get_mut(&key) {
                change(random, inner, foreign, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() && deeper => {
            let at = random.below(items.len());
            change(random, &mut items[at], foreign, depth + 1);
        }
        Value::Object(map) => change_map(random, map, foreign),
        Value::Array(items) => change_list(random, items, foreign),
        other => *other = odd(random),
    }
}

fn change_map(random: &mut Random, map: &mut Map<String, Value>, foreign: &Value) {
    let key = nth_key(map, random.below(map.len()));
    match random.below(5) {
        0 => drop(map.shift_remove(&key)),
        1 => drop(map.insert(key, odd(random))),
        2 => {
            let name = random.pick(&[
                "",
                "f:",
                "$patch",
                "$retainKeys",
                "$setElementOrder/containers",
                "a/b",
                "status",
                "é",
            ]);
            let value = if random.one_in(2) {
                json!(random.pick(&["delete", "replace", "merge"]))
            } else {
                odd(random)
            };
            map.insert((*name).to_owned(), value);
        }
        3 => {
            if let Some(value) = map.shift_remove(&key) {
                map.insert(format!("{key}x"), value);
            }
        }
        _ => {
            if let Some(other) = foreign.as_object().filter(|other| !other.is_empty()) {
                let key = nth_key(other, random.below(other.len()));
                map.insert(key.clone(), other[&key].clone());
            }
        }
    }
}

fn change_list(random: &mut Random, items: &mut Vec<Value>, foreign: &Value) {
    match random.below(4) {
        0 if !items.is_empty() => drop(items.remove(random.below(items.len()))),
        1 if !items.is_empty() => items.push(items[random.below(items.len())].clone()),
        2 => items.insert(random.below(items.len() + 1), odd(random)),
        _ => items.push(foreign.clone()),
    }
}

fn nth_key(map: &Map<String, Value>, at: usize) -> String {
    map.keys().nth(at).cloned().unwrap_or_default()
}

/// Text with a few bytes changed, cut or put in.
pub(super) fn garbled(random: &mut Random, mut text: Vec<u8>) -> Vec<u8> {
    let pieces: [&[u8]; 12] =
        [b"{", b"}", b"[", b"]", b"\"", b"\\", b"\\u", b"\\ud800", b"\xff", b"\0", b"-", b"e99999"];
    for _ in 0..random.below(4) {
        let at = random.below(text.len() + 1);
        match random.below(4) {
            0 => text.truncate(at),
            1 => drop(text.splice(at..at, random.pick(&pieces).iter().copied())),
            2 if at < text.len() => text[at] = random.next().to_le_bytes()[0],
            _ => {
                let end = (at + random.below(40)).min(text.len());
                let copy = text[at..end].to_vec();
                drop(text.splice(at..at, copy));
            }
        }
    }
    text
}
