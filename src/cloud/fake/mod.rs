//! An account in this process, with AWS's own rules where a kinder stand-in has none.
//!
//! Pending and shutting-down last and hold interfaces; what is in use is not
//! deleted; client tokens are remembered; new things are unseen for a while
//! (all set by [`Rules`]). Time is the [`Clock`]'s: a test that polls on a
//! manual clock waits for nothing. Faults of the way to AWS (lost replies,
//! throttling, a crash between two calls) are [`Faults`], a wrapper around any cloud.
//! It refuses nothing that AWS allows, as far as the program's calls go.

mod create;
mod delete;
mod faults;
mod launch;
mod plant;
mod rules;
mod shelf;
#[cfg(test)]
mod tests;
mod world;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use base::Clock;
use ipnet::Ipv4Net;
use plan::model::{Call, Instance, Inventory, Tags};

use crate::error::CloudError;
use crate::seam::{Caller, Cloud, Image, ImageQuery, InstanceType, Neighbour, Outcome, Permission, Zone};
pub use faults::{CRASH, Fault, Faults, When};
pub use plant::Bystander;
pub use rules::{DEBIAN, ListedImage, Rules};
use world::World;

/// The fake's account id.
pub const ACCOUNT: &str = "123456789012";

/// An account in one region, in memory.
pub struct Fake {
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
}

impl Fake {
    /// An account that holds nothing but AWS's default VPC.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, rules: Rules) -> Self {
        let mut world = World::new(rules, clock.now());
        world.make_vpc(ipnet::Ipv4Net::new_assert([172, 31, 0, 0].into(), 16), Tags::default());
        Self { clock, world: Mutex::new(world) }
    }

    /// Runs `f` on the account as of now.
    fn locked<T>(&self, f: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.tick(self.clock.now());
        f(&mut world)
    }

    fn may(&self, action: &'static str) -> Result<(), CloudError> {
        self.locked(|world| world.may(action))
    }
}

impl World {
    fn may(&self, action: &'static str) -> Result<(), CloudError> {
        if self.denied.contains(action) {
            let message = format!(
                "You are not authorized to perform this operation. User: arn:aws:iam::{ACCOUNT}:user/operator is not authorized to perform: ec2:{action}"
            );
            return create::refuse(action, "UnauthorizedOperation", message);
        }
        Ok(())
    }

    fn apply(&mut self, call: &Call<String>) -> Result<Outcome, CloudError> {
        self.may(call.action_name())?;
        match call {
            Call::CreateVpc { cidr, tags, .. } => self.create_vpc(*cidr, tags),
            Call::CreateInternetGateway { tags, .. } => self.create_gateway(tags),
            Call::AttachInternetGateway { gateway, vpc } => self.attach_gateway(gateway, vpc),
            Call::CreateRouteTable { vpc, tags, .. } => self.create_table(vpc, tags),
            Call::CreateRoute { table, cidr, gateway } => self.create_route(table, *cidr, gateway),
            Call::CreateSubnet { vpc, cidr, zone, tags, .. } => self.create_subnet(vpc, *cidr, zone, tags),
            Call::AssociateRouteTable { table, subnet } => self.associate(table, subnet),
            Call::CreateSecurityGroup { vpc, name, tags, .. } => self.create_group(vpc, name, tags),
            Call::AuthorizeSecurityGroupIngress { group, rules } => self.authorize(group, rules),
            Call::RevokeSecurityGroupIngress { group, rules } => self.revoke(group, rules),
            Call::ImportKeyPair { name, public_key, tags, .. } => self.import_key(name, public_key, tags),
            Call::RunInstances(request) => self.run_instances(request),
            Call::StartInstances { instances } => self.start_instances(instances),
            Call::TerminateInstances { instances } => self.terminate_instances(instances),
            Call::DeleteKeyPair { key_pair } => self.delete_key(key_pair),
            Call::DeleteVolume { volume } => self.delete_volume(volume),
            Call::DeleteNetworkInterface { interface } => self.delete_interface(interface),
            Call::DeleteSecurityGroup { group } => self.delete_group(group),
            Call::DisassociateRouteTable { association } => self.disassociate(association),
            Call::DeleteRouteTable { table } => self.delete_table(table),
            Call::DeleteSubnet { subnet } => self.delete_subnet(subnet),
            Call::DetachInternetGateway { gateway, vpc } => self.detach_gateway(gateway, vpc),
            Call::DeleteInternetGateway { gateway } => self.delete_gateway(gateway),
            Call::DeleteVpc { vpc } => self.delete_vpc(vpc),
        }
    }
}

