//! Puts load on a Kubernetes API server, whosever it is, and says what it bore.
//!
//! It knows a server by its kubeconfig alone, so that two servers are measured alike. Each
//! phase is a line: operations a second, and the latency of the middle and the slowest one
//! in a hundred. Objects are Pods of about 2.5 KB in one namespace, which is theirs alone.

mod client;
mod kubeconfig;
mod phase;
mod pod;
mod watch;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use client::Client;
use phase::Bench;

/// Puts load on a Kubernetes API server and says what it bore.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// How to reach it: client certificate or token, and its authority.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// Pods made, and changed and deleted again.
    #[arg(long, default_value_t = 5000)]
    pods: usize,
    /// Clients at a time, a connection each.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Seconds of each reading phase.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Watches at a time, a connection each; several numbers give several phases.
    #[arg(long, default_values_t = [200, 1000])]
    watchers: Vec<usize>,
    /// Changes that each of these watches sees.
    #[arg(long, default_value_t = 200)]
    changes: usize,
    /// A process whose memory (PSS) is told after each phase; may be repeated.
    #[arg(long)]
    pid: Vec<u32>,
    /// Only these phases: create, get, patch, list, pages, watch, delete.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Leave the pods there at the end.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let target = kubeconfig::read(&arguments.kubeconfig)
        .with_context(|| format!("cannot use the kubeconfig {}", arguments.kubeconfig.display()))?;
    let client = Client::new(target);
    Bench::new(client, arguments).run().await
}
