//! `cluster agent`: runs the pods of this machine, their network and DNS.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use agent::Config;
use anyhow::Context as _;
use base::{Shutdown, SystemClock};
use client::http::HttpApi;
use client::tls::Credentials;
use client::{Api, Connection, Target};
use tokio::sync::watch;

use super::arguments;
use super::interrupt;

/// What upstream's agent calls itself: managedFields name it by that.
const AGENT: &str = "kubelet";
/// The runtime's own configuration, which says how it makes cgroups.
const RUNTIME: &str = "/etc/containerd/config.toml";

/// Runs until stopped. Pods go on without it.
pub(crate) async fn run(arguments: &arguments::Agent) -> anyhow::Result<ExitCode> {
    let path = arguments.config.display();
    let config = Config::read(&read(&arguments.config)?).with_context(|| format!("{path}"))?;
    let target = Target {
        addresses: config.api_servers.clone(),
        server_name: config.api_server_name.clone(),
        credentials: Credentials {
            authority_pem: read(&config.authority)?,
            certificate: Some((read(&config.certificate)?, read(&config.key)?)),
            token: None,
        },
    };
    let api: Arc<dyn Api> = Arc::new(HttpApi::new(Connection::new(&target)?, AGENT));
    let shutdown = Shutdown::new();
    interrupt::on_signal(&shutdown)?;
    let (ready, network) = watch::channel(false);
    let networking = network::run(network::Options {
        node: config.node.clone(),
        address: config.address,
        pod_network: config.pod_network.clone(),
        dns: config.cluster_dns,
        domain: config.cluster_domain.clone(),
        service_ports: config.service_ports.clone(),
        api: Arc::clone(&api),
        clock: Arc::new(SystemClock),
        ready,
        shutdown: shutdown.clone(),
    });
    let runtime = std::fs::read_to_string(RUNTIME).unwrap_or_default();
    let systemd_cgroup = runtime.lines().any(|line| line.replace(' ', "") == "SystemdCgroup=true");
    let options =
        agent::Options { config, api, clock: Arc::new(SystemClock), systemd_cgroup, network, shutdown };
    tokio::join!(networking, agent::run(options));
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
