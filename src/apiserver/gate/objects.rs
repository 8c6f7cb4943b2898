//! Other objects, for decisions: read out of the cache when they are asked for.

use std::sync::Arc;

use access::lookups::{Identity, Lookups, What};
use serde_json::Value;

use crate::cache::{Cache, Entry, feed::PREFIX};

/// The cache as decisions see it.
#[derive(Debug, Clone, Copy)]
pub struct Objects<'a>(pub &'a Cache);

fn key(what: What) -> &'static str {
    match what {
        What::Namespace => "namespaces",
        What::ServiceAccount => "serviceaccounts",
        What::Secret => "secrets",
        What::Pod => "pods",
        What::Node => "minions",
        What::PriorityClass => "priorityclasses",
        What::PersistentVolumeClaim => "persistentvolumeclaims",
        What::PersistentVolume => "persistentvolumes",
        What::ResourceClaim => "resourceclaims",
        What::VolumeAttachment => "volumeattachments",
        What::CsiDriver => "csidrivers",
        What::RuntimeClass => "runtimeclasses",
    }
}

impl Objects<'_> {
    fn entry(&self, what: What, namespace: &str, name: &str) -> Option<Arc<Entry>> {
        let shelf = self.0.shelf(&format!("{PREFIX}{}/", key(what)))?;
        if namespace.is_empty() { shelf.get(name) } else { shelf.get(&format!("{namespace}/{name}")) }
    }
}

fn tree(entry: &Entry) -> Option<Arc<Value>> {
    serde_json::from_slice(entry.bytes()).ok().map(Arc::new)
}

impl Lookups for Objects<'_> {
    fn get(&self, what: What, namespace: &str, name: &str) -> Option<Arc<Value>> {
        tree(&*self.entry(what, namespace, name)?)
    }

    fn priority_classes(&self) -> Vec<Arc<Value>> {
        let shelf = self.0.shelf(&format!("{PREFIX}priorityclasses/"));
        let entries = shelf.map(|shelf| shelf.list("").entries).unwrap_or_default();
        entries.iter().filter_map(|entry| tree(entry)).collect()
    }

    fn identity(&self, what: What, namespace: &str, name: &str) -> Option<Identity> {
        let entry = self.entry(what, namespace, name)?;
        let deleted = entry.found("metadata.deletionTimestamp").and_then(|text| text.parse().ok());
        Some(Identity { uid: entry.field("metadata.uid").into_owned(), deleted })
    }
}
