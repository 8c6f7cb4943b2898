//! What can go wrong between us and AWS.

use base::Class;

/// An error of one call. Display is what AWS or the connection said; `remedy` is what to do.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {code}: {message}")]
pub struct CloudError {
    /// The AWS action (`RunInstances`).
    pub operation: String,
    /// AWS's error code, or one of ours for what never reached AWS: `NoCredentials`, `Timeout`, `Connection`.
    pub code: String,
    /// The words that came with it.
    pub message: String,
    /// AWS's request id, for support.
    pub request_id: Option<String>,
    /// The call was sent, and whether it took effect is not known.
    pub outcome_unknown: bool,
}

impl base::Classified for CloudError {
    fn class(&self) -> Class {
        if self.outcome_unknown { Class::Conflict } else { Class::Fatal }
    }
}
