//! How far a workload's rollout is, read from its object and its pods. Pure.

use serde_json::Value;

use super::trouble::{self, Trouble};

/// Kinds that are waited for.
pub(crate) const WAITED: &[&str] = &["Deployment", "StatefulSet", "DaemonSet", "Job", "Pod"];

/// The revision of a ReplicaSet and of the Deployment that it belongs to.
pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";

/// How it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Standing {
    /// What was asked for serves.
    Done(String),
    /// On the way.
    Going(String),
    /// It will not come up by itself.
    Failed(String),
}

/// What is known of a workload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// The object.
    pub(crate) workload: &'a Value,
    /// The ReplicaSets of its namespace (for a Deployment).
    pub(crate) sets: &'a [Value],
    /// The pods of its namespace.
    pub(crate) pods: &'a [Value],
}

fn number(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or(0)
}

fn condition<'a>(workload: &'a Value, kind: &str) -> Option<&'a Value> {
    workload["status"]["conditions"].as_array()?.iter().find(|one| one["type"] == kind)
}

/// Reads how a workload stands.
pub(crate) fn standing(workload: &Value) -> Standing {
    let (spec, status) = (&workload["spec"], &workload["status"]);
    let kind = workload["kind"].as_str().unwrap_or_default();
    if kind == "Job" {
        return job(workload);
    }
    if kind == "Pod" {
        return pod(workload);
    }
    if number(status, "observedGeneration") < number(&workload["metadata"], "generation") {
        return Standing::Going("the controller has not seen it yet".to_owned());
    }
    let wanted = match kind {
        "DaemonSet" => number(status, "desiredNumberScheduled"),
        _ => spec["replicas"].as_i64().unwrap_or(1),
    };
    let (fresh, ready) = match kind {
        "DaemonSet" => (number(status, "updatedNumberScheduled"), number(status, "numberAvailable")),
        _ => (number(status, "updatedReplicas"), number(status, "availableReplicas")),
    };
    if let Some(late) =
        condition(workload, "Progressing").filter(|one| one["reason"] == "ProgressDeadlineExceeded")
    {
        return Standing::Failed(late["message"].as_str().unwrap_or("it makes no progress").to_owned());
    }
    if fresh < wanted {
        return Standing::Going(format!("{fresh} of {wanted} pods are of the new version"));
    }
    let old = number(status, "replicas") - fresh;
    if kind == "Deployment" && old > 0 {
        return Standing::Going(format!("{ready} of {wanted} pods ready, {old} of the old version end"));
    }
    if ready < wanted {
        return Standing::Going(format!("{ready} of {wanted} pods ready"));
    }
    Standing::Done(format!("{ready} of {wanted} pods ready"))
}

fn job(job: &Value) -> Standing {
    let is = |kind: &str| condition(job, kind).filter(|one| one["status"] == "True");
    let (done, wanted) =
        (number(&job["status"], "succeeded"), job["spec"]["completions"].as_i64().unwrap_or(1));
    if is("Complete").is_some() {
        return Standing::Done("it completed".to_owned());
    }
    match is("Failed") {
        Some(why) => Standing::Failed(why["message"].as_str().unwrap_or("it failed").to_owned()),
        None => Standing::Going(format!("{done} of {wanted} pods completed")),
    }
}

fn pod(pod: &Value) -> Standing {
    let ready = condition(pod, "Ready").is_some_and(|one| one["status"] == "True");
    match pod["status"]["phase"].as_str().unwrap_or_default() {
        "Succeeded" => Standing::Done("it completed".to_owned()),
        _ if ready => Standing::Done("ready".to_owned()),
        _ => Standing::Going(trouble::stage(pod)),
    }
}

