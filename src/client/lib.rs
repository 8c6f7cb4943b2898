//! A client of the API server: what is asked ([`Api`]), how it is said over HTTP
//! ([`http::HttpApi`]), and a reflector that keeps listening to one resource.
//!
//! Controllers use it inside the server's process, agents and the command line over
//! connections. It decides nothing and keeps no objects.

pub mod http;
mod reflector;
mod seam;

pub use reflector::{Change, News, reflect};
pub use seam::{Api, ApiError, Event, List, Place, Propagation, Resource, View, Watched, Write, found};
