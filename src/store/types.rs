//! The nouns of the contract: revisions, keys and their values, ranges, events.

use std::fmt;
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

/// A point in the store's history. Each transaction that changes something makes the next one;
/// a store that was never written to stands at 1. Kubernetes shows it as `resourceVersion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// Before everything: the `mod_revision` of a key that does not exist.
    pub const ZERO: Self = Self(0);

    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The revision before this one; zero stays zero.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a lease. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub i64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A key with its value, as of some revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty where only keys were asked for.
    pub value: Bytes,
    /// When the key came to be (a deleted key that is put again begins anew).
    pub create_revision: Revision,
    /// When this value was put.
    pub mod_revision: Revision,
    /// How many times it was put since `create_revision`, from 1.
    pub version: u64,
    /// The lease that ends it, if any.
    pub lease: Option<LeaseId>,
}

/// A set of keys: those from `start` on that lie before `end`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    pub(crate) start: Bytes,
    /// `None`: to the end of all keys.
    pub(crate) end: Option<Bytes>,
}

impl KeyRange {
    /// One key.
    pub fn key(key: impl Into<Bytes>) -> Self {
        let start: Bytes = key.into();
        let mut end = Vec::with_capacity(start.len() + 1);
        end.extend_from_slice(&start);
        end.push(0);
        Self { start, end: Some(end.into()) }
    }

    /// All keys that begin with `prefix`; an empty one means every key.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start: Bytes = prefix.into();
        let end = successor_of_prefix(&start);
        Self { start, end }
    }

    /// The keys from `start` (included) to `end` (excluded).
    pub fn between(start: impl Into<Bytes>, end: impl Into<Bytes>) -> Self {
        Self { start: start.into(), end: Some(end.into()) }
    }

    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self { start: Bytes::new(), end: None }
    }

    /// The part of this range that lies after `key`: how a reader goes on after a page that said `more`.
    #[must_use]
    pub fn after(&self, key: &Bytes) -> Self {
        let start = Self::key(key.clone()).end.unwrap_or_default();
        Self { start: start.max(self.start.clone()), end: self.end.clone() }
    }

    /// The first key that could be in it.
    #[must_use]
    pub fn start(&self) -> &Bytes {
        &self.start
    }

    /// The first key behind it; `None` if it reaches to the end of all keys.
    #[must_use]
    pub fn end(&self) -> Option<&Bytes> {
        self.end.as_ref()
    }

    /// Whether `key` is in it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }

    /// Whether no key can be in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end <= &self.start)
    }

    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = self.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        (Bound::Included(&self.start[..]), end)
    }
}

/// The first key behind all that begin with `prefix`, or `None` where there is none.
fn successor_of_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end.into())
}

/// A read of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Which keys.
    pub keys: KeyRange,
    /// At most so many; 0 leaves it to the store. An answer may always end earlier
    /// ([`crate::limits::RANGE_BYTES`]) and then says `more`.
    pub limit: usize,
    /// As of which revision; `None`: now, including all that was acknowledged to anyone before the call.
    pub revision: Option<Revision>,
    /// Leave values out.
    pub keys_only: bool,
    /// Leave everything out but the number of keys.
    pub count_only: bool,
}

impl Range {
    /// All of `keys`, now.
    #[must_use]
    pub fn new(keys: KeyRange) -> Self {
        Self { keys, limit: 0, revision: None, keys_only: false, count_only: false }
    }

    /// One key, now.
    pub fn key(key: impl Into<Bytes>) -> Self {
        Self::new(KeyRange::key(key))
    }

    /// Keys with a prefix, now.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        Self::new(KeyRange::prefix(prefix))
    }

    /// At most `limit` keys.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// As of `revision`.
    #[must_use]
    pub fn at(self, revision: Revision) -> Self {
        Self { revision: Some(revision), ..self }
    }

    /// Without values.
    #[must_use]
    pub fn keys_only(self) -> Self {
        Self { keys_only: true, ..self }
    }

    /// Only how many there are.
    #[must_use]
    pub fn count_only(self) -> Self {
        Self { count_only: true, ..self }
    }
}

/// The answer to a [`Range`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeResponse {
    /// The store's revision when it answered; the items are as of this, or of the revision asked for.
    pub revision: Revision,
    /// In the order of their keys.
    pub items: Vec<KeyValue>,
    /// Whether there are further keys behind the last item.
    pub more: bool,
    /// How many keys there are in the whole range, items included.
    pub count: u64,
}

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// Which keys.
    pub keys: KeyRange,
    /// The first revision to deliver. May lie in the future; must lie behind the last compaction.
    pub from: Revision,
    /// Whether events carry the value before them.
    pub previous: bool,
}

impl WatchRequest {
    /// Events of `keys` from `from` on, with the values before them.
    #[must_use]
    pub fn new(keys: KeyRange, from: Revision) -> Self {
        Self { keys, from, previous: true }
    }
}

/// One revision as a watch sees it. A batch is never split and never comes twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// All up to and including this revision has been delivered.
    pub revision: Revision,
    /// What changed in the watched range, in the transaction's order. Empty where the revision
    /// changed other keys: it still tells how far the watch has come.
    pub events: Vec<Event>,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: Bytes,
    /// What happened.
    pub kind: EventKind,
    /// What was there before, if anything was and previous values were asked for.
    pub previous: Option<Previous>,
}

impl Event {
    /// The revision at which the key came to be: for a deletion that of what was deleted,
    /// zero if that is not known (no previous values).
    #[must_use]
    pub fn create_revision(&self) -> Revision {
        match &self.kind {
            EventKind::Put { create_revision, .. } => *create_revision,
            EventKind::Delete => self.previous.as_ref().map_or(Revision::ZERO, |p| p.create_revision),
        }
    }
}

/// A put or a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// The key has a (new) value. It is a creation if `create_revision` is the batch's revision.
    Put {
        /// The value.
        value: Bytes,
        /// When the key came to be.
        create_revision: Revision,
        /// How many times it was put since, from 1.
        version: u64,
        /// The lease that ends it, if any.
        lease: Option<LeaseId>,
    },
    /// The key is gone.
    Delete,
}

/// What a key held before an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Previous {
    /// The value.
    pub value: Bytes,
    /// When it was put.
    pub mod_revision: Revision,
    /// When the key came to be.
    pub create_revision: Revision,
}

/// How a store is, for health checks and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// `embedded` or `etcd`.
    pub backend: &'static str,
    /// Its version.
    pub version: String,
    /// Its revision now.
    pub revision: Revision,
    /// Bytes it takes on disk (of the endpoint that answered).
    pub disk_bytes: u64,
    /// How long the last write to disk took, where that is known.
    pub last_sync: Option<Duration>,
    /// What is wrong, in words for an operator; empty if nothing is.
    pub problems: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_keys_no_longer_begin_with_it() {
        let cases: &[(&[u8], Option<&[u8]>)] =
            &[(b"", None), (b"/a/", Some(b"/a0")), (b"a\xff", Some(b"b")), (b"\xff\xff", None)];
        for (prefix, end) in cases {
            assert_eq!(KeyRange::prefix(*prefix).end().map(|end| &end[..]), *end, "{prefix:?}");
        }
    }

    #[test]
    fn a_page_goes_on_behind_its_last_key() {
        let pods = KeyRange::prefix("/pods/");
        let rest = pods.after(&Bytes::from("/pods/a"));
        assert!(!rest.contains(b"/pods/a") && rest.contains(b"/pods/a\0") && !rest.contains(b"/pods0"));
        assert!(KeyRange::between("b", "a").is_empty() && !KeyRange::all().is_empty());
    }
}
