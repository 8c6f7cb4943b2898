//! Transactions: comparisons that choose a branch, and what the branch does, in one revision.
//!
//! Owns the rules that hold on every backend (etcd's own), checked here once before either
//! backend sees a transaction.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::limits;
use crate::{LeaseId, Range, RangeResponse, Revision, StoreError};

/// Compares, then runs one of two branches, atomically and durably.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold for `then`.
    pub compares: Vec<Compare>,
    /// What is done if they do.
    pub then: Vec<Op>,
    /// What is done if one does not: usually a read of what is there.
    pub otherwise: Vec<Op>,
}

impl Txn {
    /// A transaction without conditions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition.
    #[must_use]
    pub fn when(mut self, compare: Compare) -> Self {
        self.compares.push(compare);
        self
    }

    /// Adds an operation for when all conditions hold.
    #[must_use]
    pub fn then(mut self, op: Op) -> Self {
        self.then.push(op);
        self
    }

    /// Adds an operation for when a condition does not hold.
    #[must_use]
    pub fn otherwise(mut self, op: Op) -> Self {
        self.otherwise.push(op);
        self
    }

    /// Bytes of its keys and values, and what etcd's encoding adds to them at most.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let compared: usize = self.compares.iter().map(Compare::bytes).sum();
        let done: usize = self.then.iter().chain(&self.otherwise).map(Op::bytes).sum();
        let parts = 1 + self.compares.len() + self.then.len() + self.otherwise.len();
        compared + done + parts * limits::ENCODING_BYTES
    }

    /// Whether neither branch changes anything.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.then.iter().chain(&self.otherwise).all(|op| matches!(op, Op::Get(_)))
    }

    /// The rules of [`limits`], and that a branch changes no key twice.
    pub fn check(&self) -> Result<(), StoreError> {
        for count in [self.compares.len(), self.then.len(), self.otherwise.len()] {
            if count > limits::OPERATIONS {
                return Err(StoreError::TooManyOperations { count, limit: limits::OPERATIONS });
            }
        }
        let bytes = self.bytes();
        if bytes > limits::REQUEST_BYTES {
            return Err(StoreError::TooLarge {
                what: "the transaction",
                bytes,
                limit: limits::REQUEST_BYTES,
            });
        }
        self.compares.iter().try_for_each(|compare| check_key(&compare.key))?;
        check_branch(&self.then)?;
        check_branch(&self.otherwise)
    }
}

fn check_branch(ops: &[Op]) -> Result<(), StoreError> {
    let mut changed = BTreeSet::new();
    for op in ops {
        if let Op::Put { key, .. } | Op::Delete { key } = op {
            check_key(key)?;
            if !changed.insert(key) {
                return Err(StoreError::DuplicateKey { key: key.clone() });
            }
        }
    }
    Ok(())
}

fn check_key(key: &Bytes) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(StoreError::EmptyKey);
    }
    if key.len() > limits::KEY_BYTES {
        return Err(StoreError::TooLarge { what: "a key", bytes: key.len(), limit: limits::KEY_BYTES });
    }
    Ok(())
}

/// A condition on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The key.
    pub key: Bytes,
    /// What must hold of it.
    pub check: Check,
}

impl Compare {
    /// The key does not exist.
    pub fn absent(key: impl Into<Bytes>) -> Self {
        Self { key: key.into(), check: Check::Absent }
    }

    /// The key exists.
    pub fn exists(key: impl Into<Bytes>) -> Self {
        Self { key: key.into(), check: Check::Exists }
    }

    /// The key was last put at `revision`; zero means that it does not exist.
    pub fn mod_revision(key: impl Into<Bytes>, revision: Revision) -> Self {
        Self { key: key.into(), check: Check::ModRevision(revision) }
    }

    /// The key came to be at `revision`; zero means that it does not exist.
    pub fn create_revision(key: impl Into<Bytes>, revision: Revision) -> Self {
        Self { key: key.into(), check: Check::CreateRevision(revision) }
    }

