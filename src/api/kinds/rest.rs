//! Kinds that are served by their schema: how they are printed, what their defaults are,
//! and which of them nothing in this cluster acts on yet.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Row;
use super::basic::default_text;
use super::pod::default::whole_milli;
use super::pod::volumes::claim;
use super::table::{
    self, AGE, NAME, NAME_AND_AGE, age, boolean, integer, name_and_age, number_or_text, or_none, says, text,
    wide,
};
use crate::kind::{About, COUNTED_ONCE, Column, Strategy};
use crate::meta;
use crate::quantity::Quantity;

/// Kinds whose creation is answered with a Warning: nothing acts on them yet.
pub(super) const INERT: &[(&str, &str)] = &[
    ("", "LimitRange"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "ResourceQuota"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "CronJob"),
    ("certificates.k8s.io", "ClusterTrustBundle"),
    ("certificates.k8s.io", "PodCertificateRequest"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("node.k8s.io", "RuntimeClass"),
    ("resource.k8s.io", "DeviceClass"),
    ("resource.k8s.io", "DeviceTaintRule"),
    ("resource.k8s.io", "ResourceClaim"),
    ("resource.k8s.io", "ResourceClaimTemplate"),
    ("resource.k8s.io", "ResourceSlice"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "CSIStorageCapacity"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
    ("storagemigration.k8s.io", "StorageVersionMigration"),
];

/// The Warning of such a kind.
pub(super) fn inert(api_version: &str, kind: &str) -> String {
    format!("{api_version} {kind}: nothing in this cluster acts on it yet")
}

/// A kind whose generation counts changes of its spec.
const COUNTED: Strategy = Strategy { generation: &["spec"], ..Strategy::GENERIC };
const WEBHOOKS: Strategy =
    Strategy { generation: &["webhooks"], unconditional_update: false, ..Strategy::GENERIC };

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            default: |o| {
                if meta::list_at(o, "spec.policyTypes").is_empty() {
                    let out = !meta::list_at(o, "spec.egress").is_empty();
                    meta::put(
                        o,
                        "spec.policyTypes",
                        if out { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) },
                    );
                }
                for side in ["spec.ingress", "spec.egress"] {
                    for rule in items(o, side) {
                        items(rule, "ports").for_each(|port| default_text(port, "protocol", "TCP"));
                    }
                }
            },
            ..COUNTED
        },
        columns: &[NAME, text("Pod-Selector", About::Field("NetworkPolicySpec", "podSelector")), AGE],
        cells: |o, now| {
            let empty = json!({});
            let selector = meta::at(o, "spec.podSelector").unwrap_or(&empty);
            vec![name(o), table::selector(Some(selector)), age(o, now)]
        },
        ..Row::new("networking.k8s.io", "NetworkPolicy")
    },
    Row {
        strategy: Strategy { generation: &["spec"], ..Strategy::WITH_STATUS },
        columns: &[
            NAME,
            text("Class", says("The class that handles it")),
            text("Hosts", says("Hosts that requests are for")),
            text("Address", says("Where it is reached")),
            text("Ports", says("Ports that it opens")),
            AGE,
        ],
        cells: ingress_cells,
        ..Row::new("networking.k8s.io", "Ingress")
    },
    Row {
        strategy: Strategy {
            default: |o| {
                if meta::at(o, "spec.parameters").is_some() {
                    meta::put_default(o, "spec.parameters.scope", "Cluster");
                }
            },
            ..COUNTED
        },
        columns: &[
            NAME,
            text("Controller", says("What handles the class")),
            text("Parameters", says("More of its settings")),
            AGE,
        ],
        cells: |o, now| {
            let default = meta::annotation(o, "ingressclass.kubernetes.io/is-default-class") == Some("true");
            let shown = format!("{}{}", meta::name(o), if default { " (default)" } else { "" });
            let parameters = meta::at(o, "spec.parameters").map_or_else(
                || "<none>".to_owned(),
                |p| {
                    let group = meta::str_at(p, "apiGroup");
                    let dot = if group.is_empty() { "" } else { "." };
                    format!("{}{dot}{group}/{}", meta::str_at(p, "kind"), meta::str_at(p, "name"))
                },
            );
            vec![shown.into(), at(o, "spec.controller"), parameters.into(), age(o, now)]
        },
        ..Row::new("networking.k8s.io", "IngressClass")
    },
    Row {
        columns: &[NAME, text("CIDRs", About::Field("ServiceCIDRSpec", "cidrs")), AGE],
        cells: |o, now| vec![name(o), joined(meta::list_at(o, "spec.cidrs")).into(), age(o, now)],
        strategy: Strategy::WITH_STATUS,
        ..Row::new("networking.k8s.io", "ServiceCIDR")
    },
    Row {
        strategy: Strategy {
            default: |o| {
                default_text(o, "reclaimPolicy", "Delete");
                default_text(o, "volumeBindingMode", "Immediate");
            },
            ..Strategy::GENERIC
        },
        columns: &[
            NAME,
            text("Provisioner", About::Field("StorageClass", "provisioner")),
            text("ReclaimPolicy", About::Field("StorageClass", "reclaimPolicy")),
            text("VolumeBindingMode", About::Field("StorageClass", "volumeBindingMode")),
            text("AllowVolumeExpansion", About::Field("StorageClass", "allowVolumeExpansion")),
            AGE,
        ],
        cells: |o, now| {
            let default = meta::annotation(o, "storageclass.kubernetes.io/is-default-class") == Some("true");
            let shown = format!("{}{}", meta::name(o), if default { " (default)" } else { "" });
            let grows = meta::at(o, "allowVolumeExpansion").cloned().unwrap_or(false.into());
            vec![
                shown.into(),
                at(o, "provisioner"),
                at(o, "reclaimPolicy"),
                at(o, "volumeBindingMode"),
                grows,
                age(o, now),
            ]
        },
        ..Row::new("storage.k8s.io", "StorageClass")
    },
    Row {
        strategy: Strategy {
            default: |o| {
                default_text(o, "spec.volumeMode", "Filesystem");
                default_text(o, "status.phase", "Pending");
            },
            prepare_create: |new, _| meta::put(new, "status", json!({"phase": "Pending"})),
            validate: |new, e| claim(&new.get("spec"), e),
            ..Strategy::WITH_STATUS
        },
        columns: &[
            NAME,
            text("Status", About::Field("PersistentVolumeClaimStatus", "phase")),
            text("Volume", About::Field("PersistentVolumeClaimSpec", "volumeName")),
            text("Capacity", About::Field("PersistentVolumeClaimStatus", "capacity")),
            text("Access Modes", About::Field("PersistentVolumeClaimStatus", "accessModes")),
            text("StorageClass", says("The class of the claim")),
            text("VolumeAttributesClass", says("The class of the claim's attributes")),
            AGE,
            wide("VolumeMode", About::Field("PersistentVolumeClaimSpec", "volumeMode")),
        ],
        cells: |o, now| {
            let bound = !meta::str_at(o, "spec.volumeName").is_empty();
            let capacity =
                if bound { number_or_text(meta::at(o, "status.capacity.storage"), "0") } else { "".into() };
            let modes = if bound { modes(meta::list_at(o, "status.accessModes")) } else { String::new() };
            vec![
                name(o),
                phase(o),
                at(o, "spec.volumeName"),
                capacity,
                modes.into(),
                storage_class(o),
                or_unset(o, "spec.volumeAttributesClassName"),
                age(o, now),
                or_unset(o, "spec.volumeMode"),
            ]
        },
        ..Row::new("", "PersistentVolumeClaim")
    },
    Row {
        strategy: Strategy {
            default: |o| {
                default_text(o, "spec.persistentVolumeReclaimPolicy", "Retain");
                default_text(o, "spec.volumeMode", "Filesystem");
            },
            prepare_create: |new, context| {
                meta::put(new, "status", json!({"phase": "Pending", "lastPhaseTransitionTime": context.now}));
            },
            ..Strategy::WITH_STATUS
        },
        columns: &[
            NAME,
            text("Capacity", About::Field("PersistentVolumeSpec", "capacity")),
            text("Access Modes", About::Field("PersistentVolumeSpec", "accessModes")),
            text("Reclaim Policy", About::Field("PersistentVolumeSpec", "persistentVolumeReclaimPolicy")),
            text("Status", About::Field("PersistentVolumeStatus", "phase")),
            text("Claim", About::Field("PersistentVolumeSpec", "claimRef")),
            text("StorageClass", says("The class of the volume")),
            text("VolumeAttributesClass", says("The class of the volume's attributes")),
            text("Reason", About::Field("PersistentVolumeStatus", "reason")),
            AGE,
            wide("VolumeMode", About::Field("PersistentVolumeSpec", "volumeMode")),
        ],
        cells: |o, now| {
            let claim = meta::at(o, "spec.claimRef")
                .map(|c| format!("{}/{}", meta::str_at(c, "namespace"), meta::str_at(c, "name")));
            vec![
                name(o),
                number_or_text(meta::at(o, "spec.capacity.storage"), "0"),
                modes(meta::list_at(o, "spec.accessModes")).into(),
                at(o, "spec.persistentVolumeReclaimPolicy"),
                phase(o),
                claim.unwrap_or_default().into(),
                storage_class(o),
                or_unset(o, "spec.volumeAttributesClassName"),
                at(o, "status.reason"),
                age(o, now),
                or_unset(o, "spec.volumeMode"),
            ]
        },
        ..Row::new("", "PersistentVolume")
    },
    Row {
        strategy: Strategy {
            default: |o| {
                for list in ["spec.hard", "status.hard", "status.used"] {
                    meta::at_mut(o, list).into_iter().for_each(whole_milli);
                }
            },
            ..Strategy::WITH_STATUS
        },
        columns: &[
            NAME,
            text("Request", says("Requests used, of what is allowed")),
            text("Limit", says("Limits used, of what is allowed")),
            AGE,
        ],
        cells: quota_cells,
        ..Row::new("", "ResourceQuota")
    },
    Row {
        strategy: Strategy { create_on_update: true, default: limit_defaults, ..Strategy::GENERIC },
        ..Row::new("", "LimitRange")
    },
    Row {
        strategy: Strategy {
            default: super::autoscaler::defaults,
            generation: &["spec"],
            ..Strategy::WITH_STATUS
        },
        columns: &[
            NAME,
            text("Reference", About::Field("HorizontalPodAutoscalerSpec", "scaleTargetRef")),
            text("Targets", About::Field("HorizontalPodAutoscalerSpec", "metrics")),
            text("MinPods", About::Field("HorizontalPodAutoscalerSpec", "minReplicas")),
            text("MaxPods", About::Field("HorizontalPodAutoscalerSpec", "maxReplicas")),
            text("Replicas", About::Field("HorizontalPodAutoscalerStatus", "currentReplicas")),
            AGE,
        ],
        cells: super::autoscaler::cells,
        ..Row::new("autoscaling", "HorizontalPodAutoscaler")
    },
    Row {
        strategy: Strategy { create_on_update: true, unconditional_update: false, ..Strategy::GENERIC },
        columns: &[NAME, text("Handler", About::Field("RuntimeClass", "handler")), AGE],
        cells: |o, now| vec![name(o), at(o, "handler"), age(o, now)],
        ..Row::new("node.k8s.io", "RuntimeClass")
    },
    Row {
        strategy: WEBHOOKS,
        columns: HOOKS,
        cells: hook_cells,
        ..Row::new("admissionregistration.k8s.io", "MutatingWebhookConfiguration")
    },
    Row {
        strategy: WEBHOOKS,
        columns: HOOKS,
        cells: hook_cells,
        ..Row::new("admissionregistration.k8s.io", "ValidatingWebhookConfiguration")
    },
    Row {
        columns: &[NAME, integer("Drivers", says("How many drivers the node has")), AGE],
        cells: |o, now| vec![name(o), meta::list_at(o, "spec.drivers").len().into(), age(o, now)],
        ..Row::new("storage.k8s.io", "CSINode")
    },
    Row {
        strategy: Strategy::WITH_STATUS,
        columns: &[
            NAME,
            text("Attacher", About::Field("VolumeAttachmentSpec", "attacher")),
            text("PV", About::Field("VolumeAttachmentSource", "persistentVolumeName")),
            text("Node", About::Field("VolumeAttachmentSpec", "nodeName")),
            boolean("Attached", About::Field("VolumeAttachmentStatus", "attached")),
            AGE,
        ],
        cells: |o, now| {
            let attached = meta::at(o, "status.attached") == Some(&Value::Bool(true));
            vec![
                name(o),
                at(o, "spec.attacher"),
                at(o, "spec.source.persistentVolumeName"),
                at(o, "spec.nodeName"),
                attached.into(),
                age(o, now),
            ]
        },
        ..Row::new("storage.k8s.io", "VolumeAttachment")
    },
    Row {
        columns: &[NAME, text("DriverName", About::Field("VolumeAttributesClass", "driverName")), AGE],
        cells: |o, now| vec![name(o), at(o, "driverName"), age(o, now)],
        ..Row::new("storage.k8s.io", "VolumeAttributesClass")
    },
    Row {
        columns: NAME_AND_AGE,
        cells: name_and_age,
        strategy: COUNTED,
        ..Row::new("resource.k8s.io", "DeviceClass")
    },
    Row {
        columns: NAME_AND_AGE,
        cells: name_and_age,
        ..Row::new("resource.k8s.io", "ResourceClaimTemplate")
    },
    Row {
        strategy: Strategy {
            generation: COUNTED_ONCE,
            create_on_update: true,
            unconditional_update: false,
            ..Strategy::WITH_STATUS
        },
        ..Row::new("flowcontrol.apiserver.k8s.io", "FlowSchema")
    },
];

