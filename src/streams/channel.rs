//! Remote commands over websockets: one message is a channel's number and bytes, or, in the
//! dialects for clients that know text alone, a digit and base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};

/// A subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Its name in the handshake; empty where the client named none.
    pub name: &'static str,
    /// Whether messages are text.
    pub base64: bool,
    /// Whether a channel can be closed: how a client says that standard input has ended.
    closes: bool,
    /// Whether the error channel carries a Status, and not only the words of a failure.
    pub status: bool,
}

const fn dialect(name: &'static str, base64: bool, closes: bool, status: bool) -> Dialect {
    Dialect { name, base64, closes, status }
}

/// All subprotocols that are spoken.
pub const DIALECTS: [Dialect; 6] = [
    dialect("v5.channel.k8s.io", false, true, true),
    dialect("v4.channel.k8s.io", false, false, true),
    dialect("v4.base64.channel.k8s.io", true, false, true),
    dialect("channel.k8s.io", false, false, false),
    dialect("base64.channel.k8s.io", true, false, false),
    dialect("", false, false, false),
];

/// The number that closes a channel, which is named by the one byte behind it.
const CLOSE: u8 = 255;

/// One of the streams of a remote command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Channel {
    /// Standard input, from the client.
    Stdin,
    /// Standard output, to the client.
    Stdout,
    /// Standard error, to the client.
    Stderr,
    /// A metav1.Status at the end, to the client: how the command ended.
    Error,
    /// JSON `{"Width":…,"Height":…}` of the terminal, from the client.
    Resize,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Bytes of a channel.
    Data(Channel, Bytes),
    /// A channel has ended.
    Close(Channel),
}

/// Why a message is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// It has no first byte.
    #[error("the message is empty: its first byte names the channel")]
    Empty,
    /// There is no such channel.
    #[error("channel {0} is unknown: there are 0 (stdin) to 4 (resize)")]
    Unknown(u8),
    /// A close without the one byte that says of what.
    #[error("a close (channel 255) is followed by {0} bytes, not by the one that names a channel")]
    Close(usize),
    /// Text that is not base64.
    #[error("the message is not base64 behind its first digit")]
    Base64,
}

impl Channel {
    const ALL: [Self; 5] = [Self::Stdin, Self::Stdout, Self::Stderr, Self::Error, Self::Resize];

    /// Its number in messages.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::Error => 3,
            Self::Resize => 4,
        }
    }

    /// The name in SPDY's `streamType` header.
    #[must_use]
    pub fn stream_type(self) -> &'static str {
        match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Error => "error",
            Self::Resize => "resize",
        }
    }

    /// The channel of SPDY's `streamType` header.
    #[must_use]
    pub fn of_stream_type(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.stream_type() == name)
    }

    fn of(number: u8) -> Result<Self, ChannelError> {
        Self::ALL.get(usize::from(number)).copied().ok_or(ChannelError::Unknown(number))
    }
}

/// The number and the bytes of a message, whatever the number means.
pub fn split(dialect: Dialect, mut message: Bytes) -> Result<(u8, Bytes), ChannelError> {
    let Some(&first) = message.first() else { return Err(ChannelError::Empty) };
    if dialect.base64 {
        let bytes = STANDARD.decode(&message[1..]).map_err(|_| ChannelError::Base64)?;
        return Ok((first.wrapping_sub(b'0'), bytes.into()));
    }
    Ok((first, message.split_off(1)))
}

/// A message of a number and bytes.
#[must_use]
pub fn join(dialect: Dialect, number: u8, bytes: &[u8]) -> Bytes {
    if dialect.base64 {
        let mut text = char::from(b'0'.wrapping_add(number)).to_string();
        STANDARD.encode_string(bytes, &mut text);
        return text.into();
    }
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.put_u8(number);
    message.put_slice(bytes);
    message.freeze()
}

impl Message {
    /// Reads a message of a dialect.
    pub fn read(dialect: Dialect, message: Bytes) -> Result<Self, ChannelError> {
        match split(dialect, message)? {
            (CLOSE, bytes) if dialect.closes => match bytes[..] {
                [channel] => Ok(Self::Close(Channel::of(channel)?)),
                _ => Err(ChannelError::Close(bytes.len())),
            },
            (number, bytes) => Ok(Self::Data(Channel::of(number)?, bytes)),
        }
    }

    /// Writes a message of a dialect.
    #[must_use]
    pub fn write(&self, dialect: Dialect) -> Bytes {
        match self {
            Self::Close(channel) => join(dialect, CLOSE, &[channel.number()]),
            Self::Data(channel, bytes) => join(dialect, channel.number(), bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were_written() {
        for dialect in DIALECTS {
            for channel in Channel::ALL {
                let data = Message::Data(channel, Bytes::from_static(b"hi"));
                assert_eq!(Message::read(dialect, data.write(dialect)), Ok(data));
                assert_eq!(Channel::of_stream_type(channel.stream_type()), Some(channel));
            }
        }
        let close = Message::Close(Channel::Stdin);
        assert_eq!(Message::read(DIALECTS[0], close.write(DIALECTS[0])), Ok(close));
        assert_eq!(Message::Data(Channel::Stdout, Bytes::from_static(b"hi")).write(DIALECTS[2]), "1aGk=");
    }

    #[test]
    fn what_is_no_message_says_why() {
        let [fifth, fourth, text, ..] = DIALECTS;
        let cases: [(Dialect, &'static [u8], ChannelError); 6] = [
            (fifth, b"", ChannelError::Empty),
            (fifth, b"\x05x", ChannelError::Unknown(5)),
            (fifth, b"\xff", ChannelError::Close(0)),
            (fifth, b"\xff\x09", ChannelError::Unknown(9)),
            (fourth, b"\xff\x00", ChannelError::Unknown(255)),
            (text, b"0?", ChannelError::Base64),
        ];
        for (dialect, bytes, expected) in cases {
            assert_eq!(Message::read(dialect, Bytes::from_static(bytes)), Err(expected));
        }
    }
}
