//! Empties namespaces that are being deleted and lets them go (upstream's namespace-controller).
//!
//! Pods go first, then everything else that can be deleted; what remains, and which
//! finalizers hold it, is told in the namespace's conditions in upstream's words. Only
//! [`content`] lists and deletes; [`conditions`] and [`content::judge`] decide.

pub mod conditions;
pub mod content;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Resource, View, Write};
use client::found;
use conditions::Findings;
use content::Left;

/// The finalizer in `spec.finalizers` that this controller answers for.
const FINALIZER: &str = "kubernetes";

/// What an object made at the last moment, through another API server, needs to be seen here.
const GRACE: Duration = Duration::from_secs(1);

/// Which namespaces are not being deleted; for controllers that keep something in each.
#[derive(Debug, Default)]
pub struct Namespaces(BTreeSet<Arc<str>>);

impl Namespaces {
    /// Takes a change of namespaces and gives the active ones that it concerns.
    pub fn observe(&mut self, change: Change) -> Vec<Arc<str>> {
        let active = |object: &Value| {
            let name = Place::of(object).name;
            (object["metadata"]["deletionTimestamp"].is_null(), name)
        };
        match change {
            Change::Listed(items) => {
                let names = items.iter().map(active);
                self.0 = names.filter_map(|(active, name)| active.then_some(name)).collect();
                self.0.iter().cloned().collect()
            }
            Change::Put(object) => match active(&object) {
                (true, name) => {
                    self.0.insert(Arc::clone(&name));
                    vec![name]
                }
                (false, name) => {
                    self.0.remove(&name);
                    Vec::new()
                }
            },
            Change::Gone(object) => {
                self.0.remove(&active(&object).1);
                Vec::new()
            }
        }
    }

    /// Whether the namespace is there and stays.
    pub fn is_active(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// The controller.
#[derive(Debug, Default)]
pub struct Deletion {
    /// Namespaces that are being deleted and still hold our finalizer.
    ending: BTreeSet<Arc<str>>,
    resource: Option<Arc<Resource>>,
}

#[async_trait]
impl Controller for Deletion {
    type Key = Arc<str>;
    type Facts = Arc<Resource>;

    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        if resource.is("", "namespaces") { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Arc<str>, Duration)> {
        self.resource = Some(Arc::clone(resource));
        let concerned = match change {
            Change::Listed(items) => {
                self.ending = items.iter().filter(|n| is_ending(n)).map(|n| Place::of(n).name).collect();
                self.ending.iter().cloned().collect()
            }
            Change::Put(object) if is_ending(&object) => {
                let name = Place::of(&object).name;
                self.ending.insert(Arc::clone(&name));
                vec![name]
            }
            Change::Put(object) | Change::Gone(object) => {
                self.ending.remove(&Place::of(&object).name);
                Vec::new()
            }
        };
        concerned.into_iter().map(|name| (name, GRACE)).collect()
    }

    fn facts(&self, name: &Arc<str>) -> Option<Arc<Resource>> {
        self.resource.clone().filter(|_| self.ending.contains(name))
    }

    async fn sync(
        name: Arc<str>,
        resource: Arc<Resource>,
        api: Arc<dyn Api>,
        now: Timestamp,
    ) -> Result<Next, ApiError> {
        let place = Place::cluster(&name);
        let Some(mut namespace) = found(api.get(&resource, &place, View::Whole).await)? else {
            return Ok(Next::Wait);
        };
        if !is_ending(&namespace) {
            return Ok(Next::Wait);
        }
        if namespace["status"]["phase"] != "Terminating" {
            namespace["status"]["phase"] = json!("Terminating");
            namespace = write(&*api, &resource, &place, "status", namespace).await?;
        }
        let deleted_at = timestamp(&namespace["metadata"]["deletionTimestamp"]).unwrap_or(now);
        let mut findings = Findings::default();
        let served = api.resources().await.map_err(|error| findings.undiscovered(error))?;
        let age = Duration::try_from(now.duration_since(deleted_at)).unwrap_or_default();
        let left = content::remove_all(&*api, &name, &served, age, &mut findings).await;
        if findings.settle(&mut namespace, now) {
            namespace = write(&*api, &resource, &place, "status", namespace).await?;
        }
        match left {
            Left::Failed(error) => Err(error),
            Left::Waiting(estimate) => Ok(Next::After(pause(estimate, age))),
            Left::Nothing => {
                finalize(&*api, &resource, &place, namespace).await?;
                Ok(Next::Wait)
            }
        }
    }
}

/// Whether it is being deleted and was not finalized yet.
fn is_ending(namespace: &Value) -> bool {
    let finalizers = namespace["spec"]["finalizers"].as_array();
    !namespace["metadata"]["deletionTimestamp"].is_null() && finalizers.is_some_and(|list| !list.is_empty())
}

async fn finalize(
    api: &dyn Api,
    resource: &Resource,
    place: &Place,
    mut namespace: Value,
) -> Result<(), ApiError> {
    if let Some(finalizers) = namespace["spec"]["finalizers"].as_array_mut() {
        finalizers.retain(|name| name != FINALIZER);
    }
    found(write(api, resource, place, "finalize", namespace).await).map(drop)
}

async fn write(
    api: &dyn Api,
    resource: &Resource,
    place: &Place,
    subresource: &'static str,
    object: Value,
) -> Result<Value, ApiError> {
    let write = Write::Update { place: place.clone(), subresource: Some(subresource), object };
    api.write(resource, write).await
}

/// Half the estimate, as upstream waits; sooner while the namespace was deleted lately, so
/// that one is not held up by pods that end before their time.
fn pause(estimate: Duration, age: Duration) -> Duration {
    let upstream = estimate / 2 + Duration::from_secs(1);
    upstream.min((age / 10).max(GRACE))
}

fn timestamp(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_the_age_up_to_half_the_estimate() {
        let seconds = Duration::from_secs;
        assert_eq!(pause(seconds(30), seconds(0)), seconds(1));
        assert_eq!(pause(seconds(30), seconds(50)), seconds(5));
        assert_eq!(pause(seconds(30), seconds(5000)), seconds(16));
    }

    #[test]
    fn only_namespaces_that_stay_are_active() {
        let mut namespaces = Namespaces::default();
        let object = |name: &str, at: Value| json!({"metadata": {"name": name, "deletionTimestamp": at}});
        let names = namespaces.observe(Change::Listed(vec![
            object("a", Value::Null),
            object("b", json!("2026-01-01T00:00:00Z")),
        ]));
        assert_eq!(names, ["a".into()]);
        assert!(namespaces.is_active("a") && !namespaces.is_active("b"));
        assert!(namespaces.observe(Change::Put(object("a", json!("2026-01-01T00:00:00Z")))).is_empty());
        assert!(!namespaces.is_active("a"));
    }
}
