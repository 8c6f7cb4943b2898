//! Deployments keep ReplicaSets: one per version of their template, of which the newest grows
//! as the others shrink (upstream's deployment-controller).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use api::selector::LabelSelector;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::owned::controller_reference;
use super::replica_set::{differs, with_status};
use super::rollout::{bounds, grown, proportionally};
use super::{Owned, keep};
use crate::events::{Kind, Teller, known};
use crate::service_account::now as at_once;
use crate::{
    Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Propagation, Resource, View, Write,
};

const TELLER: Teller = Teller { component: "deployment-controller" };
const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";

/// The controller.
#[derive(Debug, Default)]
pub struct Deployments {
    deployments: Projection<Arc<Value>>,
    sets: Projection<Arc<Value>>,
    pods: Owned,
}

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    deployment: Arc<Value>,
    /// Sets that it owns.
    sets: Vec<Arc<Value>>,
    /// Sets that nobody owns and its selector selects.
    orphans: Vec<Arc<Value>>,
    /// Pods of the sets that still run, by set.
    running: BTreeMap<Arc<str>, usize>,
}

/// A change to make.
#[derive(Debug, PartialEq)]
enum Action {
    Adopt(Arc<Value>),
    Create {
        set: Value,
    },
    Scale {
        set: Arc<Value>,
        to: i64,
        up: bool,
    },
    Annotate {
        place: Place,
        annotations: Value,
    },
    /// The deployment's own revision.
    Note {
        revision: String,
    },
    Delete(Arc<Value>),
    Status(Value),
}

/// A decision and when to look again.
#[derive(Debug, PartialEq)]
struct Decision {
    actions: Vec<Action>,
    again: Option<Duration>,
}

fn replicas(set: &Value) -> i64 {
    set["spec"]["replicas"].as_i64().unwrap_or(1)
}

fn revision(object: &Value) -> i64 {
    meta::annotation(object, REVISION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The template without what the controller adds.
fn plain(template: &Value) -> Value {
    let mut template = template.clone();
    meta::remove(&mut template, &format!("metadata.labels.{HASH}"));
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.retain(|key, value| key != "creationTimestamp" || !value.is_null());
    }
    template
}

/// A name part of the template and the collision count, in upstream's alphabet without vowels.
pub(super) fn hash(template: &Value, collisions: i64) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let text = format!("{}{collisions}", plain(template));
    // FNV-1a, 32 bits, as digits.
    let hash =
        text.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

struct Sets<'a> {
    deployment: &'a Value,
    now: Timestamp,
    /// The set of the present template.
    new: Option<Arc<Value>>,
    old: Vec<Arc<Value>>,
}

fn decide(facts: &Facts, now: Timestamp) -> Decision {
    let deployment = &*facts.deployment;
    if meta::deletion_timestamp(deployment).is_some() {
        return Decision { actions: Vec::new(), again: None };
    }
    let mut actions: Vec<Action> = facts.orphans.iter().cloned().map(Action::Adopt).collect();
    if !actions.is_empty() {
        return Decision { actions, again: None };
    }
    let template = plain(&deployment["spec"]["template"]);
    let mut sets = facts.sets.clone();
    sets.sort_by(|a, b| {
        meta::creation_timestamp(a).cmp(meta::creation_timestamp(b)).then(meta::name(a).cmp(meta::name(b)))
    });
    let (mut same, old): (Vec<_>, Vec<_>) =
        sets.into_iter().partition(|set| plain(&set["spec"]["template"]) == template);
    let rest = if same.len() > 1 { same.split_off(1) } else { Vec::new() };
    let view = Sets { deployment, now, new: same.pop(), old: old.into_iter().chain(rest).collect() };
    actions.extend(view.work(&facts.running));
    let (status, again) = view.status(&actions);
    if differs(&deployment["status"], &status) {
        actions.push(Action::Status(status));
    }
    Decision { actions, again }
}

