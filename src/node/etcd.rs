//! Whether etcd serves: each endpoint by itself, then a write through the cluster.
//!
//! Owns the probe key `/cluster/probe` (written, read back and removed) and the order
//! of the questions: TLS first, so that an answer says which side distrusts which, then
//! status, alarms, and the write that only a cluster with a leader takes.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{
    AlarmAction, AlarmMember, AlarmType, Certificate, Client, ConnectOptions, DeleteOptions, GetOptions,
    Identity, TlsOptions,
};
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{NodeError, TlsFiles};

const SERVICE: &str = "etcd";

const PROBE: &str = "/cluster/probe";

/// What an etcd cluster said of itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdHealth {
    /// Each endpoint asked, in the order given.
    pub members: Vec<EtcdMember>,
    /// Time for writing, reading back and removing a key, in milliseconds.
    pub round_trip_ms: f64,
}

/// One endpoint's answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdMember {
    /// Where it was asked.
    pub address: SocketAddr,
    /// Its id, hexadecimal as etcdctl prints it.
    pub id: String,
    /// Version of the server.
    pub version: String,
    /// Whether it leads.
    pub leader: bool,
    /// Size of its database, in bytes.
    pub database_bytes: i64,
}

impl fmt::Display for EtcdHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, leader) = (self.members.len(), self.members.iter().find(|member| member.leader));
        write!(f, "etcd serves on {count} of {count} members")?;
        if let Some(leader) = leader {
            write!(f, ", {} leads (etcd {})", leader.address, leader.version)?;
        }
        write!(f, ", a write takes {:.1} ms", self.round_trip_ms)
    }
}

/// Asks every endpoint for its status and the cluster for a write, each within `timeout`.
///
/// Endpoints are addresses that the servers' certificates carry. The first failure is the
/// answer; a raised alarm is one, since etcd then refuses writes.
pub async fn etcd_check(
    endpoints: &[SocketAddr],
    tls: &TlsFiles,
    timeout: Duration,
) -> Result<EtcdHealth, NodeError> {
    let mut members = Vec::with_capacity(endpoints.len());
    for address in endpoints {
        let ask = Ask { at: address.to_string(), timeout };
        ask.within("shake hands", greet(*address, tls)).await??;
        let mut client = ask.client(&[*address], tls).await?;
        members.push(ask.status(*address, &mut client).await?);
    }
    let all = endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let ask = Ask { at: all, timeout };
    let mut client = ask.client(endpoints, tls).await?;
    ask.alarms(&mut client).await?;
    let round_trip_ms = ask.write(&mut client).await?.as_secs_f64() * 1000.0;
    Ok(EtcdHealth { members, round_trip_ms })
}

/// Connects once by hand, since the etcd client keeps the reason of a failure to itself.
async fn greet(address: SocketAddr, tls: &TlsFiles) -> Result<(), NodeError> {
    let connector = TlsConnector::from(Arc::new(tls.client(b"h2")?));
    let socket = TcpStream::connect(address).await.map_err(|error| NodeError::Unreachable {
        what: SERVICE,
        at: address.to_string(),
        detail: error.to_string(),
    })?;
    let untrusted = |error: std::io::Error| NodeError::Untrusted {
        what: SERVICE,
        at: address.to_string(),
        detail: error.to_string(),
    };
    let name = ServerName::IpAddress(address.ip().into());
    let mut stream = connector.connect(name, socket).await.map_err(untrusted)?;
    // In TLS 1.3 a server judges our certificate after we are done: its first byte,
    // an HTTP/2 greeting, says that it accepted.
    let mut greeting = [0_u8; 1];
    stream.read_exact(&mut greeting).await.map_err(untrusted)?;
    Ok(())
}

/// Questions to one address (or several), each with its time.
struct Ask {
    at: String,
    timeout: Duration,
}

