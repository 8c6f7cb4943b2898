//! Two sides talking, bytes that upstream's library wrote, and bytes that nobody should write.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn pair() -> (Connection, Connection) {
    (Connection::new(Role::Client), Connection::new(Role::Server))
}

/// What `to` hears of what `from` has to say.
fn carry(from: &mut Connection, to: &mut Connection) -> Vec<Event> {
    let bytes = from.output();
    to.receive(&bytes).unwrap()
}

#[test]
fn a_command_with_input_output_and_an_end() {
    let (mut client, mut server) = pair();
    let stdin = client.open(Headers::new().with("streamType", "stdin"), false).unwrap();
    client.send(stdin, &Bytes::from_static(b"ls"), true).unwrap();
    let events = carry(&mut client, &mut server);
    let [Event::Opened(id, headers), Event::Data(_, data), Event::Finished(_)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!((headers.get("StreamType"), &data[..]), (Some("stdin"), &b"ls"[..]));
    server.accept(*id, Headers::new(), false).unwrap();
    server.send(*id, &Bytes::from_static(b"file"), true).unwrap();
    let events = carry(&mut server, &mut client);
    let expected = [
        Event::Accepted(stdin, Headers::new()),
        Event::Data(stdin, Bytes::from_static(b"file")),
        Event::Finished(stdin),
    ];
    assert_eq!(events, expected);
    assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
}

#[test]
fn large_data_goes_in_pieces_and_nothing_follows_the_end() {
    let (mut client, mut server) = pair();
    let id = client.open(Headers::new(), false).unwrap();
    client.send(id, &Bytes::from(vec![7; 100_000]), true).unwrap();
    client.send(id, &Bytes::from_static(b"late"), false).unwrap();
    let events = carry(&mut client, &mut server);
    let sizes: Vec<_> = events
        .iter()
        .filter_map(|event| if let Event::Data(_, d) = event { Some(d.len()) } else { None })
        .collect();
    assert_eq!(sizes, [32_768, 32_768, 32_768, 1_696]);
    assert_eq!(events.last(), Some(&Event::Finished(id)));
}

#[test]
fn pings_are_answered_once() {
    let (mut client, mut server) = pair();
    let mut bytes = bytes::BytesMut::new();
    frame::Writer::default().write(&Frame::Ping(1), &mut bytes).unwrap();
    assert!(server.receive(&bytes).unwrap().is_empty());
    let answer = server.output();
    assert_eq!(answer, bytes);
    assert!(client.receive(&answer).unwrap().is_empty());
    assert!(client.output().is_empty());
}

#[test]
fn a_reset_ends_both_directions_and_what_was_under_way_is_dropped() {
    let (mut client, mut server) = pair();
    let id = client.open(Headers::new(), false).unwrap();
    carry(&mut client, &mut server);
    server.reset(id).unwrap();
    client.send(id, &Bytes::from_static(b"under way"), false).unwrap();
    assert!(carry(&mut client, &mut server).is_empty());
    assert_eq!(carry(&mut server, &mut client), [Event::Reset(id, 5)]);
    assert_eq!(client.open_streams(), 0);
}

#[test]
fn streams_are_bounded_and_opened_in_order_by_their_side() {
    let (mut client, mut server) = pair();
    for _ in 0..1024 {
        client.open(Headers::new(), false).unwrap();
    }
    assert_eq!(client.open(Headers::new(), false), Err(SpdyError::TooManyStreams(1024)));
    carry(&mut client, &mut server);
    let mut bytes = bytes::BytesMut::new();
    let again = Frame::SynStream { id: StreamId(1), headers: Headers::new(), fin: false };
    frame::Writer::default().write(&again, &mut bytes).unwrap();
    assert_eq!(Connection::new(Role::Client).receive(&bytes), Err(SpdyError::Stream(1)));
}

/// Written by upstream's library: a SYN_STREAM with `streamType: error`, one with
/// `streamtype: data, port: 80`, a data frame with its end, a ping.
const UPSTREAM: &str = include_str!("upstream.hex");

#[test]
fn what_upstreams_library_writes_is_understood() {
    let bytes = unhex(UPSTREAM);
    let mut server = Connection::new(Role::Server);
    // Cut anywhere.
    let events: Vec<_> = bytes.chunks(7).flat_map(|piece| server.receive(piece).unwrap()).collect();
    let headers = |pairs: &[(&str, &str)]| pairs.iter().fold(Headers::new(), |all, (n, v)| all.with(n, v));
    let expected = [
        Event::Opened(StreamId(1), headers(&[("streamtype", "error")])),
        Event::Finished(StreamId(1)),
        Event::Opened(StreamId(3), headers(&[("streamtype", "data"), ("port", "80"), ("requestid", "0")])),
        Event::Data(StreamId(3), Bytes::from_static(b"GET / HTTP/1.0\r\n\r\n")),
        Event::Finished(StreamId(3)),
    ];
    assert_eq!(events, expected);
    assert!(!server.output().is_empty(), "the ping is answered");
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

#[test]
fn a_header_block_that_grows_without_end_is_refused() {
    let mut bytes = bytes::BytesMut::new();
    let headers = Headers::new().with("x", &"y".repeat(200_000));
    frame::Writer::default()
        .write(&Frame::SynStream { id: StreamId(1), headers, fin: false }, &mut bytes)
        .unwrap();
    assert!(bytes.len() < 4096, "it compresses well: {}", bytes.len());
    let result = Connection::new(Role::Server).receive(&bytes);
    assert_eq!(result, Err(SpdyError::Headers("it is larger than 64 KiB")));
}

#[test]
fn a_frame_longer_than_is_read_is_refused_before_it_is_kept() {
    let head = [0, 0, 0, 1, 0, 0xff, 0xff, 0xff];
    let result = Connection::new(Role::Server).receive(&head);
    assert_eq!(result, Err(SpdyError::TooLong { length: 0x00ff_ffff, limit: frame::FRAME_BYTES }));
}

fn headers() -> impl Strategy<Value = Headers> {
    proptest::collection::btree_map("[a-z]{1,8}", "[a-zA-Z0-9 ]{0,20}", 0..5)
        .prop_map(|all| all.iter().fold(Headers::new(), |headers, (name, value)| headers.with(name, value)))
}

fn frames() -> impl Strategy<Value = Frame> {
    let id = (1_u32..1000).prop_map(StreamId);
    prop_oneof![
        (id.clone(), headers(), any::<bool>()).prop_map(|(id, headers, fin)| Frame::SynStream {
            id,
            headers,
            fin
        }),
        (id.clone(), headers(), any::<bool>()).prop_map(|(id, headers, fin)| Frame::SynReply {
            id,
            headers,
            fin
        }),
        (id.clone(), headers(), any::<bool>()).prop_map(|(id, headers, fin)| Frame::Headers {
            id,
            headers,
            fin
        }),
        (id.clone(), any::<u32>()).prop_map(|(id, status)| Frame::Reset { id, status }),
        (id.clone(), any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
        any::<u32>().prop_map(Frame::Ping),
        (id, proptest::collection::vec(any::<u8>(), 0..100), any::<bool>())
            .prop_map(|(id, bytes, fin)| Frame::Data { id, bytes: bytes.into(), fin }),
    ]
}

proptest! {
    #[test]
    fn frames_come_back_as_they_were_written(all in proptest::collection::vec(frames(), 0..20), cut in 1_usize..50) {
        let (mut writer, mut reader, mut bytes) = (frame::Writer::default(), frame::Reader::default(), bytes::BytesMut::new());
        for frame in &all {
            writer.write(frame, &mut bytes).unwrap();
        }
        let mut read = Vec::new();
        for piece in bytes.chunks(cut) {
            reader.feed(piece);
            while let Some(frame) = reader.read().unwrap() {
                read.push(frame);
            }
        }
        prop_assert_eq!(read, all);
    }

    #[test]
    fn no_bytes_bring_a_connection_down(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut server = Connection::new(Role::Server);
        let _ = server.receive(&bytes);
        // As a control frame with a header block, so that decompression is reached.
        let mut framed = vec![0x80, 3, 0, 1, 0, 0, 0, 10];
        framed[5..8].copy_from_slice(&u32::try_from(bytes.len() + 10).unwrap().to_be_bytes()[1..]);
        framed.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        framed.extend(&bytes);
        let _ = Connection::new(Role::Server).receive(&framed);
    }
}
