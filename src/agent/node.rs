//! The machine's Node: registered at start, its lease renewed, its status told when it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use base::{Shutdown, chain};
use client::{ApiError, Place, Resource, View, Write};
use serde_json::{Value, json};

use crate::context::{Context, core, stamp};

/// Upstream's numbers: the lease is renewed every ten seconds and holds for forty.
const RENEW: Duration = Duration::from_secs(10);
const HOLDS: i64 = 40;
/// How often the status is looked at, and told although nothing changed.
const LOOK: Duration = Duration::from_secs(10);
const TELL: i64 = 300;
/// Pods of a node, upstream's default.
const PODS: u32 = 110;
/// Where an agent notes which labels and taints it has set, to take them back.
const SET: &str = "cluster.internal/agent-set";
const VERSION: &str = "v1.37.2";

/// What the machine is, looked at once.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) cpus: i64,
    pub(crate) memory_bytes: i64,
    pub(crate) disk_bytes: i64,
    info: Value,
}

impl Machine {
    /// Reads what the kernel tells.
    pub(crate) fn look(runtime: &str) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let memory = read("/proc/meminfo");
        let kib = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<i64>().ok());
        let disk =
            rustix::fs::statvfs("/var/lib").map_or(0, |stat| stat.f_blocks.saturating_mul(stat.f_frsize));
        let release = read("/etc/os-release");
        let os = release
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="))
            .unwrap_or("Linux")
            .trim_matches('"')
            .to_owned();
        let cpus = std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(1));
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        Self {
            cpus,
            memory_bytes: kib.unwrap_or(0) * 1024,
            disk_bytes: i64::try_from(disk).unwrap_or(i64::MAX),
            info: json!({
                "machineID": read("/etc/machine-id"),
                "systemUUID": read("/sys/class/dmi/id/product_uuid"),
                "bootID": read("/proc/sys/kernel/random/boot_id"),
                "kernelVersion": read("/proc/sys/kernel/osrelease"),
                "osImage": os,
                "containerRuntimeVersion": runtime,
                "kubeletVersion": VERSION,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": architecture,
            }),
        }
    }

    fn resources(&self) -> Value {
        json!({
            "cpu": self.cpus.to_string(),
            "memory": format!("{}Ki", self.memory_bytes / 1024),
            "ephemeral-storage": format!("{}Ki", self.disk_bytes / 1024),
            "pods": PODS.to_string(),
        })
    }
}

/// The labels that the agent sets.
fn labels(context: &Context) -> BTreeMap<String, String> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let mut labels = context.config.labels.clone();
    for (key, value) in [
        ("kubernetes.io/hostname", context.config.node.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", architecture),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

fn taints(context: &Context) -> Vec<Value> {
    let all = context.config.taints.iter();
    all.map(|taint| json!({"key": taint.key, "value": taint.value, "effect": taint.effect})).collect()
}

fn resource() -> Resource {
    core("nodes", "Node")
}

/// Registers the Node, or brings one that is there to what the configuration says.
pub(crate) async fn register(context: &Context, machine: &Machine) -> Result<Value, ApiError> {
    let place = Place::cluster(&context.config.node);
    let (labels, taints) = (labels(context), taints(context));
    let note = json!({
        "labels": labels.keys().collect::<Vec<_>>(),
        "taints": taints.iter().map(|taint| json!([taint["key"], taint["effect"]])).collect::<Vec<_>>(),
    })
    .to_string();
    let object = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": context.config.node, "labels": labels, "annotations": {SET: note}},
        "spec": {"providerID": context.config.provider_id, "taints": taints},
        "status": status(context, machine, None, &Readiness::Starting, &[]),
    });
    let created = context.api.write(&resource(), Write::Create { namespace: None, object }).await;
    match created {
        Err(error) if error.is_already_exists() => {}
        created => return created,
    }
    let there = context.api.get(&resource(), &place, View::Whole).await?;
    let before: Value =
        meta::annotation(&there, SET).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut changed: BTreeMap<String, Value> =
        labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    for lost in before["labels"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        changed.entry(lost.to_owned()).or_insert(Value::Null);
    }
    let ours = |taint: &Value| {
        let id = json!([taint["key"], taint["effect"]]);
        before["taints"].as_array().is_some_and(|all| all.contains(&id))
            || taints.iter().any(|own| own["key"] == taint["key"] && own["effect"] == taint["effect"])
    };
    let mut wanted: Vec<Value> =
        meta::list_at(&there, "spec.taints").iter().filter(|taint| !ours(taint)).cloned().collect();
    wanted.extend(taints.iter().cloned());
    let patch = json!({
        "metadata": {"labels": changed, "annotations": {SET: note}, "resourceVersion": meta::resource_version(&there)},
        "spec": {"taints": wanted},
    });
    context.api.write(&resource(), Write::Merge { place, subresource: None, patch }).await
}

/// Whether the machine can run pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It has only begun.
    Starting,
    /// It can.
    Ready,
    /// It cannot; why.
    Not(String),
}

fn status(
    context: &Context,
    machine: &Machine,
    before: Option<&Value>,
    readiness: &Readiness,
    images: &[Value],
) -> Value {
    let now = stamp(context.clock.now());
    let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
        let status = if holds { "True" } else { "False" };
        let conditions = before.map_or(&[][..], |node| meta::list_at(node, "status.conditions"));
        let old = conditions.iter().find(|one| one["type"] == kind && one["status"] == status);
        let since = old.and_then(|old| old["lastTransitionTime"].as_str()).unwrap_or(&now).to_owned();
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": since,
        })
    };
    let (ready, reason, message) = match readiness {
        Readiness::Ready => (true, "KubeletReady", "kubelet is posting ready status".to_owned()),
        Readiness::Starting => (false, "KubeletNotReady", "the agent is starting".to_owned()),
        Readiness::Not(why) => (false, "KubeletNotReady", why.clone()),
    };
    let mut addresses = vec![
        json!({"type": "InternalIP", "address": context.config.address.to_string()}),
        json!({"type": "Hostname", "address": context.config.node}),
    ];
    addresses.extend(
        context.config.external_address.map(|ip| json!({"type": "ExternalIP", "address": ip.to_string()})),
    );
    json!({
        "capacity": machine.resources(),
        "allocatable": machine.resources(),
        "conditions": [
            condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", ready, reason, &message),
        ],
        "addresses": addresses,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": machine.info,
        "images": images,
    })
}

