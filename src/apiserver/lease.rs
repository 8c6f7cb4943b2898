//! Leases that end Events: one for all that are created within a minute, as upstream does.

use std::time::Duration;

use api::kind::Kind;
use jiff::Timestamp;
use store::LeaseId;
use tokio::sync::Mutex;

use crate::refusal::Result;
use crate::server::Server;

/// How long an Event is kept: upstream's default.
const EVENT_TTL: Duration = Duration::from_secs(3600);
/// For how long a lease is given to new Events.
const REUSE: Duration = Duration::from_secs(60);

/// The lease that new Events get, and when it was granted.
pub(crate) type EventLease = Mutex<Option<(LeaseId, Timestamp)>>;

impl Server {
    /// The lease that ends a new object of this kind, if it has an end.
    pub(crate) async fn lease_for(&self, kind: &Kind) -> Result<Option<LeaseId>> {
        if *kind.stored.key != *"events" {
            return Ok(None);
        }
        let now = self.clock.now();
        let mut held = self.event_lease.lock().await;
        if let Some((lease, since)) = *held
            && now.duration_since(since).unsigned_abs() < REUSE
        {
            return Ok(Some(lease));
        }
        let lease = self.store.grant_lease(EVENT_TTL + REUSE).await?;
        *held = Some((lease, now));
        Ok(Some(lease))
    }
}
