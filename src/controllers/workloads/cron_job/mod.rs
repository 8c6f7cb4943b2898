//! CronJobs make Jobs by the clock (upstream's cronjob-controller).
//!
//! Of the times that were missed only the last is made up for, and a Job is named by its time: it
//! cannot be made twice.

mod schedule;

use std::sync::Arc;
use std::time::Duration;

use api::meta;
use async_trait::async_trait;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use self::schedule::Schedule;
use super::keep;
use super::owned::controller_reference;
use super::replica_set::{differs, with_status};
use crate::events::{Kind, Teller, known};
use crate::service_account::now as at_once;
use crate::{
    Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Propagation, Resource, View, Write,
};

const TELLER: Teller = Teller { component: "cronjob-controller" };
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More missed times than this are told of.
const MANY: usize = 100;

/// The controller.
#[derive(Debug, Default)]
pub struct CronJobs {
    crons: Projection<Arc<Value>>,
    jobs: Projection<Arc<Value>>,
}

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    cron: Arc<Value>,
    jobs: Vec<Arc<Value>>,
}

/// What is to be done, in this order.
#[derive(Debug, Default)]
struct Decision {
    events: Vec<(Kind, &'static str, String)>,
    /// Jobs that have to go.
    delete: Vec<Place>,
    create: Option<Value>,
    status: Value,
    again: Option<Duration>,
}

fn ended(job: &Value) -> Option<&str> {
    let all = meta::list_at(job, "status.conditions").iter();
    let mut ends = all.filter(|one| one["status"] == "True").filter_map(|one| one["type"].as_str());
    ends.find(|kind| matches!(*kind, "Complete" | "Failed"))
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn reference(job: &Value) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "name": meta::name(job), "namespace": meta::namespace(job),
        "uid": meta::uid(job), "resourceVersion": meta::resource_version(job),
    })
}

fn decide(cron: &Value, jobs: &[Arc<Value>], now: Timestamp) -> Decision {
    let mut decision = Decision { status: json!({}), ..Decision::default() };
    tidy(cron, jobs, &mut decision);
    if meta::deletion_timestamp(cron).is_some() {
        return decision;
    }
    if cron["spec"]["suspend"] != true {
        due(cron, jobs, now, &mut decision);
    }
    history(cron, jobs, &mut decision);
    decision
}

/// Takes Jobs that ended off the list of those that run.
fn tidy(cron: &Value, jobs: &[Arc<Value>], decision: &mut Decision) {
    let listed = meta::list_at(cron, "status.active");
    let is_listed = |job: &Value| listed.iter().any(|one| one["uid"] == meta::uid(job));
    let mut success = time(&cron["status"]["lastSuccessfulTime"]);
    for job in jobs {
        let Some(end) = ended(job) else { continue };
        if is_listed(job) {
            let says = format!("Saw completed job: {}, condition: {end}", meta::name(job));
            decision.events.push((Kind::Normal, "SawCompletedJob", says));
        }
        if end == "Complete" {
            success = success.max(time(&job["status"]["completionTime"]));
        }
    }
    for one in listed {
        let name = one["name"].as_str().unwrap_or_default();
        if !jobs.iter().any(|job| one["uid"] == meta::uid(job)) {
            let says = format!("Active job went missing: {name}");
            decision.events.push((Kind::Normal, "MissingJob", says));
        }
    }
    let running = jobs.iter().filter(|job| ended(job).is_none());
    decision.status["active"] = running.map(|job| reference(job)).collect();
    if let Some(success) = success {
        decision.status["lastSuccessfulTime"] = json!(stamp(success));
    }
}

/// The last time that is due and not made, how many were missed, and the next time to come.
fn times(
    cron: &Value,
    schedule: &Schedule,
    zone: &TimeZone,
    now: Timestamp,
) -> (Option<Timestamp>, usize, Option<Timestamp>) {
    let last = time(&cron["status"]["lastScheduleTime"]);
    let created = meta::creation_timestamp(cron).parse().unwrap_or(now);
    let mut earliest = last.unwrap_or(created);
    if let Some(seconds) = cron["spec"]["startingDeadlineSeconds"].as_i64() {
        let deadline = now.checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap_or(earliest);
        earliest = earliest.max(deadline);
    }
    let (mut due, mut missed, mut at) = (None, 0, earliest);
    // A minute's schedule that was away for a year: the count stops where it says enough.
    while let Some(next) = schedule.next(at, zone) {
        if next > now {
            return (due, missed, Some(next));
        }
        (due, at) = (Some(next), next);
        missed += 1;
        if missed > MANY {
            let later = schedule.next(now, zone);
            at = now.checked_sub(jiff::SignedDuration::from_hours(24)).unwrap_or(at).max(at);
            while let Some(next) = schedule.next(at, zone).filter(|next| *next <= now) {
                (due, at) = (Some(next), next);
            }
            return (due, missed, later);
        }
    }
    (due, missed, None)
}

