//! The types of a validated cluster.yaml, every default filled in.
//!
//! Owns the shape of the file: field names (camelCase, as written), defaults and the
//! descriptions that `cluster schema` prints. Refuses nothing by itself: a [`Config`] that came
//! out of [`super::parse`] keeps every rule of this folder, one read back from the state folder
//! was written by such a parse. The same structs serve both, so that
//! `parse(to_json(config)) == config`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::or_auto::OrAuto;
use super::{limits, schema};

/// A whole cluster.yaml.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// The format of this file. This build reads version 1.
    #[serde(default = "format_version")]
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The cluster's name: part of every AWS name and of its DNS names, fixed for its lifetime.
    #[schemars(regex(pattern = "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"))]
    pub name: String,
    /// The AWS region. Left out: AWS_REGION, then the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::region")]
    pub region: Option<String>,
    /// Who may reach what, and which addresses are dialled.
    #[serde(default)]
    pub access: Access,
    /// Address ranges and zones.
    #[serde(default)]
    pub network: Network,
    /// The machine image: `id`, or `owner` and `name`.
    #[serde(default)]
    #[schemars(with = "schema::ImageInFile")]
    pub image: Image,
    /// The machines of the control plane.
    #[serde(default)]
    pub masters: Masters,
    /// Groups of machines that run Pods. `[]` raises masters only.
    #[serde(default = "default_workers")]
    pub workers: Vec<WorkerGroup>,
    /// An existing IAM instance profile that every machine gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::instance_profile")]
    pub iam_instance_profile: Option<String>,
    /// DNS names and IP addresses the API's certificate carries besides the machines' own.
    #[serde(default)]
    pub extra_api_names: Vec<String>,
}

/// Who may reach what, and which of a machine's addresses are dialled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Access {
    /// Which addresses of the machines are dialled. `auto` is private for an endpoint on a
    /// loopback or private host, else public.
    pub via: Via,
    /// An https URL that answers with the caller's own IPv4 address: what `auto` below means
    /// when machines are dialled by public addresses.
    #[schemars(regex(pattern = "^https://[^/ ]+"))]
    pub address_url: String,
    /// Who may use SSH (port 22): `auto` (only the caller's own address) or CIDRs.
    #[schemars(schema_with = "schema::sources_of_callers")]
    pub ssh: OrAuto<Vec<Ipv4Net>>,
    /// Who may use the Kubernetes API (port 6443): `auto` (only the caller's own address) or CIDRs.
    #[schemars(schema_with = "schema::sources_of_callers")]
    pub api: OrAuto<Vec<Ipv4Net>>,
    /// Who may reach the service ports and node ports of the workers: `auto` (only the caller's
    /// own address) or CIDRs; `[]` is nobody.
    #[schemars(schema_with = "schema::sources_of_visitors")]
    pub services: OrAuto<Vec<Ipv4Net>>,
    /// Ports of the workers open to `services`. Node ports (30000-32767) are open to them too.
    #[schemars(inner(range(min = 1, max = 65535)))]
    pub service_ports: Vec<u16>,
}

/// Which of a machine's addresses are dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Via {
    /// Private for an endpoint on a loopback or private host, else public.
    Auto,
    /// Public addresses.
    Public,
    /// Private addresses: the caller is inside, or has a VPN.
    Private,
}

/// Address ranges and zones. None of the three ranges may overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Network {
    /// The VPC's range, /16 to /24, private. Cut into eight equal subnets, one a zone.
    #[schemars(schema_with = "schema::cidr")]
    pub cidr: Ipv4Net,
    /// The availability zones: `auto` (as many as the largest group needs, at most three) or names.
    #[schemars(schema_with = "schema::zones")]
    pub zones: OrAuto<Vec<String>>,
    /// The range Pods get addresses from: a /24 for each machine.
    #[schemars(schema_with = "schema::cidr")]
    pub pod_cidr: Ipv4Net,
    /// The range Services get addresses from, /12 to /24.
    #[schemars(schema_with = "schema::cidr")]
    pub service_cidr: Ipv4Net,
}

/// The machine image of every node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// Which image.
    #[serde(flatten)]
    pub source: ImageSource,
    /// What its machine code is for; must be that of every instance type.
    pub architecture: Architecture,
    /// The login user the image is made with.
    pub user: String,
}

/// Which image: one, or the newest of a family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, rename_all = "camelCase")]
pub enum ImageSource {
    /// This very image.
    Id {
        /// `ami-…`
        id: String,
    },
    /// The newest image of this owner whose name matches.
    Newest {
        /// The account that publishes it: 12 digits, or `amazon`, `aws-marketplace`, `self`.
        owner: String,
        /// A name with `*` and `?` as DescribeImages' `name` filter takes it.
        name: String,
    },
}

/// What a machine's code is for, in EC2's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Architecture {
    /// Intel and AMD.
    #[serde(rename = "x86_64")]
    X86_64,
    /// Graviton.
    #[serde(rename = "arm64")]
    Arm64,
}

/// The machines of the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(deny_unknown_fields)]
pub struct Masters {
    /// How many. This version builds one.
    #[schemars(range(min = 1, max = 1))]
    pub count: u32,
    /// The EC2 instance type.
    #[serde(rename = "type")]
    #[schemars(schema_with = "schema::instance_type")]
    pub instance_type: String,
    /// Zones they are spread over: `auto` (those of the network) or names.
    #[schemars(schema_with = "schema::zones")]
    pub zones: OrAuto<Vec<String>>,
    /// The root volume.
    pub volume: Volume,
}

