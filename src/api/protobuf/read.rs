//! Messages to trees.

use serde_json::{Map, Number, Value};

use super::wire::{Payload, Reader};
use super::{Envelope, ProtobufError as Error, path};
use crate::decode::{MAX_DEPTH, canonical, zero};
use crate::schema::{Alternative, Field, Object, Scalar, Schema, Type, TypeId};
use crate::value::{base64, duration, time::Instant};

/// Messages within each other at most; objects' own nesting is a third of it.
const DEPTH: usize = MAX_DEPTH / 4;

type Result<T> = std::result::Result<T, Error>;

pub(super) fn envelope(message: &[u8]) -> Result<Envelope> {
    let mut envelope = Envelope::default();
    let mut reader = Reader::new(message);
    while let Some((number, payload)) = reader.field("Unknown")? {
        match (number, payload) {
            (1, Payload::Bytes(bytes)) => {
                let mut reader = Reader::new(bytes);
                while let Some((number, payload)) = reader.field("TypeMeta")? {
                    match (number, payload) {
                        (1, Payload::Bytes(bytes)) => envelope.api_version = text(bytes),
                        (2, Payload::Bytes(bytes)) => envelope.kind = text(bytes),
                        _ => {}
                    }
                }
            }
            (2, Payload::Bytes(bytes)) => envelope.raw = bytes.to_vec(),
            _ => {}
        }
    }
    Ok(envelope)
}

pub(super) fn message(raw: &[u8], schema: &Schema, ty: TypeId) -> Result<Value> {
    let mut map = Map::new();
    Decoder { schema }.object(ty, raw, &mut map, DEPTH)?;
    Ok(Value::Object(map))
}

struct Decoder<'s> {
    schema: &'s Schema,
}

