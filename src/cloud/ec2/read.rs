//! The Describe calls: filtered, all pages, and checked again on arrival.
//!
//! A filter that an endpoint ignores must not make a stranger's resource
//! ours: what comes back is kept only if its tag or its VPC is the one asked for.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, ImageState, LocationType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::Ipv4Net;
use plan::model::{Instance, Inventory, Tags, tags};

use super::{Ec2, convert, errors};
use crate::error::CloudError;
use crate::seam::{Architecture, Image, ImageQuery, InstanceType, Neighbour, Zone};

/// Results on a page.
const PAGE: i32 = 200;

type Listed<T> = Result<Vec<T>, CloudError>;

/// What a listing is narrowed to.
#[derive(Clone, Copy)]
enum By<'a> {
    /// The cluster's name tag.
    Name(&'a str),
    /// VPCs, by id; never empty.
    Vpcs(&'a BTreeSet<String>),
}

impl By<'_> {
    /// The filter; `vpc` is what the action calls a VPC's id.
    fn filter(self, vpc: &str) -> Filter {
        match self {
            Self::Name(name) => filter(&format!("tag:{}", tags::CLUSTER), [name]),
            Self::Vpcs(ids) => filter(vpc, ids.iter().map(String::as_str)),
        }
    }

    fn holds(self, tags: &Tags, vpc: Option<&str>) -> bool {
        match self {
            Self::Name(name) => tags.belongs_to(name),
            Self::Vpcs(ids) => vpc.is_some_and(|vpc| ids.contains(vpc)),
        }
    }
}

