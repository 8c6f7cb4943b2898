//! From a decision to a transaction, again until what it was made of is what is there.
//!
//! A decision is first made of the cache. If the store holds something newer, or the decision
//! is a refusal that the newer state might not give, it is made anew of the store's state.

use std::sync::Arc;

use api::kind::Claims;
use api::status::Status;
use bytes::Bytes;
use serde_json::Value;
use store::{Compare, KeyValue, LeaseId, Op, OpResult, Range, Revision, Txn, TxnResponse};

use super::claims;
use crate::cache::{Change, Entry, envelope, feed::PREFIX};
use crate::exchange::Scope;
use crate::refusal::{Refusal, Result};
use crate::server::Server;

/// So often a write is decided anew before its client is told to come again.
const ATTEMPTS: usize = 32;

/// An object as it is.
#[derive(Debug, Clone)]
pub struct Current {
    /// Its tree, in the form that is kept, with its resourceVersion.
    pub value: Value,
    /// When it was last written.
    pub revision: Revision,
    /// When it came to be.
    pub created: Revision,
    /// The lease that ends it.
    pub lease: Option<LeaseId>,
}

/// What a decision says is to be done.
#[derive(Debug, Clone)]
pub enum Decision {
    /// Put this, in the form that is kept and canonical; and claims that go with it.
    Put(Value, Claims),
    /// Delete the object, and what it claimed.
    Delete {
        /// What it claimed.
        claims: Claims,
        /// What its client is shown of it, and at which revision, where that is not what was kept.
        last: Option<(Value, Revision)>,
    },
    /// Leave it as it is.
    Keep,
}

/// What was done.
#[derive(Debug, Clone)]
pub enum Done {
    /// The object as it is now.
    Put {
        /// It.
        entry: Arc<Entry>,
        /// Whether it was not there before.
        created: bool,
    },
    /// The object as it last was.
    Deleted(Arc<Entry>),
    /// The object as it is.
    Kept(Arc<Entry>),
}

impl Done {
    /// The object.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        match self {
            Self::Put { entry, .. } | Self::Deleted(entry) | Self::Kept(entry) => entry,
        }
    }
}

/// What is written, where.
pub struct Target<'a> {
    /// The kind and its shelf.
    pub scope: &'a Scope,
    /// The object's key on the shelf.
    pub key: String,
    /// Whether nothing is to be stored.
    pub dry_run: bool,
    /// The lease that a newly put object ends with.
    pub lease: Option<LeaseId>,
}

impl Target<'_> {
    fn store_key(&self) -> Bytes {
        format!("{PREFIX}{}/{}", self.scope.kind.stored.key, self.key).into()
    }
}

/// Decides on the object as it is, and does it.
pub async fn change(
    server: &Server,
    target: &Target<'_>,
    mut decide: impl FnMut(Option<&Current>) -> Result<Decision> + Send,
) -> Result<Done> {
    let mut certain = false;
    let mut current = target.scope.shelf.get(&target.key).and_then(|entry| of_entry(&entry));
    for _ in 0..ATTEMPTS {
        let decision = match decide(current.as_ref()) {
            Ok(decision) => decision,
            Err(refusal) if certain => return Err(refusal),
            Err(_) => {
                // What admission looks at must be as new as the object.
                server.cache.fresh().await?;
                current = read(server, target).await?;
                certain = true;
                decide(current.as_ref())?
            }
        };
        if matches!(decision, Decision::Keep) && !certain {
            // What is left as it is must be what is there.
            let now = read(server, target).await?;
            certain = true;
            if now.as_ref().map(|now| now.revision) != current.as_ref().map(|old| old.revision) {
                current = now;
                continue;
            }
        }
        match attempt(server, target, current.as_ref(), decision).await? {
            Ok(done) => return Ok(done),
            Err(newer) => {
                current = newer;
                certain = true;
            }
        }
    }
    let name = target.key.rsplit('/').next().unwrap_or_default();
    Err(Status::modified(target.scope.kind.resource(), name).into())
}

