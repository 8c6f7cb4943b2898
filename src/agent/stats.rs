//! What node, pods and containers use: upstream's Summary and its metrics, of what the kernel
//! and the runtime tell when they are asked. Nothing is measured in between.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use api::meta;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::context::{Context, POD_UID, stamp};
use crate::cri::messages as m;

/// The kernel's clock ticks, as every architecture that is served has them.
const TICK_NANOSECONDS: u64 = 10_000_000;

/// The node's processor time when it was last looked at, for its rate.
#[derive(Debug, Default)]
pub(crate) struct Sampler(Mutex<Option<(i128, u64)>>);

/// All that is told.
pub(crate) struct Usage {
    now: Timestamp,
    /// The Summary's `node`.
    node: Value,
    containers: Vec<Used>,
}

/// What a container uses, in the Summary's words.
struct Used {
    namespace: String,
    pod: String,
    uid: String,
    name: String,
    started: i64,
    cpu: Value,
    memory: Value,
    disk: Value,
}

/// Looks at everything.
pub(crate) async fn look(context: &Context, sampler: &Sampler) -> Result<Usage, String> {
    let stats = context.cri.stats().await.map_err(|error| error.message)?;
    let known = context.cri.containers(None).await.map_err(|error| error.message)?;
    let begun: BTreeMap<&str, i64> = known.iter().map(|one| (&*one.id, one.created_at)).collect();
    let now = context.clock.now();
    let containers = stats.into_iter().filter_map(|one| used(one, &begun)).collect();
    Ok(Usage { now, node: node(context, sampler, now), containers })
}

fn used(stats: m::ContainerStats, begun: &BTreeMap<&str, i64>) -> Option<Used> {
    let of = stats.of?;
    let label = |key: &str| of.labels.get(key).cloned();
    let fields = |time: i64, pairs: &[(&str, &Option<m::UInt64Value>)]| {
        let mut all = Map::from_iter([("time".to_owned(), time_of(time))]);
        all.extend(
            pairs.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.as_ref()?.value.into()))),
        );
        Value::Object(all)
    };
    let cpu = stats.cpu.unwrap_or_default();
    let memory = stats.memory.unwrap_or_default();
    let disk = stats.disk.unwrap_or_default();
    Some(Used {
        namespace: label("io.kubernetes.pod.namespace")?,
        pod: label("io.kubernetes.pod.name")?,
        uid: label(POD_UID)?,
        name: label("io.kubernetes.container.name")?,
        started: begun.get(&*of.id).copied().unwrap_or_default(),
        cpu: fields(
            cpu.timestamp,
            &[("usageNanoCores", &cpu.nano_cores), ("usageCoreNanoSeconds", &cpu.core_nanoseconds)],
        ),
        memory: fields(
            memory.timestamp,
            &[
                ("availableBytes", &memory.available),
                ("usageBytes", &memory.usage),
                ("workingSetBytes", &memory.working_set),
                ("rssBytes", &memory.rss),
                ("pageFaults", &memory.page_faults),
                ("majorPageFaults", &memory.major_page_faults),
            ],
        ),
        disk: fields(disk.timestamp, &[("usedBytes", &disk.used), ("inodesUsed", &disk.inodes_used)]),
    })
}

fn time_of(nanoseconds: i64) -> Value {
    Timestamp::from_nanosecond(nanoseconds.into()).map_or(Value::Null, |time| stamp(time).into())
}

