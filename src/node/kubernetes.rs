//! Whether the API server answers and whether it calls this Node Ready.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use client::http::Transport as _;
use client::{Connection, Target};
use futures::TryStreamExt as _;
use hyper::Request;
use serde::Serialize;
use serde_json::Value;

use crate::NodeError;

const SERVICE: &str = "the API server";

/// A server that answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerHealth {
    /// Its version, as it tells it.
    pub version: String,
}

/// A Node that is Ready.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadyNode {
    /// Its name.
    pub name: String,
    /// The agent's version.
    pub version: String,
    /// The network of its pods.
    pub pod_cidr: String,
}

impl fmt::Display for ServerHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Kubernetes API is served ({})", self.version)
    }
}

impl fmt::Display for ReadyNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is Ready, its pods are in {} ({})", self.name, self.pod_cidr, self.version)
    }
}

/// Asks the API server whether it is ready, then for its version.
pub async fn server_check(target: &Target, timeout: Duration) -> Result<ServerHealth, NodeError> {
    let ask = Ask::new(target, timeout)?;
    ask.get("/readyz", "be ready").await?;
    let version = ask.json("/version", "tell its version").await?;
    Ok(ServerHealth { version: version["gitVersion"].as_str().unwrap_or_default().to_owned() })
}

/// Asks the API server whether the Node `name` is Ready.
pub async fn ready_check(target: &Target, name: &str, timeout: Duration) -> Result<ReadyNode, NodeError> {
    let ask = Ask::new(target, timeout)?;
    let node = ask.json(&format!("/api/v1/nodes/{name}"), "show this Node").await?;
    let conditions = node["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match ready {
        Some(condition) if condition["status"] == "True" => Ok(ReadyNode {
            name: name.to_owned(),
            version: text(&node["status"]["nodeInfo"]["kubeletVersion"]),
            pod_cidr: text(&node["spec"]["podCIDR"]),
        }),
        Some(condition) => Err(ask.failed("call this Node Ready", text(&condition["message"]))),
        None => Err(ask.failed("call this Node Ready", "its agent has not said how it is".to_owned())),
    }
}

/// Questions to one server.
struct Ask {
    connection: Connection,
    at: String,
    timeout: Duration,
}

impl Ask {
    fn new(target: &Target, timeout: Duration) -> Result<Self, NodeError> {
        let connection =
            Connection::new(target).map_err(|error| NodeError::Tls { detail: error.to_string() })?;
        Ok(Self { connection, at: target.addresses.join(", "), timeout })
    }

    async fn get(&self, path: &str, action: &'static str) -> Result<Bytes, NodeError> {
        let asked = tokio::time::timeout(self.timeout, self.answer(path)).await;
        let late = || NodeError::Timeout { what: SERVICE, at: self.at.clone(), action, after: self.timeout };
        let (status, body) = asked.map_err(|_| late())?.map_err(|detail| NodeError::Unreachable {
            what: SERVICE,
            at: self.at.clone(),
            detail,
        })?;
        if status == 200 {
            return Ok(body);
        }
        Err(self.failed(action, String::from_utf8_lossy(&body).trim().to_owned()))
    }

    async fn json(&self, path: &str, action: &'static str) -> Result<Value, NodeError> {
        let body = self.get(path, action).await?;
        serde_json::from_slice(&body).map_err(|error| self.failed(action, error.to_string()))
    }

    async fn answer(&self, path: &str) -> Result<(u16, Bytes), String> {
        let request = Request::get(path).header("accept", "application/json").body(Bytes::new());
        let answer = self.connection.send(request.map_err(|error| error.to_string())?).await?;
        let body: BytesMut = answer.body.try_collect().await?;
        Ok((answer.status, body.freeze()))
    }

    fn failed(&self, action: &'static str, detail: String) -> NodeError {
        NodeError::Failed { what: SERVICE, at: self.at.clone(), action, detail }
    }
}
