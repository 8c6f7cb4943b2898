//! Which of the nodes that fit is best: upstream's scores with its weights.

use crate::affinity::Neighbours;
use crate::node::Node;
use crate::pod::Pod;
use crate::spread::Spread;

const MOST: i64 = 100;
/// Upstream's weights of its default profile.
const TAINTS: i64 = 3;
const AFFINITY: i64 = 2;
const SPREAD: i64 = 2;
const NEIGHBOURS: i64 = 2;
/// Images count between these sizes.
const SMALL_IMAGE: i64 = 23 * 1024 * 1024;
const LARGE_IMAGE: i64 = 1000 * 1024 * 1024;

/// A score for each node, higher is better.
pub(crate) fn all(
    pod: &Pod,
    nodes: &[&Node],
    neighbours: &Neighbours,
    spread: &Spread,
    total: usize,
) -> Vec<i64> {
    let mut scores: Vec<i64> =
        nodes.iter().map(|node| least_allocated(pod, node) + balanced(pod, node)).collect();
    let mut add = |weight: i64, values: Vec<i64>| {
        for (score, value) in scores.iter_mut().zip(values) {
            *score += weight * value;
        }
    };
    if nodes.iter().any(|node| node.taints.iter().any(|taint| taint.effect == "PreferNoSchedule")) {
        add(TAINTS, inverted(&nodes.iter().map(|node| unliked(pod, node)).collect::<Vec<_>>()));
    }
    if !pod.preferred_nodes.is_empty() {
        add(AFFINITY, scaled(&nodes.iter().map(|node| preferred(pod, node)).collect::<Vec<_>>()));
    }
    if spread.has_scores() {
        let raw: Vec<_> = nodes.iter().map(|node| spread.score(node)).collect();
        let worst = raw.iter().flatten().max().copied().unwrap_or(0);
        let filled: Vec<_> = raw.iter().map(|score| score.unwrap_or(worst)).collect();
        add(SPREAD, inverted(&filled));
    }
    if neighbours.has_scores() {
        let raw: Vec<_> = nodes.iter().map(|node| neighbours.score(node)).collect();
        let (low, high) = (raw.iter().min().copied().unwrap_or(0), raw.iter().max().copied().unwrap_or(0));
        let between = |score: &i64| if high == low { 0 } else { MOST * (score - low) / (high - low) };
        add(NEIGHBOURS, raw.iter().map(between).collect());
    }
    add(1, nodes.iter().map(|node| images(pod, node, nodes, total)).collect());
    scores
}

fn least_allocated(pod: &Pod, node: &Node) -> i64 {
    let free = |name: &str| {
        let all = node.allocatable.get(name);
        let taken = node.scored.get(name) + pod.scored.get(name);
        if all == 0 || taken > all { 0 } else { (all - taken) * MOST / all }
    };
    (free("cpu") + free("memory")) / 2
}

/// How evenly CPU and memory are taken (upstream's standard deviation of two fractions).
fn balanced(pod: &Pod, node: &Node) -> i64 {
    let part = |name: &str| {
        let all = node.allocatable.get(name);
        let taken = node.taken.get(name) + pod.requests.get(name);
        if all == 0 { 0 } else { (taken * 1000 / all).min(1000) }
    };
    MOST - (part("cpu") - part("memory")).abs() / 2 * MOST / 1000
}

fn unliked(pod: &Pod, node: &Node) -> i64 {
    let soft = node.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let count = soft.filter(|taint| !pod.tolerates(&taint.key, &taint.value, &taint.effect)).count();
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn preferred(pod: &Pod, node: &Node) -> i64 {
    let matching = pod.preferred_nodes.iter().filter(|(_, term)| term.matches(&node.name, &node.labels));
    matching.map(|(weight, _)| weight).sum()
}

fn images(pod: &Pod, node: &Node, nodes: &[&Node], total: usize) -> i64 {
    let size = |image: &std::sync::Arc<str>| {
        let here = node.images.get(image)?;
        let having = nodes.iter().filter(|other| other.images.contains_key(image)).count();
        Some(here * i64::try_from(having).ok()? / i64::try_from(total.max(1)).ok()?)
    };
    let sum: i64 = pod.images.iter().filter_map(size).sum();
    let most = LARGE_IMAGE * i64::try_from(pod.images.len().max(1)).unwrap_or(1);
    MOST * (sum.clamp(SMALL_IMAGE, most) - SMALL_IMAGE) / (most - SMALL_IMAGE)
}

fn scaled(raw: &[i64]) -> Vec<i64> {
    let most = raw.iter().max().copied().unwrap_or(0);
    raw.iter().map(|score| if most == 0 { 0 } else { score * MOST / most }).collect()
}

fn inverted(raw: &[i64]) -> Vec<i64> {
    let most = raw.iter().max().copied().unwrap_or(0);
    raw.iter().map(|score| if most == 0 { MOST } else { MOST - score * MOST / most }).collect()
}