/// Does what was decided. The inner error: what is there instead of what was thought.
async fn attempt(
    server: &Server,
    target: &Target<'_>,
    current: Option<&Current>,
    decision: Decision,
) -> Result<std::result::Result<Done, Option<Current>>> {
    let revision = current.map_or(Revision::ZERO, |current| current.revision);
    let unchanged = Compare::mod_revision(target.store_key(), revision);
    match decision {
        Decision::Keep => {
            let current = current.ok_or_else(|| Status::internal("nothing was to be done with nothing"))?;
            Ok(Ok(Done::Kept(entry(
                target,
                &current.value,
                Change::Modified,
                current.revision,
                current.created,
            ))))
        }
        Decision::Put(value, claims) => {
            let json = api::canonical::to_vec(&value);
            let change = if current.is_some() { Change::Modified } else { Change::Added };
            let done = |revision: Revision| {
                let created = current.map_or(revision, |current| current.created);
                let key = Arc::from(&*target.key);
                let entry = Arc::new(Entry::new(key, &json, change, revision, created));
                Done::Put { entry, created: current.is_none() }
            };
            if target.dry_run {
                return Ok(Ok(done(revision)));
            }
            let lease = current.map_or(target.lease, |current| current.lease);
            let put = Op::Put { key: target.store_key(), value: envelope::seal(&json), lease };
            let answer = commit(server, target, unchanged, put, &claims).await?;
            if answer.succeeded {
                return Ok(Ok(done(answer.revision)));
            }
            let there = found(&answer)?;
            if there.as_ref().map_or(Revision::ZERO, |there| there.revision) == revision
                && !claims.take.is_empty()
            {
                // Another object took a claim: the cache will know it once it has come so far.
                server.cache.wait_for(answer.revision).await?;
            }
            Ok(Err(there))
        }
        Decision::Delete { claims, last } => {
            let current = current.ok_or_else(|| Status::internal("nothing was to be deleted"))?;
            let done = |revision| {
                let (value, at) = match &last {
                    Some((value, Revision::ZERO)) => (value, revision),
                    Some((value, at)) => (value, *at),
                    None => (&current.value, revision),
                };
                Done::Deleted(entry(target, value, Change::Deleted, at, current.created))
            };
            if target.dry_run {
                return Ok(Ok(done(current.revision)));
            }
            let delete = Op::delete(target.store_key());
            let answer = commit(server, target, unchanged, delete, &claims).await?;
            if answer.succeeded { Ok(Ok(done(answer.revision))) } else { Ok(Err(found(&answer)?)) }
        }
    }
}

async fn commit(
    server: &Server,
    target: &Target<'_>,
    unchanged: Compare,
    op: Op,
    claims: &Claims,
) -> Result<TxnResponse> {
    let mut txn = Txn::new().when(unchanged).then(op).otherwise(Op::Get(Range::key(target.store_key())));
    for claim in &claims.take {
        txn = txn.when(Compare::absent(claims::key(claim)));
        txn = txn.then(Op::put(claims::key(claim), target.store_key()));
    }
    for claim in claims.release.iter().filter(|claim| !claims.take.contains(claim)) {
        txn = txn.then(Op::delete(claims::key(claim)));
    }
    Ok(server.store.txn(txn).await?)
}

fn entry(
    target: &Target<'_>,
    value: &Value,
    change: Change,
    revision: Revision,
    created: Revision,
) -> Arc<Entry> {
    let mut bare = value.clone();
    api::meta::remove(&mut bare, "metadata.resourceVersion");
    let json = api::canonical::to_vec(&bare);
    Arc::new(Entry::new(Arc::from(&*target.key), &json, change, revision, created))
}

fn of_entry(entry: &Entry) -> Option<Current> {
    let value = serde_json::from_slice(entry.bytes()).ok()?;
    Some(Current { value, revision: entry.revision, created: entry.created, lease: entry.lease })
}

fn of_stored(item: &KeyValue) -> Result<Current> {
    let (json, _) = envelope::open(&item.value).map_err(Status::internal)?;
    let mut value: Value = serde_json::from_slice(&json).map_err(Status::internal)?;
    api::meta::put(&mut value, "metadata.resourceVersion", item.mod_revision.to_string());
    Ok(Current { value, revision: item.mod_revision, created: item.create_revision, lease: item.lease })
}

fn found(answer: &TxnResponse) -> Result<Option<Current>> {
    let items = answer.results.iter().find_map(|result| match result {
        OpResult::Got(range) => Some(&range.items),
        _ => None,
    });
    items.and_then(|items| items.first()).map(of_stored).transpose()
}

/// The object as the store has it now.
async fn read(server: &Server, target: &Target<'_>) -> Result<Option<Current>> {
    let answer = server.store.range(Range::key(target.store_key())).await?;
    answer.items.first().map(of_stored).transpose()
}

/// Says that an object is not there.
pub fn not_found(scope: &Scope, name: &str) -> Refusal {
    Status::not_found(scope.kind.resource(), name).into()
}
