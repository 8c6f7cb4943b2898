//! cluster.yaml: its types, defaults, rules and the words in which a mistake is explained.
//!
//! Owns everything that can be said about the file without asking anyone: text goes in, a
//! [`Config`] or a list of mistakes comes out. Reads no file, environment or clock. What only AWS
//! knows (is the type offered, does the image exist) is the preflight's.

mod decode;
mod diagnostic;
mod diff;
mod limits;
mod or_auto;
mod rules;
mod schema;
mod slots;
mod template;
mod tree;
mod types;

pub use decode::parse;
pub use diagnostic::{Diagnostic, Diagnostics, Mistake};
pub use diff::{Edit, Verdict, diff};
pub use or_auto::OrAuto;
pub use rules::name::name_from_folder;
pub use schema::json_schema;
pub use slots::{MASTER_GROUP, Slot, ZonePlan, ZonesError};
pub use template::template;
pub use types::{
    Access, Architecture, Config, Image, ImageSource, Masters, Network, Taint, TaintEffect, Via, Volume,
    WorkerGroup,
};

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod mistakes;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
