//! Filters that look at one node alone, with upstream's words.

use crate::node::Node;
use crate::pod::Pod;

/// Why a node cannot take a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct No {
    /// Upstream's reasons.
    pub(crate) reasons: Vec<String>,
    /// Whether removing pods from the node could help.
    pub(crate) resolvable: bool,
}

impl No {
    pub(crate) fn never(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], resolvable: false }
    }

    pub(crate) fn for_now(reasons: Vec<String>) -> Self {
        Self { reasons, resolvable: true }
    }
}

/// Upstream's filters in its order; the first that refuses answers.
pub(crate) fn alone(pod: &Pod, node: &Node) -> Result<(), No> {
    unschedulable(pod, node)?;
    taints(pod, node)?;
    affinity(pod, node)?;
    ports(pod, node)?;
    resources(pod, node)
}

/// Whether a node could ever run a pod, whatever else is on it: what daemons ask.
#[must_use]
pub fn admits(pod: &Pod, node: &Node) -> bool {
    unschedulable(pod, node).is_ok() && is_tolerated(pod, node) && is_wanted(pod, node)
}

/// Whether a pod that runs on a node may stay there: only what evicts counts.
#[must_use]
pub fn may_stay(pod: &Pod, node: &Node) -> bool {
    let evicting = node.taints.iter().filter(|taint| taint.effect == "NoExecute");
    is_wanted(pod, node)
        && evicting.into_iter().all(|taint| pod.tolerates(&taint.key, &taint.value, &taint.effect))
}

fn unschedulable(pod: &Pod, node: &Node) -> Result<(), No> {
    let tolerated = || pod.tolerates("node.kubernetes.io/unschedulable", "", "NoSchedule");
    if node.unschedulable && !tolerated() {
        return Err(No::never("node(s) were unschedulable"));
    }
    Ok(())
}

fn taints(pod: &Pod, node: &Node) -> Result<(), No> {
    let refusing = node.taints.iter().filter(|taint| matches!(&*taint.effect, "NoSchedule" | "NoExecute"));
    let untolerated = |taint: &&crate::node::Taint| !pod.tolerates(&taint.key, &taint.value, &taint.effect);
    match refusing.into_iter().find(untolerated) {
        Some(_) => Err(No::never("node(s) had untolerated taint(s)")),
        None => Ok(()),
    }
}

/// Whether the node is one of those that the pod's selector and required node affinity name.
pub(crate) fn is_wanted(pod: &Pod, node: &Node) -> bool {
    pod.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
        && pod
            .node_terms
            .as_ref()
            .is_none_or(|terms| terms.iter().any(|term| term.matches(&node.name, &node.labels)))
}

/// Whether the pod could ever stay on the node in spite of its taints.
pub(crate) fn is_tolerated(pod: &Pod, node: &Node) -> bool {
    taints(pod, node).is_ok()
}

fn affinity(pod: &Pod, node: &Node) -> Result<(), No> {
    if is_wanted(pod, node) {
        return Ok(());
    }
    Err(No::never("node(s) didn't match Pod's node affinity/selector"))
}

fn ports(pod: &Pod, node: &Node) -> Result<(), No> {
    if pod.ports.iter().any(|port| node.ports.iter().any(|taken| taken.clashes(port))) {
        return Err(No::for_now(vec![
            "node(s) didn't have free ports for the requested pod ports".to_owned(),
        ]));
    }
    Ok(())
}

fn resources(pod: &Pod, node: &Node) -> Result<(), No> {
    let mut reasons = Vec::new();
    let mut resolvable = true;
    if node.pods + 1 > node.allocatable.get("pods") {
        reasons.push("Too many pods".to_owned());
    }
    for (name, wanted) in pod.requests.0.iter().filter(|(_, wanted)| **wanted > 0) {
        let all = node.allocatable.get(name);
        if *wanted > all - node.taken.get(name) {
            reasons.push(format!("Insufficient {name}"));
            resolvable &= *wanted <= all;
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(No { reasons, resolvable }) }
}