/// A group of equal machines that run Pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct WorkerGroup {
    /// The group's name: its machines are NAME-0, NAME-1, …
    #[schemars(regex(pattern = "^[a-z]([-a-z0-9]{0,18}[a-z0-9])?$"))]
    pub name: String,
    /// How many machines.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 500))]
    pub count: u32,
    /// The EC2 instance type.
    #[serde(rename = "type", default = "default_instance_type")]
    #[schemars(schema_with = "schema::instance_type")]
    pub instance_type: String,
    /// Zones they are spread over: `auto` (those of the network) or names.
    #[serde(default)]
    #[schemars(schema_with = "schema::zones")]
    pub zones: OrAuto<Vec<String>>,
    /// Kubernetes labels of the Nodes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Kubernetes taints of the Nodes.
    #[serde(default)]
    pub taints: Vec<Taint>,
    /// The root volume.
    #[serde(default)]
    pub volume: Volume,
}

/// A Kubernetes taint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Taint {
    /// A qualified name, e.g. `example.com/dedicated`.
    pub key: String,
    /// A label value; may be empty.
    #[serde(default)]
    pub value: String,
    /// What happens to Pods that do not tolerate it.
    pub effect: TaintEffect,
}

/// What happens to Pods that do not tolerate a taint: Kubernetes' TaintEffect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TaintEffect {
    /// They are not scheduled here.
    NoSchedule,
    /// They are scheduled here only if nowhere else fits.
    PreferNoSchedule,
    /// They are not scheduled here, and running ones are evicted.
    NoExecute,
}

/// A root volume: gp3, encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub struct Volume {
    /// Its size in GiB.
    #[serde(rename = "sizeGiB")]
    #[schemars(range(min = 8, max = 16384))]
    pub size_gib: u32,
}

impl Config {
    /// The configuration of a file that says only `name: NAME`. The name is not checked here.
    pub fn defaults(name: &str) -> Self {
        Self {
            version: format_version(),
            name: name.to_owned(),
            region: None,
            access: Access::default(),
            network: Network::default(),
            image: Image::default(),
            masters: Masters::default(),
            workers: default_workers(),
            iam_instance_profile: None,
            extra_api_names: Vec::new(),
        }
    }

    /// The group called `name`.
    pub fn group(&self, name: &str) -> Option<&WorkerGroup> {
        self.workers.iter().find(|group| group.name == name)
    }

    /// Masters and workers together.
    pub fn node_count(&self) -> u32 {
        self.masters.count + self.workers.iter().map(|group| group.count).sum::<u32>()
    }

    /// Every instance type in use, once, in alphabetical order.
    pub fn instance_types(&self) -> Vec<&str> {
        let mut types: Vec<&str> = self.workers.iter().map(|group| group.instance_type.as_str()).collect();
        types.push(&self.masters.instance_type);
        types.sort_unstable();
        types.dedup();
        types
    }
}

impl WorkerGroup {
    /// The group of a file that says only `- name: NAME`.
    pub fn defaults(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            count: one(),
            instance_type: default_instance_type(),
            zones: OrAuto::Auto,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            volume: Volume::default(),
        }
    }
}

impl Default for Access {
    fn default() -> Self {
        Self {
            via: Via::Auto,
            address_url: limits::ADDRESS_URL.to_owned(),
            ssh: OrAuto::Auto,
            api: OrAuto::Auto,
            services: OrAuto::Auto,
            service_ports: vec![80, 443],
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self {
            cidr: range(10, 20, 16),
            zones: OrAuto::Auto,
            pod_cidr: range(10, 244, 16),
            service_cidr: range(10, 96, 16),
        }
    }
}

impl Default for Image {
    fn default() -> Self {
        Self::debian(Architecture::X86_64)
    }
}

impl Image {
    /// Debian 12 by Debian's own account.
    pub fn debian(architecture: Architecture) -> Self {
        let word = match architecture {
            Architecture::X86_64 => "amd64",
            Architecture::Arm64 => "arm64",
        };
        Self {
            source: ImageSource::Newest {
                owner: limits::DEBIAN_OWNER.to_owned(),
                name: format!("debian-12-{word}-*"),
            },
            architecture,
            user: limits::DEBIAN_USER.to_owned(),
        }
    }
}

impl Architecture {
    /// EC2's word: `x86_64` or `arm64`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

impl Via {
    /// The word as written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

impl TaintEffect {
    /// The word as written in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

impl Default for Masters {
    fn default() -> Self {
        Self {
            count: one(),
            instance_type: default_instance_type(),
            zones: OrAuto::Auto,
            volume: Volume::default(),
        }
    }
}

impl Default for Volume {
    fn default() -> Self {
        Self { size_gib: 20 }
    }
}

fn range(first: u8, second: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(first, second, 0, 0), prefix)
}

fn format_version() -> u32 {
    limits::FORMAT_VERSION
}

fn one() -> u32 {
    1
}

fn default_instance_type() -> String {
    "t3.small".to_owned()
}

fn default_workers() -> Vec<WorkerGroup> {
    vec![WorkerGroup::defaults("general")]
}
