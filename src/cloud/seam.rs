//! The seam to AWS.

use std::collections::BTreeSet;

use async_trait::async_trait;
use ipnet::Ipv4Net;
use plan::model::{Call, Instance, Inventory, Vpc, tags};
use serde::{Deserialize, Serialize};

use crate::error::CloudError;

/// One account in one region. Every call observes a timeout; reads are retried
/// inside, bounded and jittered; [`Cloud::apply`] never is.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Whose credentials these are (STS GetCallerIdentity).
    async fn caller(&self) -> Result<Caller, CloudError>;

    /// Everything tagged with the cluster `name`, and everything in its VPCs. All pages, sorted.
    async fn inventory(&self, name: &str) -> Result<Inventory, CloudError>;

    /// The instances tagged with the cluster `name`: one filtered, paginated Describe, for polling.
    async fn instances(&self, name: &str) -> Result<Vec<Instance>, CloudError>;

    /// Makes one changing call, once. A lost reply is an error of class
    /// `Conflict` (`CloudError::outcome_unknown`): list before calling again.
    async fn apply(&self, call: &Call<String>) -> Result<Outcome, CloudError>;

    /// Asks AWS whether it would allow the call (DryRun); changes nothing.
    ///
    /// # Errors
    /// What keeps every question from being asked (no credentials, no connection).
    async fn permission(&self, call: &Call<String>) -> Result<Permission, CloudError>;

    /// The newest available image that fits.
    async fn image(&self, query: &ImageQuery) -> Result<Option<Image>, CloudError>;

    /// VPCs that are not the cluster `name`'s, share addresses with `cidr` and have machines in them.
    async fn neighbours(&self, name: &str, cidr: Ipv4Net) -> Result<Vec<Neighbour>, CloudError>;

    /// The region's availability zones that are open to the account, by name.
    async fn zones(&self) -> Result<Vec<Zone>, CloudError>;

    /// What AWS says of these instance types in this region; unknown ones are left out.
    async fn instance_types(&self, names: &BTreeSet<String>) -> Result<Vec<InstanceType>, CloudError>;

    /// The last console output of an instance, for a failure's report; empty when AWS has none yet.
    async fn console_output(&self, instance: &str) -> Result<String, CloudError>;
}

/// Whose credentials are in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Caller {
    /// Account id, 12 digits.
    pub account: String,
    /// ARN of the user or role.
    pub arn: String,
}

/// AWS's answer to a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Permission {
    /// The call would be allowed.
    Allowed,
    /// It would not: AWS's words.
    Denied(String),
    /// It could not be found out, and why: AWS looked at something else first
    /// (a resource that does not exist yet), or has no dry run for it.
    Unchecked(String),
}

/// What a changing call gave back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The id of what was created.
    pub id: Option<String>,
}

/// A CPU architecture, in AWS's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// amd64.
    #[serde(rename = "x86_64")]
    X86_64,
    /// aarch64.
    Arm64,
}

/// Which image is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageQuery {
    /// Exactly this one.
    Id(String),
    /// The newest of an owner's whose name fits a pattern (`*`, `?`).
    Newest {
        /// Account id.
        owner: String,
        /// Name pattern.
        name: String,
        /// Architecture.
        architecture: Architecture,
    },
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// `ami-…`
    pub id: String,
    /// Name.
    pub name: String,
    /// Architecture.
    pub architecture: Architecture,
    /// Root device name.
    pub root_device: String,
    /// Size of the root snapshot in GiB: a root volume cannot be smaller.
    pub root_gib: u32,
}

/// Somebody else's VPC whose addresses are also ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// `vpc-…`
    pub vpc: String,
    /// Its range.
    pub cidr: Ipv4Net,
    /// The cluster it belongs to, if any.
    pub cluster: Option<String>,
}

impl Neighbour {
    /// Of `vpcs`, those with machines among `instances` that share addresses with `cidr`
    /// and are not the cluster `name`'s.
    pub(crate) fn among(vpcs: Vec<Vpc>, instances: &[Instance], name: &str, cidr: Ipv4Net) -> Vec<Self> {
        let lives_in = |vpc: &Vpc| {
            instances.iter().any(|i| i.state.is_live() && i.vpc.as_deref() == Some(vpc.id.as_str()))
        };
        let near = |vpc: &Vpc| vpc.cidr.contains(&cidr) || cidr.contains(&vpc.cidr);
        let others = vpcs.into_iter().filter(|vpc| !vpc.tags.belongs_to(name) && near(vpc) && lives_in(vpc));
        let told = others.map(|vpc| Self {
            cluster: vpc.tags.get(tags::CLUSTER).map(str::to_owned),
            vpc: vpc.id,
            cidr: vpc.cidr,
        });
        told.collect()
    }
}

/// An availability zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Zone {
    /// Name (`us-east-1a`).
    pub name: String,
    /// Whether it is `available`.
    pub available: bool,
}

/// An instance type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceType {
    /// Name.
    pub name: String,
    /// Architectures it runs.
    pub architectures: Vec<Architecture>,
    /// vCPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Zones of the region that offer it; empty where AWS did not tell.
    pub zones: BTreeSet<String>,
}
