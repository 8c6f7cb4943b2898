//! StatefulSets keep pods with names that stay: one after another, from 0 up and from the last
//! down (upstream's statefulset-controller). Claims are refused by nodes until there are volumes.

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
use super::{Owned, PodState, keep};
use crate::events::{Teller, known};
use crate::service_account::now as at_once;
use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Resource, View};

const TELLER: Teller = Teller { component: "statefulset-controller" };
const HASH: &str = "controller-revision-hash";
const NAME: &str = "statefulset.kubernetes.io/pod-name";
/// The label of a ControllerRevision.
const REVISION_HASH: &str = "controller.kubernetes.io/hash";
const INDEX: &str = "apps.kubernetes.io/pod-index";

/// The controller.
#[derive(Debug, Default)]
pub struct StatefulSets {
    sets: Projection<Arc<Value>>,
    pods: Owned,
    revisions: Revisions,
}

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    set: Arc<Value>,
    pods: Vec<PodState>,
    revisions: Vec<Arc<Value>>,
    writer: Writer,
}

#[derive(Debug, Default)]
struct Decision {
    make: Vec<Value>,
    remove: Vec<PodState>,
    status: Value,
    again: Option<Duration>,
}

/// The number at the end of a pod's name, if it is one of the set's.
fn ordinal(set: &str, pod: &PodState) -> Option<i64> {
    pod.place.name.strip_prefix(set)?.strip_prefix('-')?.parse().ok()
}

fn pod_of(set: &Value, template: &Value, writer: &Writer, ordinal: i64, revision: &str) -> Value {
    let name = format!("{}-{ordinal}", meta::name(set));
    let mut pod = writer.pod(template);
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("generateName");
        metadata.insert("name".to_owned(), json!(name));
    }
    let labels = meta::fields(meta::entry(&mut pod, "metadata.labels"));
    for (key, value) in [(HASH, revision), (NAME, name.as_str()), (INDEX, &ordinal.to_string())] {
        labels.insert(key.to_owned(), json!(value));
    }
    meta::put(&mut pod, "spec.hostname", name.as_str());
    let subdomain = meta::str_at(set, "spec.serviceName");
    if !subdomain.is_empty() {
        meta::put(&mut pod, "spec.subdomain", subdomain);
    }
    let mut volumes = meta::list_at(&pod, "spec.volumes").to_vec();
    for claim in meta::list_at(set, "spec.volumeClaimTemplates") {
        let volume = meta::name(claim);
        volumes.retain(|one| one["name"] != volume);
        volumes.push(
            json!({"name": volume, "persistentVolumeClaim": {"claimName": format!("{volume}-{name}")}}),
        );
    }
    if !volumes.is_empty() {
        meta::put(&mut pod, "spec.volumes", volumes);
    }
    pod
}

/// The revision that pods below the partition keep: the one that was whole last.
fn names(set: &Value) -> (String, String) {
    let name = meta::name(set);
    let update =
        format!("{name}-{}", hash(&set["spec"]["template"], meta::int_at(set, "status.collisionCount")));
    let current = meta::str_at(set, "status.currentRevision");
    (if current.is_empty() { update.clone() } else { current.to_owned() }, update)
}

