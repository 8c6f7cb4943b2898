//! Fills ClusterRoles that aggregate others (upstream's clusterrole-aggregation-controller).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::service_account::now;
use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Resource, View, Write};

const MANAGER: &str = "clusterrole-aggregation-controller";

/// The controller: there are few ClusterRoles, so it keeps them whole.
#[derive(Debug, Default)]
pub struct Aggregation {
    roles: Projection<Value>,
    resource: Option<Arc<Resource>>,
}

/// The rules that `role` should have, from all roles in order of name; none where it has them
/// or aggregates nothing. A selector that cannot be read matches nothing.
pub fn decide<'a>(role: &Value, roles: impl Iterator<Item = &'a Value> + Clone) -> Option<Vec<Value>> {
    let selectors =
        role["aggregationRule"].as_object()?.get("clusterRoleSelectors").and_then(Value::as_array);
    let mut rules: Vec<Value> = Vec::new();
    for selector in selectors.into_iter().flatten() {
        let matching = roles.clone().filter(|other| {
            other["metadata"]["name"] != role["metadata"]["name"] && selects(selector, other)
        });
        for rule in matching.filter_map(|other| other["rules"].as_array()).flatten() {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    let present = role["rules"].as_array().map_or(&[][..], Vec::as_slice);
    (present != rules).then_some(rules)
}

fn selects(selector: &Value, role: &Value) -> bool {
    let labels = &role["metadata"]["labels"];
    let equal =
        selector["matchLabels"].as_object().into_iter().flatten().all(|(key, value)| labels[key] == *value);
    let expressions = selector["matchExpressions"].as_array();
    equal && expressions.into_iter().flatten().all(|expression| holds(expression, labels))
}

fn holds(expression: &Value, labels: &Value) -> bool {
    let Some(key) = expression["key"].as_str() else {
        return false;
    };
    let label = labels.get(key);
    let among = || {
        let values = expression["values"].as_array();
        label.is_some_and(|label| values.is_some_and(|values| values.contains(label)))
    };
    match expression["operator"].as_str() {
        Some("In") => among(),
        Some("NotIn") => !among(),
        Some("Exists") => label.is_some(),
        Some("DoesNotExist") => label.is_none(),
        _ => false,
    }
}

#[async_trait]
impl Controller for Aggregation {
    type Key = Place;
    type Facts = (Arc<Resource>, Vec<Value>);

    fn name(&self) -> &'static str {
        MANAGER
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let wanted = resource.is("rbac.authorization.k8s.io", "clusterroles");
        if wanted { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        self.resource = Some(Arc::clone(resource));
        match change {
            Change::Listed(items) => {
                self.roles.replace(items.into_iter().map(|role| (Place::of(&role), role)));
            }
            Change::Put(role) => drop(self.roles.put(Place::of(&role), role)),
            Change::Gone(role) => drop(self.roles.remove(&Place::of(&role))),
        }
        let aggregating = self.roles.iter().filter(|(_, role)| role["aggregationRule"].is_object());
        now(aggregating.map(|(place, _)| place.clone()).collect())
    }

    fn facts(&self, place: &Place) -> Option<Self::Facts> {
        let rules = decide(self.roles.get(place)?, self.roles.iter().map(|(_, role)| role))?;
        Some((self.resource.clone()?, rules))
    }

    async fn sync(
        place: Place,
        (resource, rules): Self::Facts,
        api: Arc<dyn Api>,
        _now: Timestamp,
    ) -> Result<Next, ApiError> {
        let object = json!({
            "apiVersion": resource.api_version(),
            "kind": &*resource.kind,
            "metadata": {"name": &*place.name},
            "rules": rules,
        });
        api.write(&resource, Write::Apply { place, manager: MANAGER, object }).await?;
        Ok(Next::Wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, label: &str, verb: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {"to": label}}, "rules": [{"verbs": [verb]}]})
    }

    fn admin(rules: Value) -> Value {
        json!({
            "metadata": {"name": "admin", "labels": {"to": "admin"}},
            "aggregationRule": {"clusterRoleSelectors": [
                {"matchLabels": {"to": "admin"}},
                {"matchExpressions": [{"key": "to", "operator": "In", "values": ["view", "admin"]}]},
            ]},
            "rules": rules,
        })
    }

    #[test]
    fn rules_come_in_order_of_selector_and_name_each_once_and_never_from_itself() {
        let roles = [
            admin(json!([{"verbs": ["own"]}])),
            role("b", "view", "watch"),
            role("c", "admin", "get"),
            role("d", "admin", "get"),
            role("e", "other", "no"),
        ];
        let rules = decide(&roles[0], roles.iter()).unwrap();
        assert_eq!(json!(rules), json!([{"verbs": ["get"]}, {"verbs": ["watch"]}]));
    }

    #[test]
    fn a_role_that_has_its_rules_or_aggregates_nothing_is_left_alone() {
        let roles = [admin(json!([{"verbs": ["get"]}])), role("c", "admin", "get")];
        assert_eq!(decide(&roles[0], roles.iter()), None);
        assert_eq!(decide(&roles[1], roles.iter()), None);
    }

    #[test]
    fn a_role_whose_sources_are_gone_is_emptied() {
        let roles = [admin(json!([{"verbs": ["get"]}]))];
        assert_eq!(decide(&roles[0], roles.iter()), Some(Vec::new()));
    }

    #[test]
    fn expressions_follow_label_selectors() {
        let cases = [
            (json!({"key": "to", "operator": "NotIn", "values": ["x"]}), true),
            (json!({"key": "no", "operator": "NotIn", "values": ["x"]}), true),
            (json!({"key": "no", "operator": "In", "values": ["x"]}), false),
            (json!({"key": "to", "operator": "Exists"}), true),
            (json!({"key": "no", "operator": "DoesNotExist"}), true),
            (json!({"key": "to", "operator": "Like"}), false),
        ];
        for (expression, expected) in cases {
            assert_eq!(holds(&expression, &json!({"to": "view"})), expected, "{expression}");
        }
    }
}
