//! EndpointSlices: which pods answer for a Service, at which addresses and ports (upstream's
//! endpointslice-controller).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use api::selector::LabelSelector;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::events::known;
use crate::service_account::now as at_once;
use crate::workloads::keep;
use crate::{
    Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Propagation, Resource, View, Write,
};

const MANAGER: &str = "endpointslice-controller.k8s.io";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const SERVICE: &str = "kubernetes.io/service-name";
const HEADLESS: &str = "service.kubernetes.io/headless";
/// Endpoints of a slice, at most.
const FULL: usize = 100;

/// What of a pod counts.
#[derive(Debug, Clone, PartialEq)]
struct Backend {
    place: Place,
    labels: Value,
    address: String,
    node: String,
    uid: String,
    hostname: Option<String>,
    subdomain: String,
    ready: bool,
    terminating: bool,
    ports: Value,
}

/// The controller.
#[derive(Debug, Default)]
pub struct EndpointSlices {
    services: Projection<Arc<Value>>,
    pods: Projection<Backend>,
    slices: Projection<Arc<Value>>,
}

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    service: Option<Arc<Value>>,
    pods: Vec<Backend>,
    slices: Vec<Arc<Value>>,
}

#[derive(Debug, PartialEq)]
enum Action {
    Create(Value),
    Update(Value),
    Delete(Place),
}

impl Backend {
    fn read(pod: &Value) -> Option<Self> {
        let phase = meta::str_at(pod, "status.phase");
        let address = meta::str_at(pod, "status.podIP");
        if address.is_empty() || matches!(phase, "Succeeded" | "Failed") {
            return None;
        }
        let conditions = meta::list_at(pod, "status.conditions");
        let ports = meta::list_at(pod, "spec.containers").iter().flat_map(|c| meta::list_at(c, "ports"));
        let hostname = meta::str_at(pod, "spec.hostname");
        Some(Self {
            place: Place::of(pod),
            labels: pod["metadata"]["labels"].clone(),
            address: address.to_owned(),
            node: meta::str_at(pod, "spec.nodeName").to_owned(),
            uid: meta::uid(pod).to_owned(),
            hostname: Some(hostname.to_owned()).filter(|name| !name.is_empty()),
            subdomain: meta::str_at(pod, "spec.subdomain").to_owned(),
            ready: conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"),
            terminating: meta::deletion_timestamp(pod).is_some(),
            ports: ports.cloned().collect(),
        })
    }

    /// The Service's ports as this pod has them; a named port that it lacks is left out.
    fn ports(&self, service: &Value) -> Value {
        let number = |port: &Value| match &port["targetPort"] {
            Value::String(name) => {
                let same = |own: &&Value| {
                    own["name"] == name.as_str()
                        && own["protocol"].as_str().unwrap_or("TCP") == port["protocol"]
                };
                self.ports.as_array()?.iter().find(same).map(|own| own["containerPort"].clone())
            }
            Value::Null => Some(port["port"].clone()),
            target => Some(target.clone()),
        };
        let all = meta::list_at(service, "spec.ports").iter().filter_map(|port| {
            let mut made = json!({
                "name": port["name"].as_str().unwrap_or_default(),
                "protocol": port["protocol"].as_str().unwrap_or("TCP"),
                "port": number(port)?,
            });
            if let Some(protocol) = port["appProtocol"].as_str() {
                made["appProtocol"] = json!(protocol);
            }
            Some(made)
        });
        all.collect()
    }

    fn endpoint(&self, service: &Value) -> Value {
        let published = service["spec"]["publishNotReadyAddresses"] == true;
        let serving = self.ready;
        let mut endpoint = json!({
            "addresses": [self.address],
            "conditions": {
                "ready": published || (serving && !self.terminating),
                "serving": serving || published,
                "terminating": self.terminating,
            },
            "nodeName": self.node,
            "targetRef": {
                "kind": "Pod", "namespace": self.place.namespace.as_deref(), "name": &*self.place.name, "uid": self.uid,
            },
        });
        if let Some(hostname) = &self.hostname
            && self.subdomain == meta::name(service)
        {
            endpoint["hostname"] = json!(hostname);
        }
        endpoint
    }
}

