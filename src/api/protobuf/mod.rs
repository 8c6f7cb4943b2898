//! Protobuf bodies as Kubernetes has them: four bytes, an envelope that names the kind, and in
//! it a message whose numbers are the tables'.
//!
//! Typed Go clients send these first. [`decode`] gives the tree that the same object would have
//! as JSON; [`encode`] writes the bytes that Go would, field by field. Unknown numbers are
//! passed over, as upstream does. Input is hostile: nesting is bounded, no length is believed
//! before it is checked, nothing panics.

use serde_json::Value;

use crate::schema::{Field, Place, Schema, TypeId};

mod read;
mod wire;
mod write;

/// What a protobuf body begins with.
pub const MAGIC: &[u8; 4] = b"k8s\0";

/// A body that is not protobuf of this kind, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// There is nothing.
    #[error("empty data")]
    NoData,
    /// It begins otherwise.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// There is only the beginning.
    #[error("empty body")]
    NoBody,
    /// It ends within a field.
    #[error("unexpected EOF")]
    End,
    /// A number of more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// A field that is coded in another way than its type is.
    #[error("proto: wrong wireType = {0} for field {1}")]
    WireType(u8, String),
    /// A code that there is not.
    #[error("proto: illegal wireType {0}")]
    IllegalWireType(u8),
    /// Field number 0.
    #[error("proto: {0}: illegal tag {1} (wire type {2})")]
    IllegalTag(String, u64, u8),
    /// Messages in each other beyond what any object has.
    #[error("proto: exceeded max depth")]
    Depth,
    /// A value that its own type refuses.
    #[error("{0}")]
    Value(String),
}

/// The envelope: what kind the message in it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// `apps/v1`; empty where it is not said.
    pub api_version: String,
    /// `Deployment`; empty where it is not said.
    pub kind: String,
    /// The message.
    pub raw: Vec<u8>,
}

/// Opens a body's envelope.
///
/// # Errors
/// A body that is none.
pub fn open(body: &[u8]) -> Result<Envelope, ProtobufError> {
    if body.is_empty() {
        return Err(ProtobufError::NoData);
    }
    let message = body.strip_prefix(MAGIC).ok_or(ProtobufError::Prefix)?;
    if message.is_empty() {
        return Err(ProtobufError::NoBody);
    }
    read::envelope(message)
}

/// Puts a message into an envelope.
#[must_use]
pub fn close(envelope: &Envelope) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    write::envelope(envelope, &mut out);
    out
}

/// Reads a message as one type.
///
/// # Errors
/// Bytes that are no protobuf, or a value that its type refuses.
pub fn decode(raw: &[u8], schema: &Schema, ty: TypeId) -> Result<Value, ProtobufError> {
    read::message(raw, schema, ty)
}

/// Writes an object of a type as a message, without envelope. Values of other types than the
/// schema's are left out.
#[must_use]
pub fn encode(value: &Value, schema: &Schema, ty: TypeId) -> Vec<u8> {
    let mut out = Vec::new();
    write::message(value, schema, ty, &mut out);
    out
}

/// Writes an object with its envelope; its `apiVersion` and `kind` go there.
#[must_use]
pub fn encode_object(value: &Value, schema: &Schema, ty: TypeId) -> Vec<u8> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let raw = encode(value, schema, ty);
    close(&Envelope { api_version: text("apiVersion"), kind: text("kind"), raw })
}

/// How the numbers of messages that JSON does not show lead to a field, outermost first.
fn path(field: &Field) -> Option<([u16; 2], usize)> {
    match field.place {
        Place::JsonOnly => None,
        _ if field.number == 0 => None,
        Place::Own => Some(([0, 0], 0)),
        Place::Within(outer) => Some(([outer, 0], 1)),
        Place::Deep(outer, inner) => Some(([outer, inner], 2)),
    }
}

#[cfg(test)]
mod tests;
