//! Topology spread: how many equal pods each domain has, and which domains may take one more.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::selector::LabelSelector;

use crate::cluster::Cluster;
use crate::fit::{No, is_tolerated, is_wanted};
use crate::labels::selects;
use crate::node::Node;
use crate::pod::{Constraint, Pod};

/// Upstream's default constraints: soft, by host and zone, for pods of one owner.
const DEFAULTS: [(&str, i64); 2] = [("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5)];

/// One constraint with the pods that each domain has.
#[derive(Debug)]
struct Counted {
    constraint: Constraint,
    counts: BTreeMap<Arc<str>, i64>,
    /// Whether the pod itself counts.
    own: bool,
}

/// All constraints of a pod, counted.
#[derive(Debug, Default)]
pub(crate) struct Spread(Vec<Counted>);

impl Spread {
    pub(crate) fn of(cluster: &Cluster, pod: &Pod) -> Self {
        if !pod.spread.is_empty() {
            let count = |constraint: &Constraint| {
                count(cluster, pod, constraint.clone(), |other| selects(&constraint.selector, &other.labels))
            };
            return Self(pod.spread.iter().map(count).collect());
        }
        let Some(owner) = &pod.owner else { return Self::default() };
        let defaults = DEFAULTS.iter().map(|(key, max_skew)| Constraint {
            max_skew: *max_skew,
            key: (*key).into(),
            hard: false,
            selector: LabelSelector::default(),
            min_domains: 1,
            honor_affinity: true,
            honor_taints: false,
        });
        Self(
            defaults
                .map(|one| count(cluster, pod, one, |other| other.owner.as_ref() == Some(owner)))
                .collect(),
        )
    }

    pub(crate) fn filter(&self, node: &Node) -> Result<(), No> {
        for Counted { constraint, counts, own } in self.0.iter().filter(|one| one.constraint.hard) {
            let Some(domain) = node.labels.get(&constraint.key) else {
                return Err(No::never(
                    "node(s) didn't match pod topology spread constraints (missing required label)",
                ));
            };
            let domains = i64::try_from(counts.len()).unwrap_or(i64::MAX);
            let least = if domains < constraint.min_domains {
                0
            } else {
                counts.values().min().copied().unwrap_or(0)
            };
            let here = counts.get(domain).copied().unwrap_or(0);
            if here + i64::from(*own) - least > constraint.max_skew {
                return Err(No::for_now(vec![
                    "node(s) didn't match pod topology spread constraints".to_owned(),
                ]));
            }
        }
        Ok(())
    }

    pub(crate) fn has_scores(&self) -> bool {
        self.0.iter().any(|one| !one.constraint.hard)
    }

    /// Lower is better; none for a node that lacks a key.
    pub(crate) fn score(&self, node: &Node) -> Option<i64> {
        let mut score = 0;
        for Counted { constraint, counts, .. } in self.0.iter().filter(|one| !one.constraint.hard) {
            let domain = node.labels.get(&constraint.key)?;
            let weight = 1000 * (i64::try_from(counts.len()).unwrap_or(0) + 2).ilog2() as i64;
            score += counts.get(domain).copied().unwrap_or(0) * weight / 1000 + constraint.max_skew - 1;
        }
        Some(score)
    }
}

fn count(cluster: &Cluster, pod: &Pod, constraint: Constraint, is_one: impl Fn(&Pod) -> bool) -> Counted {
    let counts_in = |node: &Node| {
        (!constraint.honor_affinity || is_wanted(pod, node))
            && (!constraint.honor_taints || is_tolerated(pod, node))
    };
    let mut counts = BTreeMap::new();
    for node in cluster.nodes.values().filter(|node| counts_in(node)) {
        if let Some(domain) = node.labels.get(&constraint.key) {
            counts.entry(Arc::clone(domain)).or_insert(0);
        }
    }
    let same =
        |other: &&Pod| !other.deleting && !other.ended && other.namespace == pod.namespace && is_one(other);
    for other in cluster.pods.values().filter(same) {
        let Some(node) = cluster.nodes.get(&other.node).filter(|node| counts_in(node)) else { continue };
        if let Some(count) = node.labels.get(&constraint.key).and_then(|domain| counts.get_mut(domain)) {
            *count += 1;
        }
    }
    let own = is_one(pod);
    Counted { constraint, counts, own }
}
