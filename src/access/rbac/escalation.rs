//! Nobody gives more than they have: a role may be written, and a binding made, by who
//! holds all of its permissions already, or has leave to `escalate`, or to `bind` the role.

use std::collections::{BTreeMap, BTreeSet};

use api::field_error::quote;
use api::meta;
use api::status::{Qualified, Status};
use serde_json::Value;

use super::policy::{RbacKind, RoleError, RoleRef};
use super::{Policy, Rule};
use crate::user::MASTERS;
use crate::words::{aggregate, quote_list};
use crate::{Attributes, Authorizer, User};

const RBAC: &str = "rbac.authorization.k8s.io";

/// A role or binding that is about to be written.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// What it is.
    pub kind: RbacKind,
    /// Of the request's URL; empty for the kinds of the cluster.
    pub namespace: &'a str,
    /// Of the request's URL; empty on create.
    pub name: &'a str,
    /// As it will be.
    pub object: &'a Value,
    /// As it is; none on create.
    pub old: Option<&'a Value>,
}

/// Whether the user may write it; the refusal lists what is not held.
pub fn check(authorizer: &Authorizer, user: &User, write: Write) -> Result<(), Status> {
    let cleared = write.old.is_some_and(|old| differs_for_the_garbage_collector_only(write.object, old));
    if user.is_in(MASTERS) || cleared {
        return Ok(());
    }
    match write.kind {
        RbacKind::Role | RbacKind::ClusterRole => check_role(authorizer, user, write),
        RbacKind::RoleBinding | RbacKind::ClusterRoleBinding => check_binding(authorizer, user, write),
    }
}

fn check_role(authorizer: &Authorizer, user: &User, write: Write) -> Result<(), Status> {
    let asked = Attributes::resource("escalate", RBAC, write.kind.plural());
    if authorizer.decide(user, &asked.within(write.namespace).named(write.name)).is_allowed() {
        return Ok(());
    }
    let refuse = |why: &str| refusal(write, why);
    let rules: Vec<Rule> = meta::list_at(write.object, "rules").iter().map(Rule::from_value).collect();
    covered(&authorizer.policy, user, write, &rules).map_err(|why| refuse(&why))?;
    let gathers = |role: &Value| !meta::list_at(role, "aggregationRule.clusterRoleSelectors").is_empty();
    if gathers(write.object) || write.old.is_some_and(gathers) {
        let why = "must have cluster-admin privileges to use the aggregationRule";
        return covered(&authorizer.policy, user, write, &everything()).map_err(|_| refuse(why));
    }
    Ok(())
}

fn check_binding(authorizer: &Authorizer, user: &User, write: Write) -> Result<(), Status> {
    let role = RoleRef::from_value(write.object.get("roleRef").unwrap_or(&Value::Null));
    let resource = match role.kind.as_str() {
        "ClusterRole" => "clusterroles",
        "Role" => "roles",
        other => {
            return Err(Status::unknown(format!("unsupported role reference kind: {}", quote(other))));
        }
    };
    let bind = Attributes::resource("bind", &role.group, resource);
    if authorizer.decide(user, &bind.within(write.namespace).named(&role.name)).is_allowed() {
        return Ok(());
    }
    let rules = authorizer.policy.rules_of(&role, write.namespace).map_err(|error| match error {
        RoleError::NotFound { .. } => {
            Status::not_found(Qualified { group: RBAC, name: write.kind.plural() }, &role.name)
        }
        RoleError::Kind(_) => Status::unknown(error.told()),
    })?;
    covered(&authorizer.policy, user, write, &rules).map_err(|why| refusal(write, &why))
}

fn refusal(write: Write, why: &str) -> Status {
    let what = Qualified { group: RBAC, name: write.kind.plural() };
    Status::forbidden(what, meta::name(write.object), why)
}

/// Whether the user holds all of the rules, or what is missing.
fn covered(policy: &Policy, user: &User, write: Write, rules: &[Rule]) -> Result<(), String> {
    let (own, errors) = policy.rules_for(user, write.namespace);
    let atoms = rules.iter().flat_map(Rule::atoms);
    let missing: Vec<Rule> = atoms.filter(|atom| !own.iter().any(|rule| rule.covers(atom))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let told: BTreeSet<String> = compacted(missing).iter().map(Rule::describe).collect();
    let told: Vec<String> = told.into_iter().collect();
    let mut message = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(&user.name),
        quote_list(&user.groups),
        told.join("\n")
    );
    if !errors.is_empty() {
        let errors: Vec<String> = errors.iter().map(|error| error.told_of(write.kind)).collect();
        message.push_str(&format!("; resolution errors: [{}]", aggregate(&errors)));
    }
    Err(message)
}

/// Rules on the same resource and name become one, their verbs in the order they came.
fn compacted(rules: Vec<Rule>) -> Vec<Rule> {
    let mut whole = Vec::new();
    let mut places: BTreeMap<[Vec<String>; 3], usize> = BTreeMap::new();
    for rule in rules {
        if !rule.non_resource_urls.is_empty() {
            whole.push(rule);
            continue;
        }
        let key = [rule.api_groups.clone(), rule.resources.clone(), rule.resource_names.clone()];
        match places.get(&key).and_then(|&place| whole.get_mut(place)) {
            Some(known) => known.verbs.extend(rule.verbs),
            None => {
                places.insert(key, whole.len());
                whole.push(rule);
            }
        }
    }
    whole
}

fn everything() -> [Rule; 2] {
    let star = || vec!["*".to_owned()];
    [
        Rule { verbs: star(), api_groups: star(), resources: star(), ..Rule::default() },
        Rule { verbs: star(), non_resource_urls: star(), ..Rule::default() },
    ]
}

/// Finalizers and owners may change without leave: else nothing could be cleared away.
fn differs_for_the_garbage_collector_only(object: &Value, old: &Value) -> bool {
    let mut object = object.clone();
    // The version is the transaction's to compare.
    for path in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
        meta::restore(&mut object, old, &format!("metadata.{path}"));
    }
    meta::same(Some(&object), Some(old))
}