fn decide(facts: &Facts) -> Vec<Action> {
    let gone = |slice: &Arc<Value>| Action::Delete(Place::of(slice));
    let Some(service) = &facts.service else {
        return facts.slices.iter().map(gone).collect();
    };
    let selector = LabelSelector::exactly(&service["spec"]["selector"]);
    let is_external = service["spec"]["type"] == "ExternalName";
    if is_external || service["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty) {
        return Vec::new();
    }
    let mut by_ports: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for pod in facts.pods.iter().filter(|pod| selector.matches_labels(&pod.labels)) {
        let ports = pod.ports(service);
        by_ports
            .entry(ports.to_string())
            .or_insert_with(|| (ports, Vec::new()))
            .1
            .push(pod.endpoint(service));
    }
    if by_ports.is_empty() {
        // One empty slice says that there is nobody.
        by_ports.insert(String::new(), (Value::Null, Vec::new()));
    }
    let mut old: Vec<&Arc<Value>> = facts.slices.iter().collect();
    let mut actions = Vec::new();
    for (ports, endpoints) in by_ports.into_values() {
        let mut chunks: Vec<Vec<Value>> = endpoints.chunks(FULL).map(<[Value]>::to_vec).collect();
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        for chunk in chunks {
            let wanted = slice(service, &ports, chunk);
            // One that is right already, else one of the same ports, else any.
            let found = old
                .iter()
                .position(|slice| is_as(slice, &wanted))
                .or_else(|| old.iter().position(|slice| slice["ports"] == ports))
                .or(if old.is_empty() { None } else { Some(0) });
            match found.map(|index| old.remove(index)) {
                Some(same) if is_as(same, &wanted) => {}
                Some(other) => actions.push(Action::Update(replaced(other, wanted))),
                None => actions.push(Action::Create(wanted)),
            }
        }
    }
    actions.extend(old.into_iter().map(gone));
    actions
}

fn is_as(slice: &Value, wanted: &Value) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&slice["endpoints"]) == list(&wanted["endpoints"])
        && list(&slice["ports"]) == list(&wanted["ports"])
        && slice["metadata"]["labels"] == wanted["metadata"]["labels"]
}

fn replaced(old: &Value, mut wanted: Value) -> Value {
    if let Some(metadata) = wanted["metadata"].as_object_mut() {
        metadata.remove("generateName");
        for field in ["name", "resourceVersion", "uid"] {
            metadata.insert(field.to_owned(), old["metadata"][field].clone());
        }
    }
    wanted
}

fn slice(service: &Value, ports: &Value, endpoints: Vec<Value>) -> Value {
    let mut labels = service["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(SERVICE.to_owned(), json!(meta::name(service)));
    labels.insert(MANAGED_BY.to_owned(), json!(MANAGER));
    if service["spec"]["clusterIP"] == "None" {
        labels.insert(HEADLESS.to_owned(), json!(""));
    }
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", meta::name(service)),
            "namespace": meta::namespace(service),
            "labels": labels,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Service", "name": meta::name(service), "uid": meta::uid(service),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": if ports.is_null() { json!([]) } else { ports.clone() },
    })
}

impl EndpointSlices {
    fn selecting(&self, pods: &[Backend]) -> Vec<Place> {
        let mut places = Vec::new();
        for (place, service) in self.services.iter() {
            let selector = LabelSelector::exactly(&service["spec"]["selector"]);
            let ours = |pod: &&Backend| {
                pod.place.namespace == place.namespace && selector.matches_labels(&pod.labels)
            };
            if !selector.is_empty() && pods.iter().any(|pod| ours(&pod)) {
                places.push(place.clone());
            }
        }
        places
    }

    fn pods(&mut self, change: Change) -> Vec<Place> {
        let mut concerned = Vec::new();
        match change {
            Change::Listed(items) => {
                let all: Vec<_> = items.iter().filter_map(Backend::read).collect();
                let gone = self.pods.replace(all.iter().map(|pod| (pod.place.clone(), pod.clone())));
                concerned.extend(gone.into_iter().map(|(_, pod)| pod));
                concerned.extend(all);
            }
            Change::Put(pod) => {
                let (place, now) = (Place::of(&pod), Backend::read(&pod));
                let before = match now.clone() {
                    Some(now) => self.pods.put(place, now),
                    None => self.pods.remove(&place),
                };
                if before != now {
                    concerned.extend(before.into_iter().chain(now));
                }
            }
            Change::Gone(pod) => concerned.extend(self.pods.remove(&Place::of(&pod))),
        }
        self.selecting(&concerned)
    }
}

