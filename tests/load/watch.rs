//! Watches that count what they see.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::pod;

/// How long a watch may see nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Opens `count` watches, makes `changes`, and gives events a second over all watches, from
/// the first change until each watch has seen the last.
pub(crate) async fn measure(client: &Client, count: usize, changes: usize) -> anyhow::Result<f64> {
    let mut connection = client.connect().await?;
    let path = format!("{}?limit=1", pod::collection());
    let list = connection.must(Method::GET, &path, "", Bytes::new()).await?;
    let list: Value = serde_json::from_slice(&list)?;
    let from =
        list["metadata"]["resourceVersion"].as_str().context("a list has no resourceVersion")?.to_owned();
    let open = Arc::new(AtomicUsize::new(0));
    let mut watches = JoinSet::new();
    for _ in 0..count {
        watches.spawn(watch(client.clone(), from.clone(), changes, Arc::clone(&open)));
    }
    while open.load(Ordering::Acquire) < count {
        if let Some(ended) = watches.try_join_next() {
            ended??;
            bail!("a watch ended before anything changed");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Each number of watches sees changes of its own: what changes nothing is not told.
    let word = format!("watched-by-{count}");
    let began = Instant::now();
    for round in 0..changes {
        let path = pod::path(round % 100);
        connection
            .must(Method::PATCH, &path, "application/merge-patch+json", pod::patch(&word, round))
            .await?;
    }
    while let Some(ended) = watches.join_next().await {
        ended??;
    }
    let events = u32::try_from(count * changes)?;
    Ok(f64::from(events) / began.elapsed().as_secs_f64())
}

/// One watch, until it has seen so many events.
async fn watch(client: Client, from: String, changes: usize, open: Arc<AtomicUsize>) -> anyhow::Result<()> {
    let mut connection = client.connect().await?;
    let path = format!("{}?watch=true&resourceVersion={from}&timeoutSeconds=600", pod::collection());
    let response = connection.open(Method::GET, &path, "", Bytes::new()).await?;
    if !response.status().is_success() {
        bail!("watch: {}", response.status());
    }
    open.fetch_add(1, Ordering::AcqRel);
    let mut body = response.into_body();
    let mut seen = 0;
    while seen < changes {
        let frame = tokio::time::timeout(PATIENCE, body.frame()).await;
        let frame = frame.with_context(|| format!("a watch saw {seen} of {changes} events, then nothing"))?;
        let data = frame.with_context(|| format!("a watch ended after {seen} of {changes} events"))??;
        if let Some(data) = data.data_ref() {
            seen += data.iter().filter(|byte| **byte == b'\n').count();
        }
    }
    Ok(())
}
