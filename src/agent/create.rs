//! A pod's sandbox and containers in the runtime's words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::meta;
use api::quantity::Quantity;
use pods::containers;
use pods::env::{self, Sources};
use serde_json::Value;

use crate::context::{Context, labels};
use crate::cri::messages as m;
use crate::runtime::{IMAGE, WORDS_FILE, WORDS_POLICY};

/// Upstream's default masked and read-only paths of /proc and /sys.
const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// Names of the runtime for where a namespace is from.
const POD: i32 = 0;
const CONTAINER: i32 = 1;
const NODE: i32 = 2;
/// The most of a resolver's search list.
const SEARCHES: usize = 32;

/// A name of this machine for the pod.
pub(crate) fn hostname(context: &Context, pod: &Value) -> String {
    if pod["spec"]["hostNetwork"] == true {
        return context.config.node.clone();
    }
    let own = meta::str_at(pod, "spec.hostname");
    let name = if own.is_empty() { meta::name(pod) } else { own };
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

pub(crate) fn sandbox(context: &Context, pod: &Value, attempt: u32) -> m::SandboxConfig {
    let spec = &pod["spec"];
    let host_network = spec["hostNetwork"] == true;
    let security = &spec["securityContext"];
    let ports = if host_network { Vec::new() } else { ports(pod) };
    m::SandboxConfig {
        metadata: Some(m::SandboxMetadata {
            name: meta::name(pod).to_owned(),
            uid: meta::uid(pod).to_owned(),
            namespace: meta::namespace(pod).to_owned(),
            attempt,
        }),
        hostname: if host_network { String::new() } else { hostname(context, pod) },
        log_directory: logs(context, pod).display().to_string(),
        dns: dns(context, pod),
        ports,
        labels: labels(pod, None),
        annotations: meta::annotations(pod).map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        linux: Some(m::SandboxLinux {
            cgroup_parent: cgroup(context, pod),
            security: Some(m::SandboxSecurity {
                namespaces: Some(namespaces(pod)),
                selinux: selinux(&security["seLinuxOptions"]),
                run_as_user: None,
                run_as_group: None,
                supplemental_groups: groups(security),
                privileged: containers(pod).any(|(_, one)| one["securityContext"]["privileged"] == true),
                seccomp: Some(m::SecurityProfile { kind: 0, localhost_ref: String::new() }),
            }),
            sysctls: meta::list_at(security, "sysctls")
                .iter()
                .map(|one| (meta::str_at(one, "name").to_owned(), meta::str_at(one, "value").to_owned()))
                .collect(),
        }),
    }
}

fn ports(pod: &Value) -> Vec<m::PortMapping> {
    let all = containers(pod).flat_map(|(_, one)| meta::list_at(one, "ports"));
    let number = |port: &Value, field: &str| i32::try_from(port[field].as_i64().unwrap_or(0)).unwrap_or(0);
    let mapped = all.filter(|port| number(port, "hostPort") > 0).map(|port| m::PortMapping {
        protocol: match meta::str_at(port, "protocol") {
            "UDP" => 1,
            "SCTP" => 2,
            _ => 0,
        },
        container_port: number(port, "containerPort"),
        host_port: number(port, "hostPort"),
        host_ip: meta::str_at(port, "hostIP").to_owned(),
    });
    mapped.collect()
}

fn namespaces(pod: &Value) -> m::NamespaceOption {
    let spec = &pod["spec"];
    let of = |field: &str, own: i32| if spec[field] == true { NODE } else { own };
    let pid = if spec["shareProcessNamespace"] == true { POD } else { CONTAINER };
    m::NamespaceOption {
        network: of("hostNetwork", POD),
        pid: of("hostPID", pid),
        ipc: of("hostIPC", POD),
        target_id: String::new(),
    }
}

fn groups(security: &Value) -> Vec<i64> {
    let listed = meta::list_at(security, "supplementalGroups").iter().filter_map(Value::as_i64);
    listed.chain(security["fsGroup"].as_i64()).collect()
}

/// Where a pod's cgroup lies: below its quality of service, with the runtime's driver.
fn cgroup(context: &Context, pod: &Value) -> String {
    let (qos, uid) = (pods::qos(pod).to_lowercase(), meta::uid(pod));
    let burst = qos != "guaranteed";
    if context.systemd_cgroup {
        let uid = uid.replace('-', "_");
        let class = if burst { format!("-{qos}") } else { String::new() };
        return format!("kubepods{class}-pod{uid}.slice");
    }
    let class = if burst { format!("/{qos}") } else { String::new() };
    format!("/kubepods{class}/pod{uid}")
}

/// Where a pod's logs are.
pub(crate) fn logs(context: &Context, pod: &Value) -> PathBuf {
    context.logs.join(format!("{}_{}_{}", meta::namespace(pod), meta::name(pod), meta::uid(pod)))
}

/// How the pod finds names.
fn dns(context: &Context, pod: &Value) -> Option<m::DnsConfig> {
    let spec = &pod["spec"];
    let policy = match (meta::str_at(pod, "spec.dnsPolicy"), spec["hostNetwork"] == true) {
        ("ClusterFirstWithHostNet", _) | ("ClusterFirst" | "", false) => "ClusterFirst",
        ("None", _) => "None",
        _ => "Default",
    };
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let of_host = |key: &str| -> Vec<String> {
        let lines = host.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix([' ', '\t']));
        lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
    };
    let mut dns = match policy {
        "ClusterFirst" => {
            let domain = &context.config.cluster_domain;
            let own =
                [format!("{}.svc.{domain}", meta::namespace(pod)), format!("svc.{domain}"), domain.clone()];
            m::DnsConfig {
                servers: vec![context.config.cluster_dns.to_string()],
                searches: own.into_iter().chain(of_host("search")).collect(),
                options: vec!["ndots:5".to_owned()],
            }
        }
        "Default" => m::DnsConfig {
            servers: of_host("nameserver"),
            searches: of_host("search"),
            options: of_host("options"),
        },
        _ => m::DnsConfig::default(),
    };
    let texts = |field: &str| {
        let all = spec["dnsConfig"][field].as_array().into_iter().flatten();
        all.filter_map(|one| one.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let add = |list: &mut Vec<String>, more: Vec<String>| {
        more.into_iter().for_each(|one| {
            if !list.contains(&one) {
                list.push(one);
            }
        })
    };
    add(&mut dns.servers, texts("nameservers"));
    add(&mut dns.searches, texts("searches"));
    dns.searches.truncate(SEARCHES);
    for option in meta::list_at(spec, "dnsConfig.options") {
        let name = meta::str_at(option, "name");
        dns.options.retain(|there| there.split(':').next() != Some(name));
        dns.options.push(match option["value"].as_str() {
            Some(value) => format!("{name}:{value}"),
            None => name.to_owned(),
        });
    }
    Some(dns)
}

/// What a container is made from, beside its spec.
pub(crate) struct Parts<'a> {
    pub(crate) pod: &'a Value,
    pub(crate) spec: &'a Value,
    pub(crate) attempt: u32,
    pub(crate) image: &'a m::Image,
    pub(crate) sources: &'a Sources,
    pub(crate) volumes: &'a BTreeMap<String, PathBuf>,
}

/// Why a container cannot be made (upstream's CreateContainerConfigError).
#[derive(Debug)]
pub(crate) struct NoContainer(pub(crate) String);

pub(crate) fn container(context: &Context, parts: &Parts<'_>) -> Result<m::ContainerConfig, NoContainer> {
    let Parts { pod, spec, attempt, .. } = parts;
    let name = meta::str_at(spec, "name");
    let variables = env::variables(pod, spec, parts.sources).map_err(|missing| NoContainer(missing.0))?;
    let expanded = |field: &str| -> Vec<String> {
        let all = spec[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        all.map(|text| env::expand(text, &variables)).collect()
    };
    let words = termination_file(context, parts).map_err(|error| NoContainer(error.to_string()))?;
    let mut annotations = BTreeMap::from([
        (IMAGE.to_owned(), meta::str_at(spec, "image").to_owned()),
        (WORDS_FILE.to_owned(), words.display().to_string()),
        (WORDS_POLICY.to_owned(), meta::str_at(spec, "terminationMessagePolicy").to_owned()),
    ]);
    annotations.insert("io.kubernetes.container.restartCount".to_owned(), attempt.to_string());
    Ok(m::ContainerConfig {
        metadata: Some(m::ContainerMetadata { name: name.to_owned(), attempt: *attempt }),
        image: Some(m::ImageSpec { image: parts.image.id.clone() }),
        command: expanded("command"),
        args: expanded("args"),
        working_dir: meta::str_at(spec, "workingDir").to_owned(),
        mounts: mounts(context, parts, &words, &variables)?,
        envs: variables.into_iter().map(|(key, value)| m::KeyValue { key, value }).collect(),
        labels: labels(pod, Some(name)),
        annotations,
        log_path: format!("{name}/{attempt}.log"),
        stdin: spec["stdin"] == true,
        stdin_once: spec["stdinOnce"] == true,
        tty: spec["tty"] == true,
        linux: Some(m::ContainerLinux {
            resources: Some(resources(context, pod, spec)),
            security: Some(security(pod, spec, parts.image)?),
        }),
    })
}

/// An empty file for a container's last words.
fn termination_file(context: &Context, parts: &Parts<'_>) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let name = meta::str_at(parts.spec, "name");
    let folder = crate::volumes::folder(context, parts.pod).join("containers").join(name);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join(parts.attempt.to_string());
    std::fs::write(&file, "")?;
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666))?;
    Ok(file)
}

