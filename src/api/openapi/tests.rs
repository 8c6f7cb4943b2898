//! What clients find in the documents.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::kinds;

fn describe<'a>(definition: &str, field: &str) -> Option<&'a str> {
    match (definition, field) {
        ("io.k8s.api.apps.v1.DeploymentSpec", "strategy") => Some("How pods are replaced."),
        ("io.k8s.api.core.v1.ServicePort", "protocol") => Some("The protocol."),
        ("io.k8s.api.core.v1.Pod", "kind") => Some("The kind."),
        _ => None,
    }
}

fn apps() -> Value {
    document(&kinds::registry(), "apps", "v1", &describe).unwrap()
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_of_every_document_leads_somewhere() {
    let registry = kinds::registry();
    let mut count = 0;
    for (group, versions) in registry.groups() {
        for version in versions.keys() {
            let document = document(&registry, group, version, &describe).unwrap();
            let mut found = BTreeSet::new();
            references(&document, &mut found);
            for reference in found {
                let place = reference.trim_start_matches('#');
                assert!(
                    document.pointer(place).is_some_and(Value::is_object),
                    "{group}/{version}: {reference}"
                );
                count += 1;
            }
        }
    }
    assert!(count > 1000, "{count}");
    let all = document_v2(&registry, &describe);
    let mut found = BTreeSet::new();
    references(&all, &mut found);
    assert!(found.iter().all(|reference| all.pointer(reference.trim_start_matches('#')).is_some()));
    assert!(document(&registry, "apps", "v9", &describe).is_none());
}

#[test]
fn schemas_tell_how_fields_merge_and_what_they_are_given() {
    let document = apps();
    let schemas = &document["components"]["schemas"];
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    assert_eq!(
        schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"],
        json!({"description": "How pods are replaced.", "default": {},
            "allOf": [reference("io.k8s.api.apps.v1.DeploymentStrategy")], "x-kubernetes-patch-strategy": "retainKeys"})
    );
    assert_eq!(schemas["io.k8s.api.apps.v1.DeploymentSpec"]["required"], json!(["selector", "template"]));
    assert_eq!(
        schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"],
        json!({"type": "array", "items": reference("io.k8s.api.core.v1.ContainerPort"),
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
            "x-kubernetes-patch-merge-key": "containerPort", "x-kubernetes-patch-strategy": "merge"})
    );
    assert_eq!(
        schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"],
        json!({"type": "string", "enum": ["SCTP", "TCP", "UDP"], "default": "TCP"})
    );
    assert_eq!(
        schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"],
        json!({"oneOf": [{"type": "string"}, {"type": "number"}]})
    );
    assert_eq!(
        schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
    );
    assert_eq!(
        schemas["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "DeleteOptions"},
            {"group": "apps", "version": "v1", "kind": "DeleteOptions"}])
    );
    assert_eq!(
        schemas["io.k8s.api.apps.v1.DeploymentList"]["properties"]["kind"]["description"],
        "The kind."
    );
}

#[test]
fn values_that_are_allowed_are_told_with_the_description() {
    let document = document(&kinds::registry(), "", "v1", &describe).unwrap();
    let protocol =
        &document["components"]["schemas"]["io.k8s.api.core.v1.ServicePort"]["properties"]["protocol"];
    assert_eq!(
        protocol["description"],
        "The protocol.\n\nPossible enum values:\n - `\"SCTP\"`\n - `\"TCP\"`\n - `\"UDP\"`"
    );
}

#[test]
fn paths_tell_each_action_its_kind_and_its_parameters() {
    let document = apps();
    let names = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect()
    };
    let item = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    assert_eq!(names(&item["parameters"]), ["name", "namespace", "pretty"]);
    assert_eq!(names(&item["patch"]["parameters"]), ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert_eq!(item["patch"]["operationId"], "patchAppsV1NamespacedDeployment");
    assert_eq!(
        item["patch"]["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"];
    assert_eq!(scale["put"]["operationId"], "replaceAppsV1NamespacedDeploymentScale");
    assert_eq!(scale["put"]["x-kubernetes-group-version-kind"]["kind"], "Scale");
    let everywhere = &document["paths"]["/apis/apps/v1/deployments"];
    assert_eq!(everywhere["get"]["operationId"], "listAppsV1DeploymentForAllNamespaces");
    assert!(names(&everywhere["parameters"]).contains(&"watch".to_owned()));
    let rbac = super::document(&kinds::registry(), "rbac.authorization.k8s.io", "v1", &describe).unwrap();
    let roles = &rbac["paths"]["/apis/rbac.authorization.k8s.io/v1/clusterroles"]["post"];
    assert_eq!(roles["operationId"], "createRbacAuthorizationV1ClusterRole");
    assert_eq!(roles["tags"], json!(["rbacAuthorization_v1"]));
}

#[test]
fn the_older_form_has_short_references_and_bodies_as_parameters() {
    let document = document_v2(&kinds::registry(), &describe);
    let post = &document["paths"]["/api/v1/namespaces/{namespace}/pods"]["post"];
    let body = json!({"name": "body", "in": "body", "required": true, "schema": {"$ref": "#/definitions/io.k8s.api.core.v1.Pod"}});
    assert_eq!(post["parameters"][0], body);
    assert_eq!(post["responses"]["201"]["schema"]["$ref"], "#/definitions/io.k8s.api.core.v1.Pod");
    let quantity = &document["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"];
    assert_eq!(quantity, &json!({"type": "string"}));
    let strategy = &document["definitions"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"];
    assert_eq!(strategy["$ref"], "#/definitions/io.k8s.api.apps.v1.DeploymentStrategy");
    assert!(strategy.get("default").is_none() && strategy.get("allOf").is_none());
}

#[test]
fn the_index_names_each_document_with_its_hash() {
    assert_eq!(place("", "v1"), "api/v1");
    assert_eq!(
        index([("api/v1", "AB"), ("apis/apps/v1", "CD")]),
        json!({"paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=AB"},
            "apis/apps/v1": {"serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=CD"}}})
    );
}