fn node(context: &Context, sampler: &Sampler, now: Timestamp) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpu, boot) = processor(&read("/proc/stat"));
    let time = stamp(now);
    let before = sampler.0.lock().unwrap_or_else(PoisonError::into_inner).replace((now.as_nanosecond(), cpu));
    let rate = before.and_then(|(at, before)| {
        let passed = u128::try_from(now.as_nanosecond() - at).ok().filter(|passed| *passed > 0)?;
        u64::try_from(u128::from(cpu.saturating_sub(before)) * 1_000_000_000 / passed).ok()
    });
    let processes =
        read("/proc/loadavg").split(['/', ' ']).nth(4).and_then(|count| count.parse::<i64>().ok());
    json!({
        "nodeName": context.config.node,
        "startTime": time_of(boot.saturating_mul(1_000_000_000)),
        "cpu": {"time": time, "usageNanoCores": rate.unwrap_or(0), "usageCoreNanoSeconds": cpu},
        "memory": memory(&read("/proc/meminfo"), &time),
        "network": network(&read("/proc/net/dev"), &time),
        "fs": disk(&context.root, &time),
        "runtime": {"imageFs": disk(std::path::Path::new("/var/lib/containerd"), &time)},
        "rlimit": {
            "time": time, "curproc": processes,
            "maxpid": read("/proc/sys/kernel/pid_max").trim().parse::<i64>().ok(),
        },
    })
}

/// Processor time in nanoseconds, and when the machine was started in Unix seconds.
fn processor(stat: &str) -> (u64, i64) {
    let line = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let ticks: Vec<u64> = line("cpu ").split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| ticks.get(*at)).sum();
    (busy.saturating_mul(TICK_NANOSECONDS), line("btime ").trim().parse().unwrap_or_default())
}

fn memory(meminfo: &str, time: &str) -> Value {
    let bytes = |name: &str| -> u64 {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() * 1024
    };
    let total = bytes("MemTotal");
    let usage = total.saturating_sub(bytes("MemFree"));
    let working = usage.saturating_sub(bytes("Inactive(file)"));
    json!({
        "time": time, "availableBytes": total.saturating_sub(working), "usageBytes": usage,
        "workingSetBytes": working, "rssBytes": bytes("AnonPages"),
    })
}

/// The interfaces that lead out of the machine; the first of them stands for it.
fn network(devices: &str, time: &str) -> Value {
    let one = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let numbers: Vec<u64> = rest.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let at = |index: usize| numbers.get(index).copied().unwrap_or_default();
        let inner = ["lo", "veth", "cni", "vxlan", "docker"].iter().any(|kind| name.trim().starts_with(kind));
        (!inner).then(|| {
            json!({"name": name.trim(), "rxBytes": at(0), "rxErrors": at(2), "txBytes": at(8), "txErrors": at(10)})
        })
    };
    let all: Vec<Value> = devices.lines().filter_map(one).collect();
    let mut told = all.first().cloned().unwrap_or_else(|| json!({}));
    told["time"] = time.into();
    told["interfaces"] = all.into();
    told
}

fn disk(path: &std::path::Path, time: &str) -> Value {
    let Ok(stat) = rustix::fs::statvfs(path) else { return json!({"time": time}) };
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    json!({
        "time": time, "availableBytes": bytes(stat.f_bavail), "capacityBytes": bytes(stat.f_blocks),
        "usedBytes": bytes(stat.f_blocks.saturating_sub(stat.f_bfree)), "inodes": stat.f_files,
        "inodesFree": stat.f_ffree, "inodesUsed": stat.f_files.saturating_sub(stat.f_ffree),
    })
}

impl Usage {
    /// Containers by the namespace, name and UID of their pod.
    fn pods(&self) -> BTreeMap<(&str, &str, &str), Vec<&Used>> {
        let mut pods: BTreeMap<_, Vec<&Used>> = BTreeMap::new();
        for one in &self.containers {
            pods.entry((&*one.namespace, &*one.pod, &*one.uid)).or_default().push(one);
        }
        pods
    }

