//! `pods/eviction`: a pod deleted where its disruption budget allows it.

use access::admission::Operation;
use api::kind::Claims;
use api::selector::LabelSelector;
use api::status::{Cause, Qualified, Status};
use api::{canonical, meta};
use serde_json::{Value, json};
use std::sync::Arc;
use store::Revision;

use super::{done, posted};
use crate::cache::Entry;
use crate::exchange::{Exchange, Scope};
use crate::http::Response;
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;
use crate::write::commit::{self, Current, Decision, Target};
use crate::write::delete::{DeleteOptions, preconditions, remove};
use crate::write::steps::Steps;

/// Pods of a budget that may be on their way at once: upstream's bound.
const DISRUPTED: usize = 2000;
const BUDGET: Qualified<'static> = Qualified { group: "policy", name: "poddisruptionbudget" };

/// Answers that the pod is on its way.
pub async fn create(server: &Server, exchange: &Exchange, pods: &Scope) -> Result<Response> {
    let accepted = exchange.negotiate(false)?;
    let (mut eviction, options) = posted(exchange, pods, ("policy", "v1", "Eviction")).await?;
    let info = &exchange.info;
    if meta::name(&eviction) != info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object").into());
    }
    let stamp = exchange.stamp();
    let steps = Steps {
        server,
        exchange,
        scope: pods,
        part: None,
        subresource: "eviction",
        options: &options,
        stamp: &stamp,
    };
    steps.admit(Operation::Create, &mut eviction, None)?;
    let mut delete = DeleteOptions::read(eviction.get("deleteOptions").unwrap_or(&Value::Null))?;
    delete.dry_run |= options.dry_run;
    server.cache.fresh().await?;
    let pod = pods.shelf.get(&pods.key(&info.namespace, &info.name));
    let pod = pod.ok_or_else(|| commit::not_found(pods, &info.name))?;
    let tree: Value = serde_json::from_slice(pod.bytes()).map_err(Status::internal)?;
    let watched = !is_free(&tree) && budget(server, &steps, &pod, &tree, delete.dry_run).await?;
    if watched || !is_over(&tree) {
        delete.version = delete.version.or_else(|| Some(pod.revision.to_string()));
    }
    if !delete.dry_run {
        let marked = mark(server, pods, &pod, &delete, &stamp).await?;
        delete.version = delete.version.map(|_| marked.to_string());
    }
    remove(server, exchange, pods, &info.namespace, &info.name, &delete).await?;
    Ok(respond::object(201, done(201).to_string().as_bytes(), &accepted, false))
}

/// Writes down why the pod goes, for whoever looks at it until it is gone. Gives its revision.
async fn mark(
    server: &Server,
    pods: &Scope,
    pod: &Entry,
    delete: &DeleteOptions,
    stamp: &str,
) -> Result<Revision> {
    let target = Target { scope: pods, key: pod.key.to_string(), dry_run: false, lease: None };
    let done = commit::change(server, &target, |current| {
        let current = current.ok_or_else(|| commit::not_found(pods, pod.name()))?;
        preconditions(pods, current, delete)?;
        let mut object = current.value.clone();
        let condition = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": null,
            "lastTransitionTime": stamp,
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        });
        put_condition(&mut object, condition);
        meta::remove(&mut object, "metadata.resourceVersion");
        canonical::normalise(&pods.kind.schema, pods.kind.stored.object, &mut object);
        Ok(Decision::Put(object, Claims::default()))
    })
    .await?;
    Ok(done.entry().revision)
}

/// Puts a condition in the place of the one of its type.
fn put_condition(object: &mut Value, condition: Value) {
    let conditions = meta::entry(object, "status.conditions");
    if !conditions.is_array() {
        *conditions = Value::Array(Vec::new());
    }
    if let Value::Array(list) = conditions {
        match list.iter_mut().find(|own| own["type"] == condition["type"]) {
            Some(own) => *own = condition,
            None => list.push(condition),
        }
    }
}

fn is_over(pod: &Value) -> bool {
    matches!(meta::str_at(pod, "status.phase"), "Succeeded" | "Failed")
        || meta::deletion_timestamp(pod).is_some()
}

/// Whether a pod disrupts nothing that runs.
fn is_free(pod: &Value) -> bool {
    is_over(pod) || meta::str_at(pod, "status.phase") == "Pending"
}