impl Sets<'_> {
    fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.old.iter().chain(&self.new)
    }

    fn wanted(&self) -> i64 {
        replicas(self.deployment)
    }

    fn bounds(&self) -> (i64, i64) {
        let strategy = &self.deployment["spec"]["strategy"];
        match strategy["type"] == "Recreate" {
            true => (0, self.wanted()),
            false => bounds(&strategy["rollingUpdate"], self.wanted()),
        }
    }

    fn work(&self, running: &BTreeMap<Arc<str>, usize>) -> Vec<Action> {
        let paused = self.deployment["spec"]["paused"] == true;
        let mut actions = self.bookkeeping(paused);
        if let Some(scaled) = self.scaling(paused) {
            actions.extend(scaled);
            return actions;
        }
        if paused {
            return actions;
        }
        let Some(new) = &self.new else {
            let still = self.old.iter().any(|set| replicas(set) > 0 || running.contains_key(meta::uid(set)));
            if self.is_recreate() && still {
                actions.extend(self.old.iter().filter(|set| replicas(set) > 0).map(|set| scale(set, 0)));
                return actions;
            }
            actions.push(self.create());
            return actions;
        };
        if self.is_recreate() {
            let still = self.old.iter().any(|set| running.contains_key(meta::uid(set)));
            actions.extend(self.old.iter().filter(|set| replicas(set) > 0).map(|set| scale(set, 0)));
            if !still && replicas(new) != self.wanted() {
                actions.push(scale(new, self.wanted()));
            }
        } else {
            actions.extend(self.roll(new));
        }
        if self.complete() {
            actions.extend(self.cleanup());
        }
        actions
    }

    fn is_recreate(&self) -> bool {
        self.deployment["spec"]["strategy"]["type"] == "Recreate"
    }

    /// Revisions of the new set and of the deployment.
    fn bookkeeping(&self, paused: bool) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(new) = self.new.as_ref().filter(|_| !paused) else { return actions };
        let newest = self.old.iter().map(|set| revision(set)).max().unwrap_or(0);
        let own = revision(new);
        let due = if own > newest { own } else { newest + 1 };
        let mut annotations = self.annotations(due);
        if own != due && own > 0 {
            let history = meta::annotation(new, "deployment.kubernetes.io/revision-history").unwrap_or("");
            let longer = if history.is_empty() { own.to_string() } else { format!("{history},{own}") };
            annotations["deployment.kubernetes.io/revision-history"] = json!(longer);
        }
        let is = |(key, value): (&String, &Value)| value.as_str() == meta::annotation(new, key);
        if !annotations.as_object().into_iter().flatten().all(is) {
            actions.push(Action::Annotate { place: Place::of(new), annotations });
        }
        if revision(self.deployment) != due {
            actions.push(Action::Note { revision: due.to_string() });
        }
        actions
    }

    /// What a set is told: the deployment's own annotations, its revision, and sizes for scaling in proportion.
    fn annotations(&self, revision: i64) -> Value {
        let mut annotations = json!({});
        for (key, value) in meta::annotations(self.deployment) {
            if key != "kubectl.kubernetes.io/last-applied-configuration" && key != REVISION {
                annotations[key] = json!(value);
            }
        }
        annotations[REVISION] = json!(revision.to_string());
        annotations[DESIRED] = json!(self.wanted().to_string());
        annotations[MOST] = json!((self.wanted() + self.bounds().0).to_string());
        annotations
    }

    fn create(&self) -> Action {
        let collisions = meta::int_at(self.deployment, "status.collisionCount");
        let hash = hash(&self.deployment["spec"]["template"], collisions);
        let newest = self.old.iter().map(|set| revision(set)).max().unwrap_or(0);
        let all: i64 = self.old.iter().map(|set| replicas(set)).sum();
        let count =
            if self.is_recreate() { self.wanted() } else { grown(self.wanted(), self.bounds().0, 0, all) };
        let mut template = self.deployment["spec"]["template"].clone();
        meta::fields(meta::entry(&mut template, "metadata.labels")).insert(HASH.to_owned(), json!(hash));
        let mut selector = self.deployment["spec"]["selector"].clone();
        meta::fields(meta::entry(&mut selector, "matchLabels")).insert(HASH.to_owned(), json!(hash));
        let set = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": format!("{}-{hash}", meta::name(self.deployment)),
                "namespace": meta::namespace(self.deployment),
                "labels": template["metadata"]["labels"],
                "annotations": self.annotations(newest + 1),
                "ownerReferences": [controller_reference(self.deployment)],
            },
            "spec": {
                "replicas": count,
                "minReadySeconds": meta::int_at(self.deployment, "spec.minReadySeconds"),
                "selector": selector,
                "template": template,
            },
        });
        Action::Create { set }
    }

    /// Where the deployment's size changed: of one set at once, of several in proportion.
    fn scaling(&self, paused: bool) -> Option<Vec<Action>> {
        let active: Vec<_> = self.all().filter(|set| replicas(set) > 0).collect();
        let told = |set: &Value| meta::annotation(set, DESIRED).and_then(|text| text.parse::<i64>().ok());
        let changed = active.iter().any(|set| told(set).is_some_and(|told| told != self.wanted()));
        if !changed && !paused {
            return None;
        }
        let only = match (&active[..], &self.new) {
            ([one], _) => Some(*one),
            ([], Some(new)) => Some(new),
            _ => None,
        };
        if let Some(only) = only {
            let right = replicas(only) == self.wanted();
            return (!right).then(|| vec![scale(only, self.wanted())]);
        }
        if self.is_recreate() || !changed {
            return None;
        }
        let most = if self.wanted() > 0 { self.wanted() + self.bounds().0 } else { 0 };
        let sum: i64 = active.iter().map(|set| replicas(set)).sum();
        let mut by_size = active.clone();
        by_size.sort_by_key(|set| std::cmp::Reverse(replicas(set)));
        let sizes: Vec<i64> = by_size.iter().map(|set| replicas(set)).collect();
        let mut actions = Vec::new();
        for (set, to) in by_size.iter().zip(proportionally(&sizes, most - sum)) {
            if to != replicas(set) {
                actions.push(scale(set, to));
            }
            let annotations = json!({DESIRED: self.wanted().to_string(), MOST: most.to_string()});
            actions.push(Action::Annotate { place: Place::of(set), annotations });
        }
        Some(actions)
    }

    /// One step of a rolling update: first up, then down.
    fn roll(&self, new: &Arc<Value>) -> Vec<Action> {
        let (surge, unavailable) = self.bounds();
        let all: i64 = self.all().map(|set| replicas(set)).sum();
        let to = if replicas(new) > self.wanted() {
            self.wanted()
        } else {
            grown(self.wanted(), surge, replicas(new), all)
        };
        if to != replicas(new) {
            return vec![scale(new, to)];
        }
        let available = |set: &Value| meta::int_at(set, "status.availableReplicas");
        let least = self.wanted() - unavailable;
        let new_missing = replicas(new) - available(new);
        let mut room = all - least - new_missing;
        let mut targets: Vec<i64> = self.old.iter().map(|set| replicas(set)).collect();
        // Pods that serve nobody go first.
        for (set, target) in self.old.iter().zip(&mut targets) {
            let unhealthy = (*target - available(set)).clamp(0, room.max(0));
            *target -= unhealthy;
            room -= unhealthy;
        }
        let serving: i64 = self.all().map(|set| available(set)).sum();
        let mut spare = (serving - least).min(room).max(0);
        for target in &mut targets {
            let less = (*target).min(spare);
            *target -= less;
            spare -= less;
        }
        let changed = self.old.iter().zip(targets).filter(|(set, target)| replicas(set) != *target);
        changed.map(|(set, target)| scale(set, target)).collect()
    }

    fn complete(&self) -> bool {
        let Some(new) = &self.new else { return false };
        let old: i64 = self.old.iter().map(|set| meta::int_at(set, "status.replicas")).sum();
        meta::int_at(new, "status.replicas") == self.wanted()
            && meta::int_at(new, "status.availableReplicas") == self.wanted()
            && old == 0
    }

    /// Old sets beyond the history's limit.
    fn cleanup(&self) -> Vec<Action> {
        let limit = self.deployment["spec"]["revisionHistoryLimit"].as_u64().unwrap_or(10);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let idle = |set: &&Arc<Value>| {
            replicas(set) == 0
                && meta::int_at(set, "status.replicas") == 0
                && meta::deletion_timestamp(set).is_none()
        };
        let mut idle: Vec<_> = self.old.iter().filter(idle).cloned().collect();
        idle.sort_by_key(|set| revision(set));
        idle.truncate(idle.len().saturating_sub(limit));
        idle.into_iter().map(Action::Delete).collect()
    }

    fn status(&self, actions: &[Action]) -> (Value, Option<Duration>) {
        let sum = |field: &str| -> i64 {
            self.all().map(|set| meta::int_at(set, &format!("status.{field}"))).sum()
        };
        let updated = self.new.as_ref().map_or(0, |new| meta::int_at(new, "status.replicas"));
        let available = sum("availableReplicas");
        let mut status = json!({
            "observedGeneration": meta::generation(self.deployment),
            "replicas": sum("replicas"),
            "updatedReplicas": updated,
            "readyReplicas": sum("readyReplicas"),
            "availableReplicas": available,
            "unavailableReplicas": (self.all().map(|set| replicas(set)).sum::<i64>() - available).max(0),
        });
        let enough = available >= self.wanted() - self.bounds().1;
        let (progress, again) = self.progress(&status, actions);
        let mut conditions = vec![if enough {
            self.condition(
                "Available",
                "True",
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.",
            )
        } else {
            self.condition(
                "Available",
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        }];
        conditions.extend(progress);
        let failing = self.all().find_map(|set| {
            meta::list_at(set, "status.conditions").iter().find(|one| one["type"] == "ReplicaFailure")
        });
        conditions.extend(failing.map(|one| {
            self.condition(
                "ReplicaFailure",
                "True",
                meta::str_at(one, "reason"),
                meta::str_at(one, "message"),
            )
        }));
        status["conditions"] = Value::Array(conditions);
        (status, again)
    }

    /// Whether the rollout gets on, and when it will count as stuck.
    fn progress(&self, status: &Value, actions: &[Action]) -> (Option<Value>, Option<Duration>) {
        let deadline =
            self.deployment["spec"]["progressDeadlineSeconds"].as_i64().unwrap_or(i64::from(i32::MAX));
        if deadline == i64::from(i32::MAX) {
            return (None, None);
        }
        if self.deployment["spec"]["paused"] == true {
            let says = "Deployment is paused";
            return (Some(self.condition("Progressing", "Unknown", "DeploymentPaused", says)), None);
        }
        let name = |set: &Value| meta::name(set).to_owned();
        if self.complete()
            && actions.iter().all(|action| !matches!(action, Action::Create { .. } | Action::Scale { .. }))
        {
            let which = self.new.as_ref().map_or_else(String::new, |new| name(new));
            let says = format!("ReplicaSet \"{which}\" has successfully progressed.");
            return (Some(self.condition("Progressing", "True", "NewReplicaSetAvailable", &says)), None);
        }
        let before = self.before("Progressing");
        let created = actions.iter().find_map(|action| match action {
            Action::Create { set } => Some(name(set)),
            _ => None,
        });
        if let Some(set) = created {
            let says = format!("Created new replica set \"{set}\"");
            return (
                Some(self.moved("Progressing", "True", "NewReplicaSetCreated", &says)),
                seconds(deadline),
            );
        }
        let old = &self.deployment["status"];
        let more = |field: &str| meta::int_at(status, field) > meta::int_at(old, field);
        let fewer_old = meta::int_at(status, "replicas") - meta::int_at(status, "updatedReplicas")
            < meta::int_at(old, "replicas") - meta::int_at(old, "updatedReplicas");
        let which = self.new.as_ref().map_or_else(String::new, |new| name(new));
        if more("updatedReplicas")
            || more("readyReplicas")
            || more("availableReplicas")
            || fewer_old
            || before.is_none()
        {
            let says = format!("ReplicaSet \"{which}\" is progressing.");
            return (Some(self.moved("Progressing", "True", "ReplicaSetUpdated", &says)), seconds(deadline));
        }
        let Some(before) = before else { return (None, None) };
        if before["reason"] == "NewReplicaSetAvailable" {
            return (Some(before.clone()), None);
        }
        let since = before["lastUpdateTime"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let left = since.map_or(0, |since| since.as_second() + deadline - self.now.as_second());
        if left <= 0 || before["reason"] == "ProgressDeadlineExceeded" {
            let says = format!("ReplicaSet \"{which}\" has timed out progressing.");
            return (Some(self.condition("Progressing", "False", "ProgressDeadlineExceeded", &says)), None);
        }
        (Some(before.clone()), seconds(left))
    }

    fn before(&self, kind: &str) -> Option<&Value> {
        meta::list_at(self.deployment, "status.conditions").iter().find(|one| one["type"] == kind)
    }

    /// A condition whose times stay where it says what it said.
    fn condition(&self, kind: &str, status: &str, reason: &str, message: &str) -> Value {
        match self.before(kind) {
            Some(same)
                if same["status"] == status && same["reason"] == reason && same["message"] == message =>
            {
                same.clone()
            }
            _ => self.moved(kind, status, reason, message),
        }
    }

    fn moved(&self, kind: &str, status: &str, reason: &str, message: &str) -> Value {
        let stamp = self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let same_status = self.before(kind).filter(|before| before["status"] == status);
        let transition =
            same_status.map_or_else(|| json!(stamp), |before| before["lastTransitionTime"].clone());
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastUpdateTime": stamp, "lastTransitionTime": transition,
        })
    }
}

fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0) + 1))
}

fn scale(set: &Arc<Value>, to: i64) -> Action {
    Action::Scale { set: Arc::clone(set), to, up: to > replicas(set) }
}

impl Deployments {
    fn owner(&self, set: &Value) -> Vec<Place> {
        let namespace = Place::of(set).namespace;
        let owner = meta::controller(set).map(|owner| owner["uid"].clone());
        let concerned = self.deployments.iter().filter(|(place, deployment)| match &owner {
            Some(owner) => deployment["metadata"]["uid"] == *owner,
            None => place.namespace == namespace && selects(deployment, set),
        });
        concerned.map(|(place, _)| place.clone()).collect()
    }
}

fn selects(deployment: &Value, object: &Value) -> bool {
    LabelSelector::of(&deployment["spec"]["selector"])
        .is_some_and(|selector| selector.matches_labels(&object["metadata"]["labels"]))
}

#[async_trait]
impl Controller for Deployments {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let ours = ["deployments", "replicasets"].iter().any(|plural| resource.is("apps", plural));
        if ours || resource.is("", "pods") { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        if resource.is("", "pods") {
            // Only the last pod of a set counts, for Recreate.
            let pods = self.pods.observe(change);
            let owners: Vec<_> = pods.iter().filter_map(|pod| pod.owner.clone()).collect();
            let sets =
                self.sets.iter().filter(|(_, set)| owners.iter().any(|owner| meta::uid(set) == &**owner));
            let places = sets.flat_map(|(_, set)| self.owner(set)).filter(|place| {
                self.deployments.get(place).is_some_and(|one| one["spec"]["strategy"]["type"] == "Recreate")
            });
            return at_once(places.collect());
        }
        if resource.is("apps", "deployments") {
            return at_once(keep(&mut self.deployments, change));
        }
        let concerned: Vec<Value> = match &change {
            Change::Listed(items) => items.clone(),
            Change::Put(set) | Change::Gone(set) => vec![set.clone()],
        };
        keep(&mut self.sets, change);
        at_once(concerned.iter().flat_map(|set| self.owner(set)).collect())
    }

