//! One SSH connection that never blocks: every call has a deadline and can be stopped.
//!
//! Owns the non-blocking `ssh2` session and the waiting. `ssh2` is asked, says "again",
//! and the thread sleeps in poll(2) on the socket and on a wake-up pipe until one
//! speaks, the deadline passes or the caller has gone. Its thread is `worker`'s.

use std::cell::RefCell;
use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::threads::Turn;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{BlockDirections, ErrorCode, MethodType};

/// What `ssh2` calls "try again": libssh2's LIBSSH2_ERROR_EAGAIN.
const AGAIN: i32 = -37;

/// Longest time in poll(2): also how often a keepalive is considered.
const NAP: Duration = Duration::from_secs(5);

/// Seconds of silence after which a keepalive is sent, below any NAT's patience.
const KEEPALIVE_S: u32 = 15;

/// Counter mode and a plain MAC: libssh2's oldest and soundest path, and what every
/// OpenSSH takes. Its AES-GCM (up to 1.11.2-dev, as `ssh2` carries it) writes beyond its
/// buffer, its ChaCha20-Poly1305 sends sixteen bytes of old heap with each packet, its
/// encrypt-then-MAC trusts a length it has not checked.
const CIPHERS: &str = "aes128-ctr,aes256-ctr";
const MACS: &str = "hmac-sha2-256,hmac-sha2-512";

/// Why a call on the wire ended without its result.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Nobody waits for the result any more.
    Gone,
    /// The deadline passed.
    Late,
    /// `ssh2` refused.
    Ssh(ssh2::Error),
    /// The connection is unusable.
    Broken(String),
    /// Something on this side failed.
    Local(&'static str, io::Error),
}

/// How long a call may take and whether somebody still wants it.
pub(crate) struct Scope<'a> {
    pub(crate) until: Option<Instant>,
    pub(crate) gone: &'a dyn Fn() -> bool,
}

impl Scope<'_> {
    pub(crate) fn check(&self) -> Result<(), Halt> {
        if (self.gone)() {
            return Err(Halt::Gone);
        }
        match self.until {
            Some(until) if Instant::now() >= until => Err(Halt::Late),
            _ => Ok(()),
        }
    }
}

/// A connection and the pipe that wakes whoever waits on it.
pub(crate) struct Wire {
    session: ssh2::Session,
    socket: TcpStream,
    wake: UnixStream,
    /// Last, so that the session is freed in turn.
    turn: RefCell<Turn>,
}

impl Wire {
    /// Takes a connected, non-blocking socket and the reading end of a wake-up pipe.
    pub(crate) fn new(socket: TcpStream, wake: UnixStream) -> Result<Self, Halt> {
        let turn = RefCell::new(Turn::take());
        let mut session = ssh2::Session::new().map_err(Halt::Ssh)?;
        let ours = socket.try_clone().map_err(|error| Halt::Local("cannot use the connection", error))?;
        session.set_tcp_stream(ours);
        session.set_blocking(false);
        session.set_keepalive(false, KEEPALIVE_S);
        Ok(Self { session, socket, wake, turn })
    }

    /// Leaves only the ciphers and MACs that this library does soundly.
    pub(crate) fn restrict_methods(&self) -> Result<(), Halt> {
        let methods = [
            (MethodType::CryptCs, CIPHERS),
            (MethodType::CryptSc, CIPHERS),
            (MethodType::MacCs, MACS),
            (MethodType::MacSc, MACS),
        ];
        methods
            .into_iter()
            .try_for_each(|(kind, names)| self.session.method_pref(kind, names))
            .map_err(Halt::Ssh)
    }

    pub(crate) fn session(&self) -> &ssh2::Session {
        &self.session
    }

    /// Repeats `call` until it has a result other than "again".
    pub(crate) fn drive<T>(
        &self,
        scope: &Scope<'_>,
        mut call: impl FnMut(&ssh2::Session) -> Result<T, ssh2::Error>,
    ) -> Result<T, Halt> {
        loop {
            match call(&self.session) {
                Err(error) if error.code() == ErrorCode::Session(AGAIN) => self.wait(scope, None)?,
                Err(error) => return Err(Halt::Ssh(error)),
                Ok(value) => return Ok(value),
            }
        }
    }

    /// Whether a packet is half sent: only the call that began it may go on.
    pub(crate) fn half_sent(&self) -> bool {
        matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
    }

    /// Sleeps until the connection (or `other`) has something to do.
    pub(crate) fn wait(&self, scope: &Scope<'_>, other: Option<BorrowedFd<'_>>) -> Result<(), Halt> {
        scope.check()?;
        let events = match self.session.block_directions() {
            BlockDirections::Outbound => PollFlags::OUT,
            BlockDirections::Both => PollFlags::IN | PollFlags::OUT,
            BlockDirections::None | BlockDirections::Inbound => PollFlags::IN,
        };
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.socket.as_fd(), events),
            PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN),
        ];
        fds.extend(other.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let left = scope.until.map_or(NAP, |until| until.saturating_duration_since(Instant::now()).min(NAP));
        // Rounded up, or the last millisecond before a deadline would spin.
        let nap = Timespec::try_from(left + Duration::from_millis(1)).ok();
        match self.idle(|| poll(&mut fds, nap.as_ref())) {
            Ok(0) => self.keepalive(),
            Ok(_) if !fds[1].revents().is_empty() => self.drain_wake(),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Halt::Local("cannot wait for the connection", error.into())),
        }
        scope.check()
    }

    /// Runs `wait`, which calls neither library, while other connections have their turn.
    pub(crate) fn idle<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.turn.borrow_mut().yielding(wait)
    }

    /// Whether a packet of our own may be sent between calls. Not before the login: libssh2
    /// would send it in the middle of the key exchange, with keys that are half set up,
    /// and write beyond its buffers.
    fn may_speak(&self) -> bool {
        self.session.authenticated() && !self.half_sent()
    }

    /// Tells the other side (and every NAT between) that we are there, when it is time.
    pub(crate) fn keepalive(&self) {
        if self.may_speak() {
            // A dead connection shows itself in the next call that needs it.
            let _ = self.session.keepalive_send();
        }
    }

    fn drain_wake(&self) {
        let mut bytes = [0_u8; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(n) if n > 0) {}
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.may_speak() {
            let _ = self.session.disconnect(None, "done", None);
        }
        // With the socket shut, freeing the session cannot wait for the other side.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
