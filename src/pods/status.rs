//! What the API is told of a pod.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::worker::{Container, Observed, State, is_over};
use crate::{Kind, containers, name, qos};

/// What is known beside the runtime's state.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The node's address.
    pub host_ip: String,
    /// Why containers wait, by name: reason and message.
    pub waiting: std::collections::BTreeMap<String, (String, String)>,
    /// Containers that wait for their back-off.
    pub backing_off: Vec<String>,
    /// Why the pod as a whole has failed or cannot run: reason and message.
    pub failed: Option<(String, String)>,
    /// Whether the pod is being deleted.
    pub ending: bool,
}

/// The pod's status. Times of conditions stay where they say what they said in `before`.
#[must_use]
pub fn status(pod: &Value, observed: &Observed, facts: &Facts, now: Timestamp) -> Value {
    let before = &pod["status"];
    let of = |wanted: &[Kind]| -> Vec<Value> {
        let ours = containers(pod).filter(|(kind, _)| wanted.contains(kind));
        ours.map(|(kind, spec)| container(pod, observed, facts, kind, spec)).collect()
    };
    let (init, main) = (of(&[Kind::Init, Kind::Sidecar]), of(&[Kind::Main]));
    let late = observed.is_late(pod, now);
    let failed = facts.failed.clone().or_else(|| {
        late.then(|| {
            (
                "DeadlineExceeded".to_owned(),
                "Pod was active on the node longer than the specified deadline".to_owned(),
            )
        })
    });
    let phase = phase(pod, observed, facts, failed.is_some());
    let ended = matches!(phase, "Succeeded" | "Failed");
    let ready = !ended && main.iter().all(|one| one["ready"] == true) && sidecars_ready(pod, &init);
    let initialised = is_initialised(pod, observed);
    let sandbox = observed.sandbox.as_ref().filter(|sandbox| sandbox.ready);
    let unready: Vec<&str> =
        main.iter().filter(|one| one["ready"] != true).filter_map(|one| one["name"].as_str()).collect();
    let why_not = format!("containers with unready status: [{}]", unready.join(" "));
    let set = |kind: &str, holds: bool, no: (&str, &str)| condition(before, kind, holds, no, now);
    let unfinished: Vec<&str> = init_unfinished(pod, observed);
    let init_message = format!("containers with incomplete status: [{}]", unfinished.join(" "));
    let not_ready = match phase {
        "Succeeded" => ("PodCompleted", String::new()),
        "Failed" => ("PodFailed", String::new()),
        _ => ("ContainersNotReady", why_not),
    };
    let gates = gates(pod, before);
    let mut conditions = vec![
        set("PodReadyToStartContainers", sandbox.is_some(), ("", "")),
        if phase == "Succeeded" {
            let mut done = set("Initialized", true, ("", ""));
            done["reason"] = json!("PodCompleted");
            done
        } else {
            set("Initialized", initialised, ("ContainersNotInitialized", &init_message))
        },
        match &gates {
            Some(message) if ready => set("Ready", false, ("ReadinessGatesNotReady", message)),
            _ => set("Ready", ready && gates.is_none(), (not_ready.0, &not_ready.1)),
        },
        set("ContainersReady", ready, (not_ready.0, &not_ready.1)),
    ];
    let own = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];
    let others = before["conditions"].as_array().into_iter().flatten();
    conditions.extend(others.filter(|one| !own.iter().any(|kind| one["type"] == *kind)).cloned());
    let mut status = json!({
        "phase": phase,
        "conditions": conditions,
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "startTime": stamp(observed.accepted.unwrap_or(now)),
        "containerStatuses": main,
        "qosClass": qos(pod),
        "observedGeneration": pod["metadata"]["generation"],
    });
    if !init.is_empty() {
        status["initContainerStatuses"] = Value::Array(init);
    }
    let ip = if pod["spec"]["hostNetwork"] == true {
        Some(facts.host_ip.clone())
    } else {
        observed
            .sandbox
            .as_ref()
            .map(|sandbox| sandbox.ip.clone())
            .or_else(|| before["podIP"].as_str().map(str::to_owned))
    };
    if let Some(ip) = ip.filter(|ip| !ip.is_empty()) {
        status["podIP"] = json!(ip);
        status["podIPs"] = json!([{"ip": ip}]);
    }
    if let Some((reason, message)) = failed {
        status["reason"] = json!(reason);
        status["message"] = json!(message);
    }
    status
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Which readiness gates do not hold, in words.
fn gates(pod: &Value, before: &Value) -> Option<String> {
    for gate in pod["spec"]["readinessGates"].as_array().into_iter().flatten() {
        let kind = gate["conditionType"].as_str().unwrap_or_default();
        let found = before["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == kind);
        match found {
            None => {
                return Some(format!(
                    "corresponding condition of pod readiness gate \"{kind}\" does not exist."
                ));
            }
            Some(one) if one["status"] != "True" => {
                return Some(format!(
                    "the status of pod readiness gate \"{kind}\" is not \"True\", but {}",
                    one["status"].as_str().unwrap_or_default()
                ));
            }
            _ => {}
        }
    }
    None
}

fn condition(before: &Value, kind: &str, holds: bool, no: (&str, &str), now: Timestamp) -> Value {
    let status = if holds { "True" } else { "False" };
    let old = before["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == kind);
    let since = old.filter(|old| old["status"] == status).and_then(|old| old["lastTransitionTime"].as_str());
    let mut condition = json!({
        "type": kind, "status": status, "lastProbeTime": null,
        "lastTransitionTime": since.map_or_else(|| stamp(now), str::to_owned),
    });
    if !holds {
        for (field, text) in [("reason", no.0), ("message", no.1)] {
            if !text.is_empty() {
                condition[field] = json!(text);
            }
        }
    }
    condition
}

fn phase(pod: &Value, observed: &Observed, facts: &Facts, failed: bool) -> &'static str {
    if failed {
        return "Failed";
    }
    let newest = |spec: &Value| observed.newest(name(spec));
    let code = |one: &Container| if let State::Ended { code, .. } = one.state { Some(code) } else { None };
    let own: Vec<Option<&Container>> =
        containers(pod).filter(|(kind, _)| *kind == Kind::Main).map(|(_, spec)| newest(spec)).collect();
    let stopped = own.iter().all(|one| one.is_some_and(|one| code(one).is_some()));
    let over = is_over(pod, observed) || (facts.ending && stopped);
    if over {
        let failed_init = containers(pod)
            .filter(|(kind, _)| *kind == Kind::Init)
            .any(|(_, spec)| newest(spec).and_then(code).is_some_and(|code| code != 0));
        let good = !failed_init && own.iter().flatten().all(|one| code(one) == Some(0));
        return if good { "Succeeded" } else { "Failed" };
    }
    if own.iter().any(Option::is_some) && is_initialised(pod, observed) { "Running" } else { "Pending" }
}

fn is_initialised(pod: &Value, observed: &Observed) -> bool {
    init_unfinished(pod, observed).is_empty()
}

fn init_unfinished<'a>(pod: &'a Value, observed: &Observed) -> Vec<&'a str> {
    if containers(pod).any(|(kind, spec)| kind == Kind::Main && observed.newest(name(spec)).is_some()) {
        return Vec::new();
    }
    let done = |kind: Kind, spec: &Value| match observed.newest(name(spec)) {
        Some(Container { state: State::Ended { code: 0, .. }, .. }) => kind == Kind::Init,
        Some(one @ Container { state: State::Running(_), .. }) => {
            kind == Kind::Sidecar && observed.probes.get(&one.id).is_some_and(|probes| probes.started)
        }
        _ => false,
    };
    let init = containers(pod).filter(|(kind, _)| *kind != Kind::Main);
    init.filter(|(kind, spec)| !done(*kind, spec)).map(|(_, spec)| name(spec)).collect()
}

