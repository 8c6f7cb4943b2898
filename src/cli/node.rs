//! `cluster node …`: what nodes run themselves. Paths are those that bootstrap writes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use base::{Clock as _, Shutdown, SystemClock};
use client::tls::Credentials;
use node::{ArtifactServer, Report, TlsFiles};

use super::arguments::{Format, Node, Part};
use super::{interrupt, output};

const AGENT: &str = "/etc/cluster/agent.yaml";
const PKI: &str = "/etc/cluster/pki";
const CONTAINERD: &str = "/run/containerd/containerd.sock";
const ARTIFACTS: &str = "/var/lib/cluster/artifacts";
const NODES: &str = "system:nodes";
const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);

/// Runs a node's command.
pub(crate) async fn run(command: &Node) -> anyhow::Result<ExitCode> {
    match command {
        Node::Check { part, wait, output } => check(*part, *wait, output.output).await,
        Node::Artifacts { listen } => artifacts(*listen).await,
    }
}

async fn check(part: Option<Part>, wait: u64, format: Format) -> anyhow::Result<ExitCode> {
    let clock = SystemClock;
    let began = clock.now();
    let report = loop {
        let report = look(part).await?;
        let waited = clock.now().duration_since(began).unsigned_abs();
        if report.ok || waited >= Duration::from_secs(wait) {
            break report;
        }
        clock.sleep(PAUSE).await;
    };
    match format {
        Format::Json => output::print(&format!("{}\n", report.json()))?,
        // A caller that sees only the failing command's standard error must see why.
        Format::Text if report.ok => output::print(&report.to_string())?,
        Format::Text => eprint!("{report}"),
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(part: Option<Part>) -> anyhow::Result<Report> {
    let mut report = Report::new();
    let is_master = Path::new(PKI).join("etcd/client.crt").exists();
    let asked = |one: Part, always: bool| part.map_or(always, |part| part == one);
    if asked(Part::Etcd, is_master) {
        let endpoint = SocketAddr::from((Ipv4Addr::LOCALHOST, 2379));
        let tls = tls("etcd/ca.crt", "etcd/client")?;
        report.add("etcd", node::etcd_check(&[endpoint], &tls, TIMEOUT).await, |_| true);
    }
    if asked(Part::Containerd, true) {
        let health = node::containerd_check(Path::new(CONTAINERD), TIMEOUT).await;
        report.add("containerd", health, |_| true);
    }
    if asked(Part::Server, is_master) {
        report.add("server", node::server_check(&this_server()?, TIMEOUT).await, |_| true);
    }
    if asked(Part::Agent, true) {
        let (target, name) = api_of_agent()?;
        report.add("agent", node::ready_check(&target, &name, TIMEOUT).await, |_| true);
    }
    Ok(report)
}

/// The API server of this machine, asked by nobody in particular.
fn this_server() -> anyhow::Result<client::Target> {
    let credentials = Credentials { authority_pem: read("ca.crt")?, ..Credentials::default() };
    let addresses = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 6443)).to_string()];
    Ok(client::Target { addresses, server_name: "kubernetes".to_owned(), credentials })
}

/// The API as this machine's agent asks it, and the agent's Node.
fn api_of_agent() -> anyhow::Result<(client::Target, String)> {
    let text = std::fs::read_to_string(AGENT).with_context(|| format!("read {AGENT}"))?;
    let config: serde_json::Value = serde_yaml::from_str(&text).with_context(|| format!("read {AGENT}"))?;
    let text = |field: &str| config[field].as_str().unwrap_or_default().to_owned();
    let servers = config["apiServers"].as_array().map_or(&[][..], Vec::as_slice);
    let target = client::Target {
        addresses: servers.iter().filter_map(|server| server.as_str().map(str::to_owned)).collect(),
        server_name: text("apiServerName"),
        credentials: Credentials {
            authority_pem: read("ca.crt")?,
            certificate: Some((read("node.crt")?, read("node.key")?)),
            token: None,
        },
    };
    Ok((target, text("node")))
}

async fn artifacts(listen: SocketAddr) -> anyhow::Result<ExitCode> {
    let listener =
        tokio::net::TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    let server = ArtifactServer {
        folder: ARTIFACTS.into(),
        tls: tls("ca.crt", "node")?,
        organization: NODES.to_owned(),
        patience: TIMEOUT,
    };
    let shutdown = Shutdown::new();
    interrupt::on_signal(&shutdown)?;
    node::serve_artifacts(listener, server, shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

fn tls(authority: &str, pair: &str) -> anyhow::Result<TlsFiles> {
    Ok(TlsFiles {
        ca_pem: read(authority)?,
        cert_pem: read(&format!("{pair}.crt"))?,
        key_pem: read(&format!("{pair}.key"))?,
    })
}

/// A certificate or key of this node.
fn read(name: &str) -> anyhow::Result<String> {
    let path = Path::new(PKI).join(name);
    std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}
