//! A token bucket in front of calls that change something, so that AWS's own need not refuse them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::Clock;
use jiff::Timestamp;

/// At most `burst` calls at once, then one each `interval`.
pub(super) struct Limiter {
    clock: Arc<dyn Clock>,
    burst: u32,
    interval: Duration,
    /// When the bucket is full again.
    full_at: Mutex<Option<Timestamp>>,
}

impl Limiter {
    pub(super) fn new(clock: Arc<dyn Clock>, burst: u32, interval: Duration) -> Self {
        Self { clock, burst, interval, full_at: Mutex::new(None) }
    }

    /// Waits until a call may be made. Callers are served in the order of their asking.
    pub(super) async fn take(&self) {
        let wait = self.reserve();
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
    }

    fn reserve(&self) -> Duration {
        let now = self.clock.now();
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let from = full_at.map_or(now, |at| at.max(now));
        let until = from.checked_add(self.interval).unwrap_or(now);
        *full_at = Some(until);
        let owed = until.duration_since(now).unsigned_abs();
        owed.saturating_sub(self.interval * self.burst)
    }
}

#[cfg(test)]
mod tests {
    use base::ManualClock;

    use super::*;

    #[tokio::test]
    async fn a_burst_passes_and_the_rest_comes_at_the_rate() {
        let clock = Arc::new(ManualClock::default());
        let limiter = Limiter::new(clock.clone(), 5, Duration::from_millis(500));
        for _ in 0..5 {
            limiter.take().await;
        }
        assert_eq!(clock.now().as_millisecond(), 0);
        for _ in 0..6 {
            limiter.take().await;
        }
        assert_eq!(clock.now().as_millisecond(), 3000);
        clock.advance(Duration::from_secs(60));
        let before = clock.now();
        for _ in 0..5 {
            limiter.take().await;
        }
        assert_eq!(clock.now(), before);
    }
}
