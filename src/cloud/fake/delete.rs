//! Deleting, by AWS's rules: what is in use stays, and AWS says so in few words.

use plan::model::{InstanceState, Source};

use super::create::refuse;
use super::world::World;
use crate::error::CloudError;
use crate::seam::Outcome;

type Done = Result<Outcome, CloudError>;

const BLOCKED: &str = "DependencyViolation";

impl World {
    /// Success also where there is no such key pair.
    pub(super) fn delete_key(&mut self, id: &str) -> Done {
        let ghosts = self.ghosts();
        self.keys.delete(id, ghosts);
        Ok(Outcome::default())
    }

    pub(super) fn delete_volume(&mut self, id: &str) -> Done {
        const OP: &str = "DeleteVolume";
        if let Some(instance) = &self.volumes.find(OP, id)?.instance {
            return refuse(OP, "VolumeInUse", format!("Volume {id} is currently attached to {instance}"));
        }
        let ghosts = self.ghosts();
        self.volumes.delete(id, ghosts);
        Ok(Outcome::default())
    }

    pub(super) fn delete_interface(&mut self, id: &str) -> Done {
        const OP: &str = "DeleteNetworkInterface";
        if self.interfaces.find(OP, id)?.instance.is_some() {
            let message = format!("Network interface '{id}' is currently in use.");
            return refuse(OP, "InvalidParameterValue", message);
        }
        let ghosts = self.ghosts();
        self.interfaces.delete(id, ghosts);
        Ok(Outcome::default())
    }

    pub(super) fn delete_group(&mut self, id: &str) -> Done {
        const OP: &str = "DeleteSecurityGroup";
        if self.groups.find(OP, id)?.name == "default" {
            let message =
                format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user");
            return refuse(OP, "CannotDelete", message);
        }
        let named = |source: &Source<String>| matches!(source, Source::Group(group) if group == id);
        let used_by_rule =
            self.groups.live().any(|g| g.id != id && g.ingress.iter().any(|rule| named(&rule.source)));
        let used_by_machine =
            self.instances.live().any(|i| i.security_groups.iter().any(|group| group == id));
        if used_by_rule || used_by_machine {
            return refuse(OP, BLOCKED, format!("resource {id} has a dependent object"));
        }
        let ghosts = self.ghosts();
        self.groups.delete(id, ghosts);
        Ok(Outcome::default())
    }

    pub(super) fn disassociate(&mut self, association: &str) -> Done {
        for table in self.tables.live_mut() {
            let before = table.associations.len();
            table.associations.retain(|(id, _)| id != association);
            if table.associations.len() < before {
                return Ok(Outcome::default());
            }
        }
        let message = format!("The association ID '{association}' does not exist");
        refuse("DisassociateRouteTable", "InvalidAssociationID.NotFound", message)
    }

    pub(super) fn delete_table(&mut self, id: &str) -> Done {
        const OP: &str = "DeleteRouteTable";
        let table = self.tables.find(OP, id)?;
        if table.main || !table.associations.is_empty() {
            return refuse(
                OP,
                BLOCKED,
                format!("The routeTable '{id}' has dependencies and cannot be deleted."),
            );
        }
        let ghosts = self.ghosts();
        self.tables.delete(id, ghosts);
        Ok(Outcome::default())
    }

    /// A subnet's association with a route table goes with it.
    pub(super) fn delete_subnet(&mut self, id: &str) -> Done {
        const OP: &str = "DeleteSubnet";
        self.subnets.find(OP, id)?;
        if self.interfaces.live().any(|interface| interface.subnet == id) {
            return refuse(OP, BLOCKED, format!("The subnet '{id}' has dependencies and cannot be deleted."));
        }
        for table in self.tables.live_mut() {
            table.associations.retain(|(_, subnet)| subnet != id);
        }
        let ghosts = self.ghosts();
        self.subnets.delete(id, ghosts);
        Ok(Outcome::default())
    }

    pub(super) fn detach_gateway(&mut self, id: &str, vpc: &str) -> Done {
        const OP: &str = "DetachInternetGateway";
        if self.gateways.find(OP, id)?.vpc.as_deref() != Some(vpc) {
            return refuse(
                OP,
                "Gateway.NotAttached",
                format!("resource {id} is not attached to network {vpc}"),
            );
        }
        let mapped = |instance: &plan::model::Instance| {
            instance.vpc.as_deref() == Some(vpc)
                && instance.public_address.is_some()
                && instance.state != InstanceState::Terminated
        };
        if self.instances.live().any(mapped) {
            let message = format!(
                "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
            );
            return refuse(OP, BLOCKED, message);
        }
        self.gateways.find(OP, id)?.vpc = None;
        Ok(Outcome::default())
    }

    pub(super) fn delete_gateway(&mut self, id: &str) -> Done {
        const OP: &str = "DeleteInternetGateway";
        if self.gateways.find(OP, id)?.vpc.is_some() {
            let message = format!("The internetGateway '{id}' has dependencies and cannot be deleted.");
            return refuse(OP, BLOCKED, message);
        }
        let ghosts = self.ghosts();
        self.gateways.delete(id, ghosts);
        Ok(Outcome::default())
    }

    /// The main route table and the default group go with the VPC; everything else blocks.
    pub(super) fn delete_vpc(&mut self, id: &str) -> Done {
        const OP: &str = "DeleteVpc";
        self.vpcs.find(OP, id)?;
        let blocked = self.subnets.live().any(|subnet| subnet.vpc == id)
            || self.tables.live().any(|table| table.vpc == id && !table.main)
            || self.groups.live().any(|group| group.vpc == id && group.name != "default")
            || self.gateways.live().any(|gateway| gateway.vpc.as_deref() == Some(id))
            || self.interfaces.live().any(|interface| interface.vpc == id);
        if blocked {
            return refuse(OP, BLOCKED, format!("The vpc '{id}' has dependencies and cannot be deleted."));
        }
        let ghosts = self.ghosts();
        let tables: Vec<String> =
            self.tables.live().filter(|table| table.vpc == id).map(|table| table.id.clone()).collect();
        let groups: Vec<String> =
            self.groups.live().filter(|group| group.vpc == id).map(|group| group.id.clone()).collect();
        tables.iter().for_each(|table| self.tables.delete(table, ghosts));
        groups.iter().for_each(|group| self.groups.delete(group, ghosts));
        self.vpcs.delete(id, ghosts);
        Ok(Outcome::default())
    }
}
