//! Jobs run pods until enough of them have done well (upstream's job-controller).
//!
//! A pod that ended is counted once: its finalizer keeps it until it is in the status.

mod tally;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use api::selector::LabelSelector;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::tally::{End, Tally};
pub(super) use self::tally::{INDEX_FAILURES, failure};
use super::owned::{Writer, controller_reference};
use super::replica_set::{differs, with_status};
use super::{Owned, PodState, keep};
use crate::events::{Kind, Teller, known};
use crate::service_account::now as at_once;
use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Resource, View, Write};

const TELLER: Teller = Teller { component: "job-controller" };
const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Upstream's back-off between failures.
const FIRST_BACKOFF: i64 = 10;
const LONGEST_BACKOFF: i64 = 600;

/// The controller.
#[derive(Debug, Default)]
pub struct Jobs {
    jobs: Projection<Arc<Value>>,
    pods: Owned,
}

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    job: Option<(Arc<Value>, Vec<PodState>, Writer)>,
    /// Pods that nobody owns and that the Job selects.
    free: Vec<PodState>,
    /// Pods that a Job of this name left when it went: their finalizer holds them.
    left: Vec<PodState>,
}

/// What is to be done.
#[derive(Debug, Default)]
struct Decision {
    make: Vec<Value>,
    remove: Vec<PodState>,
    /// Pods that are counted: their finalizer goes once the status is written.
    release: Vec<PodState>,
    status: Value,
    event: Option<(Kind, &'static str, String)>,
    again: Option<Duration>,
}

fn ended(condition: &Value) -> bool {
    matches!(condition["type"].as_str(), Some("Complete" | "Failed")) && condition["status"] == "True"
}

/// Whether a Job has ended.
fn is_finished(job: &Value) -> bool {
    meta::list_at(job, "status.conditions").iter().any(ended)
}

fn stamp(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn condition(kind: &str, reason: &str, message: &str, now: Timestamp) -> Value {
    json!({
        "type": kind, "status": "True", "reason": reason, "message": message,
        "lastProbeTime": stamp(now), "lastTransitionTime": stamp(now),
    })
}

/// Ranges of indexes, `0,2-4`.
fn ranges(indexes: &BTreeSet<i64>) -> String {
    let mut all: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match all.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => all.push((*index, *index)),
        }
    }
    let one = |(first, last): &(i64, i64)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    all.iter().map(one).collect::<Vec<_>>().join(",")
}

fn parsed(ranges: &str) -> BTreeSet<i64> {
    let mut all = BTreeSet::new();
    for part in ranges.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) {
            all.extend(first..=last);
        }
    }
    all
}

