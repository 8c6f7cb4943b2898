//! Roles and bindings, held so that a request costs what its user's own bindings cost,
//! however many others there are. Kept up to date by object events; a server has one
//! behind a lock that is held for the length of a decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::Rule;
use crate::User;
use crate::user::service_account_name;
use api::field_error::quote;

/// The four kinds of `rbac.authorization.k8s.io`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RbacKind {
    /// Rules for one namespace.
    Role,
    /// Rules for everywhere, or to be bound in a namespace.
    ClusterRole,
    /// Gives a role to subjects in one namespace.
    RoleBinding,
    /// Gives a ClusterRole to subjects everywhere.
    ClusterRoleBinding,
}

/// What a binding points at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleRef {
    /// `rbac.authorization.k8s.io`
    pub group: String,
    /// `Role` or `ClusterRole`
    pub kind: String,
    /// The role's name.
    pub name: String,
}

impl RoleRef {
    /// Reads a binding's `roleRef`.
    pub fn from_value(value: &Value) -> RoleRef {
        let text = |field: &str| text(value, field).to_owned();
        RoleRef { group: text("apiGroup"), kind: text("kind"), name: text("name") }
    }
}

/// Whom a binding is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`
    pub kind: String,
    /// The user's, group's or account's name.
    pub name: String,
    /// A service account's; empty means the binding's own.
    pub namespace: String,
}

/// A binding as it is needed to decide and to tell why.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: Box<str>,
    /// Empty for a ClusterRoleBinding.
    pub(super) namespace: Box<str>,
    pub(super) role: RoleRef,
    pub(super) subjects: Vec<Subject>,
}

/// What is in the cluster's scope, or in one namespace.
#[derive(Debug, Default)]
pub(super) struct Scope {
    pub(super) roles: BTreeMap<Box<str>, Arc<[Rule]>>,
    pub(super) bindings: BTreeMap<Box<str>, Arc<Binding>>,
    /// Service accounts are users, by their user names.
    pub(super) by_user: Index,
    pub(super) by_group: Index,
}

/// Bindings by a subject's name, then by their own.
pub(super) type Index = BTreeMap<Box<str>, BTreeMap<Box<str>, Arc<Binding>>>;

/// How a subject is found: bindings of a user, and bindings of a group.
pub(super) enum SubjectKey {
    User(Box<str>),
    Group(Box<str>),
}

/// All roles and bindings.
#[derive(Debug, Default)]
pub struct Policy {
    pub(super) cluster: Scope,
    pub(super) namespaces: BTreeMap<Box<str>, Scope>,
}

impl Policy {
    /// A policy that allows nothing.
    pub fn new() -> Policy {
        Policy::default()
    }

    /// Takes in an object as it is now: created, changed, or first seen.
    pub fn put(&mut self, kind: RbacKind, object: &Value) {
        let metadata = object.get("metadata").unwrap_or(&Value::Null);
        let (namespace, name) = (text(metadata, "namespace"), text(metadata, "name"));
        match kind {
            RbacKind::ClusterRole => self.cluster.put_role(name, object),
            RbacKind::Role => self.namespaces.entry(namespace.into()).or_default().put_role(name, object),
            RbacKind::ClusterRoleBinding => self.cluster.put_binding("", name, object),
            RbacKind::RoleBinding => {
                self.namespaces.entry(namespace.into()).or_default().put_binding(namespace, name, object);
            }
        }
    }

    /// Forgets a deleted object. The namespace of the two cluster kinds is empty.
    pub fn remove(&mut self, kind: RbacKind, namespace: &str, name: &str) {
        let scope = match kind {
            RbacKind::ClusterRole | RbacKind::ClusterRoleBinding => Some(&mut self.cluster),
            RbacKind::Role | RbacKind::RoleBinding => self.namespaces.get_mut(namespace),
        };
        let Some(scope) = scope else { return };
        match kind {
            RbacKind::ClusterRole | RbacKind::Role => drop(scope.roles.remove(name)),
            RbacKind::ClusterRoleBinding | RbacKind::RoleBinding => scope.remove_binding(name),
        }
        if self.namespaces.get(namespace).is_some_and(Scope::is_empty) {
            self.namespaces.remove(namespace);
        }
    }

    /// The rules of a role that a binding in this namespace (empty: none) points at, or
    /// why there are none.
    pub fn rules_of(&self, role: &RoleRef, namespace: &str) -> Result<Arc<[Rule]>, RoleError> {
        let (roles, kind) = match role.kind.as_str() {
            "Role" => (self.namespaces.get(namespace).map(|scope| &scope.roles), RbacKind::Role),
            "ClusterRole" => (Some(&self.cluster.roles), RbacKind::ClusterRole),
            other => return Err(RoleError::Kind(other.to_owned())),
        };
        let found = roles.and_then(|roles| roles.get(role.name.as_str()));
        found.cloned().ok_or_else(|| RoleError::NotFound { kind, name: role.name.clone() })
    }
}

