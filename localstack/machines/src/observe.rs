//! What EC2 says now: the only calls to AWS's interface in this program.
//!
//! An answer is complete or it is an error: a failed call, a missing page or a
//! field without which there could be no machine never look like "no instances".
//! User data and public keys are fetched once per instance and start, since they
//! do not change while it runs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ec2::types;
use ipnet::Ipv4Net;

use crate::model::{Group, Instance, Lifecycle, Permission, PublicKey, World};

/// One call, at the very most; the daemon has tighter limits.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// EC2 did not answer, or not in a way that can be believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A call failed.
    #[error("{call} failed: {said}")]
    Call {
        /// The operation.
        call: &'static str,
        /// The chain of causes.
        said: String,
    },
}

/// One region's EC2 and what need not be asked twice.
pub(crate) struct Observer {
    client: Client,
    region: String,
    /// By instance: its key pair and user data, until it stops.
    fixed: BTreeMap<String, (Option<PublicKey>, String)>,
    /// By subnet: its range, its VPC's range.
    ranges: BTreeMap<String, (Ipv4Net, Ipv4Net)>,
}

impl Observer {
    /// Asks `endpoint` as LocalStack's one account.
    pub(crate) fn new(endpoint: &str, region: &str) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(CALL_LIMIT).build();
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()))
            .endpoint_url(endpoint)
            .credentials_provider(Credentials::new("test", "test", None, None, "localstack"))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        Self {
            client: Client::from_conf(config),
            region: region.to_owned(),
            fixed: BTreeMap::new(),
            ranges: BTreeMap::new(),
        }
    }

    /// Everything, or an error.
    ///
    /// # Errors
    /// When any call fails.
    pub(crate) async fn observe(&mut self) -> Result<World, Error> {
        let (reservations, groups) = tokio::try_join!(self.reservations(), self.groups())?;
        let mut instances = Vec::new();
        for reservation in &reservations {
            for instance in reservation.instances() {
                let owner = reservation.owner_id().unwrap_or("000000000000");
                instances.extend(
                    self.instance(instance, reservation.reservation_id().unwrap_or_default(), owner).await?,
                );
            }
        }
        self.fixed.retain(|id, _| instances.iter().any(|i| i.id == *id && i.lifecycle == Lifecycle::Running));
        Ok(World { instances, groups })
    }

    async fn reservations(&self) -> Result<Vec<types::Reservation>, Error> {
        let mut all = Vec::new();
        let mut pages = self.client.describe_instances().into_paginator().send();
        while let Some(page) = pages.next().await {
            all.extend(page.map_err(failed("DescribeInstances"))?.reservations.unwrap_or_default());
        }
        Ok(all)
    }

    async fn groups(&self) -> Result<Vec<Group>, Error> {
        let mut all = Vec::new();
        let mut pages = self.client.describe_security_groups().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(failed("DescribeSecurityGroups"))?;
            all.extend(page.security_groups().iter().filter_map(group));
        }
        Ok(all)
    }

    /// `None`: an instance that never had an address, or has lost all of it.
    async fn instance(
        &mut self,
        found: &types::Instance,
        reservation: &str,
        account: &str,
    ) -> Result<Option<Instance>, Error> {
        let (Some(id), Some(state)) = (found.instance_id(), found.state().and_then(|s| s.name())) else {
            return Ok(None);
        };
        let lifecycle = lifecycle(state);
        if lifecycle == Lifecycle::Terminated {
            return Ok(None);
        }
        let Some(private_ip) = found.private_ip_address().and_then(|ip| ip.parse().ok()) else {
            return Ok(None);
        };
        let (key, user_data) = self.fixed(id, found.key_name(), lifecycle).await?;
        let (subnet_cidr, vpc_cidr) = self.ranges(found.subnet_id(), private_ip).await?;
        let metadata = found.metadata_options();
        Ok(Some(Instance {
            id: id.to_owned(),
            region: self.region.clone(),
            lifecycle,
            image: text(found.image_id()),
            instance_type: found.instance_type().map(|t| t.as_str().to_owned()).unwrap_or_default(),
            account: account.to_owned(),
            reservation: reservation.to_owned(),
            launched_at_s: found.launch_time().map_or(0, |t| t.secs()),
            private_ip,
            public_ips: public_ips(found),
            vpc: text(found.vpc_id()),
            vpc_cidr,
            subnet: text(found.subnet_id()),
            subnet_cidr,
            interface: found
                .network_interfaces()
                .first()
                .map(|i| text(i.network_interface_id()))
                .unwrap_or_default(),
            zone: found.placement().map(|p| text(p.availability_zone())).unwrap_or_default(),
            groups: security_groups(found),
            key,
            user_data,
            tokens_required: metadata.and_then(|m| m.http_tokens())
                == Some(&types::HttpTokensState::Required),
            metadata_enabled: metadata.and_then(|m| m.http_endpoint())
                != Some(&types::InstanceMetadataEndpointState::Disabled),
            hop_limit: metadata
                .and_then(|m| m.http_put_response_hop_limit())
                .and_then(|h| u32::try_from(h).ok())
                .unwrap_or(1),
        }))
    }

    async fn fixed(
        &mut self,
        id: &str,
        key: Option<&str>,
        lifecycle: Lifecycle,
    ) -> Result<(Option<PublicKey>, String), Error> {
        if let Some(known) = self.fixed.get(id) {
            return Ok(known.clone());
        }
        if lifecycle != Lifecycle::Running {
            return Ok((None, String::new()));
        }
        let fixed = (self.public_key(key).await?, self.user_data(id).await?);
        self.fixed.insert(id.to_owned(), fixed.clone());
        Ok(fixed)
    }

    async fn user_data(&self, id: &str) -> Result<String, Error> {
        let answer = self
            .client
            .describe_instance_attribute()
            .instance_id(id)
            .attribute(types::InstanceAttributeName::UserData)
            .send()
            .await
            .map_err(failed("DescribeInstanceAttribute"))?;
        Ok(answer.user_data().and_then(|v| v.value()).unwrap_or_default().to_owned())
    }

    /// A key pair that is gone by now is none: the instance was launched with it,
    /// but nobody can tell its public half any more.
    async fn public_key(&self, name: Option<&str>) -> Result<Option<PublicKey>, Error> {
        let Some(name) = name.filter(|n| !n.is_empty()) else { return Ok(None) };
        let answer = self
            .client
            .describe_key_pairs()
            .include_public_key(true)
            .send()
            .await
            .map_err(failed("DescribeKeyPairs"))?;
        let found = answer.key_pairs().iter().find(|pair| pair.key_name() == Some(name));
        let material = found.and_then(|pair| pair.public_key()).map(|m| m.trim().to_owned());
        Ok(material.map(|material| PublicKey { name: name.to_owned(), material }))
    }

    /// The subnet's and the VPC's ranges. An instance outside of any subnet (moto
    /// makes those) gets the /24 around it.
    async fn ranges(&mut self, subnet: Option<&str>, address: Ipv4Addr) -> Result<(Ipv4Net, Ipv4Net), Error> {
        let around = Ipv4Net::new(address, 24).map(|net| net.trunc()).unwrap_or_default();
        let Some(subnet) = subnet else { return Ok((around, around)) };
        if !self.ranges.contains_key(subnet) {
            self.learn_ranges().await?;
        }
        let known = self.ranges.get(subnet).copied().filter(|(range, _)| range.contains(&address));
        Ok(known.unwrap_or((around, around)))
    }

    async fn learn_ranges(&mut self) -> Result<(), Error> {
        let subnets = self.client.describe_subnets().send();
        let vpcs = self.client.describe_vpcs().send();
        let (subnets, vpcs) = tokio::join!(subnets, vpcs);
        let subnets = subnets.map_err(failed("DescribeSubnets"))?;
        let vpcs = vpcs.map_err(failed("DescribeVpcs"))?;
        let vpc_ranges: BTreeMap<&str, Ipv4Net> = vpcs
            .vpcs()
            .iter()
            .filter_map(|vpc| Some((vpc.vpc_id()?, vpc.cidr_block()?.parse().ok()?)))
            .collect();
        for subnet in subnets.subnets() {
            let (Some(id), Some(range)) =
                (subnet.subnet_id(), subnet.cidr_block().and_then(|c| c.parse().ok()))
            else {
                continue;
            };
            let vpc = subnet.vpc_id().and_then(|vpc| vpc_ranges.get(vpc)).copied().unwrap_or(range);
            self.ranges.insert(id.to_owned(), (range, vpc));
        }
        Ok(())
    }
}

