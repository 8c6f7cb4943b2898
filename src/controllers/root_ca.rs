//! Keeps the ConfigMap `kube-root-ca.crt` in every namespace, from which pods learn whom to
//! trust (upstream's root-ca-certificate-publisher-controller).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::namespace::Namespaces;
use crate::service_account::{create, now};
use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Resource, View, Write};

const NAME: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
const WORDS: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
    endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
    distributions of Kubernetes clusters.";

/// The controller.
#[derive(Debug)]
pub struct RootCa {
    /// The authorities' certificates, PEM.
    bundle: Arc<str>,
    namespaces: Namespaces,
    resource: Option<Arc<Resource>>,
    /// Whether each namespace's ConfigMap holds what it should.
    right: Projection<bool>,
}

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    resource: Arc<Resource>,
    bundle: Arc<str>,
    /// Whether there is one, with other content.
    present: bool,
}

impl RootCa {
    /// Publishes `bundle`, PEM.
    #[must_use]
    pub fn new(bundle: &str) -> Self {
        Self {
            bundle: bundle.into(),
            namespaces: Namespaces::default(),
            resource: None,
            right: Projection::default(),
        }
    }

    fn maps(&mut self, change: Change) -> Vec<Arc<str>> {
        match change {
            Change::Listed(items) => {
                let ours: Vec<_> = items.iter().filter_map(|map| self.ours(map)).collect();
                let wrong = ours.iter().filter(|(_, right)| !right).map(|(place, _)| place.clone());
                let wrong: Vec<Place> = wrong.collect();
                let gone = self.right.replace(ours).into_iter().map(|(place, _)| place);
                gone.chain(wrong).filter_map(|place| place.namespace).collect()
            }
            Change::Put(map) => {
                let Some((place, right)) = self.ours(&map) else {
                    return Vec::new();
                };
                self.right.put(place.clone(), right);
                place.namespace.filter(|_| !right).into_iter().collect()
            }
            Change::Gone(map) => {
                let Some((place, _)) = self.ours(&map) else {
                    return Vec::new();
                };
                self.right.remove(&place);
                place.namespace.into_iter().collect()
            }
        }
    }

    fn ours(&self, map: &Value) -> Option<(Place, bool)> {
        let place = Place::of(map);
        (&*place.name == NAME).then(|| (place, is_right(map, &self.bundle)))
    }
}

/// Whether the map holds exactly the bundle and says what it is.
fn is_right(map: &Value, bundle: &str) -> bool {
    map["data"] == data(bundle) && map["metadata"]["annotations"][DESCRIPTION] == WORDS
}

fn data(bundle: &str) -> Value {
    json!({ KEY: bundle })
}

fn wanted(namespace: &str, bundle: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "namespace": namespace, "annotations": {DESCRIPTION: WORDS}},
        "data": data(bundle),
    })
}

#[async_trait]
impl Controller for RootCa {
    type Key = Arc<str>;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "root-ca-certificate-publisher-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        if resource.is("", "namespaces") {
            Interest::Of(View::Metadata)
        } else if resource.is("", "configmaps") {
            Interest::Of(View::Whole)
        } else {
            Interest::None
        }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Arc<str>, Duration)> {
        if resource.is("", "namespaces") {
            return now(self.namespaces.observe(change));
        }
        self.resource = Some(Arc::clone(resource));
        now(self.maps(change))
    }

    fn facts(&self, namespace: &Arc<str>) -> Option<Facts> {
        if !self.namespaces.is_active(namespace) {
            return None;
        }
        let right = self.right.get(&Place::within(namespace, NAME)).copied();
        let resource = self.resource.clone().filter(|_| right != Some(true))?;
        Some(Facts { resource, bundle: Arc::clone(&self.bundle), present: right.is_some() })
    }

    async fn sync(
        namespace: Arc<str>,
        facts: Facts,
        api: Arc<dyn Api>,
        _now: Timestamp,
    ) -> Result<Next, ApiError> {
        let object = wanted(&namespace, &facts.bundle);
        if facts.present {
            let place = Place::within(&namespace, NAME);
            let write = Write::Update { place, subresource: None, object };
            api.write(&facts.resource, write).await?;
            return Ok(Next::Wait);
        }
        create(&*api, &facts.resource, Write::Create { namespace: Some(namespace), object }).await
    }
}
