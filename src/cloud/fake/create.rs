//! Creating and connecting, by AWS's rules; instances are in `launch`.

use ipnet::Ipv4Net;
use plan::model::{InternetGateway, KeyPair, Route, RouteTable, Rule, SecurityGroup, Source, Subnet, Tags};

use super::world::World;
use crate::error::CloudError;
use crate::seam::Outcome;

type Done = Result<Outcome, CloudError>;

/// AWS's refusal of `operation`.
pub(super) fn refuse<T>(operation: &str, code: &str, message: impl Into<String>) -> Result<T, CloudError> {
    Err(CloudError::refused(operation, code, message))
}

fn made(id: String) -> Done {
    Ok(Outcome { id: Some(id) })
}

impl World {
    pub(super) fn create_vpc(&mut self, cidr: Ipv4Net, tags: &Tags) -> Done {
        if self.vpcs.live().count() >= self.rules.vpcs {
            return refuse("CreateVpc", "VpcLimitExceeded", "The maximum number of VPCs has been reached.");
        }
        if !(16..=28).contains(&cidr.prefix_len()) {
            return refuse("CreateVpc", "InvalidVpc.Range", format!("The CIDR '{cidr}' is invalid."));
        }
        made(self.make_vpc(cidr, tags.clone()))
    }

    pub(super) fn create_gateway(&mut self, tags: &Tags) -> Done {
        const OP: &str = "CreateInternetGateway";
        if self.gateways.live().count() >= self.rules.vpcs {
            let message = "The maximum number of internet gateways has been reached.";
            return refuse(OP, "InternetGatewayLimitExceeded", message);
        }
        let (id, lag) = (self.id("igw"), self.lag());
        self.gateways.put(InternetGateway { id: id.clone(), vpc: None, tags: tags.clone() }, lag);
        made(id)
    }

    pub(super) fn attach_gateway(&mut self, gateway: &str, vpc: &str) -> Done {
        const OP: &str = "AttachInternetGateway";
        self.vpcs.find(OP, vpc)?;
        let attached = self.gateways.find(OP, gateway)?.vpc.clone();
        if let Some(network) = attached {
            let message = format!("resource {gateway} is already attached to network {network}");
            return refuse(OP, "Resource.AlreadyAssociated", message);
        }
        if self.gateways.live().any(|g| g.vpc.as_deref() == Some(vpc)) {
            let message = format!("Network {vpc} already has an internet gateway attached");
            return refuse(OP, "InvalidParameterValue", message);
        }
        self.gateways.find(OP, gateway)?.vpc = Some(vpc.to_owned());
        Ok(Outcome::default())
    }

    pub(super) fn create_table(&mut self, vpc: &str, tags: &Tags) -> Done {
        self.vpcs.find("CreateRouteTable", vpc)?;
        let (id, lag) = (self.id("rtb"), self.lag());
        let table = RouteTable {
            id: id.clone(),
            vpc: vpc.to_owned(),
            main: false,
            routes: Vec::new(),
            associations: Vec::new(),
            tags: tags.clone(),
        };
        self.tables.put(table, lag);
        made(id)
    }

    pub(super) fn create_route(&mut self, table: &str, cidr: Ipv4Net, gateway: &str) -> Done {
        const OP: &str = "CreateRoute";
        let attached = match self.gateways.find(OP, gateway) {
            Ok(found) => found.vpc.clone(),
            Err(_) => {
                let message = format!("The gateway ID '{gateway}' does not exist");
                return refuse(OP, "InvalidGatewayID.NotFound", message);
            }
        };
        let table = self.tables.find(OP, table)?;
        if attached.as_deref() != Some(&table.vpc) {
            let message = format!(
                "route table {} and network gateway {gateway} belong to different networks",
                table.id
            );
            return refuse(OP, "InvalidParameterValue", message);
        }
        if table.routes.iter().any(|route| route.cidr == cidr) {
            let message = format!("The route identified by {cidr} already exists.");
            return refuse(OP, "RouteAlreadyExists", message);
        }
        table.routes.push(Route { cidr, gateway: gateway.to_owned() });
        Ok(Outcome::default())
    }

    pub(super) fn create_subnet(&mut self, vpc: &str, cidr: Ipv4Net, zone: &str, tags: &Tags) -> Done {
        const OP: &str = "CreateSubnet";
        let whole = self.vpcs.find(OP, vpc)?.cidr;
        let open = |known: &&crate::seam::Zone| known.available;
        if !self.rules.zones.iter().filter(open).any(|known| known.name == zone) {
            let names: Vec<&str> = self.rules.zones.iter().filter(open).map(|z| z.name.as_str()).collect();
            let message = format!(
                "Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: {}.",
                names.join(", ")
            );
            return refuse(OP, "InvalidParameterValue", message);
        }
        if !whole.contains(&cidr) || cidr.prefix_len() > 28 {
            return refuse(OP, "InvalidSubnet.Range", format!("The CIDR '{cidr}' is invalid."));
        }
        let overlaps =
            |other: &Subnet| other.vpc == vpc && (other.cidr.contains(&cidr) || cidr.contains(&other.cidr));
        if self.subnets.live().any(overlaps) {
            let message = format!("The CIDR '{cidr}' conflicts with another subnet");
            return refuse(OP, "InvalidSubnet.Conflict", message);
        }
        let (id, lag) = (self.id("subnet"), self.lag());
        let subnet =
            Subnet { id: id.clone(), vpc: vpc.to_owned(), zone: zone.to_owned(), cidr, tags: tags.clone() };
        self.subnets.put(subnet, lag);
        made(id)
    }