/// `before` is the template of the current revision: pods below the partition are of it.
fn decide(
    set: &Value,
    before: Option<&Value>,
    pods: Vec<PodState>,
    writer: &Writer,
    now: Timestamp,
) -> Decision {
    let mut decision = Decision::default();
    let name = meta::name(set);
    let first = meta::int_at(set, "spec.ordinals.start");
    let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1);
    let min_ready = meta::int_at(set, "spec.minReadySeconds");
    let parallel = set["spec"]["podManagementPolicy"] == "Parallel";
    let (current, update) = names(set);
    let mut there: Vec<(i64, PodState)> =
        pods.into_iter().filter_map(|pod| Some((ordinal(name, &pod)?, pod))).collect();
    there.sort_by_key(|(ordinal, _)| *ordinal);
    let find = |ordinal: i64| there.iter().find(|(one, _)| *one == ordinal).map(|(_, pod)| pod);
    let well = |pod: &PodState| pod.active() && pod.available(min_ready, now);
    let deleting = meta::deletion_timestamp(set).is_some();
    let partition = meta::int_at(set, "spec.updateStrategy.rollingUpdate.partition");
    let mut blocked = deleting;
    for ordinal in (first..first + wanted).take_while(|_| !deleting) {
        match find(ordinal) {
            None => {
                let held = before.filter(|_| current != update && ordinal < first + partition);
                let (template, revision) = match held {
                    Some(template) => (template, &current),
                    None => (&set["spec"]["template"], &update),
                };
                decision.make.push(pod_of(set, template, writer, ordinal, revision));
                blocked = true;
            }
            Some(pod) if pod.ended() && !pod.deleting => {
                decision.remove.push(pod.clone());
                blocked = true;
            }
            Some(pod) if !well(pod) => blocked = true,
            Some(_) => {}
        }
        if blocked && !parallel {
            break;
        }
    }
    let surplus: Vec<&PodState> = there
        .iter()
        .rev()
        .filter(|(one, _)| *one >= first + wanted || *one < first)
        .map(|(_, pod)| pod)
        .collect();
    if !deleting && (parallel || !blocked) && decision.make.is_empty() {
        let leaving = surplus.iter().filter(|pod| !pod.deleting).map(|pod| (*pod).clone());
        if parallel {
            decision.remove.extend(leaving);
        } else if surplus.iter().all(|pod| !pod.deleting) {
            // One that is not well holds back those before it, unless it is the first of them.
            let sick = there.iter().map(|(_, pod)| pod).find(|pod| !well(pod));
            let may_go = |pod: &PodState| well(pod) || sick.is_some_and(|first| first.uid == pod.uid);
            decision.remove.extend(leaving.take(1).filter(may_go));
        }
    }
    let strategy = &set["spec"]["updateStrategy"];
    if !deleting
        && strategy["type"] != "OnDelete"
        && decision.make.is_empty()
        && decision.remove.is_empty()
        && surplus.is_empty()
    {
        // From the last down; one that is not well holds the others back.
        for (_, pod) in there.iter().rev().filter(|(one, _)| *one >= first + partition) {
            if pod.labels[HASH] != update.as_str() {
                if !pod.deleting {
                    decision.remove.push(pod.clone());
                }
                break;
            }
            if !well(pod) {
                break;
            }
        }
    }
    decision.status = status(set, &there, (&current, &update), wanted, &well);
    let ripens =
        there.iter().filter_map(|(_, pod)| pod.ready_since.filter(|_| !pod.available(min_ready, now))).min();
    decision.again = ripens.map(|since| {
        Duration::from_secs(
            u64::try_from(since.as_second() + min_ready - now.as_second()).unwrap_or(0).max(1),
        )
    });
    decision
}

fn status(
    set: &Value,
    there: &[(i64, PodState)],
    (current, update): (&str, &str),
    wanted: i64,
    well: &dyn Fn(&PodState) -> bool,
) -> Value {
    let count = |is: &dyn Fn(&PodState) -> bool| {
        i64::try_from(there.iter().filter(|(_, pod)| is(pod)).count()).unwrap_or(i64::MAX)
    };
    let updated = count(&|pod| pod.active() && pod.labels[HASH] == update);
    let whole = updated == wanted && count(&|pod| well(pod)) == wanted;
    let current = if whole { update } else { current };
    json!({
        "replicas": count(&|pod| !pod.ended()),
        "readyReplicas": count(&|pod| pod.active() && pod.ready()),
        "availableReplicas": count(&|pod| well(pod)),
        "currentReplicas": count(&|pod| pod.active() && pod.labels[HASH] == current),
        "updatedReplicas": updated,
        "currentRevision": current,
        "updateRevision": update,
        "observedGeneration": meta::generation(set),
        "collisionCount": meta::int_at(set, "status.collisionCount"),
    })
}