fn is_ready(pod: &Value) -> bool {
    let conditions = meta::list_at(pod, "status.conditions");
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Takes the disruption off the pod's budget, if it has one. True if the pod is to be deleted
/// only as it is now: it was found unhealthy, and so not counted.
async fn budget(
    server: &Server,
    steps: &Steps<'_>,
    pod: &Entry,
    tree: &Value,
    dry_run: bool,
) -> Result<bool> {
    let registry = server.registry();
    let Some(kind) = registry.by_plural("policy", "v1", "poddisruptionbudgets") else { return Ok(false) };
    let scope = Scope { kind: Arc::clone(kind), version: "v1".into(), shelf: server.shelf(kind) };
    let labels = tree["metadata"].get("labels").cloned().unwrap_or_default();
    let all = scope.shelf.list(&format!("{}/", pod.namespace())).entries;
    let budgets: Vec<(String, Value)> = all
        .iter()
        .filter_map(|entry| {
            Some((entry.name().to_owned(), serde_json::from_slice::<Value>(entry.bytes()).ok()?))
        })
        .filter(|(_, budget)| selects(budget, &labels))
        .collect();
    let [(name, budget)] = &budgets[..] else {
        if budgets.is_empty() {
            return Ok(false);
        }
        let says = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(Refusal::plain(500, "", says));
    };
    if !is_ready(tree) {
        let always = meta::str_at(budget, "spec.unhealthyPodEvictionPolicy") == "AlwaysAllow";
        let (current, desired) =
            (meta::int_at(budget, "status.currentHealthy"), meta::int_at(budget, "status.desiredHealthy"));
        if always || current >= desired && desired > 0 {
            return Ok(true);
        }
    }
    let target = Target { scope: &scope, key: scope.key(pod.namespace(), name), dry_run, lease: None };
    commit::change(server, &target, |current| match current {
        Some(current) => take(&scope, current, pod.name(), steps.stamp),
        None => Err(commit::not_found(&scope, name)),
    })
    .await?;
    Ok(false)
}

fn selects(budget: &Value, labels: &Value) -> bool {
    let selector = meta::at(budget, "spec.selector").and_then(LabelSelector::of);
    selector.is_some_and(|selector| selector.matches_labels(labels))
}

fn take(scope: &Scope, current: &Current, pod: &str, stamp: &str) -> Result<Decision> {
    let mut budget = current.value.clone();
    let name = meta::name(&current.value);
    let cause =
        |message: String| Cause { reason: "DisruptionBudget".to_owned(), message, ..Cause::default() };
    if meta::int_at(&budget, "status.observedGeneration") < meta::generation(&budget) {
        let says = "Cannot evict pod as it would violate the pod's disruption budget.";
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(Status::too_many_requests(says, 10).because(vec![cause(why)]).into());
    }
    let allowed = meta::int_at(&budget, "status.disruptionsAllowed");
    let does_not = |why: &str| {
        cause(format!("The disruption budget {name} does not allow evicting pods currently: {why}"))
    };
    if allowed < 0 {
        let why = "pdb disruptions allowed is negative";
        return Err(Status::forbidden(BUDGET, name, why).because(vec![does_not(why)]).into());
    }
    let disrupted =
        meta::at(&budget, "status.disruptedPods").and_then(Value::as_object).map_or(0, |pods| pods.len());
    if disrupted > DISRUPTED {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        let cause = does_not("too many pending evictions not confirmed by PDB controller");
        return Err(Status::forbidden(BUDGET, name, why).because(vec![cause]).into());
    }
    if allowed == 0 {
        let says = "Cannot evict pod as it would violate the pod's disruption budget.";
        return Err(Status::too_many_requests(says, 0).because(vec![cause(reason(&budget, name))]).into());
    }
    meta::put(&mut budget, "status.disruptionsAllowed", allowed - 1);
    if allowed == 1 {
        exhausted(&mut budget, stamp);
    }
    meta::fields(meta::entry(&mut budget, "status.disruptedPods")).insert(pod.to_owned(), stamp.into());
    meta::remove(&mut budget, "metadata.resourceVersion");
    canonical::normalise(&scope.kind.schema, scope.kind.stored.object, &mut budget);
    Ok(Decision::Put(budget, Claims::default()))
}

/// Why a budget allows nothing.
fn reason(budget: &Value, name: &str) -> String {
    let conditions = meta::list_at(budget, "status.conditions");
    let condition = conditions.iter().find(|condition| condition["type"] == "DisruptionAllowed");
    let text = |field: &str| condition.and_then(|condition| condition[field].as_str()).unwrap_or_default();
    let refused = text("status") == "False" && !text("message").is_empty();
    let (current, desired) =
        (meta::int_at(budget, "status.currentHealthy"), meta::int_at(budget, "status.desiredHealthy"));
    let does_not = format!("The disruption budget {name} does not allow evicting pods currently");
    match () {
        () if refused && text("reason") == "SyncFailed" => {
            format!("{does_not} because it failed sync: {}", text("message"))
        }
        () if current <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently")
        }
        () if refused => format!("{does_not} ({}): {}", text("reason"), text("message")),
        () => does_not,
    }
}

/// Says that a budget is used up.
fn exhausted(budget: &mut Value, stamp: &str) {
    let generation = meta::int_at(budget, "status.observedGeneration");
    let condition = json!({
        "type": "DisruptionAllowed",
        "status": "False",
        "observedGeneration": generation,
        "lastTransitionTime": stamp,
        "reason": "InsufficientPods",
        "message": "",
    });
    put_condition(budget, condition);
}
