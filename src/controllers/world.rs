//! An API server in memory for tests: versions, watches, finalizers and propagation as the
//! real one has them, and nothing else of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use base::{Clock, Shutdown};
use futures::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use crate::garbage::graph::{FOREGROUND, ORPHAN};
use crate::*;

/// Time that passes at once when everybody waits (with tokio's paused time).
pub(crate) struct PausedClock(tokio::time::Instant);

#[async_trait]
impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + self.0.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

type Key = (String, Place);

pub(crate) struct World {
    state: Mutex<State>,
    changes: broadcast::Sender<(String, Event)>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    log: Vec<String>,
    uids: u64,
}

pub(crate) fn resource(group: &str, plural: &str, kind: &str, namespaced: bool) -> Arc<Resource> {
    let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
    Arc::new(Resource {
        group: group.into(),
        version: "v1".into(),
        plural: plural.into(),
        kind: kind.into(),
        namespaced,
        verbs: verbs.map(Into::into).to_vec(),
    })
}

fn served() -> Vec<Arc<Resource>> {
    vec![
        resource("", "namespaces", "Namespace", false),
        resource("", "pods", "Pod", true),
        resource("", "configmaps", "ConfigMap", true),
        resource("", "serviceaccounts", "ServiceAccount", true),
        resource("apps", "replicasets", "ReplicaSet", true),
        resource("apps", "deployments", "Deployment", true),
        resource("rbac.authorization.k8s.io", "clusterroles", "ClusterRole", false),
    ]
}

