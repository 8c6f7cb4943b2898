//! What is fed, and what must hold of what comes out.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::mutate::{garbled, mutated};
use super::{Random, rounds};
use crate::apply::{self, ApplyError, Options, Target};
use crate::decode::{Expected, Media, Strictness, request};
use crate::kind::{Context, Kind, Registry, Version};
use crate::kinds::flow;
use crate::{canonical, default, kinds, patch, protobuf};

static KINDS: LazyLock<Registry> = LazyLock::new(kinds::registry);

pub(super) const NOW: &str = "2026-01-02T03:04:05Z";

/// The kind that an object says it is, or any.
fn kind_of(random: &mut Random, object: &Value) -> (Arc<Kind>, Version) {
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
    let found = KINDS.by_kind(group, version, object["kind"].as_str().unwrap_or_default());
    let kind = match found {
        Some(kind) if !random.one_in(20) => Arc::clone(kind),
        _ => {
            let at = random.below(KINDS.iter().count());
            Arc::clone(KINDS.iter().nth(at).unwrap())
        }
    };
    let version = kind.versions[0].clone();
    (kind, version)
}

fn expected<'a>(kind: &'a Kind, version: &'a Version) -> Expected<'a> {
    Expected {
        schema: &kind.schema,
        ty: version.object,
        group: &kind.group,
        version: &version.name,
        kind: &kind.kind,
    }
}

fn strictness(random: &mut Random) -> Strictness {
    *random.pick(&[Strictness::Ignore, Strictness::Warn, Strictness::Strict])
}

/// What was read is in a form that reads as itself.
fn settles(kind: &Kind, version: &Version, mut value: Value) -> Value {
    canonical::normalise(&kind.schema, version.object, &mut value);
    let once = canonical::to_vec(&value);
    canonical::normalise(&kind.schema, version.object, &mut value);
    assert_eq!(once, canonical::to_vec(&value), "the canonical form has a canonical form");
    let again = request(&once, Media::Json, &expected(kind, version), Strictness::Strict);
    let mut again = again.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&once))).value;
    canonical::normalise(&kind.schema, version.object, &mut again);
    assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&canonical::to_vec(&again)));
    value
}

#[test]
fn whatever_is_sent_is_read_or_refused_and_settles() {
    rounds("decode", |random, corpus| {
        let seed = random.pick(corpus);
        let (kind, version) = kind_of(random, seed);
        let text = mutated(random, seed, corpus).to_string().into_bytes();
        let body = if random.one_in(2) { garbled(random, text) } else { text };
        let strictness = strictness(random);
        if let Ok(decoded) = request(&body, Media::Json, &expected(&kind, &version), strictness) {
            settles(&kind, &version, decoded.value);
        }
    });
}

#[test]
fn protobuf_bodies_are_read_or_refused_and_say_what_json_says() {
    rounds("protobuf", |random, corpus| {
        let seed = random.pick(corpus);
        let (kind, version) = kind_of(random, seed);
        let expected = expected(&kind, &version);
        let text = mutated(random, seed, corpus).to_string();
        let Ok(decoded) = request(text.as_bytes(), Media::Json, &expected, Strictness::Ignore) else {
            return;
        };
        let mut value = settles(&kind, &version, decoded.value);
        if let Some(templates) = value.pointer_mut("/spec/volumeClaimTemplates") {
            forget_kinds(templates);
        }
        let body = protobuf::encode_object(&value, &kind.schema, version.object);
        let read = request(&body, Media::Protobuf, &expected, Strictness::Strict);
        let read = read.unwrap_or_else(|error| panic!("{error}\n{value}"));
        let read = settles(&kind, &version, read.value);
        assert_eq!(value.to_string(), read.to_string());
        if let Ok(other) = request(&garbled(random, body), Media::Protobuf, &expected, strictness(random)) {
            let _ = settles(&kind, &version, other.value);
        }
    });
}

/// In protobuf only the outermost object says its kind.
fn forget_kinds(templates: &mut Value) {
    for template in templates.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        template.retain(|name, _| name != "kind" && name != "apiVersion");
    }
}

#[test]
fn yaml_bodies_are_read_or_refused() {
    rounds("yaml", |random, corpus| {
        let seed = random.pick(corpus);
        let (kind, version) = kind_of(random, seed);
        // Every JSON text is a YAML text, and what is cut out of one often still is.
        let text = mutated(random, seed, corpus).to_string().into_bytes();
        let text = garbled(random, text);
        let text = [random.pick(&["", "---\n", "- ", "a: &b\n  ", "? "]).as_bytes(), &text].concat();
        if let Ok(decoded) = request(&text, Media::Yaml, &expected(&kind, &version), strictness(random)) {
            let _ = settles(&kind, &version, decoded.value);
        }
    });
}

