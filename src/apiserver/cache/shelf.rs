//! All objects of one kind, and a window of what happened to them.
//!
//! A watcher is a cursor: it asks for the events behind it and is told when there may be
//! more. The window is bounded in bytes, and so is all that watchers can cost: one that
//! the window has passed is told so and ends.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use store::{LeaseId, Revision};
use tokio::sync::watch;

use super::entry::{Change, Entry, Event};

/// Bytes of events that a kind keeps.
pub const WINDOW_BYTES: usize = 24 << 20;
/// Bytes of an event beside its entries.
const EVENT_OVERHEAD: usize = 96;

/// The objects of one kind.
#[derive(Debug)]
pub struct Shelf {
    inner: RwLock<Inner>,
    /// The number of the next event; tells watchers that there is something.
    next: watch::Sender<u64>,
}

#[derive(Debug)]
struct Inner {
    objects: BTreeMap<Arc<str>, Arc<Entry>>,
    window: VecDeque<Arc<Event>>,
    /// Number of the first event in the window.
    first: u64,
    window_bytes: usize,
    object_bytes: usize,
    /// What happened after this revision is in the window.
    complete_after: Revision,
    /// The last revision that changed something here.
    changed: Revision,
    budget: usize,
}

/// Events behind a cursor.
#[derive(Debug, PartialEq, Eq)]
pub enum Watched<T> {
    /// These, in order, and the cursor behind them.
    Events(T, u64),
    /// The window has passed the cursor.
    TooSlow,
}

/// A list of entries and the number that the next event will have.
#[derive(Debug)]
pub struct Snapshot {
    /// In the order of their keys.
    pub entries: Vec<Arc<Entry>>,
    /// The cursor of a watcher that goes on from here.
    pub next: u64,
    /// The last revision that changed something on the shelf.
    pub changed: Revision,
}

/// A change of one key.
#[derive(Debug, Clone, Copy)]
pub enum Write<'a> {
    /// It was put.
    Put {
        /// Canonical JSON without a resourceVersion.
        json: &'a [u8],
        /// When the key came to be.
        created: Revision,
        /// The lease that ends it.
        lease: Option<LeaseId>,
    },
    /// It was deleted.
    Delete,
}

impl Default for Shelf {
    fn default() -> Self {
        Self::with_budget(WINDOW_BYTES)
    }
}

impl Shelf {
    /// One whose window holds at most `budget` bytes.
    #[must_use]
    pub fn with_budget(budget: usize) -> Self {
        let inner = Inner {
            objects: BTreeMap::new(),
            window: VecDeque::new(),
            first: 0,
            window_bytes: 0,
            object_bytes: 0,
            complete_after: Revision::ZERO,
            changed: Revision::ZERO,
            budget,
        };
        Self { inner: RwLock::new(inner), next: watch::Sender::new(0) }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces everything by what the store holds at `revision`. All watchers end: they
    /// cannot be told what happened between.
    pub fn load(&self, entries: impl IntoIterator<Item = Entry>, revision: Revision) {
        let mut inner = self.write();
        inner.objects = entries.into_iter().map(|entry| (Arc::clone(&entry.key), Arc::new(entry))).collect();
        inner.object_bytes = inner.objects.values().map(|entry| entry.size()).sum();
        // The numbers skip one, so that no cursor of before is taken for one behind the last event.
        inner.first += inner.window.len() as u64 + 1;
        inner.window.clear();
        inner.window_bytes = 0;
        inner.complete_after = revision;
        inner.changed = revision;
        self.next.send_replace(inner.first);
    }

    /// Takes up what one transaction did, at once for all who look: a list never shows half of it.
    pub fn apply<'a>(&self, revision: Revision, changes: impl IntoIterator<Item = (&'a str, Write<'a>)>) {
        let mut inner = self.write();
        for (key, write) in changes {
            match write {
                Write::Put { json, created, lease } => inner.put(key, json, revision, created, lease),
                Write::Delete => inner.delete(key, revision),
            }
        }
        inner.changed = inner.changed.max(revision);
        self.next.send_replace(inner.next());
    }