impl<'a> Seen<'a> {
    /// The pods of the version that is being rolled out.
    pub(crate) fn fresh(&self) -> Vec<&'a Value> {
        let kind = self.workload["kind"].as_str().unwrap_or_default();
        let uid = match kind {
            "Pod" => return vec![self.workload],
            "Deployment" => self.newest_set().map(|set| set["metadata"]["uid"].clone()),
            _ => Some(self.workload["metadata"]["uid"].clone()),
        };
        let Some(uid) = uid else { return Vec::new() };
        let all = self.pods.iter().filter(|pod| owned_by(pod, &uid));
        all.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect()
    }

    fn newest_set(&self) -> Option<&'a Value> {
        let revision = &self.workload["metadata"]["annotations"][REVISION];
        let mut own = self.sets.iter().filter(|set| owned_by(set, &self.workload["metadata"]["uid"]));
        own.find(|set| !revision.is_null() && &set["metadata"]["annotations"][REVISION] == revision)
    }

    /// The first trouble of its pods, those that are final before others.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let mut all: Vec<_> = self.fresh().into_iter().filter_map(trouble::of_pod).collect();
        all.sort_by_key(|one| !one.is_final);
        all.into_iter().next()
    }

    /// What the slowest of its pods is about.
    pub(crate) fn stage(&self) -> Option<String> {
        let late = |pod: &&Value| {
            let ready = condition(pod, "Ready").is_some_and(|one| one["status"] == "True");
            !ready && !["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default())
        };
        self.fresh().into_iter().find(late).map(trouble::stage)
    }

    /// How many pods of versions before serve.
    pub(crate) fn old_ready(&self) -> i64 {
        let uid = &self.workload["metadata"]["uid"];
        let newest = self.newest_set().map(|set| &set["metadata"]["uid"]);
        let old =
            self.sets.iter().filter(|set| owned_by(set, uid) && Some(&set["metadata"]["uid"]) != newest);
        old.map(|set| number(&set["status"], "readyReplicas")).sum()
    }
}

fn owned_by(object: &Value, uid: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().any(|owner| &owner["uid"] == uid)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_is_done_when_all_of_its_pods_are_new_and_ready_and_no_old_one_is_left() {
        let deployment = |generation: i64, status: Value| json!({"kind": "Deployment", "metadata": {"generation": generation}, "spec": {"replicas": 2}, "status": status});
        let status = |updated: i64, total: i64, available: i64| json!({"observedGeneration": 2, "updatedReplicas": updated, "replicas": total, "availableReplicas": available});
        let going = |words: &str| Standing::Going(words.to_owned());
        let cases = [
            ("not seen", 3, status(2, 2, 2), going("the controller has not seen it yet")),
            ("begun", 2, status(1, 3, 2), going("1 of 2 pods are of the new version")),
            ("old ones", 2, status(2, 3, 2), going("2 of 2 pods ready, 1 of the old version end")),
            ("not ready", 2, status(2, 2, 1), going("1 of 2 pods ready")),
            ("done", 2, status(2, 2, 2), Standing::Done("2 of 2 pods ready".to_owned())),
        ];
        for (name, generation, status, wanted) in cases {
            assert_eq!(standing(&deployment(generation, status)), wanted, "{name}");
        }
        let mut late = deployment(2, status(1, 3, 2));
        late["status"]["conditions"] = json!([{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "has timed out"}]);
        assert_eq!(standing(&late), Standing::Failed("has timed out".to_owned()));
    }

    #[test]
    fn only_pods_of_the_new_version_count_as_troubled() {
        let owner = |uid: &str| json!([{"uid": uid}]);
        let set = |uid: &str, revision: &str, ready: i64| {
            json!({"metadata": {"uid": uid, "ownerReferences": owner("d"), "annotations": {REVISION: revision}},
                "status": {"readyReplicas": ready}})
        };
        let pod = |set: &str, name: &str| {
            json!({"metadata": {"name": name, "ownerReferences": owner(set)}, "spec": {},
                "status": {"phase": "Failed", "message": name}})
        };
        let workload =
            json!({"kind": "Deployment", "metadata": {"uid": "d", "annotations": {REVISION: "2"}}});
        let (sets, pods) = ([set("old", "1", 3), set("new", "2", 0)], [pod("old", "a"), pod("new", "b")]);
        let seen = Seen { workload: &workload, sets: &sets, pods: &pods };
        assert_eq!(seen.trouble().unwrap().pod, "b");
        assert_eq!(seen.old_ready(), 3);
    }
}
