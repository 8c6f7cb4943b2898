//! Discovery: which groups, versions and resources there are, plainly and all at once.
//!
//! Made of the registry when it is asked for and kept until the registry changes.

use api::kind::{Kind, Registry, Role, Subresource};
use serde_json::{Map, Value, json};

/// Groups in upstream's order of preference; others come behind, by name.
const ORDER: &[&str] = &[
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
];

/// Groups but core, in order.
fn groups(registry: &Registry) -> Vec<&str> {
    let place = |group: &str| ORDER.iter().position(|known| *known == group).unwrap_or(ORDER.len());
    let mut names: Vec<_> =
        registry.groups().map(|(group, _)| group).filter(|group| !group.is_empty()).collect();
    names.sort_by_key(|group| (place(group), *group));
    names
}

/// Versions of a group, preferred first: stable before beta before alpha, then the higher.
fn versions<'a>(registry: &'a Registry, group: &str) -> Vec<&'a str> {
    let found = registry.groups().find(|(name, _)| *name == group);
    let mut names: Vec<&str> =
        found.into_iter().flat_map(|(_, versions)| versions.keys().map(|name| &**name)).collect();
    names.sort_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| a.cmp(b)));
    names
}

/// Stability, major, minor of `v1`, `v2beta1`; other names rank last.
fn rank(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (major, suffix) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let (stability, minor) = match suffix {
        "" => (3, ""),
        _ => match (suffix.strip_prefix("beta"), suffix.strip_prefix("alpha")) {
            (Some(minor), _) => (2, minor),
            (_, Some(minor)) => (1, minor),
            _ => return (0, 0, 0),
        },
    };
    (stability, major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
}

/// `/api`
#[must_use]
pub fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`
#[must_use]
pub fn group_list(registry: &Registry) -> Value {
    let groups: Vec<_> =
        groups(registry).into_iter().map(|group| group_fields(registry, group).into()).collect();
    let mut list = typed("APIGroupList");
    list.insert("groups".to_owned(), Value::Array(groups));
    list.into()
}

/// `/apis/GROUP`
#[must_use]
pub fn group(registry: &Registry, name: &str) -> Option<Value> {
    groups(registry).contains(&name).then(|| {
        let mut group = typed("APIGroup");
        group.extend(group_fields(registry, name));
        group.into()
    })
}

fn typed(kind: &str) -> Map<String, Value> {
    Map::from_iter([("kind".to_owned(), kind.into()), ("apiVersion".to_owned(), "v1".into())])
}

fn group_fields(registry: &Registry, name: &str) -> Map<String, Value> {
    let all: Vec<Value> = versions(registry, name)
        .into_iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    let preferred = all.first().cloned().unwrap_or_default();
    Map::from_iter([
        ("name".to_owned(), name.into()),
        ("versions".to_owned(), Value::Array(all)),
        ("preferredVersion".to_owned(), preferred),
    ])
}

/// `/api/v1` and `/apis/GROUP/VERSION`
#[must_use]
pub fn resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let kinds = registry.groups().find(|(name, _)| *name == group)?.1.get(version)?;
    let mut resources = Vec::new();
    for kind in kinds.values() {
        resources.push(resource(kind));
        let mut parts: Vec<_> = kind.subresources.iter().collect();
        parts.sort_by(|a, b| a.name.cmp(&b.name));
        resources.extend(parts.into_iter().map(|part| part_of(kind, version, part)));
    }
    let mut list = typed("APIResourceList");
    if group.is_empty() {
        list.shift_remove("apiVersion");
    }
    let named = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    list.insert("groupVersion".to_owned(), named.into());
    list.insert("resources".to_owned(), resources.into());
    Some(list.into())
}

fn resource(kind: &Kind) -> Value {
    let mut resource = Map::new();
    resource.insert("name".to_owned(), Value::from(&*kind.plural));
    resource.insert("singularName".to_owned(), Value::from(&*kind.singular));
    resource.insert("namespaced".to_owned(), kind.namespaced.into());
    resource.insert("kind".to_owned(), Value::from(&*kind.kind));
    resource.insert("verbs".to_owned(), kind.verbs.names().collect());
    names(&mut resource, "shortNames", &kind.short_names);
    names(&mut resource, "categories", &kind.categories);
    if kind.verbs.has(api::kind::Verbs::LIST) {
        let hash = storage_version_hash(&kind.group, &kind.stored.api_version, &kind.kind);
        resource.insert("storageVersionHash".to_owned(), hash.into());
    }
    resource.into()
}

/// Names the form a kind is kept in, for clients that migrate: any text that changes with it.
fn storage_version_hash(group: &str, api_version: &str, kind: &str) -> String {
    use base64::Engine as _;
    let digest = ring::digest::digest(
        &ring::digest::SHA256,
        format!("{group}/{}/{kind}", version_of(api_version)).as_bytes(),
    );
    base64::engine::general_purpose::STANDARD.encode(digest.as_ref().get(..8).unwrap_or_default())
}

fn version_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or(api_version, |(_, version)| version)
}

fn names(into: &mut Map<String, Value>, name: &str, list: &[std::sync::Arc<str>]) {
    if !list.is_empty() {
        into.insert(name.to_owned(), list.iter().map(|text| Value::from(&**text)).collect());
    }
}

fn part_of(kind: &Kind, version: &str, part: &Subresource) -> Value {
    let mut resource = Map::new();
    resource.insert("name".to_owned(), format!("{}/{}", kind.plural, part.name).into());
    resource.insert("singularName".to_owned(), "".into());
    resource.insert("namespaced".to_owned(), kind.namespaced.into());
    let (group, of_version) = elsewhere(kind, version, part);
    if !of_version.is_empty() {
        resource.insert("group".to_owned(), group.into());
        resource.insert("version".to_owned(), of_version.into());
    }
    resource.insert("kind".to_owned(), Value::from(&*part.kind));
    resource.insert("verbs".to_owned(), part.verbs.names().collect());
    resource.into()
}

/// Group and version of a subresource's body, where they are not the resource's own.
fn elsewhere<'a>(kind: &Kind, version: &str, part: &'a Subresource) -> (&'a str, &'a str) {
    let own = matches!(part.role, Role::Part(_))
        || part.version.is_empty()
        || part.group == *kind.group && part.version == *version;
    if own { ("", "") } else { (&part.group, &part.version) }
}

/// The whole of it, as `apidiscovery.k8s.io/v2` lists it: core below `/api`, the rest below `/apis`.
#[must_use]
pub fn aggregated(registry: &Registry, core: bool) -> Value {
    let names = if core { vec![""] } else { groups(registry) };
    let items: Vec<_> = names.into_iter().map(|group| aggregated_group(registry, group)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_group(registry: &Registry, group: &str) -> Value {
    let kinds = |version: &str| {
        let found = registry.groups().find(|(name, _)| *name == group);
        let kinds = found.and_then(|(_, versions)| versions.get(version));
        kinds
            .into_iter()
            .flat_map(|kinds| kinds.values())
            .map(|kind| aggregated_resource(kind, version))
            .collect::<Value>()
    };
    let versions: Vec<_> = versions(registry, group)
        .into_iter()
        .map(|version| json!({"version": version, "resources": kinds(version), "freshness": "Current"}))
        .collect();
    let metadata = if group.is_empty() { json!({}) } else { json!({"name": group}) };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(kind: &Kind, version: &str) -> Value {
    let mut resource = Map::new();
    resource.insert("resource".to_owned(), Value::from(&*kind.plural));
    resource.insert("responseKind".to_owned(), json!({"group": "", "version": "", "kind": &*kind.kind}));
    resource.insert("scope".to_owned(), (if kind.namespaced { "Namespaced" } else { "Cluster" }).into());
    resource.insert("singularResource".to_owned(), Value::from(&*kind.singular));
    resource.insert("verbs".to_owned(), kind.verbs.names().collect());
    names(&mut resource, "shortNames", &kind.short_names);
    names(&mut resource, "categories", &kind.categories);
    let mut parts: Vec<_> = kind.subresources.iter().collect();
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    let parts: Vec<_> = parts
        .into_iter()
        .map(|part| {
            let (group, of_version) = elsewhere(kind, version, part);
            json!({
                "subresource": part.name,
                "responseKind": {"group": group, "version": of_version, "kind": part.kind},
                "verbs": part.verbs.names().collect::<Vec<_>>(),
            })
        })
        .collect();
    if !parts.is_empty() {
        resource.insert("subresources".to_owned(), parts.into());
    }
    resource.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_preferred_as_upstream_prefers_them() {
        let mut names = vec!["v1alpha1", "v1", "v2beta1", "v10", "v2", "v1beta2", "foo"];
        names.sort_by(|a, b| rank(b).cmp(&rank(a)).then_with(|| a.cmp(b)));
        assert_eq!(names, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]);
    }

    #[test]
    fn a_kind_is_kept_under_upstreams_hash() {
        assert_eq!(storage_version_hash("", "v1", "ConfigMap"), "qFsyl6wFWjQ=");
    }
}