fn mounts(
    context: &Context,
    parts: &Parts<'_>,
    words: &Path,
    variables: &[(String, String)],
) -> Result<Vec<m::Mount>, NoContainer> {
    let spec = parts.spec;
    let mut mounts = Vec::new();
    for mount in meta::list_at(spec, "volumeMounts") {
        let name = meta::str_at(mount, "name");
        let Some(volume) = parts.volumes.get(name) else {
            return Err(NoContainer(format!("volume \"{name}\" is not there")));
        };
        let below = match meta::str_at(mount, "subPathExpr") {
            "" => meta::str_at(mount, "subPath").to_owned(),
            text => expanded_path(text, variables)?,
        };
        let host_path = if below.is_empty() { volume.clone() } else { sub_path(volume, &below)? };
        mounts.push(m::Mount {
            container_path: meta::str_at(mount, "mountPath").to_owned(),
            host_path: host_path.display().to_string(),
            readonly: mount["readOnly"] == true,
            propagation: match meta::str_at(mount, "mountPropagation") {
                "HostToContainer" => 1,
                "Bidirectional" => 2,
                _ => 0,
            },
        });
    }
    let taken =
        |path: &str| meta::list_at(spec, "volumeMounts").iter().any(|mount| mount["mountPath"] == path);
    if !taken("/etc/hosts") {
        let hosts = hosts(context, parts).map_err(|error| NoContainer(error.to_string()))?;
        mounts.push(mount_file("/etc/hosts", &hosts));
    }
    let path = Some(meta::str_at(spec, "terminationMessagePath")).filter(|path| !path.is_empty());
    mounts.push(mount_file(path.unwrap_or("/dev/termination-log"), words));
    Ok(mounts)
}