/// Why a binding gives nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleError {
    /// Its role is not there.
    NotFound {
        /// Role or ClusterRole.
        kind: RbacKind,
        /// The role's name.
        name: String,
    },
    /// It points at something that is no role.
    Kind(String),
}

impl RoleError {
    /// In the words of decisions.
    pub fn told(&self) -> String {
        match self {
            RoleError::NotFound { kind: RbacKind::Role, name } => not_found("role", name),
            RoleError::NotFound { name, .. } => not_found("clusterrole", name),
            RoleError::Kind(kind) => format!("unsupported role reference kind: {}", quote(kind)),
        }
    }

    /// In the words of refusals to write: upstream then reads from its store, which says
    /// that what the request is about was not found.
    pub fn told_of(&self, written: RbacKind) -> String {
        match self {
            RoleError::NotFound { name, .. } => not_found(written.plural(), name),
            RoleError::Kind(_) => self.told(),
        }
    }
}

fn not_found(resource: &str, name: &str) -> String {
    format!("{resource}.rbac.authorization.k8s.io {} not found", quote(name))
}

impl RbacKind {
    /// The resource in URLs.
    pub fn plural(self) -> &'static str {
        match self {
            RbacKind::Role => "roles",
            RbacKind::ClusterRole => "clusterroles",
            RbacKind::RoleBinding => "rolebindings",
            RbacKind::ClusterRoleBinding => "clusterrolebindings",
        }
    }

    /// The kind of a resource of `rbac.authorization.k8s.io`.
    pub fn of(resource: &str) -> Option<RbacKind> {
        let all =
            [RbacKind::Role, RbacKind::ClusterRole, RbacKind::RoleBinding, RbacKind::ClusterRoleBinding];
        all.into_iter().find(|kind| kind.plural() == resource)
    }
}

impl Scope {
    fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.bindings.is_empty()
    }

    fn index(&mut self, key: SubjectKey) -> (&mut Index, Box<str>) {
        match key {
            SubjectKey::User(name) => (&mut self.by_user, name),
            SubjectKey::Group(name) => (&mut self.by_group, name),
        }
    }

    fn put_role(&mut self, name: &str, object: &Value) {
        let rules = object.get("rules").and_then(Value::as_array);
        self.roles.insert(name.into(), rules.into_iter().flatten().map(Rule::from_value).collect());
    }

    fn put_binding(&mut self, namespace: &str, name: &str, object: &Value) {
        self.remove_binding(name);
        let subjects = object.get("subjects").and_then(Value::as_array);
        let binding = Arc::new(Binding {
            name: name.into(),
            namespace: namespace.into(),
            role: RoleRef::from_value(object.get("roleRef").unwrap_or(&Value::Null)),
            subjects: subjects.into_iter().flatten().map(subject).collect(),
        });
        for key in binding.subjects.iter().filter_map(|subject| subject.key(namespace)) {
            let (index, subject) = self.index(key);
            index.entry(subject).or_default().insert(name.into(), Arc::clone(&binding));
        }
        self.bindings.insert(name.into(), binding);
    }

    fn remove_binding(&mut self, name: &str) {
        let Some(binding) = self.bindings.remove(name) else { return };
        for key in binding.subjects.iter().filter_map(|subject| subject.key(&binding.namespace)) {
            let (index, subject) = self.index(key);
            let Some(bindings) = index.get_mut(&subject) else { continue };
            bindings.remove(name);
            if bindings.is_empty() {
                index.remove(&subject);
            }
        }
    }
}

impl SubjectKey {
    /// Whether the user is the subject, or in it.
    pub(super) fn is(&self, user: &User) -> bool {
        match self {
            SubjectKey::User(name) => **name == *user.name,
            SubjectKey::Group(name) => user.is_in(name),
        }
    }
}

impl Subject {
    /// How the subject is found; a service account without any namespace is nobody.
    pub(super) fn key(&self, binding_namespace: &str) -> Option<SubjectKey> {
        match self.kind.as_str() {
            "User" => Some(SubjectKey::User(self.name.as_str().into())),
            "Group" => Some(SubjectKey::Group(self.name.as_str().into())),
            "ServiceAccount" => {
                let own = self.namespace.as_str();
                let namespace = if own.is_empty() { binding_namespace } else { own };
                let name = || service_account_name(namespace, &self.name).into();
                (!namespace.is_empty()).then(|| SubjectKey::User(name()))
            }
            _ => None,
        }
    }
}

fn subject(value: &Value) -> Subject {
    let text = |field: &str| text(value, field).to_owned();
    Subject { kind: text("kind"), name: text("name"), namespace: text("namespace") }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}
