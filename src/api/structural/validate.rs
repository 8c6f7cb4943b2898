//! Validation by a structural schema, with upstream's words and in its order.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::format::is_of;
use super::{additional, properties, says};
use crate::field_error::{ErrorKind, Errors, FieldError};

pub(super) struct Validator<'a> {
    pub(super) patterns: &'a BTreeMap<String, Regex>,
}

/// The path that upstream prints where it has none.
const NOWHERE: &str = "<nil>";

fn put(errors: &mut Errors, kind: ErrorKind, path: &str, value: Value, detail: String) {
    errors.0.push(FieldError { kind, path: path.to_owned(), value, detail });
}

fn invalid(errors: &mut Errors, path: &str, value: &Value, detail: String) {
    put(errors, ErrorKind::Invalid, path, value.clone(), format!("{path} in body {detail}"));
}

fn nowhere(errors: &mut Errors, detail: String) {
    put(errors, ErrorKind::Invalid, NOWHERE, "".into(), detail);
}

impl Validator<'_> {
    /// A whole object, then what its lists may not hold twice.
    pub(super) fn whole(&self, schema: &Value, value: &Value, errors: &mut Errors) {
        self.value(schema, value, "", errors);
        if errors.is_empty() {
            lists(schema, value, "", errors);
        }
    }

    fn value(&self, schema: &Value, value: &Value, path: &str, errors: &mut Errors) {
        if value.is_null() && says(schema, "nullable") {
            return;
        }
        type_of(schema, value, path, errors);
        self.logic(schema, value, path, errors);
        match value {
            Value::String(text) => self.text(schema, text, path, errors),
            Value::Number(_) => number(schema, value, path, errors),
            Value::Array(list) => self.list(schema, list, path, errors),
            _ => {}
        }
        enumeration(schema, value, path, errors);
        if let Value::Object(map) = value {
            self.object(schema, map, path, errors);
        }
    }

    fn text(&self, schema: &Value, text: &str, path: &str, errors: &mut Errors) {
        let length = text.chars().count() as u64;
        let value = Value::from(text);
        if let Some(most) = bound(schema, "maxLength").filter(|most| length > *most) {
            let unit = if most == 1 { "byte" } else { "bytes" };
            let detail = format!("may not be more than {most} {unit}");
            put(errors, ErrorKind::TooLong, path, "<value omitted>".into(), detail);
        }
        if let Some(least) = bound(schema, "minLength").filter(|least| length < *least) {
            invalid(errors, path, &value, format!("should be at least {least} chars long"));
        }
        let pattern = schema.get("pattern").and_then(Value::as_str);
        let fits = |pattern: &&str| self.patterns.get(*pattern).is_none_or(|regex| regex.is_match(text));
        if let Some(pattern) = pattern.filter(|pattern| !fits(pattern)) {
            invalid(errors, path, &value, format!("should match '{pattern}'"));
        }
        let format = schema.get("format").and_then(Value::as_str);
        if let Some(format) = format.filter(|format| !is_of(format, text)) {
            let detail = format!("{path} in body must be of type {format}: {}", crate::decode::quote(text));
            put(errors, ErrorKind::TypeInvalid, path, value, detail);
        }
    }

    fn list(&self, schema: &Value, list: &[Value], path: &str, errors: &mut Errors) {
        if let Some(item) = schema.get("items") {
            for (at, value) in list.iter().enumerate() {
                self.value(item, value, &format!("{path}[{at}]"), errors);
            }
        }
        let length = list.len() as u64;
        if let Some(least) = bound(schema, "minItems").filter(|least| length < *least) {
            invalid(errors, path, &length.into(), format!("should have at least {least} items"));
        }
        too_many(schema, "maxItems", length, path, errors);
        if says(schema, "uniqueItems") && (1..list.len()).any(|at| list[..at].contains(&list[at])) {
            invalid(errors, path, &Value::Array(list.to_vec()), "shouldn't contain duplicates".to_owned());
        }
    }

    fn object(&self, schema: &Value, map: &Map<String, Value>, path: &str, errors: &mut Errors) {
        let length = map.len() as u64;
        if let Some(least) = bound(schema, "minProperties").filter(|least| length < *least) {
            invalid(errors, path, &length.into(), format!("should have at least {least} properties"));
        }
        too_many(schema, "maxProperties", length, path, errors);
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let Some(name) = name.as_str().filter(|name| !map.contains_key(*name)) else { continue };
            put(errors, ErrorKind::Required, &below(path, name), "".into(), String::new());
        }
        if says(schema, "x-kubernetes-embedded-resource") {
            for name in ["apiVersion", "kind"].into_iter().filter(|name| !map.contains_key(*name)) {
                put(errors, ErrorKind::Required, &below(path, name), "".into(), String::new());
            }
        }
        let (listed, others) = (properties(schema), additional(schema));
        for (name, value) in map {
            if let Some(schema) = listed.and_then(|listed| listed.get(name)).or(others) {
                self.value(schema, value, &below(path, name), errors);
            }
        }
    }

    fn logic(&self, schema: &Value, value: &Value, path: &str, errors: &mut Errors) {
        let schemas =
            |word: &str| schema.get(word).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let check = |schema: &Value| {
            let mut found = Errors::new();
            self.value(schema, value, path, &mut found);
            found
        };
        let quoted = crate::decode::quote(path);
        let any: Vec<Errors> = schemas("anyOf").iter().map(check).collect();
        if !any.is_empty() && any.iter().all(|found| !found.is_empty()) {
            nowhere(errors, format!("{quoted} must validate at least one schema (anyOf)"));
            errors.extend(any.into_iter().next().unwrap_or_default());
        }
        let one: Vec<Errors> = schemas("oneOf").iter().map(check).collect();
        let valid = one.iter().filter(|found| found.is_empty()).count();
        if !one.is_empty() && valid != 1 {
            let found =
                if valid == 0 { "none valid".to_owned() } else { format!("{valid} valid alternatives") };
            nowhere(errors, format!("{quoted} must validate one and only one schema (oneOf). Found {found}"));
            if valid == 0 {
                errors.extend(one.into_iter().next().unwrap_or_default());
            }
        }
        let all: Vec<Errors> = schemas("allOf").iter().map(check).collect();
        let valid = all.iter().filter(|found| found.is_empty()).count();
        if valid < all.len() {
            all.into_iter().for_each(|found| errors.extend(found));
            let none = if valid == 0 { ". None validated" } else { "" };
            nowhere(errors, format!("{quoted} must validate all the schemas (allOf){none}"));
        }
        if schema.get("not").is_some_and(|schema| check(schema).is_empty()) {
            nowhere(errors, format!("{quoted} must not validate the schema (not)"));
        }
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn bound(schema: &Value, word: &str) -> Option<u64> {
    schema.get(word)?.as_u64()
}

fn too_many(schema: &Value, word: &str, length: u64, path: &str, errors: &mut Errors) {
    if let Some(most) = bound(schema, word).filter(|most| length > *most) {
        let unit = if most == 1 { "item" } else { "items" };
        put(errors, ErrorKind::TooMany, path, length.into(), format!("must have at most {most} {unit}"));
    }
}

/// What upstream calls the type of a value.
fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn type_of(schema: &Value, value: &Value, path: &str, errors: &mut Errors) {
    let found = name_of(value);
    let whole = found == "number" && value.as_f64().is_some_and(|float| float.fract() == 0.0);
    let fits = |wanted: &str| match wanted {
        "number" => matches!(found, "number" | "integer"),
        "integer" => found == "integer" || whole,
        wanted => wanted == found,
    };
    let (right, wanted) = if says(schema, "x-kubernetes-int-or-string") {
        (fits("integer") || fits("string"), "integer,string")
    } else {
        match schema.get("type").and_then(Value::as_str) {
            Some(wanted) => (fits(wanted), wanted),
            None => return,
        }
    };
    if !right {
        let detail = format!("{path} in body must be of type {wanted}: \"{found}\"");
        put(errors, ErrorKind::TypeInvalid, path, found.into(), detail);
    }
}

fn number(schema: &Value, value: &Value, path: &str, errors: &mut Errors) {
    let Some(amount) = value.as_f64() else { return };
    let format = schema.get("format").and_then(Value::as_str);
    if schema.get("type").is_some_and(|ty| ty == "integer") {
        let fits = amount.fract() == 0.0
            && (format != Some("int32") || value.as_i64().is_none_or(|n| i32::try_from(n).is_ok()));
        if !fits {
            let words =
                format.map_or("(default format)".to_owned(), |format| format!("with format {format}"));
            nowhere(errors, format!("Checked value must be of type integer {words} in {path}"));
        }
    }
    let limit = |word: &str| schema.get(word).filter(|limit| limit.is_number());
    if let Some(factor) = limit("multipleOf") {
        let ratio = amount / factor.as_f64().unwrap_or(1.0);
        if ratio.fract() != 0.0 {
            invalid(errors, path, value, format!("should be a multiple of {}", plain(factor)));
        }
    }
    if let Some(most) = limit("maximum") {
        let (most_f, exclusive) = (most.as_f64().unwrap_or(f64::MAX), says(schema, "exclusiveMaximum"));
        if amount > most_f || exclusive && amount >= most_f {
            let words = if exclusive { "less than" } else { "less than or equal to" };
            invalid(errors, path, value, format!("should be {words} {}", plain(most)));
        }
    }
    if let Some(least) = limit("minimum") {
        let (least_f, exclusive) = (least.as_f64().unwrap_or(f64::MIN), says(schema, "exclusiveMinimum"));
        if amount < least_f || exclusive && amount <= least_f {
            let words = if exclusive { "greater than" } else { "greater than or equal to" };
            invalid(errors, path, value, format!("should be {words} {}", plain(least)));
        }
    }
}

/// A number as Go prints it, without a fraction that is nothing.
fn plain(number: &Value) -> String {
    String::from_utf8_lossy(&crate::canonical::to_vec(number)).into_owned()
}

fn enumeration(schema: &Value, value: &Value, path: &str, errors: &mut Errors) {
    let Some(values) = schema.get("enum").and_then(Value::as_array) else { return };
    if values.contains(value) {
        return;
    }
    let show = |value: &Value| {
        let text = value.as_str().map_or_else(|| plain(value), str::to_owned);
        crate::decode::quote(&text)
    };
    let listed: Vec<String> = values.iter().map(show).collect();
    let detail = format!("supported values: {}", listed.join(", "));
    put(errors, ErrorKind::NotSupported, path, value.clone(), detail);
}

/// Items of sets, and keys of maps, that come twice.
fn lists(schema: &Value, value: &Value, path: &str, errors: &mut Errors) {
    match value {
        Value::Array(list) => {
            repeated(schema, list, path, errors);
            let Some(item) = schema.get("items") else { return };
            for (at, value) in list.iter().enumerate() {
                lists(item, value, &format!("{path}[{at}]"), errors);
            }
        }
        Value::Object(map) => {
            let (listed, others) = (properties(schema), additional(schema));
            for (name, value) in map {
                if let Some(schema) = listed.and_then(|listed| listed.get(name)).or(others) {
                    lists(schema, value, &below(path, name), errors);
                }
            }
        }
        _ => {}
    }
}

fn repeated(schema: &Value, list: &[Value], path: &str, errors: &mut Errors) {
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
    let key_of = |value: &Value| -> Value {
        let names = keys.into_iter().flatten().filter_map(Value::as_str);
        let pairs = names.filter_map(|name| Some((name.to_owned(), value.get(name)?.clone())));
        Value::Object(pairs.collect())
    };
    let identities: Vec<Value> = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => list.to_vec(),
        Some("map") => list.iter().map(key_of).collect(),
        _ => return,
    };
    let mut seen = BTreeMap::new();
    for (at, identity) in identities.into_iter().enumerate() {
        let count = seen.entry(identity.to_string()).or_insert(0);
        *count += 1;
        // Each is told once.
        if *count == 2 {
            put(errors, ErrorKind::Duplicate, &format!("{path}[{at}]"), json!(identity), String::new());
        }
    }
}
