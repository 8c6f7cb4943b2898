//! RuntimeClass: a pod's class must be there, and gives it its overhead and where it may run
//! (upstream's plugin of that name).

use api::meta;
use api::status::Status;
use serde_json::{Value, json};

use super::{Operation, Request, World};
use crate::lookups::What;

pub(super) fn admit(request: &Request, pod: &mut Value, world: &World) -> Result<(), Status> {
    if !request.is_for("", "pods")
        || !request.subresource.is_empty()
        || request.operation != Operation::Create
    {
        return Ok(());
    }
    let refuse = |pod: &Value, why: String| Err(request.forbidden(pod, why));
    let name = meta::str_at(pod, "spec.runtimeClassName").to_owned();
    let own = pod["spec"]["overhead"].as_object().filter(|list| !list.is_empty()).cloned();
    if name.is_empty() {
        return match own {
            None => Ok(()),
            Some(_) => refuse(
                pod,
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
                    .to_owned(),
            ),
        };
    }
    let Some(class) = world.objects.get(What::RuntimeClass, "", &name) else {
        return refuse(pod, format!("pod rejected: RuntimeClass {name:?} not found"));
    };
    let fixed = class["overhead"]["podFixed"].as_object().filter(|list| !list.is_empty());
    if own.is_some() && own.as_ref() != fixed {
        return refuse(
            pod,
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned(),
        );
    }
    if let Some(fixed) = fixed {
        meta::put(pod, "spec.overhead", Value::Object(fixed.clone()));
    }
    for (key, value) in class["scheduling"]["nodeSelector"].as_object().into_iter().flatten() {
        let is = &pod["spec"]["nodeSelector"][key];
        if !is.is_null() && is != value {
            let (own, classes) = (is.as_str().unwrap_or_default(), value.as_str().unwrap_or_default());
            let why = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {classes}; pod.spec.nodeSelector[{key}] = {own}"
            );
            return refuse(pod, why);
        }
        meta::fields(meta::entry(pod, "spec.nodeSelector")).insert(key.clone(), value.clone());
    }
    let mut tolerations = meta::list_at(pod, "spec.tolerations").to_vec();
    let more = meta::list_at(&class, "scheduling.tolerations");
    if !more.is_empty() {
        tolerations.extend(more.iter().filter(|one| !tolerations.contains(one)).cloned().collect::<Vec<_>>());
        meta::put(pod, "spec.tolerations", json!(tolerations));
    }
    Ok(())
}
