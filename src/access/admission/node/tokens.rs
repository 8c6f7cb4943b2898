//! Tokens and certificates that a node asks for in the name of its pods: for a pod that is
//! on it, and for an audience or a signer that the pod itself mounts.

use std::sync::Arc;

use api::field_error::quote;
use api::meta::{self, list_at, str_at};
use api::status::Status;
use serde_json::Value;

use super::{Ask, Operation, missing};
use crate::Attributes;
use crate::admission::is_mirror;
use crate::lookups::What;
use crate::words::aggregate;

/// Volumes of the tree that CSI drivers have taken over.
const MIGRATED: [(&str, &str); 7] = [
    ("awsElasticBlockStore", "ebs.csi.aws.com"),
    ("gcePersistentDisk", "pd.csi.storage.gke.io"),
    ("azureDisk", "disk.csi.azure.com"),
    ("azureFile", "file.csi.azure.com"),
    ("cinder", "cinder.csi.openstack.org"),
    ("vsphereVolume", "csi.vsphere.vmware.com"),
    ("portworxVolume", "pxd.portworx.com"),
];

pub(super) fn service_account(ask: Ask) -> Result<(), Status> {
    if ask.request.operation != Operation::Create || ask.request.subresource != "token" {
        return Ok(());
    }
    let reference = meta::at(ask.object, "spec.boundObjectRef").unwrap_or(&Value::Null);
    let of_pod = str_at(reference, "apiVersion") == "v1" && str_at(reference, "kind") == "Pod";
    let (name, uid) = (str_at(reference, "name"), str_at(reference, "uid"));
    if !of_pod || name.is_empty() {
        return ask.refuse("node requested token not bound to a pod");
    }
    if uid.is_empty() {
        return ask.refuse("node requested token with a pod binding without a uid");
    }
    let pod = ask.world.objects.get(What::Pod, ask.request.namespace, name);
    let pod = pod.ok_or_else(|| missing("pod", name))?;
    if uid != meta::uid(&pod) {
        return ask.refuse(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. \
             The object might have been deleted and then recreated"
        ));
    }
    if str_at(&pod, "spec.nodeName") != ask.node {
        return ask.refuse("node requested token bound to a pod scheduled on a different node");
    }
    audience(ask, &pod)
}

/// The one audience (none: the API server) is one that the pod mounts, or that the node
/// has leave to ask for.
fn audience(ask: Ask, pod: &Value) -> Result<(), Status> {
    let audience = match list_at(ask.object, "spec.audiences") {
        [] => "",
        [only] => only.as_str().unwrap_or_default(),
        _ => return ask.refuse("node may only request 0 or 1 audiences"),
    };
    match mounts_audience(ask, pod, audience) {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(why) => return ask.refuse(format!("error validating audience {}: {why}", quote(audience))),
    }
    if may(ask, "request-serviceaccounts-token-audience", audience, ask.request.name) {
        return Ok(());
    }
    let user = &ask.request.user.name;
    ask.refuse(format!("{user} is not authorized to request tokens for audience {}", quote(audience)))
}

fn mounts_audience(ask: Ask, pod: &Value, audience: &str) -> Result<bool, String> {
    let mut errors = Vec::new();
    for volume in list_at(pod, "spec.volumes") {
        let mut tokens = list_at(volume, "projected.sources")
            .iter()
            .filter_map(|source| meta::at(source, "serviceAccountToken"));
        if tokens.any(|token| str_at(token, "audience") == audience) {
            return Ok(true);
        }
        match driver_of(ask, pod, volume).and_then(|driver| driver_asks(ask, &driver, audience)) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(false) } else { Err(aggregate(&errors)) }
}

/// The CSI driver of a pod's volume, by its claim if it has one; empty if there is none.
fn driver_of(ask: Ask, pod: &Value, volume: &Value) -> Result<String, String> {
    let claim = str_at(volume, "persistentVolumeClaim.claimName");
    if meta::at(volume, "ephemeral.volumeClaimTemplate").is_some() {
        let claim = format!("{}-{}", meta::name(pod), str_at(volume, "name"));
        return driver_of_claim(ask, &claim);
    }
    if !claim.is_empty() {
        return driver_of_claim(ask, claim);
    }
    Ok(driver_of_source(volume))
}

fn driver_of_source(source: &Value) -> String {
    if let Some(csi) = meta::at(source, "csi") {
        return str_at(csi, "driver").to_owned();
    }
    let migrated = MIGRATED.iter().find(|(field, _)| meta::at(source, field).is_some());
    migrated.map(|(_, driver)| (*driver).to_owned()).unwrap_or_default()
}

fn driver_of_claim(ask: Ask, name: &str) -> Result<String, String> {
    let objects = ask.world.objects;
    let claim = objects.get(What::PersistentVolumeClaim, ask.request.namespace, name);
    let claim = claim.ok_or_else(|| format!("persistentvolumeclaim {} not found", quote(name)))?;
    let volume = str_at(&claim, "spec.volumeName");
    let found = objects.get(What::PersistentVolume, "", volume);
    let found = found.ok_or_else(|| format!("persistentvolume {} not found", quote(volume)))?;
    Ok(driver_of_source(found.get("spec").unwrap_or(&Value::Null)))
}

