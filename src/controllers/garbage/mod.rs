//! Deletes what nobody owns any more (upstream's garbage-collector-controller).
//!
//! [`graph`] keeps who owns whom from watched metadata; [`decide`] judges one object from
//! what its owners are; this file looks up the owners that the graph does not know and
//! sends what was decided. An object is deleted only after its owners were asked for at the
//! API server, and only in the version that was judged.

pub mod decide;
pub mod graph;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::service_account::now as at_once;
use crate::{Api, ApiError, Change, Controller, Interest, Next, Place, Resource, View, Write};
use client::found;
use decide::{Action, Ownership, Standing};
use graph::{FOREGROUND, Graph, Node, ORPHAN, Owner, Uid};

/// The controller.
#[derive(Debug, Default)]
pub struct Garbage(Graph);

/// What a sync starts from.
#[derive(Debug)]
pub enum Facts {
    /// Its deletion waits until its dependents are free of it.
    Orphaning(Node, Vec<Node>),
    /// Its deletion waited for dependents that hold it, of which none is left.
    Released(Node),
    /// Some of its owners may be gone or going.
    Doubtful {
        /// The object.
        node: Node,
        /// What the graph knows of each owner.
        owners: Vec<(Owner, Option<Standing>)>,
        /// What hangs on the object itself.
        dependents: Ownership,
    },
}

#[async_trait]
impl Controller for Garbage {
    type Key = Uid;
    type Facts = Facts;

    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn interest(&self, resource: &Resource) -> Interest {
        // Upstream leaves Events out: nothing owns them and there are many.
        let wanted = resource.can("delete") && &*resource.plural != "events";
        if wanted { Interest::Of(View::Metadata) } else { Interest::None }
    }

    fn observe(&mut self, resource: &Arc<Resource>, change: Change) -> Vec<(Uid, Duration)> {
        at_once(match change {
            Change::Listed(items) => {
                self.0.replace(resource, items.iter().filter_map(|object| Node::of(resource, object)))
            }
            Change::Put(object) => Node::of(resource, &object).map_or_else(Vec::new, |node| self.0.put(node)),
            Change::Gone(object) => {
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
                self.0.remove(resource, uid)
            }
        })
    }

    fn facts(&self, uid: &Uid) -> Option<Facts> {
        let node = self.0.node(uid)?;
        if node.deleting && node.orphan {
            return Some(Facts::Orphaning(node.clone(), self.0.dependents(uid).cloned().collect()));
        }
        if node.deleting && node.foreground {
            let held = self.0.dependents(uid).any(|dependent| dependent.blocks(uid));
            return (!held).then(|| Facts::Released(node.clone()));
        }
        if node.deleting {
            return None;
        }
        let owners: Vec<_> = node.owners.iter().map(|o| (o.clone(), self.0.standing(node, o))).collect();
        let doubtful = owners.iter().any(|(_, standing)| *standing != Some(Standing::Solid));
        doubtful.then(|| Facts::Doubtful { node: node.clone(), owners, dependents: self.0.ownership(uid) })
    }

    async fn sync(_uid: Uid, facts: Facts, api: Arc<dyn Api>, _now: Timestamp) -> Result<Next, ApiError> {
        match facts {
            Facts::Orphaning(node, dependents) => {
                for dependent in &dependents {
                    disown(&*api, dependent, &[&node.uid]).await?;
                }
                remove_finalizer(&*api, &node, ORPHAN).await?;
            }
            Facts::Released(node) => remove_finalizer(&*api, &node, FOREGROUND).await?,
            Facts::Doubtful { node, owners, dependents } => judge(&*api, &node, owners, dependents).await?,
        }
        Ok(Next::Wait)
    }
}

async fn judge(
    api: &dyn Api,
    node: &Node,
    owners: Vec<(Owner, Option<Standing>)>,
    dependents: Ownership,
) -> Result<(), ApiError> {
    let Some(latest) = latest(api, node).await? else {
        return Ok(());
    };
    let named = Node::of(&node.resource, &latest).map(|node| node.owners).unwrap_or_default();
    let mut standings = Vec::new();
    for owner in named {
        let known = owners.iter().find(|(known, _)| *known == owner).and_then(|(_, standing)| *standing);
        let standing = match known {
            Some(Standing::Solid) => Standing::Solid,
            _ => look_up(api, node, &owner).await?,
        };
        standings.push((owner, standing));
    }
    perform(api, node, &latest, decide::decide(node, &standings, dependents)).await
}

