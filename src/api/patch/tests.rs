//! The patches against what upstream's API server made of them (cases/upstream.jsonl, written
//! by scripts/upstream-cases).

use serde_json::{Value, json};

use super::{PatchError, json as json_patch, merge, strategic};
use crate::kinds::registry;
use crate::schema::builtin;
use crate::{canonical, default, meta};

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What a patched object is brought to before it is stored.
fn settled(mut object: Value) -> Value {
    let (api_version, kind_name) = (text(&object, "apiVersion").to_owned(), text(&object, "kind").to_owned());
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let ty = builtin().find_kind(group, version, &kind_name).unwrap();
    default::fill(builtin(), ty, &mut object);
    let registry = registry();
    let kind = registry.by_kind(group, version, &kind_name).unwrap();
    (kind.strategy.default)(&mut object);
    canonical::normalise(builtin(), ty, &mut object);
    meta::remove(&mut object, "metadata.generation");
    object
}

fn text_of(value: &Value) -> String {
    value.to_string()
}

/// The answer that an error gets: code, reason and message.
fn answer(error: &PatchError) -> Value {
    let (code, reason, message) = match error {
        PatchError::BadRequest(message) => (400, json!("BadRequest"), message.as_str()),
        PatchError::TooLarge(message) => (413, json!("RequestEntityTooLarge"), message.as_str()),
        PatchError::Unprocessable(_) => (422, json!("Invalid"), PatchError::UNPROCESSABLE),
        PatchError::Internal(message) => (500, Value::Null, message.as_str()),
    };
    json!({"code": code, "reason": reason, "message": message})
}

#[test]
fn patches_come_out_as_upstream_has_them() {
    let mut live = std::collections::BTreeMap::new();
    let mut failures = Vec::new();
    let mut count = 0;
    for line in include_str!("cases/upstream.jsonl").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if let Some(made) = case.get("made") {
            live.insert(text(&case, "kind").to_owned(), made.clone());
            continue;
        }
        count += 1;
        let document: &Value = &live[text(&case, "kind")];
        let patch = &case["patch"];
        let patched = match text(&case, "type") {
            "json" => json_patch(document, patch),
            "merge" => merge(document, patch),
            _ => {
                let (group, version) = text(document, "apiVersion").split_once('/').unwrap_or(("", "v1"));
                let ty = builtin().find_kind(group, version, text(document, "kind")).unwrap();
                strategic(builtin(), ty, document, patch)
            }
        };
        let (ours, theirs) = match (patched, case.get("refused")) {
            (Err(error), Some(refused)) => (answer(&error), refused.clone()),
            (Ok(object), None) => (settled(object), settled(case["object"].clone())),
            (Ok(object), Some(refused)) => (object, refused.clone()),
            (Err(error), None) => (answer(&error), case["object"].clone()),
        };
        // As text where it is an object, so that order counts.
        let same =
            if case.get("refused").is_some() { ours == theirs } else { text_of(&ours) == text_of(&theirs) };
        if !same {
            failures.push(format!("{} {}:\n  {ours}\n  {theirs}", text(&case, "type"), text(&case, "case")));
        }
    }
    assert!(count >= 75, "{count} cases");
    assert!(failures.is_empty(), "{} patches differ\n{}", failures.len(), failures.join("\n"));
}
