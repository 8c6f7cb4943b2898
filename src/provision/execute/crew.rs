//! Bootstrap as the executor's two seams.

use std::collections::BTreeMap;

use async_trait::async_trait;
use plan::config::Config;
use plan::{Role, Step};

use super::progress::Report;
use super::seams::{Launcher, NodeAddress, Prepared, StepError, StepRunner};
use crate::bootstrap::{Addresses, Bootstrap};

/// A [`Bootstrap`] that makes user-data and runs steps for the executor.
pub struct Crew<'a> {
    bootstrap: &'a Bootstrap,
    roles: BTreeMap<String, Role>,
}

impl<'a> Crew<'a> {
    /// For the nodes of `config`.
    #[must_use]
    pub fn new(bootstrap: &'a Bootstrap, config: &Config) -> Self {
        Self { bootstrap, roles: config.slots().into_iter().map(|slot| (slot.name, slot.role)).collect() }
    }
}

#[async_trait]
impl Launcher for Crew<'_> {
    async fn prepare(&self, slot: &str, attempt: u32) -> Result<Prepared, StepError> {
        let Some(role) = self.roles.get(slot) else {
            return Err(StepError::new(format!("{slot} is not a node of this configuration")));
        };
        let user_data = self.bootstrap.user_data(slot, *role, attempt).map_err(StepError::new)?;
        Ok(Prepared { user_data })
    }
}

#[async_trait]
impl StepRunner for Crew<'_> {
    async fn run(
        &self,
        slot: &str,
        role: Role,
        step: Step,
        node: &NodeAddress,
        report: &Report<'_>,
    ) -> Result<(), StepError> {
        let at = Addresses { private: node.private, public: node.public };
        let waiting = |what: &str, last_state: &str| report.waiting(what, last_state, None);
        self.bootstrap.run(slot, role, step, at, &waiting).await.map_err(StepError::new)
    }
}