/// A path whose variables must all be known, and which must stay below its volume.
fn expanded_path(text: &str, variables: &[(String, String)]) -> Result<String, NoContainer> {
    let path = env::expand(text, variables);
    // What is not known stays as it was written.
    let unknown = text.split("$(").skip(1).filter_map(|part| Some(part.split_once(')')?.0));
    for name in unknown {
        if !variables.iter().any(|(known, _)| known == name) {
            return Err(NoContainer(format!("missing value for {name:?}")));
        }
    }
    if path.starts_with('/') {
        return Err(NoContainer(format!("error SubPath `{path}` must not be an absolute path")));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(NoContainer(format!("unable to provision SubPath `{path}`: must not contain '..'")));
    }
    Ok(path)
}

fn mount_file(inside: &str, outside: &Path) -> m::Mount {
    m::Mount {
        container_path: inside.to_owned(),
        host_path: outside.display().to_string(),
        readonly: false,
        propagation: 0,
    }
}

/// A path below a volume, made where it is missing. Every part is looked at before the next is
/// made: no link that a container left may lead out of the volume.
fn sub_path(volume: &Path, below: &str) -> Result<PathBuf, NoContainer> {
    let failed = |why: String| NoContainer(format!("failed to prepare subPath for volumeMount: {why}"));
    let io = |error: std::io::Error| failed(error.to_string());
    let root = volume.canonicalize().map_err(io)?;
    let mut place = root.clone();
    for part in Path::new(below).components() {
        let std::path::Component::Normal(name) = part else {
            return Err(failed(format!("{below} leads out of the volume")));
        };
        let next = place.join(name);
        match std::fs::symlink_metadata(&next) {
            Ok(found) if found.is_symlink() => {
                place = next.canonicalize().map_err(io)?;
                if !place.starts_with(&root) {
                    return Err(failed(format!("{below} leads out of the volume")));
                }
                continue;
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir(&next).map_err(io)?
            }
            Err(error) => return Err(io(error)),
        }
        place = next;
    }
    Ok(place)
}

