//! The scheduler's loop: which pods wait, when they are tried, and what becomes of a decision.
//!
//! Decisions are [`scheduler`]'s. A pod that found a node counts there at once and is bound
//! beside the loop; one that found none waits for a change, no sooner than its back-off.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Ids, Shutdown, chain};
use client::{Api, ApiError, Change, Place, Resource, Selection, View, Write, reflect};
use jiff::Timestamp;
use scheduler::{Budget, Cluster, Node, Outcome, Pod, decide, preempt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::events::{Kind, Teller, known};

const NAME: &str = "default-scheduler";
const TELLER: Teller = Teller { component: NAME };
/// Bindings under way at a time.
const BINDINGS: usize = 64;
const NEWS: usize = 256;
/// Upstream's waits of a pod that found no node, and after how long it is tried without a change.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const ANYWAY: Duration = Duration::from_secs(300);

/// A pod without a node.
struct Waiting {
    object: Value,
    pod: Pod,
    tries: u32,
    /// Not before then.
    not_before: Timestamp,
    /// Nothing has changed since it was refused; it is tried anyway then.
    until: Option<Timestamp>,
    /// What it was last told.
    said: String,
    binding: bool,
}

struct Loop {
    api: Arc<dyn Api>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    cluster: Cluster,
    budgets: BTreeMap<Place, Budget>,
    waiting: BTreeMap<Arc<str>, Waiting>,
    bindings: JoinSet<(Arc<str>, Result<(), ApiError>)>,
    unlisted: BTreeSet<Arc<str>>,
}

/// Schedules pods until stopped.
pub async fn run(api: Arc<dyn Api>, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>, shutdown: Shutdown) {
    let (tell, mut news) = mpsc::channel(NEWS);
    let mut watches = JoinSet::new();
    let watched = [
        known("", "v1", "pods", "Pod"),
        Resource { namespaced: false, ..known("", "v1", "nodes", "Node") },
        Resource { namespaced: false, ..known("", "v1", "namespaces", "Namespace") },
        known("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    ];
    let unlisted = watched.iter().map(|resource| Arc::clone(&resource.plural)).collect();
    for resource in watched {
        let (api, tell, clock, stop) = (Arc::clone(&api), tell.clone(), Arc::clone(&clock), shutdown.clone());
        let view = if &*resource.plural == "namespaces" { View::Metadata } else { View::Whole };
        watches.spawn(reflect(api, Arc::new(resource), Selection::default(), view, tell, clock, stop));
    }
    let mut state = Loop {
        api,
        clock,
        ids,
        cluster: Cluster::default(),
        budgets: BTreeMap::new(),
        waiting: BTreeMap::new(),
        bindings: JoinSet::new(),
        unlisted,
    };
    loop {
        let nap = state.work().await;
        let clock = Arc::clone(&state.clock);
        tokio::select! {
            biased;
            () = shutdown.triggered() => break,
            Some(Ok(bound)) = state.bindings.join_next() => state.bound(bound.0, bound.1),
            Some((resource, change)) = news.recv() => state.heard(&resource, change),
            () = clock.sleep(nap) => {}
        }
        while let Ok((resource, change)) = news.try_recv() {
            state.heard(&resource, change);
        }
    }
    while state.bindings.join_next().await.is_some() {}
    watches.shutdown().await;
}

impl Loop {
    fn heard(&mut self, resource: &Resource, change: Change) {
        let plural = &*resource.plural;
        match change {
            Change::Listed(items) => {
                self.unlisted.remove(plural);
                self.forget_missing(plural, &items);
                items.into_iter().for_each(|item| self.put(plural, item));
            }
            Change::Put(object) => self.put(plural, object),
            Change::Gone(object) => self.gone(plural, &object),
        }
    }

    /// Removes what a new list does not hold any more.
    fn forget_missing(&mut self, plural: &str, items: &[Value]) {
        if plural == "pods" {
            let listed: BTreeSet<&str> = items.iter().map(api::meta::uid).collect();
            self.waiting.retain(|uid, _| listed.contains(&**uid));
            for uid in self.cluster.pod_uids() {
                if !listed.contains(&*uid) {
                    self.cluster.remove_pod(&uid);
                }
            }
        } else if plural == "nodes" {
            let listed: BTreeSet<&str> = items.iter().map(api::meta::name).collect();
            for name in self.cluster.node_names() {
                if !listed.contains(&*name) {
                    self.cluster.remove_node(&name);
                }
            }
        } else if plural == "poddisruptionbudgets" {
            self.budgets.clear();
        }
    }

    fn put(&mut self, plural: &str, object: Value) {
        match plural {
            "pods" => self.put_pod(object),
            "nodes" => {
                self.cluster.put_node(Node::read(&object));
                self.wake();
            }
            "namespaces" => self.cluster.put_namespace(&object),
            _ => {
                if let Some(budget) = Budget::read(&object) {
                    self.budgets.insert(Place::of(&object), budget);
                }
            }
        }
    }

    fn gone(&mut self, plural: &str, object: &Value) {
        match plural {
            "pods" => {
                self.waiting.remove(api::meta::uid(object));
                if self.cluster.remove_pod(api::meta::uid(object)).is_some() {
                    self.wake();
                }
            }
            "nodes" => self.cluster.remove_node(api::meta::name(object)),
            "namespaces" => self.cluster.remove_namespace(api::meta::name(object)),
            _ => {
                self.budgets.remove(&Place::of(object));
            }
        }
    }

    fn put_pod(&mut self, object: Value) {
        let pod = Pod::read(&object);
        if !pod.node.is_empty() {
            self.waiting.remove(&pod.uid);
            if pod.ended {
                self.cluster.remove_pod(&pod.uid);
            } else {
                self.cluster.put_pod(pod);
            }
            self.wake();
            return;
        }
        if pod.ended || pod.deleting || &*pod.scheduler != NAME {
            self.waiting.remove(&pod.uid);
            return;
        }
        let now = self.clock.now();
        match self.waiting.get_mut(&pod.uid) {
            Some(waiting) => {
                let gates_opened = !waiting.pod.gates.is_empty() && pod.gates.is_empty();
                if gates_opened {
                    waiting.until = None;
                }
                (waiting.object, waiting.pod) = (object, pod);
            }
            None => {
                let uid = Arc::clone(&pod.uid);
                let fresh = Waiting {
                    object,
                    pod,
                    tries: 0,
                    not_before: now,
                    until: None,
                    said: String::new(),
                    binding: false,
                };
                self.waiting.insert(uid, fresh);
            }
        }
    }

    /// Something changed: who was refused may be tried again.
    fn wake(&mut self) {
        self.waiting.values_mut().for_each(|waiting| waiting.until = None);
    }

    /// Tries every pod whose turn it is, and says how long there is nothing to do.
    async fn work(&mut self) -> Duration {
        if !self.unlisted.is_empty() {
            return ANYWAY;
        }
        let now = self.clock.now();
        let ready = |waiting: &&Waiting| {
            !waiting.binding && waiting.not_before <= now && waiting.until.is_none_or(|until| until <= now)
        };
        let mut turn: Vec<_> = self
            .waiting
            .values()
            .filter(ready)
            .map(|waiting| {
                (
                    Reverse(waiting.pod.priority),
                    Arc::clone(&waiting.pod.created),
                    Arc::clone(&waiting.pod.uid),
                )
            })
            .collect();
        turn.sort();
        for (_, _, uid) in turn {
            if self.bindings.len() >= BINDINGS {
                break;
            }
            self.attempt(&uid, now).await;
        }
        let next = self
            .waiting
            .values()
            .filter(|waiting| !waiting.binding)
            .map(|waiting| waiting.until.unwrap_or(waiting.not_before).max(waiting.not_before));
        let nap = next.min().map_or(ANYWAY, |at| at.duration_since(now).try_into().unwrap_or(Duration::ZERO));
        if self.bindings.len() >= BINDINGS { ANYWAY } else { nap }
    }

    async fn attempt(&mut self, uid: &Arc<str>, now: Timestamp) {
        let random = u64::from_str_radix(self.ids.next().get(..16).unwrap_or("0"), 16).unwrap_or(0);
        let Some(waiting) = self.waiting.get_mut(uid) else { return };
        if !waiting.pod.gates.is_empty() {
            waiting.until = later(now, ANYWAY);
            self.refuse(
                uid,
                "SchedulingGated",
                "Scheduling is blocked due to non-empty scheduling gates".to_owned(),
                false,
            )
            .await;
            return;
        }
        match decide(&self.cluster, &waiting.pod, random) {
            Outcome::Node(node) => {
                waiting.binding = true;
                let mut placed = waiting.pod.clone();
                placed.node = Arc::clone(&node);
                self.cluster.put_pod(placed);
                let (api, object, uid) = (Arc::clone(&self.api), waiting.object.clone(), Arc::clone(uid));
                self.bindings.spawn(async move {
                    let result = bind(&*api, &object, &node, now).await;
                    (uid, result)
                });
            }
            Outcome::Nowhere(refusal) => {
                waiting.tries += 1;
                let wait = (FIRST_WAIT * 2_u32.saturating_pow(waiting.tries - 1)).min(LONGEST_WAIT);
                waiting.not_before = later(now, wait).unwrap_or(now);
                waiting.until = later(now, ANYWAY);
                let budgets: Vec<Budget> = self.budgets.values().cloned().collect();
                let room = preempt(&self.cluster, &waiting.pod, &refusal, &budgets);
                let mut message = refusal.message();
                match room {
                    Some(room) => self.make_room(uid, room, now).await,
                    None if refusal.nodes > 0 => {
                        message.push_str(&hopeless(&refusal));
                    }
                    None => {}
                }
                self.refuse(uid, "Unschedulable", message, true).await;
            }
        }
    }

    /// Deletes whom preemption chose, and notes on the pod where it will go.
    async fn make_room(&mut self, uid: &Arc<str>, room: scheduler::Preemption, now: Timestamp) {
        let Some(waiting) = self.waiting.get(uid) else { return };
        let pods = known("", "v1", "pods", "Pod");
        let nominated = json!({"status": {"nominatedNodeName": &*room.node}});
        let place = Place::of(&waiting.object);
        let write = Write::Merge { place, subresource: Some("status"), patch: nominated };
        log(self.api.write(&pods, write).await.map(drop), "the promised node could not be noted");
        for victim in room.victims {
            let place = Place::within(&victim.namespace, &victim.name);
            let disruption = json!({"status": {"conditions": [{
                "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
                "message": format!("{NAME}: preempting to accommodate a higher priority pod"),
                "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            }]}});
            let about = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
                "name": &*victim.name, "namespace": &*victim.namespace, "uid": &*victim.uid}});
            let write = Write::Merge { place: place.clone(), subresource: Some("status"), patch: disruption };
            log(self.api.write(&pods, write).await.map(drop), "a victim could not be marked");
            let delete = Write::Delete {
                place,
                propagation: client::Propagation::Background,
                uid: Some(victim.uid.to_string()),
                resource_version: None,
            };
            log(self.api.write(&pods, delete).await.map(drop), "a victim could not be deleted");
            let message = format!("Preempted by pod {} on node {}", waiting.pod.uid, room.node);
            TELLER.tell(&*self.api, &about, Kind::Normal, "Preempted", &message, now).await;
        }
    }

    /// Tells the pod why it waits, where that is news.
    async fn refuse(&mut self, uid: &Arc<str>, reason: &str, message: String, event: bool) {
        let now = self.clock.now();
        let Some(waiting) = self.waiting.get_mut(uid) else { return };
        if waiting.said == message {
            return;
        }
        let mut conditions = waiting.object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.retain(|condition| condition["type"] != "PodScheduled");
        conditions.push(json!({
            "type": "PodScheduled", "status": "False", "reason": reason, "message": message,
            "lastProbeTime": null, "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }));
        let patch = json!({"status": {"conditions": conditions}});
        let write = Write::Merge { place: Place::of(&waiting.object), subresource: Some("status"), patch };
        match self.api.write(&known("", "v1", "pods", "Pod"), write).await {
            Ok(_) => waiting.said.clone_from(&message),
            Err(error) if error.is_not_found() => return,
            Err(error) => tracing::warn!(error = %chain(&error), "a pod could not be told why it waits"),
        }
        let object = waiting.object.clone();
        if event {
            TELLER.tell(&*self.api, &object, Kind::Warning, "FailedScheduling", &message, now).await;
        }
    }

    fn bound(&mut self, uid: Arc<str>, result: Result<(), ApiError>) {
        let now = self.clock.now();
        let Err(error) = result else { return };
        // Bound by its watch's word alone; what failed is tried again.
        self.cluster.remove_pod(&uid);
        if let Some(waiting) = self.waiting.get_mut(&uid) {
            tracing::warn!(pod = %waiting.pod.key(), error = %chain(&error), "binding failed; trying again");
            waiting.binding = false;
            waiting.tries += 1;
            waiting.not_before = later(now, FIRST_WAIT).unwrap_or(now);
        }
    }
}

/// Upstream's second sentence where preemption does not help either.
fn hopeless(refusal: &scheduler::Refusal) -> String {
    let (all, could) = (refusal.nodes, refusal.candidates.len());
    let mut parts = Vec::new();
    if could > 0 {
        parts.push(format!("{could} No preemption victims found for incoming pod"));
    }
    if all > could {
        parts.push(format!("{} Preemption is not helpful for scheduling", all - could));
    }
    format!(" preemption: 0/{all} nodes are available: {}.", parts.join(", "))
}

async fn bind(api: &dyn Api, pod: &Value, node: &str, now: Timestamp) -> Result<(), ApiError> {
    let place = Place::of(pod);
    let object = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": &*place.name, "namespace": place.namespace.as_deref(), "uid": pod["metadata"]["uid"]},
        "target": {"kind": "Node", "name": node},
    });
    let resource = known("", "v1", "pods", "Pod");
    api.write(&resource, Write::CreateIn { place: place.clone(), subresource: "binding", object }).await?;
    let message = format!("Successfully assigned {place} to {node}");
    TELLER.tell(api, pod, Kind::Normal, "Scheduled", &message, now).await;
    Ok(())
}

fn log(result: Result<(), ApiError>, what: &str) {
    if let Err(error) = result {
        tracing::warn!(error = %chain(&error), "{what}");
    }
}

fn later(now: Timestamp, wait: Duration) -> Option<Timestamp> {
    now.checked_add(wait).ok()
}
