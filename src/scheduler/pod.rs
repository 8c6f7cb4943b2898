//! What of a pod counts for scheduling.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::meta;
use api::selector::LabelSelector;
use serde_json::Value;

use crate::labels::{self, Labels, NodeTerm};
use crate::resources::{Amounts, requests};

/// A pod, read from its object.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// UID.
    pub uid: Arc<str>,
    /// The node it is bound to, empty where it waits.
    pub node: Arc<str>,
    /// The node it was promised by preemption, empty where none.
    pub nominated: Arc<str>,
    /// Which scheduler it wants.
    pub scheduler: Arc<str>,
    /// Priority.
    pub priority: i32,
    /// Whether it may preempt others.
    pub may_preempt: bool,
    /// Scheduling gates, by name.
    pub gates: Vec<String>,
    /// Whether it has ended.
    pub ended: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// When it was created, RFC 3339.
    pub created: Arc<str>,
    /// When it started, RFC 3339, empty where it has not.
    pub started: Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) owner: Option<Arc<str>>,
    pub(crate) requests: Amounts,
    pub(crate) scored: Amounts,
    pub(crate) ports: BTreeSet<Port>,
    pub(crate) node_selector: Labels,
    pub(crate) node_terms: Option<Vec<NodeTerm>>,
    pub(crate) preferred_nodes: Vec<(i64, NodeTerm)>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) affinity: Vec<PodTerm>,
    pub(crate) anti_affinity: Vec<PodTerm>,
    pub(crate) preferred_affinity: Vec<(i64, PodTerm)>,
    pub(crate) spread: Vec<Constraint>,
    pub(crate) images: Vec<Arc<str>>,
}

/// A port of the host: protocol, address, number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) number: i64,
    pub(crate) protocol: String,
    pub(crate) address: String,
}

/// A toleration.
#[derive(Debug, Clone)]
pub(crate) struct Toleration {
    key: String,
    exists: bool,
    value: String,
    effect: String,
}

/// A pod affinity term.
#[derive(Debug, Clone)]
pub(crate) struct PodTerm {
    pub(crate) selector: LabelSelector,
    pub(crate) namespaces: BTreeSet<Arc<str>>,
    /// Selects all namespaces (an empty namespace selector), or those with labels.
    pub(crate) namespace_selector: Option<LabelSelector>,
    pub(crate) key: Arc<str>,
}

/// A topology spread constraint.
#[derive(Debug, Clone)]
pub(crate) struct Constraint {
    pub(crate) max_skew: i64,
    pub(crate) key: Arc<str>,
    pub(crate) hard: bool,
    pub(crate) selector: LabelSelector,
    pub(crate) min_domains: i64,
    pub(crate) honor_affinity: bool,
    pub(crate) honor_taints: bool,
}

impl Pod {
    /// Reads a Pod object.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let spec = &object["spec"];
        let text = |path: &str| -> Arc<str> { meta::str_at(object, path).into() };
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let labels = labels::read(object);
        let namespace = text("metadata.namespace");
        let affinity = &spec["affinity"];
        let terms = |kind: &str| -> Vec<PodTerm> {
            let required = &affinity[kind]["requiredDuringSchedulingIgnoredDuringExecution"];
            list(required).iter().map(|term| PodTerm::read(term, &namespace, &labels)).collect()
        };
        let preferred = |kind: &str, sign: i64| -> Vec<(i64, PodTerm)> {
            let all = list(&affinity[kind]["preferredDuringSchedulingIgnoredDuringExecution"]);
            let term = |one: &Value| {
                let weight = sign * one["weight"].as_i64().unwrap_or(0);
                (weight, PodTerm::read(&one["podAffinityTerm"], &namespace, &labels))
            };
            all.iter().map(term).collect()
        };
        let nodes = &affinity["nodeAffinity"];
        let required = &nodes["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        let preferred_nodes = list(&nodes["preferredDuringSchedulingIgnoredDuringExecution"]);
        let (requests, scored) = requests(spec);
        let phase = meta::str_at(object, "status.phase");
        Self {
            name: text("metadata.name"),
            uid: text("metadata.uid"),
            node: text("spec.nodeName"),
            nominated: text("status.nominatedNodeName"),
            scheduler: text("spec.schedulerName"),
            priority: i32::try_from(meta::int_at(object, "spec.priority")).unwrap_or(0),
            may_preempt: meta::str_at(object, "spec.preemptionPolicy") != "Never",
            gates: list(&spec["schedulingGates"])
                .iter()
                .map(|gate| meta::str_at(gate, "name").to_owned())
                .collect(),
            ended: matches!(phase, "Succeeded" | "Failed"),
            deleting: meta::deletion_timestamp(object).is_some(),
            created: meta::creation_timestamp(object).into(),
            started: text("status.startTime"),
            owner: meta::controller(object).and_then(|owner| owner["uid"].as_str().map(Arc::from)),
            requests,
            scored,
            ports: ports(spec),
            node_selector: pairs(&spec["nodeSelector"]),
            node_terms: required.as_array().map(|terms| terms.iter().map(NodeTerm::read).collect()),
            preferred_nodes: preferred_nodes
                .iter()
                .map(|one| (one["weight"].as_i64().unwrap_or(0), NodeTerm::read(&one["preference"])))
                .collect(),
            tolerations: list(&spec["tolerations"]).iter().map(Toleration::read).collect(),
            affinity: terms("podAffinity"),
            anti_affinity: terms("podAntiAffinity"),
            preferred_affinity: [preferred("podAffinity", 1), preferred("podAntiAffinity", -1)].concat(),
            spread: list(&spec["topologySpreadConstraints"])
                .iter()
                .map(|one| Constraint::read(one, &labels))
                .collect(),
            images: list(&spec["containers"])
                .iter()
                .filter_map(|c| c["image"].as_str().map(Arc::from))
                .collect(),
            namespace,
            labels,
        }
    }