const HOOKS: &[Column] = &[NAME, integer("Webhooks", says("How many webhooks it has")), AGE];

fn hook_cells(o: &Value, now: i64) -> Vec<Value> {
    vec![name(o), meta::list_at(o, "webhooks").len().into(), age(o, now)]
}

/// Bounds of containers are also their defaults.
fn limit_defaults(o: &mut Value) {
    for item in items(o, "spec.limits") {
        for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            meta::at_mut(item, list).into_iter().for_each(whole_milli);
        }
        if meta::str_at(item, "type") != "Container" {
            continue;
        }
        for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
            let Some(Value::Object(bounds)) = meta::at(item, from).cloned() else { continue };
            let list = meta::fields(meta::entry(item, to));
            for (name, amount) in bounds {
                list.entry(name).or_insert(amount);
            }
        }
    }
}

fn items<'a>(object: &'a mut Value, path: &str) -> impl Iterator<Item = &'a mut Value> {
    meta::at_mut(object, path).and_then(Value::as_array_mut).into_iter().flatten()
}

fn name(o: &Value) -> Value {
    meta::name(o).into()
}

fn at(o: &Value, path: &str) -> Value {
    meta::str_at(o, path).into()
}

fn or_unset(o: &Value, path: &str) -> Value {
    number_or_text(meta::at(o, path), "<unset>")
}

