//! Kinds that are served by their schema: how they are printed, what their defaults are,
//! and which of them nothing in this cluster acts on yet.

use serde_json::Value;

use super::Row;
use super::table::{AGE, NAME, NAME_AND_AGE, age, integer, name_and_age, says, text};
use crate::kind::{About, COUNTED_ONCE, Column, Strategy};
use crate::meta;

/// Kinds whose creation is answered with a Warning: nothing acts on them yet.
pub(super) const INERT: &[(&str, &str)] = &[
    ("", "LimitRange"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("certificates.k8s.io", "ClusterTrustBundle"),
    ("certificates.k8s.io", "PodCertificateRequest"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("networking.k8s.io", "ServiceCIDR"),
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

pub(super) fn items<'a>(object: &'a mut Value, path: &str) -> impl Iterator<Item = &'a mut Value> {
    meta::at_mut(object, path).and_then(Value::as_array_mut).into_iter().flatten()
}

pub(super) fn name(o: &Value) -> Value {
    meta::name(o).into()
}

pub(super) fn at(o: &Value, path: &str) -> Value {
    meta::str_at(o, path).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::registry;
    use super::super::testing::warned;
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
}
