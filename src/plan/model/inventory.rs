//! What exists in the account: the cluster's resources, found by tag, and whatever else stands in its VPC.
//!
//! Only what decisions read is kept. Lists are sorted by id, so equal accounts
//! give equal plans.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::rule::Rule;
use super::tags::Tags;

/// Everything with the cluster's name tag, plus everything inside its VPCs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Inventory {
    /// VPCs with the cluster's name tag.
    pub vpcs: Vec<Vpc>,
    /// Internet gateways, attached or not.
    pub internet_gateways: Vec<InternetGateway>,
    /// Route tables, the VPC's own main one included.
    pub route_tables: Vec<RouteTable>,
    /// Subnets.
    pub subnets: Vec<Subnet>,
    /// Security groups, the VPC's default one included.
    pub security_groups: Vec<SecurityGroup>,
    /// Key pairs (they belong to no VPC).
    pub key_pairs: Vec<KeyPair>,
    /// Instances in every state, recently terminated ones included.
    pub instances: Vec<Instance>,
    /// Volumes with the cluster's name tag.
    pub volumes: Vec<Volume>,
    /// Network interfaces.
    pub network_interfaces: Vec<NetworkInterface>,
}

/// A VPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vpc {
    /// `vpc-…`
    pub id: String,
    /// Primary CIDR.
    pub cidr: Ipv4Net,
    /// Tags.
    pub tags: Tags,
}

/// An internet gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InternetGateway {
    /// `igw-…`
    pub id: String,
    /// The VPC it is attached to.
    pub vpc: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// A route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteTable {
    /// `rtb-…`
    pub id: String,
    /// Its VPC.
    pub vpc: String,
    /// Whether it is the VPC's main table, which goes with the VPC.
    pub main: bool,
    /// Routes to internet gateways (others are not read).
    pub routes: Vec<Route>,
    /// Subnet associations: association id and subnet id.
    pub associations: Vec<(String, String)>,
    /// Tags.
    pub tags: Tags,
}

/// A route to an internet gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Destination.
    pub cidr: Ipv4Net,
    /// `igw-…`
    pub gateway: String,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    /// `subnet-…`
    pub id: String,
    /// Its VPC.
    pub vpc: String,
    /// Availability zone name.
    pub zone: String,
    /// CIDR.
    pub cidr: Ipv4Net,
    /// Tags.
    pub tags: Tags,
}

/// A security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroup {
    /// `sg-…`
    pub id: String,
    /// Its VPC.
    pub vpc: String,
    /// Group name; `default` goes with the VPC.
    pub name: String,
    /// Inbound rules, one per protocol, port range and source, sorted.
    pub ingress: Vec<Rule<String>>,
    /// Tags.
    pub tags: Tags,
}

/// A key pair.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyPair {
    /// `key-…`
    pub id: String,
    /// Name, unique in account and region.
    pub name: String,
    /// OpenSSH public key without comment (`ssh-ed25519 AAAA…`), if AWS tells it.
    pub public_key: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// An instance's state, in AWS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Being made.
    Pending,
    /// Made and billed.
    Running,
    /// On its way to terminated: still holds its interface and address.
    ShuttingDown,
    /// Gone; listed for about an hour.
    Terminated,
    /// On its way to stopped.
    Stopping,
    /// Off; its volume is billed.
    Stopped,
}

impl InstanceState {
    /// Whether the instance is or will again be a machine.
    #[must_use]
    pub fn is_live(self) -> bool {
        !matches!(self, Self::ShuttingDown | Self::Terminated)
    }

    /// AWS's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// `i-…`
    pub id: String,
    /// State.
    pub state: InstanceState,
    /// Why it changed state, in AWS's words (`Client.VolumeLimitExceeded: …`), if it says.
    pub state_reason: Option<String>,
    /// The client token of its RunInstances call.
    pub client_token: Option<String>,
    /// Instance type.
    pub instance_type: String,
    /// Image id.
    pub image: String,
    /// Availability zone name.
    pub zone: String,
    /// Its VPC, while it has one.
    pub vpc: Option<String>,
    /// Its subnet, while it has one.
    pub subnet: Option<String>,
    /// Security group ids, sorted.
    pub security_groups: Vec<String>,
    /// Private address, while it has one.
    pub private_address: Option<Ipv4Addr>,
    /// Public address, while it has one.
    pub public_address: Option<Ipv4Addr>,
    /// Launch time, RFC 3339, UTC.
    pub launched_at: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// `vol-…`
    pub id: String,
    /// Size in GiB.
    pub size_gib: u32,
    /// The instance it is attached to.
    pub instance: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkInterface {
    /// `eni-…`
    pub id: String,
    /// Its VPC.
    pub vpc: String,
    /// Its subnet.
    pub subnet: String,
    /// The instance it is attached to.
    pub instance: Option<String>,
    /// AWS's description: names the service that made a foreign one.
    pub description: String,
    /// Tags.
    pub tags: Tags,
}

impl Inventory {
    /// Puts every list in id order.
    pub fn sort(&mut self) {
        self.vpcs.sort_by(|a, b| a.id.cmp(&b.id));
        self.internet_gateways.sort_by(|a, b| a.id.cmp(&b.id));
        self.route_tables.sort_by(|a, b| a.id.cmp(&b.id));
        self.subnets.sort_by(|a, b| a.id.cmp(&b.id));
        self.security_groups.sort_by(|a, b| a.id.cmp(&b.id));
        self.key_pairs.sort_by(|a, b| a.id.cmp(&b.id));
        self.instances.sort_by(|a, b| a.id.cmp(&b.id));
        self.volumes.sort_by(|a, b| a.id.cmp(&b.id));
        self.network_interfaces.sort_by(|a, b| a.id.cmp(&b.id));
    }

    /// Whether nothing of a cluster is left. Terminated instances are records, not resources.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.vpcs.is_empty()
            && self.internet_gateways.is_empty()
            && self.route_tables.is_empty()
            && self.subnets.is_empty()
            && self.security_groups.is_empty()
            && self.key_pairs.is_empty()
            && self.volumes.is_empty()
            && self.network_interfaces.is_empty()
            && self.instances.iter().all(|i| i.state == InstanceState::Terminated)
    }
}
