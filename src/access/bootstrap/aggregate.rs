//! The rules of a ClusterRole that gathers those of others: what its controller writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use api::meta::{list_at, str_at};

/// The rules that an aggregated role should have, given all ClusterRoles (this one, if it
/// is among them, is passed over): those of each selector's roles by name, each rule once.
/// None if the role gathers nothing.
pub fn aggregate(role: &Value, all: &[Arc<Value>]) -> Option<Vec<Value>> {
    let selectors = list_at(role, "aggregationRule.clusterRoleSelectors");
    role.get("aggregationRule").filter(|rule| !rule.is_null())?;
    let mut by_name: BTreeMap<&str, &Value> = BTreeMap::new();
    for other in all {
        by_name.insert(str_at(other, "metadata.name"), other);
    }
    by_name.remove(str_at(role, "metadata.name"));
    let mut rules: Vec<Value> = Vec::new();
    for selector in selectors {
        for other in by_name.values().filter(|other| selects(selector, other)) {
            for rule in list_at(other, "rules") {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    Some(rules)
}

/// A label selector's `matchLabels` and `matchExpressions`.
fn selects(selector: &Value, object: &Value) -> bool {
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
    let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let exact = selector.get("matchLabels").and_then(Value::as_object);
    let exact = exact.into_iter().flatten().all(|(key, value)| label(key) == value.as_str());
    let holds = |term: &Value| {
        let found = label(str_at(term, "key"));
        let listed = found.is_some_and(|found| list_at(term, "values").iter().any(|value| value == found));
        match str_at(term, "operator") {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => found.is_some(),
            "DoesNotExist" => found.is_none(),
            _ => false,
        }
    };
    exact && list_at(selector, "matchExpressions").iter().all(holds)
}
