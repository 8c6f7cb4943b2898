//! How an action, and a run as a whole, can fail.

use std::sync::Arc;

use cloud::CloudError;

use super::seams::StepError;
use super::verdict;
use crate::journal::JournalError;
use crate::state::StateError;

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// AWS refused a changing call.
    #[error("{label}")]
    Call {
        /// The call.
        label: String,
        /// What AWS said.
        #[source]
        source: Box<CloudError>,
    },
    /// AWS could not be asked what there is.
    #[error("list what there is")]
    List(#[source] Arc<CloudError>),
    /// What the call would make is there with another content.
    #[error("{label}: {what}; remove it, or give the cluster another name")]
    Differs {
        /// The call.
        label: String,
        /// What is there.
        what: String,
    },
    /// AWS says that a token was used for another request.
    #[error(
        "{label}: AWS has another request under the same token, so a journal was changed or copied; look at the instances of this slot, then run `cluster down`"
    )]
    Mismatch {
        /// The call.
        label: String,
        /// What AWS said.
        #[source]
        source: Box<CloudError>,
    },
    /// The instance ended by itself.
    #[error("the instance {id} of {slot} ended: {reason}")]
    Ended {
        /// Slot.
        slot: String,
        /// Instance id, where it is known.
        id: String,
        /// AWS's reason.
        reason: String,
    },
    /// Something took too long.
    #[error("{label}: waited {seconds} s for {what}; last seen: {last_state}{}", cause(likely_cause.as_deref()))]
    Deadline {
        /// What was done.
        label: String,
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What was seen last.
        last_state: String,
        /// What usually lies behind it.
        likely_cause: Option<String>,
    },
    /// A plan names a slot that nothing fills.
    #[error("nothing fills the slot {slot}: run the command again, so that it is planned anew")]
    Unfilled {
        /// The slot.
        slot: String,
    },
    /// AWS answered a creation without an id.
    #[error("{label}: AWS answered without an id; run the command again")]
    NoId {
        /// The call.
        label: String,
    },
    /// A bootstrap step, or preparing a launch.
    #[error(transparent)]
    Step(StepError),
    /// The state could not be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Ctrl-C.
    #[error("stopped; run the same command again to go on")]
    Interrupted,
}

fn cause(likely: Option<&str>) -> String {
    likely.map(|words| format!(" ({words})")).unwrap_or_default()
}

impl From<StepError> for ActionError {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Stopped => Self::Interrupted,
            error => Self::Step(error),
        }
    }
}

impl ActionError {
    /// Whether nothing else can be expected to work either.
    pub(crate) fn stops_everything(&self) -> bool {
        match self {
            Self::State(_) | Self::Journal(_) => true,
            Self::Call { source, .. } => is_about_credentials(&source.code),
            Self::List(source) => is_about_credentials(&source.code),
            _ => false,
        }
    }
}

fn is_about_credentials(code: &str) -> bool {
    matches!(
        code,
        "NoCredentials"
            | "AuthFailure"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "PendingVerification"
            | "OptInRequired"
    )
}

impl base::Classified for ActionError {
    fn class(&self) -> base::Class {
        use base::Class;
        match self {
            Self::Call { source, .. } | Self::Mismatch { source, .. } => source.class(),
            Self::List(source) => source.class(),
            Self::Differs { .. } | Self::Unfilled { .. } | Self::NoId { .. } => Class::Conflict,
            Self::Ended { .. } | Self::Deadline { .. } | Self::Interrupted => Class::Retry,
            Self::State(error) => error.class(),
            Self::Step(_) | Self::Journal(_) => Class::Fatal,
        }
    }
}

/// One action that failed.
#[derive(Debug)]
pub struct Failure {
    /// Index in the plan's actions.
    pub action: Option<usize>,
    /// What was done.
    pub label: String,
    /// Why it failed.
    pub error: ActionError,
    /// What the machine's console showed, where a machine did not come up.
    pub console: Option<Console>,
}

/// The console of a machine that died at boot or was not reached.
#[derive(Debug)]
pub struct Console {
    /// `i-…`
    pub instance: String,
    /// Its last lines; the error's words where AWS did not tell. Empty: AWS has none yet.
    pub last_lines: String,
}

/// Why a run ended early. Running the same command again takes it up.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Something failed; everything in flight was let finish.
    #[error("{} failed; {done} actions done, {left} left", names(failures))]
    Failed {
        /// Each failure, in the order they happened.
        failures: Vec<Failure>,
        /// Actions done.
        done: usize,
        /// Actions not done.
        left: usize,
    },
    /// Ctrl-C.
    #[error("stopped; {done} actions done, {left} left: run the same command again to go on")]
    Interrupted {
        /// Actions done.
        done: usize,
        /// Actions not done.
        left: usize,
    },
}

impl RunError {
    pub(super) fn from_state(error: StateError) -> Self {
        let failure =
            Failure { action: None, label: "the state".to_owned(), error: error.into(), console: None };
        Self::Failed { failures: vec![failure], done: 0, left: 0 }
    }
}

/// Whether AWS refused a removal because something still depends on it.
pub(crate) fn is_blocked(error: &ActionError) -> bool {
    matches!(error, ActionError::Call { source, .. } if verdict::is_blocked(source))
}

fn names(failures: &[Failure]) -> String {
    let labels: Vec<&str> = failures.iter().map(|f| f.label.as_str()).collect();
    labels.join(", ")
}
