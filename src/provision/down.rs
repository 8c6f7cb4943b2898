//! Makes a cluster disappear: look, decide, do, until repeated listings show nothing.
//!
//! Works from tags alone, so also with no state folder and after a half-made
//! cluster. Calls are journaled like those of `up`. The folder is removed, keys
//! and all, only once the account is proven empty of the cluster.

use std::collections::BTreeMap;

use base::chain;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use plan::model::{Call, Inventory};
use plan::teardown::{Foreign, Teardown, Waiting, decide};
use serde::Serialize;

use crate::execute::{
    ActionError, Blocked, Calls, Context, EventKind, Failure, Report, close_absent, is_blocked, of_call,
    settle,
};
use crate::journal::JournalError;
use crate::state::StateError;

/// What a `down` did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Removed {
    /// Calls that took effect.
    pub calls: usize,
    /// Milliseconds it took.
    pub elapsed_ms: u64,
    /// What carries the cluster's name and is not its.
    pub namesakes: Vec<Foreign>,
}

/// Why a cluster is not gone. Running `down` again takes it up.
#[derive(Debug, thiserror::Error)]
pub enum DownError {
    /// There was nothing to remove.
    #[error(
        "found nothing of a cluster called {cluster} in account {account}, region {region}: check the name, the credentials and the region"
    )]
    NothingFound {
        /// Its name.
        cluster: String,
        /// The account looked in.
        account: String,
        /// The region looked in.
        region: String,
        /// Resources of other clusters with that name.
        namesakes: Vec<Foreign>,
    },
    /// What is not the cluster's is in the way.
    #[error(
        "{} in the way and not this cluster's, so untouched: {}; remove it, then run `cluster down` again",
        count(foreign),
        list(foreign)
    )]
    InTheWay {
        /// Each of them.
        foreign: Vec<Foreign>,
    },
    /// Nothing has changed for too long.
    #[error("nothing has changed for {seconds} s; {}", still(waiting, refusals))]
    Stuck {
        /// How long.
        seconds: u64,
        /// What is waited for.
        waiting: Vec<Waiting>,
        /// What AWS refused last, by call.
        refusals: BTreeMap<String, String>,
    },
    /// AWS refused calls.
    #[error("{} failed", labels(failures))]
    Failed {
        /// Each failure.
        failures: Vec<Failure>,
    },
    /// The account could not be looked at, or something could not be written.
    #[error(transparent)]
    Look(#[from] ActionError),
    /// Ctrl-C.
    #[error("stopped; run `cluster down` again to go on")]
    Interrupted {
        /// What is left, as last seen.
        left: Box<Inventory>,
    },
}

fn count(foreign: &[Foreign]) -> String {
    match foreign.len() {
        1 => "one thing is".to_owned(),
        n => format!("{n} things are"),
    }
}

fn list(foreign: &[Foreign]) -> String {
    let each = foreign.iter().map(|f| format!("the {} {} ({})", f.what, f.id, f.why));
    each.collect::<Vec<_>>().join(", ")
}

fn still(waiting: &[Waiting], refusals: &BTreeMap<String, String>) -> String {
    let waiting = waiting.iter().map(|w| format!("the {} {}: {}", w.what, w.id, w.why));
    let refused = refusals.iter().map(|(label, error)| format!("{label}: {error}"));
    waiting.chain(refused).collect::<Vec<_>>().join(", ")
}

fn labels(failures: &[Failure]) -> String {
    failures.iter().map(|f| f.label.as_str()).collect::<Vec<_>>().join(", ")
}

/// Removes the cluster, then its state folder. `uid` takes only that very
/// cluster; without (no state folder) all that carries the name goes, and then
/// nothing at all is a failure: name, account or region may be wrong, which a
/// state folder would have told.
///
/// # Errors
/// [`DownError`]; the state folder is then still there.
pub async fn down(context: &Context<'_>, uid: Option<&str>) -> Result<Removed, DownError> {
    let mut run = Run {
        context,
        uid,
        calls: Calls::new(context, Blocked::Fail),
        report: Report::new(context.progress, context.clock, None, "down"),
        done: 0,
        refusals: BTreeMap::new(),
        changed: context.clock.now(),
        last: Inventory::default(),
    };
    let result = run.rounds().await;
    match result {
        Err(DownError::Look(ActionError::Interrupted)) => {
            Err(DownError::Interrupted { left: Box::new(run.last) })
        }
        other => other,
    }
}

struct Run<'a> {
    context: &'a Context<'a>,
    uid: Option<&'a str>,
    calls: Calls<'a>,
    report: Report<'a>,
    done: usize,
    /// What AWS refused because something still depends on it, by call, in the last round.
    refusals: BTreeMap<String, String>,
    /// When the last change was seen.
    changed: Timestamp,
    last: Inventory,
}

