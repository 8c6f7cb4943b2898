//! Remote commands over websockets: one binary message is a channel's number and bytes
//! (upstream's `v4.channel.k8s.io` and `v5.channel.k8s.io`).

use bytes::{BufMut as _, Bytes, BytesMut};

/// Subprotocols, best first. Only the fifth can say that standard input has ended.
pub const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

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

impl Message {
    /// Reads a binary message.
    pub fn read(mut message: Bytes) -> Result<Self, ChannelError> {
        match message.first() {
            None => Err(ChannelError::Empty),
            Some(&CLOSE) if message.len() == 2 => Ok(Self::Close(Channel::of(message[1])?)),
            Some(&CLOSE) => Err(ChannelError::Close(message.len() - 1)),
            Some(&number) => {
                let channel = Channel::of(number)?;
                Ok(Self::Data(channel, message.split_off(1)))
            }
        }
    }

    /// Writes a binary message.
    #[must_use]
    pub fn write(&self) -> Bytes {
        match self {
            Self::Close(channel) => Bytes::copy_from_slice(&[CLOSE, channel.number()]),
            Self::Data(channel, bytes) => {
                let mut message = BytesMut::with_capacity(bytes.len() + 1);
                message.put_u8(channel.number());
                message.put_slice(bytes);
                message.freeze()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were_written() {
        for channel in Channel::ALL {
            for message in [Message::Data(channel, Bytes::from_static(b"hi")), Message::Close(channel)] {
                assert_eq!(Message::read(message.write()), Ok(message));
            }
            assert_eq!(Channel::of_stream_type(channel.stream_type()), Some(channel));
        }
    }

    #[test]
    fn what_is_no_message_says_why() {
        let cases: [(&'static [u8], ChannelError); 4] = [
            (b"", ChannelError::Empty),
            (b"\x05x", ChannelError::Unknown(5)),
            (b"\xff", ChannelError::Close(0)),
            (b"\xff\x09", ChannelError::Unknown(9)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Message::read(Bytes::from_static(bytes)), Err(expected));
        }
    }
}
