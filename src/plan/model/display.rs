//! How a call reads on a screen: a verb, what it is about, and the parameters that matter.

use std::fmt;

use super::call::{Call, LaunchRequest};
use super::rule::Rule;

impl<R: fmt::Display> fmt::Display for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateVpc { cidr, .. } => write!(f, "create VPC {cidr}"),
            Self::CreateInternetGateway { .. } => write!(f, "create internet gateway"),
            Self::AttachInternetGateway { gateway, vpc } => {
                write!(f, "attach internet gateway {gateway} to {vpc}")
            }
            Self::CreateRouteTable { vpc, .. } => write!(f, "create route table in {vpc}"),
            Self::CreateRoute { table, cidr, gateway } => {
                write!(f, "route {cidr} through {gateway} in {table}")
            }
            Self::CreateSubnet { cidr, zone, .. } => write!(f, "create subnet {cidr} in {zone}"),
            Self::AssociateRouteTable { table, subnet } => write!(f, "use {table} for {subnet}"),
            Self::CreateSecurityGroup { name, .. } => write!(f, "create security group {name}"),
            Self::AuthorizeSecurityGroupIngress { group, rules } => {
                write!(f, "allow into {group}: {}", Rules(rules))
            }
            Self::RevokeSecurityGroupIngress { group, rules } => {
                write!(f, "no longer allow into {group}: {}", Rules(rules))
            }
            Self::ImportKeyPair { name, .. } => write!(f, "import key pair {name}"),
            Self::RunInstances(request) => write!(f, "{request}"),
            Self::StartInstances { instances } => write!(f, "start {}", List(instances)),
            Self::TerminateInstances { instances } => write!(f, "terminate {}", List(instances)),
            Self::DeleteKeyPair { key_pair } => write!(f, "delete key pair {key_pair}"),
            Self::DeleteVolume { volume } => write!(f, "delete volume {volume}"),
            Self::DeleteNetworkInterface { interface } => write!(f, "delete network interface {interface}"),
            Self::DeleteSecurityGroup { group } => write!(f, "delete security group {group}"),
            Self::DisassociateRouteTable { association } => {
                write!(f, "remove route table association {association}")
            }
            Self::DeleteRouteTable { table } => write!(f, "delete route table {table}"),
            Self::DeleteSubnet { subnet } => write!(f, "delete subnet {subnet}"),
            Self::DetachInternetGateway { gateway, vpc } => {
                write!(f, "detach internet gateway {gateway} from {vpc}")
            }
            Self::DeleteInternetGateway { gateway } => write!(f, "delete internet gateway {gateway}"),
            Self::DeleteVpc { vpc } => write!(f, "delete VPC {vpc}"),
        }
    }
}

impl<R: fmt::Display> fmt::Display for LaunchRequest<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "launch {}: {}, {} GiB gp3, {} in {}",
            self.slot, self.instance_type, self.volume_gib, self.image, self.subnet
        )?;
        if self.public_address {
            f.write_str(", public address")?;
        }
        match &self.instance_profile {
            Some(profile) => write!(f, ", profile {profile}"),
            None => Ok(()),
        }
    }
}

struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{item}")?;
        }
        Ok(())
    }
}

/// Rules of one protocol share a mention: `tcp 22 from a, b; tcp 80 from c`.
struct Rules<'a, R>(&'a [Rule<R>]);

impl<R: fmt::Display> fmt::Display for Rules<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut previous = None;
        for rule in self.0 {
            match previous {
                Some(protocol) if protocol == rule.protocol => write!(f, ", {}", rule.source)?,
                Some(_) => write!(f, "; {rule}")?,
                None => write!(f, "{rule}")?,
            }
            previous = Some(rule.protocol);
        }
        Ok(())
    }
}
