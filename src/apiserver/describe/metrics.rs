//! `/metrics`: what was answered and how long it took, what is held, in Prometheus' text form.
//!
//! Names are upstream's where they mean the same. Labels come from the registry and fixed
//! sets only, so that a client cannot make them grow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of latency buckets, in seconds: a part of upstream's.
const BUCKETS: [f64; 12] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 5.0, 10.0];

/// What a request is counted under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// `GET`, `LIST`, `WATCH`, `POST`, …
    pub verb: &'static str,
    /// The API group.
    pub group: String,
    /// The plural; empty where no kind was found.
    pub resource: String,
    /// The subresource; empty for the object.
    pub subresource: String,
    /// The HTTP status.
    pub code: u16,
}

#[derive(Debug, Default, Clone)]
struct Series {
    count: u64,
    seconds: f64,
    buckets: [u64; BUCKETS.len()],
}

/// Counters of requests.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Label, Series>>,
}

/// A value that is read when it is asked for.
pub struct Gauge {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Labels, already written (`kind="x"`), and values.
    pub values: Vec<(String, f64)>,
}

impl Metrics {
    /// Counts a request.
    pub fn record(&self, label: Label, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let series = requests.entry(label).or_default();
        series.count += 1;
        series.seconds += seconds;
        for (count, bound) in series.buckets.iter_mut().zip(BUCKETS) {
            *count += u64::from(seconds <= bound);
        }
    }

    /// Everything, with these gauges.
    #[must_use]
    pub fn text(&self, gauges: &[Gauge]) -> String {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut out = String::new();
        header(&mut out, "apiserver_request_total", "counter", "Requests by verb, resource and answer.");
        for (label, series) in &requests {
            let _ = writeln!(
                out,
                "apiserver_request_total{{{},code=\"{}\"}} {}",
                written(label),
                label.code,
                series.count
            );
        }
        let name = "apiserver_request_duration_seconds";
        header(&mut out, name, "histogram", "How long answers took.");
        let mut merged: BTreeMap<String, Series> = BTreeMap::new();
        for (label, series) in &requests {
            let into = merged.entry(written(label)).or_default();
            into.count += series.count;
            into.seconds += series.seconds;
            into.buckets.iter_mut().zip(series.buckets).for_each(|(into, more)| *into += more);
        }
        for (label, series) in &merged {
            for (bound, count) in BUCKETS.iter().zip(series.buckets) {
                let _ = writeln!(out, "{name}_bucket{{{label},le=\"{bound}\"}} {count}");
            }
            let _ = writeln!(out, "{name}_bucket{{{label},le=\"+Inf\"}} {}", series.count);
            let _ = writeln!(out, "{name}_sum{{{label}}} {}", series.seconds);
            let _ = writeln!(out, "{name}_count{{{label}}} {}", series.count);
        }
        for gauge in gauges {
            header(&mut out, gauge.name, "gauge", gauge.help);
            for (labels, value) in &gauge.values {
                let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
                let _ = writeln!(out, "{}{labels} {value}", gauge.name);
            }
        }
        out
    }
}

fn header(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn written(label: &Label) -> String {
    let Label { verb, group, resource, subresource, .. } = label;
    format!("verb=\"{verb}\",group=\"{group}\",resource=\"{resource}\",subresource=\"{subresource}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_and_told_in_prometheus_words() {
        let metrics = Metrics::default();
        let label = |code| Label {
            verb: "GET",
            group: String::new(),
            resource: "pods".to_owned(),
            subresource: String::new(),
            code,
        };
        metrics.record(label(200), Duration::from_millis(30));
        metrics.record(label(200), Duration::from_millis(3));
        metrics.record(label(404), Duration::from_secs(30));
        let gauge =
            Gauge { name: "cluster_cache_bytes", help: "x", values: vec![("kind=\"a\"".to_owned(), 5.0)] };
        let text = metrics.text(&[gauge]);
        for line in [
            "apiserver_request_total{verb=\"GET\",group=\"\",resource=\"pods\",subresource=\"\",code=\"200\"} 2",
            "apiserver_request_duration_seconds_bucket{verb=\"GET\",group=\"\",resource=\"pods\",subresource=\"\",le=\"0.005\"} 1",
            "apiserver_request_duration_seconds_bucket{verb=\"GET\",group=\"\",resource=\"pods\",subresource=\"\",le=\"10\"} 2",
            "apiserver_request_duration_seconds_count{verb=\"GET\",group=\"\",resource=\"pods\",subresource=\"\"} 3",
            "cluster_cache_bytes{kind=\"a\"} 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
