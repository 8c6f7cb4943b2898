//! Runs a plan: dumb on purpose. What should happen was decided before.
//!
//! Every changing call is journaled and synced before it is made; a call whose
//! outcome is not known is looked for before it is repeated. A failed call
//! stops further calls (nothing more is bought), while nodes that are there go
//! on with their steps; a failed step stops its own node. Ctrl-C starts nothing
//! new and lets calls in flight finish.

mod act;
mod backoff;
mod calls;
mod error;
mod evidence;
mod graph;
mod instances;
mod label;
mod launch;
mod progress;
mod remember;
mod resume;
mod seams;
mod verdict;

pub(crate) use error::is_blocked;
pub use error::{ActionError, Console, Failure, RunError};
pub use label::{of_action, of_call};
pub use progress::{Event, EventKind, Progress, Report, Silent};
pub(crate) use resume::close_absent;
pub use resume::settle;
pub use seams::{Launcher, NodeAddress, Prepared, StepError, StepRunner};

pub(crate) use calls::{Blocked, Calls};

use std::collections::BTreeMap;
use std::time::Duration;

use base::{Clock, Ids, Shutdown};
use cloud::Cloud;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use plan::Plan;
use plan::model::Inventory;
use serde::Serialize;

use crate::journal::Journal;
use crate::state::Store;
use graph::Graph;
use instances::Poller;

/// What execution works with.
#[derive(Clone)]
pub struct Context<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// AWS.
    pub cloud: &'a dyn Cloud,
    /// Where intents are written.
    pub journal: &'a Journal,
    /// What this machine remembers.
    pub store: &'a Store,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Client tokens and jitter.
    pub ids: &'a dyn Ids,
    /// Ctrl-C.
    pub shutdown: &'a Shutdown,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// How much, how often, how long.
    pub limits: Limits,
}

/// Bounds of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls in flight at once.
    pub calls: usize,
    /// Bootstrap steps in flight at once.
    pub steps: usize,
    /// How often one call is made before its refusal is an error.
    pub tries: u32,
    /// How many machines may be asked for to fill one slot in one run.
    pub attempts: u32,
    /// Absence counts after this many listings …
    pub listings: u32,
    /// … over at least this long.
    pub absence: Duration,
    /// What AWS gave less than this long ago is not believed to be gone because lists do not show it.
    pub young: Duration,
    /// Between two listings while something is waited for.
    pub poll: Duration,
    /// How long an instance may take to run.
    pub running: Duration,
    /// How long a launch whose reply was lost may still appear: after that its absence is final.
    pub lost_launch: Duration,
    /// How long `down` goes on without anything changing.
    pub stuck: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 8,
            steps: 32,
            tries: 10,
            attempts: 3,
            listings: 4,
            absence: Duration::from_secs(8),
            young: Duration::from_secs(60),
            poll: Duration::from_secs(2),
            running: Duration::from_secs(5 * 60),
            lost_launch: Duration::from_secs(10 * 60),
            stuck: Duration::from_secs(5 * 60),
        }
    }
}

/// What a finished run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Actions done.
    pub done: usize,
    /// Milliseconds it took.
    pub elapsed_ms: u64,
    /// What was made, by slot.
    pub made: BTreeMap<String, String>,
}

/// Runs `plan`, which was made from `inventory` (settle first: [`settle`]).
///
/// # Errors
/// [`RunError::Failed`] with every failure, or [`RunError::Interrupted`] after
/// Ctrl-C. Both are taken up again by planning and running anew.
pub async fn run(
    plan: &Plan,
    inventory: &Inventory,
    context: &Context<'_>,
    launcher: &dyn Launcher,
    steps: &dyn StepRunner,
) -> Result<Summary, RunError> {
    if context.store.read(|state| state.going_down) {
        context.store.update(|state| state.going_down = false).map_err(RunError::from_state)?;
    }
    let poller = Poller::new(context);
    let run = Run {
        plan,
        context,
        launcher,
        steps,
        calls: Calls::new(context, Blocked::Retry),
        step_permits: tokio::sync::Semaphore::new(context.limits.steps),
        poller: &poller,
        ids: std::sync::Mutex::new(remember::slots_of(plan, inventory, context.store)),
        nodes: std::sync::Mutex::default(),
    };
    tokio::select! {
        biased;
        result = run.drive() => result,
        never = poller.run() => match never {},
    }
}

/// One execution of one plan.
struct Run<'a> {
    plan: &'a Plan,
    context: &'a Context<'a>,
    launcher: &'a dyn Launcher,
    steps: &'a dyn StepRunner,
    calls: Calls<'a>,
    step_permits: tokio::sync::Semaphore,
    poller: &'a Poller<'a>,
    /// AWS's ids by slot, as far as known.
    ids: std::sync::Mutex<BTreeMap<String, String>>,
    /// Nodes seen running, by slot.
    nodes: std::sync::Mutex<BTreeMap<String, NodeAddress>>,
}

impl Run<'_> {
    async fn drive(&self) -> Result<Summary, RunError> {
        let clock = Report::new(self.context.progress, self.context.clock, None, "run");
        let mut graph = Graph::new(self.plan);
        let mut running = FuturesUnordered::new();
        let mut failures = Vec::new();
        loop {
            while !self.context.shutdown.is_triggered()
                && let Some(index) = graph.start()
            {
                running.push(self.act(index));
            }
            let Some((index, result)) = running.next().await else { break };
            match result {
                Ok(()) => graph.succeeded(index),
                Err(Failure { error: ActionError::Interrupted, .. }) => {}
                Err(failure) => {
                    graph.failed(index, failure.error.stops_everything());
                    failures.push(failure);
                }
            }
        }
        let compacted = self.context.journal.compact();
        if let (true, Err(error)) = (failures.is_empty(), compacted) {
            let label = "the journal".to_owned();
            failures.push(Failure { action: None, label, error: error.into(), console: None });
        }
        self.finish(&graph, failures, clock.elapsed_ms())
    }

    fn finish(&self, graph: &Graph, failures: Vec<Failure>, elapsed_ms: u64) -> Result<Summary, RunError> {
        let (done, left) = (graph.done(), graph.left());
        if !failures.is_empty() {
            return Err(RunError::Failed { failures, done, left });
        }
        if left > 0 {
            return Err(RunError::Interrupted { done, left });
        }
        let created = |action: &plan::Action| match action {
            plan::Action::Cloud { request, .. } => request.creates().map(str::to_owned),
            plan::Action::Bootstrap { .. } => None,
        };
        let ids = remember::lock(&self.ids);
        let made = self.plan.actions.iter().filter_map(created);
        let made = made.filter_map(|slot| ids.get(&slot).cloned().map(|id| (slot, id))).collect();
        Ok(Summary { done, elapsed_ms, made })
    }
}
