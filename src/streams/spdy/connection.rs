//! One side of a connection: which streams are open, and what may come on them.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::SpdyError;
use super::frame::{Frame, Reader, StreamId, Writer};
use super::headers::Headers;

/// Streams open at a time; a port-forward takes two a connection.
const STREAMS: usize = 1024;

/// Largest piece of data put into one frame.
const PIECE: usize = 32 * 1024;

/// SPDY's statuses of a reset.
const REFUSED: u32 = 3;
const INVALID_STREAM: u32 = 2;
const CANCEL: u32 = 5;

/// Who opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This side.
    Client,
    /// The other side.
    Server,
}

/// What the other side did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It opened a stream, which waits for [`Connection::accept`] or [`Connection::reset`].
    Opened(StreamId, Headers),
    /// It accepted a stream of ours.
    Accepted(StreamId, Headers),
    /// It sent bytes.
    Data(StreamId, Bytes),
    /// It will send nothing more on this stream.
    Finished(StreamId),
    /// It ended a stream; nothing more may be sent on it.
    Reset(StreamId, u32),
    /// It opens no further streams.
    GoAway,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    /// Whether this side may still send.
    sending: bool,
    /// Whether the other side may.
    receiving: bool,
}

/// A connection. What is to be sent is taken by [`Connection::output`].
#[derive(Debug)]
pub struct Connection {
    role: Role,
    reader: Reader,
    writer: Writer,
    streams: BTreeMap<StreamId, Open>,
    /// The id of the next stream that this side opens.
    next: u32,
    /// The last id that the other side opened.
    last: u32,
    out: BytesMut,
}

impl Connection {
    /// A connection on which nothing was said yet.
    #[must_use]
    pub fn new(role: Role) -> Self {
        Self {
            role,
            reader: Reader::default(),
            writer: Writer::default(),
            streams: BTreeMap::new(),
            next: if role == Role::Client { 1 } else { 2 },
            last: 0,
            out: BytesMut::new(),
        }
    }

    /// Takes bytes from the other side and gives what they mean. After an error the connection
    /// is of no further use.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, SpdyError> {
        self.reader.feed(bytes);
        let mut events = Vec::new();
        while let Some(frame) = self.reader.read()? {
            self.take(frame, &mut events)?;
        }
        Ok(events)
    }

    /// What is to be sent.
    pub fn output(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    /// Opens a stream; with `fin` nothing will be sent on it.
    pub fn open(&mut self, headers: Headers, fin: bool) -> Result<StreamId, SpdyError> {
        if self.streams.len() >= STREAMS {
            return Err(SpdyError::TooManyStreams(STREAMS));
        }
        let id = StreamId(self.next);
        self.next += 2;
        self.streams.insert(id, Open { sending: !fin, receiving: true });
        self.say(Frame::SynStream { id, headers, fin })?;
        Ok(id)
    }

    /// Accepts a stream that the other side opened; with `fin` nothing will be sent on it.
    pub fn accept(&mut self, id: StreamId, headers: Headers, fin: bool) -> Result<(), SpdyError> {
        self.say(Frame::SynReply { id, headers, fin })?;
        if fin {
            self.end(id, true, false);
        }
        Ok(())
    }

    /// Sends bytes, the last ones with `fin`. On a stream that has ended it says nothing.
    pub fn send(&mut self, id: StreamId, bytes: &Bytes, fin: bool) -> Result<(), SpdyError> {
        if !self.streams.get(&id).is_some_and(|stream| stream.sending) {
            return Ok(());
        }
        let mut rest = bytes.clone();
        loop {
            let piece = rest.split_to(rest.len().min(PIECE));
            let last = rest.is_empty();
            if !piece.is_empty() || fin {
                self.say(Frame::Data { id, bytes: piece, fin: fin && last })?;
            }
            if last {
                break;
            }
        }
        if fin {
            self.end(id, true, false);
        }
        Ok(())
    }

    /// Ends a stream in both directions.
    pub fn reset(&mut self, id: StreamId) -> Result<(), SpdyError> {
        if self.streams.remove(&id).is_some() {
            self.say(Frame::Reset { id, status: CANCEL })?;
        }
        Ok(())
    }

    /// Says that no further streams are taken.
    pub fn go_away(&mut self) -> Result<(), SpdyError> {
        self.say(Frame::GoAway { last: StreamId(self.last), status: 0 })
    }

    /// Streams that are open in some direction.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    fn say(&mut self, frame: Frame) -> Result<(), SpdyError> {
        self.writer.write(&frame, &mut self.out)
    }

    fn take(&mut self, frame: Frame, events: &mut Vec<Event>) -> Result<(), SpdyError> {
        match frame {
            Frame::SynStream { id, headers, fin } => self.opened(id, headers, fin, events)?,
            Frame::SynReply { id, headers, fin } => {
                if self.streams.contains_key(&id) {
                    events.push(Event::Accepted(id, headers));
                    self.received_fin(id, fin, events);
                }
            }
            Frame::Data { id, bytes, fin } => self.data(id, bytes, fin, events)?,
            Frame::Headers { id, fin, .. } => self.received_fin(id, fin, events),
            Frame::Reset { id, status } => {
                if self.streams.remove(&id).is_some() {
                    events.push(Event::Reset(id, status));
                }
            }
            Frame::Ping(number) => {
                // Numbers are odd or even by who began, as ids are: answers are not answered.
                if self.is_theirs(number) {
                    self.say(Frame::Ping(number))?;
                }
            }
            Frame::GoAway { .. } => events.push(Event::GoAway),
            Frame::Other(_) => {}
        }
        Ok(())
    }

    fn opened(
        &mut self,
        id: StreamId,
        headers: Headers,
        fin: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), SpdyError> {
        if !self.is_theirs(id.0) || id.0 <= self.last {
            return Err(SpdyError::Stream(id.0));
        }
        self.last = id.0;
        if self.streams.len() >= STREAMS {
            return self.say(Frame::Reset { id, status: REFUSED });
        }
        self.streams.insert(id, Open { sending: true, receiving: true });
        events.push(Event::Opened(id, headers));
        self.received_fin(id, fin, events);
        Ok(())
    }

    fn data(
        &mut self,
        id: StreamId,
        bytes: Bytes,
        fin: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), SpdyError> {
        if !self.streams.get(&id).is_some_and(|stream| stream.receiving) {
            // What was under way when the stream ended is no fault; what never was opened is told.
            let never = if self.is_theirs(id.0) { id.0 > self.last } else { id.0 >= self.next };
            return if never { self.say(Frame::Reset { id, status: INVALID_STREAM }) } else { Ok(()) };
        }
        if !bytes.is_empty() {
            events.push(Event::Data(id, bytes));
        }
        self.received_fin(id, fin, events);
        Ok(())
    }

    fn received_fin(&mut self, id: StreamId, fin: bool, events: &mut Vec<Event>) {
        if fin && self.streams.get(&id).is_some_and(|stream| stream.receiving) {
            events.push(Event::Finished(id));
            self.end(id, false, true);
        }
    }

    /// Ends one direction, and forgets a stream that has none left.
    fn end(&mut self, id: StreamId, sending: bool, receiving: bool) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.sending &= !sending;
            stream.receiving &= !receiving;
            if !stream.sending && !stream.receiving {
                self.streams.remove(&id);
            }
        }
    }

    fn is_theirs(&self, number: u32) -> bool {
        (number % 2 == 1) == (self.role == Role::Server)
    }
}
