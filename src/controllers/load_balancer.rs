//! `type: LoadBalancer` without a load balancer: workers answer on the Service's own ports, and
//! its status lists their addresses (upstream's service controller, with nodes for a cloud).
//!
//! A port that the cluster does not open, or that another Service holds, leaves the status
//! empty; an Event names the field or the Service.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::events::{Kind, Teller, known};
use crate::service_account::now as at_once;
use crate::workloads::{keep, keep_part};
use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Resource, View, Write};

const TELLER: Teller = Teller { component: "service-controller" };
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The controller.
#[derive(Debug)]
pub struct LoadBalancers {
    /// Ports that the cluster opens.
    open: Arc<BTreeSet<i64>>,
    services: Projection<Arc<Value>>,
    /// The address of each worker that answers.
    workers: Projection<Option<String>>,
}

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    service: Arc<Value>,
    open: Arc<BTreeSet<i64>>,
    /// Other Services of the type.
    others: Vec<Arc<Value>>,
    workers: Vec<String>,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    /// These addresses answer.
    Addresses(Vec<String>),
    /// None does; why.
    Refused(String),
}

impl LoadBalancers {
    /// Services may have these ports.
    #[must_use]
    pub fn new(ports: &[u16]) -> Self {
        let open = ports.iter().map(|port| i64::from(*port)).collect();
        Self { open: Arc::new(open), services: Projection::default(), workers: Projection::default() }
    }
}

fn is_balanced(service: &Value) -> bool {
    let class = meta::str_at(service, "spec.loadBalancerClass");
    service["spec"]["type"] == "LoadBalancer"
        && class.is_empty()
        && meta::deletion_timestamp(service).is_none()
}

fn ports(service: &Value) -> BTreeSet<(String, i64)> {
    let all = meta::list_at(service, "spec.ports").iter();
    all.map(|port| (meta::str_at(port, "protocol").to_owned(), port["port"].as_i64().unwrap_or(0))).collect()
}

/// The address under which a worker that is Ready is reached from outside.
fn address(node: &Value) -> Option<String> {
    let ready = meta::list_at(node, "status.conditions")
        .iter()
        .any(|one| one["type"] == "Ready" && one["status"] == "True");
    let apart = [CONTROL_PLANE, EXCLUDED].iter().any(|label| meta::label(node, label).is_some());
    if !ready || apart {
        return None;
    }
    let of = |kind: &str| {
        let all = meta::list_at(node, "status.addresses").iter();
        all.clone().find(|one| one["type"] == kind).and_then(|one| one["address"].as_str().map(str::to_owned))
    };
    of("ExternalIP").or_else(|| of("InternalIP"))
}

fn decide(facts: &Facts) -> Verdict {
    let wanted = ports(&facts.service);
    if let Some((_, port)) = wanted.iter().find(|(_, port)| !facts.open.contains(port)) {
        let open: Vec<String> = facts.open.iter().map(ToString::to_string).collect();
        return Verdict::Refused(format!(
            "spec.ports: {port} is not open to the outside; access.servicePorts of cluster.yaml lists the ports that are: {}",
            open.join(", ")
        ));
    }
    let age = |service: &Value| (meta::creation_timestamp(service).to_owned(), Place::of(service));
    let holds = |other: &&Arc<Value>| {
        age(other) < age(&facts.service)
            && !meta::list_at(other, "status.loadBalancer.ingress").is_empty()
            && !ports(other).is_disjoint(&wanted)
    };
    if let Some(other) = facts.others.iter().find(holds) {
        return Verdict::Refused(format!("spec.ports: a port is held by the Service {}", Place::of(other)));
    }
    Verdict::Addresses(facts.workers.clone())
}