    /// The object of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.read().objects.get(key).cloned()
    }

    /// The last revision that changed something here.
    #[must_use]
    pub fn changed(&self) -> Revision {
        self.read().changed
    }

    /// All objects whose key begins with `prefix` (a namespace and its slash, or nothing).
    #[must_use]
    pub fn list(&self, prefix: &str) -> Snapshot {
        let inner = self.read();
        let entries = inner.range(prefix, None).map(|(_, entry)| Arc::clone(entry)).collect();
        Snapshot { entries, next: inner.next(), changed: inner.changed }
    }

    /// At most `limit` objects behind the key `after`, as they were at `revision`, and
    /// whether there are more. `None` if the window does not reach back so far.
    #[must_use]
    pub fn list_at(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        revision: Revision,
    ) -> Option<(Vec<Arc<Entry>>, bool)> {
        let inner = self.read();
        if revision < inner.complete_after {
            return None;
        }
        // What must be taken back, the oldest change of a key first.
        let mut undone: BTreeMap<&str, Option<&Arc<Entry>>> = BTreeMap::new();
        for event in inner.window.iter().rev().take_while(|event| event.entry.revision > revision) {
            let key = &*event.entry.key;
            if key.starts_with(prefix) && (after.is_empty() || key > after) {
                undone.insert(key, event.previous.as_ref());
            }
        }
        let mut now = inner.range(prefix, Some(after)).peekable();
        let mut then = undone.iter().peekable();
        let mut page = Vec::new();
        loop {
            let entry = match (now.peek(), then.peek()) {
                (None, None) => return Some((page, false)),
                (Some((key, _)), Some((old, _))) if **old < &***key => then.next().and_then(|(_, e)| *e),
                (Some((key, _)), Some((old, _))) if **old == &***key => {
                    now.next();
                    then.next().and_then(|(_, e)| *e)
                }
                (Some(_), _) => now.next().map(|(_, e)| e),
                (None, Some(_)) => then.next().and_then(|(_, e)| *e),
            };
            if let Some(entry) = entry {
                if page.len() == limit {
                    return Some((page, true));
                }
                page.push(Arc::clone(entry));
            }
        }
    }

    /// How many objects there are whose key begins with `prefix` and lies behind `after`.
    #[must_use]
    pub fn count_after(&self, prefix: &str, after: &str) -> usize {
        self.read().range(prefix, Some(after)).count()
    }

    /// The cursor behind everything up to `revision`. Gives the oldest revision that can be
    /// gone on from, if that lies behind it.
    pub fn cursor(&self, revision: Revision) -> Result<u64, Revision> {
        let inner = self.read();
        if revision < inner.complete_after {
            return Err(inner.complete_after);
        }
        let behind = inner.window.partition_point(|event| event.entry.revision <= revision);
        Ok(inner.first + behind as u64)
    }

    /// At most `count` events from a cursor on.
    #[must_use]
    pub fn events(&self, cursor: u64, count: usize) -> Watched<Vec<Arc<Event>>> {
        let inner = self.read();
        let Some(skip) = cursor.checked_sub(inner.first) else { return Watched::TooSlow };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let events: Vec<_> = inner.window.iter().skip(skip).take(count).cloned().collect();
        let next = cursor + events.len() as u64;
        Watched::Events(events, next)
    }

    /// The number of the next event.
    #[must_use]
    pub fn next(&self) -> u64 {
        *self.next.borrow()
    }

    /// Tells the number of the next event whenever it changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.next.subscribe()
    }

    /// Number of objects, their bytes, bytes of the window.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize, usize) {
        let inner = self.read();
        (inner.objects.len(), inner.object_bytes, inner.window_bytes)
    }
}

impl Inner {
    fn put(&mut self, key: &str, json: &[u8], revision: Revision, created: Revision, lease: Option<LeaseId>) {
        let previous = self.objects.get(key).cloned();
        let key = previous.as_ref().map_or_else(|| Arc::from(key), |entry| Arc::clone(&entry.key));
        let change = if previous.is_some() { Change::Modified } else { Change::Added };
        let entry = Arc::new(Entry::new(Arc::clone(&key), json, change, revision, created).leased(lease));
        self.object_bytes += entry.size();
        self.object_bytes -= previous.as_ref().map_or(0, |entry| entry.size());
        self.objects.insert(key, Arc::clone(&entry));
        self.push(Event { change, entry, previous });
    }

    fn delete(&mut self, key: &str, revision: Revision) {
        let Some(previous) = self.objects.remove(key) else { return };
        self.object_bytes -= previous.size();
        let entry = Arc::new(previous.deleted(revision));
        self.push(Event { change: Change::Deleted, entry, previous: Some(previous) });
    }

    fn next(&self) -> u64 {
        self.first + self.window.len() as u64
    }

    fn range<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Entry>)> {
        let start = match after {
            Some(after) if after >= prefix && !after.is_empty() => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.objects
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
    }

    fn push(&mut self, event: Event) {
        self.window_bytes += weight(&event);
        self.window.push_back(Arc::new(event));
        while self.window_bytes > self.budget && self.window.len() > 1 {
            if let Some(gone) = self.window.pop_front() {
                self.window_bytes -= weight(&gone);
                self.complete_after = gone.entry.revision;
                self.first += 1;
            }
        }
    }
}

