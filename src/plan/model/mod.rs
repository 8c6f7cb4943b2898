//! The nouns and verbs of provisioning: what exists in the account, and the calls that change it.

pub mod call;
mod display;
pub mod inventory;
pub mod rule;
pub mod tags;

pub use call::{Call, LaunchRequest, Ref};
pub use inventory::{
    Instance, InstanceState, InternetGateway, Inventory, KeyPair, NetworkInterface, Route, RouteTable,
    SecurityGroup, Subnet, Volume, Vpc,
};
pub use rule::{Protocol, Rule, Source};
pub use tags::Tags;
