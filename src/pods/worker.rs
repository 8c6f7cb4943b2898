//! What to do next for a pod, from its spec and what runs.
//!
//! A decision may be made again at any time from what is observed: it remembers nothing. A
//! pod is prepared, its sandbox made, its containers started in order, restarted by policy
//! with back-off, and ended with grace, its own containers before its sidecars.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::{Kind, containers, name};

/// Upstream's back-off of crashing containers.
const FIRST_BACKOFF: i64 = 10;
const LONGEST_BACKOFF: i64 = 300;
/// A container that ran for so long has recovered.
const RECOVERED: i64 = 600;

/// A pod's sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Its id.
    pub id: String,
    /// Whether it runs.
    pub ready: bool,
    /// How many there were before it.
    pub attempt: u32,
    /// The pod's address, empty on the host's network.
    pub ip: String,
}

/// A container of the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Which of the pod's.
    pub name: String,
    /// How many of this name there were before it.
    pub attempt: u32,
    /// The sandbox it is in.
    pub sandbox: String,
    /// What it does.
    pub state: State,
    /// Its image as asked for and as found.
    pub image: (String, String),
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Made, not started.
    Created,
    /// Runs since then.
    Running(Timestamp),
    /// Ended.
    Ended {
        /// Exit code.
        code: i32,
        /// `Completed`, `Error`, `OOMKilled`.
        reason: String,
        /// What it left as its last words.
        message: String,
        /// When it started.
        started: Timestamp,
        /// When it ended.
        ended: Timestamp,
    },
}

/// How far a container's probes and hooks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Startup {
    /// It has started: its startup probe succeeded, or there is none.
    pub started: bool,
    /// Its readiness probe succeeds, or there is none.
    pub ready: bool,
    /// Its liveness or startup probe has failed: it is to be restarted.
    pub failed: bool,
}

/// What is there of a pod.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Its newest sandbox.
    pub sandbox: Option<Sandbox>,
    /// Older sandboxes' ids.
    pub old_sandboxes: Vec<String>,
    /// All containers.
    pub containers: Vec<Container>,
    /// Probes of running containers, by container id.
    pub probes: BTreeMap<String, Startup>,
    /// When the pod was accepted here.
    pub accepted: Option<Timestamp>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a sandbox, so many before it.
    CreateSandbox(u32),
    /// Make and start a container, so many of its name before it.
    Start {
        /// Which.
        name: String,
        /// Attempt.
        attempt: u32,
    },
    /// Stop a container with the pod's grace.
    Stop {
        /// Id.
        id: String,
        /// Name.
        name: String,
        /// Because a probe failed: its own grace may apply.
        unhealthy: bool,
    },
    /// Remove a container that ended and is not the last of its name.
    Remove(String),
    /// Stop the sandbox and take down its network.
    StopSandbox(String),
    /// Remove a sandbox with what is in it.
    RemoveSandbox(String),
}

/// What to do, and when to look again though nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// In order; those that follow a failed one wait.
    pub actions: Vec<Action>,
    /// When a back-off or a deadline ends.
    pub again: Option<Timestamp>,
    /// Containers that wait for their back-off.
    pub backing_off: Vec<String>,
    /// Everything of the pod has ended and will stay so.
    pub over: bool,
}

impl Observed {
    /// The newest container of a name.
    #[must_use]
    pub fn newest(&self, name: &str) -> Option<&Container> {
        self.containers.iter().filter(|one| one.name == name).max_by_key(|one| one.attempt)
    }

    fn in_sandbox(&self, name: &str) -> Option<&Container> {
        let sandbox = self.sandbox.as_ref()?;
        self.newest(name).filter(|one| one.sandbox == sandbox.id)
    }

    fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|one| !matches!(one.state, State::Ended { .. }))
    }

    /// Whether the pod has passed its own deadline.
    #[must_use]
    pub fn is_late(&self, pod: &Value, now: Timestamp) -> bool {
        deadline(pod, self).is_some_and(|deadline| deadline <= now)
    }
}

fn deadline(pod: &Value, observed: &Observed) -> Option<Timestamp> {
    let seconds = pod["spec"]["activeDeadlineSeconds"].as_i64()?;
    Timestamp::from_second(observed.accepted?.as_second() + seconds).ok()
}

/// Whether a container that ended with `code` is started again.
pub(crate) fn restarts(pod: &Value, kind: Kind, code: i32) -> bool {
    match (kind, pod["spec"]["restartPolicy"].as_str()) {
        (Kind::Sidecar, _) => true,
        (Kind::Main, None | Some("Always")) => true,
        (Kind::Init, None | Some("Always" | "OnFailure")) | (Kind::Main, Some("OnFailure")) => code != 0,
        _ => false,
    }
}

/// Whether the pod's own containers have all ended for good, or an init container has failed for good.
pub(crate) fn is_over(pod: &Value, observed: &Observed) -> bool {
    let ended = |one: &Container| match one.state {
        State::Ended { code, .. } => Some(code),
        _ => None,
    };
    let for_good = |kind: Kind, container: &Value| {
        let code = observed.newest(name(container)).and_then(ended);
        code.is_some_and(|code| !restarts(pod, kind, code)).then_some(code).flatten()
    };
    let failed_init = containers(pod)
        .filter(|(kind, _)| *kind == Kind::Init)
        .any(|(kind, one)| for_good(kind, one).is_some_and(|code| code != 0));
    failed_init
        || containers(pod)
            .filter(|(kind, _)| *kind == Kind::Main)
            .all(|(kind, one)| for_good(kind, one).is_some())
}

