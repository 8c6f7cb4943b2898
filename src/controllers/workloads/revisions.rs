//! ControllerRevisions: the templates that a DaemonSet or a StatefulSet had, numbered, so that it
//! can go back to one (upstream's pkg/controller/history).

use std::collections::BTreeSet;
use std::sync::Arc;

use api::meta;
use serde_json::{Value, json};

use super::owned::controller_reference;
use super::{Place, keep};
use crate::events::known;
use crate::{Api, ApiError, Change, Projection, Propagation, Resource, Write};

/// Revisions that are kept where the object does not say.
const LIMIT: i64 = 10;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Revisions(Projection<Arc<Value>>);

/// What is to be written.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// One that is new.
    create: Option<Value>,
    /// One that is gone back to, with its new number.
    renumber: Option<Value>,
    delete: Vec<Place>,
}

pub(super) fn is_theirs(resource: &Resource) -> bool {
    resource.is("apps", "controllerrevisions")
}

fn resource() -> Resource {
    known("apps", "v1", "controllerrevisions", "ControllerRevision")
}

/// What of an object makes a revision: its template, to be replaced whole.
fn data(owner: &Value) -> Value {
    let mut template = owner["spec"]["template"].clone();
    if let Some(fields) = template.as_object_mut() {
        fields.insert("$patch".to_owned(), json!("replace"));
    }
    json!({"spec": {"template": template}})
}

/// The template of a revision.
pub(super) fn template(revision: &Value) -> Value {
    let mut template = revision["data"]["spec"]["template"].clone();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    template
}

impl Revisions {
    pub(super) fn observe(&mut self, change: Change) {
        keep(&mut self.0, change);
    }

    /// Those of an owner, the oldest first.
    pub(super) fn of(&self, owner: &Value) -> Vec<Arc<Value>> {
        let uid = meta::uid(owner);
        let ours = |revision: &Value| meta::controller(revision).is_some_and(|by| by["uid"] == uid);
        let mut all: Vec<_> =
            self.0.iter().map(|(_, one)| one).filter(|one| ours(one)).map(Arc::clone).collect();
        all.sort_by_key(|one| (one["revision"].as_i64(), meta::name(one).to_owned()));
        all
    }
}

/// What should be there for an owner whose template has this hash, labelled by `label`; `used`
/// are the names that pods and the status speak of.
pub(super) fn decide(
    owner: &Value,
    known: &[Arc<Value>],
    hash: &str,
    label: &str,
    used: &BTreeSet<String>,
) -> Plan {
    let mut plan = Plan::default();
    let wanted = data(owner);
    let highest = known.iter().filter_map(|one| one["revision"].as_i64()).max().unwrap_or(0);
    let name = format!("{}-{hash}", meta::name(owner));
    match known.iter().find(|one| one["data"] == wanted) {
        Some(there) if there["revision"].as_i64() == Some(highest) => {}
        Some(there) => {
            let mut again = (**there).clone();
            again["revision"] = json!(highest + 1);
            plan.renumber = Some(again);
        }
        None => {
            let mut labels =
                owner["spec"]["template"]["metadata"]["labels"].as_object().cloned().unwrap_or_default();
            labels.insert(label.to_owned(), json!(hash));
            plan.create = Some(json!({
                "apiVersion": "apps/v1", "kind": "ControllerRevision",
                "metadata": {
                    "name": name, "namespace": meta::namespace(owner), "labels": labels,
                    "annotations": owner["metadata"]["annotations"],
                    "ownerReferences": [controller_reference(owner)],
                },
                "data": wanted, "revision": highest + 1,
            }));
        }
    }
    let limit = owner["spec"]["revisionHistoryLimit"].as_i64().unwrap_or(LIMIT);
    let is_idle = |one: &&Arc<Value>| one["data"] != wanted && !used.contains(meta::name(one));
    let idle: Vec<_> = known.iter().filter(is_idle).collect();
    let surplus = idle.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    plan.delete = idle.iter().take(surplus).map(|one| Place::of(one)).collect();
    plan
}

/// Writes it.
pub(super) async fn carry_out(plan: Plan, api: &dyn Api) -> Result<(), ApiError> {
    let resource = resource();
    if let Some(object) = plan.create {
        let namespace = Some(Arc::from(meta::namespace(&object)));
        match api.write(&resource, Write::Create { namespace, object }).await {
            // The watch is a moment behind a write of ours.
            Err(error) if error.is_already_exists() => {}
            other => drop(other?),
        }
    }
    if let Some(object) = plan.renumber {
        api.write(&resource, Write::Update { place: Place::of(&object), subresource: None, object }).await?;
    }
    for place in plan.delete {
        let delete =
            Write::Delete { place, propagation: Propagation::Background, uid: None, resource_version: None };
        client::found(api.write(&resource, delete).await)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(image: &str) -> Value {
        json!({"metadata": {"name": "d", "namespace": "n", "uid": "u"},
            "spec": {"revisionHistoryLimit": 1, "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"image": image}}}})
    }

    fn revision(image: &str, number: i64) -> Arc<Value> {
        Arc::new(
            json!({"metadata": {"name": format!("d-{image}"), "namespace": "n"}, "data": data(&owner(image)), "revision": number}),
        )
    }

    #[test]
    fn a_template_is_numbered_once_gone_back_to_by_number_and_forgotten_when_idle() {
        let said = |owner: &Value, known: &[Arc<Value>], used: &[&str]| {
            let used = used.iter().map(|name| (*name).to_owned()).collect();
            let plan = decide(owner, known, "h", "hash", &used);
            let created =
                plan.create.as_ref().map(|one| (meta::name(one).to_owned(), one["revision"].clone()));
            let again = plan.renumber.map(|one| (meta::name(&one).to_owned(), one["revision"].clone()));
            let gone: Vec<_> = plan.delete.iter().map(|place| place.name.to_string()).collect();
            (created, again, gone)
        };
        let (one, two, three) = (revision("1", 1), revision("2", 2), revision("3", 3));
        assert_eq!(said(&owner("1"), &[], &[]).0, Some(("d-h".to_owned(), json!(1))));
        assert_eq!(said(&owner("2"), &[Arc::clone(&one), Arc::clone(&two)], &[]), (None, None, vec![]));
        let back = said(&owner("1"), &[Arc::clone(&one), Arc::clone(&two)], &[]);
        assert_eq!(back, (None, Some(("d-1".to_owned(), json!(3))), vec![]));
        let all = [one, two, three];
        assert_eq!(said(&owner("3"), &all, &[]).2, ["d-1"]);
        assert_eq!(said(&owner("3"), &all, &["d-1"]).2, Vec::<String>::new(), "a pod still is of it");
        assert_eq!(template(&all[0]), owner("1")["spec"]["template"]);
    }
}
