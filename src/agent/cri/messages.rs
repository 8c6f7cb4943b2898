//! The messages of the Container Runtime Interface, v1, with the fields that are used.

use std::collections::BTreeMap;

macro_rules! messages {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)* })*) => {
        $(#[derive(Clone, PartialEq, prost::Message)]
        pub(crate) struct $name { $($(#[$attribute])* pub(crate) $field: $kind,)* })*
    };
}

messages! {
    Empty {}
    Int64Value { #[prost(int64, tag = "1")] value: i64, }
    Filter {
        #[prost(string, tag = "1")] id: String,
        #[prost(btree_map = "string, string", tag = "4")] labels: BTreeMap<String, String>,
    }
    SandboxFilter {
        #[prost(string, tag = "1")] id: String,
        #[prost(btree_map = "string, string", tag = "3")] labels: BTreeMap<String, String>,
    }
    SandboxMetadata {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] uid: String,
        #[prost(string, tag = "3")] namespace: String,
        #[prost(uint32, tag = "4")] attempt: u32,
    }
    DnsConfig {
        #[prost(string, repeated, tag = "1")] servers: Vec<String>,
        #[prost(string, repeated, tag = "2")] searches: Vec<String>,
        #[prost(string, repeated, tag = "3")] options: Vec<String>,
    }
    PortMapping {
        #[prost(int32, tag = "1")] protocol: i32,
        #[prost(int32, tag = "2")] container_port: i32,
        #[prost(int32, tag = "3")] host_port: i32,
        #[prost(string, tag = "4")] host_ip: String,
    }
    NamespaceOption {
        #[prost(int32, tag = "1")] network: i32,
        #[prost(int32, tag = "2")] pid: i32,
        #[prost(int32, tag = "3")] ipc: i32,
        #[prost(string, tag = "4")] target_id: String,
    }
    SecurityProfile {
        #[prost(int32, tag = "1")] kind: i32,
        #[prost(string, tag = "2")] localhost_ref: String,
    }
    SelinuxOption {
        #[prost(string, tag = "1")] user: String,
        #[prost(string, tag = "2")] role: String,
        #[prost(string, tag = "3")] kind: String,
        #[prost(string, tag = "4")] level: String,
    }
    SandboxSecurity {
        #[prost(message, optional, tag = "1")] namespaces: Option<NamespaceOption>,
        #[prost(message, optional, tag = "2")] selinux: Option<SelinuxOption>,
        #[prost(message, optional, tag = "3")] run_as_user: Option<Int64Value>,
        #[prost(message, optional, tag = "8")] run_as_group: Option<Int64Value>,
        #[prost(int64, repeated, tag = "5")] supplemental_groups: Vec<i64>,
        #[prost(bool, tag = "6")] privileged: bool,
        #[prost(message, optional, tag = "9")] seccomp: Option<SecurityProfile>,
    }
    SandboxLinux {
        #[prost(string, tag = "1")] cgroup_parent: String,
        #[prost(message, optional, tag = "2")] security: Option<SandboxSecurity>,
        #[prost(btree_map = "string, string", tag = "3")] sysctls: BTreeMap<String, String>,
    }
    SandboxConfig {
        #[prost(message, optional, tag = "1")] metadata: Option<SandboxMetadata>,
        #[prost(string, tag = "2")] hostname: String,
        #[prost(string, tag = "3")] log_directory: String,
        #[prost(message, optional, tag = "4")] dns: Option<DnsConfig>,
        #[prost(message, repeated, tag = "5")] ports: Vec<PortMapping>,
        #[prost(btree_map = "string, string", tag = "6")] labels: BTreeMap<String, String>,
        #[prost(btree_map = "string, string", tag = "7")] annotations: BTreeMap<String, String>,
        #[prost(message, optional, tag = "8")] linux: Option<SandboxLinux>,
    }
    RunSandbox { #[prost(message, optional, tag = "1")] config: Option<SandboxConfig>, }
    SandboxId { #[prost(string, tag = "1")] id: String, }
    ListSandboxes { #[prost(message, optional, tag = "1")] filter: Option<SandboxFilter>, }
    Sandbox {
        #[prost(string, tag = "1")] id: String,
        #[prost(message, optional, tag = "2")] metadata: Option<SandboxMetadata>,
        #[prost(int32, tag = "3")] state: i32,
        #[prost(int64, tag = "4")] created_at: i64,
        #[prost(btree_map = "string, string", tag = "5")] labels: BTreeMap<String, String>,
    }
    Sandboxes { #[prost(message, repeated, tag = "1")] items: Vec<Sandbox>, }
    SandboxNetwork { #[prost(string, tag = "1")] ip: String, }
    SandboxStatus {
        #[prost(string, tag = "1")] id: String,
        #[prost(int32, tag = "3")] state: i32,
        #[prost(message, optional, tag = "5")] network: Option<SandboxNetwork>,
    }
    SandboxStatusAnswer { #[prost(message, optional, tag = "1")] status: Option<SandboxStatus>, }
    ContainerMetadata {
        #[prost(string, tag = "1")] name: String,
        #[prost(uint32, tag = "2")] attempt: u32,
    }
    ImageSpec { #[prost(string, tag = "1")] image: String, }
    KeyValue {
        #[prost(string, tag = "1")] key: String,
        #[prost(string, tag = "2")] value: String,
    }
    Mount {
        #[prost(string, tag = "1")] container_path: String,
        #[prost(string, tag = "2")] host_path: String,
        #[prost(bool, tag = "3")] readonly: bool,
        #[prost(int32, tag = "5")] propagation: i32,
    }
    Resources {
        #[prost(int64, tag = "1")] cpu_period: i64,
        #[prost(int64, tag = "2")] cpu_quota: i64,
        #[prost(int64, tag = "3")] cpu_shares: i64,
        #[prost(int64, tag = "4")] memory_limit: i64,
        #[prost(int64, tag = "5")] oom_score_adj: i64,
    }
    Capabilities {
        #[prost(string, repeated, tag = "1")] add: Vec<String>,
        #[prost(string, repeated, tag = "2")] drop: Vec<String>,
    }
    ContainerSecurity {
        #[prost(message, optional, tag = "1")] capabilities: Option<Capabilities>,
        #[prost(bool, tag = "2")] privileged: bool,
        #[prost(message, optional, tag = "3")] namespaces: Option<NamespaceOption>,
        #[prost(message, optional, tag = "4")] selinux: Option<SelinuxOption>,
        #[prost(message, optional, tag = "5")] run_as_user: Option<Int64Value>,
        #[prost(message, optional, tag = "12")] run_as_group: Option<Int64Value>,
        #[prost(string, tag = "6")] run_as_username: String,
        #[prost(bool, tag = "7")] readonly_rootfs: bool,
        #[prost(int64, repeated, tag = "8")] supplemental_groups: Vec<i64>,
        #[prost(bool, tag = "11")] no_new_privs: bool,
        #[prost(string, repeated, tag = "13")] masked_paths: Vec<String>,
        #[prost(string, repeated, tag = "14")] readonly_paths: Vec<String>,
        #[prost(message, optional, tag = "15")] seccomp: Option<SecurityProfile>,
    }
    ContainerLinux {
        #[prost(message, optional, tag = "1")] resources: Option<Resources>,
        #[prost(message, optional, tag = "2")] security: Option<ContainerSecurity>,
    }
    ContainerConfig {
        #[prost(message, optional, tag = "1")] metadata: Option<ContainerMetadata>,
        #[prost(message, optional, tag = "2")] image: Option<ImageSpec>,
        #[prost(string, repeated, tag = "3")] command: Vec<String>,
        #[prost(string, repeated, tag = "4")] args: Vec<String>,
        #[prost(string, tag = "5")] working_dir: String,
        #[prost(message, repeated, tag = "6")] envs: Vec<KeyValue>,
        #[prost(message, repeated, tag = "7")] mounts: Vec<Mount>,
        #[prost(btree_map = "string, string", tag = "9")] labels: BTreeMap<String, String>,
        #[prost(btree_map = "string, string", tag = "10")] annotations: BTreeMap<String, String>,
        #[prost(string, tag = "11")] log_path: String,
        #[prost(bool, tag = "12")] stdin: bool,
        #[prost(bool, tag = "13")] stdin_once: bool,
        #[prost(bool, tag = "14")] tty: bool,
        #[prost(message, optional, tag = "15")] linux: Option<ContainerLinux>,
    }
    CreateContainer {
        #[prost(string, tag = "1")] sandbox: String,
        #[prost(message, optional, tag = "2")] config: Option<ContainerConfig>,
        #[prost(message, optional, tag = "3")] sandbox_config: Option<SandboxConfig>,
    }
    ContainerId { #[prost(string, tag = "1")] id: String, }
    StopContainer {
        #[prost(string, tag = "1")] id: String,
        #[prost(int64, tag = "2")] timeout_seconds: i64,
    }
    ListContainers { #[prost(message, optional, tag = "1")] filter: Option<Filter>, }
    Container {
        #[prost(string, tag = "1")] id: String,
        #[prost(string, tag = "2")] sandbox: String,
        #[prost(message, optional, tag = "3")] metadata: Option<ContainerMetadata>,
        #[prost(int32, tag = "6")] state: i32,
        #[prost(int64, tag = "7")] created_at: i64,
        #[prost(btree_map = "string, string", tag = "8")] labels: BTreeMap<String, String>,
        #[prost(btree_map = "string, string", tag = "9")] annotations: BTreeMap<String, String>,
    }
    Containers { #[prost(message, repeated, tag = "1")] items: Vec<Container>, }
    ContainerStatus {
        #[prost(string, tag = "1")] id: String,
        #[prost(message, optional, tag = "2")] metadata: Option<ContainerMetadata>,
        #[prost(int32, tag = "3")] state: i32,
        #[prost(int64, tag = "5")] started_at: i64,
        #[prost(int64, tag = "6")] finished_at: i64,
        #[prost(int32, tag = "7")] exit_code: i32,
        #[prost(message, optional, tag = "8")] image: Option<ImageSpec>,
        #[prost(string, tag = "9")] image_ref: String,
        #[prost(string, tag = "10")] reason: String,
        #[prost(string, tag = "11")] message: String,
        #[prost(btree_map = "string, string", tag = "13")] annotations: BTreeMap<String, String>,
        #[prost(string, tag = "15")] log_path: String,
    }
    ContainerStatusAnswer { #[prost(message, optional, tag = "1")] status: Option<ContainerStatus>, }
    ExecSync {
        #[prost(string, tag = "1")] id: String,
        #[prost(string, repeated, tag = "2")] command: Vec<String>,
        #[prost(int64, tag = "3")] timeout_seconds: i64,
    }
    ExecSyncAnswer {
        #[prost(bytes = "vec", tag = "1")] stdout: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")] stderr: Vec<u8>,
        #[prost(int32, tag = "3")] exit_code: i32,
    }
    ImageRequest { #[prost(message, optional, tag = "1")] image: Option<ImageSpec>, }
    Image {
        #[prost(string, tag = "1")] id: String,
        #[prost(string, repeated, tag = "2")] tags: Vec<String>,
        #[prost(string, repeated, tag = "3")] digests: Vec<String>,
        #[prost(uint64, tag = "4")] size: u64,
        #[prost(message, optional, tag = "5")] uid: Option<Int64Value>,
        #[prost(string, tag = "6")] username: String,
    }
    ImageAnswer { #[prost(message, optional, tag = "1")] image: Option<Image>, }
    Images { #[prost(message, repeated, tag = "1")] images: Vec<Image>, }
    Auth {
        #[prost(string, tag = "1")] username: String,
        #[prost(string, tag = "2")] password: String,
        #[prost(string, tag = "3")] auth: String,
    }
    PullImage {
        #[prost(message, optional, tag = "1")] image: Option<ImageSpec>,
        #[prost(message, optional, tag = "2")] auth: Option<Auth>,
        #[prost(message, optional, tag = "3")] sandbox: Option<SandboxConfig>,
    }
    PullAnswer { #[prost(string, tag = "1")] image_ref: String, }
    VersionAsk { #[prost(string, tag = "1")] version: String, }
    VersionAnswer {
        #[prost(string, tag = "2")] name: String,
        #[prost(string, tag = "3")] version: String,
    }
    RuntimeCondition {
        #[prost(string, tag = "1")] kind: String,
        #[prost(bool, tag = "2")] holds: bool,
        #[prost(string, tag = "3")] reason: String,
        #[prost(string, tag = "4")] message: String,
    }
    RuntimeStatus { #[prost(message, repeated, tag = "1")] conditions: Vec<RuntimeCondition>, }
    StatusAnswer { #[prost(message, optional, tag = "1")] status: Option<RuntimeStatus>, }
}

messages! {
    Exec {
        #[prost(string, tag = "1")] id: String,
        #[prost(string, repeated, tag = "2")] command: Vec<String>,
        #[prost(bool, tag = "3")] tty: bool,
        #[prost(bool, tag = "4")] stdin: bool,
        #[prost(bool, tag = "5")] stdout: bool,
        #[prost(bool, tag = "6")] stderr: bool,
    }
    Attach {
        #[prost(string, tag = "1")] id: String,
        #[prost(bool, tag = "2")] stdin: bool,
        #[prost(bool, tag = "3")] tty: bool,
        #[prost(bool, tag = "4")] stdout: bool,
        #[prost(bool, tag = "5")] stderr: bool,
    }
    PortForward {
        #[prost(string, tag = "1")] sandbox: String,
        #[prost(int32, repeated, tag = "2")] ports: Vec<i32>,
    }
    Url { #[prost(string, tag = "1")] url: String, }
    ListStats {}
    UInt64Value { #[prost(uint64, tag = "1")] value: u64, }
    CpuUsage {
        #[prost(int64, tag = "1")] timestamp: i64,
        #[prost(message, optional, tag = "2")] core_nanoseconds: Option<UInt64Value>,
        #[prost(message, optional, tag = "3")] nano_cores: Option<UInt64Value>,
    }
    MemoryUsage {
        #[prost(int64, tag = "1")] timestamp: i64,
        #[prost(message, optional, tag = "2")] working_set: Option<UInt64Value>,
        #[prost(message, optional, tag = "3")] available: Option<UInt64Value>,
        #[prost(message, optional, tag = "4")] usage: Option<UInt64Value>,
        #[prost(message, optional, tag = "5")] rss: Option<UInt64Value>,
        #[prost(message, optional, tag = "6")] page_faults: Option<UInt64Value>,
        #[prost(message, optional, tag = "7")] major_page_faults: Option<UInt64Value>,
    }
    DiskUsage {
        #[prost(int64, tag = "1")] timestamp: i64,
        #[prost(message, optional, tag = "3")] used: Option<UInt64Value>,
        #[prost(message, optional, tag = "4")] inodes_used: Option<UInt64Value>,
    }
    StatsOf {
        #[prost(string, tag = "1")] id: String,
        #[prost(btree_map = "string, string", tag = "3")] labels: BTreeMap<String, String>,
    }
    ContainerStats {
        #[prost(message, optional, tag = "1")] of: Option<StatsOf>,
        #[prost(message, optional, tag = "2")] cpu: Option<CpuUsage>,
        #[prost(message, optional, tag = "3")] memory: Option<MemoryUsage>,
        #[prost(message, optional, tag = "4")] disk: Option<DiskUsage>,
    }
    AllStats { #[prost(message, repeated, tag = "1")] items: Vec<ContainerStats>, }
}

/// A container's state that is running.
pub(crate) const RUNNING: i32 = 1;
/// A container's state that has ended.
pub(crate) const EXITED: i32 = 2;