/// Decides what is next. `ending`: the pod is being deleted or was evicted.
#[must_use]
pub fn decide(pod: &Value, observed: &Observed, ending: bool, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let over = ending || observed.is_late(pod, now) || is_over(pod, observed);
    if over {
        end(pod, observed, &mut decision);
        return decision;
    }
    decision.again = deadline(pod, observed);
    decision.actions.extend(observed.old_sandboxes.iter().cloned().map(Action::RemoveSandbox));
    let Some(sandbox) = observed.sandbox.as_ref().filter(|sandbox| sandbox.ready) else {
        // What is left of a dead sandbox is ended before a new one is made.
        decision.actions.extend(observed.running().map(|one| stop(one, false)));
        if let Some(dead) = &observed.sandbox {
            decision.actions.push(Action::StopSandbox(dead.id.clone()));
        }
        let attempt = observed.sandbox.as_ref().map_or(0, |sandbox| sandbox.attempt + 1);
        decision.actions.push(Action::CreateSandbox(attempt));
        return decision;
    };
    debug_assert!(!sandbox.id.is_empty());
    advance(pod, observed, now, &mut decision);
    tidy(pod, observed, &mut decision);
    decision
}

fn stop(container: &Container, unhealthy: bool) -> Action {
    Action::Stop { id: container.id.clone(), name: container.name.clone(), unhealthy }
}

/// Starts what may start now.
fn advance(pod: &Value, observed: &Observed, now: Timestamp, decision: &mut Decision) {
    let begun = |kind: Kind| {
        containers(pod).any(|(other, one)| other == kind && observed.in_sandbox(name(one)).is_some())
    };
    // Once the pod's own containers run in this sandbox, what initialised them has done its work.
    let initialised = begun(Kind::Main);
    for (kind, container) in containers(pod) {
        let name = name(container);
        let there = observed.in_sandbox(name);
        if kind == Kind::Init && initialised {
            continue;
        }
        match there.map(|one| (&one.state, one)) {
            None => start(observed, name, now, decision),
            Some((State::Created, one)) => decision.actions.push(Action::Remove(one.id.clone())),
            Some((State::Running(_), one)) => {
                let probes = observed.probes.get(&one.id).copied().unwrap_or_default();
                if probes.failed {
                    decision.actions.push(stop(one, true));
                }
                match kind {
                    Kind::Init => return,
                    Kind::Sidecar if !initialised && !probes.started => return,
                    _ => {}
                }
                continue;
            }
            Some((State::Ended { code, .. }, _)) => {
                if kind == Kind::Init && *code == 0 {
                    continue;
                }
                if restarts(pod, kind, *code) {
                    start(observed, name, now, decision);
                }
            }
        }
        if kind != Kind::Main && !(kind == Kind::Sidecar && initialised) {
            return;
        }
    }
}

/// Starts a container, unless it has crashed too recently.
fn start(observed: &Observed, name: &str, now: Timestamp, decision: &mut Decision) {
    let before = observed.newest(name);
    if let Some(Container { state: State::Ended { started, ended, .. }, attempt, .. }) = before {
        let steady = ended.as_second() - started.as_second() >= RECOVERED;
        let doublings = if steady { 0 } else { attempt.saturating_sub(1).min(16) };
        // The first restart is at once, as upstream's.
        let wait =
            if *attempt == 0 || steady { 0 } else { (FIRST_BACKOFF << doublings).min(LONGEST_BACKOFF) };
        let due = Timestamp::from_second(ended.as_second() + wait).unwrap_or(now);
        if wait > 0 && due > now {
            decision.backing_off.push(name.to_owned());
            decision.again = Some(decision.again.map_or(due, |again| again.min(due)));
            return;
        }
    }
    let attempt = before.map_or(0, |one| one.attempt + 1);
    decision.actions.push(Action::Start { name: name.to_owned(), attempt });
}

/// Removes all but the last two of a name: the last tells why the one before it ended.
fn tidy(pod: &Value, observed: &Observed, decision: &mut Decision) {
    for (_, container) in containers(pod) {
        let mut ended: Vec<&Container> = observed
            .containers
            .iter()
            .filter(|one| one.name == name(container) && matches!(one.state, State::Ended { .. }))
            .collect();
        ended.sort_by_key(|one| std::cmp::Reverse(one.attempt));
        decision.actions.extend(ended.iter().skip(2).map(|one| Action::Remove(one.id.clone())));
    }
}

/// Ends everything: first the pod's own containers, then sidecars from the last, then the sandbox.
fn end(pod: &Value, observed: &Observed, decision: &mut Decision) {
    let kind_of =
        |one: &Container| containers(pod).find(|(_, spec)| name(spec) == one.name).map(|(kind, _)| kind);
    let (sidecars, own): (Vec<&Container>, Vec<&Container>) =
        observed.running().partition(|one| kind_of(one) == Some(Kind::Sidecar));
    if !own.is_empty() {
        decision.actions.extend(own.into_iter().map(|one| stop(one, false)));
    } else if !sidecars.is_empty() {
        let order: Vec<&str> = containers(pod).map(|(_, spec)| name(spec)).collect();
        let last = sidecars.into_iter().max_by_key(|one| order.iter().position(|name| *name == one.name));
        decision.actions.extend(last.map(|one| stop(one, false)));
    } else if let Some(sandbox) = observed.sandbox.as_ref().filter(|sandbox| sandbox.ready) {
        decision.actions.push(Action::StopSandbox(sandbox.id.clone()));
    } else {
        decision.over = true;
    }
}
