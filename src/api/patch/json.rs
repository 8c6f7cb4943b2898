//! JSON patch, RFC 6902, with the liberties and bounds of upstream's library.
//!
//! Liberties that clients may lean on: `replace` and `copy` of what is not there count it as
//! null, `-1` is the last item, `test` of null passes where nothing is. Bounds: 10,000
//! operations, and 3 MiB added by `copy`, the only operation that outgrows its own text.

use serde_json::{Map, Value};

use super::{PatchError, words};

/// Most operations in one patch.
const MOST_OPERATIONS: usize = 10_000;
/// Most bytes that the copies of one patch may add.
const MOST_COPIED_BYTES: usize = 3 * 1024 * 1024;
/// What an operation may say.
const MEMBERS: [&str; 4] = ["op", "path", "from", "value"];

/// Applies a list of operations, in order, to a document.
///
/// # Errors
/// [`PatchError::BadRequest`] for what is no list of objects, [`PatchError::TooLarge`] for
/// too many, [`PatchError::Unprocessable`] for one that cannot be carried out or fails its
/// test: then nothing is applied.
pub fn json(document: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = operations(patch)?;
    let mut document = document.clone();
    let mut copied = 0;
    for operation in operations {
        run(&mut document, operation, &mut copied).map_err(PatchError::Unprocessable)?;
    }
    Ok(document)
}

/// What strict and warning requests hear about members that no operation has, in upstream's
/// words, before the patch is applied.
///
/// # Errors
/// [`PatchError::BadRequest`] where a member has the wrong type.
pub fn unknown_fields(patch: &Value) -> Result<Vec<String>, PatchError> {
    let wrong = |value: &Value, what: &str| {
        let name = words::json_name(value);
        PatchError::BadRequest(format!("error decoding patch: json: cannot unmarshal {name} into Go {what}"))
    };
    let operations = match patch {
        Value::Array(operations) => operations.as_slice(),
        Value::Null => &[],
        other => return Err(wrong(other, "value of type []handlers.jsonPatchOp")),
    };
    let mut unknown = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        let members = match operation {
            Value::Object(members) => members,
            Value::Null => continue,
            other => return Err(wrong(other, "value of type handlers.jsonPatchOp")),
        };
        for (name, value) in members {
            if !MEMBERS.contains(&name.as_str()) {
                unknown.push(format!("json patch unknown field \"[{at}].{name}\""));
            } else if name != "value" && !value.is_string() && !value.is_null() {
                return Err(wrong(value, &format!("struct field jsonPatchOp.{name} of type string")));
            }
        }
    }
    Ok(unknown)
}

fn operations(patch: &Value) -> Result<Vec<Option<&Map<String, Value>>>, PatchError> {
    let wrong = |value: &Value, ty: &str| {
        let name = words::json_name(value);
        PatchError::BadRequest(format!("json: cannot unmarshal {name} into Go value of type jsonpatch.{ty}"))
    };
    let operations = match patch {
        Value::Array(operations) => operations.as_slice(),
        Value::Null => &[],
        other => return Err(wrong(other, "Patch")),
    };
    let mut read = Vec::with_capacity(operations.len());
    for operation in operations {
        read.push(match operation {
            Value::Object(members) => Some(members),
            Value::Null => None,
            other => return Err(wrong(other, "Operation")),
        });
    }
    if read.len() > MOST_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {}",
            read.len()
        )));
    }
    Ok(read)
}

fn run(
    document: &mut Value,
    operation: Option<&Map<String, Value>>,
    copied: &mut usize,
) -> Result<(), String> {
    let text = |name: &str| match operation.and_then(|it| it.get(name)) {
        Some(Value::String(text)) => Ok(text.as_str()),
        _ => Err(format!("operation without a {name}")),
    };
    let value = operation.and_then(|it| it.get("value"));
    match text("op").unwrap_or("unknown") {
        "add" => add(document, text("path")?, value.cloned().unwrap_or_default()),
        "remove" => remove(document, text("path")?).map(drop),
        "replace" => replace(document, text("path")?, value),
        "move" => {
            let moved = remove(document, text("from")?)?;
            add(document, text("path")?, moved)
        }
        "copy" => {
            let (parent, key) = parent(document, text("from")?)?;
            let copy = read(parent, &key)?.cloned().unwrap_or_default();
            *copied = copied.saturating_add(bytes(&copy));
            if *copied > MOST_COPIED_BYTES {
                return Err(format!("copies add {copied} bytes, above {MOST_COPIED_BYTES}"));
            }
            add(document, text("path")?, copy)
        }
        "test" => test(document, text("path")?, value.unwrap_or(&Value::Null)),
        other => Err(format!("unexpected kind of operation: {other}")),
    }
}

