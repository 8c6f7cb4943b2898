//! The objects that a pod refers to, fetched for its environment and volumes.

use std::collections::BTreeMap;

use api::meta;
use client::{ApiError, Place, Selection, View};
use pods::env::{self, Sources};
use serde_json::Value;

use crate::context::{Context, core};

/// Everything that containers' variables may come from.
pub(crate) async fn sources(context: &Context, pod: &Value, pod_ip: &str) -> Result<Sources, ApiError> {
    let (maps, secrets) = env::references(pod);
    Ok(Sources {
        config_maps: fetch(context, pod, "configmaps", "ConfigMap", &maps).await?,
        secrets: fetch(context, pod, "secrets", "Secret", &secrets).await?,
        host_ip: context.config.address.to_string(),
        pod_ip: pod_ip.to_owned(),
        allocatable: context.capacity,
        services: services(context, pod).await?,
    })
}

async fn fetch(
    context: &Context,
    pod: &Value,
    plural: &str,
    kind: &str,
    names: &[String],
) -> Result<BTreeMap<String, Value>, ApiError> {
    let mut found = BTreeMap::new();
    for name in names {
        let place = Place::within(meta::namespace(pod), name);
        if let Some(object) = context.get(plural, kind, &place).await? {
            found.insert(name.clone(), object);
        }
    }
    Ok(found)
}

/// The variables of Services: the API server's always, those of the pod's namespace where it wants them.
async fn services(context: &Context, pod: &Value) -> Result<Vec<(String, String)>, ApiError> {
    let resource = core("services", "Service");
    let place = Place::within("default", "kubernetes");
    let mut all: Vec<Value> =
        client::found(context.api.get(&resource, &place, View::Whole).await)?.into_iter().collect();
    if pod["spec"]["enableServiceLinks"] != false {
        let which = Selection::within(meta::namespace(pod));
        let own = context.api.list(&resource, &which, View::Whole).await?.items;
        all.extend(own.into_iter().filter(|one| Place::of(one) != place));
    }
    Ok(env::of_services(&all))
}
