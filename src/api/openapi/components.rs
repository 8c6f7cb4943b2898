//! Schemas of a document: the types that it refers to, and what those refer to.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Describe;
use crate::schema::{
    Alternative, Field, ListType, MergeStrategy, Object, Omit, Scalar, Schema, Type, TypeId,
};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";

/// The schemas that are referred to so far.
pub(super) struct Components<'a> {
    group: String,
    version: String,
    describe: Describe<'a>,
    schemas: BTreeMap<String, Value>,
}

impl<'a> Components<'a> {
    pub(super) fn new(group: &str, version: &str, describe: Describe<'a>) -> Self {
        Self { group: group.to_owned(), version: version.to_owned(), describe, schemas: BTreeMap::new() }
    }

    pub(super) fn finish(self) -> Map<String, Value> {
        self.schemas.into_iter().collect()
    }

    /// The description of a field that is a parameter.
    pub(super) fn description(&self, definition: &str, field: &str) -> Option<&'a str> {
        (self.describe)(definition, field)
    }

    /// A reference to an object type, which is added with all that it refers to.
    pub(super) fn object(&mut self, schema: &Schema, id: TypeId) -> Value {
        let object = schema.object(id);
        if !self.schemas.contains_key(&*object.definition) {
            // It may refer to itself: the place is taken before it is filled.
            self.schemas.insert(object.definition.to_string(), Value::Null);
            let made = self.make(schema, object);
            self.schemas.insert(object.definition.to_string(), made);
        }
        reference(&object.definition)
    }

    /// A reference to a type that is one value, with its schema.
    pub(super) fn leaf(&mut self, definition: &str, schema: Value) -> Value {
        if !self.schemas.contains_key(definition) {
            let mut schema = schema;
            if let (Some(text), Value::Object(map)) = ((self.describe)(definition, ""), &mut schema) {
                map.shift_insert(0, "description".to_owned(), text.into());
            }
            self.schemas.insert(definition.to_owned(), schema);
        }
        reference(definition)
    }

    fn make(&mut self, schema: &Schema, object: &Object) -> Value {
        let mut made = Map::new();
        if let Some(text) = (self.describe)(&object.definition, "") {
            made.insert("description".to_owned(), text.into());
        }
        made.insert("type".to_owned(), "object".into());
        let required: Vec<&str> = object.fields.iter().filter(|f| f.required).map(|f| &*f.name).collect();
        if !required.is_empty() {
            made.insert("required".to_owned(), json!(required));
        }
        let mut fields: Vec<&Field> = object.fields.iter().collect();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let properties: Map<String, Value> = fields
            .into_iter()
            .map(|field| (field.name.to_string(), self.field(schema, object, field)))
            .collect();
        if !properties.is_empty() {
            made.insert("properties".to_owned(), properties.into());
        }
        self.extend(object, &mut made);
        made.into()
    }

    fn extend(&self, object: &Object, made: &mut Map<String, Value>) {
        let kinds = self.kinds(object);
        if !kinds.is_empty() {
            made.insert("x-kubernetes-group-version-kind".to_owned(), kinds.into());
        }
        if object.atomic {
            made.insert("x-kubernetes-map-type".to_owned(), "atomic".into());
        }
        if let Some(unions) = &object.unions {
            made.insert("x-kubernetes-unions".to_owned(), (**unions).clone());
        }
    }

    /// Kinds of a type. Options and watch events are of every group: the document's is named.
    fn kinds(&self, object: &Object) -> Vec<Value> {
        let kind =
            |group: &str, version: &str| json!({"group": group, "kind": &*object.name, "version": version});
        if matches!(&*object.name, "DeleteOptions" | "WatchEvent") && object.definition.starts_with(META) {
            let own = (!self.group.is_empty()).then(|| kind(&self.group, &self.version));
            return std::iter::once(kind("", "v1")).chain(own).collect();
        }
        object
            .kinds
            .iter()
            .map(|k| json!({"group": &*k.group, "kind": &*k.kind, "version": &*k.version}))
            .collect()
    }

    fn field(&mut self, schema: &Schema, object: &Object, field: &Field) -> Value {
        let mut made = Map::new();
        let values: &[Value] = field.rules.as_ref().map_or(&[], |rules| &rules.enumeration);
        if let Some(text) = self.field_text(object, field) {
            made.insert("description".to_owned(), with_values(text, values).into());
        }
        let ty = self.ty(schema, &field.ty, field.go.as_deref().unwrap_or_default(), values);
        let default = field.published.default.clone().or_else(|| mark(field));
        match ty {
            Value::Object(ty) if ty.contains_key("$ref") => {
                if let Some(default) = default {
                    made.insert("default".to_owned(), default);
                }
                merge_words(field, &mut made);
                if made.is_empty() {
                    return ty.into();
                }
                made.insert("allOf".to_owned(), json!([ty]));
            }
            Value::Object(ty) => {
                made.extend(ty);
                if let Some(default) = default {
                    made.insert("default".to_owned(), default);
                }
                merge_words(field, &mut made);
            }
            _ => {}
        }
        made.into()
    }

    /// The description of a field. What every object has reads the same everywhere.
    fn field_text(&self, object: &Object, field: &Field) -> Option<&'a str> {
        (self.describe)(&object.definition, &field.name).or_else(|| match &*field.name {
            "apiVersion" | "kind" if field.number == 0 => {
                (self.describe)("io.k8s.api.core.v1.Pod", &field.name)
            }
            _ => None,
        })
    }

    /// The schema of a type; `go` is Go's name for it where it has one of its own.
    fn ty(&mut self, schema: &Schema, ty: &Type, go: &str, values: &[Value]) -> Value {
        let inner =
            || go.strip_prefix("[]").or_else(|| go.split_once(']').map(|(_, item)| item)).unwrap_or_default();
        match ty {
            Type::Object(id) => self.object(schema, *id),
            Type::List(item) => json!({"type": "array", "items": self.ty(schema, item, inner(), values)}),
            Type::Map(item) => {
                json!({"type": "object", "additionalProperties": self.ty(schema, item, inner(), values)})
            }
            Type::Any => match go {
                "v1.FieldsV1" => self.leaf(&format!("{META}.FieldsV1"), json!({"type": "object"})),
                "v1.JSON" => self.leaf(&format!("{EXTENSIONS}.JSON"), json!({})),
                _ => self.leaf("io.k8s.apimachinery.pkg.runtime.RawExtension", json!({"type": "object"})),
            },
            Type::Or(alternative, id) => {
                // Nothing else may refer to it, but its schema is part of the document.
                self.object(schema, *id);
                let name = match alternative {
                    Alternative::Bool => "JSONSchemaPropsOrBool",
                    Alternative::List => "JSONSchemaPropsOrArray",
                    Alternative::Strings => "JSONSchemaPropsOrStringArray",
                };
                self.leaf(&format!("{EXTENSIONS}.{name}"), json!({}))
            }
            Type::Scalar(scalar) => {
                let mut made = self.scalar(*scalar);
                if let (false, Value::Object(map)) = (values.is_empty(), &mut made) {
                    map.insert("enum".to_owned(), values.into());
                }
                made
            }
        }
    }

    fn scalar(&mut self, scalar: Scalar) -> Value {
        match scalar {
            Scalar::Bool => json!({"type": "boolean"}),
            Scalar::Int32 => json!({"type": "integer", "format": "int32"}),
            Scalar::Int64 => json!({"type": "integer", "format": "int64"}),
            Scalar::Float64 => json!({"type": "number", "format": "double"}),
            Scalar::String => json!({"type": "string"}),
            Scalar::Bytes => json!({"type": "string", "format": "byte"}),
            Scalar::Time => {
                self.leaf(&format!("{META}.Time"), json!({"type": "string", "format": "date-time"}))
            }
            Scalar::MicroTime => {
                self.leaf(&format!("{META}.MicroTime"), json!({"type": "string", "format": "date-time"}))
            }
            Scalar::Duration => self.leaf(&format!("{META}.Duration"), json!({"type": "string"})),
            Scalar::Quantity => self.leaf(
                "io.k8s.apimachinery.pkg.api.resource.Quantity",
                json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            ),
            Scalar::IntOrString => self.leaf(
                "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            ),
        }
    }
}