#[async_trait]
impl Controller for LoadBalancers {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "service-lb-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        if resource.is("", "services") || resource.is("", "nodes") {
            Interest::Of(View::Whole)
        } else {
            Interest::None
        }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        if resource.is("", "nodes") {
            let before: Vec<_> =
                self.workers.iter().map(|(place, one)| (place.clone(), one.clone())).collect();
            keep_part(&mut self.workers, change, address);
            let now: Vec<_> = self.workers.iter().map(|(place, one)| (place.clone(), one.clone())).collect();
            if before == now {
                return Vec::new();
            }
        } else {
            keep(&mut self.services, change);
        }
        // One that goes or changes may free a port for another.
        let balanced = self.services.iter().filter(|(_, service)| {
            is_balanced(service) || !meta::list_at(service, "status.loadBalancer.ingress").is_empty()
        });
        at_once(balanced.map(|(place, _)| place.clone()).collect())
    }

    fn facts(&self, key: &Place) -> Option<Facts> {
        let service = Arc::clone(self.services.get(key)?);
        let others = self.services.iter().filter(|(place, one)| *place != key && is_balanced(one));
        Some(Facts {
            others: others.map(|(_, one)| Arc::clone(one)).collect(),
            workers: self.workers.iter().filter_map(|(_, one)| one.clone()).collect(),
            open: Arc::clone(&self.open),
            service,
        })
    }

    async fn sync(key: Place, facts: Facts, api: Arc<dyn Api>, now: Timestamp) -> Result<Next, ApiError> {
        let verdict =
            if is_balanced(&facts.service) { decide(&facts) } else { Verdict::Addresses(Vec::new()) };
        let (addresses, refused) = match verdict {
            Verdict::Addresses(addresses) => (addresses, None),
            Verdict::Refused(why) => (Vec::new(), Some(why)),
        };
        let ingress: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"})).collect();
        if meta::list_at(&facts.service, "status.loadBalancer.ingress") != ingress {
            let status = if ingress.is_empty() { Value::Null } else { json!(ingress) };
            let patch = json!({"metadata": {"uid": meta::uid(&facts.service)}, "status": {"loadBalancer": {"ingress": status}}});
            let write = Write::Merge { place: key, subresource: Some("status"), patch };
            client::found(api.write(&known("", "v1", "services", "Service"), write).await)?;
        }
        if let Some(why) = refused {
            TELLER.tell(&*api, &facts.service, Kind::Warning, "SyncLoadBalancerFailed", &why, now).await;
        }
        Ok(Next::Wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, port: i64, created: &str, held: bool) -> Arc<Value> {
        let ingress = if held { json!([{"ip": "192.0.2.1"}]) } else { json!([]) };
        Arc::new(json!({"metadata": {"name": name, "namespace": "d", "creationTimestamp": created},
            "spec": {"type": "LoadBalancer", "ports": [{"port": port, "protocol": "TCP"}]}, "status": {"loadBalancer": {"ingress": ingress}}}))
    }

    fn said(service: Arc<Value>, others: Vec<Arc<Value>>) -> String {
        let open = Arc::new(BTreeSet::from([80, 443]));
        match decide(&Facts { service, open, others, workers: vec!["192.0.2.1".to_owned()] }) {
            Verdict::Addresses(addresses) => addresses.join(" "),
            Verdict::Refused(why) => why,
        }
    }

    #[test]
    fn workers_answer_on_ports_that_are_open_and_free() {
        assert_eq!(said(service("a", 80, "2", false), vec![]), "192.0.2.1");
        assert_eq!(said(service("a", 80, "2", false), vec![service("b", 443, "1", true)]), "192.0.2.1");
        assert_eq!(
            said(service("a", 80, "2", false), vec![service("b", 80, "1", true)]),
            "spec.ports: a port is held by the Service d/b"
        );
        assert_eq!(
            said(service("a", 80, "1", true), vec![service("b", 80, "2", false)]),
            "192.0.2.1",
            "the older one keeps it"
        );
        let closed = said(service("a", 8080, "2", false), vec![]);
        assert!(
            closed.starts_with("spec.ports: 8080 is not open") && closed.ends_with("80, 443"),
            "{closed}"
        );
    }

    #[test]
    fn a_master_and_a_node_that_is_not_ready_answer_nobody() {
        let node = |label: &str, ready: &str| {
            json!({"metadata": {"labels": {label: ""}}, "status": {"conditions": [{"type": "Ready", "status": ready}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "ExternalIP", "address": "192.0.2.1"}]}})
        };
        assert_eq!(address(&node("a", "True")).as_deref(), Some("192.0.2.1"));
        assert_eq!(address(&node(CONTROL_PLANE, "True")), None);
        assert_eq!(address(&node("a", "Unknown")), None);
    }
}