impl Run<'_> {
    async fn rounds(&mut self) -> Result<Removed, DownError> {
        let resumed = self.context.store.read(|state| state.going_down);
        self.last = settle(self.context).await?;
        let mut found = resumed;
        loop {
            let teardown = self.decide();
            if teardown.done {
                if self.is_proven_empty().await? {
                    return self.finish(found);
                }
                continue;
            }
            if !found {
                self.context.store.update(|state| state.going_down = true).map_err(ActionError::from)?;
                found = true;
            }
            self.round(&teardown).await?;
        }
    }

    fn decide(&self) -> Teardown {
        decide(&self.last, self.context.cluster, self.uid)
    }

    /// One round: every call that can be made, or a wait.
    async fn round(&mut self, teardown: &Teardown) -> Result<(), DownError> {
        if teardown.calls.is_empty() && teardown.waiting.is_empty() {
            return self.in_the_way(teardown).await;
        }
        self.make(&teardown.calls).await?;
        for waiting in &teardown.waiting {
            self.report.waiting(&format!("the {} {}", waiting.what, waiting.id), &waiting.why, None);
        }
        if teardown.calls.is_empty() || !self.refusals.is_empty() {
            self.context.pause(self.context.limits.poll).await?;
        }
        self.look().await?;
        let waited = self.context.since(self.changed);
        if waited < self.context.limits.stuck {
            return Ok(());
        }
        let blocking: Vec<Foreign> = teardown.foreign.iter().filter(|f| f.blocks).cloned().collect();
        if !blocking.is_empty() {
            return Err(DownError::InTheWay { foreign: blocking });
        }
        let (waiting, refusals) = (teardown.waiting.clone(), self.refusals.clone());
        Err(DownError::Stuck { seconds: waited.as_secs(), waiting, refusals })
    }

    /// Nothing can be done any more: is that still so after repeated listings?
    async fn in_the_way(&mut self, teardown: &Teardown) -> Result<(), DownError> {
        let began = self.context.clock.now();
        for seen in 1.. {
            if self.context.is_absent_since(began, seen) {
                break;
            }
            self.context.pause(self.context.between_listings()).await?;
            self.look().await?;
            let now = self.decide();
            if now.done || !now.calls.is_empty() || !now.waiting.is_empty() {
                return Ok(());
            }
        }
        let foreign: Vec<Foreign> = teardown.foreign.iter().filter(|f| f.blocks).cloned().collect();
        if foreign.is_empty() {
            let seconds = self.context.since(self.changed).as_secs();
            let (waiting, refusals) = (Vec::new(), self.refusals.clone());
            return Err(DownError::Stuck { seconds, waiting, refusals });
        }
        Err(DownError::InTheWay { foreign })
    }

    async fn look(&mut self) -> Result<(), DownError> {
        let now = self.context.inventory().await?;
        if now != self.last {
            self.changed = self.context.clock.now();
        }
        self.last = now;
        Ok(())
    }

    /// Makes all of `calls` beside each other; lets each finish.
    async fn make(&mut self, calls: &[Call<String>]) -> Result<(), DownError> {
        let mut running: FuturesUnordered<_> = calls.iter().map(|call| self.one(call)).collect();
        let (mut failures, mut refusals, mut done, mut interrupted) = (Vec::new(), BTreeMap::new(), 0, false);
        while let Some((label, result)) = running.next().await {
            match result {
                Ok(()) => done += 1,
                Err(ActionError::Interrupted) => interrupted = true,
                Err(error) if is_blocked(&error) => {
                    refusals.insert(label, chain(&error));
                }
                Err(error) => failures.push(Failure { action: None, label, error, console: None }),
            }
        }
        drop(running);
        self.done += done;
        self.refusals = refusals;
        if !failures.is_empty() {
            return Err(DownError::Failed { failures });
        }
        if interrupted {
            return Err(ActionError::Interrupted.into());
        }
        Ok(())
    }

    async fn one(&self, call: &Call<String>) -> (String, Result<(), ActionError>) {
        let label = of_call(call);
        let report = Report::new(self.context.progress, self.context.clock, None, &*label);
        report.tell(EventKind::Started);
        let result = self.calls.perform(call, &report).await.map(|_| ());
        report.tell(match &result {
            Ok(()) => EventKind::Done { id: None },
            Err(ActionError::Interrupted) => EventKind::Stopped,
            Err(error) if is_blocked(error) => {
                let delay = self.context.limits.poll;
                EventKind::Retrying {
                    reason: chain(error),
                    delay_ms: delay.as_millis().try_into().unwrap_or(0),
                }
            }
            Err(error) => EventKind::Failed { error: chain(error) },
        });
        (label, result)
    }

    /// Whether repeated listings show nothing. One that shows something is the next round's.
    async fn is_proven_empty(&mut self) -> Result<bool, DownError> {
        let began = self.context.clock.now();
        for seen in 1.. {
            if self.context.is_absent_since(began, seen) {
                break;
            }
            let listings = if seen == 1 { "listing shows" } else { "listings show" };
            self.report.waiting("the proof", &format!("{seen} {listings} nothing"), None);
            self.context.pause(self.context.between_listings()).await?;
            self.look().await?;
            if !self.decide().done {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn finish(&self, found: bool) -> Result<Removed, DownError> {
        let namesakes = self.decide().foreign;
        if !found && self.uid.is_none() {
            let state = self.context.store;
            let (account, region) = state.read(|state| (state.account.clone(), state.region.clone()));
            let cluster = self.context.cluster.to_owned();
            return Err(DownError::NothingFound { cluster, account, region, namesakes });
        }
        close_absent(self.context, &self.last)?;
        self.context.journal.compact().map_err(ActionError::from)?;
        self.context.store.remove().map_err(ActionError::from)?;
        Ok(Removed { calls: self.done, elapsed_ms: self.report.elapsed_ms(), namesakes })
    }
}

impl From<StateError> for DownError {
    fn from(error: StateError) -> Self {
        Self::Look(error.into())
    }
}

impl From<JournalError> for DownError {
    fn from(error: JournalError) -> Self {
        Self::Look(error.into())
    }
}
