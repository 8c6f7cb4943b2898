//! Keys that wait for their sync: each at most once, never twice at a time, with back-off.
//!
//! Upstream's rate-limiting work queue, with the time passed in. Delays are upstream's
//! per-key exponential ones: 5 ms doubled with each failure, at most 1000 s.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

const FIRST_DELAY: Duration = Duration::from_millis(5);
const LONGEST_DELAY: Duration = Duration::from_secs(1000);

/// The queue. Its size is bounded by the number of keys, since a key is held once.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    ready: VecDeque<K>,
    /// What is in `ready`.
    queued: BTreeSet<K>,
    /// When a waiting key is due.
    due: BTreeMap<K, Timestamp>,
    by_time: BTreeSet<(Timestamp, K)>,
    /// Keys whose sync runs, and whether they came up again meanwhile.
    busy: BTreeMap<K, bool>,
    failures: BTreeMap<K, u32>,
}

impl<K: Ord + Clone> Queue<K> {
    pub(crate) fn new() -> Self {
        Self {
            ready: VecDeque::new(),
            queued: BTreeSet::new(),
            due: BTreeMap::new(),
            by_time: BTreeSet::new(),
            busy: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    /// Wants a sync of `key` now, or after the one that runs.
    pub(crate) fn add(&mut self, key: K) {
        if let Some(again) = self.busy.get_mut(&key) {
            *again = true;
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// Wants a sync of `key` at `at`; an earlier wish stands.
    pub(crate) fn add_at(&mut self, key: K, at: Timestamp) {
        if let Some(&before) = self.due.get(&key) {
            if before <= at {
                return;
            }
            self.by_time.remove(&(before, key.clone()));
        }
        self.due.insert(key.clone(), at);
        self.by_time.insert((at, key));
    }

    /// The next key to sync; it is busy until [`Queue::done`] or [`Queue::failed`].
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<K> {
        self.ripen(now);
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        self.busy.insert(key.clone(), false);
        Some(key)
    }

    /// When a waiting key will be due.
    pub(crate) fn wakes_at(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The sync worked.
    pub(crate) fn done(&mut self, key: &K) {
        self.failures.remove(key);
        self.release(key);
    }

    /// The sync failed: the key comes again after its back-off, which is returned.
    pub(crate) fn failed(&mut self, key: &K, now: Timestamp) -> Duration {
        let failures = self.failures.entry(key.clone()).or_default();
        let delay = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(*failures)).min(LONGEST_DELAY);
        *failures = failures.saturating_add(1);
        self.release(key);
        self.add_at(key.clone(), now.checked_add(delay).unwrap_or(Timestamp::MAX));
        delay
    }

    fn release(&mut self, key: &K) {
        if self.busy.remove(key) == Some(true) {
            self.add(key.clone());
        }
    }

    fn ripen(&mut self, now: Timestamp) {
        while let Some((at, key)) = self.by_time.first().cloned() {
            if at > now {
                return;
            }
            self.by_time.pop_first();
            self.due.remove(&key);
            self.add(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn a_key_is_held_once_and_synced_again_if_it_came_up_meanwhile() {
        let mut queue = Queue::new();
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next(at(0)), Some("a"));
        queue.add("a");
        assert_eq!(queue.next(at(0)), None, "it is being synced");
        queue.done(&"a");
        assert_eq!(queue.next(at(0)), Some("a"));
        queue.done(&"a");
        assert_eq!(queue.next(at(0)), None);
    }

    #[test]
    fn failures_double_the_delay_and_success_forgets_them() {
        let mut queue = Queue::new();
        queue.add("a");
        let mut delays = Vec::new();
        for _ in 0..3 {
            let now = queue.wakes_at().unwrap_or(at(0));
            assert_eq!(queue.next(now), Some("a"));
            delays.push(queue.failed(&"a", now).as_millis());
        }
        assert_eq!(delays, [5, 10, 20]);
        let now = queue.wakes_at().unwrap();
        queue.next(now);
        queue.done(&"a");
        queue.add("a");
        queue.next(now);
        assert_eq!(queue.failed(&"a", now), FIRST_DELAY);
        for _ in 0..40 {
            let now = queue.wakes_at().unwrap();
            queue.next(now);
            queue.failed(&"a", now);
        }
        let now = queue.wakes_at().unwrap();
        queue.next(now);
        assert_eq!(queue.failed(&"a", now), LONGEST_DELAY);
    }

    #[test]
    fn the_earlier_of_two_wishes_stands() {
        let mut queue = Queue::new();
        queue.add_at("a", at(50));
        queue.add_at("a", at(90));
        queue.add_at("a", at(20));
        assert_eq!(queue.wakes_at(), Some(at(20)));
        assert_eq!(queue.next(at(19)), None);
        assert_eq!(queue.next(at(20)), Some("a"));
        assert_eq!(queue.wakes_at(), None);
    }
}
