//! Reading: get, list, watch. All three send the cache's bytes.

pub mod filter;
pub mod get;
pub mod list;
pub mod token;
pub mod watch;
