//! Collects the descriptions of all types and fields from k8s-openapi's schemas into one
//! compressed text: for each, definition, field and description, each ended by a zero byte,
//! sorted by definition and field. The field is empty for the type itself.

use std::collections::BTreeMap;
use std::io::{Error, Write};
use std::path::PathBuf;

use flate2::{Compression, write::DeflateEncoder};
use k8s_openapi::apimachinery::pkg::apis::meta;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::Value;

/// Each kind, by its path.
macro_rules! kinds {
    ($generator:ident, $($($part:ident)::+ : $($kind:ident),+;)+) => {
        $({
            use $($part)::+ as module;
            $($generator.subschema_for::<module::$kind>();)+
        })+
    };
}

fn roots(generator: &mut SchemaGenerator) {
    kinds! {
        generator,
        k8s_openapi::api::core::v1: Binding, ComponentStatus, ConfigMap, Endpoints, Event, LimitRange, Namespace, Node, PersistentVolumeClaim, PersistentVolume, Pod, PodTemplate, ReplicationController, ResourceQuota, Secret, ServiceAccount, Service;
        k8s_openapi::api::admissionregistration::v1: MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration;
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1: CustomResourceDefinition;
        k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1: APIService;
        k8s_openapi::api::apps::v1: ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet;
        k8s_openapi::api::authentication::v1: SelfSubjectReview, TokenReview, TokenRequest;
        k8s_openapi::api::authorization::v1: LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview;
        k8s_openapi::api::autoscaling::v1: HorizontalPodAutoscaler, Scale;
        k8s_openapi::api::autoscaling::v2: HorizontalPodAutoscaler;
        k8s_openapi::api::batch::v1: CronJob, Job;
        k8s_openapi::api::certificates::v1: CertificateSigningRequest, ClusterTrustBundle, PodCertificateRequest;
        k8s_openapi::api::coordination::v1: Lease;
        k8s_openapi::api::discovery::v1: EndpointSlice;
        k8s_openapi::api::events::v1: Event;
        k8s_openapi::api::flowcontrol::v1: FlowSchema, PriorityLevelConfiguration;
        k8s_openapi::api::networking::v1: IngressClass, Ingress, IPAddress, NetworkPolicy, ServiceCIDR;
        k8s_openapi::api::node::v1: RuntimeClass;
        k8s_openapi::api::policy::v1: PodDisruptionBudget, Eviction;
        k8s_openapi::api::rbac::v1: ClusterRoleBinding, ClusterRole, RoleBinding, Role;
        k8s_openapi::api::resource::v1: DeviceClass, DeviceTaintRule, ResourceClaim, ResourceClaimTemplate, ResourceSlice;
        k8s_openapi::api::scheduling::v1: PriorityClass;
        k8s_openapi::api::storage::v1: CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment, VolumeAttributesClass;
        k8s_openapi::api::storagemigration::v1: StorageVersionMigration;
    }
    generator.subschema_for::<meta::v1::Status>();
    generator.subschema_for::<meta::v1::DeleteOptions>();
    generator.subschema_for::<meta::v1::WatchEvent<k8s_openapi::api::core::v1::Pod>>();
    generator.subschema_for::<meta::v1::APIResourceList>();
    generator.subschema_for::<meta::v1::Patch>();
    generator.subschema_for::<k8s_openapi::apimachinery::pkg::runtime::RawExtension>();
}

fn main() -> Result<(), Error> {
    println!("cargo:rerun-if-changed=build.rs");
    let mut generator = SchemaSettings::default().into_generator();
    roots(&mut generator);
    let mut texts: BTreeMap<(String, String), String> = BTreeMap::new();
    for (definition, schema) in generator.take_definitions(false) {
        let mut keep = |field: &str, schema: &Value| {
            if let Some(text) = schema.get("description").and_then(Value::as_str) {
                texts.insert((definition.clone(), field.to_owned()), text.to_owned());
            }
        };
        keep("", &schema);
        for (field, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            keep(field, schema);
        }
    }
    let mut out = DeflateEncoder::new(Vec::new(), Compression::best());
    for ((definition, field), text) in texts {
        for part in [&definition, &field, &text] {
            out.write_all(part.as_bytes())?;
            out.write_all(&[0])?;
        }
    }
    let folder = std::env::var_os("OUT_DIR").ok_or_else(|| Error::other("cargo gives OUT_DIR"))?;
    std::fs::write(PathBuf::from(folder).join("descriptions.deflate"), out.finish()?)
}