#[async_trait]
impl Cloud for Fake {
    async fn caller(&self) -> Result<Caller, CloudError> {
        self.may("GetCallerIdentity")?;
        Ok(Caller { account: ACCOUNT.to_owned(), arn: format!("arn:aws:iam::{ACCOUNT}:user/operator") })
    }

    async fn inventory(&self, name: &str) -> Result<Inventory, CloudError> {
        self.may("DescribeVpcs")?;
        self.may("DescribeInstances")?;
        Ok(self.locked(|world| world.inventory(name)))
    }

    async fn instances(&self, name: &str) -> Result<Vec<Instance>, CloudError> {
        self.may("DescribeInstances")?;
        Ok(self.locked(|world| world.instances_of(name)))
    }

    async fn apply(&self, call: &Call<String>) -> Result<Outcome, CloudError> {
        self.locked(|world| world.apply(call))
    }

    async fn permission(&self, call: &Call<String>) -> Result<Permission, CloudError> {
        let answer = self.locked(|world| world.clone().apply(call));
        Ok(match answer {
            Ok(_) => Permission::Allowed,
            Err(error) if error.code == "UnauthorizedOperation" => Permission::Denied(error.message),
            Err(error) => Permission::Unchecked(format!("{}: {}", error.code, error.message)),
        })
    }

    async fn image(&self, query: &ImageQuery) -> Result<Option<Image>, CloudError> {
        self.may("DescribeImages")?;
        let images = self.locked(|world| world.rules.images.clone());
        let fits = |listed: &&ListedImage| match query {
            ImageQuery::Id(id) => listed.image.id == *id,
            ImageQuery::Newest { owner, name, architecture } => {
                listed.owner == *owner
                    && listed.image.architecture == *architecture
                    && glob(name.as_bytes(), listed.image.name.as_bytes())
            }
        };
        let newest = images.iter().filter(fits).max_by(|a, b| a.created.cmp(&b.created));
        match (newest, query) {
            (None, ImageQuery::Id(id)) => {
                let message = format!("The image id '[{id}]' does not exist");
                create::refuse("DescribeImages", "InvalidAMIID.NotFound", message)
            }
            (newest, _) => Ok(newest.map(|listed| listed.image.clone())),
        }
    }

    async fn neighbours(&self, name: &str, cidr: Ipv4Net) -> Result<Vec<Neighbour>, CloudError> {
        self.may("DescribeVpcs")?;
        self.may("DescribeInstances")?;
        let (vpcs, instances) =
            self.locked(|world| (world.vpcs.list(|_| true), world.instances.list(|_| true)));
        Ok(Neighbour::among(vpcs, &instances, name, cidr))
    }

    async fn zones(&self) -> Result<Vec<Zone>, CloudError> {
        self.may("DescribeAvailabilityZones")?;
        Ok(self.locked(|world| world.rules.zones.clone()))
    }

    async fn instance_types(&self, names: &BTreeSet<String>) -> Result<Vec<InstanceType>, CloudError> {
        self.may("DescribeInstanceTypes")?;
        let all = self.locked(|world| world.rules.types.clone());
        Ok(all.into_iter().filter(|kind| names.contains(&kind.name)).collect())
    }

    async fn console_output(&self, instance: &str) -> Result<String, CloudError> {
        self.may("GetConsoleOutput")?;
        self.locked(|world| {
            world.instances.find("GetConsoleOutput", instance).map(|_| world.consoles.clone())
        })
    }
}

/// AWS's filter patterns: `*` is any run of characters, `?` any one.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        (Some((b'?', rest)), Some((_, tail))) => glob(rest, tail),
        (Some((p, rest)), Some((t, tail))) if p == t => glob(rest, tail),
        _ => false,
    }
}
