//! Making room: which pods of lower priority would have to go so that a pod fits.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::selector::LabelSelector;
use serde_json::Value;

use crate::affinity::Neighbours;
use crate::cluster::Cluster;
use crate::decide::{Refusal, fits};
use crate::labels::selects;
use crate::pod::Pod;
use crate::spread::Spread;

/// A PodDisruptionBudget, as far as preemption heeds it.
#[derive(Debug, Clone)]
pub struct Budget {
    namespace: Arc<str>,
    selector: LabelSelector,
    allowed: i64,
}

impl Budget {
    /// Reads a PodDisruptionBudget; none if it selects nothing.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        Some(Self {
            namespace: api::meta::namespace(object).into(),
            selector: LabelSelector::of(&object["spec"]["selector"])?,
            allowed: api::meta::int_at(object, "status.disruptionsAllowed"),
        })
    }
}

/// A node, and the pods that must leave it, by UID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preemption {
    /// Where room is made.
    pub node: Arc<str>,
    /// Who leaves: the most important first.
    pub victims: Vec<Pod>,
}

impl PartialEq for Pod {
    fn eq(&self, other: &Self) -> bool {
        self.uid == other.uid
    }
}
impl Eq for Pod {}

/// Looks for the node where preemption hurts least, among those that the refusal calls candidates.
#[must_use]
pub fn preempt(cluster: &Cluster, pod: &Pod, refusal: &Refusal, budgets: &[Budget]) -> Option<Preemption> {
    if !pod.may_preempt {
        return None;
    }
    let found = refusal.candidates.iter().filter_map(|node| victims(cluster, pod, node, budgets));
    found
        .min_by_key(|(violations, victims, _)| {
            let highest = victims.iter().map(|victim| victim.priority).max().unwrap_or(i32::MIN);
            let sum: i64 =
                victims.iter().map(|victim| i64::from(victim.priority) + i64::from(i32::MAX)).sum();
            (*violations, highest, sum, victims.len())
        })
        .map(|(_, victims, node)| Preemption { node, victims })
}

/// The fewest pods that must leave `node`, and how many of them budgets protect.
fn victims(
    cluster: &Cluster,
    pod: &Pod,
    node: &Arc<str>,
    budgets: &[Budget],
) -> Option<(usize, Vec<Pod>, Arc<str>)> {
    let mut without = cluster.clone();
    let lower = |other: &&Pod| other.node == *node && !other.ended && other.priority < pod.priority;
    let mut lower: Vec<Pod> = cluster.pods.values().filter(lower).cloned().collect();
    for victim in &lower {
        without.remove_pod(&victim.uid);
    }
    let fits_now = |cluster: &Cluster| {
        let place = cluster.nodes.get(node)?;
        fits(pod, place, &Neighbours::of(cluster, pod), &Spread::of(cluster, pod)).ok()
    };
    fits_now(&without)?;
    // Those that budgets protect are spared first, then the important and the old.
    let protected = protected(&lower, budgets);
    lower.sort_by(|a, b| {
        let rank = |pod: &Pod| {
            (!protected.contains_key(&pod.uid), -i64::from(pod.priority), Arc::clone(&pod.started))
        };
        rank(a).cmp(&rank(b))
    });
    let mut leaving = Vec::new();
    for victim in lower {
        without.put_pod(victim.clone());
        if fits_now(&without).is_none() {
            without.remove_pod(&victim.uid);
            leaving.push(victim);
        }
    }
    let violations = leaving.iter().filter(|victim| protected.contains_key(&victim.uid)).count();
    (!leaving.is_empty()).then(|| (violations, leaving, Arc::clone(node)))
}

/// Pods whose removal a budget does not allow.
fn protected(pods: &[Pod], budgets: &[Budget]) -> BTreeMap<Arc<str>, ()> {
    let mut left: Vec<i64> = budgets.iter().map(|budget| budget.allowed).collect();
    let mut protected = BTreeMap::new();
    for pod in pods {
        for (budget, left) in budgets.iter().zip(&mut left) {
            if budget.namespace == pod.namespace && selects(&budget.selector, &pod.labels) {
                *left -= 1;
                if *left < 0 {
                    protected.insert(Arc::clone(&pod.uid), ());
                }
            }
        }
    }
    protected
}