fn driver_asks(ask: Ask, driver: &str, audience: &str) -> Result<bool, String> {
    if driver.is_empty() {
        return Ok(false);
    }
    let found = ask.world.objects.get(What::CsiDriver, "", driver);
    let found = found.ok_or_else(|| format!("csidriver.storage.k8s.io {} not found", quote(driver)))?;
    let mut requests = list_at(&found, "spec.tokenRequests").iter();
    Ok(requests.any(|request| str_at(request, "audience") == audience))
}

fn may(ask: Ask, verb: &str, resource: &str, name: &str) -> bool {
    let request = ask.request;
    let asked =
        Attributes { version: request.version, ..Attributes::resource(verb, request.group, resource) };
    let asked = asked.within(request.namespace).named(name);
    ask.world.authorizer.decide(request.user, &asked).is_allowed()
}

/// A PodCertificateRequest is for a pod that is on the node and mounts such a certificate.
pub(super) fn certificate(ask: Ask) -> Result<(), Status> {
    let request = ask.request;
    if request.operation != Operation::Create {
        return ask.refuse(format!("unexpected operation {}", request.operation.word()));
    }
    if !request.subresource.is_empty() {
        return ask.refuse(format!("unexpected subresource {}", request.subresource));
    }
    let (name, account) = (asked(ask, "podName"), asked(ask, "serviceAccountName"));
    let key = quote(&format!("{}/{name}", request.namespace));
    certificate_node(ask, &key)?;
    let pod = certificate_pod(ask, name, &key)?;
    certificate_account(ask, &pod, account, &key)?;
    signer(ask, &pod, account, &key)
}

fn asked<'a>(ask: Ask<'a>, field: &str) -> &'a str {
    str_at(ask.object, &format!("spec.{field}"))
}

fn certificate_node(ask: Ask, key: &str) -> Result<(), Status> {
    let node = asked(ask, "nodeName");
    if node != ask.node {
        return ask.refuse(format!(
            "PodCertificateRequest.Spec.NodeName={}, which is not the requesting node {}",
            quote(node),
            quote(ask.node)
        ));
    }
    same_uid(ask, What::Node, node, asked(ask, "nodeUID"), |claimed, found| {
        format!(
            "PodCertificateRequest for pod {key} names node UID {claimed}, inconsistent with the running node ({found})"
        )
    })
}

fn certificate_pod(ask: Ask, name: &str, key: &str) -> Result<Arc<Value>, Status> {
    same_uid(ask, What::Pod, name, asked(ask, "podUID"), |claimed, found| {
        format!(
            "PodCertificateRequest for pod {key} contains pod UID ({claimed}) which differs from running pod {found}"
        )
    })?;
    let pod = ask.world.objects.get(What::Pod, ask.request.namespace, name);
    let pod = pod.ok_or_else(|| missing("pod", name))?;
    if str_at(&pod, "spec.nodeName") != ask.node {
        let node = quote(ask.node);
        ask.refuse(format!("pod {key} is not running on node {node} named in the PodCertificateRequest"))?;
    }
    if is_mirror(&pod) {
        ask.refuse(format!("pod {key} is a mirror pod"))?;
    }
    Ok(pod)
}

fn certificate_account(ask: Ask, pod: &Value, account: &str, key: &str) -> Result<(), Status> {
    let own = str_at(pod, "spec.serviceAccountName");
    if account != own {
        return ask.refuse(format!(
            "PodCertificateRequest for pod {key} contains serviceAccountName ({}) that differs from running pod ({})",
            quote(account),
            quote(own)
        ));
    }
    same_uid(ask, What::ServiceAccount, account, asked(ask, "serviceAccountUID"), |claimed, found| {
        format!(
            "PodCertificateRequest for pod {key} names service account UID {claimed}, which differs from the running service account ({found})"
        )
    })
}

/// The object is there and has the UID that is claimed. If not, a cache may be behind:
/// that is no refusal, so that the node tries again.
fn same_uid(
    ask: Ask,
    what: What,
    name: &str,
    claimed: &str,
    differs: impl Fn(&str, &str) -> String,
) -> Result<(), Status> {
    let (namespace, word) = match what {
        What::Node => ("", "node"),
        What::Pod => (ask.request.namespace, "pod"),
        _ => (ask.request.namespace, "service account"),
    };
    let Some(found) = ask.world.objects.identity(what, namespace, name) else {
        let key = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        let (key, name, singular) = (quote(&key), quote(name), word.replace(' ', ""));
        return Err(Status::unknown(format!(
            "while retrieving {word} {key} named in the PodCertificateRequest: {singular} {name} not found"
        )));
    };
    if found.uid == claimed {
        return Ok(());
    }
    Err(Status::unknown(differs(&quote(claimed), &quote(&found.uid))))
}

fn signer(ask: Ask, pod: &Value, account: &str, key: &str) -> Result<(), Status> {
    let signer = str_at(ask.object, "spec.signerName");
    let volumes = list_at(pod, "spec.volumes").iter();
    let mut sources = volumes.flat_map(|volume| list_at(volume, "projected.sources"));
    if sources.any(|source| str_at(source, "podCertificate.signerName") == signer && !signer.is_empty()) {
        return Ok(());
    }
    // Resources of rules may hold no slash.
    let resource = signer.replace('/', ":");
    if may(ask, "request-serviceaccounts-podcertificate-signer", &resource, account) {
        return Ok(());
    }
    let signer = quote(signer);
    ask.refuse(format!("pod {key} does not mount a podCertificate projected volume for signer {signer}"))
}
