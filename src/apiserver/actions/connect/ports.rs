//! Port-forward over a websocket that carries channels and no SPDY: the form of clients that
//! have none. Each port has a channel of data and one of errors, which both begin with its number.

use bytes::BytesMut;
use futures::{SinkExt as _, StreamExt as _};
use streams::channel::{self, Dialect};
use streams::spdy::Headers;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use super::line::{Line, Planned};
use super::tunnel::farewell;
use crate::http::websocket;

/// What is read at a time.
const PIECE: usize = 32 * 1024;
/// Ports of one websocket: their channels are numbered by a byte.
pub(super) const PORTS: usize = 100;

/// The streams of some ports, by the numbers of their channels.
fn planned(ports: &[u16]) -> Vec<Planned<u8>> {
    let all = ports.iter().zip(0_u8..).flat_map(|(port, index)| {
        let stream = |kind: &str, name: u8, speaks: bool| {
            let headers = Headers::new().with("streamType", kind).with("port", &port.to_string());
            let headers = headers.with("requestID", &index.to_string());
            Planned { name, headers, hears: true, speaks }
        };
        [stream("error", 2 * index + 1, false), stream("data", 2 * index, true)]
    });
    all.collect()
}

/// Joins a websocket with the SPDY connection of an agent until either ends.
pub(super) async fn translate<N, F>(near: N, far: F, dialect: Dialect, ports: &[u16])
where
    N: AsyncRead + AsyncWrite + Unpin + Send,
    F: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut sink, mut stream) = websocket::open(near).await.split();
    let (mut reader, writer) = tokio::io::split(far);
    let Ok(line) = Line::open(writer, planned(ports)) else { return };
    let output = async {
        for (port, index) in ports.iter().zip(0_u8..) {
            for number in [2 * index, 2 * index + 1] {
                let begin = channel::join(dialect, number, &port.to_le_bytes());
                sink.send(websocket::message(dialect.base64, begin)).await.ok()?;
            }
        }
        let mut buffer = BytesMut::with_capacity(PIECE);
        while line.talks() {
            buffer.clear();
            if reader.read_buf(&mut buffer).await.ok()? == 0 {
                break;
            }
            for (number, bytes) in line.receive(&buffer).ok()? {
                let Some(bytes) = bytes else { continue };
                let message = channel::join(dialect, number, &bytes);
                sink.send(websocket::message(dialect.base64, message)).await.ok()?;
            }
        }
        sink.send(websocket::end()).await.ok()
    };
    let input = async {
        line.accepted().await;
        while let Some(Ok(frame)) = stream.next().await {
            let Some(message) = websocket::payload(frame) else { continue };
            let Ok((number, bytes)) = channel::split(dialect, message) else { continue };
            if let Err(error) = line.send(number, &bytes, false).await {
                tracing::debug!(%error, "a port takes no more");
            }
        }
    };
    tokio::select! {
        _ = output => {}
        () = input => return,
        () = line.answer() => return,
    }
    farewell(&mut stream).await;
}

/// The ports of a request, each of which may name several.
pub(super) fn read<'a>(given: impl Iterator<Item = &'a str>) -> Option<Vec<u16>> {
    let all: Option<Vec<u16>> = given.flat_map(|some| some.split(',')).map(|one| one.parse().ok()).collect();
    all.filter(|all| !all.is_empty() && all.len() <= PORTS && !all.contains(&0))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use streams::channel::DIALECTS;
    use streams::spdy::{Connection, Event, Role};
    use tokio::io::AsyncWriteExt as _;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::Role as Side;

    use super::*;

    #[test]
    fn ports_are_given_one_by_one_or_together() {
        let cases = [
            (vec!["80", "443"], Some(vec![80, 443])),
            (vec!["80,443"], Some(vec![80, 443])),
            (vec!["0"], None),
            (vec!["http"], None),
            (vec![], None),
        ];
        for (given, expected) in cases {
            assert_eq!(read(given.iter().copied()), expected, "{given:?}");
        }
    }

    #[tokio::test]
    async fn each_port_has_its_channels_and_they_begin_with_its_number() {
        let (near, client) = tokio::io::duplex(4096);
        let (far, mut agent) = tokio::io::duplex(4096);
        let run = tokio::spawn(async move { translate(near, far, DIALECTS[1], &[80, 443]).await });
        let mut client = WebSocketStream::from_raw_socket(client, Side::Client, None).await;
        client.send(Message::Binary(Bytes::from_static(b"\x02ping"))).await.unwrap();
        let script = async {
            let mut connection = Connection::new(Role::Server);
            let mut buffer = vec![0; 4096];
            loop {
                let length = agent.read(&mut buffer).await.unwrap();
                for event in connection.receive(&buffer[..length]).unwrap() {
                    match event {
                        Event::Opened(id, _) => connection.accept(id, Headers::new(), false).unwrap(),
                        Event::Data(id, bytes) => {
                            connection.send(id, &bytes, false).unwrap();
                            agent.write_all(&connection.output()).await.unwrap();
                            return;
                        }
                        _ => {}
                    }
                }
                agent.write_all(&connection.output()).await.unwrap();
            }
        };
        let hear = async {
            let mut all = Vec::new();
            while let Some(Ok(frame)) = client.next().await {
                all.extend(websocket::payload(frame));
                if all.len() == 5 {
                    break;
                }
            }
            all
        };
        let ((), said) = tokio::join!(script, hear);
        assert_eq!(said, [&b"\0\x50\0"[..], b"\x01\x50\0", b"\x02\xbb\x01", b"\x03\xbb\x01", b"\x02ping"]);
        drop(client);
        run.await.unwrap();
    }
}
