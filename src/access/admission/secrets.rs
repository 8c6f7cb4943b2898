//! Which secrets a pod may name where its service account says that it limits them.

use std::collections::BTreeSet;

use api::meta::{list_at, str_at};
use serde_json::Value;

use crate::node::{Related, of_pod};

/// Whether the pod names any secret.
pub(super) fn names_any(pod: &Value) -> bool {
    let mut pod = pod.clone();
    // What a mirror pod names is not given to its node; here it is asked for all the same.
    api::meta::remove(&mut pod, "metadata.annotations");
    of_pod(&pod).iter().any(|(related, _)| *related == Related::Secret)
}

/// The first secret that the account does not list.
pub(super) fn limit(account: &Value, pod: &Value) -> Result<(), String> {
    let name = str_at(account, "metadata.name");
    let allowed = names(account, "secrets");
    for volume in list_at(pod, "spec.volumes") {
        let secret = str_at(volume, "secret.secretName");
        if volume.get("secret").is_some() && !allowed.contains(secret) {
            return Err(format!(
                "volume with secret.secretName=\"{secret}\" is not allowed because service account {name} \
                 does not reference that secret"
            ));
        }
    }
    limit_containers(pod, "spec.initContainers", "init container", account)?;
    limit_containers(pod, "spec.containers", "container", account)?;
    let pulled = names(account, "imagePullSecrets");
    for (index, reference) in list_at(pod, "spec.imagePullSecrets").iter().enumerate() {
        let secret = str_at(reference, "name");
        if !pulled.contains(secret) {
            return Err(format!(
                "imagePullSecrets[{index}].name=\"{secret}\" is not allowed because service account {name} \
                 does not reference that imagePullSecret"
            ));
        }
    }
    Ok(())
}

/// The same for containers that are added to a running pod.
pub(super) fn limit_ephemeral(account: &Value, pod: &Value) -> Result<(), String> {
    limit_containers(pod, "spec.ephemeralContainers", "ephemeral container", account)
}

fn limit_containers(pod: &Value, list: &str, word: &str, account: &Value) -> Result<(), String> {
    let allowed = names(account, "secrets");
    let because = |secret: &str| {
        let name = str_at(account, "metadata.name");
        format!(
            "referencing secret.secretName=\"{secret}\" is not allowed because service account {name} \
             does not reference that secret"
        )
    };
    for container in list_at(pod, list) {
        let own = str_at(container, "name");
        for variable in list_at(container, "env") {
            let Some(reference) = api::meta::at(variable, "valueFrom.secretKeyRef") else { continue };
            let secret = str_at(reference, "name");
            if !allowed.contains(secret) {
                let variable = str_at(variable, "name");
                return Err(format!("{word} {own} with envVar {variable} {}", because(secret)));
            }
        }
        for source in list_at(container, "envFrom") {
            let Some(reference) = api::meta::at(source, "secretRef") else { continue };
            let secret = str_at(reference, "name");
            if !allowed.contains(secret) {
                return Err(format!("{word} {own} with envFrom {}", because(secret)));
            }
        }
    }
    Ok(())
}

fn names<'a>(account: &'a Value, list: &str) -> BTreeSet<&'a str> {
    list_at(account, list).iter().map(|reference| str_at(reference, "name")).collect()
}
