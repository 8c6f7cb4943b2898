//! How a request ends that is not answered by an object: a [`Status`], kept small in results.

use api::status::Status;
use store::StoreError;

use crate::cache::CacheError;

/// A Status on its way to the client.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal(pub Box<Status>);

/// What handlers give.
pub type Result<T> = std::result::Result<T, Refusal>;

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self(Box::new(status))
    }
}

impl Refusal {
    /// A path that no part of the API answers: upstream's plain text.
    #[must_use]
    pub fn no_page() -> Self {
        Self::plain(404, "", "404 page not found")
    }

    /// Whether it is [`Refusal::no_page`].
    #[must_use]
    pub fn is_no_page(&self) -> bool {
        self.0.code == 404 && self.0.reason.is_empty()
    }

    /// The same with `details`, which upstream prints though they are empty.
    #[must_use]
    pub fn detailed(self) -> Self {
        let mut status = self.0;
        status.details.get_or_insert_default();
        Self(status)
    }

    /// A failure that upstream has no constructor for.
    #[must_use]
    pub fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Status { code, reason, message: message.into(), ..Status::default() }.into()
    }
}

/// A store that does not answer is said as upstream says it; the details go to the log.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        from_store(&error)
    }
}

fn from_store(error: &StoreError) -> Refusal {
    match error {
        StoreError::TooLarge { .. } => Status::request_entity_too_large(&error.to_string()).into(),
        StoreError::Compacted { .. } | StoreError::WatchTooSlow { .. } => {
            Status::expired("The resourceVersion for the provided list is too old.").into()
        }
        StoreError::NoSpace { .. } | StoreError::Unavailable { .. } | StoreError::Overloaded { .. } => {
            tracing::warn!(error = %base::chain(error), "the store refuses");
            Status::unavailable(error.to_string()).into()
        }
        StoreError::TimedOut { .. } | StoreError::OutcomeUnknown { .. } => {
            tracing::warn!(error = %base::chain(error), "the store is slow");
            Status::timeout(&error.to_string(), 1).into()
        }
        _ => {
            tracing::error!(error = %base::chain(error), "the store failed");
            Status::internal(error).into()
        }
    }
}

impl From<CacheError> for Refusal {
    fn from(error: CacheError) -> Self {
        match &error {
            CacheError::Store(error) => from_store(error),
            CacheError::Behind { .. } => too_large_version(&error.to_string()),
            CacheError::Stopped => Status::unavailable(error.to_string()).into(),
        }
    }
}

/// Upstream's answer to a resourceVersion that lies in the future.
fn too_large_version(message: &str) -> Refusal {
    let cause = api::status::Cause {
        reason: "ResourceVersionTooLarge".to_owned(),
        message: "Too large resource version".to_owned(),
        ..Default::default()
    };
    Status::timeout(message, 1).because(vec![cause]).into()
}
