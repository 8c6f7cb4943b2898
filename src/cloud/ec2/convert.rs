//! From the SDK's types to the model's: only what decisions read, and lenient.
//!
//! Stand-ins for AWS leave out what AWS always sends, so an absent field is its
//! empty value, and only what has no id is dropped.

use std::net::Ipv4Addr;

use aws_sdk_ec2::primitives::DateTimeFormat;
use aws_sdk_ec2::types::{
    self as sdk, ArchitectureValues, InstanceStateName, RouteTableAssociationStateCode,
};
use ipnet::Ipv4Net;
use plan::model::{
    Instance, InstanceState, InternetGateway, KeyPair, NetworkInterface, Protocol, Route, RouteTable, Rule,
    SecurityGroup, Source, Subnet, Tags, Volume, Vpc,
};

use crate::seam::{Architecture, Image, InstanceType, Zone};

fn tags(tags: &[sdk::Tag]) -> Tags {
    let pair = |tag: &sdk::Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    Tags(tags.iter().filter_map(pair).collect())
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

fn some(value: Option<&str>) -> Option<String> {
    value.filter(|value| !value.is_empty()).map(str::to_owned)
}

fn net(value: Option<&str>) -> Ipv4Net {
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

fn address(value: Option<&str>) -> Option<Ipv4Addr> {
    value.and_then(|value| value.parse().ok())
}

pub(super) fn vpc(from: &sdk::Vpc) -> Option<Vpc> {
    Some(Vpc { id: some(from.vpc_id())?, cidr: net(from.cidr_block()), tags: tags(from.tags()) })
}

pub(super) fn gateway(from: &sdk::InternetGateway) -> Option<InternetGateway> {
    Some(InternetGateway {
        id: some(from.internet_gateway_id())?,
        vpc: from.attachments().iter().find_map(|attachment| some(attachment.vpc_id())),
        tags: tags(from.tags()),
    })
}

pub(super) fn table(from: &sdk::RouteTable) -> Option<RouteTable> {
    let route = |route: &sdk::Route| {
        let gateway = some(route.gateway_id()).filter(|id| id.starts_with("igw-"))?;
        Some(Route { cidr: route.destination_cidr_block()?.parse().ok()?, gateway })
    };
    let there = |association: &&sdk::RouteTableAssociation| {
        let state = association.association_state().and_then(|state| state.state());
        !matches!(
            state,
            Some(
                RouteTableAssociationStateCode::Disassociated
                    | RouteTableAssociationStateCode::Disassociating
            )
        )
    };
    let pair = |association: &sdk::RouteTableAssociation| {
        Some((some(association.route_table_association_id())?, some(association.subnet_id())?))
    };
    let mut associations: Vec<_> = from.associations().iter().filter(there).filter_map(pair).collect();
    associations.sort();
    Some(RouteTable {
        id: some(from.route_table_id())?,
        vpc: text(from.vpc_id()),
        main: from.associations().iter().any(|association| association.main() == Some(true)),
        routes: from.routes().iter().filter_map(route).collect(),
        associations,
        tags: tags(from.tags()),
    })
}

pub(super) fn subnet(from: &sdk::Subnet) -> Option<Subnet> {
    Some(Subnet {
        id: some(from.subnet_id())?,
        vpc: text(from.vpc_id()),
        zone: text(from.availability_zone()),
        cidr: net(from.cidr_block()),
        tags: tags(from.tags()),
    })
}

pub(super) fn group(from: &sdk::SecurityGroup) -> Option<SecurityGroup> {
    let mut ingress: Vec<_> = from.ip_permissions().iter().flat_map(rules).collect();
    ingress.sort();
    ingress.dedup();
    Some(SecurityGroup {
        id: some(from.group_id())?,
        vpc: text(from.vpc_id()),
        name: text(from.group_name()),
        ingress,
        tags: tags(from.tags()),
    })
}

/// AWS bundles the sources of equal protocol and ports; a rule of ours has one source.
fn rules(from: &sdk::IpPermission) -> Vec<Rule<String>> {
    let protocol = protocol(from);
    let mut sources = Vec::new();
    for range in from.ip_ranges() {
        let words = range.cidr_ip().unwrap_or_default();
        sources.push(words.parse().map_or_else(|_| Source::Foreign(words.to_owned()), Source::Cidr));
    }
    for pair in from.user_id_group_pairs() {
        sources.push(match some(pair.group_id()) {
            Some(id) => Source::Group(id),
            None => Source::Foreign(format!("group {}", text(pair.group_name()))),
        });
    }
    sources.extend(from.ipv6_ranges().iter().map(|range| Source::Foreign(text(range.cidr_ipv6()))));
    sources.extend(from.prefix_list_ids().iter().map(|list| Source::Foreign(text(list.prefix_list_id()))));
    sources.into_iter().map(|source| Rule { protocol, source }).collect()
}

fn protocol(from: &sdk::IpPermission) -> Protocol {
    let (first, last) = (from.from_port().unwrap_or(-1), from.to_port().unwrap_or(-1));
    let ports = u16::try_from(first).ok().zip(u16::try_from(last).ok());
    let kinds = i16::try_from(first).ok().zip(i16::try_from(last).ok());
    let word = from.ip_protocol().unwrap_or("-1");
    match (word, ports, kinds) {
        ("tcp" | "6", Some((from, to)), _) => Protocol::Tcp { from, to },
        ("udp" | "17", Some((from, to)), _) => Protocol::Udp { from, to },
        ("icmp" | "1", _, Some((kind, code))) => Protocol::Icmp { kind, code },
        _ => Protocol::Other { number: number(word), from: first, to: last },
    }
}

fn number(word: &str) -> i16 {
    match word {
        "tcp" => 6,
        "udp" => 17,
        "icmp" => 1,
        "icmpv6" => 58,
        _ => word.parse().unwrap_or(-1),
    }
}

pub(super) fn key(from: &sdk::KeyPairInfo) -> Option<KeyPair> {
    let public_key =
        from.public_key().map(|key| key.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    Some(KeyPair {
        id: some(from.key_pair_id())?,
        name: text(from.key_name()),
        public_key: public_key.filter(|key| !key.is_empty()),
        tags: tags(from.tags()),
    })
}

pub(super) fn instance(from: &sdk::Instance) -> Option<Instance> {
    // AWS says an instance's groups twice: of itself and of its interfaces.
    let interfaces = from.network_interfaces().iter().flat_map(|interface| interface.groups());
    let all = from.security_groups().iter().chain(interfaces);
    let mut groups: Vec<_> = all.filter_map(|group| some(group.group_id())).collect();
    groups.sort();
    groups.dedup();
    Some(Instance {
        id: some(from.instance_id())?,
        state: state(from.state().and_then(|state| state.name())),
        state_reason: from.state_reason().and_then(reason),
        client_token: some(from.client_token()),
        instance_type: from.instance_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        image: text(from.image_id()),
        zone: text(from.placement().and_then(|placement| placement.availability_zone())),
        vpc: some(from.vpc_id()),
        subnet: some(from.subnet_id()),
        security_groups: groups,
        private_address: address(from.private_ip_address()),
        public_address: address(from.public_ip_address()),
        launched_at: from.launch_time().and_then(|time| time.fmt(DateTimeFormat::DateTime).ok()),
        tags: tags(from.tags()),
    })
}

/// A state that nobody knows yet is one to wait out.
fn state(name: Option<&InstanceStateName>) -> InstanceState {
    match name {
        Some(InstanceStateName::Running) => InstanceState::Running,
        Some(InstanceStateName::ShuttingDown) => InstanceState::ShuttingDown,
        Some(InstanceStateName::Terminated) => InstanceState::Terminated,
        Some(InstanceStateName::Stopping) => InstanceState::Stopping,
        Some(InstanceStateName::Stopped) => InstanceState::Stopped,
        _ => InstanceState::Pending,
    }
}

/// `Server.InternalError: …`; AWS mostly repeats the code in the message.
fn reason(from: &sdk::StateReason) -> Option<String> {
    let (code, message) = (from.code().unwrap_or_default(), from.message().unwrap_or_default());
    match (code.is_empty(), message.is_empty()) {
        (true, true) => None,
        (false, false) if !message.starts_with(code) => Some(format!("{code}: {message}")),
        (_, false) => Some(message.to_owned()),
        (false, true) => Some(code.to_owned()),
    }
}

pub(super) fn volume(from: &sdk::Volume) -> Option<Volume> {
    Some(Volume {
        id: some(from.volume_id())?,
        size_gib: count(from.size()),
        instance: from.attachments().iter().find_map(|attachment| some(attachment.instance_id())),
        tags: tags(from.tags()),
    })
}

pub(super) fn interface(from: &sdk::NetworkInterface) -> Option<NetworkInterface> {
    Some(NetworkInterface {
        id: some(from.network_interface_id())?,
        vpc: text(from.vpc_id()),
        subnet: text(from.subnet_id()),
        instance: from.attachment().and_then(|attachment| some(attachment.instance_id())),
        description: text(from.description()),
        tags: tags(from.tag_set()),
    })
}

pub(super) fn image(from: &sdk::Image) -> Option<Image> {
    let root = text(from.root_device_name());
    let of_root = |mapping: &&sdk::BlockDeviceMapping| mapping.device_name() == Some(root.as_str());
    let size =
        from.block_device_mappings().iter().find(of_root).and_then(|mapping| mapping.ebs()?.volume_size());
    Some(Image {
        id: some(from.image_id())?,
        name: text(from.name()),
        architecture: match from.architecture()? {
            ArchitectureValues::X8664 => Architecture::X86_64,
            ArchitectureValues::Arm64 => Architecture::Arm64,
            _ => return None,
        },
        root_device: root,
        root_gib: count(size),
    })
}

pub(super) fn zone(from: &sdk::AvailabilityZone) -> Option<Zone> {
    let available = from.state().is_some_and(|state| state.as_str() == "available");
    Some(Zone { name: some(from.zone_name())?, available })
}

/// Without its zones: those come from another call.
pub(super) fn instance_type(from: &sdk::InstanceTypeInfo) -> Option<InstanceType> {
    let words = from.processor_info().map(|info| info.supported_architectures()).unwrap_or_default();
    let known = |word: &sdk::ArchitectureType| match word {
        sdk::ArchitectureType::X8664 => Some(Architecture::X86_64),
        sdk::ArchitectureType::Arm64 => Some(Architecture::Arm64),
        _ => None,
    };
    let memory = from.memory_info().and_then(|info| info.size_in_mib()).unwrap_or_default();
    Some(InstanceType {
        name: from.instance_type()?.as_str().to_owned(),
        architectures: words.iter().filter_map(known).collect(),
        vcpus: count(from.v_cpu_info().and_then(|info| info.default_v_cpus())),
        memory_mib: u64::try_from(memory).unwrap_or_default(),
        zones: std::collections::BTreeSet::new(),
    })
}

fn count(value: Option<i32>) -> u32 {
    value.and_then(|value| u32::try_from(value).ok()).unwrap_or_default()
}
