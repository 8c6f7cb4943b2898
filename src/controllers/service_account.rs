//! Keeps a ServiceAccount `default` in every namespace (upstream's serviceaccount-controller).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::namespace::Namespaces;
use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Resource, View, Write};

const NAME: &str = "default";

/// The controller.
#[derive(Debug, Default)]
pub struct ServiceAccounts {
    namespaces: Namespaces,
    resource: Option<Arc<Resource>>,
    /// Namespaces that have their account.
    present: BTreeSet<Arc<str>>,
}

#[async_trait]
impl Controller for ServiceAccounts {
    type Key = Arc<str>;
    type Facts = Arc<Resource>;

    fn name(&self) -> &'static str {
        "serviceaccount-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let wanted = resource.is("", "namespaces") || resource.is("", "serviceaccounts");
        if wanted { Interest::Of(View::Metadata) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Arc<str>, Duration)> {
        if resource.is("", "namespaces") {
            return now(self.namespaces.observe(change));
        }
        self.resource = Some(Arc::clone(resource));
        now(self.accounts(change))
    }

    fn facts(&self, namespace: &Arc<str>) -> Option<Arc<Resource>> {
        let missing = self.namespaces.is_active(namespace) && !self.present.contains(namespace);
        self.resource.clone().filter(|_| missing)
    }

    async fn sync(
        namespace: Arc<str>,
        resource: Arc<Resource>,
        api: Arc<dyn Api>,
        _now: Timestamp,
    ) -> Result<Next, ApiError> {
        let write = Write::Create { namespace: Some(Arc::clone(&namespace)), object: account(&namespace) };
        create(&*api, &resource, write).await
    }
}

impl ServiceAccounts {
    /// Namespaces whose account changed.
    fn accounts(&mut self, change: Change) -> Vec<Arc<str>> {
        let ours = |object: &Value| {
            let place = Place::of(object);
            place.namespace.filter(|_| &*place.name == NAME)
        };
        match change {
            Change::Listed(items) => {
                let before = std::mem::replace(&mut self.present, items.iter().filter_map(ours).collect());
                before.difference(&self.present).cloned().collect()
            }
            Change::Put(object) => {
                self.present.extend(ours(&object));
                Vec::new()
            }
            Change::Gone(object) => {
                let mut gone = Vec::from_iter(ours(&object));
                gone.retain(|namespace| self.present.remove(namespace));
                gone
            }
        }
    }
}

fn account(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": NAME, "namespace": namespace},
    })
}

/// Creates an object of a namespace. That it is there already, or that the namespace is
/// ending, is as good: the watch brings the news.
pub(crate) async fn create(api: &dyn Api, resource: &Resource, write: Write) -> Result<Next, ApiError> {
    match api.write(resource, write).await {
        Ok(_) => Ok(Next::Wait),
        Err(error) if error.is_already_exists() || error.is_not_found() => Ok(Next::Wait),
        Err(ApiError::Refused { code: 403, message, .. }) if message.contains("being terminated") => {
            Ok(Next::Wait)
        }
        Err(error) => Err(error),
    }
}

/// Keys to sync at once.
pub(crate) fn now<K>(keys: Vec<K>) -> Vec<(K, Duration)> {
    keys.into_iter().map(|key| (key, Duration::ZERO)).collect()
}
