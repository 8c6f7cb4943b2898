//! The calls that change something, each sent once.
//!
//! A dry run builds the very same request and only sets DryRun, so that what
//! was asked about is what would be sent.

use aws_sdk_ec2::primitives::Blob;
use aws_sdk_ec2::types::{IpPermission, IpRange, ResourceType, Tag, TagSpecification, UserIdGroupPair};
use plan::model::{Call, Protocol, Rule, Source, Tags};

use super::{Ec2, errors, launch};
use crate::error::CloudError;
use crate::seam::Outcome;

pub(super) type Done = Result<Outcome, CloudError>;

/// Sends a request and gives the answer.
macro_rules! send {
    ($action:literal, $dry:expr, $request:expr) => {
        $request
            .set_dry_run($dry.then_some(true))
            .send()
            .await
            .map_err(|error| errors::change($action, error))
    };
}

/// A created resource's id. An answer without one leaves open what was made.
fn made(action: &str, id: Option<&str>) -> Done {
    match id {
        Some(id) => Ok(Outcome { id: Some(id.to_owned()) }),
        None => Err(CloudError::lost(action, "Unreadable", "the answer names no id")),
    }
}

fn done() -> Done {
    Ok(Outcome::default())
}

impl Ec2 {
    /// Sends `call`, or with `dry` asks whether it would be allowed.
    pub(super) async fn send(&self, call: &Call<String>, dry: bool) -> Done {
        match call {
            Call::CreateVpc { .. }
            | Call::CreateInternetGateway { .. }
            | Call::CreateRouteTable { .. }
            | Call::CreateSubnet { .. }
            | Call::CreateSecurityGroup { .. }
            | Call::ImportKeyPair { .. }
            | Call::RunInstances(_) => self.create(call, dry).await,
            Call::AttachInternetGateway { .. }
            | Call::CreateRoute { .. }
            | Call::AssociateRouteTable { .. }
            | Call::AuthorizeSecurityGroupIngress { .. }
            | Call::RevokeSecurityGroupIngress { .. }
            | Call::StartInstances { .. }
            | Call::DisassociateRouteTable { .. }
            | Call::DetachInternetGateway { .. } => self.connect_up(call, dry).await,
            Call::TerminateInstances { .. }
            | Call::DeleteKeyPair { .. }
            | Call::DeleteVolume { .. }
            | Call::DeleteNetworkInterface { .. }
            | Call::DeleteSecurityGroup { .. }
            | Call::DeleteRouteTable { .. }
            | Call::DeleteSubnet { .. }
            | Call::DeleteInternetGateway { .. }
            | Call::DeleteVpc { .. } => self.delete(call, dry).await,
        }
    }

    /// What makes a resource, tagged from the start.
    async fn create(&self, call: &Call<String>, dry: bool) -> Done {
        let ec2 = &self.changes;
        match call {
            Call::CreateVpc { cidr, tags, .. } => {
                let request = ec2.create_vpc().cidr_block(cidr.to_string());
                let answer =
                    send!("CreateVpc", dry, request.tag_specifications(tagged(ResourceType::Vpc, tags)))?;
                made("CreateVpc", answer.vpc().and_then(|vpc| vpc.vpc_id()))
            }
            Call::CreateInternetGateway { tags, .. } => {
                let tags = tagged(ResourceType::InternetGateway, tags);
                let request = ec2.create_internet_gateway().tag_specifications(tags);
                let answer = send!("CreateInternetGateway", dry, request)?;
                made(
                    "CreateInternetGateway",
                    answer.internet_gateway().and_then(|igw| igw.internet_gateway_id()),
                )
            }
            Call::CreateRouteTable { vpc, tags, .. } => {
                let tags = tagged(ResourceType::RouteTable, tags);
                let request = ec2.create_route_table().vpc_id(vpc).tag_specifications(tags);
                let answer = send!("CreateRouteTable", dry, request)?;
                made("CreateRouteTable", answer.route_table().and_then(|table| table.route_table_id()))
            }
            Call::CreateSubnet { vpc, cidr, zone, tags, .. } => {
                let request =
                    ec2.create_subnet().vpc_id(vpc).cidr_block(cidr.to_string()).availability_zone(zone);
                let request = request.tag_specifications(tagged(ResourceType::Subnet, tags));
                let answer = send!("CreateSubnet", dry, request)?;
                made("CreateSubnet", answer.subnet().and_then(|subnet| subnet.subnet_id()))
            }
            Call::CreateSecurityGroup { vpc, name, description, tags, .. } => {
                let request =
                    ec2.create_security_group().vpc_id(vpc).group_name(name).description(description);
                let request = request.tag_specifications(tagged(ResourceType::SecurityGroup, tags));
                let answer = send!("CreateSecurityGroup", dry, request)?;
                made("CreateSecurityGroup", answer.group_id())
            }
            Call::ImportKeyPair { name, public_key, tags, .. } => {
                let request = ec2
                    .import_key_pair()
                    .key_name(name)
                    .public_key_material(Blob::new(public_key.as_bytes()));
                let request = request.tag_specifications(tagged(ResourceType::KeyPair, tags));
                let answer = send!("ImportKeyPair", dry, request)?;
                made("ImportKeyPair", answer.key_pair_id())
            }
            Call::RunInstances(request) => {
                let answer = send!("RunInstances", dry, launch::request(ec2.run_instances(), request))?;
                made("RunInstances", answer.instances().first().and_then(|instance| instance.instance_id()))
            }
            other => Err(misrouted(other)),
        }
    }

