//! What each scripted step consists of: the files it keeps and the body it runs. No I/O.
//!
//! `reach` and `clock` are not among them: they look from outside.

use plan::{Role, Step};

use super::distribution::Distribution;
use super::files::{Content, ManagedFile};
use super::material::{LeafKind, Machine, Material, MaterialError, api_name, leaves_of};
use super::template::{
    self, AgentConfig, AgentService, ArtifactsService, Body, ContainerdConfig, EtcdService, Label,
    ServerService, TaintView, TemplateError,
};
use plan::config::Config;

/// A step that is a script on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    HostKey,
    Packages,
    Kernel,
    Binary,
    Certificates,
    Etcd,
    Artifacts,
    Containerd,
    Server,
    Agent,
    Ready,
}

impl Script {
    /// The script of a step, if it has one.
    pub(super) fn of(step: Step) -> Option<Self> {
        Some(match step {
            Step::Reach | Step::Clock => return None,
            Step::HostKey => Self::HostKey,
            Step::Packages => Self::Packages,
            Step::Kernel => Self::Kernel,
            Step::Binary => Self::Binary,
            Step::Certificates => Self::Certificates,
            Step::Etcd => Self::Etcd,
            Step::Artifacts => Self::Artifacts,
            Step::Containerd => Self::Containerd,
            Step::Server => Self::Server,
            Step::Agent => Self::Agent,
            Step::Ready => Self::Ready,
        })
    }

    /// Its template in `templates/steps/`.
    fn body(self) -> &'static str {
        match self {
            Self::HostKey => "host-key.sh",
            Self::Packages => "packages.sh",
            Self::Kernel => "kernel.sh",
            Self::Binary => "binary.sh",
            Self::Certificates => "certificates.sh",
            Self::Etcd => "etcd.sh",
            Self::Artifacts => "artifacts.sh",
            Self::Containerd => "containerd.sh",
            Self::Server => "server.sh",
            Self::Agent => "agent.sh",
            Self::Ready => "ready.sh",
        }
    }

    /// The units whose journal tells why it failed; none: the whole journal may.
    pub(super) fn units(self) -> &'static [&'static str] {
        match self {
            Self::HostKey => &["ssh"],
            Self::Etcd => &["cluster-etcd"],
            Self::Artifacts => &["cluster-artifacts"],
            Self::Containerd => &["containerd"],
            Self::Server => &["cluster-server"],
            Self::Agent => &["cluster-agent"],
            Self::Ready => &["cluster-agent", "cluster-server", "containerd"],
            Self::Packages | Self::Kernel | Self::Binary | Self::Certificates => &[],
        }
    }
}

/// What a node told of itself at first contact.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    /// Its distribution's row.
    pub(super) distribution: &'static Distribution,
    /// Whether it runs on the unified cgroup hierarchy.
    pub(super) cgroup_v2: bool,
}

/// One node, as far as scripts need it.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) config: &'a Config,
    pub(super) uid: &'a str,
    pub(super) slot: &'a str,
    pub(super) role: Role,
    pub(super) region: &'a str,
    pub(super) machine: &'a Machine,
    pub(super) facts: &'a Facts,
    /// SHA-256 of the binary.
    pub(super) digest: &'a str,
    /// Where the compressed binary was uploaded to.
    pub(super) uploaded: Option<&'a str>,
    /// Private addresses of the masters.
    pub(super) masters: &'a [std::net::Ipv4Addr],
}

/// Why a script cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScriptError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Material(#[from] MaterialError),
}

/// A script's text; `fix` decides whether it also changes anything.
pub(super) fn render(
    node: &Node<'_>,
    material: &Material,
    script: Script,
    fix: bool,
) -> Result<String, ScriptError> {
    let files = files(node, material, script)?;
    let packages = node.facts.distribution.packages(node.role);
    let from_others = node.masters.iter().filter(|_| node.role == Role::Worker);
    let sources: Vec<String> =
        from_others.map(|master| format!("https://{master}:6444/binaries/sha256:{}", node.digest)).collect();
    let body = Body {
        packages: &packages,
        digest: node.digest,
        artifact: node.digest,
        uploaded: node.uploaded,
        sources: &sources,
    };
    Ok(template::step_script(script.body(), &body, &files, fix)?)
}

/// The script that user-data runs at boot: the packages step, whose failure there is not the last word.
pub(super) fn packages_at_boot(distribution: &Distribution, role: Role) -> Result<String, TemplateError> {
    let packages = distribution.packages(role);
    let body = Body { packages: &packages, digest: "", artifact: "", uploaded: None, sources: &[] };
    let script = template::step_script(Script::Packages.body(), &body, &[], true)?;
    Ok(format!("(\n{script}\n) || exit 0\n"))
}

