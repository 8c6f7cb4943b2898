//! What keeps a pod from serving, in words, and whether waiting longer can mend it. Pure.

use serde_json::Value;

/// Starts after which a container that ends is not given more time.
const STARTS: u64 = 3;

/// Why a pod does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The pod.
    pub(crate) pod: String,
    /// The container, where it is one's.
    pub(crate) container: Option<String>,
    /// `CrashLoopBackOff: exit code 1, started 3 times`.
    pub(crate) cause: String,
    /// Whether it has shown itself often enough not to be waited for.
    pub(crate) is_final: bool,
    /// Whether the container has run, so that a log may tell more; and whether the log is that of the run before.
    pub(crate) log: Option<bool>,
}

/// Reasons of a waiting container that are mistakes, not stages.
const MISTAKES: &[&str] = &[
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// What is wrong with a pod, if anything is.
pub(crate) fn of_pod(pod: &Value) -> Option<Trouble> {
    let (name, status) = (text(&pod["metadata"], "name").to_owned(), &pod["status"]);
    let pod_wide = |cause: String, is_final: bool| {
        Some(Trouble { pod: name.clone(), container: None, cause, is_final, log: None })
    };
    for field in ["initContainerStatuses", "containerStatuses"] {
        for container in list(status, field) {
            if let Some((cause, is_final, log)) = of_container(container) {
                let container = Some(text(container, "name").to_owned());
                return Some(Trouble { pod: name, container, cause, is_final, log });
            }
        }
    }
    if text(status, "phase") == "Failed" {
        let cause = [text(status, "reason"), text(status, "message")];
        let cause: Vec<_> = cause.into_iter().filter(|part| !part.is_empty()).collect();
        return pod_wide(if cause.is_empty() { "it failed".to_owned() } else { cause.join(": ") }, true);
    }
    let unplaced = list(status, "conditions").iter().find(|one| {
        one["type"] == "PodScheduled" && one["status"] == "False" && one["reason"] == "Unschedulable"
    });
    unplaced.and_then(|one| pod_wide(format!("no node takes it: {}", text(one, "message")), false))
}

fn of_container(status: &Value) -> Option<(String, bool, Option<bool>)> {
    let starts = status["restartCount"].as_u64().unwrap_or(0) + 1;
    let (waiting, last) = (&status["state"]["waiting"], &status["lastState"]["terminated"]);
    let reason = text(waiting, "reason");
    if MISTAKES.contains(&reason) {
        let ran = last.is_object().then_some(true);
        return Some((format!("{reason}: {}", text(waiting, "message")), reason == "InvalidImageName", ran));
    }
    if reason == "CrashLoopBackOff" {
        return Some((
            format!("CrashLoopBackOff: {}, started {starts} times", ended(last)),
            starts >= STARTS,
            Some(true),
        ));
    }
    let now = &status["state"]["terminated"];
    if now.is_object() && now["exitCode"].as_u64() != Some(0) {
        return Some((ended(now), starts >= STARTS, Some(false)));
    }
    None
}

fn ended(terminated: &Value) -> String {
    let code = terminated["exitCode"].as_i64();
    let reason = text(terminated, "reason");
    let why = if reason.is_empty() || reason == "Error" { String::new() } else { format!(" ({reason})") };
    match (code, text(terminated, "message").trim()) {
        (None, _) => "it ends".to_owned(),
        (Some(code), "") => format!("it ended with exit code {code}{why}"),
        (Some(code), message) => format!("it ended with exit code {code}{why}: {message}"),
    }
}

/// What a pod that has no trouble is about, for a person who waits.
pub(crate) fn stage(pod: &Value) -> String {
    let status = &pod["status"];
    let name = text(&pod["metadata"], "name");
    let containers = list(status, "containerStatuses");
    let waiting = containers.iter().find_map(|one| one["state"]["waiting"]["reason"].as_str());
    if text(&pod["spec"], "nodeName").is_empty() {
        return format!("{name} waits for a node");
    }
    match waiting {
        Some(reason) => format!("{name}: {reason}"),
        None if containers.is_empty() => format!("{name} starts on {}", text(&pod["spec"], "nodeName")),
        None => format!("{name} runs, and is not ready"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: Value) -> Value {
        json!({"metadata": {"name": "p"}, "spec": {}, "status": status})
    }

    #[test]
    fn causes_are_named_and_only_what_waiting_cannot_mend_is_final() {
        let container = |state: Value, last: Value, restarts: u64| {
            let status = json!({"name": "c", "state": state, "lastState": last, "restartCount": restarts});
            pod(json!({"phase": "Pending", "containerStatuses": [status]}))
        };
        let waits = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
        let exit = |code: i64| json!({"terminated": {"exitCode": code, "reason": "Error"}});
        let none = json!({});
        let cases = [
            ("starting", container(waits("ContainerCreating", ""), none.clone(), 0), None),
            (
                "bad name",
                container(waits("InvalidImageName", "A/b"), none.clone(), 0),
                Some(("InvalidImageName: A/b", true)),
            ),
            (
                "no image",
                container(waits("ErrImagePull", "not found"), none.clone(), 0),
                Some(("ErrImagePull: not found", false)),
            ),
            ("first crash", container(exit(3), none.clone(), 0), Some(("it ended with exit code 3", false))),
            (
                "crashes",
                container(waits("CrashLoopBackOff", ""), exit(3), 2),
                Some(("CrashLoopBackOff: it ended with exit code 3, started 3 times", true)),
            ),
            ("done", container(exit(0), none.clone(), 0), None),
            (
                "refused by the node",
                pod(
                    json!({"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "spec.x is not supported"}),
                ),
                Some(("UnexpectedAdmissionError: spec.x is not supported", true)),
            ),
            (
                "no room",
                pod(json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                    "reason": "Unschedulable", "message": "0/3 nodes are available"}]})),
                Some(("no node takes it: 0/3 nodes are available", false)),
            ),
        ];
        for (name, pod, wanted) in cases {
            let found = of_pod(&pod);
            let found = found.as_ref().map(|trouble| (&*trouble.cause, trouble.is_final));
            assert_eq!(found, wanted, "{name}");
        }
    }
}
