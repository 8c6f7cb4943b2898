//! A person's terminal, or a program's pipes, joined to a command on a machine.
//!
//! Owns raw mode (restored however the session ends), window changes, and the copying
//! between three file descriptors and the channel. With a terminal and no command it
//! is a login shell on a pseudo-terminal; otherwise the streams stay apart.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::RemoteError;
use crate::pump::{Ends, Pull, Stream, pump};
use crate::wire::{Halt, Scope, Wire};

/// What to run and what to join it to.
#[derive(Debug)]
pub struct Attach {
    /// The command, or none for a login shell.
    pub command: Option<String>,
    /// The terminal's type (`TERM`) for a pseudo-terminal; `stdin` must then be one.
    pub terminal: Option<String>,
    /// Read into the command.
    pub stdin: OwnedFd,
    /// Where its output goes.
    pub stdout: OwnedFd,
    /// Where its errors go (without a pseudo-terminal).
    pub stderr: OwnedFd,
}

/// The part of an attachment that lives on the connection's thread.
pub(crate) struct Terminal {
    attach: Attach,
    resized: Arc<AtomicBool>,
}

/// The part that stays with the caller: restores the terminal when dropped.
pub(crate) struct Guard {
    raw: Option<(OwnedFd, Termios)>,
    changes: Option<Signal>,
    resized: Arc<AtomicBool>,
}

impl Attach {
    /// This process's own streams; a pseudo-terminal of type `term` where there is no
    /// command and standard input is a terminal.
    pub fn stdio(command: Option<String>, term: &str) -> Result<Self, RemoteError> {
        let shell = command.is_none() && io::stdin().is_terminal();
        Ok(Self {
            command,
            terminal: shell.then(|| term.to_owned()),
            stdin: duplicate(io::stdin().as_fd())?,
            stdout: duplicate(io::stdout().as_fd())?,
            stderr: duplicate(io::stderr().as_fd())?,
        })
    }

    /// Puts the terminal into raw mode and listens for changes of its size.
    pub(crate) fn start(self) -> Result<(Terminal, Guard), RemoteError> {
        let resized = Arc::new(AtomicBool::new(false));
        let mut guard = Guard { raw: None, changes: None, resized: Arc::clone(&resized) };
        if self.terminal.is_some() {
            let failed = |error| local("cannot use the terminal", error);
            guard.changes = Some(signal(SignalKind::window_change()).map_err(failed)?);
            let before = tcgetattr(&self.stdin).map_err(|error| failed(error.into()))?;
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(&self.stdin, OptionalActions::Drain, &raw).map_err(|error| failed(error.into()))?;
            guard.raw = Some((duplicate(self.stdin.as_fd())?, before));
        }
        let terminal = Terminal { attach: self, resized };
        Ok((terminal, guard))
    }
}

impl Guard {
    /// Completes when the terminal has another size; never without a terminal.
    pub(crate) async fn resized(&mut self) {
        let changed = match &mut self.changes {
            Some(changes) => changes.recv().await,
            None => None,
        };
        if changed.is_none() {
            std::future::pending::<()>().await;
        }
        self.resized.store(true, Ordering::Release);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((fd, before)) = &self.raw {
            // Nothing else can be done for a terminal that is gone.
            let _ = tcsetattr(fd, OptionalActions::Drain, before);
        }
    }
}

impl Terminal {
    /// Runs the command to its end.
    pub(crate) fn run(&mut self, wire: &Wire, scope: &Scope<'_>) -> Result<i32, Halt> {
        let mut channel = wire.drive(scope, ssh2::Session::channel_session)?;
        if let Some(term) = &self.attach.terminal {
            let (width, height) = self.size();
            wire.drive(scope, |_| channel.request_pty(term, None, Some((width, height, 0, 0))))?;
        }
        match &self.attach.command {
            Some(command) => wire.drive(scope, |_| channel.exec(command))?,
            None => wire.drive(scope, |_| channel.shell())?,
        }
        pump(wire, scope, &mut channel, self)
    }

    fn size(&self) -> (u32, u32) {
        tcgetwinsize(&self.attach.stdin)
            .map_or((80, 24), |size| (size.ws_col.max(1).into(), size.ws_row.max(1).into()))
    }
}

impl Ends for Terminal {
    fn pull(&mut self, buffer: &mut [u8]) -> Result<Pull, Halt> {
        if !ready(self.attach.stdin.as_fd()) {
            return Ok(Pull::Later);
        }
        match rustix::io::read(&self.attach.stdin, buffer) {
            Ok(0) => Ok(Pull::End),
            Ok(count) => Ok(Pull::Data(count)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(Pull::Later),
            // What a pseudo-terminal says when its other side has gone.
            Err(Errno::IO) => Ok(Pull::End),
            Err(error) => Err(Halt::Local("cannot read standard input", error.into())),
        }
    }

    fn source(&self) -> Option<BorrowedFd<'_>> {
        Some(self.attach.stdin.as_fd())
    }

    fn push(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), Halt> {
        let fd = match stream {
            Stream::Stdout => self.attach.stdout.as_fd(),
            Stream::Stderr => self.attach.stderr.as_fd(),
        };
        put(fd, bytes).map_err(|error| Halt::Local("cannot write what the command printed", error))
    }

    fn resized(&mut self) -> Option<(u32, u32)> {
        let changed = self.attach.terminal.is_some() && self.resized.swap(false, Ordering::AcqRel);
        changed.then(|| self.size())
    }
}

fn ready(fd: BorrowedFd<'_>) -> bool {
    let now = rustix::event::Timespec::default();
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(&now)).is_ok_and(|count| count > 0)
}

fn put(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
                poll(&mut fds, None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd, RemoteError> {
    fd.try_clone_to_owned().map_err(|error| local("cannot use the standard streams", error))
}

fn local(what: &str, source: io::Error) -> RemoteError {
    RemoteError::Local { what: what.to_owned(), source }
}
