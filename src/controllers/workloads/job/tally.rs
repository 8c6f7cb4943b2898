//! What a Job's pods have come to: counted once each, by the rules that it has for failures and
//! for success. Pure.

use std::collections::BTreeSet;

use api::meta;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::PodState;
use super::{condition, is_tracked, parsed};
use crate::events::Kind;

/// How often pods of an index had failed when this one was made.
pub(in super::super) const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) succeeded: i64,
    pub(super) failed: i64,
    /// Indexes that are done, and those that are given up.
    pub(super) done: BTreeSet<i64>,
    pub(super) lost: BTreeSet<i64>,
    /// Pods that are counted: their finalizer goes once the status is written.
    pub(super) release: Vec<PodState>,
    /// A failure after which the whole Job fails.
    pub(super) fatal: Option<String>,
    pub(super) newest_failure: Option<Timestamp>,
}

/// What a failed pod is to its Job.
#[derive(Debug, PartialEq)]
enum Verdict {
    Count,
    Ignore,
    FailIndex,
    FailJob(String),
}

/// Why a Job ends: its condition, and the event.
pub(super) struct End {
    pub(super) condition: Value,
    pub(super) kind: Kind,
    pub(super) reason: &'static str,
    pub(super) says: String,
}

impl End {
    fn failed(reason: &'static str, says: &str, now: Timestamp) -> Self {
        let condition = condition("Failed", reason, says, now);
        Self { condition, kind: Kind::Warning, reason, says: says.to_owned() }
    }

    fn complete(reason: &str, says: &str, now: Timestamp) -> Self {
        let condition = condition("Complete", reason, says, now);
        Self { condition, kind: Kind::Normal, reason: "Completed", says: "Job completed".to_owned() }
    }
}

pub(super) fn is_indexed(job: &Value) -> bool {
    job["spec"]["completionMode"] == "Indexed"
}

fn per_index(job: &Value) -> Option<i64> {
    job["spec"]["backoffLimitPerIndex"].as_i64()
}

/// Counts what has ended and was not counted before.
pub(super) fn count(job: &Value, pods: &[PodState], finished: bool) -> Tally {
    let indexed = is_indexed(job);
    let mut tally = Tally {
        succeeded: meta::int_at(job, "status.succeeded"),
        failed: meta::int_at(job, "status.failed"),
        done: parsed(meta::str_at(job, "status.completedIndexes")),
        lost: parsed(meta::str_at(job, "status.failedIndexes")),
        ..Tally::default()
    };
    for pod in pods.iter().filter(|pod| is_tracked(pod) && (pod.ended() || pod.deleting && finished)) {
        tally.release.push(pod.clone());
        match &*pod.phase {
            "Succeeded" if indexed => drop(pod.index.map(|index| tally.done.insert(index))),
            "Succeeded" => tally.succeeded += 1,
            "Failed" => tally.take_failure(job, pod),
            _ => {}
        }
    }
    for pod in pods.iter().filter(|pod| &*pod.phase == "Failed") {
        tally.newest_failure = tally.newest_failure.max(pod.created.parse::<Timestamp>().ok());
    }
    if indexed {
        tally.succeeded = i64::try_from(tally.done.len()).unwrap_or(i64::MAX);
    }
    tally
}

impl Tally {
    fn take_failure(&mut self, job: &Value, pod: &PodState) {
        let verdict = judge(job, pod);
        if verdict == Verdict::Ignore {
            return;
        }
        self.failed += 1;
        let spent = per_index(job).is_some_and(|limit| pod.index_failures >= limit);
        if let Some(index) = pod.index.filter(|_| spent || verdict == Verdict::FailIndex) {
            self.lost.insert(index);
        }
        if let Verdict::FailJob(says) = verdict {
            self.fatal.get_or_insert(says);
        }
    }

