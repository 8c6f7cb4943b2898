//! Affinity to pods and aversion to them: which topology domains attract or repel a pod.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::fit::No;
use crate::labels::selects;
use crate::node::Node;
use crate::pod::{Pod, PodTerm};

/// A topology domain: key and value.
type Domain = (Arc<str>, Arc<str>);

/// What the pods that there are mean for one pod.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// Domains that existing pods keep it away from.
    repelled: BTreeSet<Domain>,
    /// Domains with pods that it keeps away from.
    avoided: BTreeSet<Domain>,
    /// For each of its terms, the domains with pods that it wants to be with.
    wanted: Vec<BTreeSet<Domain>>,
    /// It is itself what it wants to be with, and there is no other yet.
    first: bool,
    /// Score of domains.
    scores: BTreeMap<Domain, i64>,
}

impl PodTerm {
    pub(crate) fn means(&self, cluster: &Cluster, pod: &Pod) -> bool {
        let of_namespace = self.namespaces.contains(&pod.namespace)
            || self.namespace_selector.as_ref().is_some_and(|selector| {
                let labels = cluster.namespaces.get(&pod.namespace);
                labels.map_or(selector.is_empty(), |labels| selects(selector, labels))
            });
        of_namespace && selects(&self.selector, &pod.labels)
    }
}

/// How much a required term of an existing pod attracts (upstream's hardPodAffinityWeight).
const HARD_WEIGHT: i64 = 1;

impl Neighbours {
    pub(crate) fn of(cluster: &Cluster, pod: &Pod) -> Self {
        let mut all = Self { wanted: vec![BTreeSet::new(); pod.affinity.len()], ..Self::default() };
        let asks =
            !(pod.affinity.is_empty() && pod.anti_affinity.is_empty() && pod.preferred_affinity.is_empty());
        if !asks && cluster.repelling == 0 {
            return all;
        }
        for other in cluster.pods.values().filter(|other| !other.ended && other.uid != pod.uid) {
            let Some(node) = cluster.nodes.get(&other.node) else { continue };
            all.meet(cluster, pod, other, node);
        }
        all.first = all.wanted.iter().all(BTreeSet::is_empty)
            && pod.affinity.iter().all(|term| term.means(cluster, pod));
        all
    }

    fn meet(&mut self, cluster: &Cluster, pod: &Pod, other: &Pod, node: &Node) {
        let domain = |term: &PodTerm| Some((Arc::clone(&term.key), Arc::clone(node.labels.get(&term.key)?)));
        for term in other.anti_affinity.iter().filter(|term| term.means(cluster, pod)) {
            self.repelled.extend(domain(term));
        }
        for term in pod.anti_affinity.iter().filter(|term| term.means(cluster, other)) {
            self.avoided.extend(domain(term));
        }
        // A pod counts for affinity only if it meets every term.
        if !pod.affinity.is_empty() && pod.affinity.iter().all(|term| term.means(cluster, other)) {
            for (term, domains) in pod.affinity.iter().zip(&mut self.wanted) {
                domains.extend(domain(term));
            }
        }
        let own = pod.preferred_affinity.iter().filter(|(_, term)| term.means(cluster, other));
        let theirs = other.preferred_affinity.iter().filter(|(_, term)| term.means(cluster, pod));
        let hard = other.affinity.iter().filter(|term| term.means(cluster, pod));
        let weighed = own.chain(theirs).map(|(weight, term)| (*weight, term));
        for (weight, term) in weighed.chain(hard.map(|term| (HARD_WEIGHT, term))) {
            if let Some(domain) = domain(term) {
                *self.scores.entry(domain).or_default() += weight;
            }
        }
    }

    pub(crate) fn filter(&self, pod: &Pod, node: &Node) -> Result<(), No> {
        let here = |term: &PodTerm| Some((Arc::clone(&term.key), Arc::clone(node.labels.get(&term.key)?)));
        let near =
            pod.affinity.iter().zip(&self.wanted).all(|(term, domains)| {
                here(term).is_some_and(|domain| self.first || domains.contains(&domain))
            });
        if !near {
            return Err(No::never("node(s) didn't match pod affinity rules"));
        }
        if pod.anti_affinity.iter().any(|term| here(term).is_some_and(|d| self.avoided.contains(&d))) {
            return Err(No::for_now(vec!["node(s) didn't match pod anti-affinity rules".to_owned()]));
        }
        let is_here = |(key, value): &Domain| node.labels.get(key) == Some(value);
        if self.repelled.iter().any(is_here) {
            let says = "node(s) didn't satisfy existing pods anti-affinity rules";
            return Err(No::for_now(vec![says.to_owned()]));
        }
        Ok(())
    }

    /// Whether scores differ from node to node.
    pub(crate) fn has_scores(&self) -> bool {
        !self.scores.is_empty()
    }

    pub(crate) fn score(&self, node: &Node) -> i64 {
        let here = self.scores.iter().filter(|((key, value), _)| node.labels.get(key) == Some(value));
        here.map(|(_, score)| score).sum()
    }
}
