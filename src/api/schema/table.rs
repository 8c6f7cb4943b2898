//! Reads the tables of built-in kinds into the model. Their form, one thing a line:
//!
//! ```text
//! object core.v1.ContainerPort
//!   containerPort 3 int32 keep required
//!   protocol 4 string default="TCP" enum=SCTP,TCP,UDP go=v1.Protocol
//! ```
//!
//! `object NAME [unlisted] [atomic] [unions=JSON] [kind=GROUP/VERSION/KIND…]` opens an object type. NAME is its
//! OpenAPI definition: after `/` in full, after `~` without `io.k8s.apimachinery.pkg.apis.`,
//! else without `io.k8s.api.`. A field is `NAME NUMBER TYPE WORDS…` after two spaces, in
//! Go's order:
//!
//! - NUMBER is protobuf's; `2/1` lies within message 2 that JSON does not show; `-` has none.
//! - TYPE is a scalar, `any`, `@OBJECT`, `[]TYPE`, `map:TYPE`, `orbool@OBJECT` (also `orarray`,
//!   `orstringarray`); `*` before it is Go's pointer.
//!   (an enumeration's `_` is a space)
//! - `keep` and `zero`: no `omitempty`, `omitzero`. `required`, `list=TYPE,KEYS…`, `map=TYPE`,
//!   `default=JSON`, `enum=VALUES` (`_` for a space), `patch=STRATEGIES:KEY` are OpenAPI's and the patch's words.
//!   `fill=JSON` is a default that is applied and not published.
//!   `in=` names the inlined Go structs around the field, `go=` its Go type.
//!
//! Lines come from scripts/schema, never from outside: one that cannot be read is refused with
//! its text, and a test reads them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::model::{
    Alternative, Field, GroupVersionKind, ListType, MergeStrategy, Object, Omit, Place, Rules, Scalar,
    Schema, Type, TypeId,
};

/// A line of a table that is not of its form.
#[derive(Debug, thiserror::Error)]
#[error("schema table: {problem}: `{line}`: run scripts/schema to write the tables again")]
pub struct TableError {
    problem: &'static str,
    line: String,
}

/// Reads tables into one schema. Types may refer to each other across tables.
///
/// # Errors
/// A line that is not of the form above, or a reference to an object that no table has.
pub fn read(tables: &[&str]) -> Result<Schema, TableError> {
    let mut reader = Reader::default();
    for line in tables.iter().flat_map(|t| t.lines()) {
        if let Some(head) = line.strip_prefix("object ") {
            let object = reader.head(head).ok_or_else(|| error("an object's line", line))?;
            reader.schema.add(object);
        }
    }
    for table in tables {
        for block in table.split("\n\n") {
            reader.block(block)?;
        }
    }
    reader.schema.settle_defaults();
    Ok(reader.schema)
}

fn error(problem: &'static str, line: &str) -> TableError {
    TableError { problem, line: line.to_owned() }
}

/// The schema so far, and one copy of each text.
#[derive(Default)]
struct Reader {
    schema: Schema,
    texts: BTreeMap<Box<str>, Arc<str>>,
}

