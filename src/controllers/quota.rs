//! ResourceQuotas: what a namespace uses of each is counted into its status (upstream's
//! resourcequota-controller). That nothing more is used is the API server's to see to, when an
//! object is created.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::kinds::usage::{self, Usage};
use api::meta;
use api::quantity::Quantity;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::events::known;
use crate::workloads::{differs, keep, with_status};
use crate::{
    Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Resource, Selection, View,
};

/// Changes of a namespace within this time are counted once.
const GATHER: Duration = Duration::from_millis(100);
/// Upstream's full resync, for what no watch told.
const AGAIN: Duration = Duration::from_secs(300);

/// The controller.
#[derive(Debug, Default)]
pub struct Quotas(Projection<Arc<Value>>);

fn is_quota(resource: &Resource) -> bool {
    resource.is("", "resourcequotas")
}

/// Which kinds have to be counted for these names: group and plural.
fn kinds(names: &[&str]) -> BTreeSet<(String, String)> {
    let core = |plural: &str| (String::new(), plural.to_owned());
    let of = |name: &&str| match *name {
        name if name.starts_with("count/") => {
            let (plural, group) = name[6..].split_once('.').unwrap_or((&name[6..], ""));
            (group.to_owned(), plural.to_owned())
        }
        "configmaps" | "persistentvolumeclaims" | "replicationcontrollers" | "resourcequotas" | "secrets" => {
            core(name)
        }
        name if name.starts_with("services") => core("services"),
        "requests.storage" => core("persistentvolumeclaims"),
        name if name.contains(".storageclass.storage.k8s.io/") => core("persistentvolumeclaims"),
        _ => core("pods"),
    };
    names.iter().map(of).collect()
}

/// The status of a quota whose namespace has these objects.
fn counted(quota: &Value, objects: &BTreeMap<(String, String), Vec<Value>>) -> Value {
    let hard = quota["spec"]["hard"].as_object().cloned().unwrap_or_default();
    let mut total = Usage::new();
    for ((group, plural), all) in objects {
        for object in all.iter().filter(|object| usage::falls_under(quota, group, plural, object)) {
            for (name, amount) in usage::of(group, plural, object) {
                let sum = total.entry(name).or_default();
                *sum = sum.plus(amount);
            }
        }
    }
    let used: serde_json::Map<String, Value> = hard
        .keys()
        .map(|name| {
            let amount = total.get(name).copied().unwrap_or(Quantity::ZERO);
            (name.clone(), json!(usage::written(name, amount)))
        })
        .collect();
    json!({"hard": hard, "used": used})
}

#[async_trait]
impl Controller for Quotas {
    type Key = Place;
    type Facts = Arc<Value>;

    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        // Pods and Services change what they use; of others it counts that they are there.
        let whole = ["pods", "services", "resourcequotas", "persistentvolumeclaims"];
        match resource.namespaced && resource.can("watch") && &*resource.plural != "events" {
            true if resource.group.is_empty() && whole.contains(&&*resource.plural) => {
                Interest::Of(View::Whole)
            }
            true if resource.can("create") => Interest::Of(View::Metadata),
            _ => Interest::None,
        }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        let mut due = BTreeSet::new();
        let namespace = match &change {
            Change::Listed(_) => None,
            Change::Put(object) | Change::Gone(object) => Some(meta::namespace(object).to_owned()),
        };
        if is_quota(resource) {
            due.extend(keep(&mut self.0, change));
        }
        if let Some(namespace) = namespace {
            let here = self.0.iter().filter(|(place, _)| place.namespace.as_deref() == Some(&*namespace));
            due.extend(here.map(|(place, _)| place.clone()));
        }
        due.into_iter().map(|place| (place, GATHER)).collect()
    }

    fn facts(&self, key: &Place) -> Option<Arc<Value>> {
        self.0.get(key).filter(|quota| meta::deletion_timestamp(quota).is_none()).cloned()
    }

    async fn sync(
        key: Place,
        quota: Arc<Value>,
        api: Arc<dyn Api>,
        _now: Timestamp,
    ) -> Result<Next, ApiError> {
        let hard = quota["spec"]["hard"].as_object();
        let names: Vec<&str> = hard.into_iter().flatten().map(|(name, _)| &**name).collect();
        let namespace = key.namespace.as_deref().unwrap_or_default();
        let mut objects = BTreeMap::new();
        let served = api.resources().await?;
        for (group, plural) in kinds(&names) {
            let Some(resource) = served.iter().find(|one| one.is(&group, &plural)) else { continue };
            let list = api.list(resource, &Selection::within(namespace), View::Whole).await?;
            objects.insert((group, plural), list.items);
        }
        let status = counted(&quota, &objects);
        if differs(&quota["status"], &status) {
            api.write(&known("", "v1", "resourcequotas", "ResourceQuota"), with_status(&quota, status))
                .await?;
        }
        Ok(Next::After(AGAIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_quota_names_is_counted_and_all_of_it() {
        let quota = json!({"spec": {"hard": {"pods": "5", "requests.cpu": "2", "count/deployments.apps": "1", "secrets": "3"}}});
        let names: Vec<&str> =
            quota["spec"]["hard"].as_object().unwrap().keys().map(String::as_str).collect();
        let core = |plural: &str| (String::new(), plural.to_owned());
        let apps = ("apps".to_owned(), "deployments".to_owned());
        assert_eq!(kinds(&names), BTreeSet::from([apps.clone(), core("pods"), core("secrets")]));
        let pod = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "300m"}}}]}, "status": {"phase": "Running"}});
        let objects = BTreeMap::from([(apps, vec![json!({})]), (core("pods"), vec![pod.clone(), pod])]);
        assert_eq!(
            counted(&quota, &objects)["used"],
            json!({"pods": "2", "requests.cpu": "600m", "count/deployments.apps": "1", "secrets": "0"})
        );
    }
}