    /// Upstream's Summary.
    pub(crate) fn summary(&self) -> Value {
        let pods = self.pods().into_iter().map(|((namespace, name, uid), all)| {
            let containers: Vec<Value> = all
                .iter()
                .map(|one| {
                    json!({
                        "name": one.name, "startTime": time_of(one.started), "cpu": one.cpu,
                        "memory": one.memory, "rootfs": one.disk,
                    })
                })
                .collect();
            json!({
                "podRef": {"name": name, "namespace": namespace, "uid": uid},
                "startTime": time_of(all.iter().map(|one| one.started).min().unwrap_or_default()),
                "containers": containers,
                "cpu": self.total(&all, |one| &one.cpu),
                "memory": self.total(&all, |one| &one.memory),
                "ephemeral-storage": self.total(&all, |one| &one.disk),
            })
        });
        json!({"node": self.node, "pods": pods.collect::<Vec<Value>>()})
    }

    fn total(&self, all: &[&Used], part: impl Fn(&Used) -> &Value) -> Value {
        let mut sum: Map<String, Value> = Map::new();
        sum.insert("time".to_owned(), stamp(self.now).into());
        for (name, value) in all.iter().filter_map(|one| part(one).as_object()).flatten() {
            if let Some(value) = value.as_u64() {
                let before = sum.get(name).and_then(Value::as_u64).unwrap_or_default();
                sum.insert(name.clone(), before.saturating_add(value).into());
            }
        }
        sum.into()
    }

    /// Upstream's `/metrics/resource`, which metrics-server reads.
    pub(crate) fn resource_metrics(&self) -> String {
        let pods = self.pods();
        let mut rows = Rows::default();
        let cpu = |value: &Value| value["usageCoreNanoSeconds"].as_u64().map(seconds);
        let memory = |value: &Value| value["workingSetBytes"].as_u64().map(|bytes| bytes.to_string());
        let of = |one: &Used| {
            format!("{{container={:?},namespace={:?},pod={:?}}}", one.name, one.namespace, one.pod)
        };
        let all = || self.containers.iter();
        rows.add("container_cpu_usage_seconds_total", true, all().map(|one| (of(one), cpu(&one.cpu))));
        rows.add(
            "container_memory_working_set_bytes",
            false,
            all().map(|one| (of(one), memory(&one.memory))),
        );
        let started = |one: &Used| u64::try_from(one.started).ok().map(seconds);
        rows.add("container_start_time_seconds", false, all().map(|one| (of(one), started(one))));
        rows.add("node_cpu_usage_seconds_total", true, [(String::new(), cpu(&self.node["cpu"]))]);
        rows.add("node_memory_working_set_bytes", false, [(String::new(), memory(&self.node["memory"]))]);
        let pod = |namespace: &str, pod: &str| format!("{{namespace={namespace:?},pod={pod:?}}}");
        let sums = |part: fn(&Used) -> &Value| {
            pods.iter().map(move |((namespace, name, _), all)| (pod(namespace, name), self.total(all, part)))
        };
        let cpus = sums(|one| &one.cpu).map(|(labels, sum)| (labels, cpu(&sum)));
        rows.add("pod_cpu_usage_seconds_total", true, cpus);
        let memories = sums(|one| &one.memory).map(|(labels, sum)| (labels, memory(&sum)));
        rows.add("pod_memory_working_set_bytes", false, memories);
        rows.add("resource_scrape_error", false, [(String::new(), Some("0".to_owned()))]);
        rows.0
    }

    /// A few of upstream's `/metrics`.
    pub(crate) fn metrics(&self, node: &str) -> String {
        let mut rows = Rows::default();
        rows.add("kubelet_node_name", false, [(format!("{{node={node:?}}}"), Some("1".to_owned()))]);
        let count = |count: usize| [(String::new(), Some(count.to_string()))];
        rows.add("kubelet_running_pods", false, count(self.pods().len()));
        let running = [("{container_state=\"running\"}".to_owned(), Some(self.containers.len().to_string()))];
        rows.add("kubelet_running_containers", false, running);
        rows.0
    }
}

