//! Defaults of a structural schema.

use serde_json::{Map, Value};

use super::{additional, properties, says};

/// Gives absent fields their defaults, at every depth. `null` counts as absent where the schema
/// does not allow it, and goes where there is no default.
pub(super) fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => fields(schema, map),
        Value::Array(list) => {
            if let Some(item) = schema.get("items") {
                list.iter_mut().for_each(|value| fill(item, value));
            }
        }
        _ => {}
    }
}

fn fields(schema: &Value, map: &mut Map<String, Value>) {
    for (name, schema) in properties(schema).into_iter().flatten() {
        let absent = map.get(name).is_none_or(|value| value.is_null() && !says(schema, "nullable"));
        if absent {
            map.shift_remove(name);
            if let Some(default) = schema.get("default") {
                map.insert(name.clone(), default.clone());
            }
        }
        if let Some(value) = map.get_mut(name) {
            fill(schema, value);
        }
    }
    if let Some(schema) = additional(schema) {
        map.values_mut().for_each(|value| fill(schema, value));
    }
}
