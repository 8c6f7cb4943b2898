//! The closed set of calls that change an account.
//!
//! A plan holds `Call<Ref>`: resources that do not exist yet go by their slot.
//! Execution resolves each to `Call<String>`, with AWS's ids, and hands it to
//! the cloud. Nothing else mutates anything.

use std::fmt;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::rule::Rule;
use super::tags::Tags;

/// A resource as a plan names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ref {
    /// It exists: AWS's id.
    Id(String),
    /// It will exist once the plan's action for this slot has run.
    Slot(String),
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::Slot(slot) => write!(f, "({slot})"),
        }
    }
}

/// One call to AWS that changes something. `R` names resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "call")]
#[allow(missing_docs)] // each field is the parameter of the AWS call that the variant names
pub enum Call<R> {
    CreateVpc { slot: String, cidr: Ipv4Net, tags: Tags },
    CreateInternetGateway { slot: String, tags: Tags },
    AttachInternetGateway { gateway: R, vpc: R },
    CreateRouteTable { slot: String, vpc: R, tags: Tags },
    CreateRoute { table: R, cidr: Ipv4Net, gateway: R },
    CreateSubnet { slot: String, vpc: R, cidr: Ipv4Net, zone: String, tags: Tags },
    AssociateRouteTable { table: R, subnet: R },
    CreateSecurityGroup { slot: String, vpc: R, name: String, description: String, tags: Tags },
    AuthorizeSecurityGroupIngress { group: R, rules: Vec<Rule<R>> },
    RevokeSecurityGroupIngress { group: R, rules: Vec<Rule<R>> },
    ImportKeyPair { slot: String, name: String, public_key: String, tags: Tags },
    RunInstances(LaunchRequest<R>),
    StartInstances { instances: Vec<R> },
    TerminateInstances { instances: Vec<R> },
    DeleteKeyPair { key_pair: R },
    DeleteVolume { volume: R },
    DeleteNetworkInterface { interface: R },
    DeleteSecurityGroup { group: R },
    DisassociateRouteTable { association: String },
    DeleteRouteTable { table: R },
    DeleteSubnet { subnet: R },
    DetachInternetGateway { gateway: R, vpc: R },
    DeleteInternetGateway { gateway: R },
    DeleteVpc { vpc: R },
}

/// The whole of one RunInstances call: one instance, one slot.
///
/// Two equal requests give two equal calls on the wire, user-data and token
/// included; that is what makes replaying a journaled one safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchRequest<R> {
    /// The slot it fills (`master-0`, `general-3`).
    pub slot: String,
    /// ClientToken: at most 64 ASCII characters. Empty in a plan, drawn at execution.
    pub client_token: String,
    /// Image id.
    pub image: String,
    /// The image's root device name (`/dev/xvda`).
    pub root_device: String,
    /// Root volume, gp3 and encrypted, in GiB.
    pub volume_gib: u32,
    /// Instance type.
    pub instance_type: String,
    /// Subnet, which fixes the zone.
    pub subnet: R,
    /// Security groups.
    pub security_groups: Vec<R>,
    /// Key pair name.
    pub key_name: String,
    /// Whether it gets a public address.
    pub public_address: bool,
    /// IAM instance profile name.
    pub instance_profile: Option<String>,
    /// User-data as the instance sees it, at most 16 KiB. Empty in a plan: it
    /// carries a single-use host key, made at execution.
    pub user_data: String,
    /// Tags for the instance, its volume and its network interface.
    pub tags: Tags,
}

impl<R> Call<R> {
    /// The slot this call fills, if it creates a resource.
    #[must_use]
    pub fn creates(&self) -> Option<&str> {
        match self {
            Self::CreateVpc { slot, .. }
            | Self::CreateInternetGateway { slot, .. }
            | Self::CreateRouteTable { slot, .. }
            | Self::CreateSubnet { slot, .. }
            | Self::CreateSecurityGroup { slot, .. }
            | Self::ImportKeyPair { slot, .. }
            | Self::RunInstances(LaunchRequest { slot, .. }) => Some(slot),
            _ => None,
        }
    }

