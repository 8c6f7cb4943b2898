//! Looking at a running node without changing it: what `plan` and `status` know of it.

use plan::{Role, Step};

use super::material::Machine;
use super::runner::Bootstrap;

/// What was seen of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// It answered: these of its steps do not hold. Empty: it is as it should be.
    Unsatisfied(Vec<Step>),
    /// It could not be asked.
    Unknown(String),
}

impl Bootstrap {
    /// Asks one node, once, which of its steps do not hold.
    pub async fn observe(&self, slot: &str, role: Role, machine: &Machine) -> Condition {
        match self.unsatisfied(slot, role, machine).await {
            Ok(steps) => Condition::Unsatisfied(steps),
            Err(error) => Condition::Unknown(base::chain(&error)),
        }
    }
}
