//! A watch of etcd: one stream over all keys, taken up again where it broke.
//!
//! It watches all keys, whatever part is asked for: so every revision comes by, and a reader
//! that waits for one needs no progress requests, which old servers answer wrongly. That also
//! shows a gap for what it is.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{WatchOptions, WatchResponse, WatchStream};

use super::convert::{event, revision};
use super::endpoints::Endpoints;
use super::errors::{Fault, Kind, fault};
use super::{CURRENT_KEY, MESSAGE_BYTES};
use crate::{Batch, Event, Revision, StoreError, WatchRequest, WatchSource};

/// Between two tries to begin anew: doubled up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

type Opening = Pin<Box<dyn Future<Output = Result<Open, StoreError>> + Send>>;

/// An open stream; its connection closes with it.
struct Open {
    stream: WatchStream,
    url: String,
}

pub(super) struct EtcdWatch {
    endpoints: Arc<Endpoints>,
    request: WatchRequest,
    open: Option<Open>,
    /// A stream that is being opened: never dropped half-way, or one who asks often would never have it.
    opening: Option<Opening>,
    /// All up to here was put into `buffer`.
    reached: Revision,
    /// The revision that is being put together, while more of it may come.
    pending: Option<(Revision, Vec<Event>)>,
    buffer: VecDeque<Batch>,
    /// Since the last batch.
    failures: u32,
    began: bool,
}

impl fmt::Debug for EtcdWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdWatch")
            .field("request", &self.request)
            .field("reached", &self.reached)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl WatchSource for EtcdWatch {
    async fn next(&mut self) -> Result<Batch, StoreError> {
        loop {
            if let Some(batch) = self.buffer.pop_front() {
                return Ok(batch);
            }
            let Some(open) = &mut self.open else {
                self.reopen().await?;
                continue;
            };
            match open.stream.message().await {
                Ok(Some(response)) => self.take(response)?,
                Ok(None) => self.broke("the stream has ended"),
                Err(error) => match fault(&open.url, error, Kind::Read) {
                    Fault::Answer(error @ StoreError::Refused { .. }) => return Err(error),
                    fault => {
                        let detail = self.endpoints.error(fault).to_string();
                        self.broke(&detail);
                    }
                },
            }
        }
    }
}

impl EtcdWatch {
    pub(super) fn new(endpoints: Arc<Endpoints>, request: WatchRequest) -> Self {
        let reached = request.from.before();
        Self {
            endpoints,
            request,
            open: None,
            opening: None,
            reached,
            pending: None,
            buffer: VecDeque::new(),
            failures: 0,
            began: false,
        }
    }

    fn broke(&mut self, detail: &str) {
        tracing::warn!(reached = self.reached.0, detail, "etcd: the watch broke and is taken up again");
        self.open = None;
        self.pending = None;
        self.endpoints.next();
    }

    /// Waits for a stream behind what was reached. What of it is under way stays so if this is
    /// dropped, and goes on with the next call.
    async fn reopen(&mut self) -> Result<(), StoreError> {
        let opening = self.opening.get_or_insert_with(|| {
            let seen = self.began.then_some(self.reached);
            Box::pin(open(
                Arc::clone(&self.endpoints),
                self.request.clone(),
                self.reached.next(),
                seen,
                self.failures,
            ))
        });
        let opened = opening.await;
        self.opening = None;
        self.failures += 1;
        match opened {
            Ok(open) => self.open = Some(open),
            Err(error @ (StoreError::WentBack { .. } | StoreError::Refused { .. })) => return Err(error),
            Err(error) => {
                let detail = error.to_string();
                if self.failures.is_power_of_two() {
                    tracing::warn!(tries = self.failures, detail, "etcd: the watch cannot be taken up");
                }
                self.endpoints.next();
            }
        }
        Ok(())
    }

    fn take(&mut self, response: WatchResponse) -> Result<(), StoreError> {
        if response.canceled() {
            return self.canceled(&response);
        }
        let fragment = response.0.fragment;
        for event in response.0.events {
            let Some((at, event)) = event_of(event, self.request.previous) else { continue };
            // Some servers send old events to a watch from the future, and again after a restart.
            if at <= self.reached {
                continue;
            }
            if self.pending.as_ref().is_some_and(|(revision, _)| *revision != at) {
                self.complete();
            }
            if at != self.reached.next() && self.began {
                let detail = format!("revision {} is missing in the watch, {at} came", self.reached.next());
                self.broke(&detail);
                return Ok(());
            }
            let pending = self.pending.get_or_insert_with(|| (at, Vec::new()));
            if self.request.keys.contains(&event.key) {
                pending.1.push(event);
            }
        }
        if !fragment {
            self.complete();
        }
        Ok(())
    }

    /// Nothing further comes of the pending revision.
    fn complete(&mut self) {
        let Some((revision, events)) = self.pending.take() else { return };
        (self.reached, self.began, self.failures) = (revision, true, 0);
        // Of revisions that touch nothing here, the last one tells how far the watch is.
        if events.is_empty() && self.buffer.back().is_some_and(|last| last.events.is_empty()) {
            self.buffer.pop_back();
        }
        self.buffer.push_back(Batch { revision, events });
    }

    fn canceled(&mut self, response: &WatchResponse) -> Result<(), StoreError> {
        let compacted = revision(response.compact_revision());
        if compacted > Revision::ZERO {
            return Err(if self.began {
                StoreError::WatchTooSlow { reached: self.reached, compacted }
            } else {
                StoreError::Compacted { asked: self.request.from, at: compacted }
            });
        }
        let detail = format!("etcd ended it: {}", response.cancel_reason());
        self.broke(&detail);
        Ok(())
    }
}

fn event_of(raw: etcd_client::proto::PbEvent, previous: bool) -> Option<(Revision, Event)> {
    event(etcd_client::Event(raw), previous)
}

/// Opens a stream from a revision on, after a pause that grows with the failures before.
async fn open(
    endpoints: Arc<Endpoints>,
    request: WatchRequest,
    from: Revision,
    seen: Option<Revision>,
    failures: u32,
) -> Result<Open, StoreError> {
    if failures > 0 {
        let pause = SHORTEST_PAUSE * 2_u32.saturating_pow(failures.min(10) - 1);
        tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
    }
    if let Some(seen) = seen {
        let current = super::current(&endpoints).await?;
        if current < seen {
            return Err(StoreError::WentBack { at: endpoints.at(), seen, current });
        }
    }
    let (url, client) = endpoints.own_connection().await?;
    let start = from.0.try_into().unwrap_or(i64::MAX);
    let mut options = WatchOptions::new().with_all_keys().with_start_revision(start).with_fragment();
    if request.previous {
        options = options.with_prev_key();
    }
    let mut watch = client.watch_client().max_decoding_message_size(MESSAGE_BYTES);
    let opened = tokio::time::timeout(endpoints.timeout(), watch.watch(CURRENT_KEY, Some(options))).await;
    match opened {
        Ok(Ok(stream)) => Ok(Open { stream, url }),
        Ok(Err(error)) => Err(endpoints.error(fault(&url, error, Kind::Read))),
        Err(_) => {
            let after_ms = endpoints.timeout().as_millis().try_into().unwrap_or(u64::MAX);
            Err(StoreError::TimedOut { at: url, after_ms })
        }
    }
}