    /// The key exists and holds `value`.
    pub fn value(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self { key: key.into(), check: Check::Value(value.into()) }
    }

    fn bytes(&self) -> usize {
        self.key.len() + if let Check::Value(value) = &self.check { value.len() } else { 8 }
    }
}

/// What a [`Compare`] asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// It does not exist.
    Absent,
    /// It exists.
    Exists,
    /// It was last put at this revision (zero: it does not exist).
    ModRevision(Revision),
    /// It came to be at this revision (zero: it does not exist).
    CreateRevision(Revision),
    /// It exists with this value.
    Value(Bytes),
}

/// One operation of a branch. Operations happen in order; a read sees those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Sets a value.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// The lease that ends the key; none takes it off a lease it was on.
        lease: Option<LeaseId>,
    },
    /// Removes a key, if it is there.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Reads keys.
    Get(Range),
}

impl Op {
    /// Sets a value that lasts until it is deleted.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into(), lease: None }
    }

    /// Sets a value that ends with a lease.
    pub fn put_leased(key: impl Into<Bytes>, value: impl Into<Bytes>, lease: LeaseId) -> Self {
        Self::Put { key: key.into(), value: value.into(), lease: Some(lease) }
    }

    /// Removes a key.
    pub fn delete(key: impl Into<Bytes>) -> Self {
        Self::Delete { key: key.into() }
    }

    /// Reads one key.
    pub fn get(key: impl Into<Bytes>) -> Self {
        Self::Get(Range::key(key))
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len() + value.len(),
            Self::Delete { key } => key.len(),
            Self::Get(range) => range.keys.start.len() + range.keys.end.as_ref().map_or(0, Bytes::len),
        }
    }
}

/// What a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnResponse {
    /// Whether all conditions held.
    pub succeeded: bool,
    /// The revision it made, or the store's revision if it changed nothing.
    pub revision: Revision,
    /// One for each operation of the branch that ran.
    pub results: Vec<OpResult>,
}

impl TxnResponse {
    /// The first key that the branch read, if it read one and it was there.
    #[must_use]
    pub fn found(&self) -> Option<&crate::KeyValue> {
        self.results.iter().find_map(|result| match result {
            OpResult::Got(range) => range.items.first(),
            OpResult::Put | OpResult::Deleted { .. } => None,
        })
    }
}

/// What an [`Op`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResult {
    /// The value is set.
    Put,
    /// The key is gone.
    Deleted {
        /// Whether it had been there.
        existed: bool,
    },
    /// What was read.
    Got(RangeResponse),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn puts(count: usize) -> Txn {
        (0..count).fold(Txn::new(), |txn, n| txn.then(Op::put(format!("k{n}"), "v")))
    }

    #[test]
    fn rules_name_what_breaks_them() {
        let cases = [
            ("128 operations", puts(128), "ok"),
            (
                "one more",
                puts(129),
                "a transaction of 129 operations: at most 128 are taken in a branch; split it",
            ),
            (
                "too many bytes",
                Txn::new().then(Op::put("k", vec![0; limits::REQUEST_BYTES])),
                "the transaction has 1572993 bytes, more than the 1572864 that the store takes; make it smaller",
            ),
            ("no key", Txn::new().then(Op::delete("")), "a key is empty"),
            (
                "a key twice",
                Txn::new().then(Op::put("k", "1")).then(Op::delete("k")),
                "a branch changes the key k twice; leave one of them out",
            ),
            ("a key in both branches", Txn::new().then(Op::put("k", "1")).otherwise(Op::put("k", "2")), "ok"),
        ];
        for (name, txn, expected) in cases {
            let said = txn.check().map_or_else(|error| error.to_string(), |()| "ok".to_owned());
            assert_eq!(said, expected, "{name}");
        }
    }
}