impl Reader {
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.texts.insert(text.into(), Arc::clone(&new));
        new
    }

    fn head(&mut self, line: &str) -> Option<Object> {
        let mut words = line.split(' ');
        let definition = definition(words.next()?);
        let mut object = Object::default();
        object.listed = true;
        object.name = self.text(definition.rsplit('.').next()?);
        object.definition = self.text(&definition);
        for word in words {
            match word.split_once('=') {
                None if word == "unlisted" => object.listed = false,
                None if word == "atomic" => object.atomic = true,
                Some(("unions", json)) => object.unions = Some(Box::new(serde_json::from_str(json).ok()?)),
                Some(("kind", kind)) => object.kinds.push(self.kind(kind)?),
                _ => return None,
            }
        }
        Some(object)
    }

    fn kind(&mut self, text: &str) -> Option<GroupVersionKind> {
        let mut parts = text.split('/');
        let mut next = || parts.next().map(|part| self.text(part));
        Some(GroupVersionKind { group: next()?, version: next()?, kind: next()? })
    }

    fn block(&mut self, block: &str) -> Result<(), TableError> {
        let mut lines = block.lines();
        let head = lines.next().unwrap_or_default();
        let mut object = head
            .strip_prefix("object ")
            .and_then(|head| self.head(head))
            .ok_or_else(|| error("a block without an object's line", head))?;
        for line in lines {
            let words = line.strip_prefix("  ");
            let field =
                words.and_then(|words| self.field(words)).ok_or_else(|| error("a field's line", line))?;
            object.fields.push(field);
        }
        self.schema.add(object);
        Ok(())
    }

    fn field(&mut self, line: &str) -> Option<Field> {
        let mut words = line.split(' ');
        let name = self.text(words.next()?);
        let (number, place) = place(words.next()?)?;
        let kind = words.next()?;
        let plain = kind.strip_prefix('*').unwrap_or(kind);
        let mut field = Field::new(name, self.ty(plain)?);
        field.number = number;
        field.place = place;
        field.pointer = kind.len() != plain.len();
        for word in words {
            self.word(&mut field, word)?;
        }
        Some(field)
    }

    fn word(&mut self, field: &mut Field, word: &str) -> Option<()> {
        let (name, rest) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "keep" => field.omit = Omit::Never,
            "zero" => field.omit = Omit::Zero,
            "required" => field.required = true,
            "list" => {
                field.published.list_type = true;
                field.list = self.list(rest)?;
            }
            "map" => {
                field.published.map_type = Some(self.text(rest));
                field.atomic = rest == "atomic";
            }
            "default" => set_default(field, serde_json::from_str(rest).ok()?),
            "fill" => field.default = Some(serde_json::from_str(rest).ok()?),
            "enum" => {
                let enumeration =
                    rest.split(',').map(|value| Value::String(value.replace('_', " "))).collect();
                field.rules = Some(Box::new(Rules { enumeration, ..Rules::default() }));
            }
            "patch" => field.patch = self.patch(rest)?,
            "go" => field.go = Some(self.text(rest)),
            "in" => field.embedded = Some(self.text(rest)),
            _ => return None,
        }
        Some(())
    }

    fn list(&mut self, text: &str) -> Option<ListType> {
        let mut words = text.split(',');
        Some(match words.next()? {
            "atomic" => ListType::Atomic,
            "set" => ListType::Set,
            "map" => ListType::Map(words.map(|key| self.text(key)).collect()),
            _ => return None,
        })
    }

    fn patch(&mut self, text: &str) -> Option<MergeStrategy> {
        let (strategies, key) = text.split_once(':').map_or((text, None), |(s, key)| (s, Some(key)));
        let mut patch = MergeStrategy { key: key.map(|key| self.text(key)), ..MergeStrategy::default() };
        for strategy in strategies.split(',') {
            match strategy {
                "merge" => patch.merge = true,
                "replace" => patch.replace = true,
                "retainKeys" => patch.retain_keys = true,
                _ => return None,
            }
        }
        Some(patch)
    }

    fn ty(&self, text: &str) -> Option<Type> {
        if let Some(item) = text.strip_prefix("[]") {
            return Some(Type::List(Box::new(self.ty(item)?)));
        }
        if let Some(value) = text.strip_prefix("map:") {
            return Some(Type::Map(Box::new(self.ty(value)?)));
        }
        let Some((before, object)) = text.split_once('@') else {
            return Some(if text == "any" { Type::Any } else { Type::Scalar(scalar(text)?) });
        };
        let id: TypeId = self.schema.find(&definition(object))?;
        Some(match before {
            "" => Type::Object(id),
            "orbool" => Type::Or(Alternative::Bool, id),
            "orarray" => Type::Or(Alternative::List, id),
            "orstringarray" => Type::Or(Alternative::Strings, id),
            _ => return None,
        })
    }
}

/// A default that equals the value's zero is only published: Go cannot tell the two apart.
fn set_default(field: &mut Field, value: Value) {
    let zero = value == Value::String(String::new()) || value == 0 || value == false;
    field.published.default = Some(value.clone());
    if !zero || field.pointer {
        field.default = Some(value);
    }
}

fn definition(short: &str) -> String {
    match (short.strip_prefix('~'), short.strip_prefix('/')) {
        (Some(rest), _) => format!("io.k8s.apimachinery.pkg.apis.{rest}"),
        (None, Some(rest)) => rest.to_owned(),
        (None, None) => format!("io.k8s.api.{short}"),
    }
}

