//! The numbers and words that cluster.yaml's rules are made of: one place, so that a rule, its
//! message and the JSON Schema cannot disagree.

use std::ops::RangeInclusive;

/// The format version this build reads and writes.
pub(super) const FORMAT_VERSION: u32 = 1;
/// Masters and workers together.
pub(super) const MAX_NODES: u32 = 500;
/// Machines of one worker group.
pub(super) const GROUP_COUNT: RangeInclusive<u32> = 0..=MAX_NODES;
/// Worker groups.
pub(super) const MAX_GROUPS: usize = 50;
/// A cluster's name, in bytes.
pub(super) const MAX_NAME: usize = 40;
/// A worker group's name, in bytes.
pub(super) const MAX_GROUP_NAME: usize = 20;
/// A root volume in GiB: Debian's image needs 8, gp3 ends at 16 TiB.
pub(super) const VOLUME_GIB: RangeInclusive<u32> = 8..=16_384;
/// Prefix lengths of the VPC's range: EC2 takes /16 to /28, eight subnets need a /24.
pub(super) const VPC_PREFIX: RangeInclusive<u8> = 16..=24;
/// Prefix lengths of the Services' range: Kubernetes takes at most 20 bits of host part.
pub(super) const SERVICE_PREFIX: RangeInclusive<u8> = 12..=24;
/// Prefix lengths of the Pods' range: a /24 for each node.
pub(super) const POD_PREFIX: RangeInclusive<u8> = 8..=24;
/// Subnets the VPC's range is cut into, one for each letter a zone may end in.
pub(super) const MAX_ZONES: usize = 8;
/// Zones `auto` takes at most.
pub(super) const AUTO_ZONES: usize = 3;
/// CIDRs of one access list: a security group holds 60 inbound rules by default.
pub(super) const MAX_SOURCES: usize = 50;
/// Ports of access.servicePorts, for the same reason.
pub(super) const MAX_SERVICE_PORTS: usize = 20;
/// Names of extraApiNames.
pub(super) const MAX_API_NAMES: usize = 50;
/// Labels and taints of one group.
pub(super) const MAX_LABELS: usize = 50;
/// A cluster.yaml, in bytes.
pub(super) const MAX_FILE_BYTES: usize = 256 * 1024;

/// The URL that tells the caller's own address.
pub(super) const ADDRESS_URL: &str = "https://checkip.amazonaws.com";
/// The account Debian publishes its images from: https://wiki.debian.org/Cloud/AmazonEC2Image
pub(super) const DEBIAN_OWNER: &str = "136693071363";
/// The login user of Debian's images.
pub(super) const DEBIAN_USER: &str = "admin";
