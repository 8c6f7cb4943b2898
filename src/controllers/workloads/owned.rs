//! The pods of one kind of owner: what counts of each, whose it is, and which writes of ours
//! are not seen yet.
//!
//! A sync never starts from a projection that misses its own writes (upstream's
//! expectations): it would create a pod twice. A new list settles all doubts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use api::meta;
use api::selector::LabelSelector;
use client::{Api, ApiError, Change, Place, Propagation, Write};
use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::events::{Kind, Teller, known};

/// Pods made or removed at a time; the first batch has one, each further twice as many.
const BATCH: usize = 64;

/// What counts of a pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PodState {
    pub(crate) place: Place,
    pub(crate) uid: Arc<str>,
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) labels: Value,
    pub(crate) node: Arc<str>,
    pub(crate) phase: Arc<str>,
    pub(crate) ready_since: Option<Timestamp>,
    pub(crate) deleting: bool,
    pub(crate) created: Arc<str>,
    pub(crate) restarts: i64,
    pub(crate) cost: i64,
    /// Where its affinity names one node, that node.
    pub(crate) meant_for: Option<Arc<str>>,
    pub(crate) finalizers: Vec<String>,
    pub(crate) index: Option<i64>,
    /// How often pods of its index had failed before it.
    pub(crate) index_failures: i64,
    /// Of one that failed: what a Job's rules look at.
    pub(crate) failure: Option<Arc<Value>>,
}

impl PodState {
    pub(crate) fn read(pod: &Value) -> Self {
        let conditions = meta::list_at(pod, "status.conditions");
        let ready = conditions.iter().find(|c| c["type"] == "Ready" && c["status"] == "True");
        let statuses = meta::list_at(pod, "status.containerStatuses");
        let terms =
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
        let field =
            &meta::list_at(pod, terms).first().map(|term| term["matchFields"][0]["values"][0].clone());
        Self {
            place: Place::of(pod),
            uid: meta::uid(pod).into(),
            owner: meta::controller(pod).and_then(|owner| owner["uid"].as_str().map(Arc::from)),
            labels: pod["metadata"]["labels"].clone(),
            node: meta::str_at(pod, "spec.nodeName").into(),
            phase: meta::str_at(pod, "status.phase").into(),
            ready_since: ready
                .map(|c| c["lastTransitionTime"].as_str().and_then(|t| t.parse().ok()).unwrap_or_default()),
            deleting: meta::deletion_timestamp(pod).is_some(),
            created: meta::creation_timestamp(pod).into(),
            restarts: statuses.iter().filter_map(|status| status["restartCount"].as_i64()).sum(),
            cost: meta::annotation(pod, "controller.kubernetes.io/pod-deletion-cost")
                .and_then(|cost| cost.parse().ok())
                .unwrap_or(0),
            meant_for: field.as_ref().and_then(|value| value.as_str().map(Arc::from)),
            finalizers: meta::finalizers(pod).map(str::to_owned).collect(),
            index: meta::annotation(pod, "batch.kubernetes.io/job-completion-index")
                .and_then(|i| i.parse().ok()),
            index_failures: meta::annotation(pod, super::job::INDEX_FAILURES)
                .and_then(|count| count.parse().ok())
                .unwrap_or(0),
            failure: (meta::str_at(pod, "status.phase") == "Failed")
                .then(|| Arc::new(super::job::failure(pod))),
        }
    }

    pub(crate) fn ended(&self) -> bool {
        matches!(&*self.phase, "Succeeded" | "Failed")
    }

    /// Upstream's IsPodActive.
    pub(crate) fn active(&self) -> bool {
        !self.ended() && !self.deleting
    }

    pub(crate) fn ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// Whether it has been ready for `min_ready` seconds at `now`.
    pub(crate) fn available(&self, min_ready: i64, now: Timestamp) -> bool {
        self.ready_since
            .is_some_and(|since| min_ready == 0 || now.as_second() - since.as_second() >= min_ready)
    }
}

/// Writes that the projection has not seen.
#[derive(Debug, Default)]
struct Unseen {
    made: BTreeSet<Arc<str>>,
    removed: BTreeSet<Arc<str>>,
    /// Pods that were let go: they still come with the finalizer that was taken away.
    released: BTreeSet<Arc<str>>,
    /// Pods that are being made: their watch may be faster than the reply.
    under_way: usize,
    /// Pods that were seen while others were under way.
    seen: BTreeSet<Arc<str>>,
}

impl Unseen {
    fn is_settled(&self) -> bool {
        self.made.is_empty() && self.removed.is_empty() && self.released.is_empty()
    }

    fn made(&mut self, uid: Option<&str>) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(uid) = uid.filter(|uid| !self.seen.contains(*uid)) {
            self.made.insert(uid.into());
        }
        if self.under_way == 0 {
            self.seen.clear();
        }
    }
}

/// Shared between the projection and syncs.
type Expected = Arc<Mutex<BTreeMap<Arc<str>, Unseen>>>;

