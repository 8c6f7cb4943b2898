//! Roles, and who has them.

use serde_json::{Value, json};

use super::Row;
use super::basic::default_text;
use super::metadata::selector;
use super::table::{AGE, NAME, age, says, text, wide};
use crate::field_error::{At, Errors};
use crate::kind::{About, Column, Strategy};
use crate::meta;
use crate::names::{dns1123_subdomain, path_rule};

const GROUP: &str = "rbac.authorization.k8s.io";

const ROLE: Strategy = Strategy { name: path_rule, create_on_update: true, ..Strategy::GENERIC };

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            validate: |new, e| rules(new, true, None, e),
            validate_update: |new, old, e| rules(new, true, Some(old), e),
            ..ROLE
        },
        ..Row::new(GROUP, "Role")
    },
    Row {
        strategy: Strategy {
            validate: |new, e| cluster_role(new, None, e),
            validate_update: |new, old, e| cluster_role(new, Some(old), e),
            ..ROLE
        },
        ..Row::new(GROUP, "ClusterRole")
    },
    Row {
        strategy: Strategy {
            default: binding_defaults,
            validate: |new, e| binding(new, true, e),
            validate_update: |new, old, e| {
                binding(new, true, e);
                same_role(new, old, e);
            },
            ..ROLE
        },
        columns: COLUMNS,
        cells,
        ..Row::new(GROUP, "RoleBinding")
    },
    Row {
        strategy: Strategy {
            default: binding_defaults,
            validate: |new, e| binding(new, false, e),
            validate_update: |new, old, e| {
                binding(new, false, e);
                same_role(new, old, e);
            },
            ..ROLE
        },
        columns: COLUMNS,
        cells,
        ..Row::new(GROUP, "ClusterRoleBinding")
    },
];

const COLUMNS: &[Column] = &[
    NAME,
    text("Role", About::Field("RoleBinding", "roleRef")),
    AGE,
    wide("Users", says("Users that have the role")),
    wide("Groups", says("Groups that have the role")),
    wide("ServiceAccounts", says("Service accounts that have the role")),
];

fn cells(binding: &Value, now: i64) -> Vec<Value> {
    let named = |kind: &str| -> Value {
        let all = meta::list_at(binding, "subjects").iter().filter(|s| meta::str_at(s, "kind") == kind);
        let names: Vec<String> = all
            .map(|s| match kind {
                "ServiceAccount" => format!("{}/{}", meta::str_at(s, "namespace"), meta::str_at(s, "name")),
                _ => meta::str_at(s, "name").to_owned(),
            })
            .collect();
        names.join(", ").into()
    };
    let role = format!("{}/{}", meta::str_at(binding, "roleRef.kind"), meta::str_at(binding, "roleRef.name"));
    vec![
        meta::name(binding).into(),
        role.into(),
        age(binding, now),
        named("User"),
        named("Group"),
        named("ServiceAccount"),
    ]
}

fn binding_defaults(binding: &mut Value) {
    default_text(binding, "roleRef.apiGroup", GROUP);
    for subject in meta::at_mut(binding, "subjects").and_then(Value::as_array_mut).into_iter().flatten() {
        if ["User", "Group"].contains(&meta::str_at(subject, "kind")) {
            default_text(subject, "apiGroup", GROUP);
        }
    }
}

fn same_role(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    let (now, was) = (new.get("roleRef"), old.get("roleRef"));
    if !meta::same(now.value, was.value) {
        let part = |name| now.get(name).str();
        let shown = json!({"APIGroup": part("apiGroup"), "Kind": part("kind"), "Name": part("name")});
        e.invalid_as(&now.path, shown, "field is immutable");
    }
}

/// Rules of a role. That verbs must be given is an annotation of upstream's types, said
/// last and, of a rule that was there before, not at all.
fn rules(role: &At<'_>, namespaced: bool, old: Option<&At<'_>>, e: &mut Errors) {
    for rule in role.get("rules").items() {
        let (paths, groups, resources) =
            (rule.get("nonResourceURLs"), rule.get("apiGroups"), rule.get("resources"));
        if paths.is_empty() {
            if groups.is_empty() {
                e.required(&groups.path, "resource rules must supply at least one api group");
            }
            if resources.is_empty() {
                e.required(&resources.path, "resource rules must supply at least one resource");
            }
            continue;
        }
        if namespaced {
            e.invalid(&paths, "namespaced rules cannot apply to non-resource URLs");
        }
        if !groups.is_empty() || !resources.is_empty() || !rule.get("resourceNames").is_empty() {
            e.invalid(&paths, "rules cannot apply to both regular resources and non-resource URLs");
        }
    }
    let before =
        |rule: &At<'_>| old.is_some_and(|old| old.get("rules").items().any(|was| was.value == rule.value));
    for rule in role.get("rules").items().filter(|rule| rule.get("verbs").is_empty() && !before(rule)) {
        e.required(&rule.get("verbs").path, "");
    }
}