impl Decoder<'_> {
    fn object(&self, ty: TypeId, raw: &[u8], map: &mut Map<String, Value>, depth: usize) -> Result<()> {
        self.fields(self.schema.object(ty), ([0, 0], 0), raw, map, depth)
    }

    /// Reads the fields of a message, which is the object's own or one that JSON does not show:
    /// `within` are the numbers that led to it, and how many.
    fn fields(
        &self,
        object: &Object,
        within: ([u16; 2], usize),
        raw: &[u8],
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or(Error::Depth)?;
        let mut reader = Reader::new(raw);
        while let Some((number, payload)) = reader.field(&object.name)? {
            let Ok(number) = u16::try_from(number) else { continue };
            let here = |field: &&Field| field.number == number && path(field) == Some(within);
            if let Some(field) = object.fields.iter().find(here) {
                self.field(field, payload, map, depth)?;
                continue;
            }
            let (mut numbers, count) = within;
            let Some(slot) = numbers.get_mut(count) else { continue };
            *slot = number;
            let inside = |field: &Field| {
                path(field).is_some_and(|(p, n)| n > count && p[..=count] == numbers[..=count])
            };
            if let Payload::Bytes(bytes) = payload
                && object.fields.iter().any(inside)
            {
                self.fields(object, (numbers, count + 1), bytes, map, depth)?;
            }
        }
        Ok(())
    }

    fn field(
        &self,
        field: &Field,
        payload: Payload<'_>,
        map: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<()> {
        let name = &*field.name;
        match &field.ty {
            Type::List(item) => {
                let list = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(list) = list else { return Ok(()) };
                match (payload, &**item) {
                    (Payload::Bytes(bytes), Type::Scalar(scalar)) if is_packed(*scalar) => {
                        self.packed(*scalar, bytes, name, list)
                    }
                    _ => self.value(item, payload, name, None, depth).map(|value| list.push(value)),
                }
            }
            Type::Map(item) => {
                let Payload::Bytes(bytes) = payload else { return wrong(payload, name) };
                let entries = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(entries) = entries else { return Ok(()) };
                let (key, value) = self.entry(item, bytes, name, depth)?;
                entries.insert(key, value);
                Ok(())
            }
            ty => {
                let before = map.get_mut(name).map(Value::take);
                let value = self.value(ty, payload, name, before, depth)?;
                map.insert(name.to_owned(), value);
                Ok(())
            }
        }
    }

    fn packed(&self, scalar: Scalar, bytes: &[u8], name: &str, list: &mut Vec<Value>) -> Result<()> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let payload = match scalar {
                Scalar::Float64 => Payload::Fixed64(reader.fixed64()?),
                _ => Payload::Varint(reader.varint()?),
            };
            list.push(scalar_value(scalar, payload, name)?);
        }
        Ok(())
    }

    /// One entry of a map. A list as a value has a message of its own around it.
    fn entry(&self, item: &Type, bytes: &[u8], name: &str, depth: usize) -> Result<(String, Value)> {
        let (mut key, mut value) = (String::new(), None);
        let mut reader = Reader::new(bytes);
        while let Some((number, payload)) = reader.field(name)? {
            match (number, payload, item) {
                (1, Payload::Bytes(bytes), _) => key = text(bytes),
                (2, Payload::Bytes(bytes), Type::List(inner)) => {
                    value = Some(Value::Array(self.repeated(inner, 1, bytes, name, depth)?));
                }
                (2, payload, _) => value = Some(self.value(item, payload, name, value, depth)?),
                _ => {}
            }
        }
        Ok((key, value.unwrap_or_else(|| zero(item))))
    }

    /// All values under one number of a message.
    fn repeated(
        &self,
        item: &Type,
        wanted: u64,
        bytes: &[u8],
        name: &str,
        depth: usize,
    ) -> Result<Vec<Value>> {
        let depth = depth.checked_sub(1).ok_or(Error::Depth)?;
        let mut list = Vec::new();
        let mut reader = Reader::new(bytes);
        while let Some((number, payload)) = reader.field(name)? {
            if number == wanted {
                list.push(self.value(item, payload, name, None, depth)?);
            }
        }
        Ok(list)
    }

    /// One value; a message that is given twice is merged with what was there before.
    fn value(
        &self,
        ty: &Type,
        payload: Payload<'_>,
        name: &str,
        before: Option<Value>,
        depth: usize,
    ) -> Result<Value> {
        if let Type::Scalar(scalar) = ty {
            return scalar_value(*scalar, payload, name);
        }
        let Payload::Bytes(bytes) = payload else { return wrong(payload, name) };
        match ty {
            Type::Object(id) => {
                let mut map = match before {
                    Some(Value::Object(map)) => map,
                    _ => Map::new(),
                };
                self.object(*id, bytes, &mut map, depth)?;
                Ok(Value::Object(map))
            }
            Type::Any => Ok(last_bytes(bytes, 1)?.map_or(Value::Null, json)),
            Type::Or(alternative, id) => self.either(*alternative, *id, bytes, name, depth),
            _ => Ok(Value::Null),
        }
    }

    /// A JSON schema or what stands in its place: the schema is number 1 but beside a boolean.
    fn either(
        &self,
        alternative: Alternative,
        id: TypeId,
        bytes: &[u8],
        name: &str,
        depth: usize,
    ) -> Result<Value> {
        let (schema, other) = if alternative == Alternative::Bool { (2, 1) } else { (1, 2) };
        if let Some(value) =
            self.repeated(&Type::Object(id), schema, &only(bytes, schema)?, name, depth)?.pop()
        {
            return Ok(value);
        }
        let item = match alternative {
            Alternative::Bool => Type::Scalar(Scalar::Bool),
            Alternative::List => Type::Object(id),
            Alternative::Strings => Type::Scalar(Scalar::String),
        };
        let mut values = self.repeated(&item, other, bytes, name, depth)?;
        Ok(match alternative {
            Alternative::Bool => values.pop().unwrap_or(Value::Bool(false)),
            _ => Value::Array(values),
        })
    }
}

