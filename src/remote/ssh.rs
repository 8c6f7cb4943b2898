//! The real [`Remote`]: SSH by `ssh2`, a thread per open connection.
//!
//! Owns the bound on connections, reaching the machine (without a thread), and the
//! asynchronous face of a connection's thread. When stopping is asked for, every
//! pending call ends within a moment as [`RemoteError::Cancelled`].

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base::Shutdown;
use bytes::Bytes;
use tokio::sync::{Semaphore, oneshot};

use crate::threads;
use crate::upload::content;
use crate::worker::{Depth, Job, Opening, Order, Start, work};
use crate::{Attach, HostKey, Output, Progress, Remote, RemoteError, Session, Target, Upload};

/// Bounds of a [`Ssh`].
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at once, a thread each; further ones wait for a place.
    pub sessions: usize,
    /// Time for the TCP connection of one attempt.
    pub connect: Duration,
    /// Time for handshake and login of one attempt.
    pub handshake: Duration,
    /// Bytes kept of each output of a command.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 128,
            connect: Duration::from_secs(5),
            handshake: Duration::from_secs(20),
            output_bytes: 4 * 1024 * 1024,
        }
    }
}

/// Connects over SSH. Cheap to clone; clones share the bound on connections.
#[derive(Debug, Clone)]
pub struct Ssh {
    limits: Limits,
    shutdown: Shutdown,
    places: Arc<Semaphore>,
}

/// An open connection, seen from outside its thread.
pub(crate) struct SshSession {
    target: Target,
    key: HostKey,
    jobs: Sender<Job>,
    wake: Arc<UnixStream>,
    shutdown: Shutdown,
}

/// Wakes a connection's thread when dropped, so that it sees who has gone.
struct Waker(Arc<UnixStream>);

impl Drop for Waker {
    fn drop(&mut self) {
        // A full pipe has woken it already; a closed one has no thread.
        let _ = (&*self.0).write(&[1]);
    }
}

impl Ssh {
    /// Connections within `limits`, all of which end when `shutdown` is triggered.
    pub fn new(limits: Limits, shutdown: Shutdown) -> Self {
        let places = Arc::new(Semaphore::new(limits.sessions));
        Self { limits, shutdown, places }
    }

    /// Joins this process's terminal or pipes to a shell or command on the machine
    /// until it ends, and gives its exit status.
    pub async fn attach(&self, target: &Target, attach: Attach) -> Result<i32, RemoteError> {
        let session = self.session(target).await?;
        let (terminal, mut guard) = attach.start()?;
        let (order, reply) = order(None);
        let job = Job::Attach { order, terminal };
        let wake = Waker(Arc::clone(&session.wake));
        let answer = session.ask(job, reply);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                status = &mut answer => return status,
                () = guard.resized() => drop(Waker(Arc::clone(&wake.0))),
            }
        }
    }

    async fn session(&self, target: &Target) -> Result<SshSession, RemoteError> {
        let cancelled = || RemoteError::Cancelled { at: target.at() };
        let opened = self.shutdown.race(self.open(target, Depth::Login)).await;
        match opened.ok_or_else(cancelled)? {
            Ok(session) => Ok(session),
            Err(Opening::Failed(error)) => Err(error),
            Err(Opening::NoKeys(error)) => {
                let seen = self.shutdown.race(self.open(target, Depth::Look)).await;
                Err(match seen.ok_or_else(cancelled)? {
                    Ok(other) if !target.accepted.contains(&other.key) => target.mismatch(other.key),
                    // It was a passing failure, or nothing can be learned: the first error stands.
                    _ => error,
                })
            }
        }
    }

    async fn open(&self, target: &Target, depth: Depth) -> Result<SshSession, Opening> {
        if target.accepted.is_empty() {
            return Err(Opening::Failed(target.untrusted()));
        }
        let broken = |detail: String| Opening::Failed(RemoteError::Lost { at: target.at(), detail });
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|error| broken(error.to_string()))?;
        let socket = self.reach(target).await.map_err(Opening::Failed)?;
        let (ours, theirs) = pipe().map_err(|error| broken(error.to_string()))?;
        let (ready, opened) = oneshot::channel();
        let (jobs, queue) = channel();
        let wake = Arc::new(ours);
        let waker = Waker(Arc::clone(&wake));
        let start = Start {
            socket,
            wake: theirs,
            target: target.clone(),
            limits: self.limits.clone(),
            depth,
            ready,
            place,
        };
        spawn(start, queue).map_err(|error| broken(error.to_string()))?;
        let key = match opened.await {
            Ok(result) => result?,
            Err(_) => return Err(broken("its thread ended".to_owned())),
        };
        drop(waker);
        Ok(SshSession { target: target.clone(), key, jobs, wake, shutdown: self.shutdown.clone() })
    }

    async fn reach(&self, target: &Target) -> Result<TcpStream, RemoteError> {
        let at = target.at();
        let connect = tokio::net::TcpStream::connect(target.address);
        let socket = match tokio::time::timeout(self.limits.connect, connect).await {
            Err(_) => {
                return Err(RemoteError::Timeout {
                    at,
                    what: "the TCP connection".to_owned(),
                    after: self.limits.connect,
                });
            }
            Ok(Err(source)) if source.kind() == std::io::ErrorKind::ConnectionRefused => {
                return Err(RemoteError::Refused { at, source });
            }
            Ok(Err(source)) => return Err(RemoteError::Unreachable { at, source }),
            Ok(Ok(socket)) => socket,
        };
        socket
            .into_std()
            .and_then(|socket| {
                socket.set_nodelay(true)?;
                Ok(socket)
            })
            .and_then(|socket| {
                // A machine that vanished is noticed by unanswered data, keepalives included.
                rustix::net::sockopt::set_tcp_user_timeout(&socket, 60_000)?;
                Ok(socket)
            })
            .map_err(|source| RemoteError::Unreachable { at, source })
    }
}