#[test]
fn whatever_was_read_is_defaulted_and_validated() {
    let extra = BTreeMap::new();
    let context = Context { user: "fuzz", uid: "", groups: &[], extra: &extra, now: NOW };
    rounds("validate", |random, corpus| {
        let seed = random.pick(corpus);
        let (kind, version) = kind_of(random, seed);
        let read = |value: &Value, random: &mut Random| {
            let body = mutated(random, value, corpus).to_string();
            let decoded =
                request(body.as_bytes(), Media::Json, &expected(&kind, &version), Strictness::Ignore).ok()?;
            let mut object = decoded.value;
            default::fill(&kind.schema, version.object, &mut object);
            (kind.strategy.default)(&mut object);
            Some(object)
        };
        let (Some(mut new), Some(old)) = (read(seed, random), read(seed, random)) else {
            return;
        };
        let mut created = new.clone();
        flow::prepare_create(&kind, &mut created, &context);
        if flow::validate_create(&kind, &created).is_ok() {
            let _ = flow::warnings(&kind, None, &created, None);
            let _ = kind.table.cells(&created, 1_800_000_000);
        }
        flow::prepare_update(&kind, None, &mut new, &old, &context);
        if flow::validate_update(&kind, None, &new, &old).is_ok() {
            let _ = flow::warnings(&kind, None, &new, Some(&old));
            settles(&kind, &version, new);
        }
    });
}

#[test]
fn patches_patch_or_are_refused() {
    rounds("patch", |random, corpus| {
        let document = random.pick(corpus);
        let (kind, version) = kind_of(random, document);
        let other = mutated(random, document, corpus);
        let _ = patch::merge(document, &other);
        if let Ok(patched) = patch::strategic(&kind.schema, version.object, document, &other) {
            // What is patched is read anew before anything else sees it.
            let body = patched.to_string();
            let _ = request(body.as_bytes(), Media::Json, &expected(&kind, &version), Strictness::Warn);
        }
        let operations = operations(random, document, corpus);
        let _ = patch::json(document, &operations);
    });
}

fn operations(random: &mut Random, document: &Value, corpus: &[Value]) -> Value {
    let mut all = Vec::new();
    for _ in 0..random.below(5) {
        let (path, from) = (pointer(random, document), pointer(random, document));
        let op = random.pick(&["add", "remove", "replace", "move", "copy", "test", "none"]);
        all.push(serde_json::json!({"op": op, "path": path, "from": from, "value": random.pick(corpus)["metadata"]}));
    }
    mutated(random, &Value::Array(all), corpus)
}

fn pointer(random: &mut Random, mut value: &Value) -> String {
    let mut path = String::new();
    for _ in 0..random.below(6) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                let (key, inner) = map.iter().nth(random.below(map.len())).unwrap();
                path += &format!("/{}", key.replace('~', "~0").replace('/', "~1"));
                value = inner;
            }
            Value::Array(items) if !items.is_empty() => {
                let at = random.below(items.len());
                path += &format!("/{at}");
                value = &items[at];
            }
            _ => break,
        }
    }
    path + *random.pick(&["", "", "", "/-", "/~2", "/x"])
}

#[test]
fn applying_twice_changes_nothing_and_ownership_survives_what_is_sent_as_such() {
    rounds("apply", |random, corpus| {
        let seed = random.pick(corpus);
        let (kind, version) = kind_of(random, seed);
        let read = |random: &mut Random| {
            let body = mutated(random, seed, corpus).to_string();
            let decoded =
                request(body.as_bytes(), Media::Json, &expected(&kind, &version), Strictness::Ignore).ok()?;
            Some(settles(&kind, &version, decoded.value))
        };
        let (Some(live), Some(mut config)) = (read(random), read(random)) else {
            return;
        };
        let api_version = kind.api_version(&version.name);
        let reset = apply::Reset::default();
        let target = Target {
            schema: &kind.schema,
            ty: version.object,
            api_version: &api_version,
            kind: &kind.kind,
            subresource: "",
            reset: &reset,
            versions: &apply::OneVersion,
        };
        let mut updated = config.clone();
        let _ = apply::update(&target, Some(&live), &mut updated, "someone", NOW);
        if let Some(metadata) = config["metadata"].as_object_mut() {
            metadata.shift_remove("managedFields");
        }
        let options = Options { manager: "me", force: random.one_in(2), now: NOW };
        let applied = match apply::apply(&target, Some(&live), &config, options) {
            Ok(applied) => applied,
            Err(ApplyError::Conflict(conflicts)) => {
                assert!(!options.force, "force meets no conflicts");
                let _ = conflicts.status();
                return;
            }
            Err(_) => return,
        };
        let once = settles(&kind, &version, applied.object);
        let again = apply::apply(&target, Some(&once), &config, Options { force: false, ..options });
        let again = again.unwrap_or_else(|error| panic!("{error}\n{once}\n{config}"));
        let twice = settles(&kind, &version, again.object);
        assert_eq!(once.to_string(), twice.to_string());
    });
}