pub(super) fn reference(definition: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{definition}")})
}

/// A description with the values that are allowed, as upstream has it.
fn with_values(text: &str, values: &[Value]) -> String {
    if values.is_empty() {
        return text.to_owned();
    }
    let lines = values.iter().map(|value| format!(" - `{value}`"));
    format!("{text}\n\nPossible enum values:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// The mark that upstream gives, as a default, to what Go holds in place and always prints.
fn mark(field: &Field) -> Option<Value> {
    match &field.ty {
        _ if field.pointer => None,
        Type::Object(_) => Some(json!({})),
        _ if field.omit != Omit::Never => None,
        Type::Scalar(Scalar::String) => Some("".into()),
        Type::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Float64) => Some(0.into()),
        Type::Scalar(Scalar::Bool) => Some(false.into()),
        _ => None,
    }
}

/// How the field is merged by patches and by apply.
fn merge_words(field: &Field, made: &mut Map<String, Value>) {
    let mut say = |word: &str, value: Value| made.insert(format!("x-kubernetes-{word}"), value);
    match &field.list {
        ListType::Map(keys) => {
            say("list-map-keys", json!(keys.iter().map(|key| &**key).collect::<Vec<_>>()));
            say("list-type", "map".into());
        }
        ListType::Set => drop(say("list-type", "set".into())),
        ListType::Atomic if field.published.list_type => drop(say("list-type", "atomic".into())),
        ListType::Atomic => {}
    }
    if let Some(map_type) = &field.published.map_type {
        say("map-type", (**map_type).into());
    }
    let MergeStrategy { merge, replace, retain_keys, key } = &field.patch;
    if let Some(key) = key {
        say("patch-merge-key", (**key).into());
    }
    let named = [(*merge, "merge"), (*replace, "replace"), (*retain_keys, "retainKeys")];
    let strategies: Vec<&str> = named.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
    if !strategies.is_empty() {
        say("patch-strategy", strategies.join(",").into());
    }
}
