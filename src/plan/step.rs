//! The steps that turn a booted Debian machine into a node, in order.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs etcd and the control plane.
    Master,
    /// Runs pods.
    Worker,
}

/// One bootstrap step: something to check and, if it does not hold, to fix.
///
/// Steps of a node run in this order; nodes run in parallel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// SSH answers with the pinned key and cloud-init has finished.
    Reach,
    /// The single-use host key from user-data is replaced by one made on the node.
    HostKey,
    /// The node's clock agrees with ours.
    Clock,
    /// The distribution's packages are installed.
    Packages,
    /// Kernel modules and sysctls.
    Kernel,
    /// The `cluster` binary is there: uploaded to a master, fetched by workers from a master.
    Binary,
    /// Certificates and keys of this node.
    Certificates,
    /// etcd serves over mTLS under our own unit.
    Etcd,
    /// The binary is handed on to nodes by digest.
    Artifacts,
    /// containerd runs with our configuration.
    Containerd,
    /// The Kubernetes API is served, with scheduler and controllers.
    Server,
    /// The agent runs pods, their network and DNS.
    Agent,
    /// The node's own checks pass, and the API says that it is Ready.
    Ready,
}

impl Step {
    /// The steps of a node, in order.
    #[must_use]
    pub fn of_role(role: Role) -> &'static [Self] {
        match role {
            Role::Master => &[
                Self::Reach,
                Self::HostKey,
                Self::Clock,
                Self::Packages,
                Self::Kernel,
                Self::Binary,
                Self::Certificates,
                Self::Artifacts,
                Self::Etcd,
                Self::Containerd,
                Self::Server,
                Self::Agent,
                Self::Ready,
            ],
            Role::Worker => &[
                Self::Reach,
                Self::HostKey,
                Self::Clock,
                Self::Packages,
                Self::Kernel,
                Self::Certificates,
                Self::Binary,
                Self::Containerd,
                Self::Agent,
                Self::Ready,
            ],
        }
    }

    /// The step's name, as screens, the journal and the node write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reach => "reach",
            Self::HostKey => "host-key",
            Self::Clock => "clock",
            Self::Packages => "packages",
            Self::Kernel => "kernel",
            Self::Binary => "binary",
            Self::Certificates => "certificates",
            Self::Etcd => "etcd",
            Self::Artifacts => "artifacts",
            Self::Containerd => "containerd",
            Self::Server => "server",
            Self::Agent => "agent",
            Self::Ready => "ready",
        }
    }

    /// What the step makes true, for a person.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Reach => "SSH answers with the pinned key, cloud-init has finished",
            Self::HostKey => "a host key made on the node replaces the single-use one",
            Self::Clock => "its clock agrees with this machine's",
            Self::Packages => "the distribution's packages are installed",
            Self::Kernel => "kernel modules and sysctls for pod networking",
            Self::Binary => "the cluster binary is in place",
            Self::Certificates => "its certificates and keys are in place",
            Self::Etcd => "etcd serves over mTLS",
            Self::Artifacts => "the cluster binary is handed on to nodes by digest",
            Self::Containerd => "containerd is ready",
            Self::Server => "the Kubernetes API is served, with scheduler and controllers",
            Self::Agent => "the agent runs pods, their network and DNS",
            Self::Ready => "its own checks pass, and the API says that it is Ready",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "master",
            Self::Worker => "worker",
        })
    }
}
