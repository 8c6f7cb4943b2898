//! ServiceAccount: each pod runs as one that exists, gets its token as a volume, and its
//! image pull secrets.

use api::meta;
use api::names::generate;
use api::status::Status;
use serde_json::{Value, json};

use super::{Awaited, Operation, Request, World, is_mirror, secrets};
use crate::lookups::What;
use crate::token::WARN_ONLY_SECONDS;

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME_PREFIX: &str = "kube-api-access-";
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

fn concerns(request: &Request, pod: &Value) -> bool {
    let part = matches!(request.subresource, "" | "ephemeralcontainers");
    request.is_for("", "pods") && part && pod.is_object()
}

pub(super) fn admit(request: &Request, pod: &mut Value, world: &World) -> Result<(), Status> {
    if !concerns(request, pod) || request.operation != Operation::Create {
        return Ok(());
    }
    // A mirror pod is as its node made it, or the node would make it again.
    if is_mirror(pod) {
        return validate(request, pod, world);
    }
    if meta::str_at(pod, "spec.serviceAccountName").is_empty() {
        meta::put(pod, "spec.serviceAccountName", "default");
        meta::put(pod, "spec.serviceAccount", "default");
    }
    let account = account_of(request, pod, world)?;
    let automount = |object: &Value, path: &str| meta::at(object, path).and_then(Value::as_bool);
    let wanted = automount(pod, "spec.automountServiceAccountToken")
        .or_else(|| automount(&account, "automountServiceAccountToken"));
    if wanted.unwrap_or(true) {
        mount_token(pod, request.random);
    }
    let secrets = meta::list_at(&account, "imagePullSecrets");
    if meta::list_at(pod, "spec.imagePullSecrets").is_empty() && !secrets.is_empty() {
        let names = secrets.iter().map(|secret| json!({"name": meta::str_at(secret, "name")}));
        let names: Vec<Value> = names.collect();
        meta::put(pod, "spec.imagePullSecrets", names);
    }
    validate(request, pod, world)
}

/// The default account of the namespace, which a controller makes, if the pod runs as it.
pub(super) fn awaited(request: &Request, pod: &Value) -> Option<Awaited> {
    let created = concerns(request, pod) && request.operation == Operation::Create && !is_mirror(pod);
    let default = matches!(meta::str_at(pod, "spec.serviceAccountName"), "" | "default");
    let (namespace, name) = (request.namespace.to_owned(), "default".to_owned());
    (created && default).then_some(Awaited { what: What::ServiceAccount, namespace, name, patience_ms: 1500 })
}

pub(super) fn validate(request: &Request, pod: &Value, world: &World) -> Result<(), Status> {
    if !concerns(request, pod) {
        return Ok(());
    }
    let late = request.operation == Operation::Update && request.subresource == "ephemeralcontainers";
    if !late && request.operation != Operation::Create {
        return Ok(());
    }
    if !late && is_mirror(pod) {
        return validate_mirror(request, pod);
    }
    if meta::str_at(pod, "spec.serviceAccountName").is_empty() {
        let (namespace, name) = (request.namespace, meta::name(pod));
        let why = format!("no service account specified for pod {namespace}/{name}");
        return Err(request.forbidden(pod, why));
    }
    let account = account_of(request, pod, world)?;
    let enforced = meta::annotation(&account, ENFORCE).is_some_and(is_true);
    match (enforced, late) {
        (false, _) => Ok(()),
        (true, true) => secrets::limit_ephemeral(&account, pod).map_err(Status::unknown),
        (true, false) => secrets::limit(&account, pod).map_err(|why| request.forbidden(pod, why)),
    }
}

/// Go's `ParseBool`: what is neither is no.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn validate_mirror(request: &Request, pod: &Value) -> Result<(), Status> {
    if !meta::str_at(pod, "spec.serviceAccountName").is_empty() {
        return Err(request.forbidden(pod, "a mirror pod may not reference service accounts"));
    }
    if secrets::names_any(pod) {
        return Err(request.forbidden(pod, "a mirror pod may not reference secrets"));
    }
    let volumes = meta::list_at(pod, "spec.volumes").iter();
    let mut sources = volumes.flat_map(|volume| meta::list_at(volume, "projected.sources"));
    if sources.any(|source| meta::at(source, "serviceAccountToken").is_some()) {
        let why = "a mirror pod may not use ServiceAccountToken volume projections";
        return Err(request.forbidden(pod, why));
    }
    Ok(())
}

fn account_of(request: &Request, pod: &Value, world: &World) -> Result<std::sync::Arc<Value>, Status> {
    let (namespace, name) = (request.namespace, meta::str_at(pod, "spec.serviceAccountName"));
    world.objects.get(What::ServiceAccount, namespace, name).ok_or_else(|| {
        let missing = format!("serviceaccount {} not found", api::field_error::quote(name));
        let why = format!("error looking up service account {namespace}/{name}: {missing}");
        request.forbidden(pod, why)
    })
}

/// Mounts the token where nothing else is mounted, by a volume that is made if it is not there.
fn mount_token(pod: &mut Value, random: u64) {
    let volumes = meta::list_at(pod, "spec.volumes").iter();
    let known =
        volumes.map(|volume| meta::str_at(volume, "name")).find(|name| name.starts_with(VOLUME_PREFIX));
    let known = known.map(str::to_owned);
    let name = known.clone().unwrap_or_else(|| generate(VOLUME_PREFIX, random));
    let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT_PATH});
    let mut mounted = false;
    for list in ["spec.initContainers", "spec.containers"] {
        let containers = meta::at_mut(pod, list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let mounts = meta::list_at(container, "volumeMounts").iter();
            if mounts.clone().any(|mount| meta::str_at(mount, "mountPath") == MOUNT_PATH) {
                continue;
            }
            push(container, "volumeMounts", mount.clone());
            mounted = true;
        }
    }
    if mounted && known.is_none() {
        let projected = json!({
            "sources": [
                {"serviceAccountToken": {"expirationSeconds": WARN_ONLY_SECONDS, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{
                    "path": "namespace",
                    "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"},
                }]}},
            ],
            "defaultMode": 420,
        });
        push(pod, "spec.volumes", json!({"name": name, "projected": projected}));
    }
}

/// Appends to a list that may not be there.
pub(super) fn push(object: &mut Value, path: &str, item: Value) {
    let list = meta::entry(object, path);
    match list.as_array_mut() {
        Some(items) => items.push(item),
        None => *list = Value::Array(vec![item]),
    }
}
