//! One account in one region, as far as `cluster` looks at it: what is made is
//! kept with its tags, listed, and taken away again.
//!
//! It has no rules of its own about what may be deleted when: the crates' own
//! fake has those. Filters are not applied: the program must not rely on them.

use std::collections::BTreeMap;

use crate::xml::{element, set, text};

/// The parameters of a call, by AWS's names.
pub(crate) struct Params(BTreeMap<String, String>);

impl Params {
    /// From a form's body.
    pub(crate) fn decode(body: &str) -> Self {
        let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(name, value)| (unescape(name), unescape(value))).collect())
    }

    /// A parameter; empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// `name.1`, `name.2`, …: how many begin so.
    fn count(&self, name: &str) -> usize {
        let there = |n: &usize| {
            let start = format!("{name}.{n}");
            let longer = format!("{start}.");
            self.0.keys().any(|key| *key == start || key.starts_with(&longer))
        };
        (1..).take_while(there).count()
    }

    fn tags(&self) -> BTreeMap<String, String> {
        let tag = |n| (self.get(&format!("{TAG}.{n}.Key")), self.get(&format!("{TAG}.{n}.Value")));
        let count = self.count(TAG);
        (1..=count).map(tag).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

const TAG: &str = "TagSpecification.1.Tag";

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let digits = String::from_utf8_lossy(&digits).into_owned();
                bytes.push(u8::from_str_radix(&digits, 16).expect("two hexadecimal digits"));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Something in the account: its kind, its fields, its tags.
#[derive(Clone)]
pub(crate) struct Resource {
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) fields: BTreeMap<&'static str, String>,
    pub(crate) tags: BTreeMap<String, String>,
    /// XML that belongs to it: rules, routes, associations.
    pub(crate) more: Vec<(&'static str, String)>,
}

impl Resource {
    fn get(&self, field: &str) -> &str {
        self.fields.get(field).map_or("", String::as_str)
    }

    fn list(&self, name: &str) -> impl Iterator<Item = String> {
        self.more.iter().filter(move |(kind, _)| *kind == name).map(|(_, xml)| xml.clone())
    }

    fn tag_set(&self) -> String {
        set("tagSet", self.tags.iter().map(|(key, value)| text("key", key) + &text("value", value)))
    }

    fn simple(&self) -> String {
        self.fields.iter().map(|(name, value)| text(name, value)).collect::<String>() + &self.tag_set()
    }

    fn xml(&self) -> String {
        match self.kind {
            "igw" => {
                let vpc = self.get("vpcId");
                let attached = (!vpc.is_empty()).then(|| text("vpcId", vpc) + &text("state", "available"));
                text("internetGatewayId", &self.id) + &set("attachmentSet", attached) + &self.tag_set()
            }
            "rtb" => {
                let (routes, ties) =
                    (set("routeSet", self.list("route")), set("associationSet", self.list("tie")));
                self.simple() + &routes + &ties
            }
            "sg" => self.simple() + &set("ipPermissions", self.list("rule")),
            "i" => self.instance(),
            _ => self.simple(),
        }
    }

    fn instance(&self) -> String {
        let state = element("instanceState", &text("name", self.get("state")));
        let place = element("placement", &text("availabilityZone", self.get("zone")));
        let plain = ["instanceId", "imageId", "instanceType", "subnetId", "vpcId", "clientToken"];
        let plain: String = plain.iter().map(|name| text(name, self.get(name))).collect();
        let reason = match self.get("reason").split_once(": ") {
            Some((code, _)) => {
                element("stateReason", &(text("code", code) + &text("message", self.get("reason"))))
            }
            None => String::new(),
        };
        let address = text("privateIpAddress", self.get("address"));
        plain + &state + &place + &reason + &address + &self.tag_set()
    }
}

/// AWS's code and words.
pub(crate) type Refused = (&'static str, String);

/// The account.
pub(crate) struct Account {
    pub(crate) resources: Vec<Resource>,
    /// What a launched instance comes to: its state, address and state reason.
    pub(crate) launches: (&'static str, &'static str, String),
    /// Zones of the region.
    pub(crate) zones: Vec<&'static str>,
    /// Instance types it has.
    pub(crate) types: Vec<&'static str>,
    /// Whether Debian's image is there.
    pub(crate) image: bool,
    made: usize,
}

impl Account {
    /// Puts something of the cluster `name` there that this account did not make.
    pub(crate) fn plant_as_it_is(
        &mut self,
        kind: &'static str,
        id: &str,
        fields: &[(&'static str, &str)],
        name: &str,
    ) {
        let fields = fields.iter().map(|(field, value)| (*field, (*value).to_owned())).collect();
        let tags = BTreeMap::from([("cluster-name".to_owned(), name.to_owned())]);
        self.resources.push(Resource { kind, id: id.to_owned(), fields, tags, more: Vec::new() });
    }

    /// A fresh account: nothing but what every account has.
    pub(crate) fn new() -> Self {
        Self {
            resources: Vec::new(),
            launches: ("pending", "", String::new()),
            zones: vec!["us-east-1a", "us-east-1b"],
            types: vec!["t3.small", "t3.micro"],
            image: true,
            made: 0,
        }
    }

    /// The inside of the answer to an action.
    pub(crate) fn answer(&mut self, action: &str, params: &Params) -> Result<String, Refused> {
        if let Some(listed) = self.listing(action) {
            return Ok(listed);
        }
        match action.split_at_checked(6) {
            Some(("Create" | "Import", _)) if action != "CreateRoute" => Ok(self.create(action, params)),
            Some(("Delete", _)) => self.delete(params),
            _ if action == "RunInstances" => Ok(self.launch(params)),
            _ => self.tie(action, params),
        }
    }

    fn listing(&self, action: &str) -> Option<String> {
        let all = |kind: &str| {
            let found: Vec<String> =
                self.resources.iter().filter(|r| r.kind == kind).map(Resource::xml).collect();
            found
        };
        Some(match action {
            "DescribeVpcs" => set("vpcSet", all("vpc")),
            "DescribeInternetGateways" => set("internetGatewaySet", all("igw")),
            "DescribeRouteTables" => set("routeTableSet", all("rtb")),
            "DescribeSubnets" => set("subnetSet", all("subnet")),
            "DescribeSecurityGroups" => set("securityGroupInfo", all("sg")),
            "DescribeKeyPairs" => set("keySet", all("key")),
            "DescribeVolumes" => set("volumeSet", all("vol")),
            "DescribeNetworkInterfaces" => set("networkInterfaceSet", all("eni")),
            "DescribeInstances" => {
                let each = all("i").into_iter().map(|i| set("instancesSet", [i]));
                set("reservationSet", each.map(|set| text("reservationId", "r-1") + &set))
            }
            "GetConsoleOutput" => String::new(),
            "DescribeImages" => set("imagesSet", self.image.then(image)),
            "DescribeAvailabilityZones" => set("availabilityZoneInfo", self.zones.iter().map(|z| zone(z))),
            "DescribeInstanceTypes" => set("instanceTypeSet", self.types.iter().map(|t| instance_type(t))),
            "DescribeInstanceTypeOfferings" => {
                let pairs = self.types.iter().flat_map(|t| self.zones.iter().map(move |z| (t, z)));
                let place = text("locationType", "availability-zone");
                let pairs = pairs.map(|(t, z)| text("instanceType", t) + &place + &text("location", z));
                set("instanceTypeOfferingSet", pairs)
            }
            _ => return None,
        })
    }

    fn id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}-{:017x}", self.made)
    }

    fn create(&mut self, action: &str, params: &Params) -> String {
        // Kind, the field that holds its id, the element around the answer, and parameters by field.
        type Copied = &'static [(&'static str, &'static str)];
        let (kind, id_field, around, copied): (_, _, _, Copied) = match action {
            "CreateVpc" => ("vpc", "vpcId", "vpc", &[("cidrBlock", "CidrBlock")]),
            "CreateInternetGateway" => ("igw", "internetGatewayId", "internetGateway", &[]),
            "CreateRouteTable" => ("rtb", "routeTableId", "routeTable", &[("vpcId", "VpcId")]),
            "CreateSubnet" => (
                "subnet",
                "subnetId",
                "subnet",
                &[("vpcId", "VpcId"), ("cidrBlock", "CidrBlock"), ("availabilityZone", "AvailabilityZone")],
            ),
            "CreateSecurityGroup" => ("sg", "groupId", "", &[("vpcId", "VpcId"), ("groupName", "GroupName")]),
            "ImportKeyPair" => ("key", "keyPairId", "", &[("keyName", "KeyName")]),
            other => panic!("the stand-in does not know {other}"),
        };
        let id = self.id(kind);
        let mut fields: BTreeMap<_, _> =
            copied.iter().map(|(field, from)| (*field, params.get(from).to_owned())).collect();
        fields.insert(id_field, id.clone());
        let made = Resource { kind, id, fields, tags: params.tags(), more: Vec::new() };
        let xml = made.xml();
        self.resources.push(made);
        if around.is_empty() { xml } else { element(around, &xml) }
    }

    fn launch(&mut self, params: &Params) -> String {
        let id = self.id("i");
        let subnet = params.get("NetworkInterface.1.SubnetId").to_owned();
        let within = self.resources.iter().find(|r| r.id == subnet).cloned().expect("a subnet that is there");
        let (state, address, reason) = self.launches.clone();
        let fields = BTreeMap::from([
            ("instanceId", id.clone()),
            ("imageId", params.get("ImageId").to_owned()),
            ("instanceType", params.get("InstanceType").to_owned()),
            ("clientToken", params.get("ClientToken").to_owned()),
            ("subnetId", subnet),
            ("vpcId", within.get("vpcId").to_owned()),
            ("zone", within.get("availabilityZone").to_owned()),
            ("state", state.to_owned()),
            ("address", address.to_owned()),
            ("reason", reason),
        ]);
        let made = Resource { kind: "i", id, fields, tags: params.tags(), more: Vec::new() };
        let xml = text("reservationId", "r-1") + &set("instancesSet", [made.xml()]);
        self.resources.push(made);
        xml
    }

    /// An instance of the cluster whose VPC is here, as if it had been launched.
    pub(crate) fn plant(&mut self, slot: &str, state: &str) {
        let vpc = self.resources.iter().find(|r| r.kind == "vpc").cloned().expect("a VPC that is there");
        let mut tags = vpc.tags;
        for value in tags.values_mut().filter(|value| *value == "vpc" || value.ends_with("-vpc")) {
            *value = value.replace("vpc", slot);
        }
        let id = self.id("i");
        let fields = BTreeMap::from([
            ("instanceId", id.clone()),
            ("instanceType", "t3.small".to_owned()),
            ("vpcId", vpc.id),
            ("zone", "us-east-1a".to_owned()),
            ("state", state.to_owned()),
            ("address", "127.0.0.9".to_owned()),
        ]);
        self.resources.push(Resource { kind: "i", id, fields, tags, more: Vec::new() });
    }

    fn delete(&mut self, params: &Params) -> Result<String, Refused> {
        let named: Vec<&str> = params.0.iter().filter(|(k, _)| *k != "Action").map(|(_, v)| &**v).collect();
        let before = self.resources.len();
        self.resources.retain(|r| !named.iter().any(|name| *name == r.id || *name == r.get("keyName")));
        if self.resources.len() == before {
            return Err(("InvalidID.NotFound", format!("The ID '{}' does not exist", named.join(" "))));
        }
        Ok(text("return", "true"))
    }

    /// What joins, parts, starts or ends.
    fn tie(&mut self, action: &str, params: &Params) -> Result<String, Refused> {
        let (gateway, table) = (params.get("InternetGatewayId"), params.get("RouteTableId"));
        match action {
            "AttachInternetGateway" => {
                let vpc = params.get("VpcId").to_owned();
                self.of(gateway)?.fields.insert("vpcId", vpc);
            }
            "DetachInternetGateway" => drop(self.of(gateway)?.fields.remove("vpcId")),
            "CreateRoute" => {
                let route = text("destinationCidrBlock", params.get("DestinationCidrBlock"))
                    + &text("gatewayId", params.get("GatewayId"));
                self.of(table)?.more.push(("route", route));
            }
            "AssociateRouteTable" => {
                let id = self.id("rtbassoc");
                let tie = text("routeTableAssociationId", &id)
                    + &text("routeTableId", table)
                    + &text("subnetId", params.get("SubnetId"));
                self.of(table)?.more.push(("tie", tie));
                return Ok(text("associationId", &id));
            }
            "DisassociateRouteTable" => {
                let id = text("routeTableAssociationId", params.get("AssociationId"));
                self.resources.iter_mut().for_each(|r| r.more.retain(|(_, xml)| !xml.starts_with(&id)));
            }
            "AuthorizeSecurityGroupIngress" => {
                let rules: Vec<_> = permissions(params).into_iter().map(|rule| ("rule", rule)).collect();
                self.of(params.get("GroupId"))?.more.extend(rules);
            }
            "RevokeSecurityGroupIngress" => {
                let rules = permissions(params);
                self.of(params.get("GroupId"))?.more.retain(|(_, xml)| !rules.contains(xml));
            }
            "TerminateInstances" => {
                for n in 1..=params.count("InstanceId") {
                    let instance = self.of(params.get(&format!("InstanceId.{n}")))?;
                    instance.fields.insert("state", "terminated".to_owned());
                }
            }
            other => panic!("the stand-in does not know {other}"),
        }
        Ok(text("return", "true"))
    }

    fn of(&mut self, id: &str) -> Result<&mut Resource, Refused> {
        let missing = || ("InvalidID.NotFound", format!("The ID '{id}' does not exist"));
        self.resources.iter_mut().find(|resource| resource.id == id).ok_or_else(missing)
    }
}

fn permissions(params: &Params) -> Vec<String> {
    let one = |n: usize| {
        let get = |name: &str| params.get(&format!("IpPermissions.{n}.{name}"));
        let mut rule = text("ipProtocol", get("IpProtocol"))
            + &text("fromPort", get("FromPort"))
            + &text("toPort", get("ToPort"));
        if !get("IpRanges.1.CidrIp").is_empty() {
            rule += &set("ipRanges", [text("cidrIp", get("IpRanges.1.CidrIp"))]);
        }
        if !get("Groups.1.GroupId").is_empty() {
            rule += &set("groups", [text("groupId", get("Groups.1.GroupId"))]);
        }
        rule
    };
    (1..=params.count("IpPermissions")).map(one).collect()
}

fn image() -> String {
    let disk = text("deviceName", "/dev/xvda") + &element("ebs", &text("volumeSize", "8"));
    text("imageId", "ami-0123456789abcdef0")
        + &text("name", "debian-12-amd64-20261101-2300")
        + &text("imageState", "available")
        + &text("architecture", "x86_64")
        + &text("rootDeviceName", "/dev/xvda")
        + &text("creationDate", "2026-11-01T00:00:00.000Z")
        + &set("blockDeviceMapping", [disk])
}

fn zone(name: &str) -> String {
    text("zoneName", name) + &text("zoneState", "available") + &text("zoneType", "availability-zone")
}

fn instance_type(name: &str) -> String {
    let architectures = element("supportedArchitectures", "<item>x86_64</item>");
    text("instanceType", name)
        + &element("processorInfo", &architectures)
        + &element("vCpuInfo", &text("defaultVCpus", "2"))
        + &element("memoryInfo", &text("sizeInMiB", "2048"))
}
