//! A client of the API server: what is asked ([`Api`]), how it is said over HTTP
//! ([`http::HttpApi`]), and a reflector that keeps listening to one resource.
//!
//! Controllers use it inside the server's process, agents and the command line over
//! connections. It decides nothing and keeps no objects.

mod ask;
mod connection;
pub mod http;
pub mod kubeconfig;
mod reflector;
mod seam;
pub mod tls;

pub use ask::{Question, Reply};
pub use connection::{Connection, Target};
pub use reflector::{Change, News, reflect};
pub use seam::{
    Api, ApiError, Event, List, Place, Propagation, Resource, Selection, View, Watched, Write, found,
};
