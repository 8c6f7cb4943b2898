//! HTTP: connections and TLS at the front, bodies, what a client accepts, compression.
//!
//! Knows nothing of objects. A request comes in as [`Request`] with its [`Peer`] among the
//! extensions, whether over the network or from this process.

pub mod accept;
pub mod body;
pub mod gzip;
pub mod query;
pub mod serve;
pub mod tls;
pub mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;

pub use body::{Body, BodyError, RequestBody};
pub use query::Query;

/// A request from anywhere.
pub type Request = hyper::Request<RequestBody>;
/// An answer.
pub type Response = hyper::Response<Body>;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Its address; none inside this process.
    pub address: Option<SocketAddr>,
    /// The client certificate that TLS verified, DER.
    pub certificate: Option<Arc<[u8]>>,
    /// Whether it showed one of an authority that is not believed, or one out of its time.
    pub strange_certificate: bool,
}
