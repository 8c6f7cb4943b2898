//! Events: what happened to an object, for people who look.

use std::sync::Arc;

use client::{Api, Place, Resource, Write};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Who tells of what happened.
#[derive(Debug, Clone, Copy)]
pub struct Teller {
    /// `deployment-controller`, `default-scheduler`.
    pub component: &'static str,
}

/// Whether something is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is.
    Normal,
    /// It is not.
    Warning,
}

impl Teller {
    /// An Event about `object`, named as upstream's recorder does.
    #[must_use]
    pub fn event(&self, object: &Value, kind: Kind, reason: &str, message: &str, now: Timestamp) -> Value {
        let metadata = &object["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        let namespace = metadata["namespace"].as_str().unwrap_or("default");
        let stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": format!("{name}.{:x}", now.as_nanosecond()), "namespace": namespace},
            "involvedObject": {
                "apiVersion": object["apiVersion"], "kind": object["kind"], "name": name,
                "namespace": metadata["namespace"], "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": if kind == Kind::Normal { "Normal" } else { "Warning" },
            "reason": reason,
            "message": message,
            "source": {"component": self.component},
            "reportingComponent": self.component,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
        })
    }

    /// Tells it. That nobody could be told is logged and not more: events help, nothing waits for them.
    pub async fn tell(
        &self,
        api: &dyn Api,
        object: &Value,
        kind: Kind,
        reason: &str,
        message: &str,
        now: Timestamp,
    ) {
        let event = self.event(object, kind, reason, message, now);
        let namespace = event["metadata"]["namespace"].as_str().map(Arc::from);
        if let Err(error) = api.write(&resource(), Write::Create { namespace, object: event }).await {
            tracing::warn!(error = %base::chain(&error), reason, "an event could not be told");
        }
    }
}

fn resource() -> Resource {
    known("", "v1", "events", "Event")
}

/// A namespaced resource that every server has, for writes that need no discovery.
#[must_use]
pub fn known(group: &str, version: &str, plural: &str, kind: &str) -> Resource {
    Resource {
        group: group.into(),
        version: version.into(),
        plural: plural.into(),
        kind: kind.into(),
        namespaced: true,
        verbs: ["list", "watch"].map(Arc::from).to_vec(),
    }
}

/// Where `object` is.
#[must_use]
pub fn place(object: &Value) -> Place {
    Place::of(object)
}
