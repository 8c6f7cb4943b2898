//! PodDisruptionBudgets: how many of their pods may go now (upstream's disruption controller).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use api::selector::LabelSelector;
use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::events::known;
use crate::service_account::now as at_once;
use crate::workloads::{Owned, PodState, differs, keep, scaled, with_status};
use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Projection, Resource, View};

/// How long an eviction that was allowed counts although its pod is still there.
const COUNTS: i64 = 120;

/// The controller.
#[derive(Debug, Default)]
pub struct Disruption {
    budgets: Projection<Arc<Value>>,
    pods: Owned,
    /// How many pods each owner wants, by its uid.
    wanted: BTreeMap<String, BTreeMap<Place, Wanted>>,
}

/// An owner's uid, how many pods it wants, and its own owner's uid.
type Wanted = (Arc<str>, i64, Option<Arc<str>>);

/// What a sync starts from.
#[derive(Debug)]
pub struct Facts {
    budget: Arc<Value>,
    pods: Vec<PodState>,
    /// Pods that the owners of these pods want in all.
    expected: i64,
}

fn decide(budget: &Value, pods: &[PodState], expected: i64, now: Timestamp) -> Value {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let spec = &budget["spec"];
    let (expected, desired) = match (&spec["minAvailable"], &spec["maxUnavailable"]) {
        (_, most) if !most.is_null() => (expected, (expected - scaled(most, expected, true)).max(0)),
        (least @ Value::String(_), _) => (expected, scaled(least, expected, true)),
        (least, _) => (count(pods.iter().filter(|pod| pod.active()).count()), least.as_i64().unwrap_or(0)),
    };
    let disrupted: serde_json::Map<String, Value> = budget["status"]["disruptedPods"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, at)| {
            let there = pods.iter().find(|pod| *pod.place.name == **name);
            let since = at.as_str().and_then(|at| at.parse::<Timestamp>().ok());
            there.is_some_and(|pod| !pod.deleting)
                && since.is_some_and(|at| now.as_second() - at.as_second() < COUNTS)
        })
        .map(|(name, at)| (name.clone(), at.clone()))
        .collect();
    let well = |pod: &&PodState| pod.active() && pod.ready() && !disrupted.contains_key(&*pod.place.name);
    let healthy = count(pods.iter().filter(well).count());
    let allowed = if expected > 0 { (healthy - desired).max(0) } else { 0 };
    let (status, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let conditions = meta::list_at(budget, "status.conditions");
    let same = conditions.iter().find(|one| one["status"] == status && one["reason"] == reason);
    let fresh = json!({
        "type": "DisruptionAllowed", "status": status, "reason": reason, "message": "",
        "observedGeneration": meta::generation(budget),
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    json!({
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "disruptedPods": disrupted,
        "observedGeneration": meta::generation(budget),
        "conditions": [same.cloned().unwrap_or(fresh)],
    })
}

impl Disruption {
    fn selecting(&self, pods: &[PodState]) -> Vec<Place> {
        let budgets = self.budgets.iter().filter(|(place, budget)| {
            let selector = LabelSelector::of(&budget["spec"]["selector"]).unwrap_or_default();
            pods.iter()
                .any(|pod| pod.place.namespace == place.namespace && selector.matches_labels(&pod.labels))
        });
        budgets.map(|(place, _)| place.clone()).collect()
    }

    fn owners(&mut self, plural: &str, change: Change) -> Vec<Place> {
        let owner =
            |object: &Value| meta::controller(object).and_then(|owner| owner["uid"].as_str().map(Arc::from));
        let read = |object: &Value| {
            (meta::uid(object).into(), object["spec"]["replicas"].as_i64().unwrap_or(1), owner(object))
        };
        let kept = self.wanted.entry(plural.to_owned()).or_default();
        match change {
            Change::Listed(items) => *kept = items.iter().map(|item| (Place::of(item), read(item))).collect(),
            Change::Put(object) => drop(kept.insert(Place::of(&object), read(&object))),
            Change::Gone(object) => drop(kept.remove(&Place::of(&object))),
        }
        self.budgets.iter().map(|(place, _)| place.clone()).collect()
    }

    /// The owner that says how many there should be: a set's Deployment, or the set itself.
    fn scale_of(&self, uid: &str) -> Option<(Arc<str>, i64)> {
        let all = || self.wanted.values().flat_map(BTreeMap::values);
        let (own, replicas, owner) = all().find(|(one, _, _)| &**one == uid)?;
        let above = owner.as_ref().and_then(|owner| all().find(|(one, _, _)| one == owner));
        Some(above.map_or((Arc::clone(own), *replicas), |(uid, replicas, _)| (Arc::clone(uid), *replicas)))
    }
}

#[async_trait]
impl Controller for Disruption {
    type Key = Place;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        let owners =
            ["deployments", "replicasets", "statefulsets"].iter().any(|plural| resource.is("apps", plural));
        let ours = owners || resource.is("", "pods") || resource.is("policy", "poddisruptionbudgets");
        if ours { Interest::Of(View::Whole) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Place, Duration)> {
        if resource.is("", "pods") {
            let pods = self.pods.observe(change);
            return at_once(self.selecting(&pods));
        }
        if resource.is("policy", "poddisruptionbudgets") {
            return at_once(keep(&mut self.budgets, change));
        }
        at_once(self.owners(&resource.plural.clone(), change))
    }

    fn facts(&self, key: &Place) -> Option<Facts> {
        let budget = self.budgets.get(key)?;
        let selector = LabelSelector::of(&budget["spec"]["selector"]).unwrap_or_default();
        let pods = self.pods.within(&key.namespace, &selector);
        let mut scales: BTreeMap<Arc<str>, i64> = BTreeMap::new();
        for pod in &pods {
            if let Some((uid, replicas)) = pod.owner.as_ref().and_then(|owner| self.scale_of(owner)) {
                scales.insert(uid, replicas);
            }
        }
        Some(Facts { budget: Arc::clone(budget), pods, expected: scales.values().sum() })
    }

    async fn sync(_key: Place, facts: Facts, api: Arc<dyn Api>, now: Timestamp) -> Result<Next, ApiError> {
        let status = decide(&facts.budget, &facts.pods, facts.expected, now);
        if differs(&facts.budget["status"], &status) {
            let resource = known("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget");
            api.write(&resource, with_status(&facts.budget, status)).await?;
        }
        Ok(Next::Wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(ready: usize, of: usize) -> Vec<PodState> {
        let pod = |i: usize| {
            PodState::read(
                &json!({"metadata": {"name": format!("p{i}"), "namespace": "d", "uid": i.to_string()},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if i < ready { "True" } else { "False" }}]}}),
            )
        };
        (0..of).map(pod).collect()
    }

    #[test]
    fn as_many_may_go_as_the_budget_leaves() {
        let cases = [
            ("at least two of three", json!({"minAvailable": 2}), 3, 3, 1),
            ("one is not well", json!({"minAvailable": 2}), 2, 3, 0),
            ("half", json!({"minAvailable": "50%"}), 4, 4, 2),
            ("at most one", json!({"maxUnavailable": 1}), 4, 4, 1),
            ("at most a third, rounded up", json!({"maxUnavailable": "30%"}), 4, 4, 2),
        ];
        for (scene, spec, ready, of, allowed) in cases {
            let budget = json!({"metadata": {"name": "b"}, "spec": spec});
            let status =
                decide(&budget, &pods(ready, of), 4.min(i64::try_from(of).unwrap()), Timestamp::UNIX_EPOCH);
            assert_eq!(status["disruptionsAllowed"], allowed, "{scene}: {status}");
        }
        let evicted = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 2}, "status": {"disruptedPods": {"p0": "1970-01-01T00:00:00Z", "gone": "1970-01-01T00:00:00Z"}}});
        let status = decide(&evicted, &pods(3, 3), 3, Timestamp::UNIX_EPOCH);
        assert_eq!(
            (&status["disruptionsAllowed"], status["disruptedPods"].as_object().map(serde_json::Map::len)),
            (&json!(0), Some(1))
        );
    }
}
