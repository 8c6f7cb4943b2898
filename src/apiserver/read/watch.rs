//! WATCH: a cursor into a shelf's window, written as a stream of events.
//!
//! A watcher holds no queue. It is told that there is something, reads from its cursor what
//! its client takes, and ends where the window has passed it. What it sends is the shelf's
//! own bytes wherever the client wants objects as they are kept.

use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use base::Shutdown;
use bytes::Bytes;
use futures::stream;
use store::Revision;
use tokio::sync::watch;
use tokio::time::Instant;

use super::filter::Filter;
use crate::cache::{Change, Entry, Event, Shelf, Watched};
use crate::exchange::{Exchange, Scope};
use crate::http::accept::Form;
use crate::http::{Body, BodyError, Response};
use crate::limits::Permit;
use crate::options::{At, ListOptions};
use crate::refusal::Result;
use crate::respond;
use crate::server::Server;
use crate::view::View;

/// Bytes after which a piece is sent, though there is more.
const PIECE: usize = 64 * 1024;
/// Events looked at in one go.
const STEP: usize = 256;
/// Between bookmarks.
const BOOKMARK: Duration = Duration::from_secs(60);
/// The last one comes so long before the watch's end: upstream's number.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// A watch without timeoutSeconds lasts this long, and up to as long again: upstream's numbers.
const SHORTEST: Duration = Duration::from_secs(1800);

/// Answers with the stream.
pub async fn watch(server: &Arc<Server>, exchange: &Exchange, scope: &Scope) -> Result<Response> {
    let accepted = exchange.negotiate(true)?;
    if accepted.form != Form::Json {
        return Err(Status::not_acceptable(&["application/json"]).into());
    }
    let view = exchange.view(server, scope, &accepted)?;
    let options = ListOptions::of_watch(&exchange.query)?;
    let info = &exchange.info;
    // The only part of a watched path that names one object is an old form of it.
    let name = if info.parts.len() > 1 { info.name.as_str() } else { "" };
    let (labels, fields) = (options.labels.clone(), options.fields.clone());
    let filter = Filter::new(&scope.kind, &info.namespace, name, labels, fields)?;
    let permit = server.limits.watch(&exchange.user)?;
    let life = options
        .timeout_seconds
        .filter(|seconds| *seconds > 0)
        .map_or_else(|| SHORTEST + SHORTEST.mul_f64(server.fraction()), Duration::from_secs);
    let until = Instant::now() + life;
    let mut watcher = Watcher {
        shelf: Arc::clone(&scope.shelf),
        news: scope.shelf.subscribe(),
        progress: server.cache.progress(),
        cursor: 0,
        filter,
        view,
        initial: Vec::new().into_iter(),
        initial_end: None,
        bookmark_at: options.bookmarks.then(|| next_bookmark(until)),
        until,
        wrote: false,
        seen: Revision::ZERO,
        shutdown: server.shutdown.clone(),
        failure: None,
        _permit: permit,
    };
    if let Err(refusal) = watcher.begin(server, &options).await {
        watcher.failure = Some(refusal.0);
    }
    let pieces = stream::unfold(watcher, |mut watcher| async move {
        let piece = watcher.next().await?;
        Some((Ok::<_, BodyError>(piece), watcher))
    });
    Ok(respond::typed(200, "application/json", Body::stream(pieces)))
}

/// In a minute, but once more shortly before the watch ends: its client goes on from there.
fn next_bookmark(until: Instant) -> Instant {
    let now = Instant::now();
    let last = until.checked_sub(LAST_BOOKMARK).filter(|last| *last > now);
    last.map_or(now + BOOKMARK, |last| last.min(now + BOOKMARK))
}

struct Watcher {
    shelf: Arc<Shelf>,
    news: watch::Receiver<u64>,
    progress: watch::Receiver<Revision>,
    cursor: u64,
    filter: Filter,
    view: View,
    /// What there was, to be told as ADDED.
    initial: std::vec::IntoIter<Arc<Entry>>,
    /// The revision of the bookmark that ends it.
    initial_end: Option<Revision>,
    bookmark_at: Option<Instant>,
    until: Instant,
    wrote: bool,
    /// Revision of the last event that was looked at.
    seen: Revision,
    shutdown: Shutdown,
    failure: Option<Box<Status>>,
    _permit: Permit,
}

impl Watcher {
    /// Finds where it begins. An error here is told as an event: the request itself was right.
    async fn begin(&mut self, server: &Server, options: &ListOptions) -> Result<()> {
        let reached = match options.at {
            At::Latest => server.cache.fresh().await?,
            At::NotOlder(version) if options.initial_events => server.cache.wait_for(version).await?,
            _ => server.cache.reached(),
        };
        match options.at {
            At::NotOlder(version) if !options.initial_events => {
                self.cursor = self.shelf.cursor(version).map_err(|oldest| {
                    Status::expired(format!("too old resource version: {version} ({oldest})"))
                })?;
                self.seen = version;
            }
            _ => {
                let mut snapshot = self.shelf.list(&self.filter.prefix);
                snapshot.entries.retain(|entry| self.filter.covers(&entry.key));
                self.cursor = snapshot.next;
                self.seen = reached.max(snapshot.changed);
                if options.initial_events {
                    self.initial = snapshot.entries.into_iter();
                    self.initial_end = options.bookmarks.then_some(self.seen);
                }
            }
        }
        Ok(())
    }

