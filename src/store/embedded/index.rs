//! Which versions each key has, and under which number each lies on disk. No I/O, no clock: the
//! writer changes it, readers look at it as of a revision that is durable.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::ops::Bound;

use bytes::Bytes;

use crate::KeyRange;

/// A record's number on disk: its revision, and which change of that revision it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number {
    pub(super) revision: u64,
    pub(super) change: u32,
}

/// A key's state from one revision on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) number: Number,
    /// Not a deletion.
    pub(super) lives: bool,
    pub(super) create: u64,
    pub(super) version: u64,
    pub(super) lease: i64,
}

/// A key's versions. Most keys have one, so it lies apart.
#[derive(Debug)]
struct History {
    latest: Version,
    /// Older ones, oldest first.
    older: Vec<Version>,
}

impl History {
    fn at(&self, revision: u64) -> Option<&Version> {
        if self.latest.number.revision <= revision {
            return Some(&self.latest);
        }
        let after = self.older.partition_point(|version| version.number.revision <= revision);
        self.older.get(after.checked_sub(1)?)
    }

    /// Takes out what nobody can read at `at` or later.
    fn compact(&mut self, at: u64, forgotten: &mut Vec<Number>) {
        let superseded = self.older.partition_point(|version| version.number.revision <= at);
        // The last of these still holds at `at`, unless a later one does or it is a deletion.
        let holds = self.latest.number.revision > at
            && superseded.checked_sub(1).and_then(|last| self.older.get(last)).is_some_and(|v| v.lives);
        let gone = superseded - usize::from(holds);
        forgotten.extend(self.older.drain(..gone).map(|version| version.number));
        self.older.shrink_to_fit();
    }
}

/// All keys.
#[derive(Debug, Default)]
pub(super) struct Index {
    keys: BTreeMap<Bytes, History>,
    /// Keys that compaction may find something to forget of.
    crowded: BTreeSet<Bytes>,
}

impl Index {
    /// The key as of `revision`, if it lives then.
    pub(super) fn get(&self, key: &[u8], revision: u64) -> Option<&Version> {
        self.keys.get(key)?.at(revision).filter(|version| version.lives)
    }

    /// Keys of a range that live at `revision`, in order.
    pub(super) fn range<'a>(
        &'a self,
        keys: &'a KeyRange,
        revision: u64,
    ) -> impl Iterator<Item = (&'a Bytes, &'a Version)> {
        let nothing = (Bound::Included(&[][..]), Bound::Excluded(&[][..]));
        let bounds = if keys.is_empty() { nothing } else { keys.bounds() };
        self.keys
            .range::<[u8], _>(bounds)
            .filter_map(move |(key, history)| Some((key, history.at(revision).filter(|v| v.lives)?)))
    }

    /// Adds a version behind those there are.
    pub(super) fn insert(&mut self, key: &Bytes, version: Version) {
        match self.keys.entry(key.clone()) {
            btree_map::Entry::Vacant(entry) => {
                entry.insert(History { latest: version, older: Vec::new() });
                if !version.lives {
                    self.crowded.insert(key.clone());
                }
            }
            btree_map::Entry::Occupied(mut entry) => {
                let history = entry.get_mut();
                history.older.push(std::mem::replace(&mut history.latest, version));
                self.crowded.insert(key.clone());
            }
        }
    }

    /// Takes back the last [`Index::insert`] of a key.
    pub(super) fn remove_latest(&mut self, key: &Bytes) {
        if let btree_map::Entry::Occupied(mut entry) = self.keys.entry(key.clone()) {
            match entry.get_mut().older.pop() {
                Some(version) => entry.get_mut().latest = version,
                None => {
                    entry.remove();
                }
            }
        }
    }

    /// Forgets versions that nobody can read at `at` or later, looking at no more than `keys`
    /// keys behind `after`. Gives what it forgot, and where to go on or `None` once it is through.
    pub(super) fn compact(
        &mut self,
        at: u64,
        after: Option<&Bytes>,
        keys: usize,
    ) -> (Vec<Number>, Option<Bytes>) {
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(&key[..]));
        let chunk: Vec<Bytes> =
            self.crowded.range::<[u8], _>((from, Bound::Unbounded)).take(keys).cloned().collect();
        let mut forgotten = Vec::new();
        for key in &chunk {
            let Some(history) = self.keys.get_mut(key) else {
                self.crowded.remove(key);
                continue;
            };
            history.compact(at, &mut forgotten);
            let (latest, alone) = (history.latest, history.older.is_empty());
            if alone && !latest.lives && latest.number.revision <= at {
                forgotten.push(latest.number);
                self.keys.remove(key);
                self.crowded.remove(key);
            } else if alone && latest.lives {
                self.crowded.remove(key);
            }
        }
        let more = chunk.len() == keys;
        (forgotten, chunk.into_iter().last().filter(|_| more))
    }

    /// How many keys it knows, deleted ones with history included.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(revision: u64, lives: bool) -> Version {
        let number = Number { revision, change: 0 };
        Version { number, lives, create: revision, version: 1, lease: 0 }
    }

    fn compact_all(index: &mut Index, at: u64) -> BTreeSet<u64> {
        let (mut all, mut after) = (BTreeSet::new(), None);
        loop {
            let (forgotten, next) = index.compact(at, after.as_ref(), 2);
            for number in forgotten {
                assert!(all.insert(number.revision), "{number:?} was forgotten twice");
            }
            match next {
                Some(key) => after = Some(key),
                None => return all,
            }
        }
    }

    proptest! {
        /// The model: every change there was, looked through one by one.
        #[test]
        fn compaction_forgets_what_was_replaced_and_nothing_that_can_be_read(
            changes in proptest::collection::vec((0_u8..5, any::<bool>()), 1..40),
            at in 1_u64..40,
        ) {
            let mut index = Index::default();
            let changes: Vec<_> =
                changes.iter().enumerate().map(|(n, (key, lives))| (n as u64 + 1, *key, *lives)).collect();
            for (revision, key, lives) in &changes {
                index.insert(&Bytes::from(vec![*key]), version(*revision, *lives));
            }
            let last = changes.len() as u64;
            let at = at.min(last);
            let forgotten = compact_all(&mut index, at);
            for revision in at..=last {
                for key in 0_u8..5 {
                    let model = changes.iter().rev().find(|(r, k, _)| *r <= revision && *k == key);
                    let expected = model.filter(|(_, _, lives)| *lives).map(|(r, _, _)| *r);
                    prop_assert_eq!(index.get(&[key], revision).map(|v| v.number.revision), expected);
                }
            }
            let replaced = changes
                .iter()
                .filter(|(r, key, lives)| {
                    *r <= at && (!lives || changes.iter().any(|(later, k, _)| k == key && later > r && *later <= at))
                })
                .map(|(r, _, _)| *r)
                .collect::<BTreeSet<_>>();
            prop_assert_eq!(forgotten, replaced);
            prop_assert_eq!(compact_all(&mut index, at).len(), 0);
        }

        #[test]
        fn taking_back_leaves_what_was_there(before in 0_u64..4, taken in 1_u64..4) {
            let mut index = Index::default();
            let key = Bytes::from("k");
            for revision in 1..=before + taken {
                index.insert(&key, version(revision, true));
            }
            for _ in 0..taken {
                index.remove_latest(&key);
            }
            prop_assert_eq!(index.get(&key, 100).map(|v| v.number.revision), (before > 0).then_some(before));
            prop_assert_eq!(index.len(), usize::from(before > 0));
        }
    }
}
