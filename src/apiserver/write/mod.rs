//! Writing: create, update, patch, delete. Each ends in one transaction of the store that
//! compares what the decision was made of.

pub mod body;
pub mod claims;
pub mod collection;
pub mod commit;
pub mod create;
pub mod delete;
pub mod options;
pub mod patch;
pub mod quota;
pub mod steps;
pub mod update;
