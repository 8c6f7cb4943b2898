//! Dropping what a schema does not know.

use serde_json::{Map, Value};

use super::{additional, keeps_unknown, object_meta, properties, says};
use crate::canonical::to_vec;
use crate::decode::{Media, Strictness, decode};
use crate::schema::builtin;

/// A whole object: its kind is kept, its metadata is read as an ObjectMeta.
pub(super) fn resource(
    schema: &Value,
    value: &mut Value,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let Value::Object(map) = value else { return Ok(()) };
    if let Some(metadata) = map.get_mut("metadata") {
        *metadata = read_metadata(metadata, &below(path, "metadata"), unknown)?;
        if metadata.is_null() {
            map.shift_remove("metadata");
        }
    }
    fields(schema, map, path, &["apiVersion", "kind", "metadata"], unknown)
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn read_metadata(metadata: &Value, path: &str, unknown: &mut Vec<String>) -> Result<Value, String> {
    if metadata.is_null() {
        return Ok(Value::Null);
    }
    let decoded = decode(&to_vec(metadata), Media::Json, builtin(), object_meta(), Strictness::Warn);
    let decoded = decoded.map_err(|error| error.0)?;
    for problem in decoded.problems {
        // `unknown field "x.y"`: the path is within the metadata.
        if let Some(inner) = problem.strip_prefix("unknown field \"").and_then(|rest| rest.strip_suffix('"'))
        {
            unknown.push(below(path, inner));
        }
    }
    Ok(decoded.value)
}

fn value(schema: &Value, value: &mut Value, path: &str, unknown: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Object(_) if says(schema, "x-kubernetes-embedded-resource") => {
            resource(schema, value, path, unknown)
        }
        Value::Object(map) => fields(schema, map, path, &[], unknown),
        Value::Array(list) => {
            let Some(item) = schema.get("items") else { return Ok(()) };
            for (at, value) in list.iter_mut().enumerate() {
                self::value(item, value, &format!("{path}[{at}]"), unknown)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn fields(
    schema: &Value,
    map: &mut Map<String, Value>,
    path: &str,
    known: &[&str],
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let (listed, others, keeps) = (properties(schema), additional(schema), keeps_unknown(schema));
    let mut gone = Vec::new();
    for (name, value) in map.iter_mut().filter(|(name, _)| !known.contains(&name.as_str())) {
        let path = below(path, name);
        match listed.and_then(|listed| listed.get(name)).or(others) {
            Some(schema) => self::value(schema, value, &path, unknown)?,
            None if keeps => {}
            None => {
                gone.push(name.clone());
                unknown.push(path);
            }
        }
    }
    if !gone.is_empty() {
        map.retain(|name, _| !gone.contains(name));
    }
    Ok(())
}