    /// What joins or parts resources, and starts instances.
    async fn connect_up(&self, call: &Call<String>, dry: bool) -> Done {
        let ec2 = &self.changes;
        match call {
            Call::AttachInternetGateway { gateway, vpc } => {
                let request = ec2.attach_internet_gateway().internet_gateway_id(gateway).vpc_id(vpc);
                send!("AttachInternetGateway", dry, request)?;
            }
            Call::CreateRoute { table, cidr, gateway } => {
                let request = ec2.create_route().route_table_id(table).gateway_id(gateway);
                send!("CreateRoute", dry, request.destination_cidr_block(cidr.to_string()))?;
            }
            Call::AssociateRouteTable { table, subnet } => {
                let request = ec2.associate_route_table().route_table_id(table).subnet_id(subnet);
                let answer = send!("AssociateRouteTable", dry, request)?;
                return made("AssociateRouteTable", answer.association_id());
            }
            Call::AuthorizeSecurityGroupIngress { group, rules } => {
                let permissions = rules.iter().map(|rule| permission(rule, true)).collect();
                let request = ec2.authorize_security_group_ingress().group_id(group);
                send!("AuthorizeSecurityGroupIngress", dry, request.set_ip_permissions(Some(permissions)))?;
            }
            Call::RevokeSecurityGroupIngress { group, rules } => {
                let permissions = rules.iter().map(|rule| permission(rule, false)).collect();
                let request = ec2.revoke_security_group_ingress().group_id(group);
                send!("RevokeSecurityGroupIngress", dry, request.set_ip_permissions(Some(permissions)))?;
            }
            Call::StartInstances { instances } => {
                let request = ec2.start_instances().set_instance_ids(Some(instances.clone()));
                send!("StartInstances", dry, request)?;
            }
            Call::DisassociateRouteTable { association } => {
                let request = ec2.disassociate_route_table().association_id(association);
                send!("DisassociateRouteTable", dry, request)?;
            }
            Call::DetachInternetGateway { gateway, vpc } => {
                let request = ec2.detach_internet_gateway().internet_gateway_id(gateway).vpc_id(vpc);
                send!("DetachInternetGateway", dry, request)?;
            }
            other => return Err(misrouted(other)),
        }
        done()
    }

