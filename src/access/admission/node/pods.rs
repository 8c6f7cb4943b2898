//! A node's pods: it makes and deletes mirror pods, reports status, and evicts.

use api::field_error::quote;
use api::meta::{self, list_at, str_at};
use api::status::Status;
use serde_json::Value;

use super::{Ask, Operation, missing};
use crate::admission::{MIRROR, is_mirror};
use crate::lookups::What;
use crate::node::{Related, of_pod};

pub(super) fn admit(ask: Ask) -> Result<(), Status> {
    match (ask.request.subresource, ask.request.operation) {
        ("", Operation::Create) => create(ask),
        ("", Operation::Delete) => delete(ask),
        ("", operation) => {
            let (operation, who) = (quote(operation.word()), ask.who());
            ask.refuse(format!(
                "unexpected operation {operation}, {who} can only create and delete mirror pods"
            ))
        }
        ("status", Operation::Update) => status(ask),
        ("status", _) => ask.unexpected_operation(),
        ("eviction", Operation::Create) => evict(ask),
        ("eviction", operation) => ask.refuse(format!("unexpected operation {}", operation.word())),
        (other, _) => {
            let other = quote(other);
            ask.refuse(format!(
                "unexpected pod subresource {other}, only 'status' and 'eviction' are allowed"
            ))
        }
    }
}

fn create(ask: Ask) -> Result<(), Status> {
    let (pod, who) = (ask.object, ask.who());
    if !is_mirror(pod) {
        let mirror = quote(MIRROR);
        return ask
            .refuse(format!("pod does not have {mirror} annotation, {who} can only create mirror pods"));
    }
    if str_at(pod, "spec.nodeName") != ask.node {
        return ask.refuse(format!("{who} can only create pods with spec.nodeName set to itself"));
    }
    owned_by_node(ask)?;
    match referenced(pod) {
        Ok(None) => Ok(()),
        Ok(Some(resource)) => ask.refuse(format!("{who} can not create pods that reference {resource}")),
        Err(why) => ask.refuse(format!("error checking mirror pod for API references: {why}")),
    }
}

/// Exactly one owner: the Node itself, as it is now.
fn owned_by_node(ask: Ask) -> Result<(), Status> {
    let who = ask.who();
    let owner = match meta::owner_references(ask.object) {
        [owner] => owner,
        [] => return ask.refuse(format!("{who} can only create pods with an owner reference set to itself")),
        _ => {
            let why = format!("{who} can only create pods with a single owner reference set to itself");
            return ask.refuse(why);
        }
    };
    let is_node = str_at(owner, "apiVersion") == "v1" && str_at(owner, "kind") == "Node";
    if !is_node || str_at(owner, "name") != ask.node {
        return ask.refuse(format!("{who} can only create pods with an owner reference set to itself"));
    }
    let yes = |field: &str| owner.get(field) == Some(&Value::Bool(true));
    if !yes("controller") {
        return ask
            .refuse(format!("{who} can only create pods with a controller owner reference set to itself"));
    }
    if yes("blockOwnerDeletion") {
        return ask.refuse(format!("{who} must not set blockOwnerDeletion on an owner reference"));
    }
    let node =
        ask.world.objects.identity(What::Node, "", ask.node).ok_or_else(|| missing("node", ask.node))?;
    let claimed = str_at(owner, "uid");
    if claimed != node.uid {
        let name = ask.node;
        return ask.refuse(format!("node {name} UID mismatch: expected {claimed} got {}", node.uid));
    }
    Ok(())
}

fn delete(ask: Ask) -> Result<(), Status> {
    let pod = existing(ask, ask.request.name)?;
    if str_at(&pod, "spec.nodeName") != ask.node {
        let who = ask.who();
        return ask.refuse(format!("{who} can only delete pods with spec.nodeName set to itself"));
    }
    Ok(())
}

