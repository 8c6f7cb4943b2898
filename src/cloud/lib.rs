//! AWS behind one trait: reading an account, and making one call at a time that changes it.
//!
//! The only room that uses the AWS SDK. It never retries a call that changes
//! something: whether to look first and call again is the executor's to decide.

mod error;
mod seam;

pub use error::CloudError;
pub use seam::{Architecture, Caller, Cloud, Image, ImageQuery, InstanceType, Outcome, Zone};