fn due(cron: &Value, jobs: &[Arc<Value>], now: Timestamp, decision: &mut Decision) {
    let spec = &cron["spec"];
    let mut tell = |kind, reason, says: String| decision.events.push((kind, reason, says));
    let zone = match spec["timeZone"].as_str() {
        None => TimeZone::UTC,
        Some(name) => match TimeZone::get(name) {
            Ok(zone) => zone,
            Err(_) => {
                let says = format!("invalid timeZone: {name:?}: unknown time zone {name}");
                return tell(Kind::Warning, "UnknownTimeZone", says);
            }
        },
    };
    let text = meta::str_at(spec, "schedule");
    let schedule: Schedule = match text.parse() {
        Ok(schedule) => schedule,
        Err(error) => {
            let says = format!("unparseable schedule: {text:?} : {error}");
            return tell(Kind::Warning, "UnparseableSchedule", says);
        }
    };
    let (scheduled, missed, next) = times(cron, &schedule, &zone, now);
    decision.again = next.map(|next| next.duration_since(now).unsigned_abs() + Duration::from_millis(100));
    if missed > MANY {
        let says =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        tell(Kind::Warning, "TooManyMissedTimes", says.to_owned());
    }
    let Some(scheduled) = scheduled else { return };
    let late = now.duration_since(scheduled).as_secs();
    if spec["startingDeadlineSeconds"].as_i64().is_some_and(|most| late > most) {
        let says = format!("Missed scheduled time to start a job: {}", stamp(scheduled));
        return tell(Kind::Warning, "MissSchedule", says);
    }
    let name = format!("{}-{}", meta::name(cron), scheduled.as_second() / 60);
    if jobs.iter().any(|job| meta::name(job) == name) {
        return;
    }
    let running: Vec<_> = jobs.iter().filter(|job| ended(job).is_none()).collect();
    match spec["concurrencyPolicy"].as_str() {
        Some("Forbid") if !running.is_empty() => {
            let says = "Not starting job because prior execution is running and concurrency policy is Forbid";
            return tell(Kind::Normal, "JobAlreadyActive", says.to_owned());
        }
        Some("Replace") => {
            for job in running {
                tell(Kind::Normal, "SuccessfulDelete", format!("Deleted job {}", meta::name(job)));
                decision.delete.push(Place::of(job));
            }
            decision.status["active"] = json!([]);
        }
        _ => {}
    }
    let mut metadata = json!({
        "name": name, "namespace": meta::namespace(cron), "ownerReferences": [controller_reference(cron)],
    });
    for field in ["labels", "annotations"] {
        metadata[field] = spec["jobTemplate"]["metadata"][field].clone();
    }
    let at = scheduled.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().replace("+00:00", "Z");
    metadata["annotations"][SCHEDULED] = json!(at);
    decision.create = Some(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec["jobTemplate"]["spec"],
    }));
    decision.status["lastScheduleTime"] = json!(stamp(scheduled));
}