fn wrong<T>(payload: Payload<'_>, name: &str) -> Result<T> {
    Err(Error::WireType(payload.code().number(), name.to_owned()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn is_packed(scalar: Scalar) -> bool {
    matches!(scalar, Scalar::Bool | Scalar::Int32 | Scalar::Int64 | Scalar::Float64)
}

/// The raw JSON of a value that is open; what is no JSON is nothing.
fn json(bytes: &[u8]) -> Value {
    crate::decode::any(bytes).unwrap_or_default()
}

/// The message with the last field of a number alone.
fn only(bytes: &[u8], wanted: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    if let Some(last) = last_bytes(bytes, wanted)? {
        super::wire::write_bytes(u16::try_from(wanted).unwrap_or(1), last, &mut out);
    }
    Ok(out)
}

fn last_bytes(bytes: &[u8], wanted: u64) -> Result<Option<&[u8]>> {
    let mut last = None;
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field("")? {
        if let Payload::Bytes(bytes) = payload
            && number == wanted
        {
            last = Some(bytes);
        }
    }
    Ok(last)
}

fn scalar_value(scalar: Scalar, payload: Payload<'_>, name: &str) -> Result<Value> {
    Ok(match (scalar, payload) {
        (Scalar::Bool, Payload::Varint(value)) => Value::Bool(value != 0),
        // Protobuf extends the sign: the low bits are the number.
        #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "as the wire has it")]
        (Scalar::Int32, Payload::Varint(value)) => (value as i32).into(),
        #[allow(clippy::cast_possible_wrap, reason = "as the wire has it")]
        (Scalar::Int64, Payload::Varint(value)) => (value as i64).into(),
        (Scalar::Float64, Payload::Fixed64(bits)) => {
            Number::from_f64(f64::from_bits(bits)).map_or(Value::Null, Value::Number)
        }
        (Scalar::String, Payload::Bytes(bytes)) => text(bytes).into(),
        (Scalar::Bytes, Payload::Bytes(bytes)) => base64::encode(bytes).into(),
        (Scalar::Time | Scalar::MicroTime, Payload::Bytes(bytes)) => time(scalar, bytes)?,
        (Scalar::Duration, Payload::Bytes(bytes)) => {
            let [nanos, _] = numbers(bytes)?;
            duration::print(nanos).into()
        }
        (Scalar::Quantity, Payload::Bytes(bytes)) => match last_bytes(bytes, 1)? {
            Some(bytes) => canonical(Scalar::Quantity, &text(bytes)).map_err(Error::Value)?,
            None => "0".into(),
        },
        (Scalar::IntOrString, Payload::Bytes(bytes)) => {
            let [kind, number] = numbers(bytes)?;
            match kind {
                0 => number.into(),
                _ => last_bytes(bytes, 3)?.map(text).unwrap_or_default().into(),
            }
        }
        _ => return wrong(payload, name),
    })
}

/// Numbers 1 and 2 of a message of two integers.
fn numbers(bytes: &[u8]) -> Result<[i64; 2]> {
    let mut found = [0; 2];
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field("")? {
        #[allow(clippy::cast_possible_wrap, reason = "as the wire has it")]
        if let (1 | 2, Payload::Varint(value)) = (number, payload) {
            found[usize::from(number == 2)] = value as i64;
        }
    }
    Ok(found)
}

/// A point in time; one without content is none.
fn time(scalar: Scalar, bytes: &[u8]) -> Result<Value> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let [seconds, nanos] = numbers(bytes)?;
    // Years 1 to 9999: what RFC 3339 can say.
    if !(-62_135_596_800..253_402_300_800).contains(&seconds) {
        return Err(Error::Value("Time.MarshalJSON: year outside of range [0,9999]".to_owned()));
    }
    let nanos = u32::try_from(nanos).unwrap_or(0).min(999_999_999);
    let instant = Instant { seconds, nanos: if scalar == Scalar::Time { 0 } else { nanos / 1000 * 1000 } };
    Ok(match scalar {
        _ if instant.is_zero() => Value::Null,
        Scalar::Time => instant.print().into(),
        _ => instant.print_micro().into(),
    })
}
