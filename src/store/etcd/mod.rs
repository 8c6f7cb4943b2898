//! etcd as the store, 3.4 to 3.7, over mTLS, at one or several endpoints.
//!
//! Calls share a connection to one endpoint and move on when it fails; each watch has a
//! connection of its own and carries all keys, so a server keeps one and shares it out.

mod convert;
mod endpoints;
mod errors;
mod snapshot;
mod watch;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{AlarmAction, AlarmType, GetOptions, WatchOptions};

use crate::{
    LeaseId, Range, RangeResponse, Revision, Status, Store, StoreError, Txn, TxnResponse, Watch, WatchRequest,
};
pub use snapshot::{EtcdRestore, restore_snapshot};

use convert::PAGE_KEYS;
use endpoints::Endpoints;
use errors::{Fault, Kind, compacted};

/// A key that reads of the revision name; it need not exist.
const CURRENT_KEY: &str = "compact_rev_key";
/// Longest answer taken at once.
const MESSAGE_BYTES: usize = 64 << 20;

/// How etcd is reached.
#[derive(Clone)]
pub struct EtcdOptions {
    /// URLs (`https://10.20.0.5:2379`); the first is asked first.
    pub endpoints: Vec<String>,
    /// Certificates; required by `https`, refused with `http`.
    pub tls: Option<EtcdTls>,
    /// Longest that one endpoint may take to answer.
    pub timeout: Duration,
}

/// Who we are, and whom we trust, as PEM.
#[derive(Clone)]
pub struct EtcdTls {
    /// The authority that signed the servers' certificates.
    pub ca_pem: Vec<u8>,
    /// Our certificate.
    pub cert_pem: Vec<u8>,
    /// Its key.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdOptions").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

/// An etcd cluster.
pub struct Etcd {
    endpoints: Arc<Endpoints>,
    /// Keys of a page: less where values are so large that an answer was refused.
    page: AtomicUsize,
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Etcd").field("at", &self.endpoints.at()).finish_non_exhaustive()
    }
}

impl Etcd {
    /// Takes endpoints and certificates; dials nobody yet, so that a server can start before
    /// etcd does. [`Store::status`] says whether it answers.
    pub async fn new(options: EtcdOptions) -> Result<Self, StoreError> {
        Ok(Self { endpoints: Endpoints::new(options).await?, page: AtomicUsize::new(PAGE_KEYS) })
    }

    /// A fault of a call that named a revision.
    async fn about(&self, asked: Revision, fault: Fault) -> StoreError {
        match fault {
            Fault::Compacted => compacted(asked, self.compacted_to(asked).await),
            Fault::Future => {
                let current = current(&self.endpoints).await.unwrap_or(Revision::ZERO);
                StoreError::FutureRevision { asked, current }
            }
            fault => self.endpoints.error(fault),
        }
    }

    /// Up to where history is compacted. Only watches are told; if one is not, it is `asked` at least.
    async fn compacted_to(&self, asked: Revision) -> Revision {
        let ask = async || {
            let (_, client) = self.endpoints.own_connection().await.ok()?;
            let from = asked.0.max(1).try_into().ok()?;
            let options = WatchOptions::new().with_start_revision(from);
            let mut stream = client.watch_client().watch(CURRENT_KEY, Some(options)).await.ok()?;
            loop {
                let response = stream.message().await.ok()??;
                if response.canceled() {
                    return Some(convert::revision(response.compact_revision()));
                }
                if !response.created() {
                    return None;
                }
            }
        };
        tokio::time::timeout(self.endpoints.timeout(), ask()).await.ok().flatten().unwrap_or(asked)
    }
}

/// The revision now, by a linearizable read.
async fn current(endpoints: &Endpoints) -> Result<Revision, StoreError> {
    let read = endpoints.call(Kind::Read, |mut client| async move {
        client.get(CURRENT_KEY, Some(GetOptions::new().with_keys_only().with_limit(1))).await
    });
    let response = read.await.map_err(|fault| endpoints.error(fault))?;
    header(endpoints, response.header())
}

fn header(
    endpoints: &Endpoints,
    header: Option<&etcd_client::ResponseHeader>,
) -> Result<Revision, StoreError> {
    let revision = header.map(|header| convert::revision(header.revision()));
    revision.filter(|revision| *revision > Revision::ZERO).ok_or_else(|| StoreError::Unexpected {
        at: endpoints.at(),
        detail: "an answer without a revision".to_owned(),
    })
}

#[async_trait]
impl Store for Etcd {
    async fn txn(&self, txn: Txn) -> Result<TxnResponse, StoreError> {
        txn.check()?;
        let kind = if txn.is_read() { Kind::Read } else { Kind::Write };
        let asked = convert::txn(&txn);
        let sent = self.endpoints.call(kind, |client| {
            let (mut kv, asked) =
                (client.kv_client().max_decoding_message_size(MESSAGE_BYTES), asked.clone());
            async move { kv.txn(asked).await }
        });
        match sent.await {
            Ok(response) => {
                header(&self.endpoints, response.header())?;
                Ok(convert::txn_response(response, &txn))
            }
            Err(fault) => Err(self.txn_error(&txn, fault).await),
        }
    }

