//! A [`Remote`] without machines: scripted answers, real rules, failures on demand.
//!
//! Owns the rules that make it worth trusting: the host key must be among the target's
//! accepted ones, a session that failed stays failed, and every call is recorded. What
//! a command answers is the test's own function.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{HostKey, Output, Progress, Remote, RemoteError, Session, Target, Upload};

/// A command as the machine got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The machine.
    pub slot: String,
    /// The command line; for an upload `upload PATH MODE` (mode in octal).
    pub command: String,
    /// Its standard input, or the uploaded content.
    pub input: Bytes,
}

/// Answers commands. Uploads are kept by the fake and need no answer.
pub type Handler = Arc<dyn Fn(&Call) -> Result<Output, RemoteError> + Send + Sync>;

/// Where a call is made to fail.
#[derive(Debug)]
pub enum Fault {
    /// Nothing happened on the machine.
    Before(RemoteError),
    /// It happened, and the answer was lost.
    After(RemoteError),
}

/// Decides, by the call and its number among all calls (from 0), whether it fails.
type Saboteur = Arc<dyn Fn(&Call, usize) -> Option<Fault> + Send + Sync>;

/// Machines by slot. Clones share them.
#[derive(Clone, Default)]
pub struct FakeRemote(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    machines: BTreeMap<String, Machine>,
    calls: Vec<Call>,
    saboteur: Option<Saboteur>,
}

struct Machine {
    key: HostKey,
    handler: Handler,
    refusals: VecDeque<RemoteError>,
    files: BTreeMap<String, (u32, Bytes)>,
}

struct FakeSession {
    remote: FakeRemote,
    slot: String,
    at: String,
    key: HostKey,
    broken: Mutex<bool>,
}

impl FakeRemote {
    /// No machines: every connection is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a machine that shows `key`, or gives a known one a new key and handler.
    pub fn machine(&self, slot: &str, key: HostKey, handler: Handler) {
        let mut state = self.state();
        let files = state.machines.remove(slot).map(|old| old.files);
        let machine = Machine { key, handler, refusals: VecDeque::new(), files: files.unwrap_or_default() };
        state.machines.insert(slot.to_owned(), machine);
    }

    /// Takes a machine away with its files: connections are refused again.
    pub fn remove(&self, slot: &str) {
        self.state().machines.remove(slot);
    }

    /// The next connection to `slot` ends with `error`; several queue up.
    pub fn refuse_next(&self, slot: &str, error: RemoteError) {
        if let Some(machine) = self.state().machines.get_mut(slot) {
            machine.refusals.push_back(error);
        }
    }

    /// Asks `saboteur` before every call from now on.
    pub fn sabotage(&self, saboteur: impl Fn(&Call, usize) -> Option<Fault> + Send + Sync + 'static) {
        self.state().saboteur = Some(Arc::new(saboteur));
    }

    /// Lets every call through again.
    pub fn make_peace(&self) {
        self.state().saboteur = None;
    }

    /// Every call so far, in order, failed ones included.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Mode and content of an uploaded file.
    pub fn file(&self, slot: &str, path: &str) -> Option<(u32, Bytes)> {
        self.state().machines.get(slot)?.files.get(path).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Remote for FakeRemote {
    async fn connect(&self, target: &Target) -> Result<Box<dyn Session>, RemoteError> {
        if target.accepted.is_empty() {
            return Err(target.untrusted());
        }
        let mut state = self.state();
        let Some(machine) = state.machines.get_mut(&target.slot) else {
            return Err(RemoteError::Refused {
                at: target.at(),
                source: std::io::ErrorKind::ConnectionRefused.into(),
            });
        };
        if let Some(error) = machine.refusals.pop_front() {
            return Err(error);
        }
        if !target.accepted.contains(&machine.key) {
            return Err(target.mismatch(machine.key.clone()));
        }
        Ok(Box::new(FakeSession {
            remote: self.clone(),
            slot: target.slot.clone(),
            at: target.at(),
            key: machine.key.clone(),
            broken: Mutex::new(false),
        }))
    }
}

impl FakeSession {
    /// Records `call`, then does it unless it is sabotaged.
    fn perform(
        &self,
        call: Call,
        act: impl FnOnce(&Call) -> Result<Output, RemoteError>,
    ) -> Result<Output, RemoteError> {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if *broken {
            return Err(self.lost("it was closed after an earlier failure"));
        }
        let fault = {
            let mut state = self.remote.state();
            let number = state.calls.len();
            state.calls.push(call.clone());
            let saboteur = state.saboteur.clone();
            drop(state);
            saboteur.and_then(|decide| decide(&call, number))
        };
        let result = match fault {
            Some(Fault::Before(error)) => Err(error),
            Some(Fault::After(error)) => act(&call).and(Err(error)),
            None => act(&call),
        };
        *broken = result.is_err();
        result
    }

    fn lost(&self, detail: &str) -> RemoteError {
        RemoteError::Lost { at: self.at.clone(), detail: detail.to_owned() }
    }

    fn call(&self, command: &str, input: Bytes) -> Call {
        Call { slot: self.slot.clone(), command: command.to_owned(), input }
    }

    fn keep(&self, path: &str, mode: u32, content: &Bytes) -> Result<Output, RemoteError> {
        let mut state = self.remote.state();
        let Some(machine) = state.machines.get_mut(&self.slot) else {
            return Err(self.lost("the machine is gone"));
        };
        let file = (mode, content.clone());
        machine.files.insert(path.to_owned(), file);
        Ok(Output::default())
    }

    fn handler(&self) -> Result<Handler, RemoteError> {
        let state = self.remote.state();
        let machine = state.machines.get(&self.slot);
        machine.map(|machine| Arc::clone(&machine.handler)).ok_or_else(|| self.lost("the machine is gone"))
    }
}

#[async_trait]
impl Session for FakeSession {
    async fn run(
        &self,
        command: &str,
        input: Option<Bytes>,
        _timeout: Duration,
    ) -> Result<Output, RemoteError> {
        tokio::task::yield_now().await;
        let call = self.call(command, input.unwrap_or_default());
        self.perform(call, |call| self.handler()?(call))
    }

    async fn upload(
        &self,
        upload: Upload,
        path: &str,
        mode: u32,
        progress: Option<Progress>,
        _timeout: Duration,
    ) -> Result<(), RemoteError> {
        let content = match upload {
            Upload::Bytes(bytes) => bytes,
            Upload::File(file) => {
                tokio::fs::read(&file).await.map_err(|error| RemoteError::local("read", &file, error))?.into()
            }
        };
        let call = self.call(&format!("upload {path} {mode:04o}"), content.clone());
        self.perform(call, |_| self.keep(path, mode, &content))?;
        if let Some(progress) = progress {
            let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
            progress(bytes, bytes);
        }
        Ok(())
    }

    fn host_key(&self) -> &HostKey {
        &self.key
    }
}