fn place(text: &str) -> Option<(u16, Place)> {
    if text == "-" {
        return Some((0, Place::JsonOnly));
    }
    let mut parts = text.split('/').map(|part| part.parse::<u16>().ok());
    let first = parts.next()??;
    Some(match (parts.next(), parts.next()) {
        (None, _) => (first, Place::Own),
        (Some(second), None) => (second?, Place::Within(first)),
        (Some(second), Some(third)) => (third?, Place::Deep(first, second?)),
    })
}

fn scalar(text: &str) -> Option<Scalar> {
    Some(match text {
        "bool" => Scalar::Bool,
        "int32" => Scalar::Int32,
        "int64" => Scalar::Int64,
        "float64" => Scalar::Float64,
        "string" => Scalar::String,
        "bytes" => Scalar::Bytes,
        "time" => Scalar::Time,
        "microtime" => Scalar::MicroTime,
        "duration" => Scalar::Duration,
        "quantity" => Scalar::Quantity,
        "intorstring" => Scalar::IntOrString,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{builtin, tables};
    use super::*;

    fn field<'a>(schema: &'a Schema, definition: &str, name: &str) -> &'a Field {
        schema.object(schema.find(definition).unwrap()).field(name).unwrap()
    }

    #[test]
    fn every_line_of_every_table_can_be_read() {
        let schema = read(tables::TABLES).unwrap();
        assert!(schema.definitions().count() > 500, "{}", schema.definitions().count());
        for (name, id) in schema.definitions() {
            let object = schema.object(id);
            let mut names: Vec<_> = object.fields.iter().map(|f| &f.name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), object.fields.len(), "{name} has a field twice");
        }
    }

    #[test]
    fn a_field_has_what_the_published_interfaces_say_of_it() {
        let schema = builtin();
        let replicas = field(schema, "io.k8s.api.apps.v1.DeploymentSpec", "replicas");
        assert_eq!((replicas.number, replicas.pointer, replicas.omit), (1, true, Omit::Empty));
        let containers = field(schema, "io.k8s.api.core.v1.PodSpec", "containers");
        assert_eq!(
            containers.patch,
            MergeStrategy { merge: true, key: Some("name".into()), ..Default::default() }
        );
        assert_eq!(containers.list, ListType::Map(vec!["name".into()]));
        assert!(containers.required);
        let ports = field(schema, "io.k8s.api.core.v1.Container", "ports");
        assert_eq!(ports.list, ListType::Map(vec!["containerPort".into(), "protocol".into()]));
        let volumes = field(schema, "io.k8s.api.core.v1.PodSpec", "volumes");
        assert!(volumes.patch.retain_keys && volumes.patch.merge);
        let host_path = field(schema, "io.k8s.api.core.v1.Volume", "hostPath");
        assert_eq!((host_path.number, host_path.place), (1, Place::Within(2)));
        let protocol = field(schema, "io.k8s.api.core.v1.ServicePort", "protocol");
        assert_eq!(protocol.default, Some(Value::from("TCP")));
        assert_eq!(protocol.go.as_deref(), Some("v1.Protocol"));
        let created = field(schema, "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "creationTimestamp");
        assert_eq!((created.omit, &created.ty), (Omit::Zero, &Type::Scalar(Scalar::Time)));
        let selector = schema.find("io.k8s.api.core.v1.NodeSelector").unwrap();
        assert!(schema.object(selector).atomic);
    }

    #[test]
    fn kinds_are_found_by_group_version_and_kind() {
        let schema = builtin();
        let pod = schema.find_kind("", "v1", "Pod");
        assert_eq!(pod, schema.find("io.k8s.api.core.v1.Pod"));
        assert!(pod.is_some());
        assert!(schema.find_kind("apps", "v1", "Pod").is_none());
        assert!(schema.find_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition").is_some());
    }

    #[test]
    fn a_line_of_another_form_is_refused_with_its_text() {
        for (table, problem) in [
            ("object core.v1.X\n  name one string\n", "a field's line: `  name one string`"),
            ("object core.v1.X\n  name 1 text\n", "a field's line: `  name 1 text`"),
            ("object core.v1.X\n  name 1 @core.v1.Y\n", "a field's line: `  name 1 @core.v1.Y`"),
            ("object core.v1.X odd\n", "an object's line: `object core.v1.X odd`"),
            ("name 1 string\n", "a block without an object's line: `name 1 string`"),
        ] {
            let error = read(&[table]).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