    async fn range(&self, range: Range) -> Result<RangeResponse, StoreError> {
        if range.keys.is_empty() {
            let revision = self.current_revision().await?;
            return Ok(RangeResponse { revision, items: Vec::new(), more: false, count: 0 });
        }
        loop {
            let page = self.page.load(Ordering::Relaxed);
            let limit = if range.limit == 0 { page } else { range.limit.min(page) };
            let (key, options) = convert::get(&range, limit);
            let read = self.endpoints.call(Kind::Read, |client| {
                let mut kv = client.kv_client().max_decoding_message_size(MESSAGE_BYTES);
                let (key, options) = (key.clone(), options.clone());
                async move { kv.get(key, Some(options)).await }
            });
            match read.await {
                Ok(response) => {
                    header(&self.endpoints, response.header())?;
                    return Ok(convert::range_response(response, &range));
                }
                Err(Fault::TooMuch) if limit > 1 => {
                    self.page.store((limit / 4).max(1), Ordering::Relaxed);
                }
                Err(fault) => return Err(self.about(range.revision.unwrap_or_default(), fault).await),
            }
        }
    }

    async fn current_revision(&self) -> Result<Revision, StoreError> {
        current(&self.endpoints).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<Watch, StoreError> {
        let from = request.from;
        let source = watch::EtcdWatch::new(Arc::clone(&self.endpoints), request);
        Ok(Watch::new(from, Box::new(source)))
    }

    async fn compact(&self, at: Revision) -> Result<(), StoreError> {
        let revision = at.0.try_into().unwrap_or(i64::MAX);
        // Compacting twice is harmless, so it is asked again like a read.
        let sent =
            self.endpoints.call(Kind::Read, |mut client| async move { client.compact(revision, None).await });
        match sent.await {
            Ok(_) => Ok(()),
            Err(fault) => Err(self.about(at, fault).await),
        }
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let seconds = seconds.max(1).try_into().unwrap_or(i64::MAX);
        // One that is granted twice ends unused.
        let sent = self
            .endpoints
            .call(Kind::Read, |mut client| async move { client.lease_grant(seconds, None).await });
        let response = sent.await.map_err(|fault| self.endpoints.error(fault))?;
        Ok(LeaseId(response.id()))
    }

    async fn keep_alive(&self, lease: LeaseId) -> Result<Duration, StoreError> {
        let asked = self.endpoints.call(Kind::Read, |mut client| async move {
            // The client says "lease not found" by an error of its own kind.
            match client.lease_keep_alive(lease.0).await {
                Ok(_kept) => client.lease_time_to_live(lease.0, None).await.map(|left| left.granted_ttl()),
                Err(etcd_client::Error::LeaseKeepAliveError(_)) => Ok(0),
                Err(error) => Err(error),
            }
        });
        match asked.await.map_err(|fault| self.lease_error(lease, fault))? {
            seconds if seconds > 0 => Ok(Duration::from_secs(seconds.cast_unsigned())),
            _ => Err(StoreError::LeaseNotFound { id: lease }),
        }
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        let sent =
            self.endpoints.call(Kind::Write, |mut client| async move { client.lease_revoke(lease.0).await });
        sent.await.map(drop).map_err(|fault| self.lease_error(lease, fault))
    }

    async fn status(&self) -> Result<Status, StoreError> {
        let asked = self.endpoints.call(Kind::Read, |mut client| async move { client.status().await });
        let status = asked.await.map_err(|fault| self.endpoints.error(fault))?;
        let asked = self.endpoints.call(Kind::Read, |mut client| async move {
            client.alarm(AlarmAction::Get, AlarmType::None, None).await
        });
        let alarms = asked.await.map_err(|fault| self.endpoints.error(fault))?;
        let mut problems: Vec<String> = alarms.alarms().iter().map(alarm).collect();
        if status.leader() == 0 {
            problems.push("no leader: too few of its members serve".to_owned());
        }
        Ok(Status {
            backend: "etcd",
            version: status.version().to_owned(),
            revision: self.current_revision().await?,
            disk_bytes: status.db_size().try_into().unwrap_or_default(),
            last_sync: None,
            problems,
        })
    }
}

impl Etcd {
    async fn txn_error(&self, txn: &Txn, fault: Fault) -> StoreError {
        if let Fault::Answer(StoreError::Unexpected { detail, .. }) = &fault
            && detail.contains("requested lease not found")
        {
            let lease = |op: &crate::Op| if let crate::Op::Put { lease, .. } = op { *lease } else { None };
            let named = txn.then.iter().chain(&txn.otherwise).find_map(lease);
            return StoreError::LeaseNotFound { id: named.unwrap_or(LeaseId(0)) };
        }
        let read = |op: &crate::Op| if let crate::Op::Get(range) = op { range.revision } else { None };
        let asked = txn.then.iter().chain(&txn.otherwise).find_map(read);
        self.about(asked.unwrap_or_default(), fault).await
    }

    fn lease_error(&self, id: LeaseId, fault: Fault) -> StoreError {
        match fault {
            Fault::Answer(StoreError::Unexpected { detail, .. }) if detail.contains("lease not found") => {
                StoreError::LeaseNotFound { id }
            }
            fault => self.endpoints.error(fault),
        }
    }
}

fn alarm(alarm: &etcd_client::AlarmMember) -> String {
    let member = alarm.member_id();
    match alarm.alarm() {
        AlarmType::None => format!("an alarm without a name on member {member:x}"),
        AlarmType::Nospace => format!(
            "NOSPACE on member {member:x}: its database is full, writes are refused; defragment (`etcdctl defrag`) \
             or raise --quota-backend-bytes, then `etcdctl alarm disarm`"
        ),
        AlarmType::Corrupt => {
            format!("CORRUPT on member {member:x}: members disagree; replace it, or restore a snapshot")
        }
    }
}
