//! The one thread that writes. It takes what waits, commits it as a group with one sync, and
//! answers; it ends leases whose time is over, and removes what compaction forgot.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::apply::{Answer, Command, Trouble, commit};
use super::disk::{Disk, is_full};
use super::index::Number;
use super::lock::FolderLock;
use super::state::{Progress, Shared, State};
use crate::StoreError;

/// Commands of a group at most: bounds how long one waits for another.
const GROUP_COMMANDS: usize = 512;
/// Bytes of a group at most.
const GROUP_BYTES: usize = 4 << 20;
/// How long a group waits for the commands that the last one's size says will come.
const GATHER: Duration = Duration::from_micros(200);
/// How often leases are looked at.
const LEASE_TICK: Duration = Duration::from_millis(250);
/// Keys that compaction looks at between two groups.
const FORGET_KEYS: usize = 256;

pub(super) type Reply = oneshot::Sender<Result<Answer, StoreError>>;

/// A command that waits, with the room in the queue that it takes.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) command: Command,
    pub(super) bytes: usize,
    pub(super) reply: Reply,
    pub(super) room: OwnedSemaphorePermit,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    queue: Receiver<Waiting>,
    /// Where the removal of forgotten versions is, while one runs.
    forgetting: Option<Forgetting>,
    next_tick: Instant,
    last_group: usize,
    _lock: FolderLock,
}

/// A compaction that is being carried out.
#[derive(Debug)]
struct Forgetting {
    after: Option<Bytes>,
    /// Forgotten by the index, still on disk.
    numbers: Vec<Number>,
    /// No keys are left to look at.
    last: bool,
    not_before: Instant,
}

