//! The phases: what is done, by how many at a time, and the line that says how it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;

use crate::Arguments;
use crate::client::Client;
use crate::{pod, watch};

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const PAGE: usize = 500;

/// One run of all phases.
pub(crate) struct Bench {
    client: Client,
    arguments: Arguments,
}

/// What each operation of a phase asks.
type Ask = fn(usize) -> (Method, String, &'static str, Bytes);

impl Bench {
    /// A run against `client`'s server.
    pub(crate) fn new(client: Client, arguments: Arguments) -> Self {
        Self { client, arguments }
    }

    /// All phases in order.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        self.memory("at start")?;
        self.prepare().await?;
        let pods = self.arguments.pods;
        if self.wanted("create") {
            self.each("create", pods, |n| (Method::POST, pod::collection(), JSON, pod::body(n))).await?;
            self.memory(&format!("with {pods} pods"))?;
        }
        if self.wanted("get") {
            self.repeat("get", |n| (Method::GET, pod::path(n), "", Bytes::new())).await?;
        }
        if self.wanted("patch") {
            self.each("patch", pods, |n| (Method::PATCH, pod::path(n), MERGE, pod::patch("once", n))).await?;
        }
        if self.wanted("list") {
            self.repeat("list", |_| (Method::GET, pod::collection(), "", Bytes::new())).await?;
        }
        if self.wanted("pages") {
            self.pages().await?;
        }
        if self.wanted("watch") {
            for count in &self.arguments.watchers {
                let rate = watch::measure(&self.client, *count, self.arguments.changes).await?;
                println!("{:<22} {rate:>10.0} events/s", format!("{count} watches"));
            }
        }
        self.memory("after all that")?;
        if self.wanted("delete") && !self.arguments.keep {
            self.each("delete", pods, |n| (Method::DELETE, pod::path(n), "", Bytes::new())).await?;
        }
        Ok(())
    }

    fn wanted(&self, phase: &str) -> bool {
        self.arguments.only.is_empty() || self.arguments.only.iter().any(|only| only == phase)
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": pod::NAMESPACE}});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        let accounts = format!("/api/v1/namespaces/{}/serviceaccounts", pod::NAMESPACE);
        let mut connection = self.client.connect().await?;
        for (path, object) in [("/api/v1/namespaces", namespace), (&accounts, account)] {
            let (status, body) =
                connection.ask(Method::POST, path, JSON, Bytes::from(object.to_string())).await?;
            let there = status.is_success() || status == StatusCode::CONFLICT;
            anyhow::ensure!(there, "POST {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }

    /// Does something once for each pod.
    async fn each(&self, name: &str, pods: usize, ask: Ask) -> anyhow::Result<()> {
        let next = Arc::new(AtomicUsize::new(0));
        self.many(
            name,
            move || {
                let number = next.fetch_add(1, Ordering::Relaxed);
                (number < pods).then_some(number)
            },
            ask,
        )
        .await
    }

    /// Does something again and again, for pods in turn, as long as a reading phase takes.
    async fn repeat(&self, name: &str, ask: Ask) -> anyhow::Result<()> {
        let (next, pods) = (Arc::new(AtomicUsize::new(0)), self.arguments.pods);
        let until = Instant::now() + Duration::from_secs(self.arguments.seconds);
        self.many(
            name,
            move || {
                let number = next.fetch_add(1, Ordering::Relaxed) % pods;
                (Instant::now() < until).then_some(number)
            },
            ask,
        )
        .await
    }

    async fn many(
        &self,
        name: &str,
        next: impl Fn() -> Option<usize> + Clone + Send + 'static,
        ask: Ask,
    ) -> anyhow::Result<()> {
        let mut clients = JoinSet::new();
        let began = Instant::now();
        for _ in 0..self.arguments.clients {
            let (client, next) = (self.client.clone(), next.clone());
            clients.spawn(async move {
                let mut connection = client.connect().await?;
                let mut times = Vec::new();
                while let Some(number) = next() {
                    let (method, path, kind, body) = ask(number);
                    let began = Instant::now();
                    connection.must(method, &path, kind, body).await?;
                    times.push(began.elapsed());
                }
                anyhow::Ok(times)
            });
        }
        let mut times = Vec::new();
        while let Some(client) = clients.join_next().await {
            times.extend(client?.with_context(|| format!("in the phase {name}"))?);
        }
        report(name, &mut times, began.elapsed());
        Ok(())
    }

    /// Lists all pods in pages, one client after the other's page.
    async fn pages(&self) -> anyhow::Result<()> {
        let mut connection = self.client.connect().await?;
        let until = Instant::now() + Duration::from_secs(self.arguments.seconds);
        let (began, mut times, mut token) = (Instant::now(), Vec::new(), String::new());
        while Instant::now() < until {
            let path = format!("{}?limit={PAGE}&continue={token}", pod::collection());
            let began = Instant::now();
            let page = connection.must(Method::GET, &path, "", Bytes::new()).await?;
            times.push(began.elapsed());
            token = continue_token(&page).unwrap_or_default();
        }
        report(&format!("page of {PAGE}"), &mut times, began.elapsed());
        Ok(())
    }

    /// The proportional set size of the processes that were named.
    fn memory(&self, when: &str) -> anyhow::Result<()> {
        for pid in &self.arguments.pid {
            let path = format!("/proc/{pid}/smaps_rollup");
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
            let kib: f64 =
                line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default();
            println!("memory of {pid:<12} {:>10.1} MiB {when}", kib / 1024.0);
        }
        Ok(())
    }
}

/// The token in a list's metadata, found without parsing what is measured.
fn continue_token(page: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(page).ok()?;
    let (_, rest) = text.split_once("\"continue\":\"")?;
    rest.split_once('"').map(|(token, _)| token.to_owned())
}

fn report(name: &str, times: &mut [Duration], took: Duration) {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let rate = f64::from(count) / took.as_secs_f64();
    println!("{name:<22} {rate:>10.1} /s    p50 {:>9.2?}    p99 {:>9.2?}", at(50), at(99));
}