    fn facts(&self, key: &Place) -> Option<Facts> {
        let deployment = Arc::clone(self.deployments.get(key)?);
        let uid = meta::uid(&deployment);
        let near = self.sets.iter().filter(|(place, _)| place.namespace == key.namespace);
        let (mut sets, mut orphans) = (Vec::new(), Vec::new());
        for (_, set) in near {
            match meta::controller(set) {
                Some(owner) if owner["uid"] == uid => sets.push(Arc::clone(set)),
                None if selects(&deployment, set) && meta::deletion_timestamp(set).is_none() => {
                    orphans.push(Arc::clone(set))
                }
                _ => {}
            }
        }
        let mut running = BTreeMap::new();
        for set in &sets {
            let count =
                self.pods.of(meta::uid(set)).unwrap_or_default().iter().filter(|pod| !pod.ended()).count();
            if count > 0 {
                running.insert(meta::uid(set).into(), count);
            }
        }
        Some(Facts { deployment, sets, orphans, running })
    }

    async fn sync(key: Place, facts: Facts, api: Arc<dyn Api>, now: Timestamp) -> Result<Next, ApiError> {
        let decision = decide(&facts, now);
        for action in decision.actions {
            let noted = matches!(action, Action::Note { .. });
            act(&*api, &key, &facts.deployment, action, now).await?;
            if noted {
                break;
            }
        }
        Ok(decision.again.map_or(Next::Wait, Next::After))
    }
}