fn decide(job: &Value, pods: Vec<PodState>, writer: &Writer, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let spec = &job["spec"];
    let finished = is_finished(job);
    let indexed = tally::is_indexed(job);
    let tally = tally::count(job, &pods, finished);
    let active: Vec<&PodState> = pods.iter().filter(|pod| pod.active()).collect();
    let completions = spec["completions"].as_i64();
    let started = meta::str_at(job, "status.startTime").parse::<Timestamp>().ok();
    let suspended = spec["suspend"] == true;
    let deadline = spec["activeDeadlineSeconds"].as_i64().filter(|_| !suspended);
    let left =
        started.zip(deadline).map(|(started, seconds)| started.as_second() + seconds - now.as_second());
    let restarts: i64 = if spec["template"]["spec"]["restartPolicy"] == "OnFailure" {
        active.iter().map(|pod| pod.restarts).sum()
    } else {
        0
    };
    let may_end = !finished && meta::deletion_timestamp(job).is_none();
    let end = if may_end { tally.end(job, active.len(), restarts, left, now) } else { None };
    let goes_on = end.is_none() && !finished && !suspended && meta::deletion_timestamp(job).is_none();
    if goes_on {
        let parallel = spec["parallelism"].as_i64().unwrap_or(1);
        let missing = match completions {
            Some(completions) => {
                parallel.min(completions - tally.succeeded - i64::try_from(tally.lost.len()).unwrap_or(0))
            }
            None if tally.succeeded > 0 => 0,
            None => parallel,
        };
        let running = i64::try_from(active.len()).unwrap_or(i64::MAX);
        let wait = backoff(tally.failed, tally.newest_failure, now);
        if running < missing && wait > 0 {
            decision.again = Some(Duration::from_secs(u64::try_from(wait).unwrap_or(1)));
        } else if running < missing {
            let count = usize::try_from(missing - running).unwrap_or(0);
            decision.make = templates(job, writer, &tally, &pods, count);
        } else if running > missing.max(0) && completions.is_some() {
            let surplus = usize::try_from(running - missing.max(0)).unwrap_or(0);
            decision.remove = active.iter().rev().take(surplus).map(|pod| (*pod).clone()).collect();
        }
        let until = left.and_then(|left| u64::try_from(left).ok()).map(Duration::from_secs);
        decision.again = decision.again.into_iter().chain(until).min();
    } else if !finished {
        decision.remove = active.iter().map(|pod| (*pod).clone()).collect();
    }
    let running = if goes_on { active.len() - decision.remove.len() + decision.make.len() } else { 0 };
    decision.status = status(job, running, &active, tally.succeeded, tally.failed, now);
    if indexed {
        decision.status["completedIndexes"] = json!(ranges(&tally.done));
        if spec["backoffLimitPerIndex"].is_i64() {
            decision.status["failedIndexes"] = json!(ranges(&tally.lost));
        }
    }
    let terminating = pods.iter().filter(|pod| pod.deleting && !pod.ended()).count();
    decision.status["terminating"] = json!(terminating + decision.remove.len());
    decision.release = tally.release;
    if let Some(End { condition, kind, reason, says }) = end {
        let mut conditions = meta::list_at(job, "status.conditions").to_vec();
        if condition["type"] == "Complete" {
            decision.status["completionTime"] = json!(stamp(now));
        }
        let (before, message) = match condition["type"].as_str() {
            Some("Complete") => ("SuccessCriteriaMet", condition["message"].clone()),
            _ => ("FailureTarget", condition["message"].clone()),
        };
        let mut target = condition.clone();
        target["type"] = json!(before);
        target["message"] = message;
        conditions.extend([target, condition]);
        decision.status["conditions"] = Value::Array(conditions);
        decision.event = Some((kind, reason, says));
    } else {
        suspension(job, suspended, &mut decision, now);
    }
    decision
}

/// Notes that a Job is suspended or goes on again.
fn suspension(job: &Value, suspended: bool, decision: &mut Decision, now: Timestamp) {
    let mut conditions = meta::list_at(job, "status.conditions").to_vec();
    let was = conditions.iter().position(|one| one["type"] == "Suspended");
    let is_said = was.is_some_and(|index| (conditions[index]["status"] == "True") == suspended);
    if is_said || (was.is_none() && !suspended) || is_finished(job) {
        return;
    }
    let (status, reason, says) = if suspended {
        ("True", "JobSuspended", "Job suspended")
    } else {
        ("False", "JobResumed", "Job resumed")
    };
    let mut fresh = condition("Suspended", reason, says, now);
    fresh["status"] = json!(status);
    match was {
        Some(index) => conditions[index] = fresh,
        None => conditions.push(fresh),
    }
    decision.status["conditions"] = Value::Array(conditions);
    decision.event = Some((Kind::Normal, if suspended { "Suspended" } else { "Resumed" }, says.to_owned()));
}

fn status(
    job: &Value,
    running: usize,
    active: &[&PodState],
    succeeded: i64,
    failed: i64,
    now: Timestamp,
) -> Value {
    let ready = active.iter().filter(|pod| pod.ready()).count();
    let mut status = json!({
        "active": running,
        "ready": ready,
        "succeeded": succeeded,
        "failed": failed,
        "terminating": 0,
        "uncountedTerminatedPods": {},
    });
    let suspended = job["spec"]["suspend"] == true;
    let known = job["status"]["startTime"].clone();
    status["startTime"] = if known.is_null() && !suspended { json!(stamp(now)) } else { known };
    status
}

fn backoff(failed: i64, newest: Option<Timestamp>, now: Timestamp) -> i64 {
    let Some(newest) = newest.filter(|_| failed > 0) else { return 0 };
    let wait = (FIRST_BACKOFF << (failed - 1).min(16)).min(LONGEST_BACKOFF);
    newest.as_second() + wait - now.as_second()
}

