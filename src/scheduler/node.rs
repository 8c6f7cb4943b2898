//! What of a node, and of the pods on it, counts for scheduling.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::meta;
use serde_json::Value;

use crate::labels::{self, Labels};
use crate::pod::{Pod, Port};
use crate::resources::Amounts;

/// A node with what is taken of it.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub name: Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) taints: Vec<Taint>,
    pub(crate) unschedulable: bool,
    pub(crate) allocatable: Amounts,
    /// Sizes of images that it holds, by name.
    pub(crate) images: BTreeMap<Arc<str>, i64>,
    pub(crate) taken: Amounts,
    pub(crate) scored: Amounts,
    pub(crate) pods: i64,
    pub(crate) ports: Vec<Port>,
}

/// A taint.
#[derive(Debug, Clone)]
pub(crate) struct Taint {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) effect: String,
}

impl Node {
    /// Reads a Node object; nothing is on it yet.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let text = |taint: &Value, field: &str| taint[field].as_str().unwrap_or_default().to_owned();
        let taints = meta::list_at(object, "spec.taints").iter().map(|taint| Taint {
            key: text(taint, "key"),
            value: text(taint, "value"),
            effect: text(taint, "effect"),
        });
        let images = meta::list_at(object, "status.images").iter().flat_map(|image| {
            let size = image["sizeBytes"].as_i64().unwrap_or(0);
            let names = image["names"].as_array().into_iter().flatten();
            names.filter_map(move |name| Some((name.as_str()?.into(), size)))
        });
        Self {
            name: meta::name(object).into(),
            labels: labels::read(object),
            taints: taints.collect(),
            unschedulable: object["spec"]["unschedulable"] == true,
            allocatable: Amounts::read(&object["status"]["allocatable"]),
            images: images.collect(),
            taken: Amounts::default(),
            scored: Amounts::default(),
            pods: 0,
            ports: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, pod: &Pod) {
        self.taken.add(&pod.requests);
        self.scored.add(&pod.scored);
        self.pods += 1;
        self.ports.extend(pod.ports.iter().cloned());
    }

    pub(crate) fn take(&mut self, pod: &Pod) {
        self.taken.remove(&pod.requests);
        self.scored.remove(&pod.scored);
        self.pods -= 1;
        for port in &pod.ports {
            if let Some(index) = self.ports.iter().position(|taken| taken == port) {
                self.ports.swap_remove(index);
            }
        }
    }
}