fn filter<'a>(name: &str, values: impl IntoIterator<Item = &'a str>) -> Filter {
    let values = values.into_iter().map(str::to_owned).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

/// All pages of a Describe, converted.
macro_rules! all {
    ($action:literal, $request:expr, $convert:path) => {{
        let mut pages = $request.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(item) = pages.next().await {
            found.extend($convert(&item.map_err(|error| errors::read($action, error))?));
        }
        found
    }};
}

impl Ec2 {
    pub(super) async fn read_inventory(&self, name: &str) -> Result<Inventory, CloudError> {
        let mut inventory = self.tagged(name).await?;
        let vpcs: BTreeSet<String> = inventory.vpcs.iter().map(|vpc| vpc.id.clone()).collect();
        if !vpcs.is_empty() {
            let inside = self.inside(&vpcs).await?;
            merge(&mut inventory.internet_gateways, inside.internet_gateways, |x| &x.id);
            merge(&mut inventory.route_tables, inside.route_tables, |x| &x.id);
            merge(&mut inventory.subnets, inside.subnets, |x| &x.id);
            merge(&mut inventory.security_groups, inside.security_groups, |x| &x.id);
            merge(&mut inventory.instances, inside.instances, |x| &x.id);
            merge(&mut inventory.network_interfaces, inside.network_interfaces, |x| &x.id);
        }
        inventory.sort();
        Ok(inventory)
    }

    async fn tagged(&self, name: &str) -> Result<Inventory, CloudError> {
        let by = By::Name(name);
        let (vpcs, key_pairs, volumes, within) =
            tokio::try_join!(self.vpcs(by), self.key_pairs(by), self.volumes(by), self.within(by))?;
        Ok(Inventory { vpcs, key_pairs, volumes, ..within })
    }

    async fn inside(&self, vpcs: &BTreeSet<String>) -> Result<Inventory, CloudError> {
        self.within(By::Vpcs(vpcs)).await
    }

    /// The kinds that stand in a VPC.
    async fn within(&self, by: By<'_>) -> Result<Inventory, CloudError> {
        let (internet_gateways, route_tables, subnets, security_groups, instances, network_interfaces) = tokio::try_join!(
            self.gateways(by),
            self.tables(by),
            self.subnets(by),
            self.groups(by),
            self.machines(by),
            self.interfaces(by)
        )?;
        Ok(Inventory {
            internet_gateways,
            route_tables,
            subnets,
            security_groups,
            instances,
            network_interfaces,
            ..Inventory::default()
        })
    }

    pub(super) async fn read_instances(&self, name: &str) -> Listed<Instance> {
        let mut instances = self.machines(By::Name(name)).await?;
        instances.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(instances)
    }

    /// Machines are only asked for where a range is shared.
    pub(super) async fn read_neighbours(&self, name: &str, cidr: Ipv4Net) -> Listed<Neighbour> {
        let vpcs = all!("DescribeVpcs", self.reads.describe_vpcs().max_results(PAGE), convert::vpc);
        let shares = |vpc: &&plan::model::Vpc| vpc.cidr.contains(&cidr) || cidr.contains(&vpc.cidr);
        let near: BTreeSet<String> = vpcs.iter().filter(shares).map(|vpc| vpc.id.clone()).collect();
        let machines = if near.is_empty() { Vec::new() } else { self.machines(By::Vpcs(&near)).await? };
        Ok(Neighbour::among(vpcs, &machines, name, cidr))
    }

    async fn vpcs(&self, by: By<'_>) -> Listed<plan::model::Vpc> {
        let request = self.reads.describe_vpcs().filters(by.filter("vpc-id")).max_results(PAGE);
        let mut found = all!("DescribeVpcs", request, convert::vpc);
        found.retain(|x| by.holds(&x.tags, Some(&x.id)));
        Ok(found)
    }

    async fn gateways(&self, by: By<'_>) -> Listed<plan::model::InternetGateway> {
        let request =
            self.reads.describe_internet_gateways().filters(by.filter("attachment.vpc-id")).max_results(PAGE);
        let mut found = all!("DescribeInternetGateways", request, convert::gateway);
        found.retain(|x| by.holds(&x.tags, x.vpc.as_deref()));
        Ok(found)
    }

    async fn tables(&self, by: By<'_>) -> Listed<plan::model::RouteTable> {
        let request = self.reads.describe_route_tables().filters(by.filter("vpc-id")).max_results(100);
        let mut found = all!("DescribeRouteTables", request, convert::table);
        found.retain(|x| by.holds(&x.tags, Some(&x.vpc)));
        Ok(found)
    }

    async fn subnets(&self, by: By<'_>) -> Listed<plan::model::Subnet> {
        let request = self.reads.describe_subnets().filters(by.filter("vpc-id")).max_results(PAGE);
        let mut found = all!("DescribeSubnets", request, convert::subnet);
        found.retain(|x| by.holds(&x.tags, Some(&x.vpc)));
        Ok(found)
    }

    async fn groups(&self, by: By<'_>) -> Listed<plan::model::SecurityGroup> {
        let request = self.reads.describe_security_groups().filters(by.filter("vpc-id")).max_results(PAGE);
        let mut found = all!("DescribeSecurityGroups", request, convert::group);
        found.retain(|x| by.holds(&x.tags, Some(&x.vpc)));
        Ok(found)
    }

    async fn machines(&self, by: By<'_>) -> Listed<Instance> {
        let request = self.reads.describe_instances().filters(by.filter("vpc-id")).max_results(PAGE);
        let reservations = all!("DescribeInstances", request, whole);
        let instances = reservations.iter().flat_map(|reservation| reservation.instances());
        let mut found: Vec<_> = instances.filter_map(convert::instance).collect();
        found.retain(|x| by.holds(&x.tags, x.vpc.as_deref()));
        Ok(found)
    }

    async fn interfaces(&self, by: By<'_>) -> Listed<plan::model::NetworkInterface> {
        let request = self.reads.describe_network_interfaces().filters(by.filter("vpc-id")).max_results(PAGE);
        let mut found = all!("DescribeNetworkInterfaces", request, convert::interface);
        found.retain(|x| by.holds(&x.tags, Some(&x.vpc)));
        Ok(found)
    }

    async fn volumes(&self, by: By<'_>) -> Listed<plan::model::Volume> {
        let request = self.reads.describe_volumes().filters(by.filter("")).max_results(PAGE);
        let mut found = all!("DescribeVolumes", request, convert::volume);
        found.retain(|x| by.holds(&x.tags, None));
        Ok(found)
    }

    /// Key pairs have no pages.
    async fn key_pairs(&self, by: By<'_>) -> Listed<plan::model::KeyPair> {
        let request = self.reads.describe_key_pairs().include_public_key(true).filters(by.filter(""));
        let answer = request.send().await.map_err(|error| errors::read("DescribeKeyPairs", error))?;
        let mut found: Vec<_> = answer.key_pairs().iter().filter_map(convert::key).collect();
        found.retain(|x| by.holds(&x.tags, None));
        Ok(found)
    }

    /// The name of the key pair with this id; refused with `InvalidKeyPair.NotFound` where there is none.
    pub(super) async fn key_name(&self, id: &str) -> Result<String, CloudError> {
        const ACTION: &str = "DescribeKeyPairs";
        let request = self.reads.describe_key_pairs().filters(filter("key-pair-id", [id]));
        let answer = request.send().await.map_err(|error| errors::read(ACTION, error))?;
        let named = answer.key_pairs().iter().find(|key| key.key_pair_id() == Some(id));
        named.and_then(|key| key.key_name()).map(str::to_owned).ok_or_else(|| {
            CloudError::refused(
                ACTION,
                "InvalidKeyPair.NotFound",
                format!("The key pair '{id}' does not exist"),
            )
        })
    }

    pub(super) async fn read_image(&self, query: &ImageQuery) -> Result<Option<Image>, CloudError> {
        let request = self.reads.describe_images();
        let request = match query {
            ImageQuery::Id(id) => request.image_ids(id),
            ImageQuery::Newest { owner, name, architecture } => request
                .owners(owner)
                .filters(filter("name", [name.as_str()]))
                .filters(filter("architecture", [word(*architecture)]))
                .filters(filter("state", ["available"])),
        };
        let answer = request.send().await.map_err(|error| errors::read("DescribeImages", error))?;
        let available = answer.images().iter().filter(|image| image.state() == Some(&ImageState::Available));
        let newest = available.max_by_key(|image| image.creation_date().unwrap_or_default().to_owned());
        Ok(newest.and_then(convert::image))
    }

    pub(super) async fn read_zones(&self) -> Listed<Zone> {
        let request = self.reads.describe_availability_zones();
        let answer =
            request.send().await.map_err(|error| errors::read("DescribeAvailabilityZones", error))?;
        let ordinary = |zone: &&aws_sdk_ec2::types::AvailabilityZone| {
            zone.zone_type().is_none_or(|kind| kind == "availability-zone")
        };
        let mut zones: Vec<Zone> =
            answer.availability_zones().iter().filter(ordinary).filter_map(convert::zone).collect();
        zones.sort();
        Ok(zones)
    }

    pub(super) async fn read_instance_types(&self, names: &BTreeSet<String>) -> Listed<InstanceType> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let (mut types, mut zones) = tokio::try_join!(self.types(names), self.offerings(names))?;
        types.retain(|kind| names.contains(&kind.name));
        types.sort_by(|a, b| a.name.cmp(&b.name));
        for kind in &mut types {
            kind.zones = zones.remove(&kind.name).unwrap_or_default();
        }
        Ok(types)
    }

    /// By filter, not by parameter: one unknown name would refuse the whole call.
    async fn types(&self, names: &BTreeSet<String>) -> Listed<InstanceType> {
        let asked = filter("instance-type", names.iter().map(String::as_str));
        let request = self.reads.describe_instance_types().filters(asked).max_results(100);
        Ok(all!("DescribeInstanceTypes", request, convert::instance_type))
    }

    async fn offerings(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, CloudError> {
        let asked = filter("instance-type", names.iter().map(String::as_str));
        let request = self
            .reads
            .describe_instance_type_offerings()
            .location_type(LocationType::AvailabilityZone)
            .filters(asked)
            .max_results(PAGE);
        let offered = all!("DescribeInstanceTypeOfferings", request, whole);
        let mut zones: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for offering in offered {
            if let (Some(kind), Some(zone)) = (offering.instance_type(), offering.location()) {
                zones.entry(kind.as_str().to_owned()).or_default().insert(zone.to_owned());
            }
        }
        Ok(zones)
    }

    pub(super) async fn read_console(&self, instance: &str) -> Result<String, CloudError> {
        let request = self.reads.get_console_output().instance_id(instance);
        // As it is now; older instance types only know the one kept since the last boot.
        let now = request.clone().latest(true).send().await;
        let now = now.map_err(|error| errors::read("GetConsoleOutput", error));
        let answer = match now {
            Err(error) if error.code == "UnsupportedOperation" => {
                request.send().await.map_err(|error| errors::read("GetConsoleOutput", error))?
            }
            other => other?,
        };
        let encoded = answer.output().unwrap_or_default();
        let bytes = STANDARD.decode(encoded.trim()).unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Adds what is not there yet.
fn merge<T>(into: &mut Vec<T>, more: Vec<T>, id: impl Fn(&T) -> &String) {
    for item in more {
        if into.iter().all(|known| id(known) != id(&item)) {
            into.push(item);
        }
    }
}

fn word(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::Arm64 => "arm64",
    }
}

fn whole<T: Clone>(item: &T) -> Option<T> {
    Some(item.clone())
}
