//! From a booted machine to a node: user-data before it exists, then steps over SSH.
//!
//! Each step has a name, a check and a fix; running a satisfied one changes
//! nothing. What a step says when it fails names node, step, command, its
//! standard error and the journal's tail.

mod binary;
mod distribution;
mod files;
mod host_keys;
mod material;
mod observe;
mod runner;
mod script;
pub(crate) mod template;
mod user_data;

pub use binary::{BinaryError, NodeBinary};
pub use distribution::{DEBIAN_12, DISTRIBUTIONS, Distribution};
pub use host_keys::HostKeys;
pub use material::{Addresses, LeafKind, Listed, Machine, Material, MaterialError, Vault, api_name};
pub use observe::Condition;
pub use runner::{Bootstrap, BootstrapError, Settings, Waiting};
pub use template::TemplateError;
pub use user_data::UserDataError;
