//! Priority: a pod's priority is its class's; at most one class is the default.

use std::sync::Arc;

use api::meta;
use api::status::Status;
use serde_json::Value;

use super::{Operation, Request, World};
use crate::lookups::What;

pub(super) fn admit(request: &Request, pod: &mut Value, world: &World) -> Result<(), Status> {
    if !request.is_for("", "pods") || !request.subresource.is_empty() {
        return Ok(());
    }
    match (request.operation, request.old) {
        (Operation::Create, _) => resolve(request, pod, world),
        (Operation::Update, Some(old)) => {
            // Who sends a pod without them means no change.
            for path in ["spec.priority", "spec.preemptionPolicy"] {
                if let (None, Some(value)) = (meta::at(pod, path), meta::at(old, path)) {
                    meta::put(pod, path, value.clone());
                }
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn resolve(request: &Request, pod: &mut Value, world: &World) -> Result<(), Status> {
    let named = meta::str_at(pod, "spec.priorityClassName").to_owned();
    let class = match named.is_empty() {
        true => default_class(world),
        false => {
            let found = world.objects.get(What::PriorityClass, "", &named);
            let why = || format!("no PriorityClass with name {named} was found");
            Some(found.ok_or_else(|| request.forbidden(pod, why()))?)
        }
    };
    let (priority, policy) = match &class {
        Some(class) => (meta::int_at(class, "value"), meta::str_at(class, "preemptionPolicy").to_owned()),
        None => (0, "PreemptLowerPriority".to_owned()),
    };
    if let Some(class) = class.filter(|_| named.is_empty()) {
        meta::put(pod, "spec.priorityClassName", meta::name(&class));
    }
    if let Some(own) = meta::at(pod, "spec.priority").and_then(Value::as_i64).filter(|own| *own != priority) {
        let why = format!(
            "the integer value of priority ({own}) must not be provided in pod spec; priority admission \
             controller computed {priority} from the given PriorityClass name"
        );
        return Err(request.forbidden(pod, why));
    }
    meta::put(pod, "spec.priority", priority);
    if policy.is_empty() {
        return Ok(());
    }
    let own = meta::str_at(pod, "spec.preemptionPolicy");
    if !own.is_empty() && own != policy {
        let why = format!(
            "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(request.forbidden(pod, why));
    }
    meta::put(pod, "spec.preemptionPolicy", policy);
    Ok(())
}

pub(super) fn validate(request: &Request, class: &Value, world: &World) -> Result<(), Status> {
    let concerns = request.is_for("scheduling.k8s.io", "priorityclasses") && request.subresource.is_empty();
    let written = matches!(request.operation, Operation::Create | Operation::Update);
    if !concerns || !written || meta::at(class, "globalDefault") != Some(&Value::Bool(true)) {
        return Ok(());
    }
    let Some(other) = default_class(world) else { return Ok(()) };
    let name = meta::name(&other);
    if request.operation == Operation::Create || name != meta::name(class) {
        let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
        return Err(request.forbidden(class, why));
    }
    Ok(())
}

/// Of several defaults, made at the same moment, the lowest.
fn default_class(world: &World) -> Option<Arc<Value>> {
    let classes = world.objects.priority_classes().into_iter();
    let defaults = classes.filter(|class| meta::at(class, "globalDefault") == Some(&Value::Bool(true)));
    defaults.min_by_key(|class| meta::int_at(class, "value"))
}
