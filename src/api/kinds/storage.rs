//! Volumes, claims of them and their classes: validation, columns.

use serde_json::{Value, json};

use super::basic::default_text;
use super::pod::scheduling::node_selector;
use super::pod::shown::claim_difference;
use super::pod::volumes::{claim, driver, rules_of};
use super::rest::{at, name};
use super::rules::{known_if_set, named, named_if_set, no_backsteps, quantity, required};
use super::table::{AGE, NAME, age, boolean, integer, number_or_text, says, text, wide};
use super::{Row, metadata};
use crate::field_error::{At, Errors, Path};
use crate::kind::{About, Strategy};
use crate::meta;
use crate::names::{dns1123_label, dns1123_subdomain, label_key};
use crate::quantity::Quantity;

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            default: |o| {
                default_text(o, "reclaimPolicy", "Delete");
                default_text(o, "volumeBindingMode", "Immediate");
            },
            validate: class,
            validate_update: |new, old, e| {
                for part in ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"] {
                    let (new, old) = (new.get(part), old.get(part));
                    if !meta::same(new.value, old.value) {
                        e.invalid_as(&new.path, Value::Null, "field is immutable");
                    }
                }
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
            validate_update: changed_claim,
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
            validate: volume,
            validate_update: changed_volume,
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
];

fn class(class: &At<'_>, e: &mut Errors) {
    let (provisioner, parameters) = (class.get("provisioner"), class.get("parameters"));
    if !provisioner.is_empty() {
        let lower = provisioner.str().to_lowercase();
        e.invalid_each_as(&provisioner, &lower, label_key(&lower));
    }
    if parameters.len() > 512 {
        e.too_long(&parameters.path, 512);
    } else {
        let all = parameters.entries();
        if all.iter().any(|(key, _)| key.is_empty()) {
            e.invalid_as(&parameters.path, "", "field can not be empty.");
        }
        if all.iter().map(|(key, value)| key.len() + value.str().len()).sum::<usize>() > 256 << 10 {
            e.too_long(&parameters.path, 256 << 10);
        }
    }
    known_if_set(&class.get("reclaimPolicy"), &["Delete", "Retain"], e);
    known_if_set(&class.get("volumeBindingMode"), &["Immediate", "WaitForFirstConsumer"], e);
    required(&provisioner, e);
}

/// Sources of a volume, in the order in which upstream looks at them.
const SOURCES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

fn volume(volume: &At<'_>, e: &mut Errors) {
    let spec = volume.get("spec");
    access_modes(&spec.get("accessModes"), e);
    let capacity = spec.get("capacity");
    required(&capacity, e);
    if capacity.len() != 1 || !spec.get("capacity.storage").is_set() {
        let shown = capacity.value.unwrap_or(&Value::Null);
        e.not_supported(&At { value: Some(shown), path: capacity.path.clone() }, &["storage"]);
    }
    for (resource, amount) in capacity.entries() {
        let amount = amount.under(capacity.path.key(resource));
        if quantity(&amount).is_negative() {
            e.invalid_as(&amount.path, quantity(&amount).value(), "must be a valid resource quantity");
        }
        if quantity(&amount) <= Quantity::ZERO {
            e.invalid(&amount, "must be greater than zero");
        }
    }
    let policy = spec.get("persistentVolumeReclaimPolicy");
    known_if_set(&policy, &["Delete", "Recycle", "Retain"], e);
    let affinity = spec.get("nodeAffinity");
    if affinity.get("required").is_set() {
        node_selector(&affinity.get("required"), e);
    } else if affinity.is_set() {
        e.required(&affinity.get("required").path, "must specify required node constraints");
    }
    sources(&spec, e);
    let root = spec.get("hostPath.path").str().trim_end_matches('/').is_empty();
    if spec.get("hostPath.path").is_set() && root && policy.is("Recycle") {
        e.forbidden(&policy.path, "may not be 'recycle' for a hostPath mount of '/'");
    }
    named_if_set(&spec.get("storageClassName"), dns1123_subdomain, e);
    known_if_set(&spec.get("volumeMode"), &["Block", "Filesystem"], e);
    let attributes = spec.get("volumeAttributesClassName");
    if attributes.is_set() {
        if attributes.is_empty() {
            e.required(&attributes.path, "an empty string is disallowed");
        }
        named_if_set(&attributes, dns1123_subdomain, e);
        if !spec.get("csi").is_set() {
            e.required(&spec.get("csi").path, "has to be specified when using volumeAttributesClassName");
        }
    }
}

