//! Gives each node a range of pod addresses (upstream's node-ipam-controller).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;

use crate::service_account::now as at_once;
use crate::workloads::keep_part;
use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Resource, View, Write};

/// Addresses of a node: a /24.
const NODE_PREFIX: u8 = 24;

/// The controller. One sync at a time: ranges are given out from one projection.
#[derive(Debug)]
pub struct Ipam {
    first: u32,
    ranges: u32,
    /// Each node's range, empty where it has none yet.
    nodes: Projection<String>,
    resource: Option<Arc<Resource>>,
}

/// What a sync starts from: the range to give.
#[derive(Debug)]
pub struct Facts {
    resource: Arc<Resource>,
    range: Option<String>,
}

impl Ipam {
    /// Gives out ranges of the network that begins at `first` and has `prefix` bits.
    #[must_use]
    pub fn new(first: Ipv4Addr, prefix: u8) -> Self {
        let ranges = 1_u32.checked_shl(u32::from(NODE_PREFIX.saturating_sub(prefix))).unwrap_or(0);
        Self { first: first.into(), ranges, nodes: Projection::default(), resource: None }
    }

    fn free(&self) -> Option<String> {
        let taken: BTreeSet<&str> = self.nodes.iter().map(|(_, range)| range.as_str()).collect();
        let range = |index: u32| format!("{}/{NODE_PREFIX}", Ipv4Addr::from(self.first + index * 256));
        (0..self.ranges).map(range).find(|range| !taken.contains(range.as_str()))
    }
}

#[async_trait]
impl Controller for Ipam {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        if resource.is("", "nodes") { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        self.resource = Some(Arc::clone(resource));
        at_once(keep_part(&mut self.nodes, change, |node| meta::str_at(node, "spec.podCIDR").to_owned()))
    }

    fn facts(&self, key: &Place) -> Option<Facts> {
        self.nodes.get(key).filter(|range| range.is_empty())?;
        Some(Facts { resource: Arc::clone(self.resource.as_ref()?), range: self.free() })
    }

    async fn sync(key: Place, facts: Facts, api: Arc<dyn Api>, _now: Timestamp) -> Result<Next, ApiError> {
        let Some(range) = facts.range else {
            tracing::error!(node = %key, "the pod network has no range left: give the server a larger one");
            return Ok(Next::After(Duration::from_secs(60)));
        };
        let patch = json!({"spec": {"podCIDR": range, "podCIDRs": [range]}});
        client::found(
            api.write(&facts.resource, Write::Merge { place: key, subresource: None, patch }).await,
        )?;
        // Until the watch has told of it nobody else is given a range.
        Ok(Next::Wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_gets_the_first_range_that_nobody_has() {
        let mut ipam = Ipam::new(Ipv4Addr::new(10, 244, 0, 0), 23);
        assert_eq!(ipam.free().as_deref(), Some("10.244.0.0/24"));
        ipam.nodes.put(Place::cluster("a"), "10.244.0.0/24".to_owned());
        assert_eq!(ipam.free().as_deref(), Some("10.244.1.0/24"));
        ipam.nodes.put(Place::cluster("b"), "10.244.1.0/24".to_owned());
        assert_eq!(ipam.free(), None);
    }
}
