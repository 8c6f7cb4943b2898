//! The pod worker's decisions: what a pod's spec and its containers' state ask for next. Pure.
//!
//! [`decide`] gives the next actions and when to look again, [`status`] what the API is told,
//! [`env`](mod@env) a container's variables, [`refusal`] why a pod cannot run here at all: a
//! field that this node does not honour is never ignored.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod env;
mod honoured;
pub mod probe;
mod status;
#[cfg(test)]
mod tests;
mod worker;

pub use honoured::refusal;
pub use status::{Facts, status};
pub use worker::{Action, Container, Decision, Observed, Sandbox, Startup, State, decide};

use serde_json::Value;

/// What a container is for its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Runs to its end before others start.
    Init,
    /// Starts among the init containers and stays (restartPolicy Always).
    Sidecar,
    /// One of the pod's own.
    Main,
}

/// All containers of a pod in the order they start, with what each is.
pub fn containers(pod: &Value) -> impl Iterator<Item = (Kind, &Value)> {
    let of = |field: &str| pod["spec"][field].as_array().into_iter().flatten();
    let init = of("initContainers").map(|container| {
        let kind = if container["restartPolicy"] == "Always" { Kind::Sidecar } else { Kind::Init };
        (kind, container)
    });
    init.chain(of("containers").map(|container| (Kind::Main, container)))
}

/// The pod's quality of service class, as upstream computes it.
#[must_use]
pub fn qos(pod: &Value) -> &'static str {
    let amount = |container: &Value, list: &str, name: &str| container["resources"][list].get(name).cloned();
    let (mut any, mut guaranteed) = (false, true);
    for (_, container) in containers(pod) {
        for name in ["cpu", "memory"] {
            let (request, limit) = (amount(container, "requests", name), amount(container, "limits", name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

pub(crate) fn name(container: &Value) -> &str {
    container["name"].as_str().unwrap_or_default()
}
