//! Moving bytes between a channel and this side until the command ends.
//!
//! Owns the order of the non-blocking calls: a packet that was half sent is finished
//! by the call that began it before any other may send. What the bytes are for is the
//! business of [`Ends`]: captured output, a file, a terminal.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;

use ssh2::Channel;

use crate::wire::{Halt, Scope, Wire};

/// Largest piece handed over at once; libssh2 sends at most this in one packet.
const PIECE: usize = 32 * 1024;

/// Pieces read in a row before it is the writer's turn.
const TURN: usize = 64;

/// One of a command's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// What a source had to say.
pub(crate) enum Pull {
    /// So many bytes were written to the buffer's start.
    Data(usize),
    /// Nothing now: wait on [`Ends::source`].
    Later,
    /// Nothing any more.
    End,
}

/// This side of a command.
pub(crate) trait Ends {
    /// The next bytes for the command's standard input.
    fn pull(&mut self, buffer: &mut [u8]) -> Result<Pull, Halt>;
    /// What to wait on after [`Pull::Later`].
    fn source(&self) -> Option<BorrowedFd<'_>>;
    /// Takes what the command printed.
    fn push(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Halt>;
    /// The terminal's new width and height, once after each change.
    fn resized(&mut self) -> Option<(u32, u32)> {
        None
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Write,
    Read(Stream),
}

enum Feed {
    Open,
    Ended,
    Closed,
}

struct Pump<'a> {
    wire: &'a Wire,
    channel: &'a mut Channel,
    ends: &'a mut dyn Ends,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    feed: Feed,
    /// The call whose packet is half sent.
    half: Option<Call>,
    /// Bytes left in the library's queue after the last round.
    unread: u32,
}

/// Runs an already started command to its end and gives its exit status.
pub(crate) fn pump(
    wire: &Wire,
    scope: &Scope<'_>,
    channel: &mut Channel,
    ends: &mut dyn Ends,
) -> Result<i32, Halt> {
    let mut pump = Pump {
        wire,
        channel,
        ends,
        buffer: vec![0; PIECE],
        from: 0,
        to: 0,
        feed: Feed::Open,
        half: None,
        unread: 0,
    };
    while !pump.step(scope)? {}
    wire.drive(scope, |_| channel.close())?;
    wire.drive(scope, |_| channel.wait_close())?;
    exit_status(channel)
}

impl Pump<'_> {
    /// One round: send, resize, receive, and wait where nothing moved. True at the end.
    fn step(&mut self, scope: &Scope<'_>) -> Result<bool, Halt> {
        let mut moved = self.write()?;
        if self.half.is_none()
            && let Some((width, height)) = self.ends.resized()
        {
            let channel = &mut *self.channel;
            self.wire.drive(scope, |_| channel.request_pty_size(width, height, None, None))?;
        }
        let shut = self.channel.write_window().remaining == 0;
        moved |= self.read(Stream::Stdout)?;
        moved |= self.read(Stream::Stderr)?;
        if self.half.is_none() && self.channel.eof() {
            return Ok(true);
        }
        if moved {
            self.unread = 0;
        }
        if moved || self.overtaken(shut) {
            scope.check()?;
        } else {
            let hungry = matches!(self.feed, Feed::Open) && self.from == self.to;
            let source = if hungry { self.ends.source() } else { None };
            self.wire.wait(scope, source)?;
        }
        Ok(false)
    }

    /// Whether a call took something off the socket that another one, earlier in this
    /// round, would have used: poll(2) would wait for what is already here.
    fn overtaken(&mut self, shut: bool) -> bool {
        if self.half.is_some() {
            return false;
        }
        // Bytes that nothing reads (of a third stream) are looked at once, not for ever.
        let unread = self.channel.read_window().available;
        let arrived = unread > 0 && unread != self.unread;
        self.unread = unread;
        arrived || (shut && self.from < self.to && self.channel.write_window().remaining > 0)
    }

    fn may(&self, call: Call) -> bool {
        self.half.is_none_or(|half| half == call)
    }

    /// Notes whether `call`, which just said "again", left half a packet behind.
    fn settle(&mut self, call: Call, again: bool) {
        self.half = (again && self.wire.half_sent()).then_some(call);
    }

    fn write(&mut self) -> Result<bool, Halt> {
        if !self.may(Call::Write) {
            return Ok(false);
        }
        if self.from == self.to && matches!(self.feed, Feed::Open) {
            match self.ends.pull(&mut self.buffer)? {
                Pull::Data(count) => (self.from, self.to) = (0, count),
                Pull::Later => return Ok(false),
                Pull::End => self.feed = Feed::Ended,
            }
        }
        if self.from < self.to {
            return self.write_piece();
        }
        if matches!(self.feed, Feed::Ended) {
            return self.write_end();
        }
        Ok(false)
    }

    fn write_piece(&mut self) -> Result<bool, Halt> {
        let written = self.channel.write(&self.buffer[self.from..self.to]);
        match taken(written)? {
            // Nothing may also mean that the command's window is full.
            None | Some(0) => {
                self.settle(Call::Write, true);
                Ok(false)
            }
            Some(count) => {
                self.from += count;
                self.settle(Call::Write, false);
                Ok(true)
            }
        }
    }

    fn write_end(&mut self) -> Result<bool, Halt> {
        match taken(self.channel.send_eof().map_err(io::Error::from))? {
            None => self.settle(Call::Write, true),
            Some(()) => {
                self.settle(Call::Write, false);
                self.feed = Feed::Closed;
            }
        }
        Ok(matches!(self.feed, Feed::Closed))
    }

    fn read(&mut self, stream: Stream) -> Result<bool, Halt> {
        let call = Call::Read(stream);
        let mut piece = [0_u8; PIECE];
        let mut moved = false;
        for _ in 0..TURN {
            if !self.may(call) {
                break;
            }
            let id = i32::from(stream == Stream::Stderr);
            let got = taken(self.channel.stream(id).read(&mut piece))?;
            self.settle(call, got.is_none());
            match got {
                None | Some(0) => break,
                Some(count) => self.ends.push(stream, &piece[..count])?,
            }
            moved = true;
        }
        Ok(moved)
    }
}

fn taken<T>(result: io::Result<T>) -> Result<Option<T>, Halt> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(Halt::Broken(error.to_string())),
    }
}

fn exit_status(channel: &Channel) -> Result<i32, Halt> {
    let signal = channel.exit_signal().map_err(Halt::Ssh)?.exit_signal;
    match signal {
        Some(name) => Ok(128 + signal_number(&name)),
        None => channel.exit_status().map_err(Halt::Ssh),
    }
}

/// The number of a signal that RFC 4254 names; 127 for one it does not.
fn signal_number(name: &str) -> i32 {
    match name {
        "HUP" => 1,
        "INT" => 2,
        "QUIT" => 3,
        "ILL" => 4,
        "ABRT" => 6,
        "FPE" => 8,
        "KILL" => 9,
        "USR1" => 10,
        "SEGV" => 11,
        "USR2" => 12,
        "PIPE" => 13,
        "ALRM" => 14,
        "TERM" => 15,
        _ => 127,
    }
}