    /// The next piece of the stream; nothing at its end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(status) = self.failure.take() {
            self.until = Instant::now();
            let mut out = Vec::new();
            error_event(&mut out, &status);
            return Some(out.into());
        }
        loop {
            if let Some(piece) = self.ready()? {
                return Some(piece);
            }
            let bookmark = self.bookmark_at.unwrap_or(self.until);
            tokio::select! {
                biased;
                () = self.shutdown.triggered() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
                changed = self.news.changed() => changed.ok()?,
                () = tokio::time::sleep_until(bookmark) => {
                    self.bookmark_at = Some(next_bookmark(self.until));
                    return Some(self.bookmark());
                }
            }
        }
    }

    /// What can be sent now. The outer nothing: the watch is over.
    fn ready(&mut self) -> Option<Option<Bytes>> {
        let mut out = Vec::new();
        for entry in self.initial.by_ref() {
            if self.filter.shows(&entry) {
                self.view.push_event(&mut out, Change::Added, &entry, !self.wrote);
                self.wrote = true;
            }
            if out.len() >= PIECE {
                return Some(Some(out.into()));
            }
        }
        if let Some(revision) = self.initial_end.take() {
            let object = self.view.bookmark(revision, true);
            self.view.push_framed(&mut out, "BOOKMARK", &object, !self.wrote);
            self.wrote = true;
        }
        loop {
            // What comes from here on is told anew by `news`.
            self.news.mark_unchanged();
            let events = match self.shelf.events(self.cursor, STEP) {
                Watched::Events(events, next) => {
                    self.cursor = next;
                    events
                }
                Watched::TooSlow => return (!out.is_empty()).then(|| Some(out.into())),
            };
            if events.is_empty() {
                return Some((!out.is_empty()).then(|| out.into()));
            }
            if let [event] = &events[..]
                && out.is_empty()
                && let Some(frame) = self.shared(event)
            {
                return Some(Some(frame));
            }
            for event in &events {
                self.push(&mut out, event);
            }
            if out.len() >= PIECE {
                return Some(Some(out.into()));
            }
        }
    }

    /// An event's own bytes, where they are what this client gets.
    fn shared(&mut self, event: &Event) -> Option<Bytes> {
        let change = self.judge(event)?;
        if !self.view.is_plain() || change == Change::Deleted && event.change != Change::Deleted {
            return None;
        }
        self.seen = event.entry.revision;
        self.wrote = true;
        Some(event.entry.frame(change))
    }

    fn push(&mut self, out: &mut Vec<u8>, event: &Event) {
        self.seen = event.entry.revision;
        let Some(change) = self.judge(event) else { return };
        let first = !self.wrote;
        self.wrote = true;
        match &event.previous {
            // It ceased to match: told as it last matched, with the revision of the change.
            Some(previous) if change == Change::Deleted && event.change != Change::Deleted => {
                let last = previous.deleted(event.entry.revision);
                self.view.push_event(out, change, &last, first);
            }
            _ => self.view.push_event(out, change, &event.entry, first),
        }
    }

    /// What an event means to this watcher.
    fn judge(&self, event: &Event) -> Option<Change> {
        if !self.filter.covers(&event.entry.key) {
            return None;
        }
        let now = event.change != Change::Deleted && self.filter.selects(&event.entry);
        let before = event.previous.as_ref().is_some_and(|previous| self.filter.selects(previous));
        match (before, now) {
            (false, true) => Some(Change::Added),
            (true, true) => Some(Change::Modified),
            (true, false) => Some(Change::Deleted),
            (false, false) => None,
        }
    }

    /// A bookmark: all up to its revision was told.
    fn bookmark(&mut self) -> Bytes {
        // The cache's progress counts only if nothing of this shelf is still to be told; the
        // shelf is fed before the progress is made known.
        let reached = *self.progress.borrow();
        let told =
            matches!(self.shelf.events(self.cursor, 1), Watched::Events(events, _) if events.is_empty());
        let revision = if told { self.seen.max(reached) } else { self.seen };
        let mut out = Vec::new();
        let object = self.view.bookmark(revision, false);
        self.view.push_framed(&mut out, "BOOKMARK", &object, !self.wrote);
        self.wrote = true;
        out.into()
    }
}

fn error_event(out: &mut Vec<u8>, status: &Status) {
    out.extend_from_slice(b"{\"type\":\"ERROR\",\"object\":");
    out.extend_from_slice(status.to_value().to_string().as_bytes());
    out.extend_from_slice(b"}\n");
}
