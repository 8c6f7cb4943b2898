//! Endpoints, the elders of EndpointSlices: written from the slices of a Service (upstream's
//! endpoints-controller), and, where people write them by hand for a Service without a selector,
//! turned into slices (upstream's endpointslicemirroring-controller).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::events::known;
use crate::service_account::now as at_once;
use crate::workloads::keep;
use crate::{
    Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Propagation, Resource, View, Write,
};

const SERVICE: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const OF_PODS: &str = "endpointslice-controller.k8s.io";
const MIRRORS: &str = "endpointslicemirroring-controller.k8s.io";
/// Endpoints that are not to be mirrored, and those that are written here.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const WRITTEN: &str = "endpoints.kubernetes.io/managed-by";
const WRITER: &str = "endpoint-controller";
/// When something about a pod last made them change; not to be carried on.
const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// Addresses of one Endpoints or mirrored subset, at most.
const MOST: usize = 1000;
const TRUNCATED: &str = "endpoints.kubernetes.io/over-capacity";

/// The controller.
#[derive(Debug, Default)]
pub struct Endpoints {
    /// Whether it looks after slices of hand-written ones, or after those of Services with pods.
    mirrors: bool,
    services: Projection<Arc<Value>>,
    slices: Projection<Arc<Value>>,
    endpoints: Projection<Arc<Value>>,
}

/// Of one set of ports: entries by address, and whether they are ready.
type Addresses = BTreeMap<String, (bool, Value)>;

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    mirrors: bool,
    service: Option<Arc<Value>>,
    slices: Vec<Arc<Value>>,
    endpoints: Option<Arc<Value>>,
}

#[derive(Debug, PartialEq)]
enum Action {
    CreateEndpoints(Value),
    UpdateEndpoints(Value),
    DeleteEndpoints,
    CreateSlice(Value),
    UpdateSlice(Value),
    DeleteSlice(Place),
}

impl Action {
    fn is_of_slices(&self) -> bool {
        matches!(self, Self::CreateSlice(_) | Self::UpdateSlice(_) | Self::DeleteSlice(_))
    }
}

impl Endpoints {
    /// The part that mirrors.
    #[must_use]
    pub fn mirroring() -> Self {
        Self { mirrors: true, ..Self::default() }
    }
}

fn decide(place: &Place, facts: &Facts) -> Vec<Action> {
    let mut all = both(place, facts);
    all.retain(|action| action.is_of_slices() == facts.mirrors);
    all
}