fn joined(list: &[Value]) -> String {
    list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

fn phase(o: &Value) -> Value {
    if meta::deletion_timestamp(o).is_some() { "Terminating".into() } else { at(o, "status.phase") }
}

fn storage_class(o: &Value) -> Value {
    let old = meta::annotation(o, "volume.beta.kubernetes.io/storage-class");
    old.map_or_else(|| at(o, "spec.storageClassName"), Value::from)
}

/// Access modes by their initials, each once, in upstream's order.
fn modes(list: &[Value]) -> String {
    let known = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| list.iter().any(|item| item == mode);
    let shown: Vec<&str> = known.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    shown.join(",")
}

fn ingress_cells(o: &Value, now: i64) -> Vec<Value> {
    let rules = meta::list_at(o, "spec.rules");
    let hosts: Vec<&str> =
        rules.iter().map(|r| meta::str_at(r, "host")).filter(|h| !h.is_empty()).take(3).collect();
    let hosts = match (hosts.len(), rules.len()) {
        (0, _) => "*".to_owned(),
        (3, more) if more > 3 => format!("{} + {} more...", hosts.join(","), more - 3),
        _ => hosts.join(","),
    };
    let reached: BTreeSet<&str> = meta::list_at(o, "status.loadBalancer.ingress")
        .iter()
        .map(|i| {
            if meta::str_at(i, "ip").is_empty() { meta::str_at(i, "hostname") } else { meta::str_at(i, "ip") }
        })
        .filter(|text| !text.is_empty())
        .collect();
    let ports = if meta::list_at(o, "spec.tls").is_empty() { "80" } else { "80, 443" };
    let reached: Vec<&str> = reached.into_iter().collect();
    vec![
        name(o),
        or_none(meta::str_at(o, "spec.ingressClassName")),
        hosts.into(),
        reached.join(",").into(),
        ports.into(),
        age(o, now),
    ]
}

fn quota_cells(o: &Value, now: i64) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let hard = meta::at(o, "status.hard").and_then(Value::as_object);
    let mut names: Vec<(&String, &Value)> = hard.into_iter().flatten().collect();
    names.sort_by_key(|(name, _)| *name);
    for (resource, most) in names {
        let used = meta::at(o, "status.used").and_then(|used| used.get(resource));
        let used =
            used.map_or_else(|| Quantity::ZERO.to_string(), |used| used.as_str().unwrap_or("0").to_owned());
        let shown = format!("{resource}: {used}/{}", most.as_str().unwrap_or_default());
        if resource.starts_with("limits.") { limits.push(shown) } else { requests.push(shown) }
    }
    vec![name(o), requests.join(", ").into(), limits.join(", ").into(), age(o, now)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::registry;
    use super::super::testing::{cells, created, warned};
    use super::INERT;

    #[test]
    fn what_nothing_acts_on_is_said_when_it_is_created() {
        let registry = registry();
        for (group, kind) in INERT {
            let found = registry.iter().find(|k| &*k.group == *group && &*k.kind == *kind);
            let found = found.unwrap_or_else(|| panic!("{group}/{kind} is served"));
            assert!(found.inert.is_some(), "{group}/{kind}");
        }
        assert_eq!(
            warned("networking.k8s.io", "NetworkPolicy", &json!({})),
            ["networking.k8s.io/v1 NetworkPolicy: nothing in this cluster acts on it yet"]
        );
    }

    #[test]
    fn a_policy_is_about_what_comes_in_unless_it_says_more() {
        let made = created(
            "networking.k8s.io",
            "NetworkPolicy",
            json!({"spec": {"egress": [{"ports": [{"port": 53}]}]}}),
        )
        .unwrap();
        assert_eq!(made["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
        assert_eq!(made["spec"]["egress"][0]["ports"][0]["protocol"], "TCP");
    }

    #[test]
    fn claims_and_quotas_are_printed_as_upstream_prints_them() {
        let now = "2026-01-01T00:00:00Z";
        let claim = json!({"metadata": {"name": "a"}, "spec": {"volumeName": "v", "storageClassName": "s"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}});
        assert_eq!(
            cells("", "PersistentVolumeClaim", &claim, now),
            ["a", "Bound", "v", "1Gi", "RWO,RWX", "s", "<unset>", "<unknown>", "<unset>"]
        );
        let quota = json!({"metadata": {"name": "q"}, "status": {"hard": {"pods": "10", "limits.cpu": "2"}, "used": {"pods": "1"}}});
        assert_eq!(
            cells("", "ResourceQuota", &quota, now),
            ["q", "pods: 1/10", "limits.cpu: 0/2", "<unknown>"]
        );
        let ingress = json!({"metadata": {"name": "i"}, "spec": {"rules": [{"host": "a"}, {"host": "b"}, {"host": "c"}, {"host": "d"}], "tls": [{}]}});
        assert_eq!(
            cells("networking.k8s.io", "Ingress", &ingress, now),
            ["i", "<none>", "a,b,c + 1 more...", "", "80, 443", "<unknown>"]
        );
    }
}