impl Forgetting {
    fn new() -> Self {
        Self { after: None, numbers: Vec::new(), last: false, not_before: Instant::now() }
    }
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, queue: Receiver<Waiting>, lock: FolderLock) -> Self {
        // What a crash left of a compaction is found again.
        let forgetting = Some(Forgetting::new());
        Self { shared, queue, forgetting, next_tick: Instant::now(), last_group: 0, _lock: lock }
    }

    /// Works until the store is dropped, or its disk fails.
    pub(super) fn run(mut self) {
        let _end = CloseOnEnd(Arc::clone(&self.shared));
        while let Some(group) = self.gather() {
            self.commit_group(group);
            if self.shared.has_failed() {
                return;
            }
            self.tick();
        }
    }

    /// The next group, empty where only time has passed; `None` once nobody can send any more.
    fn gather(&mut self) -> Option<Vec<Waiting>> {
        let patience = match &self.forgetting {
            Some(forgetting) => {
                forgetting.not_before.saturating_duration_since(Instant::now()).min(LEASE_TICK)
            }
            None => LEASE_TICK,
        };
        let first = match self.queue.recv_timeout(patience) {
            Ok(first) => first,
            Err(RecvTimeoutError::Timeout) => return Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        let mut bytes = first.bytes;
        let mut group = vec![first];
        let until = Instant::now() + GATHER;
        while group.len() < GROUP_COMMANDS && bytes < GROUP_BYTES {
            let next = match self.queue.try_recv() {
                Ok(next) => next,
                // Those that were answered together come again together: a sync each is too dear.
                Err(_) if group.len() < self.last_group => {
                    match self.queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                        Ok(next) => next,
                        Err(_) => break,
                    }
                }
                Err(_) => break,
            };
            bytes += next.bytes;
            group.push(next);
        }
        self.last_group = group.len();
        Some(group)
    }

    /// Commits what waits, and with it a step of removing what compaction forgot.
    fn commit_group(&mut self, group: Vec<Waiting>) {
        let bytes: usize = group.iter().map(|waiting| waiting.bytes).sum();
        let (mut commands, mut replies) =
            (Vec::with_capacity(group.len() + 1), Vec::with_capacity(group.len()));
        for Waiting { command, reply, room, .. } in group {
            commands.push(command);
            replies.push((reply, room));
        }
        commands.extend(self.forget_next());
        if commands.is_empty() {
            return;
        }
        match self.attempt(&commands, bytes) {
            Ok(answers) => {
                self.began_to_compact(&commands);
                for ((reply, _room), answer) in replies.into_iter().zip(answers) {
                    // Whoever no longer waits does not want to know.
                    let _ = reply.send(answer);
                }
            }
            Err(trouble) => {
                if let Some(Command::Forget { numbers }) =
                    commands.pop_if(|last| matches!(last, Command::Forget { .. }))
                {
                    self.keep(numbers);
                }
                self.not_committed(commands, replies, &trouble);
            }
        }
    }

    fn not_committed(
        &mut self,
        commands: Vec<Command>,
        replies: Vec<(Reply, OwnedSemaphorePermit)>,
        trouble: &Trouble,
    ) {
        match trouble {
            // What needs no room is not to suffer from what does.
            Trouble::Full(detail) if commands.len() > 1 => {
                self.recover(detail);
                for (command, (reply, room)) in commands.into_iter().zip(replies) {
                    let bytes = if let Command::Txn(txn) = &command { txn.bytes() } else { 0 };
                    self.commit_group(vec![Waiting { command, bytes, reply, room }]);
                }
            }
            trouble => self.refuse(&commands, replies, trouble),
        }
    }

    fn began_to_compact(&mut self, commands: &[Command]) {
        if !commands.iter().any(|command| matches!(command, Command::Compact { .. })) {
            return;
        }
        let numbers = self.forgetting.take().map(|forgetting| forgetting.numbers).unwrap_or_default();
        self.forgetting = Some(Forgetting { numbers, ..Forgetting::new() });
    }

    fn attempt(
        &mut self,
        commands: &[Command],
        bytes: usize,
    ) -> Result<Vec<Result<Answer, StoreError>>, Trouble> {
        if self.shared.disk().is_none() {
            self.reopen()?;
        }
        let disk = self.shared.disk();
        let disk = disk.as_ref().ok_or_else(|| Trouble::Failed(self.shared.closed()))?;
        commit(&self.shared, disk, commands, bytes)
    }

    fn refuse(
        &mut self,
        commands: &[Command],
        replies: Vec<(Reply, OwnedSemaphorePermit)>,
        trouble: &Trouble,
    ) {
        let at = self.shared.at();
        match trouble {
            Trouble::Full(detail) => {
                self.recover(&format!("no space left: {detail}"));
                self.shared.set_problem(Some(format!("no space left: {detail}")));
            }
            Trouble::Unknown(detail) => {
                tracing::error!(store = at, detail, "the disk failed to sync: the store stops");
                self.shared.fail(format!("the disk failed to sync ({detail})"));
                *self.shared.disk_mut() = None;
            }
            Trouble::Failed(error) => {
                self.recover(&base::chain(error));
            }
        }
        for (command, (reply, _room)) in commands.iter().zip(replies) {
            let _ = reply.send(Err(refusal(&at, command, trouble)));
        }
    }

    /// redb works no more after an error of the file: then it is opened anew, now or with the
    /// next group.
    fn recover(&mut self, detail: &str) {
        let usable = |disk: &Disk| disk.begin_write().and_then(|write| Ok(write.abort()?)).is_ok();
        if self.shared.disk().as_ref().is_some_and(usable) {
            return;
        }
        tracing::warn!(store = self.shared.at(), detail, "the disk failed: the store's file is opened anew");
        self.shared.set_problem(Some(detail.to_owned()));
        *self.shared.disk_mut() = None;
        if let Err(trouble) = self.reopen() {
            tracing::warn!(store = self.shared.at(), ?trouble, "it cannot be opened yet");
        }
    }

    /// Opens the file and reads what it holds, which is what was last synced.
    fn reopen(&mut self) -> Result<(), Trouble> {
        let path = self.shared.folder.join(super::FILE);
        let opened = Disk::open(&path, &self.shared.opener)
            .and_then(|disk| Ok((State::load(&disk, Instant::now())?, disk)));
        let (mut state, disk) = opened.map_err(|error| match error {
            StoreError::File { source, .. } if is_full(&source) => Trouble::Full(source.to_string()),
            error => Trouble::Failed(error),
        })?;
        let mut old = self.shared.state_mut();
        for (id, lease) in &mut state.leases {
            lease.until = old.leases.get(id).map_or(lease.until, |old| old.until);
        }
        let applied = state.applied;
        *old = state;
        drop(old);
        self.shared.recent().clear();
        *self.shared.disk_mut() = Some(disk);
        self.shared.progress.send_replace(Progress { durable: applied, closed: false });
        self.forgetting = Some(Forgetting::new());
        Ok(())
    }

    /// Ends leases whose time is over.
    fn tick(&mut self) {
        let now = Instant::now();
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + LEASE_TICK;
        if self.shared.disk().is_none() && self.reopen().is_err() {
            return;
        }
        if self.shared.state().leases.values().any(|lease| lease.until <= now) {
            let expire = [Command::Expire { now }];
            if let Err(trouble) = self.attempt(&expire, 0) {
                self.refuse(&expire, Vec::new(), &trouble);
            }
        }
    }

    /// What the next group is to remove of what compaction forgot. What a crash leaves of it is
    /// found again at the next start.
    fn forget_next(&mut self) -> Option<Command> {
        let forgetting = self.forgetting.as_mut()?;
        if Instant::now() < forgetting.not_before {
            return None;
        }
        if forgetting.numbers.is_empty() {
            let mut state = self.shared.state_mut();
            let at = state.compacted;
            let (numbers, after) = state.index.compact(at, forgetting.after.as_ref(), FORGET_KEYS);
            (forgetting.last, forgetting.after, forgetting.numbers) = (after.is_none(), after, numbers);
        }
        let numbers = std::mem::take(&mut forgetting.numbers);
        if forgetting.last {
            self.forgetting = None;
        }
        (!numbers.is_empty()).then_some(Command::Forget { numbers })
    }

    /// Numbers that could not be removed are to be removed later.
    fn keep(&mut self, numbers: Vec<Number>) {
        let mut forgetting =
            self.forgetting.take().unwrap_or_else(|| Forgetting { last: true, ..Forgetting::new() });
        forgetting.numbers.extend(numbers);
        forgetting.not_before = Instant::now() + LEASE_TICK;
        self.forgetting = Some(forgetting);
    }
}

fn refusal(at: &str, command: &Command, trouble: &Trouble) -> StoreError {
    let at = at.to_owned();
    let reads = matches!(command, Command::Txn(txn) if txn.is_read());
    match trouble {
        Trouble::Full(detail) => StoreError::NoSpace {
            at,
            detail: detail.clone(),
            remedy: "make room on its disk, writes are then taken again",
        },
        Trouble::Unknown(detail) if !reads => StoreError::OutcomeUnknown { at, detail: detail.clone() },
        Trouble::Unknown(detail) => StoreError::Unavailable { at, detail: detail.clone() },
        Trouble::Failed(error) => StoreError::Unavailable { at, detail: base::chain(error) },
    }
}

/// However the thread ends, nobody waits for it any longer.
struct CloseOnEnd(Arc<Shared>);

impl Drop for CloseOnEnd {
    fn drop(&mut self) {
        *self.0.disk_mut() = None;
        self.0.progress.send_modify(|progress| progress.closed = true);
    }
}
