//! One pod's decision: a node, or why there is none.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::affinity::Neighbours;
use crate::cluster::Cluster;
use crate::fit::{self, No};
use crate::node::Node;
use crate::pod::Pod;
use crate::score;
use crate::spread::Spread;

/// From so many nodes on only a part of those that fit is scored, as upstream's.
const FEW: usize = 100;

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It goes to this node.
    Node(Arc<str>),
    /// No node fits.
    Nowhere(Refusal),
}

/// Why no node fits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// How many nodes there are.
    pub nodes: usize,
    /// How many nodes gave each reason.
    pub reasons: BTreeMap<String, usize>,
    /// Nodes that could fit if pods left them.
    pub candidates: Vec<Arc<str>>,
}

impl Refusal {
    /// Upstream's sentence: `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.`
    #[must_use]
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut reasons: Vec<String> =
            self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        reasons.sort();
        format!("0/{} nodes are available: {}.", self.nodes, reasons.join(", "))
    }

    fn add(&mut self, node: &Node, no: No) {
        if no.resolvable {
            self.candidates.push(Arc::clone(&node.name));
        }
        for reason in no.reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }
}

/// Decides where `pod` goes. Of equally good nodes `random` chooses, and where search begins.
#[must_use]
pub fn decide(cluster: &Cluster, pod: &Pod, random: u64) -> Outcome {
    let neighbours = Neighbours::of(cluster, pod);
    let spread = Spread::of(cluster, pod);
    let mut refusal = Refusal { nodes: cluster.nodes.len(), ..Refusal::default() };
    let all: Vec<&Node> = cluster.nodes.values().collect();
    let enough = enough(all.len());
    let begin = usize::try_from(random % all.len().max(1) as u64).unwrap_or(0);
    let mut fitting: Vec<&Node> = Vec::new();
    for node in all[begin..].iter().chain(&all[..begin]).copied() {
        match fits(pod, node, &neighbours, &spread) {
            Ok(()) => fitting.push(node),
            Err(no) => refusal.add(node, no),
        }
        if fitting.len() >= enough {
            break;
        }
    }
    if fitting.is_empty() {
        return Outcome::Nowhere(refusal);
    }
    let scores = score::all(pod, &fitting, &neighbours, &spread, cluster.nodes.len());
    let best = scores.iter().max().copied().unwrap_or(0);
    let equal: Vec<&Node> =
        fitting.iter().zip(&scores).filter(|(_, score)| **score == best).map(|(node, _)| *node).collect();
    let chosen = usize::try_from(random.rotate_left(32) % equal.len() as u64).unwrap_or(0);
    Outcome::Node(Arc::clone(&equal[chosen].name))
}

pub(crate) fn fits(pod: &Pod, node: &Node, neighbours: &Neighbours, spread: &Spread) -> Result<(), No> {
    fit::alone(pod, node)?;
    spread.filter(node)?;
    neighbours.filter(pod, node)
}

/// How many nodes that fit are enough: upstream's adaptive percentage.
fn enough(nodes: usize) -> usize {
    if nodes < FEW {
        return nodes.max(1);
    }
    let percent = 50_usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(FEW)
}
