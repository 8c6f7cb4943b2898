//! Running one command with input from memory or a file, its output captured.
//!
//! Owns the bound on what is kept of the output: more is read and thrown away, so that
//! a talkative command ends as it would have.

use std::io::Read;
use std::os::fd::BorrowedFd;

use crate::Output;
use crate::pump::{Ends, Pull, Stream, pump};
use crate::wire::{Halt, Scope, Wire};

/// Where the bytes for a command's standard input come from.
pub(crate) struct Input {
    pub(crate) from: Box<dyn Read + Send>,
    /// Hears how many bytes were read so far.
    pub(crate) progress: Option<Box<dyn FnMut(u64) + Send>>,
}

struct Capture {
    input: Input,
    read: u64,
    output: Output,
    limit: usize,
}

/// Runs `command`, keeping at most `limit` bytes of each output.
pub(crate) fn execute(
    wire: &Wire,
    scope: &Scope<'_>,
    command: &str,
    input: Input,
    limit: usize,
) -> Result<Output, Halt> {
    let mut channel = wire.drive(scope, ssh2::Session::channel_session)?;
    wire.drive(scope, |_| channel.exec(command))?;
    let mut capture = Capture { input, read: 0, output: Output::default(), limit };
    let status = pump(wire, scope, &mut channel, &mut capture)?;
    Ok(Output { status, ..capture.output })
}

impl Ends for Capture {
    fn pull(&mut self, buffer: &mut [u8]) -> Result<Pull, Halt> {
        let count = self
            .input
            .from
            .read(buffer)
            .map_err(|error| Halt::Local("cannot read what is to be sent", error))?;
        if count == 0 {
            return Ok(Pull::End);
        }
        self.read += u64::try_from(count).unwrap_or(u64::MAX);
        if let Some(progress) = &mut self.input.progress {
            progress(self.read);
        }
        Ok(Pull::Data(count))
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn push(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Halt> {
        let kept = match stream {
            Stream::Stdout => &mut self.output.stdout,
            Stream::Stderr => &mut self.output.stderr,
        };
        let room = self.limit - kept.len();
        self.output.truncated |= bytes.len() > room;
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(())
    }
}
