//! The tables as text, by the names of their files. Written by scripts/schema.

/// Every table of object types.
pub(crate) const TABLES: &[&str] = &[
    include_str!("admissionregistration_v1.txt"),
    include_str!("apiextensions_v1.txt"),
    include_str!("apiregistration_v1.txt"),
    include_str!("apps_v1.txt"),
    include_str!("authentication_v1.txt"),
    include_str!("authorization_v1.txt"),
    include_str!("autoscaling_v1.txt"),
    include_str!("autoscaling_v2.txt"),
    include_str!("batch_v1.txt"),
    include_str!("certificates_v1.txt"),
    include_str!("coordination_v1.txt"),
    include_str!("core_v1.2.txt"),
    include_str!("core_v1.txt"),
    include_str!("discovery_v1.txt"),
    include_str!("events_v1.txt"),
    include_str!("flowcontrol_v1.txt"),
    include_str!("meta_v1.txt"),
    include_str!("networking_v1.txt"),
    include_str!("node_v1.txt"),
    include_str!("policy_v1.txt"),
    include_str!("rbac_v1.txt"),
    include_str!("resource_v1.txt"),
    include_str!("scheduling_v1.txt"),
    include_str!("scheduling_v1alpha3.txt"),
    include_str!("storage_v1.txt"),
    include_str!("storagemigration_v1.txt"),
];

/// Kinds with their resources and subresources: see the file's first lines.
pub const KINDS: &str = include_str!("kinds.txt");
