//! DaemonSets keep a pod on every node that fits (upstream's daemonset-controller).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::deployment::hash;
use super::owned::Writer;
use super::replica_set::{differs, with_status};
use super::revisions::{self, Revisions};
use super::rollout::scaled;
use super::{Owned, PodState, keep};
use crate::events::{Teller, known};
use crate::service_account::now as at_once;
use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Resource, View};

const TELLER: Teller = Teller { component: "daemonset-controller" };
const HASH: &str = "controller-revision-hash";
const GENERATION: &str = "pod-template-generation";
/// What every daemon's pod bears of a node, with upstream's effects.
const BORNE: &[(&str, &str)] = &[
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// The controller.
#[derive(Debug, Default)]
pub struct DaemonSets {
    sets: Projection<Arc<Value>>,
    nodes: Projection<Arc<scheduler::Node>>,
    pods: Owned,
    revisions: Revisions,
}

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    set: Arc<Value>,
    nodes: Vec<Arc<scheduler::Node>>,
    pods: Vec<PodState>,
    revisions: Vec<Arc<Value>>,
    writer: Writer,
}

#[derive(Debug, Default)]
struct Decision {
    make: Vec<Value>,
    remove: Vec<PodState>,
    status: Value,
}

/// The pod for a node, pinned to it.
fn pod_for(set: &Value, writer: &Writer, node: &str, hash: &str) -> Value {
    let mut pod = writer.pod(&set["spec"]["template"]);
    let labels = meta::fields(meta::entry(&mut pod, "metadata.labels"));
    labels.insert(HASH.to_owned(), json!(hash));
    labels.insert(GENERATION.to_owned(), json!(meta::generation(set).to_string()));
    let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    let required = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution";
    meta::put(&mut pod, &format!("{required}.nodeSelectorTerms"), vec![term]);
    let mut tolerations = meta::list_at(&pod, "spec.tolerations").to_vec();
    for (key, effect) in BORNE {
        if !tolerations.iter().any(|one| one["key"] == *key && one["effect"] == *effect) {
            tolerations.push(json!({"key": key, "operator": "Exists", "effect": effect}));
        }
    }
    if pod["spec"]["hostNetwork"] == true {
        tolerations.push(json!({"key": "node.kubernetes.io/network-unavailable", "operator": "Exists", "effect": "NoSchedule"}));
    }
    meta::put(&mut pod, "spec.tolerations", tolerations);
    pod
}

/// The node a pod is on, or is meant for.
fn place_of(pod: &PodState) -> Arc<str> {
    if pod.node.is_empty() { pod.meant_for.clone().unwrap_or_default() } else { Arc::clone(&pod.node) }
}

fn decide(
    set: &Value,
    nodes: &[Arc<scheduler::Node>],
    pods: Vec<PodState>,
    writer: &Writer,
    now: Timestamp,
) -> Decision {
    let mut decision = Decision::default();
    let deleting = meta::deletion_timestamp(set).is_some();
    let hash = hash(&set["spec"]["template"], meta::int_at(set, "status.collisionCount"));
    let mut on: BTreeMap<Arc<str>, Vec<PodState>> = BTreeMap::new();
    for pod in pods {
        on.entry(place_of(&pod)).or_default().push(pod);
    }
    let min_ready = meta::int_at(set, "spec.minReadySeconds");
    let current = |pod: &PodState| pod.labels[HASH] == hash.as_str();
    let (mut desired, mut scheduled, mut misscheduled, mut ready, mut available, mut updated) =
        (0, 0, 0, 0, 0, 0);
    let mut outdated: Vec<PodState> = Vec::new();
    let mut unavailable = 0;
    for node in nodes {
        let mut here = on.remove(&node.name).unwrap_or_default();
        let pod = scheduler::Pod::read(&pod_for(set, writer, &node.name, &hash));
        let stays = scheduler::may_stay(&pod, node) && here.iter().any(PodState::active);
        if !scheduler::admits(&pod, node) && !stays {
            misscheduled += i64::from(here.iter().any(PodState::active));
            decision.remove.extend(here.into_iter().filter(|pod| !pod.deleting));
            continue;
        }
        desired += 1;
        // One that failed makes room for another.
        decision.remove.extend(here.iter().filter(|pod| &*pod.phase == "Failed" && !pod.deleting).cloned());
        let leaving = here.iter().any(|pod| pod.deleting);
        here.retain(PodState::active);
        here.sort_by_key(|pod| (!pod.ready(), Arc::clone(&pod.created)));
        let Some(kept) = here.first() else {
            unavailable += 1;
            if !leaving && !deleting {
                decision.make.push(pod_for(set, writer, &node.name, &hash));
            }
            continue;
        };
        decision.remove.extend(here.iter().skip(1).cloned());
        scheduled += 1;
        ready += i64::from(kept.ready());
        let well = kept.available(min_ready, now);
        available += i64::from(well);
        unavailable += i64::from(!well);
        updated += i64::from(current(kept));
        if !current(kept) {
            outdated.push(kept.clone());
        }
    }
    // Nodes that are gone take their pods with them; those are removed by whoever looks after nodes.
    if set["spec"]["updateStrategy"]["type"] != "OnDelete" && !deleting {
        let most =
            scaled(&set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], desired, true).max(1);
        let (well, sick): (Vec<_>, Vec<_>) =
            outdated.into_iter().partition(|pod| pod.available(min_ready, now));
        let room = usize::try_from((most - unavailable).max(0)).unwrap_or(0);
        decision.remove.extend(sick.into_iter().chain(well.into_iter().take(room)));
    }
    if deleting {
        decision.remove.clear();
    }
    decision.status = json!({
        "currentNumberScheduled": scheduled,
        "desiredNumberScheduled": desired,
        "numberMisscheduled": misscheduled,
        "numberReady": ready,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
        "updatedNumberScheduled": updated,
        "observedGeneration": meta::generation(set),
    });
    decision
}