    /// Whether the Job ends with this, and how.
    pub(super) fn end(
        &self,
        job: &Value,
        running: usize,
        restarts: i64,
        left: Option<i64>,
        now: Timestamp,
    ) -> Option<End> {
        let spec = &job["spec"];
        let completions = spec["completions"].as_i64();
        let count = |set: &BTreeSet<i64>| i64::try_from(set.len()).unwrap_or(i64::MAX);
        let enough = match completions {
            Some(completions) => self.succeeded >= completions,
            None => self.succeeded > 0 && running == 0,
        };
        if let Some(says) = &self.fatal {
            return Some(End::failed("PodFailurePolicy", says, now));
        }
        if let Some(rule) = self.rule_met(job) {
            return Some(End::complete("SuccessPolicy", &format!("Matched rules at index {rule}"), now));
        }
        if enough {
            return Some(End::complete(
                "CompletionsReached",
                "Reached expected number of succeeded pods",
                now,
            ));
        }
        if left.is_some_and(|left| left <= 0) {
            let says = "Job was active longer than specified deadline";
            return Some(End::failed("DeadlineExceeded", says, now));
        }
        let most = spec["maxFailedIndexes"].as_i64();
        if most.is_some_and(|most| count(&self.lost) > most) {
            let says = "Job has exceeded the specified maximal number of failed indexes";
            return Some(End::failed("MaxFailedIndexesExceeded", says, now));
        }
        let all_ended = completions.is_some_and(|all| self.succeeded + count(&self.lost) >= all);
        if all_ended && !self.lost.is_empty() {
            return Some(End::failed("FailedIndexes", "Job has failed indexes", now));
        }
        let usual = if per_index(job).is_some() { i64::from(i32::MAX) } else { 6 };
        let limit = spec["backoffLimit"].as_i64().unwrap_or(usual);
        if self.failed > limit || restarts > limit && limit > 0 {
            let says = "Job has reached the specified backoff limit";
            return Some(End::failed("BackoffLimitExceeded", says, now));
        }
        None
    }

    /// The first rule of the success policy that is met.
    fn rule_met(&self, job: &Value) -> Option<usize> {
        meta::list_at(job, "spec.successPolicy.rules").iter().position(|rule| {
            let wanted = rule["succeededIndexes"].as_str().map(parsed);
            let counted = match &wanted {
                Some(wanted) => self.done.intersection(wanted).count(),
                None => self.done.len(),
            };
            match (rule["succeededCount"].as_u64(), &wanted) {
                (Some(count), _) => u64::try_from(counted).unwrap_or(0) >= count,
                (None, Some(wanted)) => counted == wanted.len(),
                (None, None) => false,
            }
        })
    }
}

/// What the Job's rules say of a failed pod; the first that fits decides.
fn judge(job: &Value, pod: &PodState) -> Verdict {
    let failure = pod.failure.as_deref().unwrap_or(&Value::Null);
    let place = || format!("{}/{}", pod.place.namespace.as_deref().unwrap_or_default(), pod.place.name);
    for (at, rule) in meta::list_at(job, "spec.podFailurePolicy.rules").iter().enumerate() {
        let action = rule["action"].as_str().unwrap_or_default();
        let fitting = exit_that_fits(&rule["onExitCodes"], failure).map(|(name, code)| {
            format!("Container {name} for pod {} failed with exit code {code} matching {action} rule at index {at}", place())
        });
        let fitting = fitting.or_else(|| {
            let kind = condition_that_fits(rule, failure)?;
            Some(format!("Pod {} has condition {kind} matching {action} rule at index {at}", place()))
        });
        let Some(says) = fitting else { continue };
        return match action {
            "Ignore" => Verdict::Ignore,
            "FailIndex" => Verdict::FailIndex,
            "FailJob" => Verdict::FailJob(says),
            _ => Verdict::Count,
        };
    }
    Verdict::Count
}

fn exit_that_fits<'a>(wanted: &Value, failure: &'a Value) -> Option<(&'a str, i64)> {
    let values: Vec<i64> = wanted["values"].as_array()?.iter().filter_map(Value::as_i64).collect();
    let only = wanted["containerName"].as_str();
    failure["exits"].as_array()?.iter().find_map(|exit| {
        let (name, code) = (exit[0].as_str()?, exit[1].as_i64()?);
        let fits = match wanted["operator"].as_str() {
            Some("In") => values.contains(&code),
            _ => !values.contains(&code),
        };
        (code != 0 && fits && only.is_none_or(|only| only == name)).then_some((name, code))
    })
}

fn condition_that_fits<'a>(rule: &'a Value, failure: &Value) -> Option<&'a str> {
    meta::list_at(rule, "onPodConditions").iter().find_map(|wanted| {
        let status = wanted["status"].as_str().unwrap_or("True");
        let has = meta::list_at(failure, "conditions")
            .iter()
            .any(|one| one["type"] == wanted["type"] && one["status"] == status);
        has.then(|| wanted["type"].as_str())?
    })
}