    pub(super) fn associate(&mut self, table: &str, subnet: &str) -> Done {
        const OP: &str = "AssociateRouteTable";
        let vpc = self.subnets.find(OP, subnet)?.vpc.clone();
        if self.tables.find(OP, table)?.vpc != vpc {
            let message = format!("route table {table} and subnet {subnet} belong to different networks");
            return refuse(OP, "InvalidParameterValue", message);
        }
        if self.tables.live().any(|t| t.associations.iter().any(|(_, to)| to == subnet)) {
            let message = format!(
                "the specified association for route table {table} conflicts with an existing association"
            );
            return refuse(OP, "Resource.AlreadyAssociated", message);
        }
        let id = self.id("rtbassoc");
        self.tables.find(OP, table)?.associations.push((id.clone(), subnet.to_owned()));
        made(id)
    }

    pub(super) fn create_group(&mut self, vpc: &str, name: &str, tags: &Tags) -> Done {
        const OP: &str = "CreateSecurityGroup";
        self.vpcs.find(OP, vpc)?;
        if name.starts_with("sg-") {
            let message = format!(
                "Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*"
            );
            return refuse(OP, "InvalidParameterValue", message);
        }
        if self.groups.live().any(|group| group.vpc == vpc && group.name == name) {
            let message = format!("The security group '{name}' already exists for VPC '{vpc}'");
            return refuse(OP, "InvalidGroup.Duplicate", message);
        }
        let (id, lag) = (self.id("sg"), self.lag());
        let group = SecurityGroup {
            id: id.clone(),
            vpc: vpc.to_owned(),
            name: name.to_owned(),
            ingress: Vec::new(),
            tags: tags.clone(),
        };
        self.groups.put(group, lag);
        made(id)
    }

    /// All rules or none.
    pub(super) fn authorize(&mut self, id: &str, rules: &[Rule<String>]) -> Done {
        const OP: &str = "AuthorizeSecurityGroupIngress";
        if rules.is_empty() {
            return refuse(OP, "MissingParameter", "Either 'ipPermissions' or 'cidrIp' should be provided.");
        }
        let vpc = self.groups.find(OP, id)?.vpc.clone();
        for rule in rules {
            if let Source::Group(source) = &rule.source
                && self.groups.find(OP, source)?.vpc != vpc
            {
                let message = format!(
                    "You have specified two resources that belong to different networks: {id}, {source}"
                );
                return refuse(OP, "InvalidGroup.NotFound", message);
            }
        }
        let limit = self.rules.group_rules;
        let group = self.groups.find(OP, id)?;
        let mut after = group.ingress.clone();
        for rule in rules {
            if after.contains(rule) {
                let message = format!(
                    "the specified rule \"peer: {}, {}, ALLOW\" already exists",
                    rule.source, rule.protocol
                );
                return refuse(OP, "InvalidPermission.Duplicate", message);
            }
            after.push(rule.clone());
        }
        if after.len() > limit {
            let message = "The maximum number of rules per security group has been reached.";
            return refuse(OP, "RulesPerSecurityGroupLimitExceeded", message);
        }
        after.sort();
        group.ingress = after;
        Ok(Outcome::default())
    }

    /// All rules or none.
    pub(super) fn revoke(&mut self, id: &str, rules: &[Rule<String>]) -> Done {
        const OP: &str = "RevokeSecurityGroupIngress";
        let group = self.groups.find(OP, id)?;
        if rules.iter().any(|rule| !group.ingress.contains(rule)) {
            let message = "The specified rule does not exist in this security group.";
            return refuse(OP, "InvalidPermission.NotFound", message);
        }
        group.ingress.retain(|rule| !rules.contains(rule));
        Ok(Outcome::default())
    }

    pub(super) fn import_key(&mut self, name: &str, public_key: &str, tags: &Tags) -> Done {
        const OP: &str = "ImportKeyPair";
        let mut words = public_key.split_whitespace();
        let (Some(kind @ ("ssh-ed25519" | "ssh-rsa")), Some(data)) = (words.next(), words.next()) else {
            return refuse(OP, "InvalidKey.Format", "Key is not in valid OpenSSH public key format");
        };
        if self.keys.live().any(|key| key.name == name) {
            return refuse(OP, "InvalidKeyPair.Duplicate", format!("The keypair '{name}' already exists."));
        }
        let (id, lag) = (self.id("key"), self.lag());
        let key = KeyPair {
            id: id.clone(),
            name: name.to_owned(),
            public_key: Some(format!("{kind} {data}")),
            tags: tags.clone(),
        };
        self.keys.put(key, lag);
        made(id)
    }
}
