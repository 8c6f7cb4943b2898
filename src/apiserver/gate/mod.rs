//! The doors of the chain: who asks, and whether they may. The decisions are `access`'s; here
//! they get what they look at.

pub mod authenticate;
pub mod authorize;
pub mod objects;
