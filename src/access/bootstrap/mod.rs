//! What a new cluster has before anybody creates anything: the default roles and bindings,
//! the namespaces of the system and its priority classes. Facts are tables, from which
//! objects are made; [`reconcile`] says what is to be done where some are there already.

mod bindings;
mod cluster_roles;
mod controllers;
mod reconcile;
mod table;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

pub use reconcile::{Change, reconcile};

use crate::rbac::{RbacKind, Rule};
use api::meta::list_at;

/// The namespaces that always are, in the order they are made.
pub const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// A namespace as it is created.
pub fn namespace(name: &str) -> Value {
    json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})
}

/// The two priority classes above all that users may define: created where they are
/// missing, never changed.
pub fn priority_classes() -> Vec<Value> {
    let class = |name: &str, value: i64, description: &str| {
        json!({
            "kind": "PriorityClass",
            "apiVersion": "scheduling.k8s.io/v1",
            "metadata": {"name": name},
            "value": value,
            "description": description,
            "preemptionPolicy": "PreemptLowerPriority",
        })
    };
    vec![
        class(
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current node.",
        ),
        class(
            "system-cluster-critical",
            2_000_000_000,
            concat!(
                "Used for system critical pods that must run in the cluster, ",
                "but can be moved to another node if necessary."
            ),
        ),
    ]
}

/// Every default role and binding, in the order in which they are reconciled: those of the
/// cluster first, then those in kube-system and kube-public, whose namespaces must exist.
pub fn rbac() -> Vec<(RbacKind, Value)> {
    let controller = |name: &str| format!("system:controller:{name}");
    let roles = cluster_roles::CLUSTER_ROLES.iter().map(|role| role.object(role.name, ""));
    let of_controllers = controllers::CONTROLLERS.iter();
    let controller_roles = of_controllers.clone().map(|role| role.object(&controller(role.name), ""));
    let bindings = bindings::CLUSTER_ROLE_BINDINGS.iter().map(|binding| binding.object(""));
    let controller_bindings = of_controllers.map(|role| {
        let account = json!({"kind": "ServiceAccount", "name": role.name, "namespace": "kube-system"});
        table::bind(&controller(role.name), "", &controller(role.name), vec![account])
    });
    let local_roles = bindings::ROLES.iter().map(|(namespace, role)| role.object(role.name, namespace));
    let local = bindings::ROLE_BINDINGS.iter().map(|(namespace, binding)| binding.object(namespace));
    roles
        .chain(controller_roles)
        .map(|object| (RbacKind::ClusterRole, object))
        .chain(bindings.chain(controller_bindings).map(|object| (RbacKind::ClusterRoleBinding, object)))
        .chain(local_roles.map(|object| (RbacKind::Role, object)))
        .chain(local.map(|object| (RbacKind::RoleBinding, object)))
        .collect()
}

/// The group of the cluster's administrators. They may do everything by a binding, which
/// can be taken away; what `system:masters` may do cannot.
pub const ADMINISTRATORS: &str = "cluster:administrators";

/// The binding of the administrators, which upstream leaves to whoever sets a cluster up.
pub fn administrators() -> (RbacKind, Value) {
    let group = json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": ADMINISTRATORS});
    (RbacKind::ClusterRoleBinding, table::bind(ADMINISTRATORS, "", "cluster-admin", vec![group]))
}

/// What every node may do that is not divided by node: the rules of `system:node`.
pub fn node_rules() -> Vec<Rule> {
    let node = cluster_roles::CLUSTER_ROLES.iter().find(|role| role.name == cluster_roles::NODE);
    let object = node.map(|role| role.object(role.name, "")).unwrap_or_default();
    list_at(&object, "rules").iter().map(Rule::from_value).collect()
}
