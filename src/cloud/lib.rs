//! AWS behind one trait: reading an account, and making one call at a time that changes it.
//!
//! The only room that uses the AWS SDK. It never retries a call that changes
//! something: whether to look first and call again is the executor's to decide.

mod actions;
mod advice;
mod ec2;
mod error;
pub mod fake;
mod own_address;
mod seam;
#[cfg(test)]
mod suite;
mod table;

pub use actions::{ACTIONS, Action, Guard};
pub use advice::{Advice, Verdict, advice};
pub use ec2::Ec2;
pub use error::CloudError;
pub use own_address::{OwnAddressError, own_address};
pub use seam::{
    Architecture, Caller, Cloud, Image, ImageQuery, InstanceType, Neighbour, Outcome, Permission, Zone,
};
pub use table::{ADVICE, UNKNOWN};
