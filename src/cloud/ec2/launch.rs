//! One RunInstances request: one instance, one slot, equal bytes for an equal [`LaunchRequest`].

use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification,
    InstanceMetadataEndpointState, InstanceMetadataOptionsRequest, InstanceMetadataTagsState,
    InstanceNetworkInterfaceSpecification, InstanceType, ResourceType, ShutdownBehavior, VolumeType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plan::model::LaunchRequest;

use super::write::tagged;

/// Fills the request in.
pub(super) fn request(
    builder: RunInstancesFluentBuilder,
    launch: &LaunchRequest<String>,
) -> RunInstancesFluentBuilder {
    let profile = launch
        .instance_profile
        .as_ref()
        .map(|name| IamInstanceProfileSpecification::builder().name(name).build());
    let token = Some(launch.client_token.clone()).filter(|token| !token.is_empty());
    let user_data = Some(STANDARD.encode(&launch.user_data)).filter(|data| !data.is_empty());
    builder
        .min_count(1)
        .max_count(1)
        .set_client_token(token)
        .image_id(&launch.image)
        .instance_type(InstanceType::from(launch.instance_type.as_str()))
        .key_name(&launch.key_name)
        .set_user_data(user_data)
        .set_iam_instance_profile(profile)
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Stop)
        .metadata_options(metadata())
        .block_device_mappings(root(launch))
        .network_interfaces(interface(launch))
        .tag_specifications(tagged(ResourceType::Instance, &launch.tags))
        .tag_specifications(tagged(ResourceType::Volume, &launch.tags))
        .tag_specifications(tagged(ResourceType::NetworkInterface, &launch.tags))
}

/// Tokens only, and no hop further: a pod must not reach the machine's credentials.
fn metadata() -> InstanceMetadataOptionsRequest {
    InstanceMetadataOptionsRequest::builder()
        .http_endpoint(InstanceMetadataEndpointState::Enabled)
        .http_tokens(HttpTokensState::Required)
        .http_put_response_hop_limit(1)
        .instance_metadata_tags(InstanceMetadataTagsState::Disabled)
        .build()
}

fn root(launch: &LaunchRequest<String>) -> BlockDeviceMapping {
    let disk = EbsBlockDevice::builder()
        .volume_type(VolumeType::Gp3)
        .volume_size(i32::try_from(launch.volume_gib).unwrap_or(i32::MAX))
        .encrypted(true)
        .delete_on_termination(true)
        .build();
    BlockDeviceMapping::builder().device_name(&launch.root_device).ebs(disk).build()
}

fn interface(launch: &LaunchRequest<String>) -> InstanceNetworkInterfaceSpecification {
    InstanceNetworkInterfaceSpecification::builder()
        .device_index(0)
        .subnet_id(&launch.subnet)
        .set_groups(Some(launch.security_groups.clone()))
        .associate_public_ip_address(launch.public_address)
        .delete_on_termination(true)
        .build()
}
