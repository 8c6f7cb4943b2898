//! What the fake's region is like: its delays, limits, zones, types and images.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::seam::{Architecture, Image, InstanceType, Zone};

/// The settings of a fake region.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Draws ids and lags: two fakes of one seed behave alike.
    pub seed: u64,
    /// From RunInstances to running.
    pub pending: Duration,
    /// From TerminateInstances to terminated: interface and address are held so long.
    pub shutting_down: Duration,
    /// How long a terminated instance stays listed.
    pub remembered: Duration,
    /// A new resource is missing from at most so many lists.
    pub hidden_lists: u32,
    /// A new resource is unknown (`….NotFound`) to at most so many calls.
    pub hidden_uses: u32,
    /// A deleted resource stays in at most so many lists.
    pub ghost_lists: u32,
    /// Results on a page of a list.
    pub page: usize,
    /// Limit of VPCs; the default VPC counts.
    pub vpcs: usize,
    /// Limit of vCPUs of live instances.
    pub vcpus: u32,
    /// Limit of rules of a security group.
    pub group_rules: usize,
    /// Zones.
    pub zones: Vec<Zone>,
    /// Instance types.
    pub types: Vec<InstanceType>,
    /// Images, with owner and creation date.
    pub images: Vec<ListedImage>,
}

/// An image as it is listed.
#[derive(Debug, Clone)]
pub struct ListedImage {
    /// The image.
    pub image: Image,
    /// Account id of its owner.
    pub owner: String,
    /// RFC 3339.
    pub created: String,
}

/// Debian's account.
pub const DEBIAN: &str = "136693071363";

impl Rules {
    /// AWS on a good day: deletion rules, delays and limits, but every change seen at once.
    #[must_use]
    pub fn prompt() -> Self {
        Self {
            seed: 1,
            pending: Duration::from_secs(12),
            shutting_down: Duration::from_secs(35),
            remembered: Duration::from_hours(1),
            hidden_lists: 0,
            hidden_uses: 0,
            ghost_lists: 0,
            page: 5,
            vpcs: 5,
            vcpus: 64,
            group_rules: 60,
            zones: ["a", "b", "c"].map(|z| Zone { name: format!("us-east-1{z}"), available: true }).to_vec(),
            types: types(),
            images: images(),
        }
    }

    /// AWS on a bad day: changes are seen late, by lists and by calls.
    #[must_use]
    pub fn late(seed: u64) -> Self {
        Self { seed, hidden_lists: 3, hidden_uses: 2, ghost_lists: 2, ..Self::prompt() }
    }
}

fn types() -> Vec<InstanceType> {
    let zones: BTreeSet<String> = ["a", "b", "c"].map(|z| format!("us-east-1{z}")).into();
    let kind = |name: &str, architecture, vcpus, memory_mib| InstanceType {
        name: name.to_owned(),
        architectures: vec![architecture],
        vcpus,
        memory_mib,
        zones: zones.clone(),
    };
    let mut scarce = kind("m7i.large", Architecture::X86_64, 2, 8192);
    scarce.zones.remove("us-east-1c");
    vec![
        kind("c7i.xlarge", Architecture::X86_64, 4, 8192),
        scarce,
        kind("t3.large", Architecture::X86_64, 2, 8192),
        kind("t3.medium", Architecture::X86_64, 2, 4096),
        kind("t3.micro", Architecture::X86_64, 2, 1024),
        kind("t3.small", Architecture::X86_64, 2, 2048),
        kind("t4g.small", Architecture::Arm64, 2, 2048),
    ]
}

fn images() -> Vec<ListedImage> {
    let image = |id: &str, architecture, word: &str, version: &str, created: &str| ListedImage {
        image: Image {
            id: id.to_owned(),
            name: format!("debian-12-{word}-{version}"),
            architecture,
            root_device: "/dev/xvda".to_owned(),
            root_gib: 8,
        },
        owner: DEBIAN.to_owned(),
        created: created.to_owned(),
    };
    vec![
        image(
            "ami-00000000000000a12",
            Architecture::X86_64,
            "amd64",
            "20260112-2355",
            "2026-01-12T10:00:00.000Z",
        ),
        image(
            "ami-00000000000000a11",
            Architecture::X86_64,
            "amd64",
            "20251112-2294",
            "2025-11-12T10:00:00.000Z",
        ),
        image(
            "ami-00000000000000b12",
            Architecture::Arm64,
            "arm64",
            "20260112-2355",
            "2026-01-12T10:05:00.000Z",
        ),
    ]
}