fn both(place: &Place, facts: &Facts) -> Vec<Action> {
    let by = |slice: &&Arc<Value>, manager: &str| meta::label(slice, MANAGED_BY) == Some(manager);
    let mirrored: Vec<_> = facts.slices.iter().filter(|slice| by(slice, MIRRORS)).collect();
    let unmirror = || mirrored.iter().map(|slice| Action::DeleteSlice(Place::of(slice))).collect();
    let Some(service) = &facts.service else {
        let ours = facts.endpoints.as_ref().is_some_and(|own| meta::label(own, WRITTEN) == Some(WRITER));
        let mut actions: Vec<Action> = unmirror();
        actions.extend(ours.then_some(Action::DeleteEndpoints));
        return actions;
    };
    let selects = service["spec"]["selector"].as_object().is_some_and(|selector| !selector.is_empty());
    if !selects {
        let skipped = |own: &Value| {
            meta::label(own, SKIP) == Some("true")
                || meta::annotation(own, "control-plane.alpha.kubernetes.io/leader").is_some()
        };
        return match facts.endpoints.as_ref().filter(|own| !skipped(own)) {
            Some(own) => mirror(own, &mirrored),
            None => unmirror(),
        };
    }
    let mut actions: Vec<Action> = unmirror();
    if service["spec"]["type"] == "ExternalName" {
        return actions;
    }
    let slices: Vec<_> = facts.slices.iter().filter(|slice| by(slice, OF_PODS)).collect();
    let wanted = written(place, service, &slices);
    match &facts.endpoints {
        None => actions.push(Action::CreateEndpoints(wanted)),
        Some(own) => {
            let same = list(&own["subsets"]) == list(&wanted["subsets"])
                && own["metadata"]["labels"] == wanted["metadata"]["labels"]
                && own["metadata"]["annotations"].as_object().is_none_or(|notes| {
                    notes.get(TRUNCATED) == wanted["metadata"]["annotations"].get(TRUNCATED)
                });
            if !same {
                let mut new = (**own).clone();
                new["subsets"] = wanted["subsets"].clone();
                new["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
                new["metadata"]["annotations"] = wanted["metadata"]["annotations"].clone();
                actions.push(Action::UpdateEndpoints(new));
            }
        }
    }
    actions
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// The Endpoints of a Service, from its slices: subsets by ports, addresses in order.
fn written(place: &Place, service: &Value, slices: &[&Arc<Value>]) -> Value {
    let mut subsets: BTreeMap<String, (Value, Addresses)> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice["addressType"] == "IPv4") {
        let mut ports = list(&slice["ports"]);
        ports.sort_by_key(|port| {
            (port["name"].as_str().unwrap_or_default().to_owned(), port["port"].as_i64())
        });
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            port.retain(|_, value| *value != "");
        }
        let ports = Value::Array(ports);
        for endpoint in list(&slice["endpoints"]) {
            let conditions = &endpoint["conditions"];
            if conditions["terminating"] == true && conditions["ready"] != true {
                continue;
            }
            let Some(address) = endpoint["addresses"][0].as_str() else { continue };
            let mut entry = json!({"ip": address});
            for field in ["hostname", "nodeName", "targetRef"] {
                if !endpoint[field].is_null() {
                    entry[field] = endpoint[field].clone();
                }
            }
            let (_, all) =
                subsets.entry(ports.to_string()).or_insert_with(|| (ports.clone(), BTreeMap::new()));
            all.insert(address.to_owned(), (conditions["ready"] != false, entry));
        }
    }
    let mut room = MOST;
    let mut truncated = false;
    let mut listed = Vec::new();
    for (ports, addresses) in subsets.into_values() {
        let mut subset = json!({});
        for (field, wanted) in [("addresses", true), ("notReadyAddresses", false)] {
            let all: Vec<Value> = addresses
                .values()
                .filter(|(ready, _)| *ready == wanted)
                .map(|(_, entry)| entry.clone())
                .collect();
            truncated |= all.len() > room;
            let kept = all.len().min(room);
            room -= kept;
            if kept > 0 {
                subset[field] = Value::Array(all[..kept].to_vec());
            }
        }
        if !ports.as_array().is_none_or(Vec::is_empty) {
            subset["ports"] = ports;
        }
        listed.push(subset);
    }
    let mut labels = service["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(WRITTEN.to_owned(), json!(WRITER));
    if service["spec"]["clusterIP"] == "None" {
        labels.insert("service.kubernetes.io/headless".to_owned(), json!(""));
    }
    let mut made = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": &*place.name, "namespace": place.namespace.as_deref(), "labels": labels, "annotations": {}},
        "subsets": listed,
    });
    if truncated {
        made["metadata"]["annotations"][TRUNCATED] = json!("truncated");
    }
    made
}