    /// What removes a resource.
    async fn delete(&self, call: &Call<String>, dry: bool) -> Done {
        let ec2 = &self.changes;
        match call {
            Call::TerminateInstances { instances } => {
                let request = ec2.terminate_instances().set_instance_ids(Some(instances.clone()));
                send!("TerminateInstances", dry, request)?;
            }
            Call::DeleteKeyPair { key_pair } => {
                // AWS takes the id as well, and says nothing where there is no such key; not every stand-in
                // does, and one that ignores the id would answer as if it had deleted.
                let name = self.key_name(key_pair).await?;
                send!("DeleteKeyPair", dry, ec2.delete_key_pair().key_name(name))?;
            }
            Call::DeleteVolume { volume } => {
                send!("DeleteVolume", dry, ec2.delete_volume().volume_id(volume))?;
            }
            Call::DeleteNetworkInterface { interface } => {
                let request = ec2.delete_network_interface().network_interface_id(interface);
                send!("DeleteNetworkInterface", dry, request)?;
            }
            Call::DeleteSecurityGroup { group } => {
                send!("DeleteSecurityGroup", dry, ec2.delete_security_group().group_id(group))?;
            }
            Call::DeleteRouteTable { table } => {
                send!("DeleteRouteTable", dry, ec2.delete_route_table().route_table_id(table))?;
            }
            Call::DeleteSubnet { subnet } => {
                send!("DeleteSubnet", dry, ec2.delete_subnet().subnet_id(subnet))?;
            }
            Call::DeleteInternetGateway { gateway } => {
                let request = ec2.delete_internet_gateway().internet_gateway_id(gateway);
                send!("DeleteInternetGateway", dry, request)?;
            }
            Call::DeleteVpc { vpc } => {
                send!("DeleteVpc", dry, ec2.delete_vpc().vpc_id(vpc))?;
            }
            other => return Err(misrouted(other)),
        }
        done()
    }
}

fn misrouted(call: &Call<String>) -> CloudError {
    CloudError::refused(
        call.action_name(),
        "InternalFailure",
        "this call has no sender: a fault of this program",
    )
}

/// The tags of one kind of resource.
pub(super) fn tagged(kind: ResourceType, tags: &Tags) -> TagSpecification {
    let pairs = tags.0.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
    TagSpecification::builder().resource_type(kind).set_tags(Some(pairs)).build()
}

/// One rule; `described` when it is made, since AWS finds a rule to revoke by content alone.
/// Between groups no words are needed, and not every stand-in finds such a rule again with them.
fn permission(rule: &Rule<String>, described: bool) -> IpPermission {
    let (protocol, from, to) = match rule.protocol {
        Protocol::Tcp { from, to } => ("tcp".to_owned(), i32::from(from), i32::from(to)),
        Protocol::Udp { from, to } => ("udp".to_owned(), i32::from(from), i32::from(to)),
        Protocol::Icmp { kind, code } => ("icmp".to_owned(), i32::from(kind), i32::from(code)),
        Protocol::Other { number, from, to } => (number.to_string(), from, to),
    };
    let words = described.then(|| description(rule.protocol));
    let permission = IpPermission::builder().ip_protocol(protocol).from_port(from).to_port(to);
    match &rule.source {
        Source::Cidr(net) => {
            permission.ip_ranges(IpRange::builder().cidr_ip(net.to_string()).set_description(words).build())
        }
        Source::Group(id) => permission.user_id_group_pairs(UserIdGroupPair::builder().group_id(id).build()),
        Source::Foreign(words) if words.starts_with("pl-") => permission
            .prefix_list_ids(aws_sdk_ec2::types::PrefixListId::builder().prefix_list_id(words).build()),
        Source::Foreign(words) => {
            permission.ipv6_ranges(aws_sdk_ec2::types::Ipv6Range::builder().cidr_ipv6(words).build())
        }
    }
    .build()
}

/// What a rule is for, as the console shows it.
fn description(protocol: Protocol) -> String {
    let known = match protocol {
        Protocol::Tcp { from: 22, to: 22 } => "ssh",
        Protocol::Tcp { from: 6443, to: 6443 } => "kubernetes api",
        Protocol::Tcp { from: 6444, to: 6444 } => "cluster binary and images",
        Protocol::Tcp { from: 2379, to: 2380 } => "etcd",
        Protocol::Tcp { from: 10250, to: 10250 } => "kubelet",
        Protocol::Tcp { from: 30000, to: 32767 } | Protocol::Udp { from: 30000, to: 32767 } => "node ports",
        Protocol::Udp { from: 8472, to: 8472 } => "pod network, vxlan",
        Protocol::Icmp { kind: 3, code: 4 } => "icmp fragmentation needed",
        other => return format!("services, {other}"),
    };
    known.to_owned()
}
