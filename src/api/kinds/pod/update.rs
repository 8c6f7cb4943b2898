//! What may change in a pod that is there: images, deadlines, tolerations, gates.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{APP_ARMOR, MIRROR, containers, metadata_and_spec, scheduling, shown};
use crate::field_error::{At, Errors, quote};
use crate::kind::Context;
use crate::meta;
use crate::names::range_says;

const MAY_CHANGE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
`spec.tolerations` (only additions to existing tolerations),\
`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// An update of the pod itself.
pub(super) fn validate(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    metadata_and_spec(new, e);
    annotations(new, old, e);
    let (spec, was) = (new.get("spec"), old.get("spec"));
    for list in ["containers", "initContainers"] {
        if spec.get(list).len() != was.get(list).len() {
            return e.forbidden(&spec.get(list).path, "pod updates may not add or remove containers");
        }
        for container in spec.get(list).items() {
            super::super::rules::required(&container.get("image"), e);
            containers::image_is_trimmed(&container, e);
        }
    }
    if !deadline(&spec.get("activeDeadlineSeconds"), &was.get("activeDeadlineSeconds"), e) {
        return;
    }
    only_added_tolerations(&spec.get("tolerations"), &was.get("tolerations"), e);
    only_deleted_gates(&spec.get("schedulingGates"), &was.get("schedulingGates"), e);
    if let (Some(new), Some(old)) = (spec.value, was.value) {
        let allowed = allowed_changes(new, old, &spec, e);
        if !meta::same(Some(&allowed), Some(old)) {
            let difference = shown::pod_spec_difference(old, &allowed);
            let says = format!("pod updates may not change fields other than {MAY_CHANGE}\n{difference}");
            e.forbidden(&spec.path, says);
        }
    }
}

/// Annotations that may not be added, changed or removed.
pub(super) fn annotations(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    let (now, was) = (new.get("metadata.annotations"), old.get("metadata.annotations"));
    let of = |at: &At<'_>, key: &str| at.value.and_then(|v| v.get(key)).cloned();
    for (key, value) in was.entries() {
        if of(&now, key).as_ref() == value.value {
            continue;
        }
        let path = now.path.key(key);
        if key.starts_with(APP_ARMOR) {
            e.forbidden(&path, "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            e.forbidden(&path, "may not remove or update mirror pod annotation");
        }
    }
    for (key, value) in now.entries().into_iter().filter(|(key, _)| of(&was, key).is_none()) {
        if key.starts_with(APP_ARMOR) {
            e.forbidden(&value.path, "may not add AppArmor annotations");
        }
        if key == MIRROR {
            e.forbidden(&value.path, "may not add mirror pod annotation");
        }
    }
    super::annotations(&new.get("metadata"), &new.get("spec"), e);
}

/// Says whether the rest is looked at.
fn deadline(new: &At<'_>, old: &At<'_>, e: &mut Errors) -> bool {
    match (new.opt_int(), old.opt_int()) {
        (Some(n), _) if !(0..=i64::from(i32::MAX)).contains(&n) => {
            e.invalid(new, range_says(0, i64::from(i32::MAX)));
            return false;
        }
        (Some(n), Some(was)) if was < n => {
            e.invalid(new, "must be less than or equal to previous value");
            return false;
        }
        (None, Some(_)) => {
            e.invalid_as(&new.path, Value::Null, "must not update from a positive integer to nil value");
        }
        _ => {}
    }
    true
}

fn only_added_tolerations(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    let bare = |toleration: &At<'_>| {
        let mut value = toleration.value.cloned().unwrap_or_default();
        meta::remove(&mut value, "tolerationSeconds");
        value
    };
    let now: Vec<Value> = new.items().map(|t| bare(&t)).collect();
    if old.items().any(|was| !now.contains(&bare(&was))) {
        let says = "existing toleration can not be modified except its tolerationSeconds";
        return e.forbidden(&new.path, says);
    }
    scheduling::tolerations(new, e);
}

fn only_deleted_gates(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    let was: BTreeSet<&str> = old.items().map(|gate| gate.get("name").str()).collect();
    for gate in new.items().filter(|gate| !was.contains(gate.get("name").str())) {
        let name = gate.get("name");
        let says = format!("only deletion is allowed, but found new scheduling gate '{}'", name.str());
        e.forbidden(&name.path, says);
    }
}

/// The new spec with what may change put back: what still differs may not.
fn allowed_changes(new: &Value, old: &Value, at: &At<'_>, e: &mut Errors) -> Value {
    let mut spec = new.clone();
    for list in ["containers", "initContainers"] {
        let old = meta::list_at(old, list);
        for (container, was) in
            meta::at_mut(&mut spec, list).and_then(Value::as_array_mut).into_iter().flatten().zip(old)
        {
            meta::restore(container, was, "image");
        }
    }
    for name in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        meta::restore(&mut spec, old, name);
    }
    let grace = "terminationGracePeriodSeconds";
    if meta::int_at(old, grace) < 0 && meta::int_at(&spec, grace) == 1 {
        meta::restore(&mut spec, old, grace);
    }
    if !meta::list_at(old, "schedulingGates").is_empty() {
        gated_changes(&mut spec, old, at, e);
    }
    spec
}

/// A pod that is held back may still be directed more narrowly.
fn gated_changes(spec: &mut Value, old: &Value, at: &At<'_>, e: &mut Errors) {
    let selector = at.get("nodeSelector");
    let kept = meta::at(old, "nodeSelector").and_then(Value::as_object).into_iter().flatten();
    if !kept.into_iter().all(|(key, value)| selector.value.and_then(|s| s.get(key)) == Some(value)) {
        let says = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        e.invalid_as(&selector.path, selector.value.cloned().unwrap_or_default(), says);
    }
    meta::restore(spec, old, "nodeSelector");
    let affinity = at.get("affinity.nodeAffinity");
    let terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    let was = meta::list_at(
        old,
        "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
    );
    if !was.is_empty() && was.len() != terms.len() {
        let says = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        e.invalid_as(&terms.path, terms.value.cloned().unwrap_or_default(), says);
    } else {
        for (term, was) in terms.items().zip(was) {
            if !only_additions(term.value.unwrap_or(&Value::Null), was) {
                e.invalid(&term, "only additions are allowed (no mutations or deletions)");
            }
        }
    }
    meta::restore(spec, old, "affinity.nodeAffinity");
    if meta::at(old, "affinity").is_none() && meta::same(meta::at(spec, "affinity"), None) {
        meta::remove(spec, "affinity");
    }
}

fn only_additions(new: &Value, old: &Value) -> bool {
    let lists =
        ["matchExpressions", "matchFields"].map(|name| (meta::list_at(new, name), meta::list_at(old, name)));
    if lists.iter().all(|(_, old)| old.is_empty()) {
        return lists.iter().all(|(new, _)| new.is_empty());
    }
    lists.iter().all(|(new, old)| new.starts_with(old))
}

/// Puts back everything but these fields of the spec.
pub(super) fn keep_all_but(new: &mut Value, old: &Value, fields: &[&str]) {
    let mut kept = old.clone();
    for field in fields {
        meta::restore(&mut kept, new, &format!("spec.{field}"));
    }
    for name in ["metadata.resourceVersion", "metadata.managedFields"] {
        meta::restore(&mut kept, new, name);
    }
    *new = kept;
}

/// Containers that are added to debug a pod.
pub(super) fn ephemeral(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    metadata_and_spec(new, e);
    annotations(new, old, e);
    if old.value.is_some_and(|pod| meta::annotation(pod, MIRROR).is_some()) {
        *e = Errors::new();
        return e
            .forbidden(&crate::field_error::Path::ROOT, "static pods do not support ephemeral containers");
    }
    let at = new.get("spec.ephemeralContainers");
    for was in old.get("spec.ephemeralContainers").items() {
        let name = was.get("name").str();
        match at.items().find(|c| c.get("name").is(name)) {
            None => {
                let says = format!("existing ephemeral containers {} may not be removed\n", quote(name));
                e.forbidden(&at.path, says);
            }
            Some(now) if !meta::same(now.value, was.value) => {
                let difference = shown::container_difference(was.value, now.value);
                let says =
                    format!("existing ephemeral containers {} may not be changed\n{difference}", quote(name));
                e.forbidden(&at.path, says);
            }
            Some(_) => {}
        }
    }
}

/// Puts back all but the resources of containers and of the pod.
pub(super) fn prepare_resize(new: &mut Value, old: &Value, _: &Context<'_>) {
    let mut kept = old.clone();
    for list in ["spec.containers", "spec.initContainers"] {
        let given = meta::list_at(new, list).to_vec();
        let Some(all) = meta::at_mut(&mut kept, list).and_then(Value::as_array_mut) else { continue };
        if all.len() != given.len() || all.iter().zip(&given).any(|(a, b)| a.get("name") != b.get("name")) {
            // Left as given: validation refuses it.
            *all = given;
            continue;
        }
        for (container, given) in all.iter_mut().zip(&given) {
            meta::restore(container, given, "resources");
            meta::restore(container, given, "resizePolicy");
        }
    }
    meta::restore(&mut kept, new, "spec.resources");
    for name in ["metadata.resourceVersion", "metadata.managedFields"] {
        meta::restore(&mut kept, new, name);
    }
    *new = kept;
}

/// Resources that change while the pod runs: CPU and memory alone, within its class.
pub(super) fn resize(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    metadata_and_spec(new, e);
    let (spec, was) = (new.get("spec"), old.get("spec"));
    if old.value.is_some_and(|pod| meta::annotation(pod, MIRROR).is_some()) {
        *e = Errors::new();
        return e.forbidden(&crate::field_error::Path::ROOT, "static pods cannot be resized");
    }
    for list in ["containers", "initContainers"] {
        if spec.get(list).len() != was.get(list).len() {
            return e.forbidden(&spec.get(list).path, "pod resize may not add or remove containers");
        }
        for (now, was) in spec.get(list).items().zip(was.get(list).items()) {
            if now.get("name").str() != was.get("name").str() {
                e.forbidden(&spec.get(list).path, "containers may not be renamed or reordered on resize");
                return;
            }
            removed(&now, &was, e);
        }
    }
    let (now, before) = (new.value.map(super::qos::class), old.value.map(super::qos::class));
    if now != before {
        e.invalid_as(
            &new.get("status.qosClass").path,
            now.unwrap_or_default(),
            "Pod QOS Class may not change as a result of resizing",
        );
    }
    let mut allowed = spec.value.cloned().unwrap_or_default();
    let old_spec = was.value.cloned().unwrap_or_default();
    for list in ["containers", "initContainers"] {
        let old = meta::list_at(&old_spec, list);
        for (container, was) in
            meta::at_mut(&mut allowed, list).and_then(Value::as_array_mut).into_iter().flatten().zip(old)
        {
            put_back_amounts(container, was);
            meta::restore(container, was, "resizePolicy");
        }
    }
    put_back_amounts(&mut allowed, &old_spec);
    if !meta::same(Some(&allowed), Some(&old_spec)) {
        let difference = shown::pod_spec_difference(&old_spec, &allowed);
        e.forbidden(&spec.path, format!("only cpu and memory resources are mutable\n{difference}"));
    }
}

fn removed(now: &At<'_>, was: &At<'_>, e: &mut Errors) {
    for kind in ["limits", "requests"] {
        let at = now.get("resources").get(kind);
        let gone = was
            .get("resources")
            .get(kind)
            .entries()
            .iter()
            .any(|(name, _)| at.value.and_then(|v| v.get(*name)).is_none());
        if gone {
            e.forbidden(&at.path, format!("resource {kind} cannot be removed"));
        }
    }
}

fn put_back_amounts(new: &mut Value, old: &Value) {
    for path in ["limits.cpu", "limits.memory", "requests.cpu", "requests.memory"] {
        meta::restore(new, old, &format!("resources.{path}"));
    }
    if meta::same(meta::at(new, "resources"), None) && meta::same(meta::at(old, "resources"), None) {
        meta::restore(new, old, "resources");
    }
}
