//! The agent's configuration file, as bootstrap writes it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::Deserialize;

/// The version that this build reads.
const VERSION: u32 = 1;

/// What the agent is told of its machine and its cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    version: u32,
    /// The Node's name.
    pub node: String,
    /// The machine's address in the cluster.
    pub address: Ipv4Addr,
    /// Its address on the internet.
    #[serde(default)]
    pub external_address: Option<Ipv4Addr>,
    /// `aws:///ZONE/INSTANCE`.
    pub provider_id: String,
    /// The Node's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The Node's taints.
    #[serde(default)]
    pub taints: Vec<Taint>,
    /// `host:port` of every master.
    pub api_servers: Vec<String>,
    /// The name in their certificates.
    pub api_server_name: String,
    /// Files: whom to trust, whom to show, and its key.
    pub authority: PathBuf,
    /// The node's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The address that pods ask for names.
    pub cluster_dns: Ipv4Addr,
    /// The domain of Services.
    pub cluster_domain: String,
    /// Pods' addresses.
    pub pod_network: String,
    /// Services' addresses.
    pub service_network: String,
    /// Ports on which Services of type LoadBalancer may be answered.
    #[serde(default)]
    pub service_ports: Vec<u16>,
    /// The runtime's socket.
    pub containerd: PathBuf,
}

/// A Node's taint.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value.
    #[serde(default)]
    pub value: String,
    /// Effect.
    pub effect: String,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read as what it should be.
    #[error("it cannot be read: {0}")]
    Form(String),
    /// It is of another version.
    #[error(
        "version: {0}, and this build reads {VERSION}: run `cluster up` with a build of the cluster's version"
    )]
    Version(u32),
}

impl Config {
    /// Reads the file's text.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let config: Self =
            serde_yaml::from_str(text).map_err(|error| ConfigError::Form(error.to_string()))?;
        if config.version != VERSION {
            return Err(ConfigError::Version(config.version));
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version: 1\nnode: general-0\naddress: 10.20.0.4\nproviderId: aws:///a/i-1\nlabels: {a: b}\ntaints: []\n\
        apiServers: ['10.20.0.5:6443']\napiServerName: api.shop\nauthority: /a\ncertificate: /b\nkey: /c\n\
        clusterDns: 10.96.0.10\nclusterDomain: cluster.local\npodNetwork: 10.244.0.0/16\nserviceNetwork: 10.96.0.0/16\n\
        servicePorts: [80, 443]\ncontainerd: /run/c.sock\n";

    #[test]
    fn what_bootstrap_writes_is_read_and_mistakes_are_named() {
        let config = Config::read(TEXT).unwrap();
        assert_eq!((config.node.as_str(), config.service_ports), ("general-0", vec![80, 443]));
        let newer = Config::read(&TEXT.replace("version: 1", "version: 2")).unwrap_err();
        assert!(newer.to_string().starts_with("version: 2, and this build reads 1"), "{newer}");
        let unknown = Config::read(&format!("{TEXT}colour: red\n")).unwrap_err();
        assert!(unknown.to_string().contains("colour"), "{unknown}");
    }
}
