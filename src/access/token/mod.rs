//! Service account tokens: keys, what a token claims, signing and verifying, and the
//! objects by which they are asked for and examined.
//!
//! Tokens are JSON Web Tokens signed by ES256 and by nothing else: what a token says of
//! its own algorithm is compared, never followed.

mod claims;
mod issuer;
mod jwt;
mod keys;
pub mod request;
#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod tests;
mod verify;

/// What pods' own tokens ask to live. It is no round number so that it is told from what
/// somebody asked for on purpose: such tokens are extended, and their use is noted.
pub const WARN_ONLY_SECONDS: i64 = 60 * 60 + 7;

pub use claims::{Bound, Claims, Reference};
pub use issuer::Issuer;
pub use keys::{KeyError, KeySet, PublicKey, SigningKey};
pub use request::Granted;
pub use verify::{TokenError, Verified};
