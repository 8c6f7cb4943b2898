//! JSON merge patch, RFC 7386: null removes, objects merge, everything else replaces.

use serde_json::{Map, Value};

use super::{PatchError, words};

/// Applies a merge patch to a document.
///
/// # Errors
/// [`PatchError::BadRequest`] where the patch is neither an object nor a list. A list
/// becomes the document; whoever decodes it will refuse it.
pub fn merge(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    match (document, patch) {
        (Value::Object(document), Value::Object(patch)) => {
            let mut document = document.clone();
            merge_members(&mut document, patch);
            Ok(Value::Object(document))
        }
        (_, Value::Object(_) | Value::Array(_)) => Ok(without_nulls(patch)),
        _ => Err(PatchError::BadRequest("Invalid JSON Patch".into())),
    }
}

/// What a request with strict or warning field validation (the default) hears before its
/// patch is applied.
///
/// # Errors
/// [`PatchError::BadRequest`] where the patch is not an object.
pub fn check_merge(patch: &Value) -> Result<(), PatchError> {
    match patch {
        Value::Object(_) | Value::Null => Ok(()),
        other => Err(PatchError::BadRequest(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            words::json_name(other)
        ))),
    }
}

fn merge_members(document: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        if value.is_null() {
            document.shift_remove(name);
            continue;
        }
        match (document.get_mut(name), value) {
            (Some(Value::Object(current)), Value::Object(patch)) => merge_members(current, patch),
            // Where an object stood, upstream takes a list as it is, nulls within included.
            (Some(current @ Value::Object(_)), value) => current.clone_from(value),
            (Some(current), value) => *current = without_nulls(value),
            (None, value) => {
                document.insert(name.clone(), without_nulls(value));
            }
        }
    }
}

/// A copy without members that are null; items of lists stay.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merge_patches_do_what_the_standard_and_upstreams_library_do() {
        for (document, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [1, 2]}), json!({"a": [{"b": null}, null]}), json!({"a": [{}, null]})),
            (json!({"a": {"b": 1}}), json!({"a": [{"b": null}]}), json!({"a": [{"b": null}]})),
            (json!({}), json!({"a": {"bb": {"ccc": null, "d": 1}}}), json!({"a": {"bb": {"d": 1}}})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({"a": null}), json!({"a": {"b": null}}), json!({"a": {}})),
            (json!({"a": 1}), json!([{"b": null}]), json!([{}])),
        ] {
            assert_eq!(merge(&document, &patch), Ok(expected), "{document} <- {patch}");
        }
    }

    #[test]
    fn removing_keeps_the_order_of_what_stays() {
        let merged = merge(&json!({"a": 1, "b": 2, "c": 3, "d": 4}), &json!({"b": null})).unwrap();
        assert_eq!(merged.to_string(), r#"{"a":1,"c":3,"d":4}"#);
    }

    #[test]
    fn what_is_neither_object_nor_list_is_a_bad_request() {
        for patch in [json!(null), json!("x"), json!(1)] {
            assert_eq!(merge(&json!({}), &patch), Err(PatchError::BadRequest("Invalid JSON Patch".into())));
        }
    }
}
