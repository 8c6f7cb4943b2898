//! From a configuration and what was looked up for it to the exact resources of a cluster.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::rules;
use crate::config::{Config, Slot, ZonePlan, ZonesError};
use crate::model::{Ref, Rule, Tags};
use crate::step::Role;

/// Slot of the VPC.
pub const VPC: &str = "vpc";
/// Slot of the internet gateway.
pub const GATEWAY: &str = "internet-gateway";
/// Slot of the route table.
pub const ROUTE_TABLE: &str = "route-table";
/// Slot of the masters' security group.
pub const MASTERS: &str = "masters";
/// Slot of the workers' security group.
pub const WORKERS: &str = "workers";
/// Slot of the key pair.
pub const KEY_PAIR: &str = "key-pair";

/// What the configuration leaves open, looked up once per run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The cluster's unique id.
    pub uid: String,
    /// Image id for new machines.
    pub image: String,
    /// That image's root device name.
    pub root_device: String,
    /// Zones the region offers, in order.
    pub offered_zones: Vec<String>,
    /// Who may use SSH.
    pub ssh: Vec<Ipv4Net>,
    /// Who may use the API.
    pub api: Vec<Ipv4Net>,
    /// Who may use services.
    pub services: Vec<Ipv4Net>,
    /// Whether machines get public addresses.
    pub public_addresses: bool,
    /// The operator's OpenSSH public key, without comment.
    pub public_key: String,
}

/// A cluster as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Cluster name.
    pub name: String,
    /// Cluster uid.
    pub uid: String,
    /// The VPC's range.
    pub vpc_cidr: Ipv4Net,
    /// One per zone.
    pub subnets: Vec<DesiredSubnet>,
    /// Rules of the masters' group, groups named by slot.
    pub master_rules: BTreeSet<Rule<Ref>>,
    /// Rules of the workers' group.
    pub worker_rules: BTreeSet<Rule<Ref>>,
    /// The operator's public key.
    pub public_key: String,
    /// Masters first.
    pub nodes: Vec<DesiredNode>,
}

/// A subnet as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredSubnet {
    /// `subnet-ZONE`
    pub slot: String,
    /// Zone.
    pub zone: String,
    /// Range.
    pub cidr: Ipv4Net,
}

/// A machine as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredNode {
    /// `master-0`, `general-3`
    pub slot: String,
    /// What it is for.
    pub role: Role,
    /// Where in cluster.yaml it comes from: `masters` or `workers[general]`.
    pub field: String,
    /// Instance type.
    pub instance_type: String,
    /// Zone.
    pub zone: String,
    /// Image id, should it be launched.
    pub image: String,
    /// The image's root device name.
    pub root_device: String,
    /// Root volume in GiB.
    pub volume_gib: u32,
    /// IAM instance profile.
    pub instance_profile: Option<String>,
    /// Whether it gets a public address.
    pub public_address: bool,
}

impl Desired {
    /// Computes the resources of `config`.
    ///
    /// # Errors
    /// A zone is named that the region does not offer.
    pub fn new(config: &Config, resolved: &Resolved) -> Result<Self, ZonesError> {
        let zones = config.zone_plan(&resolved.offered_zones)?;
        Ok(Self {
            name: config.name.clone(),
            uid: resolved.uid.clone(),
            vpc_cidr: config.network.cidr,
            subnets: subnets(config, &zones),
            master_rules: rules::of_masters(resolved),
            worker_rules: rules::of_workers(resolved, &config.access.service_ports),
            public_key: resolved.public_key.clone(),
            nodes: config.slots().iter().map(|slot| node(config, &zones, resolved, slot)).collect(),
        })
    }

    /// The tags of one of this cluster's slots.
    #[must_use]
    pub fn tags(&self, slot: &str) -> Tags {
        Tags::of_slot(&self.name, &self.uid, slot)
    }

    /// The key pair's and security groups' name in AWS: unique in the account's region, or in the VPC.
    #[must_use]
    pub fn resource_name(&self, slot: &str) -> String {
        format!("cluster-{}-{slot}", self.name)
    }
}

/// The slot of a zone's subnet.
#[must_use]
pub fn subnet_slot(zone: &str) -> String {
    format!("subnet-{zone}")
}

fn subnets(config: &Config, zones: &ZonePlan) -> Vec<DesiredSubnet> {
    let zones = zones.zones().iter();
    zones
        .filter_map(|zone| {
            let cidr = config.network.subnet(zone)?;
            Some(DesiredSubnet { slot: subnet_slot(zone), zone: zone.clone(), cidr })
        })
        .collect()
}

fn node(config: &Config, zones: &ZonePlan, resolved: &Resolved, slot: &Slot) -> DesiredNode {
    DesiredNode {
        slot: slot.name.clone(),
        role: slot.role,
        field: match slot.role {
            Role::Master => "masters".to_owned(),
            Role::Worker => format!("workers[{}]", slot.group),
        },
        instance_type: config.instance_type(slot).to_owned(),
        zone: zones.zone_of(config, slot).to_owned(),
        image: resolved.image.clone(),
        root_device: resolved.root_device.clone(),
        volume_gib: config.volume_gib(slot),
        instance_profile: config.iam_instance_profile.clone(),
        public_address: resolved.public_addresses,
    }
}
