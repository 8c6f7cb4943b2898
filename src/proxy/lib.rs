//! Services to nftables rules, names to DNS answers. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