fn access_modes(modes: &At<'_>, e: &mut Errors) {
    required(modes, e);
    let known = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let (mut single, mut other) = (false, false);
    for mode in modes.items() {
        let fine = e.one_of(&mode.under(modes.path.clone()), &known);
        single |= mode.is("ReadWriteOncePod");
        other |= fine && !mode.is("ReadWriteOncePod");
    }
    if single && other {
        e.forbidden(&modes.path, "may not use ReadWriteOncePod with other access modes");
    }
}

fn sources(spec: &At<'_>, e: &mut Errors) {
    let mut count = 0;
    for source in SOURCES {
        let found = spec.get(source);
        if !found.is_set() {
            continue;
        }
        count += 1;
        if count > 1 {
            e.forbidden(&found.path, "may not specify more than 1 volume type");
            continue;
        }
        match *source {
            "local" => {
                let path = found.get("path");
                if required(&path, e) {
                    no_backsteps(&path, e);
                }
                if !spec.get("nodeAffinity").is_set() {
                    e.required(&spec.get("nodeAffinity").path, "Local volume requires node affinity");
                }
            }
            "csi" => {
                driver(&found.get("driver"), e);
                required(&found.get("volumeHandle"), e);
                for secret in ["controllerPublish", "controllerExpand", "nodePublish", "nodeExpand"] {
                    let path = found.path.dotted(&format!("{secret}SecretRef"));
                    let value = found.value.and_then(|v| v.get(format!("{secret}SecretRef")));
                    if let Some(value) = value.filter(|value| !value.is_null()) {
                        let secret = At::new(Some(value), path);
                        named(&secret.get("name"), dns1123_subdomain, e);
                        named(&secret.get("namespace"), dns1123_label, e);
                    }
                }
            }
            source => rules_of(source).into_iter().for_each(|rules| rules(&found, e)),
        }
    }
    if count == 0 {
        e.required(&spec.path, "must specify a volume type");
    }
}

fn changed_volume(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    volume(new, e);
    let (spec, was) = (new.get("spec"), old.get("spec"));
    if SOURCES.iter().any(|source| !meta::same(spec.get(source).value, was.get(source).value)) {
        let path = Path::of("spec").child("persistentvolumesource");
        e.forbidden(&path, "spec.persistentvolumesource is immutable after creation");
    }
    same_mode(&spec, &was, e);
    let class = spec.get("volumeAttributesClassName");
    if !class.is_set() && was.get("volumeAttributesClassName").is_set() {
        e.forbidden(&class.path, "update from non-nil value to nil is forbidden");
    }
}

fn same_mode(spec: &At<'_>, was: &At<'_>, e: &mut Errors) {
    metadata::immutable(&spec.get("volumeMode").under(Path::of("volumeMode")), &was.get("volumeMode"), e);
}

fn changed_claim(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    let (spec, was) = (new.get("spec"), old.get("spec"));
    claim(&spec, e);
    let (mut now, mut before) =
        (spec.value.cloned().unwrap_or_default(), was.value.cloned().unwrap_or_default());
    if meta::str_at(&before, "volumeName").is_empty() {
        meta::restore(&mut before, &now, "volumeName");
    }
    if !was.get("storageClassName").is_set() {
        meta::restore(&mut now, &before, "storageClassName");
    }
    if new.get("status.phase").is("Bound") {
        meta::restore(&mut now, &before, "resources.requests.storage");
        meta::restore(&mut now, &before, "volumeAttributesClassName");
    }
    if !meta::same(Some(&now), Some(&before)) {
        let says = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        e.forbidden(&spec.path, format!("{says}\n{}", claim_difference(&before, &now)));
    }
    let size = |spec: &At<'_>| quantity(&spec.get("resources.requests.storage"));
    if size(&spec) < size(&was) && size(&spec) <= quantity(&old.get("status.capacity.storage")) {
        let path = spec.get("resources.requests.storage").path;
        e.forbidden(&path, "field can not be less than status.capacity");
    }
    same_mode(&spec, &was, e);
    let (class, current) =
        (spec.get("volumeAttributesClassName"), old.get("status.currentVolumeAttributesClassName"));
    if current.is_set()
        && class.is_empty()
        && !meta::same(class.value, was.get("volumeAttributesClassName").value)
    {
        let to = if class.is_set() { "empty string" } else { "nil" };
        let says =
            format!("update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil");
        e.forbidden(&class.path, says);
    }
}

