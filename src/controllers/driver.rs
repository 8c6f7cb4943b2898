//! Runs a controller: watches feed it, its queue decides what is synced when.
//!
//! One task owns the controller and its queue, so that both are synchronous; syncs run
//! beside it, a bounded number at a time and never two of one key. No sync starts before
//! every watched resource was listed once: a controller that has seen half decides wrongly.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::{Clock, Shutdown, chain};
use jiff::Timestamp;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{Id, JoinError, JoinSet};
use tracing::Instrument as _;

use crate::queue::Queue;
use crate::{Api, ApiError, Change, Resource, Selection, View};
use client::{News, reflect};

/// News that wait for a controller: a full channel makes watches wait, which the server bounds.
const NEWS: usize = 256;

/// How often the set of served resources is asked for by controllers that watch them all
/// (upstream's garbage collector resyncs as often).
const RESOURCES_EVERY: Duration = Duration::from_secs(30);

/// Which resources a controller wants to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// It does not care for it.
    None,
    /// It wants this much of each object.
    Of(View),
}

/// When a key wants to be synced again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// When something changes.
    Wait,
    /// Also after this long.
    After(Duration),
}

/// A controller's parts; [`run`] joins them.
#[async_trait]
pub trait Controller: Send + Sync + 'static {
    /// What is synced: a namespace, an object.
    type Key: Ord + Clone + Debug + Display + Send + Sync + 'static;
    /// What the projection holds for a key, as a sync needs it.
    type Facts: Send + 'static;

    /// Name, as upstream calls the controller.
    fn name(&self) -> &'static str;

    /// Whether it hears of a resource, and how much.
    fn interest(&self, resource: &Resource) -> Interest;

    /// Brings a change into the projection and gives the keys it concerns, each with the
    /// time to wait before its sync.
    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Self::Key, Duration)>;

    /// What a sync of `key` starts from; none where there is nothing to do.
    fn facts(&self, key: &Self::Key) -> Option<Self::Facts>;

    /// Looks up, decides, writes.
    async fn sync(
        key: Self::Key,
        facts: Self::Facts,
        api: Arc<dyn Api>,
        now: Timestamp,
    ) -> Result<Next, ApiError>;
}

/// Runs `controller` until `shutdown`, with at most `workers` syncs at a time. Syncs that run
/// when stopping is asked for are finished.
pub async fn run<C: Controller>(
    controller: C,
    api: Arc<dyn Api>,
    clock: Arc<dyn Clock>,
    workers: usize,
    shutdown: Shutdown,
) {
    let (tell, news) = channel(NEWS);
    let watches = Watches::new(Arc::clone(&api), Arc::clone(&clock), tell, shutdown.clone());
    let driver = Driver {
        controller,
        api,
        clock,
        workers,
        queue: Queue::new(),
        running: JoinSet::new(),
        keys: BTreeMap::new(),
        watches,
    };
    driver.run(news, shutdown).await;
}

/// The watches of one controller.
struct Watches {
    api: Arc<dyn Api>,
    clock: Arc<dyn Clock>,
    tell: Sender<News>,
    /// Each watched resource, with what ends its watch.
    watched: BTreeMap<Arc<Resource>, Shutdown>,
    /// Watched resources that were not listed yet.
    unlisted: BTreeSet<Arc<Resource>>,
    /// Whether discovery has answered.
    known: bool,
    tasks: JoinSet<()>,
    shutdown: Shutdown,
}

struct Driver<C: Controller> {
    controller: C,
    api: Arc<dyn Api>,
    clock: Arc<dyn Clock>,
    workers: usize,
    queue: Queue<C::Key>,
    running: JoinSet<Result<Next, ApiError>>,
    /// Which key a running sync is of.
    keys: BTreeMap<Id, C::Key>,
    watches: Watches,
}

impl<C: Controller> Driver<C> {
    async fn run(mut self, mut news: Receiver<News>, shutdown: Shutdown) {
        let mut refresh = self.clock.now();
        loop {
            let now = self.clock.now();
            if now >= refresh {
                let left = self.watches.refresh(&self.controller).await;
                for (resource, change) in left {
                    self.take(&resource, change, now);
                }
                refresh = later(now, RESOURCES_EVERY);
            }
            self.start_syncs(now);
            let until = self.queue.wakes_at().map_or(refresh, |at| at.min(refresh));
            let nap = until.duration_since(self.clock.now()).try_into().unwrap_or(Duration::ZERO);
            tokio::select! {
                biased;
                () = shutdown.triggered() => break,
                Some(result) = self.running.join_next_with_id() => self.finish(result),
                Some((resource, change)) = news.recv() => {
                    self.watches.heard(&resource, &change);
                    self.take(&resource, change, now);
                }
                () = self.clock.sleep(nap) => {}
            }
        }
        while let Some(result) = self.running.join_next_with_id().await {
            self.finish(result);
        }
        self.watches.end().await;
    }

