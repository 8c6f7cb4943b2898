//! What the executor says while it works. How often and how it looks is the screen's to decide.

use base::Clock;
use jiff::Timestamp;
use serde::Serialize;

/// Is told what happens. Called often; must return at once.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event);
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Index in the plan's actions; none for what is not part of one.
    pub action: Option<usize>,
    /// What is being done (`RunInstances master-0`, `master-0: packages`).
    pub label: String,
    /// Milliseconds since it began.
    pub elapsed_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "event")]
pub enum EventKind {
    /// It began.
    Started,
    /// It succeeded.
    Done {
        /// The id of what was made.
        id: Option<String>,
    },
    /// It failed.
    Failed {
        /// The error and its causes on one line.
        error: String,
    },
    /// Ctrl-C came first; the next run takes it up again.
    Stopped,
    /// It is tried again.
    Retrying {
        /// Why.
        reason: String,
        /// Milliseconds until then.
        delay_ms: u64,
    },
    /// It waits for something.
    Waiting {
        /// For what (`the instance to run`).
        what: String,
        /// The last that was seen (`pending`).
        last_state: String,
        /// What usually lies behind a wait this long.
        likely_cause: Option<String>,
    },
}

/// Says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event) {}
}

/// One action's own line to [`Progress`].
#[derive(Clone)]
pub struct Report<'a> {
    progress: &'a dyn Progress,
    clock: &'a dyn Clock,
    action: Option<usize>,
    label: String,
    began: Timestamp,
}

impl<'a> Report<'a> {
    /// For action `action` of the plan, which begins now.
    #[must_use]
    pub fn new(
        progress: &'a dyn Progress,
        clock: &'a dyn Clock,
        action: Option<usize>,
        label: impl Into<String>,
    ) -> Self {
        Self { progress, clock, action, label: label.into(), began: clock.now() }
    }

    /// What is being done.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Milliseconds since it began.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        let elapsed = self.clock.now().duration_since(self.began);
        u64::try_from(elapsed.as_millis()).unwrap_or(0)
    }

    /// Tells what happened.
    pub fn tell(&self, kind: EventKind) {
        let Self { action, label, .. } = self;
        let event = Event { action: *action, label: label.clone(), elapsed_ms: self.elapsed_ms(), kind };
        self.progress.event(event);
    }

    /// Tells that it waits.
    pub fn waiting(&self, what: &str, last_state: &str, likely_cause: Option<&str>) {
        self.tell(EventKind::Waiting {
            what: what.to_owned(),
            last_state: last_state.to_owned(),
            likely_cause: likely_cause.map(str::to_owned),
        });
    }

    /// Tells that it is tried again after `delay`.
    pub fn retrying(&self, reason: impl Into<String>, delay: std::time::Duration) {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.tell(EventKind::Retrying { reason: reason.into(), delay_ms });
    }
}
