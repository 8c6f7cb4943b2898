//! Quotas are charged before an object is created (upstream's ResourceQuota admission): each quota
//! that it falls under takes it into its status, or refuses it. Two who come at the same moment
//! write one status, so the second sees the first.

use std::sync::Arc;

use api::kind::Claims;
use api::kinds::usage::{self, Usage};
use api::meta;
use api::quantity::Quantity;
use api::status::Status;
use serde_json::{Value, json};

use super::commit::{self, Decision, Target};
use crate::cache::feed::PREFIX;
use crate::exchange::Scope;
use crate::refusal::{Refusal, Result};
use crate::server::Server;

/// Whether a namespace has any quota.
pub fn are_there(server: &Server, namespace: &str) -> bool {
    let shelf = server.cache.shelf(&format!("{PREFIX}resourcequotas/"));
    shelf.is_some_and(|shelf| !shelf.list(&format!("{namespace}/")).entries.is_empty())
}

/// Charges an object that is about to be created to the quotas of its namespace. What was charged
/// for an object that then is refused is given back by the controller's next count.
pub async fn charge(server: &Server, scope: &Scope, object: &Value, dry_run: bool) -> Result<()> {
    let namespace = meta::namespace(object);
    let Some(shelf) =
        server.cache.shelf(&format!("{PREFIX}resourcequotas/")).filter(|_| !namespace.is_empty())
    else {
        return Ok(());
    };
    let quotas = shelf.list(&format!("{namespace}/")).entries;
    if quotas.is_empty() {
        return Ok(());
    }
    let (group, plural) = (&*scope.kind.group, &*scope.kind.plural);
    let delta = usage::of(group, plural, object);
    let registry = server.registry();
    let Some(kind) = registry.iter().find(|kind| kind.group.is_empty() && &*kind.kind == "ResourceQuota")
    else {
        return Ok(());
    };
    let own = Scope { kind: Arc::clone(kind), version: Arc::from("v1"), shelf };
    let refused =
        |why: String| Refusal::from(Status::forbidden(scope.kind.resource(), meta::name(object), &why));
    for entry in quotas {
        let Ok(quota) = serde_json::from_slice::<Value>(entry.bytes()) else { continue };
        if !usage::falls_under(&quota, group, plural, object) {
            continue;
        }
        let hard: Vec<&str> =
            quota["status"]["hard"].as_object().into_iter().flatten().map(|(name, _)| &**name).collect();
        if (group, plural) == ("", "pods") {
            let unsaid = usage::unsaid(object, &hard);
            if !unsaid.is_empty() {
                let each = unsaid.iter().map(|(name, all)| format!("{name} for: {}", all.join(",")));
                let each: Vec<String> = each.collect();
                return Err(refused(format!(
                    "failed quota: {}: must specify {}",
                    meta::name(&quota),
                    each.join("; ")
                )));
            }
        }
        if !delta.keys().any(|name| hard.contains(&&**name)) {
            continue;
        }
        let target =
            Target { scope: &own, key: own.key(namespace, meta::name(&quota)), dry_run, lease: None };
        commit::change(server, &target, |current| {
            let Some(current) = current else {
                return Err(refused("the quota was deleted meanwhile".to_owned()));
            };
            let new = charged(&current.value, &delta).map_err(&refused)?;
            Ok(Decision::Put(new, Claims::default()))
        })
        .await?;
    }
    Ok(())
}

/// A quota with an object taken in, or why it does not fit.
fn charged(quota: &Value, delta: &Usage) -> std::result::Result<Value, String> {
    let name = meta::name(quota);
    // What its controller has not counted yet does not bind: as upstream.
    let status = &quota["status"];
    let ours: Vec<(&String, &Quantity)> =
        delta.iter().filter(|(name, _)| status["hard"].get(name.as_str()).is_some()).collect();
    let unknown: Vec<&str> =
        ours.iter().map(|(name, _)| &***name).filter(|name| status["used"].get(name).is_none()).collect();
    if !unknown.is_empty() {
        return Err(format!("status unknown for quota: {name}, resources: {}", unknown.join(",")));
    }
    let amount = |list: &Value, name: &str| Quantity::of(&list[name]).unwrap_or_default();
    let over: Vec<&(&String, &Quantity)> = ours
        .iter()
        .filter(|(name, more)| amount(&status["used"], name).plus(**more) > amount(&status["hard"], name))
        .collect();
    if !over.is_empty() {
        let listed = |amount: &dyn Fn(&str, Quantity) -> Quantity| {
            let each = over
                .iter()
                .map(|(name, more)| format!("{name}={}", usage::written(name, amount(name, **more))));
            each.collect::<Vec<_>>().join(",")
        };
        return Err(format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            listed(&|_, more| more),
            listed(&|name, _| amount(&status["used"], name)),
            listed(&|name, _| amount(&status["hard"], name)),
        ));
    }
    let mut new = quota.clone();
    for (name, more) in ours {
        let sum = amount(&status["used"], name).plus(*more);
        new["status"]["used"][name.as_str()] = json!(usage::written(name, sum));
    }
    meta::remove(&mut new, "metadata.resourceVersion");
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_taken_in_or_refused_in_upstreams_words() {
        let quota = |used: &str| {
            let hard = json!({"pods": "2", "requests.cpu": "1"});
            json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": {"pods": used, "requests.cpu": "400m"}}})
        };
        let delta = Usage::from([
            ("pods".to_owned(), Quantity::whole(1)),
            ("requests.cpu".to_owned(), Quantity::parse("500m").unwrap()),
            ("count/pods".to_owned(), Quantity::whole(1)),
        ]);
        assert_eq!(
            charged(&quota("1"), &delta).unwrap()["status"]["used"],
            json!({"pods": "2", "requests.cpu": "900m"})
        );
        assert_eq!(
            charged(&quota("2"), &delta).unwrap_err(),
            "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"
        );
        let mut fresh = quota("0");
        fresh["status"]["used"] = Value::Null;
        assert_eq!(
            charged(&fresh, &delta).unwrap_err(),
            "status unknown for quota: q, resources: pods,requests.cpu"
        );
        fresh["status"] = Value::Null;
        assert!(charged(&fresh, &delta).is_ok(), "one that was never counted binds nobody");
    }
}
