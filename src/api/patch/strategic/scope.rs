//! What a strategic patch knows of the place it is at: the struct whose fields may be merged.

use crate::schema::{Alternative, Field, Object, Scalar, Schema, Type};

use super::PatchError;

/// The type at a place of the document.
#[derive(Clone, Copy)]
pub(super) enum Scope<'s> {
    /// Named fields.
    Struct(&'s Object),
    /// A struct whose JSON is not its fields: RawExtension, JSON.
    Opaque(&'s str),
    /// No struct: what Go calls its kind.
    Kind(&'static str),
}

impl<'s> Scope<'s> {
    pub(super) fn of(schema: &'s Schema, ty: &Type, field: Option<&'s Field>) -> Self {
        match ty {
            Type::Object(id) => Self::Struct(schema.object(*id)),
            Type::Map(_) => Self::Kind("map"),
            Type::List(_) => Self::Kind("slice"),
            Type::Any => {
                let go = field.and_then(|field| field.go.as_deref()).unwrap_or("RawExtension");
                Self::Opaque(go.rsplit('.').next().unwrap_or(go))
            }
            Type::Or(alternative, id) => match alternative {
                Alternative::Bool | Alternative::List | Alternative::Strings => {
                    Self::Opaque(&schema.object(*id).name)
                }
            },
            Type::Scalar(scalar) => Self::Kind(match scalar {
                Scalar::Bool => "bool",
                Scalar::Int32 => "int32",
                Scalar::Int64 => "int64",
                Scalar::Float64 => "float64",
                Scalar::String => "string",
                Scalar::Bytes => "slice",
                _ => "struct",
            }),
        }
    }

    /// The field of a name. Like Go's decoder, spelling that differs in case is forgiven.
    pub(super) fn field(self, name: &str) -> Result<&'s Field, PatchError> {
        let of = match self {
            Self::Struct(object) => {
                let folded = || object.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
                if let Some(field) = object.field(name).or_else(folded) {
                    return Ok(field);
                }
                &object.name
            }
            Self::Opaque(go) => go,
            Self::Kind(kind) => {
                return Err(PatchError::Internal(format!(
                    "merging an object in json but data type is not struct, instead is: {kind}"
                )));
            }
        };
        Err(PatchError::Internal(format!(
            "unable to find api field in struct {of} for the json field {name:?}"
        )))
    }

    /// What Go calls its kind.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Struct(_) | Self::Opaque(_) => "struct",
            Self::Kind(kind) => kind,
        }
    }
}