fn or_unset(o: &Value, path: &str) -> Value {
    number_or_text(meta::at(o, path), "<unset>")
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

#[cfg(test)]
mod tests {
    use super::super::testing::{cells, created, updated};
    use super::*;

    #[test]
    fn volumes_say_how_much_and_where() {
        let spec = json!({"accessModes": ["Odd"], "persistentVolumeReclaimPolicy": "Odd", "hostPath": {"path": "../x"}, "nfs": {}, "volumeMode": "Odd"});
        let wrong = [
            "spec.accessModes: Unsupported value: \"Odd\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
            "spec.capacity: Required value",
            "spec.capacity: Unsupported value: null: supported values: \"storage\"",
            "spec.persistentVolumeReclaimPolicy: Unsupported value: \"Odd\": supported values: \"Delete\", \"Recycle\", \"Retain\"",
            "spec.hostPath.path: Invalid value: \"../x\": must not contain '..'",
            "spec.nfs: Forbidden: may not specify more than 1 volume type",
            "spec.volumeMode: Unsupported value: \"Odd\": supported values: \"Block\", \"Filesystem\"",
        ];
        assert_eq!(created("", "PersistentVolume", json!({"spec": spec})).unwrap_err(), wrong);
    }

    #[test]
    fn classes_are_fixed() {
        let wrong = [
            "reclaimPolicy: Unsupported value: \"Odd\": supported values: \"Delete\", \"Retain\"",
            "provisioner: Required value",
        ];
        assert_eq!(
            created("storage.k8s.io", "StorageClass", json!({"reclaimPolicy": "Odd"})).unwrap_err(),
            wrong
        );
        let old = created("storage.k8s.io", "StorageClass", json!({"provisioner": "a.io/b"})).unwrap();
        let mut new = old.clone();
        new["provisioner"] = "a.io/c".into();
        meta::put(&mut new, "metadata.resourceVersion", "1");
        assert_eq!(
            updated("storage.k8s.io", "StorageClass", new, old).unwrap_err(),
            ["provisioner: Invalid value: null: field is immutable"]
        );
    }

    #[test]
    fn most_of_a_claim_is_fixed() {
        let spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}});
        let mut old = created("", "PersistentVolumeClaim", json!({"spec": spec})).unwrap();
        meta::put(&mut old, "metadata.resourceVersion", "1");
        let mut new = old.clone();
        new["spec"]["accessModes"] = json!(["ReadWriteMany"]);
        let wrong = updated("", "PersistentVolumeClaim", new, old).unwrap_err();
        let says = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n@@ -1,6 +1,6 @@\n {\n  \"AccessModes\": [\n-  \"ReadWriteOnce\"\n+  \"ReadWriteMany\"\n  ],\n  \"Selector\": null,\n  \"Resources\": {\n";
        assert_eq!(wrong, [says]);
    }

    #[test]
    fn claims_are_printed_as_upstream_prints_them() {
        let now = "2026-01-01T00:00:00Z";
        let claim = json!({"metadata": {"name": "a"}, "spec": {"volumeName": "v", "storageClassName": "s"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}});
        assert_eq!(
            cells("", "PersistentVolumeClaim", &claim, now),
            ["a", "Bound", "v", "1Gi", "RWO,RWX", "s", "<unset>", "<unknown>", "<unset>"]
        );
    }
}
