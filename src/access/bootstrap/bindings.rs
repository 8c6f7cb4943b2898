//! The facts of the default ClusterRoleBindings, and of the Roles and RoleBindings in the
//! namespaces of the system.

use super::table::{Binding, READ, Role, account, binding, group, named, on, role, user};

pub(super) const CLUSTER_ROLE_BINDINGS: &[Binding] = &[
    binding("cluster-admin", "cluster-admin", &[group("system:masters")]),
    binding("system:basic-user", "system:basic-user", &[group("system:authenticated")]),
    binding(
        "system:cluster-trust-bundle-discovery",
        "system:cluster-trust-bundle-discovery",
        &[group("system:serviceaccounts")],
    ),
    binding("system:discovery", "system:discovery", &[group("system:authenticated")]),
    binding(
        "system:kube-controller-manager",
        "system:kube-controller-manager",
        &[user("system:kube-controller-manager")],
    ),
    binding("system:kube-dns", "system:kube-dns", &[account("kube-system", "kube-dns")]),
    binding("system:kube-scheduler", "system:kube-scheduler", &[user("system:kube-scheduler")]),
    binding("system:monitoring", "system:monitoring", &[group("system:monitoring")]),
    binding("system:node", "system:node", &[]),
    binding("system:node-proxier", "system:node-proxier", &[user("system:kube-proxy")]),
    binding(
        "system:public-info-viewer",
        "system:public-info-viewer",
        &[group("system:authenticated"), group("system:unauthenticated")],
    ),
    binding(
        "system:service-account-issuer-discovery",
        "system:service-account-issuer-discovery",
        &[group("system:serviceaccounts")],
    ),
    binding("system:volume-scheduler", "system:volume-scheduler", &[user("system:kube-scheduler")]),
];

/// Roles by their namespace.
pub(super) const ROLES: &[(&str, Role)] = &[
    (
        "kube-public",
        role(
            "system:controller:bootstrap-signer",
            &[
                on(READ, "core", "configmaps"),
                named("update", "core", "configmaps", "cluster-info"),
                on("create patch update", "core events.k8s.io", "events"),
            ],
        ),
    ),
    (
        "kube-system",
        role(
            "extension-apiserver-authentication-reader",
            &[named(READ, "core", "configmaps", "extension-apiserver-authentication")],
        ),
    ),
    (
        "kube-system",
        role(
            "system::leader-locking-kube-controller-manager",
            &[
                on("create get list update watch", "coordination.k8s.io", "leases"),
                on("create get list update watch", "coordination.k8s.io", "leasecandidates"),
            ],
        ),
    ),
    (
        "kube-system",
        role(
            "system::leader-locking-kube-scheduler",
            &[
                on("create get list update watch", "coordination.k8s.io", "leases"),
                on("create get list update watch", "coordination.k8s.io", "leasecandidates"),
            ],
        ),
    ),
    ("kube-system", role("system:controller:bootstrap-signer", &[on(READ, "core", "secrets")])),
    (
        "kube-system",
        role("system:controller:cloud-provider", &[on("create get list watch", "core", "configmaps")]),
    ),
    (
        "kube-system",
        role(
            "system:controller:token-cleaner",
            &[
                on("delete get list watch", "core", "secrets"),
                on("create patch update", "core events.k8s.io", "events"),
            ],
        ),
    ),
];

/// RoleBindings by their namespace.
pub(super) const ROLE_BINDINGS: &[(&str, Binding)] = &[
    (
        "kube-public",
        binding(
            "system:controller:bootstrap-signer",
            "system:controller:bootstrap-signer",
            &[account("kube-system", "bootstrap-signer")],
        ),
    ),
    (
        "kube-system",
        binding(
            "system::extension-apiserver-authentication-reader",
            "extension-apiserver-authentication-reader",
            &[user("system:kube-controller-manager"), user("system:kube-scheduler")],
        ),
    ),
    (
        "kube-system",
        binding(
            "system::leader-locking-kube-controller-manager",
            "system::leader-locking-kube-controller-manager",
            &[
                user("system:kube-controller-manager"),
                account("kube-system", "kube-controller-manager"),
                account("kube-system", "leader-election-controller"),
            ],
        ),
    ),
    (
        "kube-system",
        binding(
            "system::leader-locking-kube-scheduler",
            "system::leader-locking-kube-scheduler",
            &[user("system:kube-scheduler"), account("kube-system", "kube-scheduler")],
        ),
    ),
    (
        "kube-system",
        binding(
            "system:controller:bootstrap-signer",
            "system:controller:bootstrap-signer",
            &[account("kube-system", "bootstrap-signer")],
        ),
    ),
    (
        "kube-system",
        binding(
            "system:controller:cloud-provider",
            "system:controller:cloud-provider",
            &[account("kube-system", "cloud-provider")],
        ),
    ),
    (
        "kube-system",
        binding(
            "system:controller:token-cleaner",
            "system:controller:token-cleaner",
            &[account("kube-system", "token-cleaner")],
        ),
    ),
];
