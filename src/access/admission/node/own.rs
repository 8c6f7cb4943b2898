//! What a node has one of: its Node, Lease, CSINode, slices, and its certificate; and the
//! status of claims that it mounts.

use std::collections::BTreeSet;

use api::meta::{self, str_at};
use api::status::Status;
use serde_json::Value;

use super::{Ask, Operation};
use crate::admission::certificates::subject_of;

/// Labels of kubernetes.io and k8s.io that a node may give itself.
const LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
const LABEL_DOMAINS: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const RESTRICTED: &str = "node-restriction.kubernetes.io";

pub(super) fn node(ask: Ask) -> Result<(), Status> {
    let (old, new, who) = (ask.old(), ask.object, ask.who());
    if ask.request.name != ask.node {
        let other = api::field_error::quote(ask.request.name);
        return ask.refuse(format!("{who} is not allowed to modify node {other}"));
    }
    let config = meta::at(new, "spec.configSource");
    match ask.request.operation {
        Operation::Create => {
            if config.is_some() {
                return ask
                    .refuse(format!("{who} is not allowed to create pods with a non-nil configSource"));
            }
            let forbidden = forbidden_labels(new, &Value::Null);
            if !forbidden.is_empty() {
                let list = forbidden.join(", ");
                return ask.refuse(format!("{who} is not allowed to set the following labels: {list}"));
            }
        }
        Operation::Update => {
            if config.is_some() && !meta::same_at(new, old, "spec.configSource") {
                let why =
                    format!("{who} is not allowed to update configSource to a new non-nil configSource");
                return ask.refuse(why);
            }
            if !meta::same_at(new, old, "spec.taints") {
                return ask.refuse(format!("{who} is not allowed to modify taints"));
            }
            if !meta::same_at(new, old, "metadata.ownerReferences") {
                return ask.refuse(format!("{who} is not allowed to modify ownerReferences"));
            }
            let forbidden = forbidden_labels(new, old);
            if !forbidden.is_empty() {
                return ask.refuse(format!("is not allowed to modify labels: {}", forbidden.join(", ")));
            }
        }
        Operation::Delete | Operation::Connect => {}
    }
    Ok(())
}

/// Labels that differ and that are not a node's to set.
fn forbidden_labels(new: &Value, old: &Value) -> Vec<String> {
    let keys: BTreeSet<&str> = meta::labels(new).chain(meta::labels(old)).map(|(key, _)| key).collect();
    let changed = keys.into_iter().filter(|key| meta::label(new, key) != meta::label(old, key));
    changed.filter(|key| is_forbidden(key)).map(str::to_owned).collect()
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map(|(domain, _)| domain).unwrap_or_default();
    let within =
        |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|d| d.ends_with('.'));
    let own = LABELS.contains(&label) || LABEL_DOMAINS.iter().any(|parent| within(parent));
    within(RESTRICTED) || ((within("kubernetes.io") || within("k8s.io")) && !own)
}

/// Sizes and conditions of a claim's status are the node's to report; nothing else is.
pub(super) fn claim(ask: Ask) -> Result<(), Status> {
    if ask.request.subresource != "status" {
        return ask.refuse("may only update PVC status");
    }
    if ask.request.operation != Operation::Update {
        return ask.unexpected_operation();
    }
    let (mut old, mut new) = (ask.old().clone(), ask.object.clone());
    for path in [
        "metadata.resourceVersion",
        "metadata.managedFields",
        "status.capacity",
        "status.conditions",
        "status.allocatedResourceStatuses",
        "status.allocatedResources",
    ] {
        meta::remove(&mut old, path);
        meta::remove(&mut new, path);
    }
    if meta::same(Some(&old), Some(&new)) {
        return Ok(());
    }
    let who = ask.who();
    ask.refuse(format!(
        "{who} is not allowed to update fields other than status.quantity and status.conditions"
    ))
}

pub(super) fn lease(ask: Ask) -> Result<(), Status> {
    if ask.request.namespace != "kube-node-lease" {
        return ask.refuse(r#"can only access leases in the "kube-node-lease" system namespace"#);
    }
    if own_name(ask) != ask.node {
        return ask.refuse("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

pub(super) fn csi_node(ask: Ask) -> Result<(), Status> {
    if own_name(ask) != ask.node {
        return ask.refuse("can only access CSINode with the same name as the requesting node");
    }
    if ask.request.subresource == "status" {
        return ask.refuse("CSIVolumeHealth feature gate is disabled");
    }
    Ok(())
}

/// On create the URL tells no name: the object does.
fn own_name<'a>(ask: Ask<'a>) -> &'a str {
    match ask.request.operation {
        Operation::Create => meta::name(ask.object),
        _ => ask.request.name,
    }
}

pub(super) fn resource_slice(ask: Ask) -> Result<(), Status> {
    let (object, verb) = match ask.request.operation {
        Operation::Create => (ask.object, "create"),
        Operation::Delete => (ask.old(), "delete"),
        Operation::Update | Operation::Connect => return Ok(()),
    };
    if str_at(object, "spec.nodeName") != ask.node {
        return ask
            .refuse(format!("can only {verb} ResourceSlice with the same NodeName as the requesting node"));
    }
    Ok(())
}

/// A node asks for certificates of its own name.
pub(super) fn signing_request(ask: Ask) -> Result<(), Status> {
    let signer = str_at(ask.object, "spec.signerName");
    let of_kubelets =
        matches!(signer, "kubernetes.io/kubelet-serving" | "kubernetes.io/kube-apiserver-client-kubelet");
    if ask.request.operation != Operation::Create || !of_kubelets {
        return Ok(());
    }
    let Some(requested) = subject_of(ask.object) else {
        return ask.refuse("unable to parse csr: PEM block type must be CERTIFICATE REQUEST");
    };
    let wanted = format!("system:node:{}", ask.node);
    if requested.common_name != wanted {
        return ask.refuse(format!("can only create a node CSR with CN={wanted}"));
    }
    Ok(())
}