    fn take(&mut self, resource: &Arc<Resource>, change: Change, now: Timestamp) {
        for (key, delay) in self.controller.observe(resource, change) {
            if delay.is_zero() {
                self.queue.add(key);
            } else {
                self.queue.add_at(key, later(now, delay));
            }
        }
    }

    fn start_syncs(&mut self, now: Timestamp) {
        if !self.watches.listed() {
            return;
        }
        while self.running.len() < self.workers {
            let Some(key) = self.queue.next(now) else {
                return;
            };
            let Some(facts) = self.controller.facts(&key) else {
                self.queue.done(&key);
                continue;
            };
            let span = tracing::info_span!("sync", controller = self.controller.name(), %key);
            let sync = C::sync(key.clone(), facts, Arc::clone(&self.api), now);
            let task = self.running.spawn(sync.instrument(span));
            self.keys.insert(task.id(), key);
        }
    }

    fn finish(&mut self, result: Result<(Id, Result<Next, ApiError>), JoinError>) {
        let now = self.clock.now();
        let (id, outcome) = match result {
            Ok((id, Ok(next))) => (id, Ok(next)),
            Ok((id, Err(error))) => (id, Err(chain(&error))),
            // A panic ends this sync alone; the key is tried again later.
            Err(error) => (error.id(), Err(error.to_string())),
        };
        let Some(key) = self.keys.remove(&id) else {
            return;
        };
        match outcome {
            Ok(next) => {
                self.queue.done(&key);
                if let Next::After(delay) = next {
                    self.queue.add_at(key, later(now, delay));
                }
            }
            Err(error) => {
                let delay = self.queue.failed(&key, now);
                let controller = self.controller.name();
                tracing::warn!(controller, %key, %error, ?delay, "sync failed; trying again");
            }
        }
    }
}

impl Watches {
    fn new(api: Arc<dyn Api>, clock: Arc<dyn Clock>, tell: Sender<News>, shutdown: Shutdown) -> Self {
        Self {
            api,
            clock,
            tell,
            watched: BTreeMap::new(),
            unlisted: BTreeSet::new(),
            known: false,
            tasks: JoinSet::new(),
            shutdown,
        }
    }

    /// Watches what is newly served, and gives an empty list for what is served no more.
    async fn refresh<C: Controller>(&mut self, controller: &C) -> Vec<News> {
        let resources = match self.shutdown.race(self.api.resources()).await {
            None => return Vec::new(),
            Some(Ok(resources)) => resources,
            Some(Err(error)) => {
                tracing::warn!(controller = controller.name(), error = %chain(&error), "cannot tell what is served");
                return Vec::new();
            }
        };
        self.known = true;
        let mut wanted = BTreeMap::new();
        for resource in resources {
            if let Interest::Of(view) = controller.interest(&resource)
                && resource.can("list")
                && resource.can("watch")
            {
                wanted.insert(resource, view);
            }
        }
        let gone: Vec<_> = self.watched.keys().filter(|r| !wanted.contains_key(*r)).cloned().collect();
        for (resource, view) in wanted {
            self.start(resource, view);
        }
        gone.into_iter().map(|resource| self.forget(resource)).collect()
    }

    fn start(&mut self, resource: Arc<Resource>, view: View) {
        if self.watched.contains_key(&resource) {
            return;
        }
        let stop = Shutdown::new();
        self.watched.insert(Arc::clone(&resource), stop.clone());
        self.unlisted.insert(Arc::clone(&resource));
        let (api, clock, tell) = (Arc::clone(&self.api), Arc::clone(&self.clock), self.tell.clone());
        let all = self.shutdown.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = all.triggered() => {}
                () = reflect(api, resource, Selection::default(), view, tell, clock, stop) => {}
            }
        });
    }

    fn forget(&mut self, resource: Arc<Resource>) -> News {
        if let Some(stop) = self.watched.remove(&resource) {
            stop.trigger();
        }
        self.unlisted.remove(&resource);
        (resource, Change::Listed(Vec::new()))
    }

    fn heard(&mut self, resource: &Arc<Resource>, change: &Change) {
        if matches!(change, Change::Listed(_)) {
            self.unlisted.remove(resource);
        }
    }

    fn listed(&self) -> bool {
        self.known && self.unlisted.is_empty()
    }

    async fn end(mut self) {
        self.watched.values().for_each(Shutdown::trigger);
        self.tasks.shutdown().await;
    }
}

fn later(now: Timestamp, delay: Duration) -> Timestamp {
    now.checked_add(delay).unwrap_or(Timestamp::MAX)
}
