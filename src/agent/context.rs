//! What every pod's task shares.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use api::meta;
use base::Clock;
use client::{Api, ApiError, Place, Resource, View, Write};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::Config;
use crate::cri::Cri;

/// Sandboxes that are made at the same time.
const SANDBOXES: usize = 16;
/// Events that are remembered.
const EVENTS: usize = 1024;
/// Images that are pulled at the same time.
const PULLS: usize = 4;

/// The parts of an agent.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) api: Arc<dyn Api>,
    pub(crate) cri: Cri,
    pub(crate) clock: Arc<dyn Clock>,
    /// Where pods' volumes are.
    pub(crate) root: PathBuf,
    /// Where pods' logs are.
    pub(crate) logs: PathBuf,
    /// Where cgroups of pods lie below.
    pub(crate) systemd_cgroup: bool,
    /// Events told lately: what is told again is counted.
    told: Mutex<BTreeMap<String, (String, u64)>>,
    pub(crate) sandboxes: Semaphore,
    pub(crate) pulls: Semaphore,
    /// CPU in thousandths, memory in bytes.
    pub(crate) capacity: (i64, i64),
}

impl Context {
    pub(crate) fn new(
        config: Config,
        api: Arc<dyn Api>,
        clock: Arc<dyn Clock>,
        root: PathBuf,
        logs: PathBuf,
        systemd_cgroup: bool,
        capacity: (i64, i64),
    ) -> Self {
        let cri = Cri::new(config.containerd.clone());
        let (sandboxes, pulls) = (Semaphore::new(SANDBOXES), Semaphore::new(PULLS));
        let told = Mutex::default();
        Self { config, api, cri, clock, root, logs, systemd_cgroup, told, sandboxes, pulls, capacity }
    }

    /// An object of the core group.
    pub(crate) async fn get(
        &self,
        plural: &str,
        kind: &str,
        place: &Place,
    ) -> Result<Option<Value>, ApiError> {
        client::found(self.api.get(&core(plural, kind), place, View::Whole).await)
    }

    /// Tells what happened to a pod.
    pub(crate) async fn event(
        &self,
        pod: &Value,
        warning: bool,
        reason: &str,
        message: &str,
        container: Option<(&str, &str)>,
    ) {
        let now = self.clock.now();
        let name = meta::name(pod);
        let namespace = meta::namespace(pod);
        let field = container.map(|(list, name)| format!("spec.{list}{{{name}}}"));
        let at = stamp(now);
        if let Some((event, count)) =
            self.told_before(pod, reason, message, &format!("{name}.{:x}", now.as_nanosecond()))
        {
            let patch = json!({"count": count, "lastTimestamp": at});
            let write = Write::Merge { place: Place::within(namespace, &event), subresource: None, patch };
            if self.api.write(&core("events", "Event"), write).await.is_ok() {
                return;
            }
        }
        let object = json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": format!("{name}.{:x}", now.as_nanosecond()), "namespace": namespace},
            "involvedObject": {
                "apiVersion": "v1", "kind": "Pod", "name": name, "namespace": namespace, "uid": meta::uid(pod),
                "resourceVersion": meta::resource_version(pod), "fieldPath": field,
            },
            "type": if warning { "Warning" } else { "Normal" },
            "reason": reason,
            "message": message,
            "source": {"component": "kubelet", "host": self.config.node},
            "reportingComponent": "kubelet",
            "reportingInstance": self.config.node,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        });
        let create = Write::Create { namespace: Some(namespace.into()), object };
        if let Err(error) = self.api.write(&core("events", "Event"), create).await {
            tracing::warn!(error = %base::chain(&error), reason, "an event could not be told");
        }
    }
}

impl Context {
    /// The event that said the same of the same pod, with how often it is said now; else `name` is noted for it.
    fn told_before(&self, pod: &Value, reason: &str, message: &str, name: &str) -> Option<(String, u64)> {
        let key = format!("{} {reason} {message}", meta::uid(pod));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((event, count)) = told.get_mut(&key) {
            *count += 1;
            return Some((event.clone(), *count));
        }
        if told.len() >= EVENTS {
            told.pop_first();
        }
        told.insert(key, (name.to_owned(), 1));
        None
    }
}

/// A resource of the core group, version v1.
pub(crate) fn core(plural: &str, kind: &str) -> Resource {
    Resource {
        group: "".into(),
        version: "v1".into(),
        plural: plural.into(),
        kind: kind.into(),
        namespaced: plural != "nodes",
        verbs: Vec::new(),
    }
}

/// A time as the API writes it.
pub(crate) fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The runtime's labels of a pod's sandbox and containers, as upstream names them.
pub(crate) fn labels(pod: &Value, container: Option<&str>) -> BTreeMap<String, String> {
    let pairs = [
        ("io.kubernetes.pod.name", meta::name(pod)),
        ("io.kubernetes.pod.namespace", meta::namespace(pod)),
        (POD_UID, meta::uid(pod)),
    ];
    let mut labels: BTreeMap<String, String> = match container {
        None => meta::labels(pod).map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        Some(name) => BTreeMap::from([("io.kubernetes.container.name".to_owned(), name.to_owned())]),
    };
    labels.extend(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())));
    labels
}

/// The label that says whose a sandbox or container is.
pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
