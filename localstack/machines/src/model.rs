//! What EC2 says, in the shape the decisions need.
//!
//! Filled by `observe` from DescribeInstances and its neighbours; kept beside
//! each machine's disk (`machine.json`) so that a restarted daemon can answer
//! for its machines before EC2 answers it. No clock, no I/O.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// EC2's instance states, as this program tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lifecycle {
    /// `pending` or `running`: there is to be a machine.
    Running,
    /// `stopping` or `stopped`: the disk stays, nothing runs.
    Stopped,
    /// `shutting-down` or `terminated`: nothing stays.
    Terminated,
}

/// The public half of a key pair, as it was when the instance was first seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PublicKey {
    /// The key pair's name.
    pub(crate) name: String,
    /// One line of an authorized_keys file.
    pub(crate) material: String,
}

/// One instance and all that its machine and its metadata need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// `i-…`
    pub(crate) id: String,
    /// Such as `us-east-1`.
    pub(crate) region: String,
    /// What EC2 wants it to be.
    pub(crate) lifecycle: Lifecycle,
    /// `ami-…`
    pub(crate) image: String,
    /// Such as `t3.small`.
    pub(crate) instance_type: String,
    /// The account that owns it.
    pub(crate) account: String,
    /// The reservation it was launched in.
    pub(crate) reservation: String,
    /// Seconds since the epoch.
    pub(crate) launched_at_s: i64,
    /// Its address within the VPC.
    pub(crate) private_ip: Ipv4Addr,
    /// Addresses that LocalStack invented: never to be dialled.
    pub(crate) public_ips: Vec<Ipv4Addr>,
    /// `vpc-…`
    pub(crate) vpc: String,
    /// The VPC's address range.
    pub(crate) vpc_cidr: Ipv4Net,
    /// `subnet-…`
    pub(crate) subnet: String,
    /// The subnet's address range.
    pub(crate) subnet_cidr: Ipv4Net,
    /// `eni-…` of the first interface.
    pub(crate) interface: String,
    /// Such as `us-east-1a`.
    pub(crate) zone: String,
    /// Ids and names of its security groups.
    pub(crate) groups: Vec<(String, String)>,
    /// Its key pair, if it has one.
    pub(crate) key: Option<PublicKey>,
    /// User data as EC2 keeps it: base64.
    pub(crate) user_data: String,
    /// Whether metadata wants a session token (`HttpTokens: required`).
    pub(crate) tokens_required: bool,
    /// Whether metadata is served at all (`HttpEndpoint: enabled`).
    pub(crate) metadata_enabled: bool,
    /// `HttpPutResponseHopLimit`.
    pub(crate) hop_limit: u32,
}

/// One line of a security group, sources and destinations already resolved to
/// ranges and group ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permission {
    /// `tcp`, `udp`, `icmp`, `-1` (all) or a protocol's number.
    pub(crate) protocol: String,
    /// First port, or ICMP type; `None` or -1 is any.
    pub(crate) from: Option<i32>,
    /// Last port, or ICMP code; `None` or -1 is any.
    pub(crate) to: Option<i32>,
    /// Peers by address.
    pub(crate) cidrs: Vec<Ipv4Net>,
    /// Peers by security group id.
    pub(crate) groups: Vec<String>,
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    /// `sg-…`
    pub(crate) id: String,
    /// What may come in.
    pub(crate) ingress: Vec<Permission>,
    /// What may go out.
    pub(crate) egress: Vec<Permission>,
}

/// One complete answer of EC2. There is no such thing as half of one: where a
/// call failed, there is no `World`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct World {
    /// All instances EC2 still lists, terminated ones included.
    pub(crate) instances: Vec<Instance>,
    /// All security groups.
    pub(crate) groups: Vec<Group>,
}

#[cfg(test)]
pub(crate) mod samples {
    //! One instance for tests to vary.

    use super::{Instance, Lifecycle, PublicKey};

    pub(crate) fn instance(id: &str, private_ip: &str) -> Instance {
        Instance {
            id: id.to_owned(),
            region: "us-east-1".to_owned(),
            lifecycle: Lifecycle::Running,
            image: crate::images::TOOLS.to_owned(),
            instance_type: "t3.small".to_owned(),
            account: "000000000000".to_owned(),
            reservation: "r-1".to_owned(),
            launched_at_s: 1_000,
            private_ip: private_ip.parse().unwrap(),
            public_ips: vec!["54.214.1.2".parse().unwrap()],
            vpc: "vpc-1".to_owned(),
            vpc_cidr: "10.0.0.0/16".parse().unwrap(),
            subnet: "subnet-1".to_owned(),
            subnet_cidr: "10.0.1.0/24".parse().unwrap(),
            interface: "eni-1".to_owned(),
            zone: "us-east-1a".to_owned(),
            groups: vec![("sg-1".to_owned(), "nodes".to_owned())],
            key: Some(PublicKey { name: "demo".to_owned(), material: "ssh-ed25519 AAAA demo".to_owned() }),
            user_data: "I2Nsb3VkLWNvbmZpZwo=".to_owned(),
            tokens_required: true,
            metadata_enabled: true,
            hop_limit: 1,
        }
    }
}
