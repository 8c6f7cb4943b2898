//! What a distribution calls the packages a node needs: a row per distribution.

use plan::Role;

/// A distribution that nodes may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distribution {
    /// `ID` of /etc/os-release.
    pub id: &'static str,
    /// `VERSION_ID` of /etc/os-release.
    pub version: &'static str,
    /// Packages of every node.
    pub node: &'static [&'static str],
    /// Further packages of a master.
    pub master: &'static [&'static str],
}

/// The distributions this build knows. Debian 12 is the tested one.
pub const DISTRIBUTIONS: &[Distribution] = &[DEBIAN_12];

/// What machines are taken for until they tell.
pub const DEBIAN_12: Distribution = Distribution {
    id: "debian",
    version: "12",
    node: &[
        "ca-certificates",
        "conntrack",
        "containerd",
        "containernetworking-plugins",
        "curl",
        "iproute2",
        "iptables",
        "kmod",
        "nftables",
        "procps",
        "runc",
    ],
    master: &["etcd-server"],
};

impl Distribution {
    /// The row for an os-release's `ID` and `VERSION_ID`.
    #[must_use]
    pub fn find(id: &str, version: &str) -> Option<&'static Self> {
        DISTRIBUTIONS.iter().find(|row| row.id == id && row.version == version)
    }

    /// The packages of a node of this role, sorted.
    #[must_use]
    pub fn packages(&self, role: Role) -> Vec<&'static str> {
        let master: &[&str] = if role == Role::Master { self.master } else { &[] };
        let mut names: Vec<&str> = self.node.iter().chain(master).copied().collect();
        names.sort_unstable();
        names
    }
}