/// The container that a path's last segment is looked up in, and that segment. What stands
/// before the first slash is not read.
fn parent<'d>(document: &'d mut Value, path: &str) -> Result<(&'d mut Value, String), String> {
    let missing = || format!("nothing at {path:?}");
    let mut segments = path.split('/').skip(1).map(unescaped);
    let mut key = segments.next().ok_or_else(missing)?;
    let mut at = document;
    for next in segments {
        at = match at {
            Value::Object(members) => members.get_mut(&key),
            Value::Array(items) => index(&key, items.len()).ok().and_then(|at| items.get_mut(at)),
            _ => None,
        }
        .ok_or_else(missing)?;
        key = next;
    }
    if at.is_object() || at.is_array() { Ok((at, key)) } else { Err(missing()) }
}

fn unescaped(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// Place of an existing item; negative ones count from the end.
fn index(key: &str, length: usize) -> Result<usize, String> {
    position(key, length).and_then(|at| if at < length { Ok(at) } else { Err(outside(key)) })
}

/// Place of an item or the one after the last.
fn position(key: &str, length: usize) -> Result<usize, String> {
    let at: i64 = key.parse().map_err(|_| format!("no index: {key:?}"))?;
    let length = i64::try_from(length).map_err(|_| outside(key))?;
    let at = if at < 0 { at + length } else { at };
    usize::try_from(at).map_err(|_| outside(key))
}

fn outside(key: &str) -> String {
    format!("index {key} is outside the list")
}

fn read<'d>(parent: &'d Value, key: &str) -> Result<Option<&'d Value>, String> {
    match parent {
        Value::Array(items) => index(key, items.len()).map(|at| items.get(at)),
        other => Ok(other.get(key)),
    }
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    match parent(document, path)? {
        (Value::Object(members), key) => {
            members.insert(key, value);
        }
        (Value::Array(items), key) => {
            let at = if key == "-" { items.len() } else { position(&key, items.len() + 1)? };
            if at > items.len() {
                return Err(outside(&key));
            }
            items.insert(at, value);
        }
        _ => {}
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str) -> Result<Value, String> {
    match parent(document, path)? {
        (Value::Object(members), key) => {
            members.shift_remove(&key).ok_or_else(|| format!("nothing at {path:?}"))
        }
        (Value::Array(items), key) => Ok(items.remove(index(&key, items.len())?)),
        _ => Err(format!("nothing at {path:?}")),
    }
}

fn replace(document: &mut Value, path: &str, value: Option<&Value>) -> Result<(), String> {
    if path.is_empty() {
        match value {
            Some(value @ (Value::Object(_) | Value::Array(_))) => document.clone_from(value),
            _ => return Err("a whole document is replaced by an object or a list only".into()),
        }
        return Ok(());
    }
    let value = value.cloned().unwrap_or_default();
    match parent(document, path)? {
        (Value::Object(members), key) => {
            members.insert(key, value);
        }
        (Value::Array(items), key) => {
            let at = index(&key, items.len())?;
            items[at] = value;
        }
        _ => {}
    }
    Ok(())
}

fn test(document: &mut Value, path: &str, expected: &Value) -> Result<(), String> {
    let found = if path.is_empty() {
        Some(&*document)
    } else {
        let (parent, key) = parent(document, path)?;
        read(parent, &key)?
    };
    if found.unwrap_or(&Value::Null) == expected {
        Ok(())
    } else {
        Err(format!("testing value {path} failed"))
    }
}