/// What of a status is told only every five minutes where nothing else changed.
fn without_times(status: &Value) -> Value {
    let mut status = status.clone();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        condition["lastHeartbeatTime"] = Value::Null;
    }
    status
}

/// Tells the status whenever it changes, until stopped.
pub(crate) async fn keep_status(
    context: Arc<Context>,
    machine: Machine,
    network_ready: tokio::sync::watch::Receiver<bool>,
    shutdown: Shutdown,
) {
    let place = Place::cluster(&context.config.node);
    let mut network_ready = network_ready;
    let mut told: Option<(Value, i64)> = None;
    while !shutdown.is_triggered() {
        // Read before anything is awaited: whoever tells must not wait for who hears.
        let network = *network_ready.borrow_and_update();
        let readiness = readiness(&context, network).await;
        let images = images(&context).await;
        let now = context.clock.now().as_second();
        let before = client::found(context.api.get(&resource(), &place, View::Whole).await);
        match before {
            Ok(Some(node)) => {
                let status = status(&context, &machine, Some(&node), &readiness, &images);
                let same = told.as_ref().is_some_and(|(last, at)| {
                    *last == without_times(&status) && now - at < TELL && is_told(&node, &status)
                });
                if !same {
                    let patch = json!({"status": status});
                    let write = Write::Merge { place: place.clone(), subresource: Some("status"), patch };
                    match context.api.write(&resource(), write).await {
                        Ok(_) => told = Some((without_times(&status), now)),
                        Err(error) => {
                            tracing::warn!(error = %chain(&error), "the node's status could not be told")
                        }
                    }
                }
            }
            Ok(None) => {
                if let Err(error) = register(&context, &machine).await {
                    tracing::warn!(error = %chain(&error), "the node could not be registered again");
                }
            }
            Err(error) => tracing::warn!(error = %chain(&error), "the node cannot be looked at"),
        }
        let pause = if readiness == Readiness::Ready { LOOK } else { LOOK / 10 };
        tokio::select! {
            () = shutdown.triggered() => return,
            _ = network_ready.changed() => {}
            () = context.clock.sleep(pause) => {}
        }
    }
}

/// Whether the API still says what was told: the control plane says Unknown of a node that was silent.
fn is_told(node: &Value, status: &Value) -> bool {
    let ready = |conditions: &Value| {
        let all = conditions.as_array().into_iter().flatten();
        all.clone().find(|one| one["type"] == "Ready").map(|one| one["status"].clone())
    };
    ready(&node["status"]["conditions"]) == ready(&status["conditions"])
}

async fn readiness(context: &Context, network: bool) -> Readiness {
    let conditions = match context.cri.conditions().await {
        Ok(conditions) => conditions,
        Err(error) => return Readiness::Not(format!("container runtime is down: {error}")),
    };
    let trouble = conditions.iter().find(|one| one.kind == "RuntimeReady" && !one.holds);
    if let Some(trouble) = trouble {
        return Readiness::Not(format!("container runtime not ready: {}", trouble.message));
    }
    if !network || conditions.iter().any(|one| one.kind == "NetworkReady" && !one.holds) {
        return Readiness::Not(
            "container runtime network not ready: the pod network is being prepared".to_owned(),
        );
    }
    Readiness::Ready
}

/// The images that the node holds, largest first, as far as upstream tells (50).
async fn images(context: &Context) -> Vec<Value> {
    let mut images = context.cri.images().await.unwrap_or_default();
    images.sort_by(|a, b| b.size.cmp(&a.size).then(a.id.cmp(&b.id)));
    let told = images.into_iter().take(50).map(|image| {
        let names: Vec<String> = image.digests.into_iter().chain(image.tags).collect();
        json!({"names": names, "sizeBytes": image.size})
    });
    told.collect()
}

/// Renews the node's lease until stopped.
pub(crate) async fn keep_lease(context: Arc<Context>, shutdown: Shutdown) {
    let resource = Resource {
        group: "coordination.k8s.io".into(),
        plural: "leases".into(),
        kind: "Lease".into(),
        ..core("leases", "Lease")
    };
    let place = Place::within("kube-node-lease", &context.config.node);
    while !shutdown.is_triggered() {
        let micro = context.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
        let spec =
            json!({"holderIdentity": context.config.node, "leaseDurationSeconds": HOLDS, "renewTime": micro});
        let patch = json!({"spec": spec});
        let write = Write::Merge { place: place.clone(), subresource: None, patch };
        let result = match context.api.write(&resource, write).await {
            Err(error) if error.is_not_found() => {
                let object = json!({
                    "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                    "metadata": {"name": context.config.node, "namespace": "kube-node-lease"}, "spec": spec,
                });
                let create = Write::Create { namespace: place.namespace.clone(), object };
                context.api.write(&resource, create).await
            }
            result => result,
        };
        let pause = match result {
            Ok(_) => RENEW,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the node's lease could not be renewed");
                RENEW / 10
            }
        };
        shutdown.race(context.clock.sleep(pause)).await;
    }
}