fn files(node: &Node<'_>, material: &Material, script: Script) -> Result<Vec<ManagedFile>, ScriptError> {
    Ok(match script {
        Script::HostKey => vec![ManagedFile::public(
            "/etc/ssh/sshd_config.d/10-cluster.conf",
            "# Written by `cluster up`.\nHostKey /etc/ssh/cluster_host_ed25519_key\nPasswordAuthentication no\n"
                .to_owned(),
        )],
        Script::Kernel => vec![
            ManagedFile::public("/etc/modules-load.d/cluster.conf", "overlay\nbr_netfilter\nvxlan\n".to_owned()),
            ManagedFile::public(
                "/etc/sysctl.d/90-cluster.conf",
                "net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\n".to_owned(),
            ),
        ],
        Script::Certificates => certificates(node, material)?,
        Script::Etcd => vec![ManagedFile::public(
            "/etc/systemd/system/cluster-etcd.service",
            template::render(&EtcdService {
                name: node.slot,
                address: node.machine.at.private.to_string(),
                token: node.uid,
            })?,
        )],
        Script::Artifacts => vec![ManagedFile::public(
            "/etc/systemd/system/cluster-artifacts.service",
            template::render(&ArtifactsService { address: node.machine.at.private.to_string() })?,
        )],
        Script::Containerd => vec![ManagedFile::public(
            "/etc/containerd/config.toml",
            template::render(&ContainerdConfig {
                cgroup: if node.facts.cgroup_v2 { "v2" } else { "v1" },
                systemd_cgroup: node.facts.cgroup_v2,
            })?,
        )],
        Script::Server => vec![ManagedFile::public(
            "/etc/systemd/system/cluster-server.service",
            template::render(&ServerService {
                address: node.machine.at.private.to_string(),
                name: node.slot,
                service_network: node.config.network.service_cidr.to_string(),
                pod_network: node.config.network.pod_cidr.to_string(),
                service_ports: {
                    let ports = node.config.access.service_ports.iter().map(ToString::to_string);
                    ports.collect::<Vec<_>>().join(",")
                },
            })?,
        )],
        Script::Agent => vec![
            ManagedFile::public("/etc/cluster/agent.yaml", template::render(&agent(node))?),
            ManagedFile::public(
                "/etc/systemd/system/cluster-agent.service",
                template::render(&AgentService {})?,
            ),
        ],
        Script::Packages | Script::Binary | Script::Ready => Vec::new(),
    })
}

/// What the agent is told of its machine and its cluster.
fn agent<'a>(node: &Node<'a>) -> AgentConfig<'a> {
    let Node { config, machine, .. } = node;
    let group = config.workers.iter().find(|group| is_of(node.slot, &group.name));
    let label = |key: &str, value: &str| Label { key: key.to_owned(), value: value.to_owned() };
    let mut labels = vec![
        label("node.kubernetes.io/instance-type", &machine.instance_type),
        label("topology.kubernetes.io/region", node.region),
        label("topology.kubernetes.io/zone", &machine.zone),
    ];
    labels.extend(group.iter().flat_map(|group| &group.labels).map(|(key, value)| label(key, value)));
    let taint = |key: &str, value: &str, effect: &str| TaintView {
        key: key.to_owned(),
        value: value.to_owned(),
        effect: effect.to_owned(),
    };
    let mut taints = Vec::new();
    if node.role == Role::Master {
        taints.push(taint("node-role.kubernetes.io/control-plane", "", "NoSchedule"));
    }
    let given = group.iter().flat_map(|group| &group.taints);
    taints.extend(given.map(|given| taint(&given.key, &given.value, given.effect.as_str())));
    AgentConfig {
        node: node.slot,
        address: machine.at.private.to_string(),
        external_address: machine.at.public.map(|address| address.to_string()),
        provider_id: format!("aws:///{}/{}", machine.zone, machine.id),
        labels,
        taints,
        api_servers: node.masters.iter().map(|master| format!("{master}:6443")).collect(),
        api_server_name: api_name(&config.name),
        cluster_dns: config.network.service_cidr.hosts().nth(9).map(|ip| ip.to_string()).unwrap_or_default(),
        pod_network: config.network.pod_cidr.to_string(),
        service_network: config.network.service_cidr.to_string(),
        service_ports: config.access.service_ports.clone(),
    }
}

/// Whether a slot is one of this group's.
fn is_of(slot: &str, group: &str) -> bool {
    slot.rsplit_once('-').is_some_and(|(name, _)| name == group)
}

fn certificates(node: &Node<'_>, material: &Material) -> Result<Vec<ManagedFile>, ScriptError> {
    const FOLDER: &str = "/etc/cluster/pki";
    let mut files = vec![ManagedFile::public(&format!("{FOLDER}/ca.crt"), material.cluster_ca().to_owned())];
    if node.role == Role::Master {
        files.push(ManagedFile::public(&format!("{FOLDER}/etcd/ca.crt"), material.etcd_ca().to_owned()));
        let tokens = material.tokens_key().clone();
        files.push(ManagedFile::private(&format!("{FOLDER}/sa.key"), "root:root", tokens));
    }
    for kind in leaves_of(node.role) {
        let leaf = material.leaf(node.config, node.slot, *kind, node.machine.at)?;
        let (path, owner) = match kind {
            LeafKind::Node => (format!("{FOLDER}/node"), "root:root"),
            LeafKind::ApiServer => (format!("{FOLDER}/apiserver"), "root:root"),
            LeafKind::KubeletClient => (format!("{FOLDER}/kubelet-client"), "root:root"),
            LeafKind::EtcdMember => (format!("{FOLDER}/etcd/member"), "root:etcd"),
            LeafKind::EtcdClient => (format!("{FOLDER}/etcd/client"), "root:root"),
        };
        files.push(ManagedFile::private(&format!("{path}.key"), owner, leaf.key_pem));
        let mut certificate = ManagedFile::public(&format!("{path}.crt"), String::new());
        certificate.content = Content::Public(leaf.cert_pem);
        files.push(certificate);
    }
    Ok(files)
}
