//! A namespace's conditions while it is deleted, in upstream's words.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{ApiError, Resource};

/// A condition's type, and reason and message while it is well.
const CONDITIONS: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

/// What one pass over a namespace found.
#[derive(Debug, Default)]
pub struct Findings {
    discovery: Option<String>,
    failures: Vec<String>,
    /// Objects left, by `RESOURCE.GROUP`.
    remaining: BTreeMap<String, usize>,
    /// Objects left, by the finalizer that holds them.
    finalizers: BTreeMap<String, usize>,
}

impl Findings {
    /// What is served could not be told.
    pub fn undiscovered(&mut self, error: ApiError) -> ApiError {
        self.discovery = Some(error.to_string());
        error
    }

    /// A resource's objects could not be deleted.
    pub fn failed(&mut self, error: &ApiError) {
        self.failures.push(error.to_string());
    }

    /// So many objects of a resource are left, held by these finalizers.
    pub fn left(&mut self, resource: &Resource, count: usize, finalizers: &BTreeMap<String, usize>) {
        self.remaining.insert(format!("{}.{}", resource.plural, resource.group), count);
        for (name, count) in finalizers {
            *self.finalizers.entry(name.clone()).or_default() += count;
        }
    }

    /// Forgets what is left: upstream says nothing of it while it waits for pods.
    pub fn only_failures(&mut self) {
        self.remaining.clear();
        self.finalizers.clear();
    }

    /// Brings the conditions into `status.conditions` and tells whether one changed.
    pub fn settle(&self, namespace: &mut Value, now: Timestamp) -> bool {
        let mut conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let mut changed = false;
        for (kind, reason, message) in CONDITIONS {
            let found = self.found(kind);
            let (status, reason, message) = match &found {
                Some((reason, message)) => ("True", *reason, message.as_str()),
                None => ("False", reason, message),
            };
            changed |= set(&mut conditions, kind, status, reason, message, now);
        }
        if changed {
            namespace["status"]["conditions"] = Value::Array(conditions);
        }
        changed
    }

    fn found(&self, kind: &str) -> Option<(&'static str, String)> {
        match kind {
            "NamespaceDeletionDiscoveryFailure" => {
                self.discovery.clone().map(|message| ("DiscoveryFailed", message))
            }
            "NamespaceDeletionContentFailure" if !self.failures.is_empty() => {
                let mut failures = self.failures.clone();
                failures.sort();
                let (count, all) = (failures.len(), failures.join(", "));
                let message = format!("Failed to delete all resource types, {count} remaining: {all}");
                Some(("ContentDeletionFailed", message))
            }
            "NamespaceContentRemaining" if !self.remaining.is_empty() => {
                let all = list(&self.remaining, "has");
                Some(("SomeResourcesRemain", format!("Some resources are remaining: {all}")))
            }
            "NamespaceFinalizersRemaining" if !self.finalizers.is_empty() => {
                let all = list(&self.finalizers, "in");
                let message = format!("Some content in the namespace has finalizers remaining: {all}");
                Some(("SomeFinalizersRemain", message))
            }
            _ => None,
        }
    }
}

fn list(counts: &BTreeMap<String, usize>, word: &str) -> String {
    let parts = counts.iter().map(|(name, count)| format!("{name} {word} {count} resource instances"));
    parts.collect::<Vec<_>>().join(", ")
}

fn set(
    conditions: &mut Vec<Value>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> bool {
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let Some(before) = conditions.iter_mut().find(|condition| condition["type"] == kind) else {
        conditions.push(json!({
            "type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message,
        }));
        return true;
    };
    if before["status"] == status && before["reason"] == reason && before["message"] == message {
        return false;
    }
    if before["status"] != status {
        before["lastTransitionTime"] = json!(now);
    }
    before["status"] = json!(status);
    before["reason"] = json!(reason);
    before["message"] = json!(message);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, plural: &str) -> Resource {
        Resource {
            group: group.into(),
            version: "v1".into(),
            plural: plural.into(),
            kind: "K".into(),
            namespaced: true,
            verbs: Vec::new(),
        }
    }

    fn condition<'a>(namespace: &'a Value, kind: &str) -> &'a Value {
        let all = namespace["status"]["conditions"].as_array().unwrap();
        all.iter().find(|condition| condition["type"] == kind).unwrap()
    }

    #[test]
    fn what_is_left_is_counted_by_resource_and_finalizer() {
        let mut findings = Findings::default();
        let held = BTreeMap::from([("example.com/hold".to_owned(), 2)]);
        findings.left(&resource("", "pods"), 2, &held);
        findings.left(&resource("apps", "deployments"), 1, &held);
        let mut namespace = json!({});
        assert!(findings.settle(&mut namespace, Timestamp::UNIX_EPOCH));
        let remaining = condition(&namespace, "NamespaceContentRemaining");
        let words = "Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances";
        assert_eq!(remaining["message"], words);
        let words = "Some content in the namespace has finalizers remaining: example.com/hold in 4 resource instances";
        assert_eq!(condition(&namespace, "NamespaceFinalizersRemaining")["message"], words);
        assert_eq!(condition(&namespace, "NamespaceDeletionContentFailure")["reason"], "ContentDeleted");
    }

    #[test]
    fn a_transition_has_its_time_and_saying_the_same_again_changes_nothing() {
        let mut namespace = json!({});
        let mut findings = Findings::default();
        findings.left(&resource("", "pods"), 1, &BTreeMap::new());
        assert!(findings.settle(&mut namespace, Timestamp::UNIX_EPOCH));
        let later = Timestamp::from_second(60).unwrap();
        assert!(!findings.settle(&mut namespace, later));
        assert!(Findings::default().settle(&mut namespace, later));
        let remaining = condition(&namespace, "NamespaceContentRemaining");
        assert_eq!(remaining["lastTransitionTime"], "1970-01-01T00:01:00Z");
        let untouched = condition(&namespace, "NamespaceFinalizersRemaining");
        assert_eq!(untouched["lastTransitionTime"], "1970-01-01T00:00:00Z");
    }
}