fn templates(job: &Value, writer: &Writer, tally: &Tally, pods: &[PodState], count: usize) -> Vec<Value> {
    let mut template = job["spec"]["template"].clone();
    meta::put(&mut template, "metadata.finalizers", vec![json!(TRACKING)]);
    if !tally::is_indexed(job) {
        return vec![writer.pod(&template); count];
    }
    let taken: BTreeSet<i64> = pods.iter().filter(|pod| pod.active()).filter_map(|pod| pod.index).collect();
    let ended = |index: &i64| tally.done.contains(index) || tally.lost.contains(index);
    let completions = job["spec"]["completions"].as_i64().unwrap_or(0);
    let free = (0..completions).filter(|index| !ended(index) && !taken.contains(index));
    let failures = |index: i64| {
        let failed = pods.iter().filter(|pod| pod.index == Some(index) && &*pod.phase == "Failed");
        failed.map(|pod| pod.index_failures + 1).max().unwrap_or(0)
    };
    let one = |index: i64| {
        let mut pod = writer.pod(&template);
        for field in ["annotations", "labels"] {
            meta::fields(meta::entry(&mut pod, &format!("metadata.{field}")))
                .insert(INDEX.to_owned(), json!(index.to_string()));
        }
        if job["spec"]["backoffLimitPerIndex"].is_i64() {
            meta::fields(meta::entry(&mut pod, "metadata.annotations"))
                .insert(INDEX_FAILURES.to_owned(), json!(failures(index).to_string()));
        }
        let name = meta::name(job);
        pod["metadata"]["generateName"] = json!(format!("{name}-{index}-"));
        pod["spec"]["hostname"] = json!(format!("{name}-{index}"));
        for list in ["containers", "initContainers"] {
            for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
                let variable = json!({"name": "JOB_COMPLETION_INDEX", "value": index.to_string()});
                match container["env"].as_array_mut() {
                    Some(all) => all.push(variable),
                    None => container["env"] = json!([variable]),
                }
            }
        }
        pod
    };
    free.take(count).map(one).collect()
}

fn is_tracked(pod: &PodState) -> bool {
    pod.finalizers.iter().any(|one| one == TRACKING)
}

/// Where the Job of a pod is or was.
fn job_of(pod: &PodState) -> Option<Place> {
    Some(Place { namespace: pod.place.namespace.clone(), name: pod.labels[JOB_NAME].as_str()?.into() })
}

/// A pod's finalizers that are not ours.
fn others(pod: &PodState) -> Vec<&String> {
    pod.finalizers.iter().filter(|one| *one != TRACKING).collect()
}

/// Takes the finalizer away: what it held the pod for is written, or nobody is there to write it.
async fn release(api: &dyn Api, pod: &PodState) -> Result<(), ApiError> {
    let patch = json!({"metadata": {"uid": &*pod.uid, "finalizers": others(pod)}});
    let write = Write::Merge { place: pod.place.clone(), subresource: None, patch };
    client::found(api.write(&known("", "v1", "pods", "Pod"), write).await)?;
    Ok(())
}

/// Makes a pod the Job's, held until it is counted.
async fn adopt(api: &dyn Api, job: &Value, pod: &PodState) -> Result<(), ApiError> {
    let finalizers: Vec<&str> = pod.finalizers.iter().map(String::as_str).chain([TRACKING]).collect();
    let owner = [controller_reference(job)];
    let patch = json!({"metadata": {"uid": &*pod.uid, "ownerReferences": owner, "finalizers": finalizers}});
    let write = Write::Merge { place: pod.place.clone(), subresource: None, patch };
    client::found(api.write(&known("", "v1", "pods", "Pod"), write).await)?;
    Ok(())
}

impl Jobs {
    /// Jobs whose pods these are, or may become.
    fn concerned(&self, pods: &[PodState]) -> Vec<Place> {
        let fits = |job: &Value, place: &Place, pod: &PodState| match &pod.owner {
            Some(owner) => meta::uid(job) == &**owner,
            None => {
                place.namespace == pod.place.namespace
                    && LabelSelector::of(&job["spec"]["selector"])
                        .is_some_and(|s| s.matches_labels(&pod.labels))
            }
        };
        let all = self.jobs.iter().filter(|(place, job)| pods.iter().any(|pod| fits(job, place, pod)));
        all.map(|(place, _)| place.clone()).collect()
    }

