//! Watches over nodes (upstream's node-lifecycle-controller): one whose lease is not renewed is
//! Unknown, one that is not well is tainted, pods leave it after what they tolerate, and pods
//! of nodes that are gone are removed (upstream's pod garbage collector).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::events::{Kind, Teller, known};
use crate::service_account::now as at_once;
use crate::workloads::{keep, keep_part};
use crate::{
    Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Propagation, Resource, View, Write,
};

const TELLER: Teller = Teller { component: "node-controller" };
/// Upstream's node-monitor-grace-period and node-monitor-period.
const GRACE: i64 = 40;
const EVERY: Duration = Duration::from_secs(5);
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
/// Conditions that taint, with the taint.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];
const CONDITIONS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// What of a pod counts.
#[derive(Debug, Clone)]
struct OnNode {
    uid: String,
    node: Arc<str>,
    tolerations: Value,
    deleting: bool,
    ready: bool,
}

/// The controller.
#[derive(Debug, Default)]
pub struct Lifecycle {
    nodes: Projection<Arc<Value>>,
    leases: Projection<String>,
    pods: Projection<OnNode>,
    /// When each node's lease was last seen to change, by our own clock.
    heard: Heard,
}

type Heard = Arc<std::sync::Mutex<BTreeMap<Place, (String, Timestamp)>>>;

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    node: Option<Arc<Value>>,
    lease: String,
    pods: Vec<(Place, OnNode)>,
    heard: Heard,
}

#[derive(Debug, PartialEq)]
enum Action {
    Status(Value),
    Taints(Value),
    NotReady(Place),
    Evict { pod: Place, uid: String },
    Collect { pod: Place, uid: String },
}

fn status_of<'a>(node: &'a Value, kind: &str) -> &'a str {
    let conditions = meta::list_at(node, "status.conditions");
    conditions.iter().find(|c| c["type"] == kind).and_then(|c| c["status"].as_str()).unwrap_or_default()
}

/// Conditions of a node that nobody hears of.
fn unknown(node: &Value, now: Timestamp) -> Value {
    let stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut conditions = meta::list_at(node, "status.conditions").to_vec();
    for kind in CONDITIONS {
        let lost = json!({
            "type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.", "lastTransitionTime": stamp,
        });
        match conditions.iter_mut().find(|c| c["type"] == kind) {
            Some(condition) => {
                let heartbeat = condition["lastHeartbeatTime"].clone();
                *condition = lost;
                condition["lastHeartbeatTime"] = heartbeat;
            }
            None => conditions.push(lost),
        }
    }
    Value::Array(conditions)
}

