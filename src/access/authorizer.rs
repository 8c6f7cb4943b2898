//! All authorizers in their order: the group that may do everything, then nodes, then
//! RBAC. The first that says yes decides; what the others said becomes the reason.

use crate::node::NodeAuthorizer;
use crate::rbac::Policy;
use crate::user::MASTERS;
use crate::{Attributes, Decision, User};

/// What decides on every request. A server has one behind a lock, and takes object events
/// into its two parts.
#[derive(Debug, Default)]
pub struct Authorizer {
    /// Nodes, and what their pods need.
    pub nodes: NodeAuthorizer,
    /// Roles and bindings.
    pub policy: Policy,
}

impl Authorizer {
    /// Whether the user may do this.
    pub fn decide(&self, user: &User, asked: &Attributes) -> Decision {
        if user.is_in(MASTERS) {
            return Decision::allow("");
        }
        let mut reasons = Vec::new();
        let in_turn = [("node", self.nodes.decide(user, asked)), ("rbac", self.policy.decide(user, asked))];
        for (name, decision) in in_turn {
            match decision {
                Decision::Allow { .. } => return decision,
                Decision::NoOpinion { reason } if reason.is_empty() => {}
                Decision::NoOpinion { reason } => reasons.push(format!("{name}: {reason}")),
            }
        }
        Decision::no_opinion(reasons.join("\n"))
    }
}