    /// Pods of a Job of this name that is not the one of this uid, if there is one at all.
    fn left(&self, key: &Place, uid: Option<&str>) -> Vec<PodState> {
        let labels = json!({"matchLabels": {JOB_NAME: &*key.name}});
        let all = self.pods.within(&key.namespace, &LabelSelector::of(&labels).unwrap_or_default());
        all.into_iter().filter(|pod| is_tracked(pod) && pod.owner.as_deref() != uid).collect()
    }
}

#[async_trait]
impl Controller for Jobs {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let ours = resource.is("batch", "jobs") || resource.is("", "pods");
        if ours { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        if resource.is("", "pods") {
            let pods = self.pods.observe(change);
            let mut due: Vec<Place> = pods.iter().filter(|pod| is_tracked(pod)).filter_map(job_of).collect();
            due.extend(self.concerned(&pods));
            due.sort();
            due.dedup();
            return at_once(due);
        }
        let gone = if let Change::Gone(job) = &change { Some(Place::of(job)) } else { None };
        at_once(keep(&mut self.jobs, change).into_iter().chain(gone).collect())
    }

    fn facts(&self, key: &Place) -> Option<Facts> {
        let Some(job) = self.jobs.get(key) else {
            return Some(Facts { job: None, free: Vec::new(), left: self.left(key, None) });
        };
        if job["spec"]["managedBy"].as_str().is_some_and(|by| by != "kubernetes.io/job-controller") {
            return None;
        }
        let pods = self.pods.of(meta::uid(job))?;
        let left = self.left(key, Some(meta::uid(job)));
        let selector = LabelSelector::of(&job["spec"]["selector"]).unwrap_or_default();
        let ours = |pod: &PodState| !selector.is_empty() && selector.matches_labels(&pod.labels);
        let mut free = self.pods.orphans(&key.namespace);
        free.retain(|pod| ours(pod) && !is_finished(job) && meta::deletion_timestamp(job).is_none());
        Some(Facts { job: Some((Arc::clone(job), pods, self.pods.writer(job, TELLER))), free, left })
    }

