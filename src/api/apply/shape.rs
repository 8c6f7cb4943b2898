//! How apply sees a type: what is one value, what has parts, and what tells items apart.

use std::sync::Arc;

use serde_json::Value;

use super::element::Element;
use crate::schema::{Field, ListType, Object, Omit, Scalar, Schema, Type, TypeId};

/// The type at a place.
#[derive(Clone, Copy)]
pub(super) enum Shape<'s> {
    /// A value without parts.
    Scalar(Scalar),
    /// Named fields, each with a shape.
    Object(&'s Object),
    /// Keys, all with one shape.
    Map(&'s Type),
    /// Items told apart by their keys, or by themselves.
    List(&'s Type, &'s ListType),
    /// One value, of a type that is known.
    Atomic(&'s Type),
    /// Whatever it is: maps have parts, everything else is one value.
    Deduced,
    /// Whatever it is, as one value.
    Opaque,
}

/// What of a list's type is used: places, or keys.
static ATOMIC: ListType = ListType::Atomic;

impl<'s> Shape<'s> {
    pub(super) fn of_object(schema: &'s Schema, ty: TypeId) -> Self {
        let object = schema.object(ty);
        if object.fields.is_empty() { Self::Deduced } else { Self::Object(object) }
    }

    /// The shape of a field.
    pub(super) fn of_field(schema: &'s Schema, field: &'s Field) -> Self {
        // What has a number in protobuf and any JSON in it is a RawExtension, unless Go calls
        // it JSON: upstream counts the former as one value.
        if field.ty == Type::Any && field.number != 0 && field.go.is_none() {
            return Self::Opaque;
        }
        Self::of(schema, &field.ty, &field.list, field.atomic)
    }

    /// The shape of a map's values or a list's items.
    pub(super) fn of_part(schema: &'s Schema, ty: &'s Type) -> Self {
        Self::of(schema, ty, &ATOMIC, false)
    }

    fn of(schema: &'s Schema, ty: &'s Type, list: &'s ListType, atomic: bool) -> Self {
        match ty {
            Type::Scalar(scalar) => Self::Scalar(*scalar),
            Type::Any | Type::Or(..) => Self::Deduced,
            Type::List(_) if *list == ListType::Atomic => Self::Atomic(ty),
            Type::List(item) => Self::List(item, list),
            _ if atomic => Self::Atomic(ty),
            Type::Map(value) => Self::Map(value),
            Type::Object(id) if schema.object(*id).atomic => Self::Atomic(ty),
            Type::Object(id) => Self::of_object(schema, *id),
        }
    }

    /// The shape of a member; nothing where the schema does not have it.
    pub(super) fn member(self, schema: &'s Schema, name: &str) -> Option<Self> {
        match self {
            Self::Object(object) => match object.field(name) {
                Some(field) => Some(Self::of_field(schema, field)),
                None => object.preserve_unknown.then_some(Self::Deduced),
            },
            Self::Map(value) => Some(Self::of_part(schema, value)),
            Self::Deduced => Some(Self::Deduced),
            _ => None,
        }
    }

    /// Whether a member is a field that the schema names, as opposed to a map's key.
    pub(super) fn names(self, name: &str) -> bool {
        matches!(self, Self::Object(object) if object.field(name).is_some())
    }

    /// The path element of a member, sharing the schema's text where it has it.
    pub(super) fn element(self, name: &str) -> Element {
        match self {
            Self::Object(object) => object
                .field(name)
                .map_or_else(|| Element::Field(name.into()), |f| Element::Field(Arc::clone(&f.name))),
            _ => Element::Field(name.into()),
        }
    }
}

/// What tells an item apart from others of its list.
///
/// # Errors
/// An item that cannot be told apart, in upstream's words.
pub(super) fn item_element(
    schema: &Schema,
    item: &Type,
    list: &ListType,
    value: &Value,
) -> Result<Element, String> {
    let names = match list {
        ListType::Map(names) if !names.is_empty() => names,
        _ => {
            return match value {
                Value::Object(_) => {
                    Err("associative list without keys has an element that's a map type".into())
                }
                Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
                Value::Null => {
                    Err("associative list without keys has an element that's an explicit null".into())
                }
                scalar => Ok(Element::Value(Box::new(scalar.clone()))),
            };
        }
    };
    let members = match value {
        Value::Object(members) => members,
        Value::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let default = |name: &str| match item {
        Type::Object(id) => schema.object(*id).field(name).and_then(default_of),
        _ => None,
    };
    let found = names.iter().filter_map(|name| {
        let value = members.get(&**name).cloned().or_else(|| default(name))?;
        Some((Arc::clone(name), value))
    });
    let found: Vec<_> = found.collect();
    if found.is_empty() {
        let names: Vec<_> = names.iter().map(|name| crate::patch::words::quoted(name)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            names.join(" ")
        ));
    }
    Ok(Element::key(found))
}

/// The value that OpenAPI gives a field that is absent. Of built-in types, fields that are
/// always printed have their zero.
fn default_of(field: &Field) -> Option<Value> {
    if let Some(value) = &field.published.default {
        return Some(value.clone());
    }
    let printed = field.number != 0 && field.omit == Omit::Never && !field.pointer;
    match field.ty {
        _ if !printed => None,
        Type::Scalar(Scalar::String) => Some(Value::from("")),
        Type::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Float64) => Some(Value::from(0)),
        Type::Scalar(Scalar::Bool) => Some(Value::Bool(false)),
        _ => None,
    }
}
