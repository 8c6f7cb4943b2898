//! One SPDY connection to an agent, which both directions of a websocket use beside each other.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use streams::spdy::{Connection, Event, Headers, Role, SpdyError, StreamId};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, WriteHalf};
use tokio::sync::Notify;

/// A stream to be opened.
pub(super) struct Planned<K> {
    /// What it is known as.
    pub(super) name: K,
    /// What the agent is told of it.
    pub(super) headers: Headers,
    /// Whether the agent sends on it.
    pub(super) hears: bool,
    /// Whether this side does.
    pub(super) speaks: bool,
}

/// The connection. `K` names its streams.
pub(super) struct Line<F, K> {
    state: Mutex<State<K>>,
    writer: tokio::sync::Mutex<WriteHalf<F>>,
    /// Something is to be said that nobody waits for.
    due: Notify,
    /// The agent has taken all streams.
    accepted: Notify,
}

struct State<K> {
    connection: Connection,
    names: BTreeMap<StreamId, K>,
    speaking: BTreeMap<K, StreamId>,
    /// Not yet accepted.
    waiting: BTreeSet<StreamId>,
    /// Streams that the agent may still send on, of those that it sends on at all.
    talking: BTreeSet<StreamId>,
}

impl<F: AsyncRead + AsyncWrite + Unpin, K: Copy + Ord> Line<F, K> {
    /// Opens streams, which are said once [`Line::answer`] runs.
    pub(super) fn open(
        writer: WriteHalf<F>,
        streams: impl IntoIterator<Item = Planned<K>>,
    ) -> Result<Self, SpdyError> {
        let mut state = State {
            connection: Connection::new(Role::Client),
            names: BTreeMap::new(),
            speaking: BTreeMap::new(),
            waiting: BTreeSet::new(),
            talking: BTreeSet::new(),
        };
        for stream in streams {
            let id = state.connection.open(stream.headers, false)?;
            state.names.insert(id, stream.name);
            state.waiting.insert(id);
            if stream.hears {
                state.talking.insert(id);
            }
            if stream.speaks {
                state.speaking.insert(stream.name, id);
            }
        }
        let due = Notify::new();
        due.notify_one();
        let writer = tokio::sync::Mutex::new(writer);
        Ok(Self { state: Mutex::new(state), writer, due, accepted: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether more may come from the agent.
    pub(super) fn talks(&self) -> bool {
        !self.state().talking.is_empty()
    }

    /// Completes once the agent has taken all streams; one waits for it at most.
    pub(super) async fn accepted(&self) {
        self.accepted.notified().await;
    }

    /// What bytes from the agent mean: bytes of a stream, or its end.
    pub(super) fn receive(&self, bytes: &[u8]) -> Result<Vec<(K, Option<Bytes>)>, SpdyError> {
        let mut state = self.state();
        let events = state.connection.receive(bytes)?;
        let mut said = Vec::new();
        for event in events {
            let (id, bytes) = match event {
                Event::Accepted(id, _) => {
                    if state.waiting.remove(&id) && state.waiting.is_empty() {
                        self.accepted.notify_one();
                    }
                    continue;
                }
                Event::Opened(id, _) => {
                    state.connection.reset(id)?;
                    continue;
                }
                Event::GoAway => continue,
                Event::Data(id, bytes) => (id, Some(bytes)),
                Event::Finished(id) | Event::Reset(id, _) => (id, None),
            };
            if bytes.is_none() {
                state.talking.remove(&id);
            }
            said.extend(state.names.get(&id).map(|name| (*name, bytes)));
        }
        drop(state);
        self.due.notify_one();
        Ok(said)
    }

    /// Says something on a stream that this side speaks on, and waits until it is on its way.
    pub(super) async fn send(&self, name: K, bytes: &Bytes, fin: bool) -> io::Result<()> {
        {
            let mut state = self.state();
            if let Some(id) = state.speaking.get(&name).copied() {
                state.connection.send(id, bytes, fin).map_err(io::Error::other)?;
            }
        }
        self.flush().await
    }

    async fn flush(&self) -> io::Result<()> {
        let mut writer = self.writer.lock().await;
        let bytes = self.state().connection.output();
        writer.write_all(&bytes).await?;
        writer.flush().await
    }

    /// Sends the connection's own answers. That it fails is for whoever reads to see: what was
    /// said before is told.
    pub(super) async fn answer(&self) {
        loop {
            self.due.notified().await;
            if let Err(error) = self.flush().await {
                tracing::debug!(%error, "nothing more can be said to the agent");
            }
        }
    }
}
