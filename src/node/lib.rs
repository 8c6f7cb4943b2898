//! What the binary does on a node: checks it, and hands artifacts from node to node.
//!
//! Owns the checks of etcd, containerd and the API server, the facts of a machine, and the artifact
//! server with its client. It knows neither AWS nor SSH, resolves no names (addresses
//! come from the caller), and prints nothing: results are typed, [`Report`] carries
//! them as JSON or text.

mod artifact_client;
mod artifact_server;
#[cfg(test)]
mod artifact_tests;
mod artifact_tls;
#[cfg(test)]
mod check_tests;
mod containerd;
mod digest;
mod error;
mod etcd;
mod facts;
mod kubernetes;
mod report;

pub use artifact_client::{Fetch, fetch_artifact};
pub use artifact_server::{ArtifactServer, serve_artifacts};
pub use artifact_tls::TlsFiles;
pub use containerd::{Condition, ContainerdHealth, containerd_check};
pub use digest::Digest;
pub use error::NodeError;
pub use etcd::{EtcdHealth, EtcdMember, etcd_check};
pub use facts::{Facts, facts};
pub use kubernetes::{ReadyNode, ServerHealth, ready_check, server_check};
pub use report::{Check, Report};
