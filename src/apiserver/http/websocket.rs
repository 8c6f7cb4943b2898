//! Websockets: the server's side of the handshake (RFC 6455) and the choice of a subprotocol.
//!
//! Framing is the library's. Messages are bounded, and written as they are made: whoever reads
//! slowly holds up the one who writes, not this server's memory.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::StatusCode;
use hyper::header::{
    AsHeaderName, CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};

use super::{Body, Response};

/// Longest message that is taken; kubectl's have 32 KiB.
const MESSAGE: usize = 4 * 1024 * 1024;
/// What is read and written at a time.
const BUFFER: usize = 32 * 1024;
/// What a key is answered with: RFC 6455's own.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    key: String,
    /// Subprotocols, the client's favourite first.
    protocols: Vec<String>,
}

/// The words of a list in a header, however it is spread.
pub fn words(headers: &HeaderMap, name: impl AsHeaderName) -> Vec<String> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let words = values.flat_map(|value| value.split(',')).map(str::trim);
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Whether a connection is to become something else: what, in lower case.
#[must_use]
pub fn upgrade(headers: &HeaderMap) -> Option<String> {
    let asked = words(headers, CONNECTION).iter().any(|word| word.eq_ignore_ascii_case("upgrade"));
    asked.then(|| words(headers, UPGRADE).join(",").to_ascii_lowercase()).filter(|what| !what.is_empty())
}

impl Offer {
    /// The offer of a request, if it is one for a websocket. What is wrong with it is an error.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, &'static str> {
        if upgrade(headers).as_deref() != Some("websocket") {
            return Ok(None);
        }
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if text(SEC_WEBSOCKET_VERSION) != Some("13") {
            return Err("websockets are spoken in version 13");
        }
        let key = text(SEC_WEBSOCKET_KEY).ok_or("the websocket's key is missing")?.to_owned();
        Ok(Some(Self { key, protocols: words(headers, SEC_WEBSOCKET_PROTOCOL) }))
    }

    /// The first subprotocol of the client's that is known; the one without a name is for
    /// clients that name none.
    #[must_use]
    pub fn choose<T: Copy>(&self, known: &[T], name: impl Fn(T) -> &'static str) -> Option<T> {
        let find = |wanted: &str| known.iter().copied().find(|one| name(*one) == wanted);
        if self.protocols.is_empty() {
            return find("");
        }
        self.protocols.iter().find_map(|wanted| find(wanted))
    }

    /// The answer that begins the websocket.
    #[must_use]
    pub fn accept(&self, protocol: &'static str) -> Response {
        let digest = ring::digest::digest(
            &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
            format!("{}{MAGIC}", self.key).as_bytes(),
        );
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(value) = HeaderValue::from_str(&STANDARD.encode(digest)) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, value);
        }
        if !protocol.is_empty() {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        response
    }
}

/// The server's end of a websocket.
pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await
}

/// A message of bytes, sent as text where the subprotocol wants it.
#[must_use]
pub fn message(text: bool, bytes: Bytes) -> Message {
    if text && let Ok(text) = Utf8Bytes::try_from(bytes.clone()) {
        return Message::Text(text);
    }
    Message::Binary(bytes)
}

/// The last message. Clients take an end without a code for a failure.
#[must_use]
pub fn end() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() }))
}

/// The bytes of a message; none of one that is for the websocket itself.
#[must_use]
pub fn payload(message: Message) -> Option<Bytes> {
    match message {
        Message::Binary(bytes) => Some(bytes),
        Message::Text(text) => Some(text.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_handshake_is_answered_as_the_rfcs_own_example_is() {
        let asked = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "chat, superchat"),
        ]);
        let offer = Offer::of(&asked).expect("well formed").expect("an offer");
        assert_eq!(offer.choose(&["superchat", "chat"], |name| name), Some("chat"));
        assert_eq!(offer.choose(&["", "other"], |name| name), None);
        let answer = offer.accept("chat");
        assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    }

    #[test]
    fn what_is_no_handshake_is_told_from_a_bad_one() {
        let cases = [
            (headers(&[]), Ok(None)),
            (headers(&[("upgrade", "websocket")]), Ok(None)),
            (headers(&[("connection", "upgrade"), ("upgrade", "SPDY/3.1")]), Ok(None)),
            (
                headers(&[("connection", "upgrade"), ("upgrade", "WebSocket")]),
                Err("websockets are spoken in version 13"),
            ),
            (
                headers(&[
                    ("connection", "upgrade"),
                    ("upgrade", "websocket"),
                    ("sec-websocket-version", "13"),
                ]),
                Err("the websocket's key is missing"),
            ),
        ];
        for (asked, expected) in cases {
            assert_eq!(Offer::of(&asked), expected, "{asked:?}");
        }
    }
}
