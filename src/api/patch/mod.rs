//! The three patches that need no owner: JSON patch (RFC 6902), JSON merge patch (RFC 7386)
//! and strategic merge patch, each from a document and a patch to a new document.
//!
//! They know nothing of requests. What the result may contain is the decoder's to say;
//! who owns what was changed is [`crate::apply`]'s. The `json-patch` crate is not used:
//! upstream's library takes negative indices, replaces what is missing, reads past a first
//! path segment and bounds what copies add, and clients see all of it.

mod json;
mod merge;
mod strategic;
#[cfg(test)]
mod tests;
pub mod words;

pub use json::{json, unknown_fields};
pub use merge::{check_merge, merge};
pub use strategic::{printed, strategic};

/// Why a patch was not applied, by the answer it gets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// 400 BadRequest with this message: the patch is not a patch of its kind.
    #[error("{0}")]
    BadRequest(String),
    /// 413 RequestEntityTooLarge with this message.
    #[error("{0}")]
    TooLarge(String),
    /// 422 Invalid with the message [`PatchError::UNPROCESSABLE`] and neither details nor
    /// causes. What went wrong is not told to the client (upstream drops it); it is here
    /// for the log.
    #[error("{0}")]
    Unprocessable(String),
    /// 500 without a reason, with this message.
    #[error("{0}")]
    Internal(String),
}

impl PatchError {
    /// All that a client hears of [`PatchError::Unprocessable`].
    pub const UNPROCESSABLE: &str = "the server rejected our request due to an error in our request";
}
