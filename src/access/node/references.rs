//! What a pod, or a volume, refers to: the Secrets, ConfigMaps, claims and the service
//! account that its node must be able to read.

use serde_json::Value;

use super::graph::Related;
use crate::value::{items, text};

/// The volume sources of a pod that name a secret, and where.
const POD_SECRETS: [&str; 10] = [
    "/azureFile/secretName",
    "/cephfs/secretRef/name",
    "/cinder/secretRef/name",
    "/flexVolume/secretRef/name",
    "/rbd/secretRef/name",
    "/secret/secretName",
    "/scaleIO/secretRef/name",
    "/iscsi/secretRef/name",
    "/storageos/secretRef/name",
    "/csi/nodePublishSecretRef/name",
];

/// What a pod refers to in its namespace. A mirror pod is given nothing: its node made it.
pub(super) fn of_pod(pod: &Value) -> Vec<(Related, String)> {
    let mut found = Vec::new();
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some() {
        return found;
    }
    let mut add = |related: Related, name: &str| {
        if !name.is_empty() {
            found.push((related, name.to_owned()));
        }
    };
    add(Related::ServiceAccount, text(pod, "/spec/serviceAccountName"));
    for reference in items(pod, "/spec/imagePullSecrets") {
        add(Related::Secret, text(reference, "/name"));
    }
    for list in ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"] {
        for container in items(pod, list) {
            of_container(container, &mut add);
        }
    }
    for volume in items(pod, "/spec/volumes") {
        of_volume(pod, volume, &mut add);
    }
    of_claims(pod, &mut add);
    found
}

fn of_container(container: &Value, add: &mut impl FnMut(Related, &str)) {
    for source in items(container, "/envFrom") {
        add(Related::Secret, text(source, "/secretRef/name"));
        add(Related::ConfigMap, text(source, "/configMapRef/name"));
    }
    for variable in items(container, "/env") {
        add(Related::Secret, text(variable, "/valueFrom/secretKeyRef/name"));
        add(Related::ConfigMap, text(variable, "/valueFrom/configMapKeyRef/name"));
    }
}

fn of_volume(pod: &Value, volume: &Value, add: &mut impl FnMut(Related, &str)) {
    for pointer in POD_SECRETS {
        add(Related::Secret, text(volume, pointer));
    }
    add(Related::ConfigMap, text(volume, "/configMap/name"));
    for source in items(volume, "/projected/sources") {
        add(Related::Secret, text(source, "/secret/name"));
        add(Related::ConfigMap, text(source, "/configMap/name"));
    }
    add(Related::Claim, text(volume, "/persistentVolumeClaim/claimName"));
    if volume.get("ephemeral").is_some_and(|source| !source.is_null()) {
        let claim = format!("{}-{}", text(pod, "/metadata/name"), text(volume, "/name"));
        add(Related::Claim, &claim);
    }
}

/// Resource claims: named ones, and those that were made from a template for the pod.
fn of_claims(pod: &Value, add: &mut impl FnMut(Related, &str)) {
    for claim in items(pod, "/spec/resourceClaims") {
        add(Related::ResourceClaim, text(claim, "/resourceClaimName"));
        if text(claim, "/resourceClaimTemplateName").is_empty() {
            continue;
        }
        let statuses = items(pod, "/status/resourceClaimStatuses").iter();
        for status in statuses.filter(|status| text(status, "/name") == text(claim, "/name")) {
            add(Related::ResourceClaim, text(status, "/resourceClaimName"));
        }
    }
    add(Related::ResourceClaim, text(pod, "/status/extendedResourceClaimStatus/resourceClaimName"));
}

/// The secrets that a kubelet needs for a PersistentVolume: namespace and name.
pub(super) fn of_volume_object(volume: &Value) -> Vec<(String, String)> {
    let claim = text(volume, "/spec/claimRef/namespace");
    let mut found = Vec::new();
    let mut add = |namespace: &str, fallback: &str, name: &str| {
        if !name.is_empty() {
            let namespace = if namespace.is_empty() { fallback } else { namespace };
            found.push((namespace.to_owned(), name.to_owned()));
        }
    };
    let azure = (text(volume, "/spec/azureFile/secretNamespace"), text(volume, "/spec/azureFile/secretName"));
    add(azure.0, claim, azure.1);
    // Older objects name no namespace: it is the claim's.
    for source in ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi"] {
        let at = |field: &str| text(volume, &format!("/spec/{source}/secretRef/{field}"));
        add(at("namespace"), claim, at("name"));
    }
    for source in ["cinder", "storageos"] {
        let at = |field: &str| text(volume, &format!("/spec/{source}/secretRef/{field}"));
        add(at("namespace"), "", at("name"));
    }
    for reference in ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"] {
        let at = |field: &str| text(volume, &format!("/spec/csi/{reference}/{field}"));
        add(at("namespace"), "", at("name"));
    }
    found
}