/// Pods by owner.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    pods: BTreeMap<Place, PodState>,
    by_owner: BTreeMap<Arc<str>, BTreeSet<Place>>,
    expected: Expected,
}

impl Owned {
    /// Brings a change in; gives the pods concerned, as they were and as they are.
    pub(crate) fn observe(&mut self, change: Change) -> Vec<PodState> {
        match change {
            Change::Listed(items) => {
                let mut concerned: Vec<_> = std::mem::take(&mut self.pods).into_values().collect();
                self.by_owner.clear();
                lock(&self.expected).clear();
                for item in &items {
                    concerned.extend(self.put(PodState::read(item)));
                }
                concerned
            }
            Change::Put(pod) => self.put(PodState::read(&pod)),
            Change::Gone(pod) => {
                let state = PodState { finalizers: Vec::new(), ..PodState::read(&pod) };
                self.seen(&state, true);
                self.forget(&state.place);
                vec![state]
            }
        }
    }

    fn put(&mut self, state: PodState) -> Vec<PodState> {
        self.seen(&state, state.deleting);
        let before = self.forget(&state.place);
        if let Some(owner) = &state.owner {
            self.by_owner.entry(Arc::clone(owner)).or_default().insert(state.place.clone());
        }
        self.pods.insert(state.place.clone(), state.clone());
        before.into_iter().chain([state]).collect()
    }

    fn forget(&mut self, place: &Place) -> Option<PodState> {
        let before = self.pods.remove(place)?;
        if let Some(places) = before.owner.as_ref().and_then(|owner| self.by_owner.get_mut(owner)) {
            places.remove(place);
        }
        Some(before)
    }

    fn seen(&self, state: &PodState, removed: bool) {
        let Some(owner) = &state.owner else { return };
        if let Some(unseen) = lock(&self.expected).get_mut(owner) {
            if !unseen.made.remove(&state.uid) && unseen.under_way > 0 {
                unseen.seen.insert(Arc::clone(&state.uid));
            }
            if removed {
                unseen.removed.remove(&state.uid);
            }
            if state.finalizers.is_empty() {
                unseen.released.remove(&state.uid);
            }
        }
    }

    /// The pods of an owner; none while writes of ours are not seen.
    pub(crate) fn of(&self, owner: &str) -> Option<Vec<PodState>> {
        let expected = lock(&self.expected);
        if expected.get(owner).is_some_and(|unseen| !unseen.is_settled()) {
            return None;
        }
        let places = self.by_owner.get(owner).into_iter().flatten();
        Some(places.filter_map(|place| self.pods.get(place).cloned()).collect())
    }

    /// Pods of a namespace that nobody owns.
    pub(crate) fn orphans(&self, namespace: &Option<Arc<str>>) -> Vec<PodState> {
        let free = |pod: &&PodState| pod.owner.is_none() && pod.place.namespace == *namespace && pod.active();
        self.pods.values().filter(free).cloned().collect()
    }

    /// Pods of a namespace that a selector selects.
    pub(crate) fn within(&self, namespace: &Option<Arc<str>>, selector: &LabelSelector) -> Vec<PodState> {
        let ours =
            |pod: &&PodState| pod.place.namespace == *namespace && selector.matches_labels(&pod.labels);
        self.pods.values().filter(ours).cloned().collect()
    }

    /// What a sync writes pods with.
    pub(crate) fn writer(&self, owner: &Value, teller: Teller) -> Writer {
        Writer { expected: Arc::clone(&self.expected), owner: owner.clone(), teller }
    }
}

fn lock(expected: &Expected) -> std::sync::MutexGuard<'_, BTreeMap<Arc<str>, Unseen>> {
    expected.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes and removes the pods of one owner.
#[derive(Debug)]
pub(crate) struct Writer {
    expected: Expected,
    pub(crate) owner: Value,
    teller: Teller,
}

impl Writer {
    fn expect(&self, note: impl FnOnce(&mut Unseen)) {
        note(lock(&self.expected).entry(meta::uid(&self.owner).into()).or_default());
    }

