//! SPDY/3.1: many streams over one connection, each with headers.
//!
//! What remains of it in the field is Kubernetes' use: kubectl's port-forward and the
//! streaming servers of container runtimes. [`Connection`] is one side of a connection;
//! [`frame`] is what goes over the wire; [`headers`] compresses header blocks.
//!
//! Upstream's library ignores window updates and never sends them; so does this side, and
//! whoever reads slowly is held up by TCP.

mod connection;
mod dictionary;
pub mod frame;
pub mod headers;
#[cfg(test)]
mod tests;

pub use connection::{Connection, Event, Role};
pub use frame::{Frame, StreamId};
pub use headers::Headers;

/// Why a connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpdyError {
    /// Another version than 3.
    #[error("a frame of SPDY version {0}; only version 3 is spoken")]
    Version(u16),
    /// A frame that is longer than frames may be.
    #[error("a frame of {length} bytes, more than the {limit} that are read")]
    TooLong {
        /// Its length.
        length: usize,
        /// What is read at most.
        limit: usize,
    },
    /// A frame that is not as its type says.
    #[error("a {kind} frame with a wrong length or content: {detail}")]
    Malformed {
        /// Its type.
        kind: &'static str,
        /// What is wrong.
        detail: &'static str,
    },
    /// Headers that do not decompress, or to too much.
    #[error("a header block that cannot be read: {0}")]
    Headers(&'static str),
    /// A stream that nobody opened, or that was opened before.
    #[error("stream {0} is opened twice, out of order or by the wrong side")]
    Stream(u32),
    /// More streams than are kept at a time.
    #[error("more than {0} streams are open")]
    TooManyStreams(usize),
}
