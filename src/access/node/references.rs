//! What a pod, or a volume, refers to: the Secrets, ConfigMaps, claims and the service
//! account that its node must be able to read.

use serde_json::Value;

use super::graph::Related;
use api::meta::{self, list_at, str_at};

/// The annotation of pods that a node made from its own files.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The volume sources of a pod that name a secret, and where.
const POD_SECRETS: [&str; 10] = [
    "azureFile.secretName",
    "cephfs.secretRef.name",
    "cinder.secretRef.name",
    "flexVolume.secretRef.name",
    "rbd.secretRef.name",
    "secret.secretName",
    "scaleIO.secretRef.name",
    "iscsi.secretRef.name",
    "storageos.secretRef.name",
    "csi.nodePublishSecretRef.name",
];

/// What a pod refers to in its namespace. A mirror pod is given nothing: its node made it.
pub(crate) fn of_pod(pod: &Value) -> Vec<(Related, String)> {
    let mut found = Vec::new();
    if meta::annotation(pod, MIRROR).is_some() {
        return found;
    }
    let mut add = |related: Related, name: &str| {
        if !name.is_empty() {
            found.push((related, name.to_owned()));
        }
    };
    add(Related::ServiceAccount, str_at(pod, "spec.serviceAccountName"));
    for reference in list_at(pod, "spec.imagePullSecrets") {
        add(Related::Secret, str_at(reference, "name"));
    }
    for list in ["spec.initContainers", "spec.containers", "spec.ephemeralContainers"] {
        for container in list_at(pod, list) {
            of_container(container, &mut add);
        }
    }
    for volume in list_at(pod, "spec.volumes") {
        of_volume(pod, volume, &mut add);
    }
    of_claims(pod, &mut add);
    found
}

fn of_container(container: &Value, add: &mut impl FnMut(Related, &str)) {
    for source in list_at(container, "envFrom") {
        add(Related::Secret, str_at(source, "secretRef.name"));
        add(Related::ConfigMap, str_at(source, "configMapRef.name"));
    }
    for variable in list_at(container, "env") {
        add(Related::Secret, str_at(variable, "valueFrom.secretKeyRef.name"));
        add(Related::ConfigMap, str_at(variable, "valueFrom.configMapKeyRef.name"));
    }
}

fn of_volume(pod: &Value, volume: &Value, add: &mut impl FnMut(Related, &str)) {
    for pointer in POD_SECRETS {
        add(Related::Secret, str_at(volume, pointer));
    }
    add(Related::ConfigMap, str_at(volume, "configMap.name"));
    for source in list_at(volume, "projected.sources") {
        add(Related::Secret, str_at(source, "secret.name"));
        add(Related::ConfigMap, str_at(source, "configMap.name"));
    }
    add(Related::Claim, str_at(volume, "persistentVolumeClaim.claimName"));
    if volume.get("ephemeral").is_some_and(|source| !source.is_null()) {
        let claim = format!("{}-{}", str_at(pod, "metadata.name"), str_at(volume, "name"));
        add(Related::Claim, &claim);
    }
}

/// Resource claims: named ones, and those that were made from a template for the pod.
fn of_claims(pod: &Value, add: &mut impl FnMut(Related, &str)) {
    for claim in list_at(pod, "spec.resourceClaims") {
        add(Related::ResourceClaim, str_at(claim, "resourceClaimName"));
        if str_at(claim, "resourceClaimTemplateName").is_empty() {
            continue;
        }
        let statuses = list_at(pod, "status.resourceClaimStatuses").iter();
        for status in statuses.filter(|status| str_at(status, "name") == str_at(claim, "name")) {
            add(Related::ResourceClaim, str_at(status, "resourceClaimName"));
        }
    }
    add(Related::ResourceClaim, str_at(pod, "status.extendedResourceClaimStatus.resourceClaimName"));
}

/// The secrets that a kubelet needs for a PersistentVolume: namespace and name.
pub(super) fn of_volume_object(volume: &Value) -> Vec<(String, String)> {
    let claim = str_at(volume, "spec.claimRef.namespace");
    let mut found = Vec::new();
    let mut add = |namespace: &str, fallback: &str, name: &str| {
        if !name.is_empty() {
            let namespace = if namespace.is_empty() { fallback } else { namespace };
            found.push((namespace.to_owned(), name.to_owned()));
        }
    };
    let azure =
        (str_at(volume, "spec.azureFile.secretNamespace"), str_at(volume, "spec.azureFile.secretName"));
    add(azure.0, claim, azure.1);
    // Older objects name no namespace: it is the claim's.
    for source in ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi"] {
        let at = |field: &str| str_at(volume, &format!("spec.{source}.secretRef.{field}"));
        add(at("namespace"), claim, at("name"));
    }
    for source in ["cinder", "storageos"] {
        let at = |field: &str| str_at(volume, &format!("spec.{source}.secretRef.{field}"));
        add(at("namespace"), "", at("name"));
    }
    for reference in ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"] {
        let at = |field: &str| str_at(volume, &format!("spec.csi.{reference}.{field}"));
        add(at("namespace"), "", at("name"));
    }
    found
}
