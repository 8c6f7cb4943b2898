//! ReplicaSets keep a number of equal pods (upstream's replicaset-controller), and so do their
//! elders, ReplicationControllers: a [`Flavour`] each of one controller.

use std::sync::Arc;
use std::time::Duration;

use api::meta;
use api::selector::LabelSelector;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::owned::Writer;
use super::{Owned, PodState, keep};
use crate::events::{Teller, known};
use crate::service_account::now as at_once;
use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Resource, View, Write};

/// One of the two kinds.
#[derive(Debug)]
struct Flavour {
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    teller: Teller,
}

const SETS: Flavour = Flavour {
    group: "apps",
    plural: "replicasets",
    kind: "ReplicaSet",
    teller: Teller { component: "replicaset-controller" },
};
const ELDERS: Flavour = Flavour {
    group: "",
    plural: "replicationcontrollers",
    kind: "ReplicationController",
    teller: Teller { component: "replication-controller" },
};
/// Pods made or removed in one sync, at most (upstream's burst).
const BURST: usize = 500;

/// The controller.
#[derive(Debug)]
pub struct ReplicaSets {
    flavour: &'static Flavour,
    sets: Projection<Arc<Value>>,
    pods: Owned,
}

impl Default for ReplicaSets {
    fn default() -> Self {
        Self::of(&SETS)
    }
}

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    flavour: &'static Flavour,
    set: Arc<Value>,
    pods: Vec<PodState>,
    orphans: Vec<PodState>,
    writer: Writer,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
struct Decision {
    adopt: Vec<PodState>,
    release: Vec<PodState>,
    make: usize,
    remove: Vec<PodState>,
    status: Value,
    /// When pods that are ready now become available.
    again: Option<Duration>,
}

/// A ReplicationController's selector is a map of labels.
fn selector(set: &Value) -> Option<LabelSelector> {
    let selector = &set["spec"]["selector"];
    if set["kind"] == ELDERS.kind {
        Some(LabelSelector::exactly(selector))
    } else {
        LabelSelector::of(selector)
    }
}

fn decide(set: &Value, pods: Vec<PodState>, orphans: Vec<PodState>, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let selector = selector(set).unwrap_or_default();
    let deleting = meta::deletion_timestamp(set).is_some();
    let (mut ours, strangers): (Vec<_>, Vec<_>) =
        pods.into_iter().partition(|pod| selector.matches_labels(&pod.labels));
    decision.release = strangers.into_iter().filter(|pod| !pod.deleting).collect();
    if !deleting {
        decision.adopt = orphans.into_iter().filter(|pod| selector.matches_labels(&pod.labels)).collect();
        ours.extend(decision.adopt.iter().cloned());
    }
    ours.retain(PodState::active);
    let wanted = usize::try_from(set["spec"]["replicas"].as_i64().unwrap_or(1)).unwrap_or(0);
    let min_ready = meta::int_at(set, "spec.minReadySeconds");
    if !deleting && ours.len() < wanted {
        decision.make = (wanted - ours.len()).min(BURST);
    } else if !deleting && ours.len() > wanted {
        let mut ranked = ours.clone();
        ranked.sort_by_key(|pod| rank(pod, &ours));
        ranked.truncate((ours.len() - wanted).min(BURST));
        decision.remove = ranked;
    }
    let count = |is: &dyn Fn(&PodState) -> bool| ours.iter().filter(|pod| is(pod)).count();
    let labels = set["spec"]["template"]["metadata"]["labels"].as_object();
    let labelled =
        |pod: &PodState| labels.into_iter().flatten().all(|(key, value)| pod.labels.get(key) == Some(value));
    decision.status = json!({
        "replicas": ours.len(),
        "fullyLabeledReplicas": count(&labelled),
        "readyReplicas": count(&PodState::ready),
        "availableReplicas": count(&|pod| pod.available(min_ready, now)),
        "observedGeneration": meta::generation(set),
    });
    let ripens = |pod: &PodState| pod.ready_since.filter(|_| !pod.available(min_ready, now));
    let soonest = ours.iter().filter_map(ripens).min();
    decision.again = soonest.map(|since| {
        Duration::from_secs(
            u64::try_from(since.as_second() + min_ready - now.as_second()).unwrap_or(0).max(1),
        )
    });
    decision
}

