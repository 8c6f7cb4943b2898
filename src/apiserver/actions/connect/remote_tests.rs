//! A scripted agent and a scripted client on both sides of the translation.

use std::collections::BTreeMap;

use streams::channel::DIALECTS;
use streams::spdy::{Connection, Event, Role, StreamId};
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio_tungstenite::tungstenite::protocol::Role as Side;

use super::*;

/// Room of a connection: far less than what is sent.
const ROOM: usize = 8 * 1024;

type Client = WebSocketStream<DuplexStream>;

/// An agent's side: what it heard, and what it says.
struct Agent {
    stream: DuplexStream,
    connection: Connection,
    ids: BTreeMap<Channel, StreamId>,
}

impl Agent {
    /// What comes next, with all streams accepted.
    async fn hear(&mut self) -> Vec<Event> {
        let mut buffer = vec![0; PIECE];
        let length = self.stream.read(&mut buffer).await.unwrap();
        let events =
            if length == 0 { Vec::new() } else { self.connection.receive(&buffer[..length]).unwrap() };
        for event in &events {
            if let Event::Opened(id, headers) = event {
                let channel = Channel::of_stream_type(headers.get("streamType").unwrap()).unwrap();
                self.ids.insert(channel, *id);
                self.connection.accept(*id, Headers::new(), false).unwrap();
            }
        }
        self.flush().await;
        events
    }

    async fn flush(&mut self) {
        let bytes = self.connection.output();
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn say(&mut self, channel: Channel, bytes: &[u8], fin: bool) {
        self.connection.send(self.ids[&channel], &Bytes::copy_from_slice(bytes), fin).unwrap();
        self.flush().await;
    }

    /// Waits until all streams are open.
    async fn opened(&mut self, count: usize) {
        while self.ids.len() < count {
            self.hear().await;
        }
    }
}

async fn begin(dialect: Dialect, channels: Vec<Channel>) -> (Client, Agent, tokio::task::JoinHandle<()>) {
    let (near, client) = tokio::io::duplex(ROOM);
    let (far, agent) = tokio::io::duplex(ROOM);
    let run = tokio::spawn(async move { translate(near, far, dialect, &channels).await });
    let client = WebSocketStream::from_raw_socket(client, Side::Client, None).await;
    let agent = Agent { stream: agent, connection: Connection::new(Role::Server), ids: BTreeMap::new() };
    (client, agent, run)
}

/// All that the client hears until the websocket ends.
async fn heard(client: &mut Client) -> Vec<Bytes> {
    let mut all = Vec::new();
    while let Some(Ok(frame)) = client.next().await {
        if frame.is_close() {
            assert_eq!(frame, websocket::end(), "an end without a code is a failure to clients");
        }
        all.extend(websocket::payload(frame));
    }
    all
}

const FAILED: &[u8] =
    br#"{"status":"Failure","message":"command terminated with exit code 3","reason":"NonZeroExitCode"}"#;

#[tokio::test]
async fn a_command_hears_its_input_with_its_end_and_its_exit_code_comes_back() {
    let channels = channels(|name| name != "tty");
    let (mut client, mut agent, run) = begin(DIALECTS[0], channels).await;
    for message in [&b"\0hello"[..], b"\xff\0"] {
        client.send(Frame::Binary(Bytes::from_static(message))).await.unwrap();
    }
    let script = async {
        agent.opened(4).await;
        let mut input = Vec::new();
        loop {
            let events = agent.hear().await;
            input.extend(
                events.iter().filter_map(|e| if let Event::Data(_, b) = e { Some(b.clone()) } else { None }),
            );
            if events.iter().any(|event| matches!(event, Event::Finished(_))) {
                break;
            }
        }
        agent.say(Channel::Stdout, b"out", true).await;
        agent.say(Channel::Stderr, b"err", true).await;
        agent.say(Channel::Error, FAILED, true).await;
        input.concat()
    };
    let (input, said) = tokio::join!(script, heard(&mut client));
    run.await.unwrap();
    let status = [b"\x03", FAILED].concat();
    assert_eq!(input, b"hello");
    assert_eq!(said, [&b"\x01"[..], b"\x01out", b"\x02err", &status]);
}

#[tokio::test]
async fn much_flows_both_ways_at_once_through_little_room() {
    const PIECES: usize = 512;
    let (client, mut agent, run) =
        begin(DIALECTS[0], channels(|name| name != "tty" && name != "stderr")).await;
    let (mut sink, mut stream) = client.split();
    // The agent answers every byte of input, and waits until the answer is taken.
    let script = async {
        agent.opened(3).await;
        let mut count = 0;
        while count < PIECES * PIECE {
            for event in agent.hear().await {
                if let Event::Data(_, bytes) = event {
                    count += bytes.len();
                    agent.say(Channel::Stdout, &bytes, false).await;
                }
            }
        }
        agent.say(Channel::Stdout, b"", true).await;
        agent.say(Channel::Error, b"", true).await;
    };
    let send = async {
        let message = Bytes::from([&b"\0"[..], &[7; PIECE]].concat());
        for _ in 0..PIECES {
            sink.send(Frame::Binary(message.clone())).await.unwrap();
        }
    };
    let hear = async {
        let (mut count, mut status) = (0, Vec::new());
        while let Some(Ok(frame)) = stream.next().await {
            match websocket::payload(frame) {
                Some(bytes) if bytes[0] == 1 => count += bytes.len() - 1,
                Some(bytes) => status = bytes.to_vec(),
                None => {}
            }
        }
        (count, status)
    };
    let ((), (), (count, status)) = tokio::join!(script, send, hear);
    run.await.unwrap();
    assert_eq!(count, PIECES * PIECE);
    assert!(String::from_utf8_lossy(&status).contains("Success"), "{status:?}");
}

#[tokio::test]
async fn an_agent_that_goes_away_is_told_and_a_client_that_does_ends_the_tunnel() {
    let (mut client, mut agent, run) = begin(DIALECTS[0], channels(|name| name == "stdout")).await;
    agent.opened(2).await;
    drop(agent);
    let said = heard(&mut client).await;
    run.await.unwrap();
    assert!(String::from_utf8_lossy(&said[1]).contains("ended before the command had"), "{said:?}");

    let (client, mut agent, run) = begin(DIALECTS[0], channels(|name| name == "stdout")).await;
    agent.opened(2).await;
    drop(client);
    run.await.unwrap();
}

#[test]
fn each_dialect_tells_the_end_in_its_way() {
    let [fifth, fourth, text, first, ..] = DIALECTS;
    let success = br#"{"metadata":{},"status":"Success"}"#;
    let words = &b"command terminated with exit code 3"[..];
    let success = &success[..];
    let cases = [
        (fifth, success, Some(success)),
        (fourth, FAILED, Some(FAILED)),
        (text, FAILED, Some(FAILED)),
        (first, success, None),
        (first, &b""[..], None),
        (first, FAILED, Some(words)),
    ];
    for (dialect, status, expected) in cases {
        assert_eq!(ending(dialect, status).as_deref(), expected, "{}", dialect.name);
    }
}

#[test]
fn a_terminal_has_sizes_and_no_standard_error() {
    let (error, input, output) = (Channel::Error, Channel::Stdin, Channel::Stdout);
    assert_eq!(channels(|_| true), [error, input, output, Channel::Resize]);
    assert_eq!(channels(|name| name == "stderr"), [error, Channel::Stderr]);
}
