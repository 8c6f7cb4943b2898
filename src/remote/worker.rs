//! The thread behind one connection: logs in, then does one job after another.
//!
//! Owns the life of a [`Wire`]: it is made, used and dropped on this thread, which ends
//! when the session is dropped, when a job fails on the wire, or when whoever waits for
//! a job goes away. `ssh` starts it and gives it a place among the bounded number.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ssh2::{ErrorCode, MethodType};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::attach::Terminal;
use crate::exec::{Input, execute};
use crate::upload::{self, Content};
use crate::wire::{Halt, Scope, Wire};
use crate::{HostKey, Limits, Output, RemoteError, Target};

/// How often an idle connection considers a keepalive.
const IDLE: Duration = Duration::from_secs(5);

/// libssh2's names for failures that this program tells apart.
mod code {
    pub(super) const SOCKET_NONE: i32 = -1;
    pub(super) const BANNER_RECV: i32 = -2;
    pub(super) const KEX_FAILURE: i32 = -5;
    pub(super) const SOCKET_SEND: i32 = -7;
    pub(super) const KEY_EXCHANGE_FAILURE: i32 = -8;
    pub(super) const SOCKET_DISCONNECT: i32 = -13;
    pub(super) const FILE: i32 = -16;
    pub(super) const AUTHENTICATION_FAILED: i32 = -18;
    pub(super) const PUBLICKEY_UNVERIFIED: i32 = -19;
    pub(super) const SOCKET_RECV: i32 = -43;
}

/// How far a connection is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Check the host key, log in, serve jobs.
    Login,
    /// See which host key is shown, whatever its type, and hang up.
    Look,
}

/// Why a connection did not open.
pub(crate) enum Opening {
    /// No keys could be agreed upon: often, the machine has no host key of a pinned type.
    NoKeys(RemoteError),
    /// Anything else.
    Failed(RemoteError),
}

/// What the thread starts from.
pub(crate) struct Start {
    pub(crate) socket: TcpStream,
    pub(crate) wake: UnixStream,
    pub(crate) target: Target,
    pub(crate) limits: Limits,
    pub(crate) depth: Depth,
    pub(crate) ready: oneshot::Sender<Result<HostKey, Opening>>,
    /// Held as long as the thread lives.
    pub(crate) place: OwnedSemaphorePermit,
}

/// Who waits for a job, and until when.
pub(crate) struct Order<T> {
    pub(crate) until: Option<Instant>,
    /// What the deadline is called in messages.
    pub(crate) timeout: Duration,
    pub(crate) reply: oneshot::Sender<Result<T, RemoteError>>,
}

/// Something to do on an open connection.
pub(crate) enum Job {
    Run { order: Order<Output>, command: String, input: Bytes },
    Upload { order: Order<Output>, content: Content, path: String, mode: u32 },
    Attach { order: Order<i32>, terminal: Terminal },
}

/// The thread's whole life.
pub(crate) fn work(start: Start, jobs: &Receiver<Job>) {
    let Start { socket, wake, target, limits, depth, ready, place } = start;
    let gone = || ready.is_closed();
    let scope = Scope { until: Some(Instant::now() + limits.handshake), gone: &gone };
    let opened = Wire::new(socket, wake)
        .map_err(|halt| Opening::Failed(failed(&target, "the connection", limits.handshake, halt)))
        .and_then(|wire| open(&wire, &scope, &target, depth, limits.handshake).map(|key| (wire, key)));
    match opened {
        Err(error) => drop(ready.send(Err(error))),
        Ok((wire, key)) => {
            if ready.send(Ok(key)).is_ok() && depth == Depth::Login {
                serve(&wire, &target, &limits, jobs);
            }
        }
    }
    drop(place);
}

/// Handshake, host key, login, in this order.
fn open(
    wire: &Wire,
    scope: &Scope<'_>,
    target: &Target,
    depth: Depth,
    limit: Duration,
) -> Result<HostKey, Opening> {
    let fail = |what: &str, halt| Opening::Failed(failed(target, what, limit, halt));
    wire.restrict_methods().map_err(|halt| fail("the handshake", halt))?;
    if depth == Depth::Login {
        prefer_pinned(wire, target).map_err(|halt| fail("the handshake", halt))?;
    }
    wire.drive(scope, |session| session.clone().handshake()).map_err(|halt| {
        let no_keys = matches!(&halt, Halt::Ssh(error)
                if matches!(number(error), code::KEX_FAILURE | code::KEY_EXCHANGE_FAILURE));
        let error = failed(target, "the handshake", limit, halt);
        if no_keys { Opening::NoKeys(error) } else { Opening::Failed(error) }
    })?;
    let shown = wire.session().host_key().and_then(|(blob, _)| HostKey::from_blob(blob));
    let Some(key) = shown else {
        let halt = Halt::Broken("it showed no host key".to_owned());
        return Err(fail("the handshake", halt));
    };
    if depth == Depth::Login {
        if !target.accepted.contains(&key) {
            return Err(Opening::Failed(target.mismatch(key)));
        }
        log_in(wire, scope, target, limit).map_err(Opening::Failed)?;
    }
    Ok(key)
}