/// Lets the oldest of the Jobs that ended go, beyond what is to be kept.
fn history(cron: &Value, jobs: &[Arc<Value>], decision: &mut Decision) {
    for (kind, field, usual) in
        [("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1)]
    {
        let limit = usize::try_from(cron["spec"][field].as_i64().unwrap_or(usual)).unwrap_or(0);
        let mut all: Vec<_> = jobs.iter().filter(|job| ended(job) == Some(kind)).collect();
        all.sort_by_key(|job| (meta::str_at(job, "status.startTime").to_owned(), meta::name(job).to_owned()));
        for job in all.iter().take(all.len().saturating_sub(limit)) {
            let says = format!("Deleted job {}", meta::name(job));
            decision.events.push((Kind::Normal, "SuccessfulDelete", says));
            decision.delete.push(Place::of(job));
        }
    }
}

#[async_trait]
impl Controller for CronJobs {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let ours = resource.is("batch", "cronjobs") || resource.is("batch", "jobs");
        if ours { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        if resource.is("batch", "cronjobs") {
            return at_once(keep(&mut self.crons, change));
        }
        let gone = match &change {
            Change::Gone(job) => owner(job),
            _ => None,
        };
        let changed: Vec<Place> = keep(&mut self.jobs, change);
        let owners = changed.iter().filter_map(|place| owner(self.jobs.get(place)?));
        at_once(owners.chain(gone).collect())
    }

    fn facts(&self, key: &Place) -> Option<Facts> {
        let cron = self.crons.get(key)?;
        let ours = |job: &&Arc<Value>| meta::controller(job).is_some_and(|by| by["uid"] == meta::uid(cron));
        let jobs = self.jobs.iter().map(|(_, job)| job).filter(ours).map(Arc::clone).collect();
        Some(Facts { cron: Arc::clone(cron), jobs })
    }

    async fn sync(_key: Place, facts: Facts, api: Arc<dyn Api>, now: Timestamp) -> Result<Next, ApiError> {
        let Facts { cron, jobs } = facts;
        let jobs_kind = known("batch", "v1", "jobs", "Job");
        let mut decision = decide(&cron, &jobs, now);
        for place in decision.delete {
            let delete = Write::Delete {
                place,
                propagation: Propagation::Background,
                uid: None,
                resource_version: None,
            };
            client::found(api.write(&jobs_kind, delete).await)?;
        }
        if let Some(object) = decision.create {
            let namespace = Some(Arc::from(meta::namespace(&object)));
            let name = meta::name(&object).to_owned();
            match api.write(&jobs_kind, Write::Create { namespace, object }).await {
                Ok(made) => {
                    let says = format!("Created job {name}");
                    decision.events.push((Kind::Normal, "SuccessfulCreate", says));
                    if let Some(active) = decision.status["active"].as_array_mut() {
                        active.push(reference(&made));
                    }
                }
                Err(error) if error.is_already_exists() => {}
                Err(error) => {
                    let says = format!("Error creating job: {error}");
                    TELLER.tell(&*api, &cron, Kind::Warning, "FailedCreate", &says, now).await;
                    return Err(error);
                }
            }
        }
        for (kind, reason, says) in decision.events {
            TELLER.tell(&*api, &cron, kind, reason, &says, now).await;
        }
        if differs(&cron["status"], &decision.status) {
            let resource = known("batch", "v1", "cronjobs", "CronJob");
            api.write(&resource, with_status(&cron, decision.status)).await?;
        }
        Ok(decision.again.map_or(Next::Wait, Next::After))
    }
}

/// The CronJob that a Job is of.
fn owner(job: &Value) -> Option<Place> {
    let by = meta::controller(job).filter(|by| by["kind"] == "CronJob")?;
    Some(Place::within(meta::namespace(job), by["name"].as_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(spec: Value, status: Value) -> Value {
        let mut whole = json!({"schedule": "*/5 * * * *", "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1}}});
        if let (Some(whole), Some(spec)) = (whole.as_object_mut(), spec.as_object()) {
            whole.extend(spec.clone());
        }
        json!({"metadata": {"name": "c", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": whole, "status": status})
    }

    fn job(name: &str, end: Option<&str>) -> Arc<Value> {
        let conditions = end.map_or(json!([]), |kind| json!([{"type": kind, "status": "True"}]));
        Arc::new(
            json!({"metadata": {"name": name, "namespace": "n", "uid": name}, "status": {"conditions": conditions, "startTime": name}}),
        )
    }

    /// The Job that is made, those that go, and the reasons of what is told.
    fn said(
        cron: &Value,
        jobs: &[Arc<Value>],
        now: &str,
    ) -> (Option<String>, Vec<String>, Vec<&'static str>) {
        let decision = decide(cron, jobs, now.parse().unwrap());
        (
            decision.create.map(|job| meta::name(&job).to_owned()),
            decision.delete.iter().map(|place| place.name.to_string()).collect(),
            decision.events.into_iter().map(|(_, reason, _)| reason).collect(),
        )
    }

    #[test]
    fn a_job_is_made_when_its_time_has_come_and_the_policy_lets_it() {
        let now = "2026-01-01T00:06:00Z";
        let made = Some("c-29453765".to_owned());
        let plain = cron(json!({}), json!({}));
        assert_eq!(said(&plain, &[], "2026-01-01T00:04:00Z"), (None, vec![], vec![]));
        assert_eq!(said(&plain, &[], now), (made.clone(), vec![], vec![]));
        assert_eq!(said(&plain, &[job("c-29453765", None)], now).0, None, "it is there");
        let running = [job("r", None)];
        let forbid = cron(json!({"concurrencyPolicy": "Forbid"}), json!({}));
        assert_eq!(said(&forbid, &running, now), (None, vec![], vec!["JobAlreadyActive"]));
        let replace = cron(json!({"concurrencyPolicy": "Replace"}), json!({}));
        assert_eq!(said(&replace, &running, now), (made, vec!["r".to_owned()], vec!["SuccessfulDelete"]));
        assert_eq!(said(&cron(json!({"suspend": true}), json!({})), &[], now).0, None);
        let strict = cron(json!({"startingDeadlineSeconds": 30}), json!({}));
        assert_eq!(said(&strict, &[], now).0, None, "its time is over");
        assert_eq!(said(&cron(json!({"timeZone": "Nowhere"}), json!({})), &[], now).2, ["UnknownTimeZone"]);
        let long = said(&plain, &[], "2026-01-02T00:01:00Z");
        assert_eq!((long.0.as_deref(), &long.2[..]), (Some("c-29455200"), &["TooManyMissedTimes"][..]));
    }

    #[test]
    fn jobs_that_ended_leave_the_list_and_the_oldest_leave_altogether() {
        let listed = json!({"active": [{"uid": "j1", "name": "j1"}, {"uid": "gone", "name": "gone"}]});
        let quiet = cron(json!({"suspend": true, "successfulJobsHistoryLimit": 1}), listed);
        let jobs = [
            job("j1", Some("Complete")),
            job("j2", Some("Complete")),
            job("j3", Some("Failed")),
            job("j4", None),
        ];
        let (_, gone, reasons) = said(&quiet, &jobs, "2026-01-01T00:00:00Z");
        assert_eq!(
            (gone, reasons),
            (vec!["j1".to_owned()], vec!["SawCompletedJob", "MissingJob", "SuccessfulDelete"])
        );
    }
}
