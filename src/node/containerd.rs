//! Whether containerd serves containers: two calls of the Container Runtime Interface.
//!
//! Owns the few messages of `runtime.v1.RuntimeService` that the question needs. A
//! network that is not ready is reported, not refused: the pod network comes later.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::UnixStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::NodeError;

const SERVICE: &str = "containerd";

/// What containerd said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerdHealth {
    /// The runtime's name, `containerd`.
    pub runtime: String,
    /// Its version, with a `v` where its build has one.
    pub version: String,
    /// Version of the interface, `v1`.
    pub api_version: String,
    /// What the runtime says of its parts: `RuntimeReady`, `NetworkReady`.
    pub conditions: Vec<Condition>,
}

/// A part of the runtime, and whether it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its name.
    pub kind: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Why not, in one word.
    pub reason: String,
    /// Why not, in words.
    pub message: String,
}

impl ContainerdHealth {
    /// Whether a pod network is there already.
    pub fn network_ready(&self) -> bool {
        self.conditions.iter().any(|condition| condition.kind == "NetworkReady" && condition.ready)
    }
}

impl fmt::Display for ContainerdHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} is ready", self.runtime, self.version)?;
        if !self.network_ready() {
            write!(f, ", its pod network is not (yet)")?;
        }
        Ok(())
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionRequest {
    #[prost(string, tag = "1")]
    version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionResponse {
    #[prost(string, tag = "2")]
    runtime_name: String,
    #[prost(string, tag = "3")]
    runtime_version: String,
    #[prost(string, tag = "4")]
    runtime_api_version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusRequest {
    #[prost(bool, tag = "1")]
    verbose: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<RuntimeStatus>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RuntimeStatus {
    #[prost(message, repeated, tag = "1")]
    conditions: Vec<RuntimeCondition>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RuntimeCondition {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(bool, tag = "2")]
    status: bool,
    #[prost(string, tag = "3")]
    reason: String,
    #[prost(string, tag = "4")]
    message: String,
}

/// Asks containerd on `socket` for its version and status, both within `timeout`.
pub async fn containerd_check(socket: &Path, timeout: Duration) -> Result<ContainerdHealth, NodeError> {
    let ask = Ask { socket };
    let work = async {
        let mut runtime = Grpc::new(ask.connect().await?);
        let version: VersionResponse =
            ask.call(&mut runtime, "Version", VersionRequest { version: "v1".to_owned() }).await?;
        let status: StatusResponse =
            ask.call(&mut runtime, "Status", StatusRequest { verbose: false }).await?;
        ask.health(version, status)
    };
    tokio::time::timeout(timeout, work).await.map_err(|_| NodeError::Timeout {
        what: SERVICE,
        at: ask.at(),
        action: "answer",
        after: timeout,
    })?
}

struct Ask<'a> {
    socket: &'a Path,
}

impl Ask<'_> {
    fn at(&self) -> String {
        self.socket.display().to_string()
    }

    async fn connect(&self) -> Result<Channel, NodeError> {
        let path: PathBuf = self.socket.to_owned();
        // The name is for the protocol's form only; the connection is the socket's.
        let endpoint = Endpoint::from_static("http://containerd");
        let connector = service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector(connector).await.map_err(|error| NodeError::Unreachable {
            what: SERVICE,
            at: self.at(),
            detail: base::chain(&error),
        })
    }

    async fn call<Q, A>(
        &self,
        runtime: &mut Grpc<Channel>,
        method: &'static str,
        question: Q,
    ) -> Result<A, NodeError>
    where
        Q: prost::Message + Send + 'static,
        A: prost::Message + Default + Send + 'static,
    {
        let failed = |detail| NodeError::Failed { what: SERVICE, at: self.at(), action: "answer", detail };
        runtime.ready().await.map_err(|error| failed(base::chain(&error)))?;
        let path = PathAndQuery::try_from(format!("/runtime.v1.RuntimeService/{method}"))
            .map_err(|error| failed(error.to_string()))?;
        let codec = ProstCodec::<Q, A>::default();
        let answer = runtime.unary(tonic::Request::new(question), path, codec).await;
        answer.map(tonic::Response::into_inner).map_err(|status| failed(base::chain(&status)))
    }

    fn health(
        &self,
        version: VersionResponse,
        status: StatusResponse,
    ) -> Result<ContainerdHealth, NodeError> {
        let conditions: Vec<Condition> = status
            .status
            .unwrap_or_default()
            .conditions
            .into_iter()
            .map(|condition| Condition {
                kind: condition.kind,
                ready: condition.status,
                reason: condition.reason,
                message: condition.message,
            })
            .collect();
        let runtime = conditions.iter().find(|condition| condition.kind == "RuntimeReady");
        let trouble = match runtime {
            Some(condition) if condition.ready => None,
            Some(condition) => Some(format!("{}: {}", condition.reason, condition.message)),
            None => Some("it does not say whether it is ready".to_owned()),
        };
        if let Some(detail) = trouble {
            return Err(NodeError::Failed { what: SERVICE, at: self.at(), action: "be ready", detail });
        }
        Ok(ContainerdHealth {
            runtime: version.runtime_name,
            version: version.runtime_version,
            api_version: version.runtime_api_version,
            conditions,
        })
    }
}
