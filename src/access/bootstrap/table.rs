//! The shape of the tables of default policy: words in one string, the core group spelled
//! `core`, and how rows become objects.

use serde_json::{Map, Value, json};

pub(super) const READ: &str = "get list watch";
pub(super) const WRITE: &str = "create delete deletecollection patch update";
pub(super) const ALL: &str = "create delete deletecollection get list patch update watch";

const RBAC: &str = "rbac.authorization.k8s.io";

/// One rule.
pub(super) struct Row {
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
    urls: &'static str,
}

/// Verbs on resources of groups.
pub(super) const fn on(verbs: &'static str, groups: &'static str, resources: &'static str) -> Row {
    Row { verbs, groups, resources, names: "", urls: "" }
}

/// The same for these objects alone.
pub(super) const fn named(
    verbs: &'static str,
    groups: &'static str,
    resources: &'static str,
    names: &'static str,
) -> Row {
    Row { verbs, groups, resources, names, urls: "" }
}

/// Verbs on paths.
pub(super) const fn urls(verbs: &'static str, urls: &'static str) -> Row {
    Row { verbs, groups: "", resources: "", names: "", urls }
}

/// A Role or ClusterRole.
pub(super) struct Role {
    pub(super) name: &'static str,
    pub(super) rules: &'static [Row],
    part_of: &'static str,
    gathers: &'static str,
}

/// A role of these rules.
pub(super) const fn role(name: &'static str, rules: &'static [Row]) -> Role {
    Role { name, rules, part_of: "", gathers: "" }
}

impl Role {
    /// Its rules are gathered into this role.
    pub(super) const fn part_of(self, role: &'static str) -> Role {
        Role { part_of: role, ..self }
    }

    /// Its rules are those of the roles that are part of it.
    pub(super) const fn gathers(self, role: &'static str) -> Role {
        Role { gathers: role, ..self }
    }

    /// The object, of this name and in this namespace (empty: a ClusterRole).
    pub(super) fn object(&self, name: &str, namespace: &str) -> Value {
        let kind = if namespace.is_empty() { "ClusterRole" } else { "Role" };
        let mut labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
        if !self.part_of.is_empty() {
            labels[aggregation_label(self.part_of)] = json!("true");
        }
        let mut object = object(kind, name, namespace, labels);
        if !self.gathers.is_empty() {
            let selector = json!({"matchLabels": {(aggregation_label(self.gathers)): "true"}});
            object["aggregationRule"] = json!({"clusterRoleSelectors": [selector]});
        }
        let rules = self.rules.iter().map(Row::object).collect();
        object["rules"] = if self.gathers.is_empty() { Value::Array(rules) } else { Value::Null };
        object
    }
}

impl Row {
    fn object(&self) -> Value {
        let words = |text: &str| -> Vec<String> {
            text.split_whitespace().map(|word| if word == "core" { "" } else { word }.to_owned()).collect()
        };
        let fields = [
            ("verbs", self.verbs),
            ("apiGroups", self.groups),
            ("resources", self.resources),
            ("resourceNames", self.names),
            ("nonResourceURLs", self.urls),
        ];
        let told = fields.into_iter().filter(|(_, text)| !text.is_empty());
        Value::Object(told.map(|(field, text)| (field.to_owned(), json!(words(text)))).collect())
    }
}

/// Whom a binding is for.
pub(super) enum Subject {
    User(&'static str),
    Group(&'static str),
    Account(&'static str, &'static str),
}

pub(super) const fn user(name: &'static str) -> Subject {
    Subject::User(name)
}

pub(super) const fn group(name: &'static str) -> Subject {
    Subject::Group(name)
}

pub(super) const fn account(namespace: &'static str, name: &'static str) -> Subject {
    Subject::Account(namespace, name)
}

impl Subject {
    fn object(&self) -> Value {
        match self {
            Subject::User(name) => json!({"kind": "User", "apiGroup": RBAC, "name": name}),
            Subject::Group(name) => json!({"kind": "Group", "apiGroup": RBAC, "name": name}),
            Subject::Account(namespace, name) => {
                json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
            }
        }
    }
}

/// A RoleBinding or ClusterRoleBinding.
pub(super) struct Binding {
    name: &'static str,
    role: &'static str,
    subjects: &'static [Subject],
}

/// A binding of a role to subjects.
pub(super) const fn binding(name: &'static str, role: &'static str, subjects: &'static [Subject]) -> Binding {
    Binding { name, role, subjects }
}

impl Binding {
    /// The object, in this namespace (empty: a ClusterRoleBinding).
    pub(super) fn object(&self, namespace: &str) -> Value {
        let subjects = self.subjects.iter().map(Subject::object).collect();
        bind(self.name, namespace, self.role, subjects)
    }
}

/// A binding to a role of its own scope.
pub(super) fn bind(name: &str, namespace: &str, role: &str, subjects: Vec<Value>) -> Value {
    let (kind, role_kind) = match namespace {
        "" => ("ClusterRoleBinding", "ClusterRole"),
        _ => ("RoleBinding", "Role"),
    };
    let labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    let mut object = object(kind, name, namespace, labels);
    if !subjects.is_empty() {
        object["subjects"] = Value::Array(subjects);
    }
    object["roleRef"] = json!({"apiGroup": RBAC, "kind": role_kind, "name": role});
    object
}

fn object(kind: &str, name: &str, namespace: &str, labels: Value) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(name));
    if !namespace.is_empty() {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    metadata.insert("labels".to_owned(), labels);
    metadata.insert("annotations".to_owned(), json!({"rbac.authorization.kubernetes.io/autoupdate": "true"}));
    json!({"kind": kind, "apiVersion": format!("{RBAC}/v1"), "metadata": metadata})
}

fn aggregation_label(role: &str) -> String {
    format!("{RBAC}/aggregate-to-{role}")
}
