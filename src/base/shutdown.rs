//! Stopping: one token for all parts, and the two-step answer to Ctrl-C.

use tokio_util::sync::CancellationToken;

/// Tells every part that holds a clone to start nothing new.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A handle that nobody has triggered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks all holders to stop. Repeating it changes nothing.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Whether stopping was asked for.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Completes once stopping was asked for.
    pub async fn triggered(&self) {
        self.0.cancelled().await;
    }

    /// Runs `future`, or gives `None` if stopping is asked for first.
    pub async fn race<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.cancelled() => None,
            value = future => Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_race_ends_when_stopping_is_asked_for() {
        let shutdown = Shutdown::new();
        shutdown.trigger();
        assert_eq!(shutdown.race(std::future::pending::<()>()).await, None);
    }
}
