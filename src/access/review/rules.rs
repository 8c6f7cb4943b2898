//! SelfSubjectRulesReview: all that I may do in a namespace, as far as it can be listed.

use api::meta::{self, str_at};
use api::status::Status;
use serde_json::{Map, Value, json};

use crate::rbac::{RoleError, Rule};
use crate::words::aggregate;
use crate::{Authorizer, User};

/// The rules of roles. What a node may do besides is in no rule, so for one the answer is
/// incomplete.
pub fn self_subject_rules(authorizer: &Authorizer, user: &User, mut review: Value) -> Result<Value, Status> {
    let namespace = str_at(&review, "spec.namespace");
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (rules, errors) = authorizer.policy.rules_for(user, namespace);
    let is_node = user.node_name().is_some();
    let node = is_node.then(|| "node authorizer does not support user rule resolution".to_owned());
    let roles: Vec<String> = errors.iter().map(RoleError::told).collect();
    let roles = (!roles.is_empty()).then(|| aggregate(&roles));
    let told: Vec<String> = node.into_iter().chain(roles).collect();
    let resources = rules.iter().filter(|rule| !rule.resources.is_empty()).map(resource_rule);
    let paths = rules.iter().filter(|rule| !rule.non_resource_urls.is_empty());
    let paths = paths.map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.non_resource_urls}));
    let mut status = json!({
        "resourceRules": resources.collect::<Vec<_>>(),
        "nonResourceRules": paths.collect::<Vec<_>>(),
        "incomplete": is_node,
    });
    if !told.is_empty() {
        status["evaluationError"] = json!(aggregate(&told));
    }
    // The answer does not repeat the question.
    meta::put(&mut review, "metadata", json!({}));
    meta::put(&mut review, "spec", json!({}));
    meta::put(&mut review, "status", status);
    Ok(review)
}

fn resource_rule(rule: &Rule) -> Value {
    let mut told = Map::new();
    told.insert("verbs".to_owned(), json!(rule.verbs));
    told.insert("apiGroups".to_owned(), json!(rule.api_groups));
    told.insert("resources".to_owned(), json!(rule.resources));
    if !rule.resource_names.is_empty() {
        told.insert("resourceNames".to_owned(), json!(rule.resource_names));
    }
    Value::Object(told)
}