/// The Service that a slice of ours is of.
fn service_of(slice: &Value) -> Option<Place> {
    let ours = meta::label(slice, MANAGED_BY) == Some(MANAGER);
    let name = meta::label(slice, SERVICE).filter(|_| ours)?;
    Some(Place { namespace: Place::of(slice).namespace, name: name.into() })
}

#[async_trait]
impl Controller for EndpointSlices {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let ours = resource.is("", "services")
            || resource.is("", "pods")
            || resource.is("discovery.k8s.io", "endpointslices");
        if ours { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        if resource.is("", "pods") {
            return at_once(self.pods(change));
        }
        if resource.is("", "services") {
            let gone = if let Change::Gone(service) = &change { Some(Place::of(service)) } else { None };
            return at_once(keep(&mut self.services, change).into_iter().chain(gone).collect());
        }
        let concerned: Vec<Place> = match &change {
            Change::Listed(items) => items.iter().filter_map(service_of).collect(),
            Change::Put(slice) | Change::Gone(slice) => service_of(slice).into_iter().collect(),
        };
        keep(&mut self.slices, change);
        at_once(concerned)
    }

    fn facts(&self, key: &Place) -> Option<Facts> {
        let mine = |slice: &&Arc<Value>| service_of(slice).as_ref() == Some(key);
        let pods = self.pods.iter().filter(|(place, _)| place.namespace == key.namespace);
        Some(Facts {
            service: self.services.get(key).filter(|one| meta::deletion_timestamp(one).is_none()).cloned(),
            pods: pods.map(|(_, pod)| pod.clone()).collect(),
            slices: self.slices.iter().map(|(_, slice)| slice).filter(mine).cloned().collect(),
        })
    }

    async fn sync(key: Place, facts: Facts, api: Arc<dyn Api>, _now: Timestamp) -> Result<Next, ApiError> {
        let resource = known("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice");
        for action in decide(&facts) {
            let write = match action {
                Action::Create(object) => Write::Create { namespace: key.namespace.clone(), object },
                Action::Update(object) => {
                    Write::Update { place: Place::of(&object), subresource: None, object }
                }
                Action::Delete(place) => Write::Delete {
                    place,
                    propagation: Propagation::Background,
                    uid: None,
                    resource_version: None,
                },
            };
            client::found(api.write(&resource, write).await)?;
        }
        Ok(Next::Wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, ready: &str) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "d", "uid": name, "labels": {"app": "web"}},
            "spec": {"nodeName": "n", "containers": [{"ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    fn facts(pods: &[Value], slices: Vec<Value>) -> Facts {
        let service = json!({"metadata": {"name": "web", "namespace": "d", "uid": "u"}, "spec": {
            "selector": {"app": "web"}, "clusterIP": "10.96.0.9",
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]}});
        Facts {
            service: Some(Arc::new(service)),
            pods: pods.iter().filter_map(Backend::read).collect(),
            slices: slices.into_iter().map(Arc::new).collect(),
        }
    }

    #[test]
    fn a_service_has_one_slice_that_names_the_pods_port_and_whether_it_is_ready() {
        let actions = decide(&facts(&[pod("a", "True"), pod("b", "False")], Vec::new()));
        let [Action::Create(slice)] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(slice["ports"][0]["port"], 8080);
        let ready: Vec<_> =
            slice["endpoints"].as_array().unwrap().iter().map(|e| e["conditions"]["ready"] == true).collect();
        assert_eq!(ready, [true, false]);
        let mut made = slice.clone();
        made["metadata"]["name"] = json!("web-x");
        assert_eq!(decide(&facts(&[pod("a", "True"), pod("b", "False")], vec![made.clone()])), []);
        let less = decide(&facts(&[pod("a", "True")], vec![made.clone()]));
        assert!(
            matches!(&less[..], [Action::Update(slice)] if slice["endpoints"].as_array().unwrap().len() == 1)
        );
        let none = decide(&Facts { service: None, ..facts(&[], vec![made]) });
        assert!(matches!(&none[..], [Action::Delete(_)]));
    }

    #[test]
    fn a_hundred_pods_fill_a_slice() {
        let pods: Vec<_> = (0..150).map(|i| pod(&format!("p{i}"), "True")).collect();
        assert_eq!(decide(&facts(&pods, Vec::new())).len(), 2);
    }
}
