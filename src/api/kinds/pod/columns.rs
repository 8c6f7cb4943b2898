//! Pods as rows of a table: what their containers do, in one word.

use serde_json::Value;

use crate::kind::{About, Column};
use crate::kinds::table::{AGE, NAME, age, containers, labels, or_none, says, text, wide};
use crate::{meta, time};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    text("Ready", says("How many of its containers are ready, of how many")),
    text("Status", says("What its containers do, or why they do not")),
    text("Restarts", says("How often its containers have started again, and when they last did")),
    AGE,
    wide("IP", About::Field("PodStatus", "podIP")),
    wide("Node", About::Field("PodSpec", "nodeName")),
    wide("Nominated Node", About::Field("PodStatus", "nominatedNodeName")),
    wide("Readiness Gates", About::Field("PodSpec", "readinessGates")),
];

pub(super) fn cells(pod: &Value, now: i64) -> Vec<Value> {
    let seen = Seen::of(pod);
    let restarts = match seen.last_restart {
        Some(last) if seen.restarts != 0 => format!("{} ({} ago)", seen.restarts, time::span(now - last)),
        _ => seen.restarts.to_string(),
    };
    let ip = meta::list_at(pod, "status.podIPs").first().map_or("", |ip| meta::str_at(ip, "ip"));
    vec![
        meta::name(pod).into(),
        format!("{}/{}", seen.ready, seen.total).into(),
        seen.reason.into(),
        restarts.into(),
        age(pod, now),
        or_none(ip),
        or_none(meta::str_at(pod, "spec.nodeName")),
        or_none(meta::str_at(pod, "status.nominatedNodeName")),
        gates(pod),
    ]
}

fn gates(pod: &Value) -> Value {
    let gates = meta::list_at(pod, "spec.readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let open =
        gates.iter().filter(|gate| condition(pod, meta::str_at(gate, "conditionType")) == "True").count();
    format!("{open}/{}", gates.len()).into()
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let all = meta::list_at(pod, "status.conditions");
    all.iter().find(|c| meta::str_at(c, "type") == kind).map_or("", |c| meta::str_at(c, "status"))
}

/// What is seen of a pod's containers.
struct Seen {
    total: usize,
    ready: usize,
    restarts: i64,
    last_restart: Option<i64>,
    reason: String,
}

/// Restarts and when the last was.
#[derive(Clone, Copy, Default)]
struct Restarts(i64, Option<i64>);

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.0 += meta::int_at(status, "restartCount");
        self.1 = self.1.max(time::seconds(meta::str_at(status, "lastState.terminated.finishedAt")));
    }
}

impl Seen {
    fn of(pod: &Value) -> Self {
        let init = meta::list_at(pod, "spec.initContainers");
        let stays = |name: &str| {
            let found = init.iter().find(|c| meta::str_at(c, "name") == name);
            found.is_some_and(|c| meta::str_at(c, "restartPolicy") == "Always")
        };
        let beside = init.iter().filter(|c| meta::str_at(c, "restartPolicy") == "Always").count();
        let total = meta::list_at(pod, "spec.containers").len() + beside;
        let mut seen = Self { total, ready: 0, restarts: 0, last_restart: None, reason: first_reason(pod) };
        let (mut all, mut staying, mut initializing) = (Restarts::default(), Restarts::default(), false);
        for (index, status) in meta::list_at(pod, "status.initContainerStatuses").iter().enumerate() {
            let stays = stays(meta::str_at(status, "name"));
            all.add(status);
            if stays {
                staying.add(status);
            }
            let ended = meta::at(status, "state.terminated");
            if ended.is_some_and(|t| meta::int_at(t, "exitCode") == 0) {
                continue;
            }
            if stays && meta::at(status, "started") == Some(&Value::Bool(true)) {
                seen.ready += usize::from(is_ready(status));
                continue;
            }
            let waiting = meta::str_at(status, "state.waiting.reason");
            seen.reason = match ended {
                Some(ended) => format!("Init:{}", why_ended(ended)),
                None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
                None => format!("Init:{index}/{}", init.len()),
            };
            initializing = true;
            break;
        }
        if initializing && condition(pod, "Initialized") != "True" {
            (seen.restarts, seen.last_restart) = (all.0, all.1);
        } else {
            seen.ordinary(pod, staying);
        }
        seen.leaving(pod);
        seen
    }

    /// The ordinary containers, the first one's word last.
    fn ordinary(&mut self, pod: &Value, mut restarts: Restarts) {
        let (mut running, mut failed) = (false, String::new());
        for status in meta::list_at(pod, "status.containerStatuses").iter().rev() {
            restarts.add(status);
            let waiting = meta::str_at(status, "state.waiting.reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if let Some(ended) = meta::at(status, "state.terminated") {
                self.reason = why_ended(ended);
                if meta::int_at(ended, "exitCode") != 0 {
                    failed.clone_from(&self.reason);
                }
            } else if is_ready(status) && meta::at(status, "state.running").is_some() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" {
            if running && condition(pod, "Ready") == "True" {
                "Running".clone_into(&mut self.reason);
            } else if !failed.is_empty() {
                self.reason = failed;
            } else if running {
                "NotReady".clone_into(&mut self.reason);
            }
        }
        (self.restarts, self.last_restart) = (restarts.0, restarts.1);
    }

    fn leaving(&mut self, pod: &Value) {
        if meta::deletion_timestamp(pod).is_none() {
            return;
        }
        let ended = ["Failed", "Succeeded"].contains(&meta::str_at(pod, "status.phase"));
        if meta::str_at(pod, "status.reason") == "NodeLost" {
            "Unknown".clone_into(&mut self.reason);
        } else if !ended {
            "Terminating".clone_into(&mut self.reason);
        }
    }
}

fn is_ready(status: &Value) -> bool {
    meta::at(status, "ready") == Some(&Value::Bool(true))
}

fn first_reason(pod: &Value) -> String {
    let gated = meta::list_at(pod, "status.conditions")
        .iter()
        .any(|c| meta::str_at(c, "type") == "PodScheduled" && meta::str_at(c, "reason") == "SchedulingGated");
    let own = meta::str_at(pod, "status.reason");
    match (gated, own) {
        (true, _) => "SchedulingGated".to_owned(),
        (false, "") => meta::str_at(pod, "status.phase").to_owned(),
        (false, own) => own.to_owned(),
    }
}

fn why_ended(ended: &Value) -> String {
    let reason = meta::str_at(ended, "reason");
    let signal = meta::int_at(ended, "signal");
    match (reason, signal) {
        ("", 0) => format!("ExitCode:{}", meta::int_at(ended, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

pub(super) const TEMPLATE_COLUMNS: &[Column] = &[
    NAME,
    text("Containers", says("Names of the template's containers")),
    text("Images", says("Images of the template's containers")),
    text("Pod Labels", says("Labels of the template's pods")),
];

pub(super) fn template_cells(object: &Value, _: i64) -> Vec<Value> {
    let [names, images] = meta::at(object, "template.spec").map(containers).unwrap_or_default();
    vec![meta::name(object).into(), names, images, labels(meta::at(object, "template.metadata.labels"))]
}
