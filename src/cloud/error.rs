//! What can go wrong between us and AWS.

use base::Class;

use crate::advice::{Advice, Verdict, advice};

/// An error of one call. Display is what AWS or the connection said;
/// [`CloudError::advice`] is what it means and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {code}: {message}")]
pub struct CloudError {
    /// The AWS action (`RunInstances`).
    pub operation: String,
    /// AWS's error code, or one of ours for what never reached AWS or came back
    /// unreadable: `NoCredentials`, `ExpiredSsoToken`, `BadCredentials`, `NoRegion`,
    /// `Connection`, `Timeout`, `UntrustedCertificate`, `Unreadable`.
    pub code: String,
    /// The words that came with it.
    pub message: String,
    /// AWS's request id, for support.
    pub request_id: Option<String>,
    /// The call was sent, and whether it took effect is not known.
    pub outcome_unknown: bool,
}

impl CloudError {
    /// An answer of AWS's: the call did nothing.
    #[must_use]
    pub fn refused(operation: &str, code: &str, message: impl Into<String>) -> Self {
        Self {
            operation: operation.to_owned(),
            code: code.to_owned(),
            message: message.into(),
            request_id: None,
            outcome_unknown: false,
        }
    }

    /// No answer: the call may have taken effect.
    #[must_use]
    pub fn lost(operation: &str, code: &str, message: impl Into<String>) -> Self {
        Self { outcome_unknown: true, ..Self::refused(operation, code, message) }
    }

    /// What the code means and what to do: the row of the table, or the one for codes nobody foresaw.
    #[must_use]
    pub fn advice(&self) -> &'static Advice {
        advice(&self.code, &self.message)
    }

    /// What a caller does about it. A call whose outcome is unknown is looked at again, whatever its code.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.outcome_unknown { Verdict::LookAgain } else { self.advice().verdict }
    }

    /// Whether AWS says that the thing named does not exist (or not yet).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code.ends_with(".NotFound") || self.code == "Gateway.NotAttached"
    }

    /// Whether AWS says that the thing exists already.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.code.ends_with(".Duplicate")
            || matches!(
                self.code.as_str(),
                "RouteAlreadyExists" | "InvalidSubnet.Conflict" | "Resource.AlreadyAssociated"
            )
    }
}

impl base::Classified for CloudError {
    fn class(&self) -> Class {
        match self.verdict() {
            Verdict::Retry => Class::Retry,
            Verdict::LookAgain | Verdict::Replace => Class::Conflict,
            Verdict::Stop if self.code.starts_with("Invalid") => Class::Invalid,
            Verdict::Stop => Class::Fatal,
        }
    }
}