fn sidecars_ready(pod: &Value, init: &[Value]) -> bool {
    let sidecars = containers(pod).filter(|(kind, _)| *kind == Kind::Sidecar).map(|(_, spec)| name(spec));
    sidecars.into_iter().all(|name| init.iter().any(|one| one["name"] == name && one["ready"] == true))
}

fn container(pod: &Value, observed: &Observed, facts: &Facts, kind: Kind, spec: &Value) -> Value {
    let name = name(spec);
    let newest = observed.newest(name);
    let probes = newest.and_then(|one| observed.probes.get(&one.id)).copied().unwrap_or_default();
    let running = newest.is_some_and(|one| matches!(one.state, State::Running(_)));
    let ended_well = newest.is_some_and(|one| matches!(one.state, State::Ended { code: 0, .. }));
    let ready = match kind {
        Kind::Init => ended_well,
        _ => running && probes.started && probes.ready,
    };
    let mut status = json!({
        "name": name,
        "image": newest.map_or_else(|| spec["image"].clone(), |one| json!(one.image.0)),
        "imageID": newest.map_or("", |one| &one.image.1),
        "ready": ready,
        "started": if kind == Kind::Init { running } else { running && probes.started },
        "restartCount": newest.map_or(0, |one| one.attempt),
        "state": {},
        "lastState": {},
    });
    if let Some(one) = newest {
        status["containerID"] = json!(format!("containerd://{}", one.id));
    }
    let waits = facts.waiting.get(name);
    let backing_off = facts.backing_off.iter().any(|other| other == name);
    let last_ended = |before: Option<u32>| {
        let ended = observed
            .containers
            .iter()
            .filter(|one| one.name == name && matches!(one.state, State::Ended { .. }));
        ended.filter(|one| before.is_none_or(|attempt| one.attempt < attempt)).max_by_key(|one| one.attempt)
    };
    match newest.map(|one| (&one.state, one)) {
        Some((State::Running(since), one)) => {
            status["state"] = json!({"running": {"startedAt": stamp(*since)}});
            if let Some(previous) = last_ended(Some(one.attempt)) {
                status["lastState"] = terminated(previous);
            }
        }
        Some((State::Ended { .. }, one)) if waits.is_none() && !backing_off => {
            status["state"] = terminated(one);
            if let Some(previous) = last_ended(Some(one.attempt)) {
                status["lastState"] = terminated(previous);
            }
        }
        found => {
            let (reason, message) = match waits {
                Some((reason, message)) => (reason.clone(), message.clone()),
                None if backing_off => crash_loop(pod, name, newest),
                None if kind == Kind::Main && !is_initialised(pod, observed) => {
                    ("PodInitializing".to_owned(), String::new())
                }
                None if kind != Kind::Main => ("PodInitializing".to_owned(), String::new()),
                None => ("ContainerCreating".to_owned(), String::new()),
            };
            let mut waiting = json!({"reason": reason});
            if !message.is_empty() {
                waiting["message"] = json!(message);
            }
            status["state"] = json!({"waiting": waiting});
            if found.is_some()
                && let Some(previous) = last_ended(None)
            {
                status["lastState"] = terminated(previous);
            }
        }
    }
    status
}

fn crash_loop(pod: &Value, name: &str, newest: Option<&Container>) -> (String, String) {
    let attempt = newest.map_or(1, |one| one.attempt.max(1));
    let seconds = (10_i64 << (attempt - 1).min(16)).min(300);
    let wait = match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    };
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
    let message = format!(
        "back-off {wait} restarting failed container={name} pod={}_{}({})",
        text("name"),
        text("namespace"),
        text("uid")
    );
    ("CrashLoopBackOff".to_owned(), message)
}

fn terminated(container: &Container) -> Value {
    let State::Ended { code, reason, message, started, ended } = &container.state else { return json!({}) };
    let mut terminated = json!({
        "exitCode": code,
        "reason": if reason.is_empty() { if *code == 0 { "Completed" } else { "Error" } } else { reason },
        "startedAt": stamp(*started),
        "finishedAt": stamp(*ended),
        "containerID": format!("containerd://{}", container.id),
    });
    if !message.is_empty() {
        terminated["message"] = json!(message);
    }
    json!({"terminated": terminated})
}