fn failed<E: std::error::Error + 'static>(call: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Call { call, said: base::chain(&error) }
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

fn lifecycle(state: &types::InstanceStateName) -> Lifecycle {
    match state {
        types::InstanceStateName::Pending | types::InstanceStateName::Running => Lifecycle::Running,
        types::InstanceStateName::Stopping | types::InstanceStateName::Stopped => Lifecycle::Stopped,
        _ => Lifecycle::Terminated,
    }
}

fn public_ips(found: &types::Instance) -> Vec<Ipv4Addr> {
    let interfaces = found.network_interfaces().iter();
    let associated = interfaces.filter_map(|i| i.association()?.public_ip());
    let mut ips: Vec<Ipv4Addr> =
        found.public_ip_address().into_iter().chain(associated).filter_map(|ip| ip.parse().ok()).collect();
    ips.sort();
    ips.dedup();
    ips
}

/// The interface's groups where the instance itself names none (moto, for groups
/// that came by default).
fn security_groups(found: &types::Instance) -> Vec<(String, String)> {
    let own = found.security_groups();
    let groups =
        if own.is_empty() { found.network_interfaces().first().map_or(own, |i| i.groups()) } else { own };
    let mut pairs: Vec<_> = groups.iter().map(|g| (text(g.group_id()), text(g.group_name()))).collect();
    pairs.sort();
    pairs.dedup();
    pairs
}

fn group(found: &types::SecurityGroup) -> Option<Group> {
    Some(Group {
        id: found.group_id()?.to_owned(),
        ingress: found.ip_permissions().iter().map(permission).collect(),
        egress: found.ip_permissions_egress().iter().map(permission).collect(),
    })
}

fn permission(found: &types::IpPermission) -> Permission {
    let ranges = found.ip_ranges().iter().filter_map(|r| r.cidr_ip()?.parse::<Ipv4Net>().ok());
    Permission {
        protocol: text(found.ip_protocol()),
        from: found.from_port(),
        to: found.to_port(),
        cidrs: ranges.map(|net| net.trunc()).collect(),
        groups: found
            .user_id_group_pairs()
            .iter()
            .filter_map(|pair| pair.group_id().map(str::to_owned))
            .collect(),
    }
}