fn weight(event: &Event) -> usize {
    event.entry.size() + EVENT_OVERHEAD
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.change == other.change
            && self.entry.revision == other.entry.revision
            && self.entry.key == other.entry.key
    }
}

impl Eq for Event {}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(name: &str, n: u64) -> Vec<u8> {
        format!(r#"{{"kind":"P","apiVersion":"v1","metadata":{{"name":"{name}"}},"n":{n}}}"#).into_bytes()
    }

    impl Shelf {
        fn put(&self, key: &str, json: &[u8], revision: Revision, created: Revision) {
            self.apply(revision, [(key, Write::Put { json, created, lease: None })]);
        }

        fn delete(&self, key: &str, revision: Revision) {
            self.apply(revision, [(key, Write::Delete)]);
        }
    }

    fn shelf() -> Shelf {
        let shelf = Shelf::default();
        shelf.load([], Revision(1));
        for (at, name) in [(2, "x/a"), (3, "x/b"), (4, "y/a")] {
            shelf.put(name, &stored(name, at), Revision(at), Revision(at));
        }
        shelf
    }

    fn keys(entries: &[Arc<Entry>]) -> Vec<String> {
        entries.iter().map(|entry| format!("{}@{}", entry.key, entry.revision)).collect()
    }

    #[test]
    fn a_list_holds_one_namespace_or_all() {
        let shelf = shelf();
        assert_eq!(keys(&shelf.list("x/").entries), ["x/a@2", "x/b@3"]);
        assert_eq!(keys(&shelf.list("").entries), ["x/a@2", "x/b@3", "y/a@4"]);
        assert_eq!(shelf.list("z/").entries.len(), 0);
    }

    #[test]
    fn pages_stay_at_their_revision_whatever_happens_between() {
        let shelf = shelf();
        let (page, more) = shelf.list_at("", "", 1, Revision(4)).expect("kept");
        assert_eq!((keys(&page), more), (vec!["x/a@2".to_owned()], true));
        shelf.delete("x/b", Revision(5));
        shelf.put("x/c", &stored("x/c", 6), Revision(6), Revision(6));
        shelf.put("y/a", &stored("y/a", 7), Revision(7), Revision(4));
        shelf.put("x/b", &stored("x/b", 8), Revision(8), Revision(8));
        let (page, more) = shelf.list_at("", "x/a", 5, Revision(4)).expect("kept");
        assert_eq!((keys(&page), more), (vec!["x/b@3".to_owned(), "y/a@4".to_owned()], false));
        let (page, _) = shelf.list_at("", "", 9, Revision(6)).expect("kept");
        assert_eq!(keys(&page), ["x/a@2", "x/c@6", "y/a@4"]);
        assert!(shelf.list_at("", "", 9, Revision(0)).is_none());
    }

    #[test]
    fn a_watcher_reads_on_from_its_cursor() {
        let shelf = shelf();
        let cursor = shelf.cursor(Revision(2)).expect("kept");
        shelf.delete("x/a", Revision(9));
        let Watched::Events(events, next) = shelf.events(cursor, 10) else { panic!("too slow") };
        let said: Vec<_> =
            events.iter().map(|e| (e.change.word(), &*e.entry.key, e.entry.revision.0)).collect();
        assert_eq!(said, [("ADDED", "x/b", 3), ("ADDED", "y/a", 4), ("DELETED", "x/a", 9)]);
        assert_eq!(shelf.events(next, 10), Watched::Events(vec![], next));
        assert_eq!(shelf.cursor(Revision(0)), Err(Revision(1)));
    }

    #[test]
    fn the_window_is_bounded_and_a_slow_watcher_is_told() {
        let shelf = Shelf::with_budget(2_000);
        shelf.load([], Revision(1));
        let cursor = shelf.cursor(Revision(1)).expect("kept");
        for at in 2..100 {
            shelf.put("x/a", &stored("x/a", at), Revision(at), Revision(2));
        }
        assert!(shelf.sizes().2 <= 2_000);
        assert_eq!(shelf.events(cursor, 10), Watched::TooSlow);
        assert!(shelf.cursor(Revision(1)).is_err());
        assert!(shelf.cursor(Revision(98)).is_ok());
    }

    #[test]
    fn loading_anew_ends_every_watcher() {
        let shelf = shelf();
        let cursor = shelf.cursor(Revision(4)).expect("kept");
        shelf.load([], Revision(9));
        assert_eq!(shelf.events(cursor, 1), Watched::TooSlow);
        assert_eq!(shelf.cursor(Revision(4)), Err(Revision(9)));
    }
}
