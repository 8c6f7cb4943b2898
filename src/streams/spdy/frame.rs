//! Frames: eight bytes of head, then what the head says.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::SpdyError;
use super::headers::{Headers, Packer, Unpacker};

/// Names a stream: odd numbers are the client's, even ones the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// Longest frame that is read, its head apart. Upstream writes as much as one write has.
pub const FRAME_BYTES: usize = 1024 * 1024;

const HEAD: usize = 8;
const CONTROL: u32 = 0x8000_0000;
const VERSION: u16 = 3;
const FIN: u8 = 1;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Its id.
        id: StreamId,
        /// What it is for.
        headers: Headers,
        /// Whether its opener sends nothing on it.
        fin: bool,
    },
    /// Accepts a stream.
    SynReply {
        /// Which.
        id: StreamId,
        /// What is said of it.
        headers: Headers,
        /// Whether the accepter sends nothing on it.
        fin: bool,
    },
    /// Ends a stream in both directions.
    Reset {
        /// Which.
        id: StreamId,
        /// Why: SPDY's status, 5 for cancelled.
        status: u32,
    },
    /// Asks for, or is, the same number back.
    Ping(u32),
    /// No further streams will be opened.
    GoAway {
        /// The last stream that was taken.
        last: StreamId,
        /// Why: 0 for no error.
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// Which.
        id: StreamId,
        /// They.
        headers: Headers,
        /// Whether nothing follows on it.
        fin: bool,
    },
    /// Bytes of a stream.
    Data {
        /// Which.
        id: StreamId,
        /// They.
        bytes: Bytes,
        /// Whether nothing follows on it.
        fin: bool,
    },
    /// Settings, window updates, and types that later versions made: read over.
    Other(u16),
}

/// Writes frames of one direction.
#[derive(Debug, Default)]
pub struct Writer {
    packer: Packer,
}

/// Reads frames of one direction, from bytes cut anywhere.
#[derive(Debug, Default)]
pub struct Reader {
    unpacker: Unpacker,
    rest: BytesMut,
}

impl Writer {
    /// Appends a frame to `out`.
    pub fn write(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), SpdyError> {
        match frame {
            Frame::SynStream { id, headers, fin } => {
                let block = self.packer.pack(headers)?;
                control(out, 1, *fin, 10 + block.len());
                out.put_u32(id.0);
                out.put_u32(0); // no associated stream
                out.put_u16(0); // priority and slot
                out.put_slice(&block);
            }
            Frame::SynReply { id, headers, fin } => self.with_headers(2, *id, headers, *fin, out)?,
            Frame::Reset { id, status } => pair(out, 3, id.0, *status),
            Frame::Ping(number) => {
                control(out, 6, false, 4);
                out.put_u32(*number);
            }
            Frame::GoAway { last, status } => pair(out, 7, last.0, *status),
            Frame::Headers { id, headers, fin } => self.with_headers(8, *id, headers, *fin, out)?,
            Frame::Data { id, bytes, fin } => {
                out.put_u32(id.0);
                flags_and_length(out, *fin, bytes.len());
                out.put_slice(bytes);
            }
            // Nothing of ours needs one.
            Frame::Other(_) => {}
        }
        Ok(())
    }

    fn with_headers(
        &mut self,
        kind: u16,
        id: StreamId,
        headers: &Headers,
        fin: bool,
        out: &mut BytesMut,
    ) -> Result<(), SpdyError> {
        let block = self.packer.pack(headers)?;
        control(out, kind, fin, 4 + block.len());
        out.put_u32(id.0);
        out.put_slice(&block);
        Ok(())
    }
}

fn pair(out: &mut BytesMut, kind: u16, first: u32, second: u32) {
    control(out, kind, false, 8);
    out.put_u32(first);
    out.put_u32(second);
}

fn control(out: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    out.put_u32(CONTROL | u32::from(VERSION) << 16 | u32::from(kind));
    flags_and_length(out, fin, length);
}

fn flags_and_length(out: &mut BytesMut, fin: bool, length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX) & 0x00ff_ffff;
    out.put_u32(u32::from(u8::from(fin)) << 24 | length);
}

impl Reader {
    /// Takes bytes as they come.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    pub fn read(&mut self) -> Result<Option<Frame>, SpdyError> {
        let Some((first, second)) = self.head() else {
            return Ok(None);
        };
        let length = usize::try_from(second & 0x00ff_ffff).unwrap_or(usize::MAX);
        if length > FRAME_BYTES {
            return Err(SpdyError::TooLong { length, limit: FRAME_BYTES });
        }
        if self.rest.len() < HEAD + length {
            self.rest.reserve(HEAD + length - self.rest.len());
            return Ok(None);
        }
        self.rest.advance(HEAD);
        let body = self.rest.split_to(length).freeze();
        let fin = second.to_be_bytes()[0] & FIN != 0;
        if first & CONTROL == 0 {
            return Ok(Some(Frame::Data { id: StreamId(first), bytes: body, fin }));
        }
        let [high, low, ..] = (first & !CONTROL).to_be_bytes();
        let version = u16::from_be_bytes([high, low]);
        if version != VERSION {
            return Err(SpdyError::Version(version));
        }
        let [.., high, low] = first.to_be_bytes();
        self.control(u16::from_be_bytes([high, low]), fin, body).map(Some)
    }

    fn head(&self) -> Option<(u32, u32)> {
        let mut head = self.rest.get(..HEAD)?;
        Some((head.get_u32(), head.get_u32()))
    }

    fn control(&mut self, kind: u16, fin: bool, mut body: Bytes) -> Result<Frame, SpdyError> {
        let short = |kind| SpdyError::Malformed { kind, detail: "it is too short" };
        match kind {
            1 if body.len() < 10 => Err(short("SYN_STREAM")),
            1 => {
                let id = stream(&mut body);
                body.advance(6);
                Ok(Frame::SynStream { id, headers: self.unpacker.unpack(&body)?, fin })
            }
            2 | 8 if body.len() < 4 => Err(short("SYN_REPLY or HEADERS")),
            2 => Ok(Frame::SynReply { id: stream(&mut body), headers: self.unpacker.unpack(&body)?, fin }),
            8 => Ok(Frame::Headers { id: stream(&mut body), headers: self.unpacker.unpack(&body)?, fin }),
            3 | 7 if body.len() < 8 => Err(short("RST_STREAM or GOAWAY")),
            3 => Ok(Frame::Reset { id: stream(&mut body), status: body.get_u32() }),
            7 => Ok(Frame::GoAway { last: stream(&mut body), status: body.get_u32() }),
            6 if body.len() < 4 => Err(short("PING")),
            6 => Ok(Frame::Ping(body.get_u32())),
            other => Ok(Frame::Other(other)),
        }
    }
}

fn stream(body: &mut Bytes) -> StreamId {
    StreamId(body.get_u32() & !CONTROL)
}