/// Asks the API server what an owner is.
async fn look_up(api: &dyn Api, node: &Node, owner: &Owner) -> Result<Standing, ApiError> {
    let served = api.resources().await?;
    let group = owner.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let kind = |resource: &&Arc<Resource>| *resource.group == *group && resource.kind == owner.kind;
    let Some(resource) = served.iter().find(kind) else {
        // It may be served again in a moment: nothing is deleted for a kind nobody knows.
        return Err(ApiError::Refused {
            code: 404,
            reason: "NoKindMatch".to_owned(),
            message: format!("no matches for kind \"{}\" in version \"{}\"", owner.kind, owner.api_version),
        });
    };
    if resource.namespaced && node.place.namespace.is_none() {
        return Ok(Standing::Misplaced);
    }
    let namespace = node.place.namespace.clone().filter(|_| resource.namespaced);
    let place = Place { namespace, name: Arc::clone(&owner.name) };
    let object = found(api.get(resource, &place, View::Metadata).await)?;
    Ok(object.map_or(Standing::Dangling, |object| decide::standing(&object, owner)))
}

async fn perform(api: &dyn Api, node: &Node, latest: &Value, action: Action) -> Result<(), ApiError> {
    match action {
        Action::Keep => Ok(()),
        Action::Disown(uids) => disown(api, node, &uids.iter().collect::<Vec<_>>()).await,
        Action::DeleteUnblocked => {
            unblock(api, node).await?;
            // The patch made a new version; the object is judged again when it is seen.
            Ok(())
        }
        Action::Delete(propagation) => {
            let write = Write::Delete {
                place: node.place.clone(),
                propagation,
                uid: Some(node.uid.to_string()),
                resource_version: latest["metadata"]["resourceVersion"].as_str().map(str::to_owned),
            };
            found(api.write(&node.resource, write).await).map(drop)
        }
    }
}

/// The object as it is now; none where it, or the one of this uid, is gone.
async fn latest(api: &dyn Api, node: &Node) -> Result<Option<Value>, ApiError> {
    let object = found(api.get(&node.resource, &node.place, View::Metadata).await)?;
    Ok(object.filter(|object| object["metadata"]["uid"] == *node.uid))
}

/// Takes references to these owners out of an object.
async fn disown(api: &dyn Api, node: &Node, uids: &[&Uid]) -> Result<(), ApiError> {
    edit(api, node, "ownerReferences", |reference| {
        let uid = reference["uid"].as_str();
        uids.iter().all(|gone| Some(&***gone) != uid).then(|| reference.clone())
    })
    .await
}

/// Lets the object's owners go without it.
async fn unblock(api: &dyn Api, node: &Node) -> Result<(), ApiError> {
    edit(api, node, "ownerReferences", |reference| {
        let mut reference = reference.clone();
        if reference["blockOwnerDeletion"] == true {
            reference["blockOwnerDeletion"] = json!(false);
        }
        Some(reference)
    })
    .await
}

async fn remove_finalizer(api: &dyn Api, node: &Node, finalizer: &str) -> Result<(), ApiError> {
    edit(api, node, "finalizers", |name| (name != finalizer).then(|| name.clone())).await
}

/// Changes a list of the object's metadata, in the version it was read in.
async fn edit(
    api: &dyn Api,
    node: &Node,
    list: &str,
    change: impl Fn(&Value) -> Option<Value>,
) -> Result<(), ApiError> {
    let Some(object) = latest(api, node).await? else {
        return Ok(());
    };
    let metadata = &object["metadata"];
    let before = metadata[list].as_array().cloned().unwrap_or_default();
    let after: Vec<Value> = before.iter().filter_map(change).collect();
    if after == before {
        return Ok(());
    }
    let patch = json!({"metadata": {
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
        list: if after.is_empty() { Value::Null } else { Value::Array(after) },
    }});
    let write = Write::Merge { place: node.place.clone(), subresource: None, patch };
    found(api.write(&node.resource, write).await).map(drop)
}