    /// `NAMESPACE/NAME`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(crate) fn tolerates(&self, key: &str, value: &str, effect: &str) -> bool {
        self.tolerations.iter().any(|toleration| toleration.tolerates(key, value, effect))
    }
}

fn pairs(map: &Value) -> Labels {
    let pairs = map.as_object().into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.as_str().into(), value.as_str()?.into()))).collect()
}

fn ports(spec: &Value) -> BTreeSet<Port> {
    let containers = ["containers", "initContainers"].into_iter().flat_map(|field| {
        let all = spec[field].as_array().into_iter().flatten();
        all.filter(move |c| field == "containers" || c["restartPolicy"] == "Always")
    });
    let ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    let host = |port: &Value| {
        let number = port["hostPort"].as_i64().filter(|number| *number > 0)?;
        let text = |field: &str, default: &str| port[field].as_str().unwrap_or(default).to_owned();
        Some(Port { number, protocol: text("protocol", "TCP"), address: text("hostIP", "0.0.0.0") })
    };
    ports.filter_map(host).collect()
}

impl Port {
    /// Whether two cannot be had on one node.
    pub(crate) fn clashes(&self, other: &Self) -> bool {
        let wild = |address: &str| matches!(address, "" | "0.0.0.0");
        self.number == other.number
            && self.protocol == other.protocol
            && (wild(&self.address) || wild(&other.address) || self.address == other.address)
    }
}

impl Toleration {
    fn read(toleration: &Value) -> Self {
        let text = |field: &str| toleration[field].as_str().unwrap_or_default().to_owned();
        Self {
            key: text("key"),
            exists: toleration["operator"] == "Exists",
            value: text("value"),
            effect: text("effect"),
        }
    }

    fn tolerates(&self, key: &str, value: &str, effect: &str) -> bool {
        (self.effect.is_empty() || self.effect == effect)
            && (self.key == key || self.key.is_empty() && self.exists)
            && (self.exists || self.value == value)
    }
}

/// A selector with further requirements taken from the pod's own labels.
fn selector(value: &Value, keys: &Value, mismatched: &Value, labels: &Labels) -> LabelSelector {
    let mut selector = value.clone();
    for (keys, operator) in [(keys, "In"), (mismatched, "NotIn")] {
        for key in keys.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let Some(own) = labels.get(key) else { continue };
            let requirement = serde_json::json!({"key": key, "operator": operator, "values": [&**own]});
            match meta::entry(&mut selector, "matchExpressions").as_array_mut() {
                Some(list) => list.push(requirement),
                None => meta::put(&mut selector, "matchExpressions", vec![requirement]),
            }
        }
    }
    LabelSelector::of(&selector).unwrap_or_default()
}

impl PodTerm {
    fn read(term: &Value, own: &Arc<str>, labels: &Labels) -> Self {
        let listed = term["namespaces"].as_array().into_iter().flatten();
        let mut namespaces: BTreeSet<Arc<str>> =
            listed.filter_map(|name| name.as_str().map(Arc::from)).collect();
        let namespace_selector =
            term.get("namespaceSelector").filter(|value| value.is_object()).and_then(LabelSelector::of);
        if namespaces.is_empty() && namespace_selector.is_none() {
            namespaces.insert(Arc::clone(own));
        }
        Self {
            selector: match term.get("labelSelector").filter(|value| value.is_object()) {
                Some(value) => selector(value, &term["matchLabelKeys"], &term["mismatchLabelKeys"], labels),
                None => nothing(),
            },
            namespaces,
            namespace_selector,
            key: meta::str_at(term, "topologyKey").into(),
        }
    }
}

/// Selects no pod: what a term without a selector means.
fn nothing() -> LabelSelector {
    LabelSelector::parse("a,!a").unwrap_or_default()
}

impl Constraint {
    fn read(constraint: &Value, labels: &Labels) -> Self {
        let number = |field: &str, default: i64| constraint[field].as_i64().unwrap_or(default);
        Self {
            max_skew: number("maxSkew", 1),
            key: meta::str_at(constraint, "topologyKey").into(),
            hard: constraint["whenUnsatisfiable"] != "ScheduleAnyway",
            selector: match constraint.get("labelSelector").filter(|value| value.is_object()) {
                Some(value) => selector(value, &constraint["matchLabelKeys"], &Value::Null, labels),
                None => nothing(),
            },
            min_domains: number("minDomains", 1),
            honor_affinity: constraint["nodeAffinityPolicy"] != "Ignore",
            honor_taints: constraint["nodeTaintsPolicy"] == "Honor",
        }
    }
}