/// Who goes first: upstream's ActivePodsWithRanks.
fn rank(pod: &PodState, all: &[PodState]) -> impl Ord + use<> {
    let beside = all.iter().filter(|other| other.node == pod.node && !pod.node.is_empty()).count();
    let phase = match &*pod.phase {
        "Pending" => 0,
        "Running" => 2,
        _ => 1,
    };
    (
        !pod.node.is_empty(),
        phase,
        pod.ready(),
        pod.cost,
        std::cmp::Reverse(beside),
        std::cmp::Reverse(pod.ready_since),
        -pod.restarts,
        std::cmp::Reverse(Arc::clone(&pod.created)),
    )
}

/// The object with another status; its version counts.
pub(crate) fn with_status(object: &Value, status: Value) -> Write {
    let mut object = object.clone();
    for (field, value) in status.as_object().into_iter().flatten() {
        object["status"][field] = value.clone();
    }
    Write::Update { place: Place::of(&object), subresource: Some("status"), object }
}

/// The condition of a set whose pods cannot be made; its time is that of the first such failure.
fn failure(before: &Value, message: &str, now: Timestamp) -> Value {
    if before["type"] == "ReplicaFailure" && before["message"] == message {
        return before.clone();
    }
    json!({
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    })
}

/// Whether `wanted` says anything that `status` does not.
pub(crate) fn differs(status: &Value, wanted: &Value) -> bool {
    let empty = |value: &Value| value.is_null() || *value == 0 || value.as_array().is_some_and(Vec::is_empty);
    wanted.as_object().into_iter().flatten().any(|(field, value)| {
        let is = &status[field];
        is != value && !(empty(is) && empty(value))
    })
}

impl ReplicaSets {
    fn of(flavour: &'static Flavour) -> Self {
        Self { flavour, sets: Projection::default(), pods: Owned::default() }
    }

    /// The same for ReplicationControllers.
    #[must_use]
    pub fn replication_controllers() -> Self {
        Self::of(&ELDERS)
    }

    fn concerned(&self, pods: &[PodState]) -> Vec<Place> {
        let mut places: Vec<Place> = Vec::new();
        for pod in pods {
            let owners = self.sets.iter().filter(|(place, set)| match &pod.owner {
                Some(owner) => meta::uid(set) == &**owner,
                None => {
                    place.namespace == pod.place.namespace
                        && selector(set).is_some_and(|s| s.matches_labels(&pod.labels))
                }
            });
            places.extend(owners.map(|(place, _)| place.clone()));
        }
        places.dedup();
        places
    }
}

#[async_trait]
impl Controller for ReplicaSets {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        self.flavour.teller.component
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let ours = resource.is(self.flavour.group, self.flavour.plural) || resource.is("", "pods");
        if ours { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        if resource.is("", "pods") {
            let pods = self.pods.observe(change);
            return at_once(self.concerned(&pods));
        }
        at_once(keep(&mut self.sets, change))
    }

    fn facts(&self, key: &Place) -> Option<Facts> {
        let set = self.sets.get(key)?;
        let pods = self.pods.of(meta::uid(set))?;
        let orphans = self.pods.orphans(&key.namespace);
        let writer = self.pods.writer(set, self.flavour.teller);
        Some(Facts { flavour: self.flavour, set: Arc::clone(set), pods, orphans, writer })
    }

    async fn sync(_key: Place, facts: Facts, api: Arc<dyn Api>, now: Timestamp) -> Result<Next, ApiError> {
        let Facts { flavour, set, pods, orphans, writer } = facts;
        let decision = decide(&set, pods, orphans, now);
        for pod in &decision.adopt {
            writer.claim(&*api, pod, true).await?;
        }
        for pod in &decision.release {
            writer.claim(&*api, pod, false).await?;
        }
        let template = writer.pod(&set["spec"]["template"]);
        let made = writer.make(&*api, vec![template; decision.make], now).await;
        writer.remove(&*api, &decision.remove, now).await?;
        let mut status = decision.status;
        status["conditions"] = match &made {
            Ok(()) => json!([]),
            Err(error) => json!([failure(&set["status"]["conditions"][0], &error.to_string(), now)]),
        };
        if differs(&set["status"], &status) {
            let resource = known(flavour.group, "v1", flavour.plural, flavour.kind);
            api.write(&resource, with_status(&set, status)).await?;
        }
        made?;
        Ok(decision.again.map_or(Next::Wait, Next::After))
    }
}