fn status(ask: Ask) -> Result<(), Status> {
    let (old, new, who) = (ask.old(), ask.object, ask.who());
    if str_at(old, "spec.nodeName") != ask.node {
        let why = format!("{who} can only update pod status for pods with spec.nodeName set to itself");
        return ask.refuse(why);
    }
    for (path, what) in [
        ("metadata.labels", "labels through pod status"),
        ("status.resourceClaimStatuses", "resource claim statues"),
        ("status.extendedResourceClaimStatus", "extended resource claim status"),
        ("status.nodeAllocatableResourceClaimStatuses", "node allocatable resource claim statuses"),
    ] {
        if !meta::same_at(old, new, path) {
            return ask.refuse(format!("{who} cannot update {what}"));
        }
    }
    Ok(())
}

fn evict(ask: Ask) -> Result<(), Status> {
    let names = [ask.request.name, meta::name(ask.object)];
    let Some(name) = names.into_iter().find(|name| !name.is_empty()) else {
        return ask.refuse("could not determine pod from request data");
    };
    let pod = existing(ask, name)?;
    if str_at(&pod, "spec.nodeName") != ask.node {
        let node = ask.node;
        return ask.refuse(format!("node {node} can only evict pods with spec.nodeName set to itself"));
    }
    Ok(())
}

fn existing(ask: Ask, name: &str) -> Result<std::sync::Arc<Value>, Status> {
    let found = ask.world.objects.get(What::Pod, ask.request.namespace, name);
    found.ok_or_else(|| missing("pod", name))
}

/// Volumes that need nothing of the API.
const LOCAL: [&str; 21] = [
    "awsElasticBlockStore",
    "azureDisk",
    "cephfs",
    "cinder",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
];

/// Volumes that need an object, and how the refusal names it.
const REMOTE: [(&str, &str); 7] = [
    ("configMap", "configmaps (via configmap volumes)"),
    ("secret", "secrets (via secret volumes)"),
    ("csi", "csidrivers (via CSI volumes)"),
    ("glusterfs", "endpoints (via glusterFS volumes)"),
    ("persistentVolumeClaim", "persistentvolumeclaims"),
    ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
    ("azureFile", "secrets (via azureFile volumes)"),
];

const PROJECTED: [(&str, &str); 5] = [
    ("configMap", "configmaps (via projected volumes)"),
    ("secret", "secrets (via projected volumes)"),
    ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
    ("clusterTrustBundle", "clustertrustbundles"),
    ("podCertificate", "podcertificates"),
];

/// The first object of the API that the pod refers to, or what is unknown about it.
fn referenced(pod: &Value) -> Result<Option<&'static str>, String> {
    let mut plain = pod.clone();
    meta::remove(&mut plain, "metadata.annotations");
    let named = of_pod(&plain);
    let names = |related: Related| named.iter().any(|(other, _)| *other == related);
    for (related, word) in [
        (Related::ServiceAccount, "serviceaccounts"),
        (Related::Secret, "secrets"),
        (Related::ConfigMap, "configmaps"),
    ] {
        if names(related) {
            return Ok(Some(word));
        }
    }
    if !list_at(pod, "spec.resourceClaims").is_empty() {
        return Ok(Some("resourceclaims"));
    }
    for volume in list_at(pod, "spec.volumes") {
        if let Some(word) = of_volume(volume)? {
            return Ok(Some(word));
        }
    }
    Ok(None)
}

fn of_volume(volume: &Value) -> Result<Option<&'static str>, String> {
    let has = |field: &str| meta::at(volume, field).is_some();
    if LOCAL.iter().any(|field| has(field)) || has("vsphereVolume") {
        return Ok(None);
    }
    if let Some((_, word)) = REMOTE.iter().find(|(field, _)| has(field)) {
        return Ok(Some(word));
    }
    let name = quote(str_at(volume, "name"));
    if !has("projected") {
        return Err(format!("unknown volume type for volume  {name}"));
    }
    for source in list_at(volume, "projected.sources") {
        let has = |field: &str| meta::at(source, field).is_some();
        match PROJECTED.iter().find(|(field, _)| has(field)) {
            Some((_, word)) => return Ok(Some(word)),
            None if has("downwardAPI") => {}
            None => return Err(format!("unknown source for projected volume {name}")),
        }
    }
    Ok(None)
}