impl Ask {
    async fn client(&self, endpoints: &[SocketAddr], tls: &TlsFiles) -> Result<Client, NodeError> {
        let urls: Vec<String> = endpoints.iter().map(|address| format!("https://{address}")).collect();
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(&tls.ca_pem))
            .identity(Identity::from_pem(&tls.cert_pem, &tls.key_pem));
        let options = ConnectOptions::new().with_tls(tls).with_connect_timeout(self.timeout);
        self.etcd("connect", Client::connect(urls, Some(options))).await
    }

    async fn status(&self, address: SocketAddr, client: &mut Client) -> Result<EtcdMember, NodeError> {
        let status = self.etcd("tell its status", client.status()).await?;
        // Alarms are among these; `alarms` says more about them.
        if let Some(error) = status.errors().iter().find(|error| !error.starts_with("alarm:")) {
            return Err(self.failed("work", error.clone()));
        }
        if status.leader() == 0 {
            return Err(self.failed("work", "its cluster has no leader".to_owned()));
        }
        let id = status.header().map_or(0, etcd_client::ResponseHeader::member_id);
        Ok(EtcdMember {
            address,
            id: format!("{id:x}"),
            version: status.version().to_owned(),
            leader: id == status.leader(),
            database_bytes: status.db_size(),
        })
    }

    async fn alarms(&self, client: &mut Client) -> Result<(), NodeError> {
        let asking = client.alarm(AlarmAction::Get, AlarmType::None, None);
        let answer = self.etcd("list its alarms", asking).await?;
        let raised: Vec<String> = answer.alarms().iter().map(alarm).collect();
        if raised.is_empty() {
            return Ok(());
        }
        let detail = format!(
            "{}. See its log; `etcdctl alarm disarm` ends an alarm once its cause is gone",
            raised.join(", ")
        );
        Err(self.failed("be free of alarms", detail))
    }

    /// Writes the probe key, reads it back, removes it; gives the time this took.
    async fn write(&self, client: &mut Client) -> Result<Duration, NodeError> {
        let started = Instant::now();
        let value = std::process::id().to_string();
        let put = self.etcd("take a write", client.put(PROBE, value, None)).await?;
        let written = put.header().map_or(0, etcd_client::ResponseHeader::revision);
        let got = self.etcd("answer a read", client.get(PROBE, None::<GetOptions>)).await?;
        // Another node's probe may have come between, but never an older state.
        let read = got.header().map_or(0, etcd_client::ResponseHeader::revision);
        if written == 0 || read < written {
            let detail = format!("it answered from revision {read} after a write at {written}");
            return Err(self.failed("answer a read", detail));
        }
        self.etcd("take a delete", client.delete(PROBE, None::<DeleteOptions>)).await?;
        Ok(started.elapsed())
    }

    async fn etcd<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = Result<T, etcd_client::Error>>,
    ) -> Result<T, NodeError> {
        let result = self.within(action, call).await?;
        result.map_err(|error| {
            let detail = match &error {
                etcd_client::Error::GRpcStatus(status) => base::chain(status),
                other => other.to_string(),
            };
            self.failed(action, detail)
        })
    }

    async fn within<T>(&self, action: &'static str, work: impl Future<Output = T>) -> Result<T, NodeError> {
        tokio::time::timeout(self.timeout, work).await.map_err(|_| NodeError::Timeout {
            what: SERVICE,
            at: self.at.clone(),
            action,
            after: self.timeout,
        })
    }

    fn failed(&self, action: &'static str, detail: String) -> NodeError {
        NodeError::Failed { what: SERVICE, at: self.at.clone(), action, detail }
    }
}

fn alarm(alarm: &AlarmMember) -> String {
    let kind = match alarm.alarm() {
        AlarmType::None => "NONE",
        AlarmType::Nospace => "NOSPACE (its database is full)",
        AlarmType::Corrupt => "CORRUPT (members disagree)",
    };
    format!("{kind} on member {:x}", alarm.member_id())
}
