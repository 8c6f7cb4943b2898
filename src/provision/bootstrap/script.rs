//! What each scripted step consists of: the files it keeps and the body it runs. No I/O.

use plan::{Role, Step};

use super::distribution::Distribution;
use super::files::{Content, ManagedFile};
use super::material::{Addresses, LeafKind, Material, MaterialError, leaves_of};
use super::template::{self, ArtifactsService, Body, ContainerdConfig, EtcdService, TemplateError};
use plan::config::Config;

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
    pub(super) at: Addresses,
    pub(super) facts: &'a Facts,
    /// SHA-256 of the binary.
    pub(super) digest: &'a str,
    /// Where the compressed binary was uploaded to.
    pub(super) uploaded: Option<&'a str>,
    /// Private addresses of the masters that hand the binary on.
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

/// The script of a step; `fix` decides whether it also changes anything.
pub(super) fn render(
    node: &Node<'_>,
    material: &Material,
    step: Step,
    fix: bool,
) -> Result<String, ScriptError> {
    let files = files(node, material, step)?;
    let packages = node.facts.distribution.packages(node.role);
    let sources: Vec<String> = node
        .masters
        .iter()
        .map(|master| format!("https://{master}:6444/binaries/sha256:{}", node.digest))
        .collect();
    let body = Body {
        packages: &packages,
        digest: node.digest,
        artifact: node.digest,
        uploaded: node.uploaded,
        sources: &sources,
    };
    Ok(template::step_script(body_name(step), &body, &files, fix)?)
}

/// The script that user-data runs at boot: the packages step, whose failure there is not the last word.
pub(super) fn packages_at_boot(distribution: &Distribution, role: Role) -> Result<String, TemplateError> {
    let packages = distribution.packages(role);
    let body = Body { packages: &packages, digest: "", artifact: "", uploaded: None, sources: &[] };
    let script = template::step_script(body_name(Step::Packages), &body, &[], true)?;
    Ok(format!("(\n{script}\n) || exit 0\n"))
}

fn body_name(step: Step) -> &'static str {
    match step {
        Step::HostKey => "host-key.sh",
        Step::Packages => "packages.sh",
        Step::Kernel => "kernel.sh",
        Step::Binary => "binary.sh",
        Step::Certificates => "certificates.sh",
        Step::Etcd => "etcd.sh",
        Step::Artifacts => "artifacts.sh",
        Step::Containerd => "containerd.sh",
        Step::Reach | Step::Clock | Step::Verify => "verify.sh",
    }
}

fn files(node: &Node<'_>, material: &Material, step: Step) -> Result<Vec<ManagedFile>, ScriptError> {
    Ok(match step {
        Step::HostKey => vec![ManagedFile::public(
            "/etc/ssh/sshd_config.d/10-cluster.conf",
            "# Written by `cluster up`.\nHostKey /etc/ssh/cluster_host_ed25519_key\nPasswordAuthentication no\n"
                .to_owned(),
        )],
        Step::Kernel => vec![
            ManagedFile::public("/etc/modules-load.d/cluster.conf", "overlay\nbr_netfilter\nvxlan\n".to_owned()),
            ManagedFile::public(
                "/etc/sysctl.d/90-cluster.conf",
                "net.ipv4.ip_forward = 1\nnet.bridge.bridge-nf-call-iptables = 1\n".to_owned(),
            ),
        ],
        Step::Certificates => certificates(node, material)?,
        Step::Etcd => vec![ManagedFile::public(
            "/etc/systemd/system/cluster-etcd.service",
            template::render(&EtcdService {
                name: node.slot,
                address: node.at.private.to_string(),
                token: node.uid,
            })?,
        )],
        Step::Artifacts => vec![ManagedFile::public(
            "/etc/systemd/system/cluster-artifacts.service",
            template::render(&ArtifactsService { address: node.at.private.to_string() })?,
        )],
        Step::Containerd => vec![ManagedFile::public(
            "/etc/containerd/config.toml",
            template::render(&ContainerdConfig {
                cgroup: if node.facts.cgroup_v2 { "v2" } else { "v1" },
                systemd_cgroup: node.facts.cgroup_v2,
            })?,
        )],
        Step::Reach | Step::Clock | Step::Packages | Step::Binary | Step::Verify => Vec::new(),
    })
}

fn certificates(node: &Node<'_>, material: &Material) -> Result<Vec<ManagedFile>, ScriptError> {
    const FOLDER: &str = "/etc/cluster/pki";
    let mut files = vec![ManagedFile::public(&format!("{FOLDER}/ca.crt"), material.cluster_ca().to_owned())];
    if node.role == Role::Master {
        files.push(ManagedFile::public(&format!("{FOLDER}/etcd/ca.crt"), material.etcd_ca().to_owned()));
    }
    for kind in leaves_of(node.role) {
        let leaf = material.leaf(node.config, node.slot, *kind, node.at)?;
        let (path, owner) = match kind {
            LeafKind::Node => (format!("{FOLDER}/node"), "root:root"),
            LeafKind::ApiServer => (format!("{FOLDER}/apiserver"), "root:root"),
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