/// What of a failed pod its Job's rules look at.
pub(in super::super) fn failure(pod: &Value) -> Value {
    let lists = ["status.initContainerStatuses", "status.containerStatuses"];
    let exits = lists.iter().flat_map(|list| meta::list_at(pod, list)).filter_map(|one| {
        let code = one["state"]["terminated"]["exitCode"].as_i64()?;
        Some(json!([one["name"], code]))
    });
    let conditions = meta::list_at(pod, "status.conditions").iter();
    let conditions = conditions.map(|one| json!({"type": one["type"], "status": one["status"]}));
    json!({"exits": exits.collect::<Vec<_>>(), "conditions": conditions.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(extra: Value) -> Value {
        let mut spec = json!({"completionMode": "Indexed", "completions": 4});
        if let (Some(spec), Some(extra)) = (spec.as_object_mut(), extra.as_object()) {
            spec.extend(extra.clone());
        }
        json!({"metadata": {"name": "j"}, "spec": spec})
    }

    fn pod(name: &str, index: i64, phase: &str, code: i64, failures: i64) -> PodState {
        PodState::read(&json!({
            "metadata": {"name": name, "namespace": "n", "uid": name, "finalizers": ["batch.kubernetes.io/job-tracking"],
                "annotations": {"batch.kubernetes.io/job-completion-index": index.to_string(), INDEX_FAILURES: failures.to_string()}},
            "status": {"phase": phase, "conditions": [{"type": "DisruptionTarget", "status": if code == 99 { "True" } else { "False" }}],
                "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": code}}}]},
        }))
    }

    #[test]
    fn rules_decide_what_a_failure_is() {
        let rules = json!({"podFailurePolicy": {"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
            {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [7]}},
            {"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [42]}},
        ]}});
        let said = |code: i64| {
            let tally = count(&job(rules.clone()), &[pod("p", 1, "Failed", code, 0)], false);
            (tally.failed, tally.lost.len(), tally.fatal)
        };
        assert_eq!(said(1), (1, 0, None));
        assert_eq!(said(99), (0, 0, None));
        assert_eq!(said(7), (1, 1, None));
        let says = "Container c for pod n/p failed with exit code 42 matching FailJob rule at index 2";
        assert_eq!(said(42), (1, 0, Some(says.to_owned())));
    }

    #[test]
    fn a_job_ends_by_indexes_and_by_its_success_policy() {
        let ends = |job: &Value, pods: &[PodState]| {
            let tally = count(job, pods, false);
            let end = tally.end(job, 0, 0, None, Timestamp::UNIX_EPOCH);
            end.map(|end| end.condition["reason"].as_str().unwrap_or_default().to_owned())
        };
        let limited = job(json!({"backoffLimitPerIndex": 1, "maxFailedIndexes": 1}));
        assert_eq!(ends(&limited, &[pod("a", 0, "Failed", 1, 0)]), None, "it is tried again");
        let two = [pod("a", 0, "Failed", 1, 1), pod("b", 1, "Failed", 1, 1)];
        assert_eq!(ends(&limited, &two).as_deref(), Some("MaxFailedIndexesExceeded"));
        let half = [
            pod("a", 0, "Failed", 1, 1),
            pod("b", 1, "Succeeded", 0, 0),
            pod("c", 2, "Succeeded", 0, 0),
            pod("d", 3, "Succeeded", 0, 0),
        ];
        assert_eq!(ends(&job(json!({"backoffLimitPerIndex": 1})), &half).as_deref(), Some("FailedIndexes"));
        let policy = |rule: Value| job(json!({"successPolicy": {"rules": [rule]}}));
        let one = [pod("b", 1, "Succeeded", 0, 0)];
        assert_eq!(ends(&policy(json!({"succeededIndexes": "1"})), &one).as_deref(), Some("SuccessPolicy"));
        assert_eq!(ends(&policy(json!({"succeededCount": 2})), &one), None);
        assert_eq!(
            ends(&policy(json!({"succeededIndexes": "1-3", "succeededCount": 1})), &one).as_deref(),
            Some("SuccessPolicy")
        );
    }
}