/// Slices that say what hand-written Endpoints say, a slice for each subset and family.
fn mirror(own: &Value, there: &[&Arc<Value>]) -> Vec<Action> {
    let mut wanted = Vec::new();
    for subset in list(&own["subsets"]) {
        let mut families: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (field, ready) in [("addresses", true), ("notReadyAddresses", false)] {
            for entry in list(&subset[field]) {
                let ip = entry["ip"].as_str().unwrap_or_default();
                let mut endpoint = json!({"addresses": [ip], "conditions": {"ready": ready}});
                for known in ["hostname", "nodeName", "targetRef"] {
                    if !entry[known].is_null() {
                        endpoint[known] = entry[known].clone();
                    }
                }
                families.entry(if ip.contains(':') { "IPv6" } else { "IPv4" }).or_default().push(endpoint);
            }
        }
        let ports: Vec<Value> = list(&subset["ports"])
            .into_iter()
            .map(|mut port| {
                if port["name"].is_null() {
                    port["name"] = json!("");
                }
                port
            })
            .collect();
        for (family, mut endpoints) in families {
            endpoints.truncate(MOST);
            wanted.push(mirrored(own, family, endpoints, &ports));
        }
    }
    let mut old: Vec<_> = there.to_vec();
    let mut actions = Vec::new();
    for slice in wanted {
        let fits = |one: &&Arc<Value>| one["addressType"] == slice["addressType"];
        let same = |one: &&Arc<Value>| {
            fits(one)
                && list(&one["endpoints"]) == list(&slice["endpoints"])
                && list(&one["ports"]) == list(&slice["ports"])
                && one["metadata"]["labels"] == slice["metadata"]["labels"]
        };
        if let Some(at) = old.iter().position(same) {
            old.remove(at);
        } else if let Some(at) = old.iter().position(fits) {
            let mut new = (**old.remove(at)).clone();
            for field in ["endpoints", "ports"] {
                new[field] = slice[field].clone();
            }
            new["metadata"]["labels"] = slice["metadata"]["labels"].clone();
            actions.push(Action::UpdateSlice(new));
        } else {
            actions.push(Action::CreateSlice(slice));
        }
    }
    actions.extend(old.iter().map(|one| Action::DeleteSlice(Place::of(one))));
    actions
}

fn mirrored(own: &Value, family: &str, endpoints: Vec<Value>, ports: &[Value]) -> Value {
    let mut labels = own["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(SERVICE.to_owned(), json!(meta::name(own)));
    labels.insert(MANAGED_BY.to_owned(), json!(MIRRORS));
    let mut annotations = own["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.remove(TRIGGER);
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "generateName": format!("{}-", meta::name(own)), "namespace": meta::namespace(own),
            "labels": labels, "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "Endpoints", "name": meta::name(own), "uid": meta::uid(own),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "addressType": family, "endpoints": endpoints, "ports": ports,
    })
}

#[async_trait]
impl Controller for Endpoints {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        if self.mirrors { "endpointslicemirroring-controller" } else { "endpoints-controller" }
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let ours = resource.is("", "services")
            || resource.is("", "endpoints")
            || resource.is("discovery.k8s.io", "endpointslices");
        if ours { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        if resource.is("discovery.k8s.io", "endpointslices") {
            let service =
                |slice: &Value| Some(Place::within(meta::namespace(slice), meta::label(slice, SERVICE)?));
            let gone = if let Change::Gone(slice) = &change { service(slice) } else { None };
            let changed = keep(&mut self.slices, change);
            let places = changed.iter().filter_map(|place| service(self.slices.get(place)?));
            return at_once(places.chain(gone).collect());
        }
        let gone = if let Change::Gone(object) = &change { Some(Place::of(object)) } else { None };
        let all = if resource.is("", "services") { &mut self.services } else { &mut self.endpoints };
        at_once(keep(all, change).into_iter().chain(gone).collect())
    }

    fn facts(&self, key: &Place) -> Option<Facts> {
        let ours = |slice: &&Arc<Value>| {
            Some(meta::namespace(slice)) == key.namespace.as_deref()
                && meta::label(slice, SERVICE) == Some(&*key.name)
        };
        Some(Facts {
            mirrors: self.mirrors,
            service: self.services.get(key).cloned(),
            slices: self.slices.iter().map(|(_, slice)| slice).filter(ours).cloned().collect(),
            endpoints: self.endpoints.get(key).cloned(),
        })
    }

