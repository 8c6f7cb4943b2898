//! exec and attach over a websocket: channels of messages on the client's side, SPDY streams on
//! the agent's.
//!
//! Both directions run beside each other and hold at most one piece each: output that nobody
//! reads does not keep input from arriving, nor the other way round.

use api::status::Status;
use bytes::{Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use streams::channel::{Channel, Dialect, Message};
use streams::spdy::Headers;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadHalf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::line::{Line, Planned};
use super::tunnel::farewell;
use crate::http::websocket;

/// What is read at a time.
const PIECE: usize = 32 * 1024;
/// Longest Status of a command's end.
const STATUS: usize = 64 * 1024;

/// Which channels a request asks for, as upstream opens them: with a terminal there is no
/// standard error, and sizes.
pub(super) fn channels(asked: impl Fn(&str) -> bool) -> Vec<Channel> {
    let tty = asked("tty");
    let all = [
        (Channel::Error, true),
        (Channel::Stdin, asked("stdin")),
        (Channel::Stdout, asked("stdout")),
        (Channel::Stderr, asked("stderr") && !tty),
        (Channel::Resize, tty),
    ];
    all.into_iter().filter(|(_, wanted)| *wanted).map(|(channel, _)| channel).collect()
}

/// Joins a websocket with the SPDY connection of an agent until the command has ended or a side
/// is gone.
pub(super) async fn translate<N, F>(near: N, far: F, dialect: Dialect, channels: &[Channel])
where
    N: AsyncRead + AsyncWrite + Unpin + Send,
    F: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sink, mut stream) = websocket::open(near).await.split();
    let (reader, writer) = tokio::io::split(far);
    let planned = channels.iter().map(|channel| Planned {
        name: *channel,
        headers: Headers::new().with("streamType", channel.stream_type()),
        hears: matches!(channel, Channel::Error | Channel::Stdout | Channel::Stderr),
        speaks: matches!(channel, Channel::Stdin | Channel::Resize),
    });
    let line = match Line::open(writer, planned) {
        Ok(line) => line,
        Err(error) => return tracing::warn!(%error, "a command's streams could not be opened"),
    };
    // The client hears that the connection stands by an empty message on its first channel.
    let first = [Channel::Stdout, Channel::Stderr].into_iter().find(|one| channels.contains(one));
    let greeting = Message::Data(first.unwrap_or(Channel::Error), Bytes::new());
    let Ok(()) = say(&mut sink, dialect, &greeting).await else { return };
    let outcome = tokio::select! {
        outcome = output(&line, reader, &mut sink, dialect) => outcome,
        () = input(&line, &mut stream, dialect) => return,
        () = line.answer() => return,
    };
    let Ok(status) = outcome else { return };
    if let Some(end) = ending(dialect, &status) {
        let _ = say(&mut sink, dialect, &Message::Data(Channel::Error, end)).await;
    }
    let _ = sink.send(websocket::end()).await;
    farewell(&mut stream).await;
}

/// What the error channel says at the end.
fn ending(dialect: Dialect, status: &[u8]) -> Option<Bytes> {
    let value: Value = serde_json::from_slice(status).unwrap_or_default();
    if dialect.status {
        let success = || Bytes::from(Status::default().to_value().to_string());
        return Some(if status.is_empty() { success() } else { Bytes::copy_from_slice(status) });
    }
    let failed = !status.is_empty() && value["status"] != "Success";
    let message =
        || value["message"].as_str().map_or(Bytes::copy_from_slice(status), |m| m.to_owned().into());
    failed.then(message)
}

async fn say<N: AsyncRead + AsyncWrite + Unpin>(
    sink: &mut SplitSink<WebSocketStream<N>, Frame>,
    dialect: Dialect,
    message: &Message,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    sink.send(websocket::message(dialect.base64, message.write(dialect))).await
}

/// The client is gone.
struct Gone;

/// Carries output to the client until all of it was told; gives the Status that it ended with.
async fn output<N, F>(
    line: &Line<F, Channel>,
    mut reader: ReadHalf<F>,
    sink: &mut SplitSink<WebSocketStream<N>, Frame>,
    dialect: Dialect,
) -> Result<Vec<u8>, Gone>
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    let mut status = Vec::new();
    let mut told = false;
    let mut buffer = BytesMut::with_capacity(PIECE);
    while line.talks() {
        buffer.clear();
        if !matches!(reader.read_buf(&mut buffer).await, Ok(length) if length > 0) {
            break;
        }
        let Ok(events) = line.receive(&buffer) else { break };
        for (channel, bytes) in events {
            match (channel, bytes) {
                (Channel::Error, None) => told = true,
                (Channel::Error, Some(bytes)) => {
                    let room = STATUS.saturating_sub(status.len()).min(bytes.len());
                    status.extend_from_slice(&bytes[..room]);
                }
                (_, None) => {}
                (channel, Some(bytes)) => {
                    say(sink, dialect, &Message::Data(channel, bytes)).await.map_err(|_| Gone)?;
                }
            }
        }
    }
    if !told && status.is_empty() {
        let lost = Status::internal("the connection to the node ended before the command had");
        status = lost.to_value().to_string().into_bytes();
    }
    Ok(status)
}

/// Carries the client's input to the agent until the client is gone.
async fn input<N, F>(line: &Line<F, Channel>, stream: &mut SplitStream<WebSocketStream<N>>, dialect: Dialect)
where
    N: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    line.accepted().await;
    while let Some(Ok(frame)) = stream.next().await {
        let Some(message) = websocket::payload(frame) else { continue };
        let (channel, bytes, fin) = match Message::read(dialect, message) {
            Ok(Message::Data(channel, bytes)) => (channel, bytes, false),
            Ok(Message::Close(channel)) => (channel, Bytes::new(), true),
            Err(error) => {
                tracing::debug!(%error, "a message of a command's client is passed over");
                continue;
            }
        };
        // What a command that has ended does not read is nobody's; its output still comes.
        if line.send(channel, &bytes, fin).await.is_err() {
            tracing::debug!("input is not taken any more");
        }
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