#[async_trait]
impl Remote for Ssh {
    async fn connect(&self, target: &Target) -> Result<Box<dyn Session>, RemoteError> {
        Ok(Box::new(self.session(target).await?))
    }
}

impl SshSession {
    async fn ask<T>(
        &self,
        job: Job,
        reply: oneshot::Receiver<Result<T, RemoteError>>,
    ) -> Result<T, RemoteError> {
        let at = || self.target.at();
        let closed =
            || RemoteError::Lost { at: at(), detail: "it was closed after an earlier failure".to_owned() };
        // Dropped after the reply's receiver, whatever ends this future.
        let _waker = Waker(Arc::clone(&self.wake));
        let reply = reply;
        self.jobs.send(job).map_err(|_| closed())?;
        match self.shutdown.race(reply).await {
            None => Err(RemoteError::Cancelled { at: at() }),
            Some(Err(_)) => Err(closed()),
            Some(Ok(result)) => result,
        }
    }
}

#[async_trait]
impl Session for SshSession {
    async fn run(
        &self,
        command: &str,
        input: Option<Bytes>,
        timeout: Duration,
    ) -> Result<Output, RemoteError> {
        let (order, reply) = order(Some(timeout));
        let job = Job::Run { order, command: command.to_owned(), input: input.unwrap_or_default() };
        self.ask(job, reply).await
    }

    async fn upload(
        &self,
        upload: Upload,
        path: &str,
        mode: u32,
        progress: Option<Progress>,
        timeout: Duration,
    ) -> Result<(), RemoteError> {
        let (order, reply) = order(Some(timeout));
        let job = Job::Upload { order, content: content(upload, progress)?, path: path.to_owned(), mode };
        let output = self.ask(job, reply).await?;
        if output.ok() {
            return Ok(());
        }
        Err(RemoteError::Upload {
            at: self.target.at(),
            path: path.to_owned(),
            status: output.status,
            stderr: output.stderr_text().trim().to_owned(),
        })
    }

    fn host_key(&self) -> &HostKey {
        &self.key
    }
}

fn order<T>(timeout: Option<Duration>) -> (Order<T>, oneshot::Receiver<Result<T, RemoteError>>) {
    let (reply, answer) = oneshot::channel();
    let order = Order {
        until: timeout.map(|timeout| Instant::now() + timeout),
        timeout: timeout.unwrap_or_default(),
        reply,
    };
    (order, answer)
}

fn pipe() -> std::io::Result<(UnixStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    Ok((ours, theirs))
}

fn spawn(start: Start, jobs: Receiver<Job>) -> std::io::Result<()> {
    threads::spawn(move || work(start, &jobs))
}