/// The pod's /etc/hosts, one for all its containers.
fn hosts(context: &Context, parts: &Parts<'_>) -> std::io::Result<PathBuf> {
    let pod = parts.pod;
    let file = crate::volumes::folder(context, pod).join("etc-hosts");
    let mut text = if pod["spec"]["hostNetwork"] == true {
        let own = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        format!("# Kubernetes-managed hosts file (host network).\n{own}")
    } else {
        let name = hostname(context, pod);
        let subdomain = meta::str_at(pod, "spec.subdomain");
        let full = match subdomain {
            "" => String::new(),
            sub => format!("{name}.{sub}.{}.svc.{}\t", meta::namespace(pod), context.config.cluster_domain),
        };
        format!(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n{}\t{full}{name}\n",
            parts.sources.pod_ip
        )
    };
    let aliases = meta::list_at(pod, "spec.hostAliases");
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = meta::list_at(alias, "hostnames").iter().filter_map(Value::as_str);
        text.push_str(&format!("{}\t{}\n", meta::str_at(alias, "ip"), names.collect::<Vec<_>>().join("\t")));
    }
    std::fs::write(&file, text)?;
    Ok(file)
}

fn resources(context: &Context, pod: &Value, spec: &Value) -> m::Resources {
    const PERIOD: i64 = 100_000;
    let of = |list: &str, name: &str| Quantity::of(&spec["resources"][list][name]);
    let cpu_limit = of("limits", "cpu").map(Quantity::milli);
    let cpu = of("requests", "cpu").map(Quantity::milli).or(cpu_limit).unwrap_or(0);
    let memory_limit = of("limits", "memory").map_or(0, Quantity::value);
    let memory = of("requests", "memory").map_or(memory_limit, Quantity::value);
    // Upstream's: what is asked for is what is spared.
    let oom = match pods::qos(pod) {
        "Guaranteed" => -997,
        "BestEffort" => 1000,
        _ => (1000 - 1000 * memory / context.capacity.1.max(1)).clamp(3, 999),
    };
    m::Resources {
        cpu_period: if cpu_limit.is_some() { PERIOD } else { 0 },
        cpu_quota: cpu_limit.map_or(0, |milli| (milli * PERIOD / 1000).max(1000)),
        cpu_shares: (cpu * 1024 / 1000).clamp(2, 262_144),
        memory_limit,
        oom_score_adj: oom,
    }
}