async fn act(
    api: &dyn Api,
    key: &Place,
    deployment: &Value,
    action: Action,
    now: Timestamp,
) -> Result<(), ApiError> {
    let sets = known("apps", "v1", "replicasets", "ReplicaSet");
    let deployments = known("apps", "v1", "deployments", "Deployment");
    let merge = |place: Place, patch: Value| Write::Merge { place, subresource: None, patch };
    match action {
        Action::Adopt(set) => {
            let patch = json!({"metadata": {"uid": meta::uid(&set), "ownerReferences": [controller_reference(deployment)]}});
            api.write(&sets, merge(Place::of(&set), patch)).await?;
        }
        Action::Create { set } => {
            let (name, count) = (meta::name(&set).to_owned(), replicas(&set));
            let write = Write::Create { namespace: key.namespace.clone(), object: set.clone() };
            match api.write(&sets, write).await {
                Ok(_) => {
                    let message = format!("Scaled up replica set {name} from 0 to {count}");
                    TELLER.tell(api, deployment, Kind::Normal, "ScalingReplicaSet", &message, now).await;
                }
                // Ours, only not seen yet, or another's: then the name is taken and the next differs.
                Err(error) if error.is_already_exists() => {
                    let there = api.get(&sets, &Place::of(&set), client::View::Whole).await?;
                    let ours = meta::controller(&there)
                        .is_some_and(|owner| owner["uid"] == deployment["metadata"]["uid"]);
                    if ours && plain(&there["spec"]["template"]) == plain(&set["spec"]["template"]) {
                        return Ok(());
                    }
                    let count = meta::int_at(deployment, "status.collisionCount") + 1;
                    api.write(&deployments, with_status(deployment, json!({"collisionCount": count})))
                        .await?;
                }
                Err(error) => return Err(error),
            }
        }
        Action::Scale { set, to, up } => {
            let from = replicas(&set);
            let patch = json!({
                "metadata": {"resourceVersion": meta::resource_version(&set), "annotations": {
                    DESIRED: replicas(deployment).to_string(),
                }},
                "spec": {"replicas": to},
            });
            api.write(&sets, merge(Place::of(&set), patch)).await?;
            let way = if up { "up" } else { "down" };
            let message = format!("Scaled {way} replica set {} from {from} to {to}", meta::name(&set));
            TELLER.tell(api, deployment, Kind::Normal, "ScalingReplicaSet", &message, now).await;
        }
        Action::Annotate { place, annotations } => {
            api.write(&sets, merge(place, json!({"metadata": {"annotations": annotations}}))).await?;
        }
        Action::Note { revision } => {
            let mut object = deployment.clone();
            meta::fields(meta::entry(&mut object, "metadata.annotations"))
                .insert(REVISION.to_owned(), json!(revision));
            let update = Write::Update { place: key.clone(), subresource: None, object };
            // The status is written by the sync that follows: this version is gone.
            api.write(&deployments, update).await?;
        }
        Action::Delete(set) => {
            let delete = Write::Delete {
                place: Place::of(&set),
                propagation: Propagation::Background,
                uid: Some(meta::uid(&set).to_owned()),
                resource_version: None,
            };
            client::found(api.write(&sets, delete).await)?;
        }
        Action::Status(status) => {
            api.write(&deployments, with_status(deployment, status)).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) fn decided(deployment: &Value, sets: &[Value]) -> Vec<String> {
    let facts = Facts {
        deployment: Arc::new(deployment.clone()),
        sets: sets.iter().cloned().map(Arc::new).collect(),
        orphans: Vec::new(),
        running: BTreeMap::new(),
    };
    let said = |action: Action| match action {
        Action::Create { set } => format!("create {}", replicas(&set)),
        Action::Scale { set, to, .. } => format!("{} {} -> {to}", meta::name(&set), replicas(&set)),
        Action::Delete(set) => format!("delete {}", meta::name(&set)),
        Action::Note { revision } => format!("revision {revision}"),
        Action::Annotate { place, .. } => format!("annotate {}", place.name),
        Action::Adopt(set) => format!("adopt {}", meta::name(&set)),
        Action::Status(_) => "status".to_owned(),
    };
    decide(&facts, Timestamp::UNIX_EPOCH).actions.into_iter().map(said).collect()
}