/// A server with several keys then shows one of a type we can compare.
fn prefer_pinned(wire: &Wire, target: &Target) -> Result<(), Halt> {
    let mut algorithms: Vec<&str> = target.accepted.iter().map(HostKey::algorithms).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    wire.session().method_pref(MethodType::HostKey, &algorithms.join(",")).map_err(Halt::Ssh)
}

fn log_in(wire: &Wire, scope: &Scope<'_>, target: &Target, limit: Duration) -> Result<(), RemoteError> {
    let result = wire.drive(scope, |session| {
        session.userauth_pubkey_memory(&target.user, None, target.identity.text(), None)
    });
    let halt = match result {
        Ok(()) => return Ok(()),
        Err(halt) => halt,
    };
    let Halt::Ssh(error) = &halt else {
        return Err(failed(target, "the login", limit, halt));
    };
    let detail = error.message().to_owned();
    Err(match number(error) {
        // sshd accepted the key, PAM's account check (pam_nologin) did not: sshd says
        // "System is booting up" in a banner that libssh2 does not hand out, and hangs up.
        // libssh2 has the same code for a refused signature; only its words differ.
        code::PUBLICKEY_UNVERIFIED if detail.starts_with("Waiting for") => {
            RemoteError::Booting { at: target.at() }
        }
        code::AUTHENTICATION_FAILED | code::PUBLICKEY_UNVERIFIED => {
            RemoteError::AuthFailed { at: target.at(), user: target.user.clone(), detail }
        }
        code::FILE => RemoteError::Identity { at: target.at(), detail },
        _ => failed(target, "the login", limit, halt),
    })
}

fn serve(wire: &Wire, target: &Target, limits: &Limits, jobs: &Receiver<Job>) {
    loop {
        match wire.idle(|| jobs.recv_timeout(IDLE)) {
            Ok(job) => {
                if !perform(wire, target, limits, job) {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => wire.keepalive(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Does one job; false where the connection is of no further use.
fn perform(wire: &Wire, target: &Target, limits: &Limits, job: Job) -> bool {
    match job {
        Job::Run { order, command, input } => {
            let what = format!("`{}`", headline(&command));
            let input = Input { from: Box::new(std::io::Cursor::new(input)), progress: None };
            finish(target, &what, order, |scope| execute(wire, scope, &command, input, limits.output_bytes))
        }
        Job::Upload { order, content, path, mode } => {
            finish(target, &format!("the upload of {path}"), order, |scope| {
                upload::send(wire, scope, content, &path, mode)
            })
        }
        Job::Attach { order, mut terminal } => {
            finish(target, "the terminal", order, |scope| terminal.run(wire, scope))
        }
    }
}

fn finish<T>(
    target: &Target,
    what: &str,
    order: Order<T>,
    work: impl FnOnce(&Scope<'_>) -> Result<T, Halt>,
) -> bool {
    let gone = || order.reply.is_closed();
    let result = work(&Scope { until: order.until, gone: &gone });
    let usable = result.is_ok();
    let result = result.map_err(|halt| failed(target, what, order.timeout, halt));
    let _ = order.reply.send(result);
    usable
}

/// A command's first line, short enough for a message.
fn headline(command: &str) -> String {
    let line = command.lines().next().unwrap_or_default();
    if line.chars().count() <= 80 {
        return line.to_owned();
    }
    line.chars().take(79).chain(['…']).collect()
}

fn number(error: &ssh2::Error) -> i32 {
    match error.code() {
        ErrorCode::Session(code) | ErrorCode::SFTP(code) => code,
    }
}

fn failed(target: &Target, what: &str, after: Duration, halt: Halt) -> RemoteError {
    let at = target.at();
    match halt {
        Halt::Gone => RemoteError::Cancelled { at },
        Halt::Late => RemoteError::Timeout { at, what: what.to_owned(), after },
        Halt::Broken(detail) => RemoteError::Lost { at, detail },
        Halt::Local(what, source) => RemoteError::Local { what: what.to_owned(), source },
        Halt::Ssh(error) => {
            let detail = match number(&error) {
                code::SOCKET_NONE
                | code::BANNER_RECV
                | code::SOCKET_SEND
                | code::SOCKET_DISCONNECT
                | code::SOCKET_RECV => format!("it hung up during {what}"),
                _ => format!("{} during {what}", error.message()),
            };
            RemoteError::Lost { at, detail }
        }
    }
}
