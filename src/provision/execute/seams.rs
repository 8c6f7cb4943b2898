//! What execution hands to others: user-data for a machine, and steps on it.

use std::error::Error;
use std::net::Ipv4Addr;

use async_trait::async_trait;
use plan::{Role, Step};

use super::progress::Report;

/// Fills in what a launch gets at the last moment.
#[async_trait]
pub trait Launcher: Send + Sync {
    /// The user-data for attempt `attempt` (from 1) at filling `slot`, with a
    /// host key of its own. Asked once per attempt; a resumed attempt is replayed
    /// from the journal.
    async fn prepare(&self, slot: &str, attempt: u32) -> Result<Prepared, StepError>;
}

/// What a launch gets at the last moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Prepared {
    /// User-data as the instance sees it, at most 16 KiB. It holds a private
    /// host key whose public half is pinned by then.
    pub user_data: String,
}

/// Where a running node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// `i-…`
    pub instance_id: String,
    /// Private address.
    pub private: Ipv4Addr,
    /// Public address, if it has one.
    pub public: Option<Ipv4Addr>,
    /// Instance type.
    pub instance_type: String,
    /// Availability zone.
    pub zone: String,
}

/// Runs bootstrap steps.
#[async_trait]
pub trait StepRunner: Send + Sync {
    /// Checks `step` on the node and, if it does not hold, makes it hold. Dropped at Ctrl-C.
    async fn run(
        &self,
        slot: &str,
        role: Role,
        step: Step,
        node: &NodeAddress,
        report: &Report<'_>,
    ) -> Result<(), StepError>;
}

/// Why a step, or preparing a launch, did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It saw the Ctrl-C itself, before its caller did.
    #[error("stopped")]
    Stopped,
    /// It failed: all that its author has to say.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
}

impl StepError {
    /// From the error of whoever did the step.
    #[must_use]
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}