#[async_trait]
impl Controller for StatefulSets {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let ours =
            resource.is("apps", "statefulsets") || resource.is("", "pods") || revisions::is_theirs(resource);
        if ours { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        if revisions::is_theirs(resource) {
            self.revisions.observe(change);
            return at_once(Vec::new());
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
        let (revisions, writer) = (self.revisions.of(set), self.pods.writer(set, TELLER));
        Some(Facts { set: Arc::clone(set), pods, revisions, writer })
    }

    async fn sync(_key: Place, facts: Facts, api: Arc<dyn Api>, now: Timestamp) -> Result<Next, ApiError> {
        let Facts { set, pods, revisions, writer } = facts;
        let (current, update) = names(&set);
        if meta::deletion_timestamp(&set).is_none() {
            let named = |pod: &PodState| pod.labels[HASH].as_str().unwrap_or_default().to_owned();
            let used = pods.iter().map(named).chain([current.clone(), update.clone()]).collect();
            let hash = update.strip_prefix(&format!("{}-", meta::name(&set))).unwrap_or_default();
            revisions::carry_out(revisions::decide(&set, &revisions, hash, REVISION_HASH, &used), &*api)
                .await?;
        }
        let before =
            revisions.iter().find(|one| meta::name(one) == current).map(|one| revisions::template(one));
        let decision = decide(&set, before.as_ref(), pods, &writer, now);
        writer.remove(&*api, &decision.remove, now).await?;
        writer.make(&*api, decision.make, now).await?;
        if differs(&set["status"], &decision.status) {
            let resource = known("apps", "v1", "statefulsets", "StatefulSet");
            api.write(&resource, with_status(&set, decision.status)).await?;
        }
        Ok(decision.again.map_or(Next::Wait, Next::After))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(image: &str, extra: Value) -> Value {
        let mut spec = json!({"replicas": 3, "serviceName": "db", "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"image": image}]}}});
        if let (Some(spec), Some(extra)) = (spec.as_object_mut(), extra.as_object()) {
            spec.extend(extra.clone());
        }
        json!({"metadata": {"name": "db", "namespace": "n", "uid": "u"}, "spec": spec, "status": {}})
    }

    fn pod(set: &Value, ordinal: i64, ready: bool) -> PodState {
        PodState::read(&json!({
            "metadata": {"name": format!("db-{ordinal}"), "namespace": "n", "uid": ordinal.to_string(), "labels": {HASH: names(set).1}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": "1970-01-01T00:00:00Z"}]},
        }))
    }

    fn said(set: &Value, pods: Vec<PodState>) -> (Vec<String>, Vec<String>) {
        let writer = Owned::default().writer(set, TELLER);
        let decision = decide(set, None, pods, &writer, Timestamp::UNIX_EPOCH);
        let made = decision.make.iter().map(|pod| meta::name(pod).to_owned()).collect();
        (made, decision.remove.iter().map(|pod| pod.place.name.to_string()).collect())
    }

    #[test]
    fn pods_come_in_order_and_go_in_reverse() {
        let plain = set("1", json!({}));
        let at =
            |ordinals: &[i64]| ordinals.iter().map(|ordinal| pod(&plain, *ordinal, true)).collect::<Vec<_>>();
        let strings = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        assert_eq!(said(&plain, vec![]), (strings(&["db-0"]), vec![]));
        assert_eq!(said(&plain, at(&[0])), (strings(&["db-1"]), vec![]));
        assert_eq!(said(&plain, vec![pod(&plain, 0, false)]), (vec![], vec![]), "the first is waited for");
        assert_eq!(
            said(&set("1", json!({"podManagementPolicy": "Parallel"})), vec![]).0,
            ["db-0", "db-1", "db-2"]
        );
        assert_eq!(said(&plain, at(&[0, 1, 2, 3, 4])), (vec![], strings(&["db-4"])));
        assert_eq!(said(&set("1", json!({"ordinals": {"start": 5}, "replicas": 1})), vec![]).0, ["db-5"]);
        let none = set("1", json!({"replicas": 0}));
        let (well, sick) = (|at| pod(&plain, at, true), |at| pod(&plain, at, false));
        assert_eq!(
            said(&none, vec![sick(0), sick(1)]),
            (vec![], vec![]),
            "not while more than one is not well"
        );
        assert_eq!(said(&none, vec![sick(0), well(1)]), (vec![], strings(&["db-1"])));
        assert_eq!(said(&none, vec![sick(0)]), (vec![], strings(&["db-0"])));
        let new = set("2", json!({}));
        assert_eq!(said(&new, at(&[0, 1, 2])), (vec![], strings(&["db-2"])));
        let half = vec![pod(&plain, 0, true), pod(&plain, 1, true), pod(&new, 2, false)];
        assert_eq!(said(&new, half), (vec![], vec![]), "the new one is waited for");
        let part =
            set("2", json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}}));
        assert_eq!(said(&part, at(&[0, 1, 2])), (vec![], vec![]));
    }
}
