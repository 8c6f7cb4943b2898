//! What a person at a terminal sees of the built `cluster`: its screens, its errors, its state folder.
//!
//! Drives the program alone and links none of its libraries. AWS is played by
//! [`endpoint`] on loopback, in AWS's own XML; nothing else is ever called.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says where")]

mod account;
mod advice;
mod calls;
mod credentials;
mod endpoint;
mod errors;
mod http;
mod refusals;
mod run;
mod screens;
mod state;
mod terminal;
mod xml;