fn seconds(nanoseconds: u64) -> String {
    format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

/// Prometheus' text.
#[derive(Default)]
struct Rows(String);

impl Rows {
    fn add(&mut self, name: &str, counts: bool, rows: impl IntoIterator<Item = (String, Option<String>)>) {
        let kind = if counts { "counter" } else { "gauge" };
        let _ = writeln!(self.0, "# TYPE {name} {kind}");
        for (labels, value) in rows {
            if let Some(value) = value {
                let _ = writeln!(self.0, "{name}{labels} {value}");
            }
        }
    }
}

/// The agent's settings in the form of upstream's `/configz`.
pub(crate) fn configz(context: &Context) -> Value {
    let config = &context.config;
    json!({"kubeletconfig": {
        "kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": config.address, "port": 10250, "maxPods": 110,
        "clusterDomain": config.cluster_domain, "clusterDNS": [config.cluster_dns],
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": true}},
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": if context.systemd_cgroup { "systemd" } else { "cgroupfs" },
        "containerRuntimeEndpoint": format!("unix://{}", config.containerd.display()),
        "streamingConnectionIdleTimeout": "4h0m0s",
    }})
}

/// Pods as a list of them.
pub(crate) fn pod_list(mut pods: Vec<Value>) -> Value {
    for pod in &mut pods {
        meta::fields(pod).retain(|name, _| name != "kind" && name != "apiVersion");
    }
    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, nanoseconds: u64) -> Used {
        let of = [
            ("io.kubernetes.pod.namespace", "a"),
            ("io.kubernetes.pod.name", "p"),
            (POD_UID, "u"),
            ("io.kubernetes.container.name", name),
        ];
        let value = |value| Some(m::UInt64Value { value });
        let stats = m::ContainerStats {
            of: Some(m::StatsOf {
                id: name.to_owned(),
                labels: of.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            }),
            cpu: Some(m::CpuUsage { timestamp: 0, core_nanoseconds: value(nanoseconds), nano_cores: None }),
            memory: Some(m::MemoryUsage { working_set: value(4096), ..m::MemoryUsage::default() }),
            disk: None,
        };
        used(stats, &BTreeMap::from([(name, 5_000_000_000)])).unwrap()
    }

    #[test]
    fn a_pod_uses_what_its_containers_use() {
        let containers = vec![container("b", 1_500_000_000), container("c", 500_000_000)];
        let node =
            json!({"cpu": {"usageCoreNanoSeconds": 7_000_000_000_u64}, "memory": {"workingSetBytes": 1}});
        let usage = Usage { now: Timestamp::UNIX_EPOCH, node, containers };
        let pod = &usage.summary()["pods"][0];
        assert_eq!(pod["podRef"], json!({"name": "p", "namespace": "a", "uid": "u"}));
        assert_eq!(
            (&pod["cpu"]["usageCoreNanoSeconds"], &pod["memory"]["workingSetBytes"]),
            (&json!(2_000_000_000_u64), &json!(8192))
        );
        assert_eq!(pod["startTime"], "1970-01-01T00:00:05Z");
        let text = usage.resource_metrics();
        for line in [
            "container_cpu_usage_seconds_total{container=\"b\",namespace=\"a\",pod=\"p\"} 1.500000000",
            "pod_memory_working_set_bytes{namespace=\"a\",pod=\"p\"} 8192",
            "node_cpu_usage_seconds_total 7.000000000",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "cpu  100 20 30 999 99 1 2 3 0 0\ncpu0 1 1\nbtime 1700000000\n";
        assert_eq!(processor(stat), (156 * TICK_NANOSECONDS, 1_700_000_000));
        let told = memory("MemTotal: 1000 kB\nMemFree: 400 kB\nInactive(file): 100 kB\n", "t");
        assert_eq!(
            (&told["workingSetBytes"], &told["availableBytes"]),
            (&json!(500 * 1024), &json!(500 * 1024))
        );
        let told = network("Inter-|\n face |\n lo: 1 1\n eth0: 10 1 2 0 0 0 0 0 20 2 3 0\n", "t");
        assert_eq!(
            (&told["name"], &told["rxBytes"], &told["txErrors"]),
            (&json!("eth0"), &json!(10), &json!(3))
        );
    }
}