    /// A pod of the owner's template, to be named by the server.
    pub(crate) fn pod(&self, template: &Value) -> Value {
        let mut metadata = json!({
            "generateName": format!("{}-", meta::name(&self.owner)),
            "namespace": meta::namespace(&self.owner),
            "ownerReferences": [controller_reference(&self.owner)],
        });
        for field in ["labels", "annotations", "finalizers"] {
            if let Some(value) = template["metadata"].get(field) {
                metadata[field] = value.clone();
            }
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    }

    /// Makes pods, the first alone: where all fail alike the server is asked once, not often.
    pub(crate) async fn make(&self, api: &dyn Api, pods: Vec<Value>, now: Timestamp) -> Result<(), ApiError> {
        let (mut rest, mut size) = (pods.into_iter(), 1);
        loop {
            let batch: Vec<Value> = rest.by_ref().take(size).collect();
            if batch.is_empty() {
                return Ok(());
            }
            let made: Vec<_> = batch.into_iter().map(|pod| self.make_one(api, pod, now).boxed()).collect();
            let made = stream::iter(made).buffer_unordered(BATCH);
            let results: Vec<_> = made.collect().await;
            results.into_iter().collect::<Result<(), _>>()?;
            size = (size * 2).min(BATCH);
        }
    }

    async fn make_one(&self, api: &dyn Api, pod: Value, now: Timestamp) -> Result<(), ApiError> {
        let namespace = pod["metadata"]["namespace"].as_str().map(Arc::from);
        self.expect(|unseen| unseen.under_way += 1);
        match api.write(&known("", "v1", "pods", "Pod"), Write::Create { namespace, object: pod }).await {
            Ok(made) => {
                self.expect(|unseen| unseen.made(Some(meta::uid(&made))));
                let message = format!("Created pod: {}", meta::name(&made));
                self.teller.tell(api, &self.owner, Kind::Normal, "SuccessfulCreate", &message, now).await;
                Ok(())
            }
            Err(error) => {
                self.expect(|unseen| unseen.made(None));
                let message = format!("Error creating: {error}");
                self.teller.tell(api, &self.owner, Kind::Warning, "FailedCreate", &message, now).await;
                Err(error)
            }
        }
    }

    /// Removes pods.
    pub(crate) async fn remove(
        &self,
        api: &dyn Api,
        pods: &[PodState],
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let all: Vec<_> = pods.iter().map(|pod| self.remove_one(api, pod, now).boxed()).collect();
        let all = stream::iter(all).buffer_unordered(BATCH);
        let results: Vec<_> = all.collect().await;
        results.into_iter().collect()
    }

    async fn remove_one(&self, api: &dyn Api, pod: &PodState, now: Timestamp) -> Result<(), ApiError> {
        self.expect(|unseen| drop(unseen.removed.replace(Arc::clone(&pod.uid))));
        let delete = Write::Delete {
            place: pod.place.clone(),
            propagation: Propagation::Background,
            uid: Some(pod.uid.to_string()),
            resource_version: None,
        };
        let result = api.write(&known("", "v1", "pods", "Pod"), delete).await;
        if result.is_err() {
            self.expect(|unseen| drop(unseen.removed.take(&pod.uid)));
        }
        match result {
            Err(error) if !error.is_not_found() => {
                let message = format!("Error deleting: {error}");
                self.teller.tell(api, &self.owner, Kind::Warning, "FailedDelete", &message, now).await;
                Err(error)
            }
            _ => {
                let message = format!("Deleted pod: {}", pod.place.name);
                self.teller.tell(api, &self.owner, Kind::Normal, "SuccessfulDelete", &message, now).await;
                Ok(())
            }
        }
    }

    /// Takes finalizers away, all but `rest`; until that has come by nothing is decided, lest what
    /// the pod stands for is counted twice.
    pub(crate) async fn release(
        &self,
        api: &dyn Api,
        pod: &PodState,
        rest: &[&String],
    ) -> Result<(), ApiError> {
        if rest.is_empty() {
            self.expect(|unseen| unseen.released.extend([Arc::clone(&pod.uid)]));
        }
        let patch = json!({"metadata": {"uid": &*pod.uid, "finalizers": rest}});
        let write = Write::Merge { place: pod.place.clone(), subresource: None, patch };
        let done = client::found(api.write(&known("", "v1", "pods", "Pod"), write).await);
        if !matches!(done, Ok(Some(_))) {
            self.expect(|unseen| unseen.released.retain(|uid| *uid != pod.uid));
        }
        done.map(drop)
    }

    /// Sets or clears who controls a pod.
    pub(crate) async fn claim(&self, api: &dyn Api, pod: &PodState, ours: bool) -> Result<(), ApiError> {
        let references = if ours { json!([controller_reference(&self.owner)]) } else { Value::Null };
        let patch = json!({"metadata": {"uid": &*pod.uid, "ownerReferences": references}});
        let write = Write::Merge { place: pod.place.clone(), subresource: None, patch };
        match api.write(&known("", "v1", "pods", "Pod"), write).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }
}

/// A reference to the controller `owner`.
pub(crate) fn controller_reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_was_let_go_decides_nothing_until_it_comes_by_without_its_finalizer() {
        let world = World::new();
        let pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "p", "finalizers": ["f"],
            "ownerReferences": [{"uid": "u", "controller": true}]}});
        let pod = world.add("pods", pod);
        let mut owned = Owned::default();
        let state = owned.observe(Change::Listed(vec![pod])).remove(0);
        let owner = json!({"metadata": {"name": "j", "namespace": "n", "uid": "u"}});
        let writer = owned.writer(&owner, Teller { component: "test" });
        writer.release(&*world, &state, &[]).await.unwrap();
        assert_eq!(owned.of("u"), None, "what it stands for is in the status already");
        let now = world.find("pods", &Place::within("n", "p")).unwrap();
        owned.observe(Change::Put(now));
        assert_eq!(owned.of("u").map(|pods| pods.len()), Some(1));
    }
}
