//! Protobuf's wire: numbers of seven bits a byte, tags, lengths.

use super::ProtobufError as Error;

/// How a field is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Varint,
    Fixed64,
    Bytes,
    Fixed32,
}

impl Code {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Varint => 0,
            Self::Fixed64 => 1,
            Self::Bytes => 2,
            Self::Fixed32 => 5,
        }
    }
}

/// A field's payload.
#[derive(Debug, Clone, Copy)]
pub(super) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

impl Payload<'_> {
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Varint(_) => Code::Varint,
            Self::Fixed64(_) => Code::Fixed64,
            Self::Bytes(_) => Code::Bytes,
            Self::Fixed32 => Code::Fixed32,
        }
    }
}

pub(super) struct Reader<'a> {
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub(super) fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for (at, byte) in self.data.iter().enumerate() {
            let shift = 7 * u32::try_from(at).unwrap_or(u32::MAX);
            if shift >= 64 {
                return Err(Error::Overflow);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                self.data = &self.data[at + 1..];
                return Ok(value);
            }
        }
        Err(Error::End)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.data.split_at_checked(count).ok_or(Error::End)?;
        self.data = rest;
        Ok(taken)
    }

    pub(super) fn fixed64(&mut self) -> Result<u64, Error> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// The next field's number and payload; groups, which nothing here uses, are passed over.
    pub(super) fn field(&mut self, message: &str) -> Result<Option<(u64, Payload<'a>)>, Error> {
        while !self.is_empty() {
            let tag = self.varint()?;
            let (number, code) = (tag >> 3, (tag & 7) as u8);
            if number == 0 || number > i32::MAX as u64 {
                return Err(Error::IllegalTag(message.to_owned(), number, code));
            }
            if code == 3 {
                self.group()?;
                continue;
            }
            return self.payload(code).map(|payload| Some((number, payload)));
        }
        Ok(None)
    }

    fn payload(&mut self, code: u8) -> Result<Payload<'a>, Error> {
        Ok(match code {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(self.fixed64()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Error::End)?;
                Payload::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Payload::Fixed32)?,
            code => return Err(Error::IllegalWireType(code)),
        })
    }

    /// Reads over a group, groups within it included.
    fn group(&mut self) -> Result<(), Error> {
        let mut depth = 1_u64;
        while depth > 0 {
            match (self.varint()? & 7) as u8 {
                3 => depth += 1,
                4 => depth -= 1,
                code => self.payload(code).map(drop)?,
            }
        }
        Ok(())
    }
}

pub(super) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn write_tag(number: u16, code: Code, out: &mut Vec<u8>) {
    write_varint(u64::from(number) << 3 | u64::from(code.number()), out);
}

pub(super) fn write_bytes(number: u16, bytes: &[u8], out: &mut Vec<u8>) {
    write_tag(number, Code::Bytes, out);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
