//! The stream protocols that exec, attach and port-forward speak, without I/O: bytes come
//! in, events and bytes come out.
//!
//! [`spdy`] is SPDY/3.1 as kubectl's port-forward and container runtimes speak it;
//! [`channel`] is the remote-command protocol over websockets. Sockets, and what the streams
//! are for, are whoever uses it's.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod channel;
pub mod spdy;