    async fn sync(key: Place, facts: Facts, api: Arc<dyn Api>, _now: Timestamp) -> Result<Next, ApiError> {
        let (elders, slices) = (
            known("", "v1", "endpoints", "Endpoints"),
            known("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
        );
        let update = |object: Value| Write::Update { place: Place::of(&object), subresource: None, object };
        let delete = |place: Place| Write::Delete {
            place,
            propagation: Propagation::Background,
            uid: None,
            resource_version: None,
        };
        for action in decide(&key, &facts) {
            let namespace = key.namespace.clone();
            let done = match action {
                Action::CreateEndpoints(object) => {
                    api.write(&elders, Write::Create { namespace, object }).await
                }
                Action::UpdateEndpoints(object) => api.write(&elders, update(object)).await,
                Action::DeleteEndpoints => api.write(&elders, delete(key.clone())).await,
                Action::CreateSlice(object) => api.write(&slices, Write::Create { namespace, object }).await,
                Action::UpdateSlice(object) => api.write(&slices, update(object)).await,
                Action::DeleteSlice(place) => api.write(&slices, delete(place)).await,
            };
            match done {
                // Its watch is a moment behind, or its namespace is on its way out.
                Err(error) if error.is_already_exists() || error.is_not_found() => {}
                other => drop(other?),
            }
        }
        Ok(Next::Wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(selector: Value) -> Arc<Value> {
        Arc::new(
            json!({"metadata": {"name": "s", "namespace": "n", "labels": {"a": "b"}}, "spec": {"selector": selector}}),
        )
    }

    fn slice(manager: &str, endpoints: Value) -> Arc<Value> {
        Arc::new(
            json!({"metadata": {"name": "s-1", "namespace": "n", "labels": {SERVICE: "s", MANAGED_BY: manager}},
            "addressType": "IPv4", "ports": [{"name": "", "protocol": "TCP", "port": 80}], "endpoints": endpoints}),
        )
    }

    fn said(service: Option<Arc<Value>>, slices: Vec<Arc<Value>>, endpoints: Option<Value>) -> Vec<Action> {
        both(
            &Place::within("n", "s"),
            &Facts { mirrors: false, service, slices, endpoints: endpoints.map(Arc::new) },
        )
    }

    #[test]
    fn a_services_endpoints_are_those_of_its_slices_ready_or_not() {
        let endpoints = json!([
            {"addresses": ["10.0.0.2"], "conditions": {"ready": true}, "nodeName": "x"},
            {"addresses": ["10.0.0.1"], "conditions": {"ready": false}},
            {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "terminating": true}},
        ]);
        let slices = vec![slice(OF_PODS, endpoints)];
        let made = said(Some(service(json!({"a": "b"}))), slices.clone(), None);
        let [Action::CreateEndpoints(object)] = &made[..] else { panic!("{made:?}") };
        assert_eq!(
            object["subsets"],
            json!([{"addresses": [{"ip": "10.0.0.2", "nodeName": "x"}], "notReadyAddresses": [{"ip": "10.0.0.1"}],
                "ports": [{"protocol": "TCP", "port": 80}]}])
        );
        assert_eq!(
            said(Some(service(json!({"a": "b"}))), slices, Some(object.clone())),
            [],
            "they are right"
        );
        assert_eq!(said(None, vec![], Some(object.clone())), [Action::DeleteEndpoints]);
        assert_eq!(said(None, vec![], Some(json!({"metadata": {"name": "s"}}))), [], "somebody else's stay");
    }

    #[test]
    fn endpoints_that_people_write_are_mirrored_and_follow() {
        let own = json!({"metadata": {"name": "s", "namespace": "n", "uid": "u"},
            "subsets": [{"addresses": [{"ip": "10.1.0.1"}], "ports": [{"port": 90, "protocol": "TCP"}]}]});
        let made = said(Some(service(Value::Null)), vec![], Some(own.clone()));
        let [Action::CreateSlice(object)] = &made[..] else { panic!("{made:?}") };
        assert_eq!(object["endpoints"], json!([{"addresses": ["10.1.0.1"], "conditions": {"ready": true}}]));
        let there = Arc::new(object.clone());
        assert_eq!(said(Some(service(Value::Null)), vec![Arc::clone(&there)], Some(own.clone())), []);
        let mut more = own;
        more["subsets"][0]["addresses"] = json!([{"ip": "10.1.0.2"}]);
        assert!(matches!(
            said(Some(service(Value::Null)), vec![Arc::clone(&there)], Some(more))[..],
            [Action::UpdateSlice(_)]
        ));
        assert!(matches!(said(Some(service(Value::Null)), vec![there], None)[..], [Action::DeleteSlice(_)]));
    }
}