#[async_trait]
impl Controller for DaemonSets {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let ours = resource.is("apps", "daemonsets")
            || resource.is("", "pods")
            || resource.is("", "nodes")
            || revisions::is_theirs(resource);
        if ours { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        let all = |sets: &Projection<Arc<Value>>| sets.iter().map(|(place, _)| place.clone()).collect();
        if revisions::is_theirs(resource) {
            self.revisions.observe(change);
            return at_once(Vec::new());
        }
        if resource.is("", "nodes") {
            super::keep_part(&mut self.nodes, change, |node| Arc::new(scheduler::Node::read(node)));
            return at_once(all(&self.sets));
        }
        if resource.is("", "pods") {
            let pods = self.pods.observe(change);
            let owned = |set: &Value| pods.iter().any(|pod| pod.owner.as_deref() == Some(meta::uid(set)));
            return at_once(
                self.sets.iter().filter(|(_, set)| owned(set)).map(|(place, _)| place.clone()).collect(),
            );
        }
        at_once(keep(&mut self.sets, change))
    }

    fn facts(&self, key: &Place) -> Option<Facts> {
        let set = self.sets.get(key)?;
        let pods = self.pods.of(meta::uid(set))?;
        let nodes = self.nodes.iter().map(|(_, node)| Arc::clone(node)).collect();
        let (revisions, writer) = (self.revisions.of(set), self.pods.writer(set, TELLER));
        Some(Facts { set: Arc::clone(set), nodes, pods, revisions, writer })
    }

    async fn sync(_key: Place, facts: Facts, api: Arc<dyn Api>, now: Timestamp) -> Result<Next, ApiError> {
        let Facts { set, nodes, pods, revisions, writer } = facts;
        if meta::deletion_timestamp(&set).is_none() {
            let named = |pod: &PodState| {
                format!("{}-{}", meta::name(&set), pod.labels[HASH].as_str().unwrap_or_default())
            };
            let used = pods.iter().map(named).collect();
            let hash = hash(&set["spec"]["template"], meta::int_at(&set, "status.collisionCount"));
            revisions::carry_out(revisions::decide(&set, &revisions, &hash, HASH, &used), &*api).await?;
        }
        let decision = decide(&set, &nodes, pods, &writer, now);
        writer.remove(&*api, &decision.remove, now).await?;
        writer.make(&*api, decision.make, now).await?;
        if differs(&set["status"], &decision.status) {
            let resource = known("apps", "v1", "daemonsets", "DaemonSet");
            api.write(&resource, with_status(&set, decision.status)).await?;
        }
        Ok(Next::Wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, taint: Option<&str>) -> Arc<scheduler::Node> {
        let taints = taint.map_or(json!([]), |key| json!([{"key": key, "effect": "NoSchedule"}]));
        Arc::new(scheduler::Node::read(
            &json!({"metadata": {"name": name}, "spec": {"taints": taints, "unschedulable": true},
            "status": {"allocatable": {"pods": "10"}}}),
        ))
    }

    fn set(image: &str) -> Value {
        json!({"metadata": {"name": "d", "namespace": "n", "uid": "u"}, "spec": {
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"image": image}]}}}})
    }

    fn pod(set: &Value, node: &str) -> PodState {
        let hash = hash(&set["spec"]["template"], 0);
        PodState::read(
            &json!({"metadata": {"name": node, "namespace": "n", "uid": node, "labels": {HASH: hash}},
            "spec": {"nodeName": node},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z"}]}}),
        )
    }

    #[test]
    fn every_node_that_fits_has_one_and_an_update_takes_them_one_by_one() {
        let old = set("1");
        let nodes = [node("a", None), node("b", None), node("c", Some("mine"))];
        let say = |set: &Value, pods: Vec<PodState>| {
            let writer = Owned::default().writer(set, TELLER);
            let decision = decide(set, &nodes, pods, &writer, Timestamp::UNIX_EPOCH);
            (decision.make.len(), decision.remove.len(), decision.status["desiredNumberScheduled"].as_i64())
        };
        assert_eq!(
            say(&old, vec![]),
            (2, 0, Some(2)),
            "unschedulable nodes are borne, others' taints are not"
        );
        assert_eq!(say(&old, vec![pod(&old, "a"), pod(&old, "b")]), (0, 0, Some(2)));
        let there = vec![pod(&old, "a"), pod(&old, "b"), pod(&old, "c")];
        assert_eq!(say(&old, there), (0, 0, Some(3)), "a taint that does not evict leaves who is there");
        let new = set("2");
        assert_eq!(say(&new, vec![pod(&old, "a"), pod(&old, "b")]), (0, 1, Some(2)));
        assert_eq!(say(&new, vec![pod(&new, "a")]), (1, 0, Some(2)));
    }
}
