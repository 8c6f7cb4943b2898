//! The OpenAPI 2 document: the definitions of all groups, and their paths, in the older form.
//!
//! It is made of the version 3 documents: references are shorter, bodies are parameters, media
//! types are lists, and defaults and choices, which version 2 says otherwise or not at all, are gone.

use serde_json::{Map, Value, json};

use super::{Describe, VERSION};
use crate::kind::Registry;

/// The document of all that is served.
#[must_use]
pub fn document(registry: &Registry, describe: Describe<'_>) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    for (group, versions) in registry.groups() {
        for version in versions.keys() {
            let Some(mut part) = super::document(registry, group, version, describe) else { continue };
            if let Value::Object(schemas) = part["components"]["schemas"].take() {
                merge_definitions(&mut definitions, schemas);
            }
            if let Value::Object(found) = part["paths"].take() {
                paths.extend(found.into_iter().map(|(path, item)| (path, path_item(item))));
            }
        }
    }
    paths.sort_keys();
    definitions.sort_keys();
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": {
            "description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header",
        }},
        "security": [{"BearerToken": []}],
    })
}

/// Adds definitions. Those of options and events name a kind of each document's group: all stay.
fn merge_definitions(all: &mut Map<String, Value>, schemas: Map<String, Value>) {
    const KINDS: &str = "x-kubernetes-group-version-kind";
    for (name, schema) in schemas {
        let mut schema = definition(schema);
        if let Some(known) = all.get_mut(&name) {
            let more = schema.get_mut(KINDS).map(Value::take);
            if let (Some(Value::Array(kinds)), Some(Value::Array(more))) = (known.get_mut(KINDS), more) {
                let new: Vec<Value> = more.into_iter().filter(|kind| !kinds.contains(kind)).collect();
                kinds.extend(new);
            }
        } else {
            all.insert(name, schema);
        }
    }
}

/// A schema in the older form.
fn definition(schema: Value) -> Value {
    match schema {
        Value::Object(mut map) => {
            // What is a choice in version 3 is a string there; a reference needs no list around it.
            if let Some(choices) = map.remove("oneOf") {
                let text = choices.as_array().is_some_and(|list| list.contains(&json!({"type": "string"})));
                map.insert("type".to_owned(), if text { "string".into() } else { "object".into() });
            }
            if let Some(Value::Array(mut all)) = map.remove("allOf")
                && let Some(Value::Object(only)) = all.pop()
            {
                map.extend(only);
            }
            map.remove("default");
            map.into_iter()
                .map(|(name, value)| (name.clone(), within(&name, value)))
                .collect::<Map<_, _>>()
                .into()
        }
        other => other,
    }
}

fn within(name: &str, value: Value) -> Value {
    match (name, value) {
        ("$ref", Value::String(text)) => text.replace("#/components/schemas/", "#/definitions/").into(),
        ("properties", Value::Object(map)) => {
            map.into_iter().map(|(name, value)| (name, definition(value))).collect::<Map<_, _>>().into()
        }
        ("items" | "additionalProperties", value) => definition(value),
        (_, value) => value,
    }
}

fn path_item(item: Value) -> Value {
    let Value::Object(map) = item else { return item };
    let one = |(name, value): (String, Value)| {
        let value = match (&*name, value) {
            ("parameters", Value::Array(list)) => list.into_iter().map(parameter).collect(),
            (_, operation) => self::operation(operation),
        };
        (name, value)
    };
    map.into_iter().map(one).collect::<Map<_, _>>().into()
}

fn parameter(parameter: Value) -> Value {
    let Value::Object(mut map) = parameter else { return parameter };
    if let Some(Value::Object(schema)) = map.remove("schema") {
        map.extend(schema);
    }
    map.into()
}

fn operation(operation: Value) -> Value {
    let Value::Object(mut map) = operation else { return operation };
    let mut parameters: Vec<Value> = Vec::new();
    let mut consumes = vec![Value::from("*/*")];
    if let Some(Value::Object(content)) =
        map.remove("requestBody").as_mut().map(|body| body["content"].take())
    {
        consumes = content.keys().map(|media| media.as_str().into()).collect();
        let schema = content.into_iter().next().map(|(_, mut media)| definition(media["schema"].take()));
        parameters.push(json!({"name": "body", "in": "body", "required": true, "schema": schema}));
    }
    if let Some(Value::Array(more)) = map.remove("parameters") {
        parameters.extend(more.into_iter().map(parameter));
    }
    let mut produces = Vec::new();
    if let Some(Value::Object(responses)) = map.get_mut("responses") {
        for response in responses.values_mut().filter_map(Value::as_object_mut) {
            if let Some(Value::Object(content)) = response.remove("content") {
                produces = content.keys().map(|media| media.as_str().into()).collect();
                if let Some((_, mut media)) = content.into_iter().next() {
                    response.insert("schema".to_owned(), definition(media["schema"].take()));
                }
            }
        }
    }
    map.insert("consumes".to_owned(), consumes.into());
    map.insert("produces".to_owned(), Value::Array(produces));
    map.insert("schemes".to_owned(), json!(["https"]));
    if !parameters.is_empty() {
        map.insert("parameters".to_owned(), parameters.into());
    }
    map.into()
}
