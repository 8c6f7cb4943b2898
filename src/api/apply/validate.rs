//! Whether an applied object is of its type: every field known, every value of the right
//! kind, no item twice. Nothing is converted on the way, unlike with other writes.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::shape::{Shape, item_element};
use crate::patch::words;
use crate::schema::{ListType, Scalar, Schema, Type};

/// Most mistakes that are listed.
const MOST: usize = 100;

/// What is wrong with an applied object, in upstream's words.
///
/// # Errors
/// One line, or `errors:` and a line for each.
pub(super) fn validate(schema: &Schema, shape: Shape<'_>, value: &Value) -> Result<(), String> {
    let mut walk = Walk { schema, path: String::new(), errors: Vec::new() };
    walk.visit(shape, value);
    match walk.errors.as_slice() {
        [] => Ok(()),
        [only] => Err(only.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

struct Walk<'s> {
    schema: &'s Schema,
    path: String,
    errors: Vec<String>,
}

impl Walk<'_> {
    fn visit(&mut self, shape: Shape<'_>, value: &Value) {
        match (shape, value) {
            (_, Value::Null) | (Shape::Deduced | Shape::Opaque, _) => {}
            (Shape::Scalar(scalar), value) => self.scalar(scalar, value),
            (Shape::Object(_) | Shape::Map(_), Value::Object(members)) => self.members(shape, members),
            (Shape::List(item, list), Value::Array(items)) => self.items(item, list, items),
            (Shape::Atomic(ty), value) => self.atomic(ty, value),
            (Shape::List(..), other) => self.error(&format!("expected list, got {}", wrapped(other))),
            (_, other) => self.error(&format!("expected map, got {}", wrapped(other))),
        }
    }

    /// A value that is owned as one still has a type.
    fn atomic(&mut self, ty: &Type, value: &Value) {
        match (ty, value) {
            (Type::Object(id), value) => self.visit(Shape::of_object(self.schema, *id), value),
            (Type::Map(part), value) => self.visit(Shape::Map(part), value),
            (Type::List(item), Value::Array(items)) => {
                let shape = Shape::of_part(self.schema, item);
                for (at, value) in items.iter().enumerate() {
                    self.below(&format!("[{at}]"), |walk| walk.visit(shape, value));
                }
            }
            (_, other) => self.error(&format!("expected list, got {}", wrapped(other))),
        }
    }

    fn members(&mut self, shape: Shape<'_>, members: &serde_json::Map<String, Value>) {
        for (name, value) in members {
            let path = format!(".{name}");
            match shape.member(self.schema, name) {
                Some(inner) => self.below(&path, |walk| walk.visit(inner, value)),
                // Upstream looks no further in an object that has such a field.
                None => return self.below(&path, |walk| walk.error("field not declared in schema")),
            }
        }
    }

    fn items(&mut self, item: &Type, list: &ListType, items: &[Value]) {
        let shape = Shape::of_part(self.schema, item);
        let mut seen = BTreeSet::new();
        for (at, value) in items.iter().enumerate() {
            let element = match item_element(self.schema, item, list, value) {
                Ok(element) => element,
                Err(error) => return self.error(&format!("element {at}: {error}")),
            };
            let path = element.to_string();
            if !seen.insert(element) {
                self.error(&format!("duplicate entries for key {path}"));
            }
            self.below(&path, |walk| walk.visit(shape, value));
        }
    }

    fn scalar(&mut self, scalar: Scalar, value: &Value) {
        let problem = match scalar {
            Scalar::Int32 | Scalar::Int64 | Scalar::Float64 if !value.is_number() => {
                format!("expected numeric (int or float), got {}", words::type_name(value))
            }
            Scalar::String | Scalar::Bytes | Scalar::Duration if !value.is_string() => {
                format!("expected string, got &value.valueUnstructured{{Value:{}}}", words::syntax(value))
            }
            Scalar::Bool if !value.is_boolean() => format!("expected boolean, got {}", wrapped(value)),
            Scalar::Time | Scalar::MicroTime | Scalar::Quantity | Scalar::IntOrString
                if value.is_array() || value.is_object() =>
            {
                format!("expected any scalar, got {}", wrapped(value))
            }
            _ => return,
        };
        self.error(&problem);
    }

    fn below(&mut self, path: &str, visit: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(path);
        visit(self);
        self.path.truncate(length);
    }

    fn error(&mut self, message: &str) {
        if self.errors.len() < MOST {
            let mut text = self.path.clone();
            if !text.is_empty() {
                text.push_str(": ");
            }
            let written = write!(text, "{message}");
            debug_assert!(written.is_ok(), "a String takes whatever is written");
            self.errors.push(text);
        }
    }
}

/// A value as upstream's messages wrap it.
fn wrapped(value: &Value) -> String {
    format!("&{{{}}}", words::plain(value))
}