    /// The AWS action, as IAM and CloudTrail write it.
    #[must_use]
    pub fn action_name(&self) -> &'static str {
        match self {
            Self::CreateVpc { .. } => "CreateVpc",
            Self::CreateInternetGateway { .. } => "CreateInternetGateway",
            Self::AttachInternetGateway { .. } => "AttachInternetGateway",
            Self::CreateRouteTable { .. } => "CreateRouteTable",
            Self::CreateRoute { .. } => "CreateRoute",
            Self::CreateSubnet { .. } => "CreateSubnet",
            Self::AssociateRouteTable { .. } => "AssociateRouteTable",
            Self::CreateSecurityGroup { .. } => "CreateSecurityGroup",
            Self::AuthorizeSecurityGroupIngress { .. } => "AuthorizeSecurityGroupIngress",
            Self::RevokeSecurityGroupIngress { .. } => "RevokeSecurityGroupIngress",
            Self::ImportKeyPair { .. } => "ImportKeyPair",
            Self::RunInstances(_) => "RunInstances",
            Self::StartInstances { .. } => "StartInstances",
            Self::TerminateInstances { .. } => "TerminateInstances",
            Self::DeleteKeyPair { .. } => "DeleteKeyPair",
            Self::DeleteVolume { .. } => "DeleteVolume",
            Self::DeleteNetworkInterface { .. } => "DeleteNetworkInterface",
            Self::DeleteSecurityGroup { .. } => "DeleteSecurityGroup",
            Self::DisassociateRouteTable { .. } => "DisassociateRouteTable",
            Self::DeleteRouteTable { .. } => "DeleteRouteTable",
            Self::DeleteSubnet { .. } => "DeleteSubnet",
            Self::DetachInternetGateway { .. } => "DetachInternetGateway",
            Self::DeleteInternetGateway { .. } => "DeleteInternetGateway",
            Self::DeleteVpc { .. } => "DeleteVpc",
        }
    }

    /// The same call with every resource name replaced by `f`.
    ///
    /// # Errors
    /// Those of `f`, such as a slot that has no id yet.
    pub fn try_map<S, E>(&self, mut f: impl FnMut(&R) -> Result<S, E>) -> Result<Call<S>, E> {
        use Call as C;
        Ok(match self.clone_plain() {
            Some(plain) => plain,
            None => match self {
                C::AttachInternetGateway { gateway, vpc } => {
                    C::AttachInternetGateway { gateway: f(gateway)?, vpc: f(vpc)? }
                }
                C::CreateRouteTable { slot, vpc, tags } => {
                    C::CreateRouteTable { slot: slot.clone(), vpc: f(vpc)?, tags: tags.clone() }
                }
                C::CreateRoute { table, cidr, gateway } => {
                    C::CreateRoute { table: f(table)?, cidr: *cidr, gateway: f(gateway)? }
                }
                C::CreateSubnet { slot, vpc, cidr, zone, tags } => C::CreateSubnet {
                    slot: slot.clone(),
                    vpc: f(vpc)?,
                    cidr: *cidr,
                    zone: zone.clone(),
                    tags: tags.clone(),
                },
                C::AssociateRouteTable { table, subnet } => {
                    C::AssociateRouteTable { table: f(table)?, subnet: f(subnet)? }
                }
                C::CreateSecurityGroup { slot, vpc, name, description, tags } => C::CreateSecurityGroup {
                    slot: slot.clone(),
                    vpc: f(vpc)?,
                    name: name.clone(),
                    description: description.clone(),
                    tags: tags.clone(),
                },
                C::AuthorizeSecurityGroupIngress { group, rules } => {
                    C::AuthorizeSecurityGroupIngress { group: f(group)?, rules: map_rules(rules, &mut f)? }
                }
                C::RevokeSecurityGroupIngress { group, rules } => {
                    C::RevokeSecurityGroupIngress { group: f(group)?, rules: map_rules(rules, &mut f)? }
                }
                C::RunInstances(request) => C::RunInstances(request.try_map(&mut f)?),
                C::StartInstances { instances } => {
                    C::StartInstances { instances: instances.iter().map(f).collect::<Result<_, _>>()? }
                }
                C::TerminateInstances { instances } => {
                    C::TerminateInstances { instances: instances.iter().map(f).collect::<Result<_, _>>()? }
                }
                C::DeleteKeyPair { key_pair } => C::DeleteKeyPair { key_pair: f(key_pair)? },
                C::DeleteVolume { volume } => C::DeleteVolume { volume: f(volume)? },
                C::DeleteNetworkInterface { interface } => {
                    C::DeleteNetworkInterface { interface: f(interface)? }
                }
                C::DeleteSecurityGroup { group } => C::DeleteSecurityGroup { group: f(group)? },
                C::DeleteRouteTable { table } => C::DeleteRouteTable { table: f(table)? },
                C::DeleteSubnet { subnet } => C::DeleteSubnet { subnet: f(subnet)? },
                C::DetachInternetGateway { gateway, vpc } => {
                    C::DetachInternetGateway { gateway: f(gateway)?, vpc: f(vpc)? }
                }
                C::DeleteInternetGateway { gateway } => C::DeleteInternetGateway { gateway: f(gateway)? },
                C::DeleteVpc { vpc } => C::DeleteVpc { vpc: f(vpc)? },
                C::CreateVpc { .. }
                | C::CreateInternetGateway { .. }
                | C::ImportKeyPair { .. }
                | C::DisassociateRouteTable { .. } => {
                    unreachable!("clone_plain covers the calls without names")
                }
            },
        })
    }

    /// The calls that name no other resource, under any naming.
    fn clone_plain<S>(&self) -> Option<Call<S>> {
        Some(match self {
            Self::CreateVpc { slot, cidr, tags } => {
                Call::CreateVpc { slot: slot.clone(), cidr: *cidr, tags: tags.clone() }
            }
            Self::CreateInternetGateway { slot, tags } => {
                Call::CreateInternetGateway { slot: slot.clone(), tags: tags.clone() }
            }
            Self::ImportKeyPair { slot, name, public_key, tags } => Call::ImportKeyPair {
                slot: slot.clone(),
                name: name.clone(),
                public_key: public_key.clone(),
                tags: tags.clone(),
            },
            Self::DisassociateRouteTable { association } => {
                Call::DisassociateRouteTable { association: association.clone() }
            }
            _ => return None,
        })
    }
}

impl<R> LaunchRequest<R> {
    fn try_map<S, E>(&self, f: &mut impl FnMut(&R) -> Result<S, E>) -> Result<LaunchRequest<S>, E> {
        Ok(LaunchRequest {
            slot: self.slot.clone(),
            client_token: self.client_token.clone(),
            image: self.image.clone(),
            root_device: self.root_device.clone(),
            volume_gib: self.volume_gib,
            instance_type: self.instance_type.clone(),
            subnet: f(&self.subnet)?,
            security_groups: self.security_groups.iter().map(&mut *f).collect::<Result<_, _>>()?,
            key_name: self.key_name.clone(),
            public_address: self.public_address,
            instance_profile: self.instance_profile.clone(),
            user_data: self.user_data.clone(),
            tags: self.tags.clone(),
        })
    }
}

fn map_rules<R, S, E>(rules: &[Rule<R>], f: &mut impl FnMut(&R) -> Result<S, E>) -> Result<Vec<Rule<S>>, E> {
    rules.iter().map(|rule| rule.try_map(f)).collect()
}
