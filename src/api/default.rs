//! Defaults of built-in kinds that depend on no other field: the tables'.
//!
//! A field that is absent is given its default; so is one that Go cannot tell from an absent
//! one, being zero and not held by pointer. What a default brings is filled in turn. Objects
//! that Go holds in place exist even where JSON leaves them out; objects by pointer do not.
//! Defaults that look at other fields are code, kind by kind, and run after this.

use serde_json::{Map, Value};

use crate::schema::{Field, Schema, Type, TypeId};
use crate::value::Quantity;

/// Gives an object's absent fields their defaults. Filling twice changes nothing.
pub fn fill(schema: &Schema, ty: TypeId, value: &mut Value) {
    if let Value::Object(map) = value {
        object(schema, ty, map);
    }
}

fn object(schema: &Schema, ty: TypeId, map: &mut Map<String, Value>) {
    if !schema.has_defaults(ty) {
        return;
    }
    for field in &schema.object(ty).fields {
        let within = field.ty.object().filter(|id| schema.has_defaults(*id));
        if !field.is_filled() && within.is_none() {
            continue;
        }
        if field.holds_resources() {
            if let Some(Value::Object(amounts)) = map.get_mut(&*field.name) {
                amounts.values_mut().for_each(in_thousandths);
            }
            continue;
        }
        match map.get_mut(&*field.name) {
            Some(value) if !is_absent(field, value) => nested(schema, &field.ty, value),
            _ => {
                if let Some(mut value) = brought(field) {
                    nested(schema, &field.ty, &mut value);
                    let nothing = field.default.is_none() && value.as_object().is_some_and(Map::is_empty);
                    if nothing && !map.contains_key(&*field.name) {
                        continue;
                    }
                    map.insert(field.name.to_string(), value);
                }
            }
        }
    }
}

/// What stands in an absent field's place.
fn brought(field: &Field) -> Option<Value> {
    let in_place = matches!(field.ty, Type::Object(_)) && !field.pointer;
    field.default.clone().or_else(|| in_place.then(|| Value::Object(Map::new())))
}

/// Whether Go holds the same for this value as for none.
fn is_absent(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => true,
        _ if field.pointer => false,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(value) => !value,
        Value::Array(list) => list.is_empty(),
        Value::Object(_) => false,
    }
}

/// Amounts of resources are kept in thousandths at the finest.
fn in_thousandths(amount: &mut Value) {
    if let Some(quantity) = amount.as_str().and_then(|text| Quantity::parse(text).ok()) {
        *amount = quantity.in_thousandths().to_string().into();
    }
}

fn nested(schema: &Schema, ty: &Type, value: &mut Value) {
    match (ty, value) {
        (Type::Object(id), Value::Object(map)) => object(schema, *id, map),
        (Type::List(item), Value::Array(list)) => {
            list.iter_mut().for_each(|value| nested(schema, item, value))
        }
        (Type::Map(item), Value::Object(map)) => {
            map.values_mut().for_each(|value| nested(schema, item, value))
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::builtin;

    fn filled(group: &str, version: &str, kind: &str, mut value: Value) -> Value {
        let ty = builtin().find_kind(group, version, kind).unwrap();
        fill(builtin(), ty, &mut value);
        let once = value.clone();
        fill(builtin(), ty, &mut value);
        assert_eq!(value, once, "filling again changes nothing");
        value
    }

    #[test]
    fn absent_and_zero_fields_are_given_their_defaults_at_every_depth() {
        let deployment = json!({"spec": {"replicas": 0, "template": {"spec": {"containers": [
            {"name": "a", "ports": [{"containerPort": 80}], "livenessProbe": {"periodSeconds": 0, "timeoutSeconds": 5}}]}}}});
        assert_eq!(
            filled("apps", "v1", "Deployment", deployment),
            json!({"spec": {"replicas": 0, "template": {"spec": {"containers": [
                {"name": "a", "ports": [{"containerPort": 80, "protocol": "TCP"}],
                 "livenessProbe": {"periodSeconds": 10, "timeoutSeconds": 5, "successThreshold": 1, "failureThreshold": 3},
                 "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}],
                "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                "securityContext": {}, "schedulerName": "default-scheduler"}},
                "strategy": {"type": "RollingUpdate"}, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}})
        );
    }

    #[test]
    fn amounts_of_resources_are_thousandths_at_the_finest() {
        let quota =
            filled("", "v1", "ResourceQuota", json!({"spec": {"hard": {"cpu": "1n", "memory": "1Gi"}}}));
        assert_eq!(quota["spec"]["hard"], json!({"cpu": "1m", "memory": "1Gi"}));
    }

    #[test]
    fn what_a_default_brings_is_filled_too_and_what_is_absent_by_pointer_stays_absent() {
        let set = filled("apps", "v1", "StatefulSet", json!({"spec": {}}));
        assert_eq!(
            set["spec"]["persistentVolumeClaimRetentionPolicy"],
            json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
        );
        let driver = filled("storage.k8s.io", "v1", "CSIDriver", json!({}));
        assert_eq!(driver["spec"]["volumeLifecycleModes"], json!(["Persistent"]));
        let pod =
            filled("", "v1", "Pod", json!({"spec": {"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}}));
        assert_eq!(pod["spec"]["volumes"], json!([{"name": "a", "hostPath": {"path": "/", "type": ""}}]));
        assert_eq!(filled("", "v1", "ConfigMap", json!({"data": {}})), json!({"data": {}}));
    }
}