fn refused(code: u16, reason: &str, place: &Place) -> ApiError {
    ApiError::Refused { code, reason: reason.to_owned(), message: format!("{place}: {reason}") }
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changes: broadcast::channel(10_000).0,
            version: watch::channel(0).0,
        })
    }

    /// Runs a controller on this world until the test ends.
    pub(crate) fn run<C: Controller>(self: &Arc<Self>, controller: C) -> JoinHandle<()> {
        let clock = Arc::new(PausedClock(tokio::time::Instant::now()));
        tokio::spawn(run(controller, Arc::clone(self) as Arc<dyn Api>, clock, 4, Shutdown::new()))
    }

    /// Waits until `condition` holds.
    pub(crate) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let mut version = self.version.subscribe();
        let wait = async {
            while !condition(self) {
                version.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(3600), wait).await;
        waited.unwrap_or_else(|_| panic!("it never came: {:#?}", self.log()));
    }

    pub(crate) fn add(&self, plural: &str, object: Value) -> Value {
        let mut state = self.lock();
        let key = (plural.to_owned(), Place::of(&object));
        self.store(&mut state, key, object)
    }

    pub(crate) fn find(&self, plural: &str, place: &Place) -> Option<Value> {
        self.lock().objects.get(&(plural.to_owned(), place.clone())).cloned()
    }

    pub(crate) fn has(&self, plural: &str, place: &Place) -> bool {
        self.find(plural, place).is_some()
    }

    /// Deletes as a client would.
    pub(crate) fn delete(&self, plural: &str, place: &Place, propagation: Propagation) {
        let mut state = self.lock();
        self.begin_delete(&mut state, (plural.to_owned(), place.clone()), propagation);
    }

    /// Takes an object away behind every finalizer's back.
    pub(crate) fn vanish(&self, plural: &str, place: &Place) {
        let mut state = self.lock();
        self.erase(&mut state, &(plural.to_owned(), place.clone()));
    }

    /// Writes that were asked for.
    pub(crate) fn log(&self) -> Vec<String> {
        self.lock().log.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn store(&self, state: &mut State, key: Key, mut object: Value) -> Value {
        let version = *self.version.borrow() + 1;
        if object["metadata"]["uid"].is_null() {
            state.uids += 1;
            object["metadata"]["uid"] = json!(format!("uid-{}", state.uids));
        }
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        state.objects.insert(key.clone(), object.clone());
        let _ = self.changes.send((key.0.clone(), Event::Put(object.clone())));
        self.version.send_replace(version);
        self.finish_delete(state, &key, &object);
        object
    }

    fn erase(&self, state: &mut State, key: &Key) {
        if let Some(object) = state.objects.remove(key) {
            let _ = self.changes.send((key.0.clone(), Event::Gone(object)));
            self.version.send_modify(|version| *version += 1);
        }
    }

    fn finish_delete(&self, state: &mut State, key: &Key, object: &Value) {
        let empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
        let free = empty(&object["metadata"]["finalizers"]) && empty(&object["spec"]["finalizers"]);
        if free && !object["metadata"]["deletionTimestamp"].is_null() {
            self.erase(state, key);
        }
    }

    fn begin_delete(&self, state: &mut State, key: Key, propagation: Propagation) {
        let Some(mut object) = state.objects.get(&key).cloned() else {
            return;
        };
        let finalizer = match propagation {
            Propagation::Background => None,
            Propagation::Foreground => Some(FOREGROUND),
            Propagation::Orphan => Some(ORPHAN),
        };
        let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.extend(finalizer.map(Value::from));
        object["metadata"]["finalizers"] = json!(finalizers);
        object["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:00Z");
        self.store(state, key, object);
    }

    fn replace(&self, state: &mut State, key: Key, object: Value) -> Result<Value, ApiError> {
        let before = state.objects.get(&key).ok_or_else(|| refused(404, "NotFound", &key.1))?;
        let wanted = &object["metadata"]["resourceVersion"];
        if !wanted.is_null() && *wanted != before["metadata"]["resourceVersion"] {
            return Err(refused(409, "Conflict", &key.1));
        }
        let mut object = object;
        object["metadata"]["uid"] = before["metadata"]["uid"].clone();
        Ok(self.store(state, key, object))
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

#[async_trait]
impl Api for World {
    async fn resources(&self) -> Result<Vec<Arc<Resource>>, ApiError> {
        Ok(served())
    }

    async fn get(&self, resource: &Resource, place: &Place, _view: View) -> Result<Value, ApiError> {
        self.find(&resource.plural, place).ok_or_else(|| refused(404, "NotFound", place))
    }

    async fn list(&self, resource: &Resource, which: &Selection, _view: View) -> Result<List, ApiError> {
        let state = self.lock();
        let within = |place: &Place| which.namespace.is_none() || place.namespace == which.namespace;
        let objects =
            state.objects.iter().filter(|((plural, place), _)| *plural == *resource.plural && within(place));
        let items = objects.map(|(_, object)| object.clone()).collect();
        Ok(List { items, resource_version: self.version.borrow().to_string() })
    }

    async fn watch(
        &self,
        resource: &Resource,
        _which: &Selection,
        from: &str,
        _view: View,
    ) -> Result<Watched, ApiError> {
        let from: u64 = from.parse().unwrap();
        let plural = resource.plural.to_string();
        let state = self.lock();
        let changes = self.changes.subscribe();
        assert!(from <= *self.version.borrow());
        // What came between the list and now: tests have no deletions there.
        let version =
            |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
        let missed =
            state.objects.iter().filter(|((kind, _), object)| *kind == plural && version(object) > from);
        let missed: Vec<_> = missed.map(|(_, object)| Ok(Event::Put(object.clone()))).collect();
        let live = futures::stream::unfold(changes, |mut changes| async {
            let change = changes.recv().await.ok()?;
            Some((change, changes))
        });
        let live = live.filter_map(move |(kind, event)| {
            let ours = kind == plural;
            async move { ours.then_some(Ok(event)) }
        });
        Ok(futures::stream::iter(missed).chain(live).boxed())
    }

    async fn write(&self, resource: &Resource, write: Write) -> Result<Value, ApiError> {
        let mut state = self.lock();
        let key = |place: &Place| (resource.plural.to_string(), place.clone());
        match write {
            Write::Create { object, .. } => {
                let place = Place::of(&object);
                state.log.push(format!("create {} {place}", resource.plural));
                if state.objects.contains_key(&key(&place)) {
                    return Err(refused(409, "AlreadyExists", &place));
                }
                Ok(self.store(&mut state, key(&place), object))
            }
            Write::CreateIn { place, subresource, .. } => {
                state.log.push(format!("create {} {place} {subresource}", resource.plural));
                state.objects.get(&key(&place)).cloned().ok_or_else(|| refused(404, "NotFound", &place))
            }
            Write::Update { place, subresource, object } => {
                state.log.push(format!("update {} {place} {}", resource.plural, subresource.unwrap_or("")));
                self.replace(&mut state, key(&place), object)
            }
            Write::Merge { place, patch, .. } => {
                state.log.push(format!("merge {} {place}", resource.plural));
                let mut object = state
                    .objects
                    .get(&key(&place))
                    .cloned()
                    .ok_or_else(|| refused(404, "NotFound", &place))?;
                merge(&mut object, &patch);
                self.replace(&mut state, key(&place), object)
            }
            Write::Apply { place, object, .. } => {
                state.log.push(format!("apply {} {place}", resource.plural));
                let mut target = state.objects.get(&key(&place)).cloned().unwrap_or_default();
                merge(&mut target, &object);
                Ok(self.store(&mut state, key(&place), target))
            }
            Write::Delete { place, propagation, uid, .. } => {
                state.log.push(format!("delete {} {place} {propagation:?}", resource.plural));
                let object =
                    state.objects.get(&key(&place)).ok_or_else(|| refused(404, "NotFound", &place))?;
                if uid.is_some_and(|uid| object["metadata"]["uid"] != uid) {
                    return Err(refused(409, "Conflict", &place));
                }
                self.begin_delete(&mut state, key(&place), propagation);
                Ok(Value::Null)
            }
            Write::Remove { place, .. } => {
                state.log.push(format!("remove {} {place}", resource.plural));
                state.objects.remove(&key(&place));
                Ok(Value::Null)
            }
            Write::DeleteAll { namespace } => {
                state.log.push(format!("delete all {} in {namespace}", resource.plural));
                let ours = |(plural, place): &Key| {
                    *plural == *resource.plural && place.namespace.as_ref() == Some(&namespace)
                };
                let keys: Vec<_> = state.objects.keys().filter(|key| ours(key)).cloned().collect();
                for key in keys {
                    self.begin_delete(&mut state, key, Propagation::Background);
                }
                Ok(Value::Null)
            }
        }
    }
}