/// Length of a value's compact text.
fn bytes(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0 += text.len();
            Ok(text.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as j;

    fn applied(document: Value, patch: Value) -> Result<Value, PatchError> {
        json(&document, &patch)
    }

    #[test]
    fn operations_do_what_upstreams_library_does() {
        for (name, document, patch, expected) in [
            (
                "add a member",
                j!({"a": 1}),
                j!([{"op": "add", "path": "/b", "value": 2}]),
                j!({"a": 1, "b": 2}),
            ),
            (
                "add before an item",
                j!({"l": [1, 2]}),
                j!([{"op": "add", "path": "/l/1", "value": 9}]),
                j!({"l": [1, 9, 2]}),
            ),
            (
                "add at the end",
                j!({"l": [1]}),
                j!([{"op": "add", "path": "/l/-", "value": 2}]),
                j!({"l": [1, 2]}),
            ),
            (
                "-1 is the place after the last",
                j!({"l": [1]}),
                j!([{"op": "add", "path": "/l/-1", "value": 2}]),
                j!({"l": [1, 2]}),
            ),
            (
                "-1 removes the last",
                j!({"l": [1, 2]}),
                j!([{"op": "remove", "path": "/l/-1"}]),
                j!({"l": [1]}),
            ),
            ("add without a value adds null", j!({}), j!([{"op": "add", "path": "/a"}]), j!({"a": null})),
            (
                "escapes",
                j!({"a/b": {"c~d": 1}}),
                j!([{"op": "remove", "path": "/a~1b/c~0d"}]),
                j!({"a/b": {}}),
            ),
            ("the first segment is not read", j!({"a": 1}), j!([{"op": "remove", "path": "x/a"}]), j!({})),
            (
                "replace what is missing",
                j!({}),
                j!([{"op": "replace", "path": "/a", "value": 1}]),
                j!({"a": 1}),
            ),
            (
                "replace all",
                j!({"a": 1}),
                j!([{"op": "replace", "path": "", "value": {"b": 2}}]),
                j!({"b": 2}),
            ),
            (
                "move",
                j!({"a": {"b": 1}}),
                j!([{"op": "move", "from": "/a/b", "path": "/c"}]),
                j!({"a": {}, "c": 1}),
            ),
            (
                "copy",
                j!({"a": [1]}),
                j!([{"op": "copy", "from": "/a", "path": "/b"}]),
                j!({"a": [1], "b": [1]}),
            ),
            (
                "copy what is missing",
                j!({}),
                j!([{"op": "copy", "from": "/a", "path": "/b"}]),
                j!({"b": null}),
            ),
            (
                "test what is missing against null",
                j!({}),
                j!([{"op": "test", "path": "/a", "value": null}]),
                j!({}),
            ),
            (
                "test without regard to order",
                j!({"a": {"x": 1, "y": 2}}),
                j!([{"op": "test", "path": "/a", "value": {"y": 2, "x": 1}}]),
                j!({"a": {"x": 1, "y": 2}}),
            ),
            ("null is no operation at all", j!({"a": 1}), j!(null), j!({"a": 1})),
        ] {
            assert_eq!(applied(document, patch), Ok(expected), "{name}");
        }
    }

    #[test]
    fn an_operation_that_cannot_be_carried_out_is_unprocessable() {
        for (name, document, patch) in [
            ("failed test", j!({"a": 1}), j!([{"op": "test", "path": "/a", "value": 2}])),
            ("integers are not floats", j!({"a": 1}), j!([{"op": "test", "path": "/a", "value": 1.0}])),
            ("path to nothing", j!({}), j!([{"op": "add", "path": "/a/b", "value": 1}])),
            ("path through null", j!({"a": null}), j!([{"op": "add", "path": "/a/b", "value": 1}])),
            ("path through a scalar", j!({"a": "x"}), j!([{"op": "add", "path": "/a/b", "value": 1}])),
            ("add to the root", j!({}), j!([{"op": "add", "path": "", "value": {}}])),
            ("remove of nothing", j!({}), j!([{"op": "remove", "path": "/a"}])),
            ("index beyond the end", j!({"l": [1]}), j!([{"op": "add", "path": "/l/2", "value": 1}])),
            ("replace beyond the end", j!({"l": [1]}), j!([{"op": "replace", "path": "/l/1", "value": 1}])),
            ("index that is none", j!({"l": [1]}), j!([{"op": "remove", "path": "/l/x"}])),
            ("far below zero", j!({"l": [1]}), j!([{"op": "remove", "path": "/l/-2"}])),
            ("unknown operation", j!({}), j!([{"op": "increase", "path": "/a"}])),
            ("null operation", j!({}), j!([null])),
            ("no path", j!({}), j!([{"op": "add", "value": 1}])),
            ("whole document by a scalar", j!({}), j!([{"op": "replace", "path": "", "value": 1}])),
        ] {
            assert!(matches!(applied(document, patch), Err(PatchError::Unprocessable(_))), "{name}");
        }
    }

    #[test]
    fn what_is_no_patch_is_a_bad_request() {
        let error = |patch| applied(j!({}), patch).unwrap_err().to_string();
        assert_eq!(error(j!({})), "json: cannot unmarshal object into Go value of type jsonpatch.Patch");
        assert_eq!(error(j!([1])), "json: cannot unmarshal number into Go value of type jsonpatch.Operation");
        let error = |patch: Value| unknown_fields(&patch).unwrap_err().to_string();
        assert_eq!(
            error(j!([{"op": 1}])),
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string"
        );
        assert_eq!(
            unknown_fields(&j!([{"op": "add", "path": "/a", "foo": 1}])),
            Ok(vec!["json patch unknown field \"[0].foo\"".to_string()])
        );
    }

    #[test]
    fn operations_and_copies_are_bounded() {
        let many = vec![j!({"op": "test", "path": "/a"}); MOST_OPERATIONS + 1];
        let message = "The allowed maximum operations in a JSON patch is 10000, got 10001";
        assert_eq!(applied(j!({}), Value::Array(many)), Err(PatchError::TooLarge(message.into())));

        let doubling = vec![j!({"op": "copy", "from": "/l", "path": "/l/-"}); 30];
        let error = applied(j!({"l": ["x".repeat(1000)]}), Value::Array(doubling)).unwrap_err();
        assert!(error.to_string().ends_with("above 3145728"), "{error}");
    }
}