fn security(pod: &Value, spec: &Value, image: &m::Image) -> Result<m::ContainerSecurity, NoContainer> {
    let (of_pod, own) = (&pod["spec"]["securityContext"], &spec["securityContext"]);
    let either = |field: &str| if own[field].is_null() { of_pod[field].clone() } else { own[field].clone() };
    let user = either("runAsUser").as_i64();
    let group = either("runAsGroup").as_i64();
    if either("runAsNonRoot") == true {
        non_root(pod, spec, user, image)?;
    }
    let privileged = own["privileged"] == true;
    let list = |field: &str| -> Vec<String> {
        let all = own["capabilities"][field].as_array().into_iter().flatten();
        all.filter_map(|one| one.as_str().map(|name| name.trim_start_matches("CAP_").to_owned())).collect()
    };
    let paths = |all: &[&str]| {
        if privileged { Vec::new() } else { all.iter().map(|path| (*path).to_owned()).collect() }
    };
    let profile = either("seccompProfile");
    let kind = match profile["type"].as_str() {
        Some("RuntimeDefault") => 0,
        Some("Localhost") => 2,
        _ => 1,
    };
    Ok(m::ContainerSecurity {
        capabilities: Some(m::Capabilities { add: list("add"), drop: list("drop") }),
        privileged,
        namespaces: Some(namespaces(pod)),
        selinux: selinux(&either("seLinuxOptions")),
        run_as_user: user.or(image.uid.as_ref().map(|uid| uid.value)).map(|value| m::Int64Value { value }),
        run_as_group: group.map(|value| m::Int64Value { value }),
        run_as_username: if user.is_none() { image.username.clone() } else { String::new() },
        readonly_rootfs: own["readOnlyRootFilesystem"] == true,
        supplemental_groups: groups(of_pod),
        no_new_privs: own["allowPrivilegeEscalation"] == false,
        masked_paths: paths(MASKED),
        readonly_paths: paths(READ_ONLY),
        seccomp: Some(m::SecurityProfile {
            kind,
            localhost_ref: meta::str_at(&profile, "localhostProfile").to_owned(),
        }),
    })
}

/// SELinux's labels; a runtime on a machine without SELinux leaves them out, as upstream.
fn selinux(options: &Value) -> Option<m::SelinuxOption> {
    options.as_object().filter(|options| !options.is_empty())?;
    let text = |field: &str| meta::str_at(options, field).to_owned();
    Some(m::SelinuxOption {
        user: text("user"),
        role: text("role"),
        kind: text("type"),
        level: text("level"),
    })
}

/// Upstream's check that a container does not run as root.
fn non_root(pod: &Value, spec: &Value, user: Option<i64>, image: &m::Image) -> Result<(), NoContainer> {
    let place = format!(
        "(pod: \"{}_{}({})\", container: {})",
        meta::name(pod),
        meta::namespace(pod),
        meta::uid(pod),
        meta::str_at(spec, "name")
    );
    match (user, &image.uid) {
        (Some(0), _) => Err(NoContainer(format!("container's runAsUser breaks non-root policy {place}"))),
        (None, Some(uid)) if uid.value == 0 => {
            Err(NoContainer(format!("container has runAsNonRoot and image will run as root {place}")))
        }
        (None, None) if image.username.is_empty() => {
            Err(NoContainer(format!("container has runAsNonRoot and image will run as root {place}")))
        }
        (None, None) => Err(NoContainer(format!(
            "container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {place}",
            image.username
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_variables_stays_below_its_volume() {
        let known = [("POD".to_owned(), "web-0".to_owned()), ("ROOT".to_owned(), "/tmp".to_owned())];
        let said = |text: &str| expanded_path(text, &known).map_err(|error| error.0);
        assert_eq!(said("logs/$(POD)"), Ok("logs/web-0".to_owned()));
        assert_eq!(said("$(NONE)"), Err("missing value for \"NONE\"".to_owned()));
        assert!(said("$(ROOT)").unwrap_err().contains("must not be an absolute path"));
        assert!(said("../$(POD)").unwrap_err().contains("must not contain '..'"));
    }

    #[test]
    fn a_path_below_a_volume_never_leads_out_of_it() {
        let (outside, volume) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(outside.path(), volume.path().join("trap")).unwrap();
        std::os::unix::fs::symlink("real", volume.path().join("link")).unwrap();
        let made = sub_path(volume.path(), "real/deep").unwrap();
        assert!(made.is_dir() && made.ends_with("real/deep"));
        assert!(sub_path(volume.path(), "link/deep").unwrap().ends_with("real/deep"));
        for below in ["trap", "trap/x", "../x", "/etc"] {
            assert!(sub_path(volume.path(), below).unwrap_err().0.contains("leads out"), "{below}");
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "nothing was made outside");
    }
}
