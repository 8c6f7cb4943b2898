//! The built `cluster` against LocalStack's EC2 with a real machine behind each instance.
//!
//! Run by `tests/e2e/run`, which raises that stand-in: without it the tests say
//! SKIPPED, and fail where CI=true asked for them. Each has its own VPC range.
// A test says what went wrong by ending.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod ec2;
mod fleet;
mod guestbook;
mod image;
mod life;
mod packets;
mod pods;
mod readme;
mod resume;
