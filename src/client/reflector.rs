//! Keeps telling one resource's state: a list, then changes, then again a list when the
//! watch can no longer be gone on with.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Shutdown, chain};
use futures::StreamExt;
use serde_json::Value;
use tokio::sync::mpsc::Sender;

use crate::{Api, ApiError, Event, Resource, Selection, View};

/// Upstream's reflector back-off.
const FIRST_DELAY: Duration = Duration::from_millis(800);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// A watch that ends sooner, without an event, did not work.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// News of one resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// All objects there are: what is not among them is gone.
    Listed(Vec<Value>),
    /// Added or modified.
    Put(Value),
    /// Deleted: as it last was.
    Gone(Value),
}

/// Which resource, and what happened.
pub type News = (Arc<Resource>, Change);

/// Lists what is selected of a resource, then follows it, until stopped or until nobody listens.
pub async fn reflect(
    api: Arc<dyn Api>,
    resource: Arc<Resource>,
    which: Selection,
    view: View,
    news: Sender<News>,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) {
    let mut delay = FIRST_DELAY;
    while !shutdown.is_triggered() && !news.is_closed() {
        let began = clock.now();
        match shutdown.race(follow(&*api, &resource, &which, view, &news, &*clock)).await {
            None | Some(Ok(())) => return,
            // The past is gone: list again.
            Some(Err(error)) if error.is_expired() => {}
            Some(Err(error)) => {
                tracing::warn!(%resource, error = %chain(&error), "cannot list or watch; trying again");
            }
        }
        if clock.now().duration_since(began).unsigned_abs() > LONGEST_DELAY {
            delay = FIRST_DELAY;
        }
        shutdown.race(clock.sleep(delay)).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

/// Ends well only when nobody listens any more.
async fn follow(
    api: &dyn Api,
    resource: &Arc<Resource>,
    which: &Selection,
    view: View,
    news: &Sender<News>,
    clock: &dyn Clock,
) -> Result<(), ApiError> {
    let list = api.list(resource, which, view).await?;
    let mut version = list.resource_version;
    if tell(news, resource, Change::Listed(list.items)).await.is_err() {
        return Ok(());
    }
    loop {
        let began = clock.now();
        let mut events = api.watch(resource, which, &version, view).await?;
        let mut seen = false;
        while let Some(event) = events.next().await {
            seen = true;
            let (object, change): (_, fn(Value) -> Change) = match event? {
                Event::Put(object) => (object, Change::Put),
                Event::Gone(object) => (object, Change::Gone),
                Event::Reached(now) => {
                    version = now;
                    continue;
                }
            };
            if let Some(now) = object["metadata"]["resourceVersion"].as_str() {
                now.clone_into(&mut version);
            }
            if tell(news, resource, change(object)).await.is_err() {
                return Ok(());
            }
        }
        // Watches end by their timeout and are gone on with; one that ends at once is an error.
        if !seen && clock.now().duration_since(began).unsigned_abs() < SHORT_WATCH {
            return Err(ApiError::Unreachable("the watch ended at once, without an event".to_owned()));
        }
    }
}

async fn tell(news: &Sender<News>, resource: &Arc<Resource>, change: Change) -> Result<(), ()> {
    news.send((Arc::clone(resource), change)).await.map_err(|_| ())
}
