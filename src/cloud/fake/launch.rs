//! Instances, by AWS's rules: client tokens, capacity, limits, and states that last.

use std::net::Ipv4Addr;

use plan::model::{Instance, InstanceState, LaunchRequest, NetworkInterface, Subnet, Volume};

use super::create::refuse;
use super::world::{Life, World};
use crate::error::CloudError;
use crate::seam::Outcome;

type Done = Result<Outcome, CloudError>;

const RUN: &str = "RunInstances";
/// AWS's limit of user-data before encoding, in bytes.
const USER_DATA: usize = 16 * 1024;

impl World {
    pub(super) fn run_instances(&mut self, request: &LaunchRequest<String>) -> Done {
        if let Some(answer) = self.replayed(request) {
            return answer;
        }
        self.check_shape(request)?;
        let subnet = self.check_network(request)?;
        self.check_machine(request, &subnet)?;
        self.check_room(request, &subnet)?;
        let address = self.free_address(RUN, &subnet)?;
        Ok(Outcome { id: Some(self.launch(request, &subnet, address)) })
    }

    /// What a token that was used before gives.
    fn replayed(&self, request: &LaunchRequest<String>) -> Option<Done> {
        if request.client_token.is_empty() {
            return None;
        }
        let (first, id) = self.tokens.get(&request.client_token)?;
        if first != request {
            let message = format!(
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s). Token: {}",
                request.client_token
            );
            return Some(refuse(RUN, "IdempotentParameterMismatch", message));
        }
        let id = id.as_ref()?;
        let dead = !self.instances.live().any(|i| &i.id == id && i.state != InstanceState::Terminated);
        if dead {
            let message = "The client token you have provided is associated with a terminated instance. Please use a different client token.";
            return Some(refuse(RUN, "IdempotentInstanceTerminated", message));
        }
        Some(Ok(Outcome { id: Some(id.clone()) }))
    }

    fn check_shape(&self, request: &LaunchRequest<String>) -> Result<(), CloudError> {
        if request.client_token.len() > 64 || !request.client_token.is_ascii() {
            let message =
                "Value for parameter clientToken is invalid. It may have at most 64 ASCII characters.";
            return refuse(RUN, "InvalidParameterValue", message);
        }
        if request.user_data.len() > USER_DATA {
            return refuse(RUN, "InvalidParameterValue", "User data is limited to 16384 bytes");
        }
        if self.keys.live().all(|key| key.name != request.key_name) {
            let message = format!("The key pair '{}' does not exist", request.key_name);
            return refuse(RUN, "InvalidKeyPair.NotFound", message);
        }
        Ok(())
    }

    fn check_network(&mut self, request: &LaunchRequest<String>) -> Result<Subnet, CloudError> {
        let subnet = self.subnets.find(RUN, &request.subnet)?.clone();
        for group in &request.security_groups {
            if self.groups.find(RUN, group)?.vpc != subnet.vpc {
                let message =
                    format!("Security group {group} and subnet {} belong to different networks.", subnet.id);
                return refuse(RUN, "InvalidParameter", message);
            }
        }
        Ok(subnet)
    }

    fn check_machine(&self, request: &LaunchRequest<String>, subnet: &Subnet) -> Result<(), CloudError> {
        let Some(listed) = self.rules.images.iter().find(|listed| listed.image.id == request.image) else {
            let message = format!("The image id '[{}]' does not exist", request.image);
            return refuse(RUN, "InvalidAMIID.NotFound", message);
        };
        let Some(kind) = self.rules.types.iter().find(|kind| kind.name == request.instance_type) else {
            let message = format!("Invalid value '{}' for InstanceType.", request.instance_type);
            return refuse(RUN, "InvalidParameterValue", message);
        };
        if !kind.architectures.contains(&listed.image.architecture) {
            let message = "The architecture of the specified instance type does not match the architecture of the specified AMI.";
            return refuse(RUN, "InvalidParameterValue", message);
        }
        if request.volume_gib < listed.image.root_gib {
            let message = format!(
                "Volume of size {}GB is smaller than snapshot, expect size >= {}GB",
                request.volume_gib, listed.image.root_gib
            );
            return refuse(RUN, "InvalidBlockDeviceMapping", message);
        }
        if !kind.zones.contains(&subnet.zone) {
            let message = format!(
                "Your requested instance type ({}) is not supported in your requested Availability Zone ({}).",
                kind.name, subnet.zone
            );
            return refuse(RUN, "Unsupported", message);
        }
        Ok(())
    }

    fn check_room(&mut self, request: &LaunchRequest<String>, subnet: &Subnet) -> Result<(), CloudError> {
        let vcpus =
            |name: &str| self.rules.types.iter().find(|kind| kind.name == name).map_or(0, |k| k.vcpus);
        let used: u32 =
            self.instances.live().filter(|i| i.state.is_live()).map(|i| vcpus(&i.instance_type)).sum();
        if used + vcpus(&request.instance_type) > self.rules.vcpus {
            let message = format!(
                "You have requested more vCPU capacity than your current vCPU limit of {} allows for the instance bucket that the specified instance type belongs to.",
                self.rules.vcpus
            );
            return refuse(RUN, "VcpuLimitExceeded", message);
        }
        let place = (request.instance_type.clone(), subnet.zone.clone());
        if let Some(left) = self.scarce.get_mut(&place)
            && *left > 0
        {
            *left -= 1;
            self.tokens.insert(request.client_token.clone(), (request.clone(), None));
            let message = format!(
                "We currently do not have sufficient {} capacity in the Availability Zone you requested ({}).",
                place.0, place.1
            );
            return refuse(RUN, "InsufficientInstanceCapacity", message);
        }
        Ok(())
    }

    /// Makes the instance, its interface and its volume, all tagged.
    fn launch(&mut self, request: &LaunchRequest<String>, subnet: &Subnet, address: Ipv4Addr) -> String {
        let id = self.id("i");
        let public = if request.public_address { self.public_address() } else { None };
        let mut groups = request.security_groups.clone();
        groups.sort();
        let instance = Instance {
            id: id.clone(),
            state: InstanceState::Pending,
            state_reason: None,
            client_token: Some(request.client_token.clone()),
            instance_type: request.instance_type.clone(),
            image: request.image.clone(),
            zone: subnet.zone.clone(),
            vpc: Some(subnet.vpc.clone()),
            subnet: Some(subnet.id.clone()),
            security_groups: groups,
            private_address: Some(address),
            public_address: public,
            launched_at: Some(self.now.to_string()),
            tags: request.tags.clone(),
        };
        let interface = NetworkInterface {
            id: self.id("eni"),
            vpc: subnet.vpc.clone(),
            subnet: subnet.id.clone(),
            instance: Some(id.clone()),
            description: String::new(),
            tags: request.tags.clone(),
        };
        let volume = Volume {
            id: self.id("vol"),
            size_gib: request.volume_gib,
            instance: Some(id.clone()),
            tags: request.tags.clone(),
        };
        let (a, b, c) = (self.lag(), self.lag(), self.lag());
        self.instances.put(instance, a);
        self.interfaces.put(interface, b);
        self.volumes.put(volume, c);
        let doom = if self.dooms.is_empty() { None } else { Some(self.dooms.remove(0)) };
        self.lives.insert(id.clone(), Life { since: self.now, doom });
        if !request.client_token.is_empty() {
            self.tokens.insert(request.client_token.clone(), (request.clone(), Some(id.clone())));
        }
        id
    }

    pub(super) fn start_instances(&mut self, ids: &[String]) -> Done {
        const OP: &str = "StartInstances";
        for id in ids {
            let state = self.instances.find(OP, id)?.state;
            if !matches!(state, InstanceState::Stopped | InstanceState::Pending | InstanceState::Running) {
                let message = format!("The instance '{id}' is not in a state from which it can be started.");
                return refuse(OP, "IncorrectInstanceState", message);
            }
        }
        for id in ids {
            if self.instances.find(OP, id)?.state == InstanceState::Stopped {
                self.enter(id, InstanceState::Pending);
                let public = self.public_address();
                self.instances.find(OP, id)?.public_address = public;
            }
        }
        Ok(Outcome::default())
    }

    /// All or none: an unknown id among them terminates nothing.
    pub(super) fn terminate_instances(&mut self, ids: &[String]) -> Done {
        const OP: &str = "TerminateInstances";
        for id in ids {
            self.instances.find(OP, id)?;
        }
        for id in ids {
            if self.instances.find(OP, id)?.state.is_live() {
                self.instances.find(OP, id)?.state_reason =
                    Some("Client.UserInitiatedShutdown: User initiated shutdown".to_owned());
                self.enter(id, InstanceState::ShuttingDown);
            }
        }
        Ok(Outcome::default())
    }
}
