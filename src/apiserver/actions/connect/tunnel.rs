//! Connections that became something else: joined with what is behind them, counted, and ended
//! when either side ends, nothing passes for [`IDLE`], or the server stops.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use api::status::Status;
use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, Stream, StreamExt as _};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::exchange::Exchange;
use crate::http::{BodyError, websocket};
use crate::limits::Permit;
use crate::refusal::{Refusal, Result};
use crate::server::Server;

/// After so long without a byte: upstream's number.
const IDLE: Duration = Duration::from_secs(4 * 60 * 60);
/// What is copied at a time.
const PIECE: usize = 32 * 1024;
/// For the other side of a websocket to say that it has understood its end.
const FAREWELL: Duration = Duration::from_secs(5);

/// The client's connection, once its request is answered.
pub(super) type Near = TokioIo<Upgraded>;
/// The connection to what is behind the server.
pub(super) type Far = Watched<TokioIo<Upgraded>>;

/// The client's side of an upgrade.
pub(super) fn near(exchange: &Exchange) -> Result<OnUpgrade> {
    let near = exchange.extensions.get::<OnUpgrade>().cloned();
    near.ok_or_else(|| Refusal::from(Status::bad_request("this connection cannot be upgraded")))
}

/// Runs `work` on both connections once they are there, as long as the server lets it.
pub(super) fn run<W: Future<Output = ()> + Send>(
    server: &Server,
    permit: Permit,
    near: OnUpgrade,
    mut there: hyper::Response<Incoming>,
    work: impl FnOnce(Near, Far) -> W + Send + 'static,
) {
    let far = hyper::upgrade::on(&mut there);
    spawn(server, permit, async move {
        let (Ok(near), Ok(far)) = tokio::join!(near, far) else { return };
        let (far, last) = Watched::new(TokioIo::new(far));
        tokio::select! {
            () = work(TokioIo::new(near), far) => {}
            () = idle(&last, IDLE) => tracing::debug!("a tunnel was idle for too long"),
        }
    });
}

/// Runs what lasts longer than its request, counted, until the server stops.
pub(super) fn spawn(server: &Server, permit: Permit, work: impl Future<Output = ()> + Send + 'static) {
    let shutdown = server.shutdown.clone();
    tokio::spawn(async move {
        shutdown.race(work).await;
        drop(permit);
    });
}

/// Copies both ways until both sides have ended.
pub(super) async fn join(mut near: Near, mut far: Far) {
    if let Err(error) = tokio::io::copy_bidirectional(&mut near, &mut far).await {
        tracing::debug!(%error, "a tunnel ended");
    }
}

/// Carries bytes in the messages of a websocket: a port-forward's SPDY.
pub(super) async fn carry<N, F>(near: N, far: F)
where
    N: AsyncRead + AsyncWrite + Unpin + Send,
    F: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sink, mut stream) = websocket::open(near).await.split();
    let (mut reader, mut writer) = tokio::io::split(far);
    let out = async {
        let mut buffer = BytesMut::with_capacity(PIECE);
        while reader.read_buf(&mut buffer).await.is_ok_and(|length| length > 0) {
            let bytes = buffer.split().freeze();
            if sink.send(websocket::message(false, bytes)).await.is_err() {
                break;
            }
            buffer.reserve(PIECE);
        }
        let _ = sink.send(websocket::end()).await;
    };
    let back = async {
        while let Some(Ok(message)) = stream.next().await {
            let Some(bytes) = websocket::payload(message) else { continue };
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
    };
    tokio::select! { () = out => {}, () = back => {} }
}

/// A body cut into its lines.
pub(super) fn lines(
    body: impl Stream<Item = std::result::Result<hyper::body::Frame<Bytes>, BodyError>> + Unpin + Send,
) -> impl Stream<Item = std::result::Result<Bytes, BodyError>> + Send {
    futures::stream::unfold((body, BytesMut::new()), |(mut body, mut held)| async move {
        loop {
            if let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line = held.split_to(end + 1).freeze();
                return Some((Ok(line), (body, held)));
            }
            match body.next().await? {
                Ok(frame) => held.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(error) => return Some((Err(error), (body, held))),
            }
        }
    })
}

/// Tells a body in messages: a log, or a watch, over a websocket.
pub(super) async fn tell<N: AsyncRead + AsyncWrite + Unpin>(
    near: WebSocketStream<N>,
    mut body: impl Stream<Item = std::result::Result<Bytes, BodyError>> + Unpin,
    write: impl Fn(Bytes) -> Message,
) {
    let (mut sink, mut stream) = near.split();
    let told = async {
        while let Some(Ok(bytes)) = body.next().await {
            if !bytes.is_empty() && sink.send(write(bytes)).await.is_err() {
                return;
            }
        }
        let _ = sink.send(websocket::end()).await;
    };
    let left = async { while let Some(Ok(_)) = stream.next().await {} };
    tokio::select! { () = told => {}, () = left => return }
    farewell(&mut stream).await;
}

/// Waits for the other side to end a websocket too, so that it reads what was said last.
pub(super) async fn farewell<T>(stream: &mut (impl Stream<Item = T> + Unpin)) {
    let _ = tokio::time::timeout(FAREWELL, async { while stream.next().await.is_some() {} }).await;
}

/// When something passed last.
type Last = Arc<Mutex<Instant>>;

/// Completes when nothing has passed for so long.
async fn idle(last: &Last, limit: Duration) {
    loop {
        let due = *last.lock().unwrap_or_else(PoisonError::into_inner) + limit;
        if due <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(due).await;
    }
}

/// A connection that notes when something passes.
pub(super) struct Watched<T> {
    inner: T,
    last: Last,
}

impl<T> Watched<T> {
    fn new(inner: T) -> (Self, Last) {
        let last = Arc::new(Mutex::new(Instant::now()));
        (Self { inner, last: Arc::clone(&last) }, last)
    }

    fn note(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        self.note();
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        self.note();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_cut_into_lines_wherever_its_pieces_end() {
        let pieces =
            ["a\nb", "", "c\n\nd\n", "half"].map(|text| Ok(hyper::body::Frame::data(Bytes::from(text))));
        let lines: Vec<Bytes> =
            lines(futures::stream::iter(pieces)).map(|line| line.expect("whole")).collect().await;
        assert_eq!(lines, ["a\n", "bc\n", "\n", "d\n"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_is_idle_when_nothing_passed_for_long_enough() {
        let (far, mut other) = tokio::io::duplex(64);
        let (mut far, last) = Watched::new(far);
        let began = Instant::now();
        let busy = async {
            tokio::time::sleep(IDLE / 2).await;
            far.write_all(b"x").await.expect("room");
            other.read_u8().await.expect("a byte");
            std::future::pending::<()>().await;
        };
        tokio::select! { () = busy => {}, () = idle(&last, IDLE) => {} }
        assert_eq!(began.elapsed(), IDLE + IDLE / 2);
    }
}