fn cluster_role(role: &At<'_>, old: Option<&At<'_>>, e: &mut Errors) {
    let mut last = Errors::new();
    rules(role, false, old, &mut last);
    let verbs_at = last.0.iter().position(|error| error.path.ends_with(".verbs")).unwrap_or(last.len());
    let verbs = Errors(last.0.split_off(verbs_at));
    e.extend(last);
    let aggregation = role.get("aggregationRule");
    let selectors = aggregation.get("clusterRoleSelectors");
    if aggregation.is_set() && selectors.is_empty() {
        let says = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        e.required(&selectors.path, says);
    }
    for one in selectors.items() {
        let before = e.len();
        selector(&one, true, e);
        if e.len() > before {
            e.invalid_as(&one.path, Value::Null, "invalid label selector.");
        }
    }
    e.extend(verbs);
}

fn binding(at: &At<'_>, namespaced: bool, e: &mut Errors) {
    let reference = at.get("roleRef");
    let name = reference.get("name");
    e.one_of(&reference.get("apiGroup"), &[GROUP]);
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    e.one_of(&reference.get("kind"), kinds);
    if !name.is_empty() {
        e.invalid_each(&name, path_rule(name.str(), false));
    }
    let mut nameless = Vec::new();
    for subject in at.get("subjects").items() {
        let (name, group) = (subject.get("name"), subject.get("apiGroup"));
        if name.is_empty() {
            nameless.push(name.path.clone());
        }
        match subject.get("kind").str() {
            "ServiceAccount" => {
                if !name.is_empty() {
                    e.invalid_each(&name, dns1123_subdomain(name.str()));
                }
                if !group.is_empty() {
                    e.not_supported(&group, &[""]);
                }
                if !namespaced && subject.get("namespace").is_empty() {
                    e.required(&subject.get("namespace").path, "");
                }
            }
            "User" | "Group" => {
                e.one_of(&group, &[GROUP]);
            }
            _ => e.not_supported(&subject.get("kind"), &["ServiceAccount", "User", "Group"]),
        }
    }
    nameless.iter().for_each(|path| e.required(path, ""));
    if name.is_empty() {
        e.required(&name.path, "");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{cells as row, created, updated};
    use super::*;

    #[test]
    fn roles_are_refused_for_what_is_wrong_with_them() {
        let table = [
            (
                "Role",
                json!({"rules": [{"verbs": []}, {"verbs": ["get"], "nonResourceURLs": ["/x"]}]}),
                vec![
                    "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                    "rules[0].resources: Required value: resource rules must supply at least one resource",
                    "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
                    "rules[0].verbs: Required value",
                ],
            ),
            (
                "ClusterRole",
                json!({"aggregationRule": {}}),
                vec![
                    "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil",
                ],
            ),
            (
                "ClusterRoleBinding",
                json!({"roleRef": {"kind": "Role"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}, {"kind": "X"}]}),
                vec![
                    "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                    "subjects[0].namespace: Required value",
                    "subjects[1].kind: Unsupported value: \"X\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
                    "subjects[1].name: Required value",
                    "roleRef.name: Required value",
                ],
            ),
        ];
        for (kind, object, wrong) in table {
            assert_eq!(created(GROUP, kind, object).unwrap_err(), wrong, "{kind}");
        }
        let odd = json!({"metadata": {"name": "system:Odd%"}});
        assert_eq!(
            created(GROUP, "Role", odd).unwrap_err(),
            ["metadata.name: Invalid value: \"system:Odd%\": may not contain '%'"]
        );
    }

    #[test]
    fn a_binding_keeps_its_role() {
        let binding = |name: &str| json!({"roleRef": {"kind": "ClusterRole", "name": name}});
        assert_eq!(
            updated(GROUP, "RoleBinding", binding("b"), binding("a")).unwrap_err(),
            [
                "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"ClusterRole\",\"Name\":\"b\"}: field is immutable"
            ]
        );
    }

    #[test]
    fn rows_say_who_has_the_role() {
        let binding = json!({
            "metadata": {"name": "a"}, "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}],
        });
        assert_eq!(
            row(GROUP, "RoleBinding", &binding, "2026-01-01T00:00:00Z"),
            ["a", "Role/r", "<unknown>", "u, v", "", "n/s"]
        );
    }
}
