//! Workloads: objects that keep pods, or keep objects that keep pods.

pub mod cron_job;
pub mod daemon_set;
pub mod deployment;
pub mod finished;
pub mod job;
mod owned;
pub mod replica_set;
mod revisions;
mod rollout;
pub mod stateful_set;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use crate::{Change, Place, Projection};

pub(crate) use owned::{Owned, PodState};
pub(crate) use replica_set::{differs, with_status};
pub(crate) use rollout::scaled;

/// Keeps whole objects by place; gives the places of those that are there.
pub(crate) fn keep(objects: &mut Projection<Arc<Value>>, change: Change) -> Vec<Place> {
    keep_part(objects, change, |object| Arc::new(object.clone()))
}

/// Keeps a part of each object by place; gives the places of those that are there.
pub(crate) fn keep_part<T>(
    parts: &mut Projection<T>,
    change: Change,
    part: impl Fn(&Value) -> T,
) -> Vec<Place> {
    match change {
        Change::Listed(items) => {
            parts.replace(items.iter().map(|item| (Place::of(item), part(item))));
            items.iter().map(Place::of).collect()
        }
        Change::Put(object) => {
            let place = Place::of(&object);
            parts.put(place.clone(), part(&object));
            vec![place]
        }
        Change::Gone(object) => {
            parts.remove(&Place::of(&object));
            Vec::new()
        }
    }
}
