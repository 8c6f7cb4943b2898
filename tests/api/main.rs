//! The API of the built `cluster`, held to what upstream's was seen to do, and driven by real clients.
//!
//! Drives programs alone and links none of their libraries. `tests/oracle/README.md` tells how the
//! table of requests and the records are kept.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]

mod client;
mod commands;
mod compare;
mod normal;
mod oracle;
mod play;
mod records;
mod server;
mod storage;
mod table;
