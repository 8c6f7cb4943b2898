//! A structural schema in the model of built-in kinds, and its patterns.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::{PATTERN_BYTES, StructuralError, additional, keeps_unknown, object_meta, properties, says};
use crate::schema::{Field, ListType, Object, Rules, Scalar, Schema, Type, TypeId, builtin};

/// Compiles every pattern of a schema.
pub(super) fn patterns(
    schema: &Value,
    path: &str,
    depth: usize,
    found: &mut BTreeMap<String, Regex>,
) -> Result<(), StructuralError> {
    let depth = depth.checked_sub(1).ok_or_else(|| StructuralError::Depth { path: path.to_owned() })?;
    if let Some(text) = schema.get("pattern").and_then(Value::as_str) {
        let made = RegexBuilder::new(text).size_limit(PATTERN_BYTES).build().map_err(|source| {
            StructuralError::Pattern {
                path: path.to_owned(),
                text: text.to_owned(),
                source: Box::new(source),
            }
        })?;
        found.insert(text.to_owned(), made);
    }
    for (name, schema) in properties(schema).into_iter().flatten() {
        patterns(schema, &format!("{path}.properties[{name}]"), depth, found)?;
    }
    for word in ["items", "additionalProperties", "not"] {
        if let Some(schema) = schema.get(word).filter(|schema| schema.is_object()) {
            patterns(schema, &format!("{path}.{word}"), depth, found)?;
        }
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        for (at, schema) in schema.get(word).and_then(Value::as_array).into_iter().flatten().enumerate() {
            patterns(schema, &format!("{path}.{word}[{at}]"), depth, found)?;
        }
    }
    Ok(())
}

/// The whole object's type, with the metadata and the kind that every object has.
pub(super) fn model(raw: &Value) -> (Schema, TypeId) {
    let mut schema = Schema::for_custom_resource();
    let mut fields = object_fields(raw, &mut schema);
    fields.retain(|field| !matches!(&*field.name, "apiVersion" | "kind" | "metadata"));
    let text = || Type::Scalar(Scalar::String);
    fields.extend([Field::new("apiVersion", text()), Field::new("kind", text())]);
    let metadata = import(object_meta(), &mut BTreeMap::new(), &mut schema);
    fields.push(Field::new("metadata", Type::Object(metadata)));
    let root = schema.add(object(raw, fields));
    schema.settle_defaults();
    (schema, root)
}

fn object(raw: &Value, mut fields: Vec<Field>) -> Object {
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    let mut object = Object::default();
    object.fields = fields;
    object.preserve_unknown = keeps_unknown(raw);
    object.atomic = is_atomic(raw);
    object
}

fn is_atomic(raw: &Value) -> bool {
    raw.get("x-kubernetes-map-type").is_some_and(|word| word == "atomic")
}

/// Copies a built-in type with all that it refers to.
fn import(id: TypeId, done: &mut BTreeMap<TypeId, TypeId>, schema: &mut Schema) -> TypeId {
    if let Some(known) = done.get(&id) {
        return *known;
    }
    let mut object = builtin().object(id).clone();
    object.fields = Vec::new();
    let place = schema.add(object.clone());
    done.insert(id, place);
    object.fields = builtin().object(id).fields.clone();
    for field in &mut object.fields {
        field.ty = imported(&field.ty, done, schema);
    }
    schema.add(object)
}

fn imported(ty: &Type, done: &mut BTreeMap<TypeId, TypeId>, schema: &mut Schema) -> Type {
    match ty {
        Type::Object(id) => Type::Object(import(*id, done, schema)),
        Type::List(item) => Type::List(Box::new(imported(item, done, schema))),
        Type::Map(item) => Type::Map(Box::new(imported(item, done, schema))),
        other => other.clone(),
    }
}

fn object_fields(raw: &Value, schema: &mut Schema) -> Vec<Field> {
    let required = |name: &str| {
        raw.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|n| n == name))
    };
    let fields = properties(raw).into_iter().flatten();
    fields.map(|(name, raw)| Field { required: required(name), ..field(name, raw, schema) }).collect()
}

fn field(name: &str, raw: &Value, schema: &mut Schema) -> Field {
    let mut field = Field::new(name, ty(raw, schema));
    field.default = raw.get("default").cloned();
    field.published.default = field.default.clone();
    field.atomic = is_atomic(raw);
    field.published.list_type = raw.get("x-kubernetes-list-type").is_some();
    field.list = match raw.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListType::Set,
        Some("map") => {
            let keys = raw.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            ListType::Map(keys.into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect())
        }
        _ => ListType::Atomic,
    };
    if says(raw, "nullable") {
        field.rules = Some(Box::new(Rules { nullable: true, ..Rules::default() }));
    }
    field
}

fn ty(raw: &Value, schema: &mut Schema) -> Type {
    if says(raw, "x-kubernetes-int-or-string") {
        return Type::Scalar(Scalar::IntOrString);
    }
    match raw.get("type").and_then(Value::as_str) {
        Some("boolean") => Type::Scalar(Scalar::Bool),
        Some("integer") => Type::Scalar(Scalar::Int64),
        Some("number") => Type::Scalar(Scalar::Float64),
        Some("string") => Type::Scalar(Scalar::String),
        Some("array") => {
            let item = raw.get("items").map_or(Type::Any, |item| ty(item, schema));
            Type::List(Box::new(item))
        }
        Some("object") => match additional(raw) {
            Some(value) => Type::Map(Box::new(ty(value, schema))),
            None => {
                let fields = object_fields(raw, schema);
                Type::Object(schema.add(object(raw, fields)))
            }
        },
        _ => Type::Any,
    }
}