/// The taints that a node's conditions ask for, beside those of others.
fn taints(node: &Value, ready: &str, now: Timestamp) -> Value {
    let before = meta::list_at(node, "spec.taints");
    let ours = |key: &Value| {
        key == NOT_READY
            || key == UNREACHABLE
            || key == "node.kubernetes.io/unschedulable"
            || PRESSURES.iter().any(|(_, taint)| key == taint)
    };
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    match ready {
        "True" => {}
        "False" => wanted.extend([(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")]),
        _ => wanted.extend([(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")]),
    }
    if node["spec"]["unschedulable"] == true {
        wanted.push(("node.kubernetes.io/unschedulable", "NoSchedule"));
    }
    for (condition, taint) in PRESSURES {
        if status_of(node, condition) == "True" {
            wanted.push((taint, "NoSchedule"));
        }
    }
    let mut all: Vec<Value> = before.iter().filter(|taint| !ours(&taint["key"])).cloned().collect();
    for (key, effect) in wanted {
        let same = before.iter().find(|taint| taint["key"] == key && taint["effect"] == effect);
        let fresh = || {
            let mut taint = json!({"key": key, "effect": effect});
            if effect == "NoExecute" {
                taint["timeAdded"] = json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            }
            taint
        };
        all.push(same.cloned().unwrap_or_else(fresh));
    }
    Value::Array(all)
}

/// How long a pod stays on a node with these taints; none: for ever.
fn stays(pod: &OnNode, taints: &Value, now: Timestamp) -> Option<i64> {
    let mut least: Option<i64> = None;
    for taint in taints.as_array().into_iter().flatten().filter(|taint| taint["effect"] == "NoExecute") {
        let tolerated = pod.tolerations.as_array().into_iter().flatten().filter(|toleration| {
            let key = toleration["key"].as_str().unwrap_or_default();
            let effect = toleration["effect"].as_str().unwrap_or_default();
            let exists = toleration["operator"] == "Exists";
            (effect.is_empty() || effect == "NoExecute")
                && (taint["key"] == key || key.is_empty() && exists)
                && (exists
                    || toleration["value"].as_str().unwrap_or("") == taint["value"].as_str().unwrap_or(""))
        });
        let seconds: Vec<Option<i64>> =
            tolerated.map(|toleration| toleration["tolerationSeconds"].as_i64()).collect();
        let since =
            taint["timeAdded"].as_str().and_then(|text| text.parse::<Timestamp>().ok()).unwrap_or(now);
        let left = match seconds.iter().flatten().min() {
            _ if seconds.is_empty() => 0,
            None => continue,
            Some(least) => since.as_second() + least - now.as_second(),
        };
        least = Some(least.map_or(left, |before| before.min(left)));
    }
    least
}

fn decide(facts: &Facts, silent: bool, now: Timestamp) -> Vec<Action> {
    let Some(node) = &facts.node else {
        let collect =
            |(place, pod): &(Place, OnNode)| Action::Collect { pod: place.clone(), uid: pod.uid.clone() };
        return facts.pods.iter().map(collect).collect();
    };
    let mut actions = Vec::new();
    let said = status_of(node, "Ready");
    let ready = if silent { "Unknown" } else { said };
    if silent && said != "Unknown" {
        actions.push(Action::Status(unknown(node, now)));
    }
    let wanted = taints(node, ready, now);
    if wanted.as_array().map(Vec::as_slice) != Some(meta::list_at(node, "spec.taints")) {
        actions.push(Action::Taints(wanted.clone()));
    }
    for (place, pod) in facts.pods.iter().filter(|(_, pod)| !pod.deleting) {
        if ready != "True" && pod.ready {
            actions.push(Action::NotReady(place.clone()));
        }
        if stays(pod, &wanted, now).is_some_and(|left| left <= 0) {
            actions.push(Action::Evict { pod: place.clone(), uid: pod.uid.clone() });
        }
    }
    actions
}

impl Lifecycle {
    fn of_pods(&mut self, change: Change) -> Vec<Place> {
        let nodes =
            |pods: &Projection<OnNode>| pods.iter().map(|(_, pod)| Place::cluster(&pod.node)).collect();
        let listed = matches!(change, Change::Listed(_));
        let places = keep_part(&mut self.pods, change, |pod| OnNode {
            uid: meta::uid(pod).to_owned(),
            node: meta::str_at(pod, "spec.nodeName").into(),
            tolerations: pod["spec"]["tolerations"].clone(),
            deleting: meta::deletion_timestamp(pod).is_some(),
            ready: meta::list_at(pod, "status.conditions")
                .iter()
                .any(|c| c["type"] == "Ready" && c["status"] == "True"),
        });
        if listed {
            return nodes(&self.pods);
        }
        let on = |place: &Place| self.pods.get(place).map(|pod| Place::cluster(&pod.node));
        places.iter().filter_map(on).filter(|node| !node.name.is_empty()).collect()
    }
}

#[async_trait]
impl Controller for Lifecycle {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let ours = resource.is("", "nodes")
            || resource.is("", "pods")
            || resource.is("coordination.k8s.io", "leases");
        if ours { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        if resource.is("", "pods") {
            return at_once(self.of_pods(change));
        }
        if resource.is("", "nodes") {
            let gone = if let Change::Gone(node) = &change { Some(Place::of(node)) } else { None };
            return at_once(keep(&mut self.nodes, change).into_iter().chain(gone).collect());
        }
        keep_part(&mut self.leases, change, |lease| meta::str_at(lease, "spec.renewTime").to_owned());
        Vec::new()
    }

    fn facts(&self, key: &Place) -> Option<Facts> {
        let node = self.nodes.get(key).cloned();
        let on = self.pods.iter().filter(|(_, pod)| pod.node == key.name);
        let lease =
            self.leases.get(&Place::within("kube-node-lease", &key.name)).cloned().unwrap_or_default();
        Some(Facts {
            node,
            lease,
            pods: on.map(|(place, pod)| (place.clone(), pod.clone())).collect(),
            heard: Arc::clone(&self.heard),
        })
    }

    async fn sync(key: Place, facts: Facts, api: Arc<dyn Api>, now: Timestamp) -> Result<Next, ApiError> {
        let silent = {
            let mut heard = facts.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if facts.node.is_none() {
                heard.remove(&key);
            }
            let entry = heard.entry(key.clone()).or_insert_with(|| (facts.lease.clone(), now));
            if entry.0 != facts.lease {
                *entry = (facts.lease.clone(), now);
            }
            now.as_second() - entry.1.as_second() > GRACE
        };
        for action in decide(&facts, silent, now) {
            act(&*api, &key, &facts, action, now).await?;
        }
        Ok(if facts.node.is_some() { Next::After(EVERY) } else { Next::Wait })
    }
}

async fn act(
    api: &dyn Api,
    key: &Place,
    facts: &Facts,
    action: Action,
    now: Timestamp,
) -> Result<(), ApiError> {
    let nodes = Resource { namespaced: false, ..known("", "v1", "nodes", "Node") };
    let pods = known("", "v1", "pods", "Pod");
    let delete = |place: Place, uid: String| Write::Delete {
        place,
        propagation: Propagation::Background,
        uid: Some(uid),
        resource_version: None,
    };
    match action {
        Action::Status(conditions) => {
            let patch = json!({"status": {"conditions": conditions}});
            client::found(
                api.write(&nodes, Write::Merge { place: key.clone(), subresource: Some("status"), patch })
                    .await,
            )?;
            if let Some(node) = &facts.node {
                let message = format!("Node {} status is now: NodeNotReady", key.name);
                TELLER.tell(api, node, Kind::Normal, "NodeNotReady", &message, now).await;
            }
        }
        Action::Taints(taints) => {
            let version = facts.node.as_ref().map(|node| meta::resource_version(node).to_owned());
            let patch = json!({"metadata": {"resourceVersion": version}, "spec": {"taints": taints}});
            client::found(
                api.write(&nodes, Write::Merge { place: key.clone(), subresource: None, patch }).await,
            )?;
        }
        Action::NotReady(place) => {
            let Some(pod) = client::found(api.get(&pods, &place, View::Whole).await)? else { return Ok(()) };
            let mut conditions = meta::list_at(&pod, "status.conditions").to_vec();
            for condition in conditions.iter_mut().filter(|c| c["type"] == "Ready" && c["status"] == "True") {
                condition["status"] = json!("False");
                condition["lastTransitionTime"] = json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
            }
            let patch = json!({"status": {"conditions": conditions}});
            client::found(
                api.write(&pods, Write::Merge { place, subresource: Some("status"), patch }).await,
            )?;
        }
        Action::Evict { pod, uid } => {
            let about = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {
                "name": &*pod.name, "namespace": pod.namespace.as_deref(), "uid": uid}});
            TELLER
                .tell(
                    api,
                    &about,
                    Kind::Normal,
                    "TaintManagerEviction",
                    &format!("Marking for deletion Pod {pod}"),
                    now,
                )
                .await;
            client::found(api.write(&pods, delete(pod, uid)).await)?;
        }
        Action::Collect { pod, uid } => {
            // Nobody is left who could end it: it is removed at once.
            client::found(api.write(&pods, Write::Remove { place: pod, uid }).await)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(ready: &str, tolerated: Option<i64>) -> Facts {
        let node = json!({"metadata": {"name": "n"}, "spec": {"taints": [{"key": "mine", "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        let tolerations = tolerated.map_or(json!([]), |seconds| {
            json!([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}])
        });
        let pod = OnNode { uid: "u".to_owned(), node: "n".into(), tolerations, deleting: false, ready: true };
        Facts {
            node: Some(Arc::new(node)),
            lease: String::new(),
            pods: vec![(Place::within("d", "p"), pod)],
            heard: Heard::default(),
        }
    }

    #[test]
    fn a_silent_node_is_unknown_and_tainted_and_its_pods_leave_after_what_they_tolerate() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(decide(&facts("True", Some(300)), false, now), []);
        let patient = decide(&facts("True", Some(300)), true, now);
        assert!(
            matches!(&patient[..], [Action::Status(_), Action::Taints(taints), Action::NotReady(_)]
            if taints.as_array().unwrap().len() == 3 && taints[0]["key"] == "mine"),
            "{patient:?}"
        );
        let impatient = decide(&facts("True", Some(0)), true, now);
        assert!(matches!(impatient.last(), Some(Action::Evict { .. })), "{impatient:?}");
        let intolerant = decide(&facts("False", None), false, now);
        assert!(matches!(intolerant.last(), Some(Action::Evict { .. })), "{intolerant:?}");
    }

    #[test]
    fn pods_of_a_node_that_is_gone_are_removed() {
        let gone = Facts { node: None, ..facts("True", None) };
        assert!(matches!(&decide(&gone, false, Timestamp::UNIX_EPOCH)[..], [Action::Collect { .. }]));
    }
}
