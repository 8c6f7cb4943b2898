//! Trees to messages, in the order and with the zeros that Go's generated code writes.

use serde_json::Value;

use super::wire::{Code, write_bytes, write_tag, write_varint};
use super::{Envelope, path};
use crate::schema::{Alternative, Field, Object, Scalar, Schema, Type, TypeId};
use crate::value::{base64, duration, time::Instant};

pub(super) fn envelope(envelope: &Envelope, out: &mut Vec<u8>) {
    let mut kind = Vec::new();
    write_bytes(1, envelope.api_version.as_bytes(), &mut kind);
    write_bytes(2, envelope.kind.as_bytes(), &mut kind);
    write_bytes(1, &kind, out);
    write_bytes(2, &envelope.raw, out);
    write_bytes(3, b"", out);
    write_bytes(4, b"", out);
}

pub(super) fn message(value: &Value, schema: &Schema, ty: TypeId, out: &mut Vec<u8>) {
    fields(value, schema, schema.object(ty), ([0, 0], 0), out);
}

/// Writes the fields of a message that is the object's own or one that JSON does not show.
fn fields(value: &Value, schema: &Schema, object: &Object, within: ([u16; 2], usize), out: &mut Vec<u8>) {
    let (numbers, count) = within;
    let inside =
        |field: &&Field| path(field).is_some_and(|(p, n)| n >= count && p[..count] == numbers[..count]);
    let mut places: Vec<(u16, Option<&Field>)> = Vec::new();
    for field in object.fields.iter().filter(inside) {
        match path(field) {
            Some((_, depth)) if depth == count => places.push((field.number, Some(field))),
            Some((p, _)) => places.push((p[count], None)),
            None => {}
        }
    }
    places.sort_by_key(|(number, _)| *number);
    places.dedup_by_key(|(number, _)| *number);
    for (number, field) in places {
        match field {
            Some(field) => self::field(value.get(&*field.name).unwrap_or(&Value::Null), schema, field, out),
            None => {
                let mut numbers = numbers;
                numbers[count] = number;
                let mut inner = Vec::new();
                fields(value, schema, object, (numbers, count + 1), &mut inner);
                write_bytes(number, &inner, out);
            }
        }
    }
}

fn field(value: &Value, schema: &Schema, field: &Field, out: &mut Vec<u8>) {
    let number = field.number;
    match (&field.ty, value) {
        (Type::List(item), Value::Array(list)) => list.iter().for_each(|v| one(v, schema, item, number, out)),
        (Type::Map(item), Value::Object(map)) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            for key in keys {
                let mut entry = Vec::new();
                write_bytes(1, key.as_bytes(), &mut entry);
                map_value(&map[key], schema, item, &mut entry);
                write_bytes(number, &entry, out);
            }
        }
        (Type::List(_) | Type::Map(_), _) => {}
        (Type::Scalar(Scalar::Bytes), Value::Null) => {}
        (_, Value::Null) if field.pointer => {}
        (ty, value) => one(value, schema, ty, number, out),
    }
}

/// A map's value; a list has a message of its own around it.
fn map_value(value: &Value, schema: &Schema, item: &Type, out: &mut Vec<u8>) {
    match (item, value) {
        (Type::List(inner), value) => {
            let mut wrapped = Vec::new();
            let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().for_each(|v| one(v, schema, inner, 1, &mut wrapped));
            write_bytes(2, &wrapped, out);
        }
        _ => one(value, schema, item, 2, out),
    }
}

/// One value under a number; an absent one is Go's zero.
fn one(value: &Value, schema: &Schema, ty: &Type, number: u16, out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    match ty {
        Type::Scalar(scalar) => return self::scalar(value, *scalar, number, out),
        Type::Object(id) => message(value, schema, *id, &mut inner),
        Type::Any if value.is_null() => {}
        // Go keeps the text as it came, without the escapes of its own printer.
        Type::Any => write_bytes(1, value.to_string().as_bytes(), &mut inner),
        Type::Or(alternative, id) => either(value, schema, *alternative, *id, &mut inner),
        Type::List(_) | Type::Map(_) => return,
    }
    write_bytes(number, &inner, out);
}

fn either(value: &Value, schema: &Schema, alternative: Alternative, id: TypeId, out: &mut Vec<u8>) {
    let object = Type::Object(id);
    match (alternative, value) {
        (Alternative::Bool, Value::Object(_)) => {
            self::scalar(&Value::Bool(true), Scalar::Bool, 1, out);
            one(value, schema, &object, 2, out);
        }
        (Alternative::Bool, _) => self::scalar(value, Scalar::Bool, 1, out),
        (_, Value::Object(_)) => one(value, schema, &object, 1, out),
        (Alternative::List, Value::Array(list)) => list.iter().for_each(|v| one(v, schema, &object, 2, out)),
        (_, Value::Array(list)) => list.iter().for_each(|v| self::scalar(v, Scalar::String, 2, out)),
        _ => {}
    }
}

fn varint(value: i64, number: u16, out: &mut Vec<u8>) {
    write_tag(number, Code::Varint, out);
    // Protobuf extends the sign.
    #[allow(clippy::cast_sign_loss, reason = "as the wire has it")]
    write_varint(value as u64, out);
}

fn scalar(value: &Value, scalar: Scalar, number: u16, out: &mut Vec<u8>) {
    let text = value.as_str().unwrap_or_default();
    let mut inner = Vec::new();
    match scalar {
        Scalar::Bool => return varint(i64::from(value.as_bool().unwrap_or(false)), number, out),
        Scalar::Int32 | Scalar::Int64 => return varint(value.as_i64().unwrap_or(0), number, out),
        Scalar::Float64 => {
            write_tag(number, Code::Fixed64, out);
            out.extend_from_slice(&value.as_f64().unwrap_or(0.0).to_le_bytes());
            return;
        }
        Scalar::String => inner.extend_from_slice(text.as_bytes()),
        Scalar::Bytes => inner = base64::decode(text).unwrap_or_default(),
        Scalar::Time => instant(Instant::parse(text).ok(), &mut inner),
        Scalar::MicroTime => instant(Instant::parse_micro(text).ok(), &mut inner),
        Scalar::Duration => varint(duration::parse(text).unwrap_or(0), 1, &mut inner),
        Scalar::Quantity => write_bytes(1, if text.is_empty() { b"0" } else { text.as_bytes() }, &mut inner),
        Scalar::IntOrString => {
            varint(i64::from(value.is_string()), 1, &mut inner);
            varint(value.as_i64().unwrap_or(0), 2, &mut inner);
            write_bytes(3, text.as_bytes(), &mut inner);
        }
    }
    write_bytes(number, &inner, out);
}

/// A point in time; none has no content.
fn instant(instant: Option<Instant>, out: &mut Vec<u8>) {
    if let Some(instant) = instant.filter(|instant| !instant.is_zero()) {
        varint(instant.seconds, 1, out);
        varint(i64::from(instant.nanos), 2, out);
    }
}