    async fn sync(_key: Place, facts: Facts, api: Arc<dyn Api>, now: Timestamp) -> Result<Next, ApiError> {
        for pod in &facts.left {
            release(&*api, pod).await?;
        }
        let Some((job, mut pods, writer)) = facts.job else { return Ok(Next::Wait) };
        for pod in &facts.free {
            adopt(&*api, &job, pod).await?;
        }
        let selector = LabelSelector::of(&job["spec"]["selector"]).unwrap_or_default();
        let (ours, strangers): (Vec<_>, Vec<_>) =
            pods.into_iter().partition(|pod| selector.is_empty() || selector.matches_labels(&pod.labels));
        for pod in strangers.iter().filter(|pod| !pod.deleting) {
            writer.claim(&*api, pod, false).await?;
            release(&*api, pod).await?;
        }
        pods = ours;
        pods.extend(facts.free);
        let decision = decide(&job, pods, &writer, now);
        writer.remove(&*api, &decision.remove, now).await?;
        if differs(&job["status"], &decision.status) {
            let resource = known("batch", "v1", "jobs", "Job");
            api.write(&resource, with_status(&job, decision.status)).await?;
            if let Some((kind, reason, says)) = decision.event {
                TELLER.tell(&*api, &job, kind, reason, &says, now).await;
            }
        }
        // Only what is in the status may be forgotten.
        for pod in &decision.release {
            writer.release(&*api, pod, &others(pod)).await?;
        }
        writer.make(&*api, decision.make, now).await?;
        Ok(decision.again.map_or(Next::Wait, Next::After))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(extra: Value, status: Value) -> Value {
        let mut spec = json!({"completions": 2, "parallelism": 2, "template": {"metadata": {}, "spec": {"restartPolicy": "Never", "containers": [{"name": "a"}]}}});
        if let (Some(spec), Some(extra)) = (spec.as_object_mut(), extra.as_object()) {
            spec.extend(extra.clone());
        }
        json!({"metadata": {"name": "j", "namespace": "d", "uid": "u"}, "spec": spec, "status": status})
    }

    fn pod(name: &str, phase: &str, index: Option<i64>) -> PodState {
        let annotations = index.map_or(json!({}), |index| json!({INDEX: index.to_string()}));
        PodState::read(&json!({
            "metadata": {"name": name, "namespace": "d", "uid": name, "finalizers": [TRACKING], "annotations": annotations,
                "creationTimestamp": "1970-01-01T00:00:00Z"},
            "status": {"phase": phase},
        }))
    }

    fn told(job: &Value, pods: Vec<PodState>, second: i64) -> (usize, usize, usize, String) {
        let writer = Owned::default().writer(job, TELLER);
        let decision = decide(job, pods, &writer, Timestamp::from_second(second).unwrap());
        let end = meta::list_at(&json!({"s": decision.status}), "s.conditions")
            .last()
            .map_or("", |one| meta::str_at(one, "reason"))
            .to_owned();
        (decision.make.len(), decision.remove.len(), decision.release.len(), end)
    }

    #[test]
    fn pods_are_made_until_enough_have_done_well() {
        let plain = job(json!({}), json!({}));
        let cases = [
            ("first", plain.clone(), vec![], 0, (2, 0, 0, "")),
            (
                "one done",
                plain.clone(),
                vec![pod("a", "Succeeded", None), pod("b", "Running", None)],
                0,
                (0, 0, 1, ""),
            ),
            (
                "both done",
                plain.clone(),
                vec![pod("a", "Succeeded", None), pod("b", "Succeeded", None)],
                0,
                (0, 0, 2, "CompletionsReached"),
            ),
            ("a failure waits", plain.clone(), vec![pod("a", "Failed", None)], 5, (0, 0, 1, "")),
            ("and is tried again", plain.clone(), vec![pod("a", "Failed", None)], 10, (2, 0, 1, "")),
            (
                "no more tries",
                job(json!({"backoffLimit": 0}), json!({})),
                vec![pod("a", "Failed", None), pod("b", "Running", None)],
                10,
                (0, 1, 1, "BackoffLimitExceeded"),
            ),
            (
                "suspended",
                job(json!({"suspend": true}), json!({})),
                vec![pod("a", "Running", None)],
                0,
                (0, 1, 0, "JobSuspended"),
            ),
            (
                "late",
                job(json!({"activeDeadlineSeconds": 5}), json!({"startTime": "1970-01-01T00:00:00Z"})),
                vec![pod("a", "Running", None)],
                6,
                (0, 1, 0, "DeadlineExceeded"),
            ),
        ];
        for (scene, job, pods, second, (make, remove, release, end)) in cases {
            assert_eq!(told(&job, pods, second), (make, remove, release, end.to_owned()), "{scene}");
        }
    }

    #[test]
    fn pods_that_a_job_left_are_let_go_and_those_of_another_of_its_name_are_kept() {
        let raw = |uid: &str, owner: &str| {
            json!({"metadata": {"name": uid, "namespace": "d", "uid": uid, "finalizers": [TRACKING], "labels": {JOB_NAME: "j"},
                "ownerReferences": [{"uid": owner, "controller": true}]}})
        };
        let mut jobs = Jobs::default();
        let resource = |group: &str, plural: &str| Arc::new(known(group, "v1", plural, ""));
        let due =
            jobs.observe(&resource("", "pods"), Change::Listed(vec![raw("a", "u"), raw("b", "before")]));
        assert_eq!(due.len(), 1, "{due:?}");
        let left = |jobs: &Jobs| -> Vec<String> {
            let facts = jobs.facts(&Place::within("d", "j")).unwrap();
            facts.left.iter().map(|pod| pod.place.name.to_string()).collect()
        };
        assert_eq!(left(&jobs), ["a", "b"]);
        jobs.observe(&resource("batch", "jobs"), Change::Put(job(json!({}), json!({}))));
        assert_eq!(left(&jobs), ["b"]);
    }

    #[test]
    fn each_index_is_done_once() {
        let indexed = job(
            json!({"completionMode": "Indexed", "completions": 4, "parallelism": 4}),
            json!({"completedIndexes": "0"}),
        );
        let writer = Owned::default().writer(&indexed, TELLER);
        let pods = vec![pod("b", "Succeeded", Some(2)), pod("c", "Running", Some(1))];
        let decision = decide(&indexed, pods, &writer, Timestamp::UNIX_EPOCH);
        assert_eq!(decision.status["completedIndexes"], "0,2");
        let made: Vec<_> =
            decision.make.iter().map(|pod| pod["metadata"]["annotations"][INDEX].as_str().unwrap()).collect();
        assert_eq!(made, ["3"]);
        assert_eq!(ranges(&parsed("0,2-4,9")), "0,2-4,9");
    }
}
