//! Which node an object is for: kept by events of pods, volumes, attachments, slices and
//! certificate requests, asked by name. Upstream walks a graph; here each thing that a pod
//! refers to has the nodes of its pods at hand, with how many pods there are on each, and
//! only volumes, which are bound to claims, take a second step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::references;
use api::meta::str_at;

/// The kinds whose events the graph takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// `v1` Pod
    Pod,
    /// `v1` PersistentVolume
    PersistentVolume,
    /// `storage.k8s.io/v1` VolumeAttachment
    VolumeAttachment,
    /// `resource.k8s.io/v1` ResourceSlice
    ResourceSlice,
    /// `certificates.k8s.io/v1` PodCertificateRequest
    PodCertificateRequest,
}

/// What is for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Related {
    Pod,
    Secret,
    ConfigMap,
    ServiceAccount,
    Claim,
    ResourceClaim,
    Volume,
    VolumeAttachment,
    ResourceSlice,
    PodCertificateRequest,
}

type Key = (Related, Box<str>, Box<str>);
type ObjectName = (Box<str>, Box<str>);

/// What is known.
#[derive(Debug, Default)]
pub struct Graph {
    /// How many pods on which node refer to an object; the pods themselves; and whatever
    /// names its node itself.
    nodes: BTreeMap<Key, BTreeMap<Arc<str>, u32>>,
    pods: BTreeMap<ObjectName, Placed>,
    volumes: BTreeMap<Box<str>, Bound>,
    /// The volumes that need a secret.
    secret_volumes: BTreeMap<ObjectName, BTreeSet<Box<str>>>,
}

#[derive(Debug)]
struct Placed {
    node: Arc<str>,
    keys: Vec<Key>,
}

/// A volume: its claim, and the secrets that it needs.
#[derive(Debug)]
struct Bound {
    claim: ObjectName,
    secrets: Vec<ObjectName>,
}

impl Graph {
    /// Nothing is for any node.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// Takes in an object as it is now.
    pub fn put(&mut self, kind: NodeKind, object: &Value) {
        let (namespace, name) = (str_at(object, "metadata.namespace"), str_at(object, "metadata.name"));
        match kind {
            NodeKind::Pod => self.put_pod(namespace, name, object),
            NodeKind::PersistentVolume => self.put_volume(name, object),
            NodeKind::VolumeAttachment | NodeKind::ResourceSlice | NodeKind::PodCertificateRequest => {
                self.remove(kind, namespace, name);
                self.count(key(kind.related(), namespace, name), &Arc::from(str_at(object, "spec.nodeName")));
            }
        }
    }

    /// Forgets a deleted object.
    pub fn remove(&mut self, kind: NodeKind, namespace: &str, name: &str) {
        match kind {
            NodeKind::Pod => self.remove_pod(namespace, name),
            NodeKind::PersistentVolume => self.remove_volume(name),
            NodeKind::VolumeAttachment | NodeKind::ResourceSlice | NodeKind::PodCertificateRequest => {
                self.nodes.remove(&key(kind.related(), namespace, name));
            }
        }
    }

    /// Whether the object is for the node.
    pub(super) fn is_for(&self, related: Related, namespace: &str, name: &str, node: &str) -> bool {
        match related {
            Related::Volume => self.volume_is_for(name, node),
            Related::Secret => {
                let volumes = self.secret_volumes.get(&(namespace.into(), name.into()));
                self.has(related, namespace, name, node)
                    || volumes.into_iter().flatten().any(|volume| self.volume_is_for(volume, node))
            }
            _ => self.has(related, namespace, name, node),
        }
    }

    fn has(&self, related: Related, namespace: &str, name: &str, node: &str) -> bool {
        self.nodes.get(&key(related, namespace, name)).is_some_and(|nodes| nodes.contains_key(node))
    }

    fn volume_is_for(&self, volume: &str, node: &str) -> bool {
        let bound = self.volumes.get(volume);
        bound.is_some_and(|bound| self.has(Related::Claim, &bound.claim.0, &bound.claim.1, node))
    }

    /// A pod that has no node yet is for none. What it refers to is read anew each time:
    /// ephemeral containers and claims come later.
    fn put_pod(&mut self, namespace: &str, name: &str, pod: &Value) {
        let node = str_at(pod, "spec.nodeName");
        if node.is_empty() {
            return;
        }
        let referred = references::of_pod(pod).into_iter();
        let mut keys = vec![key(Related::Pod, namespace, name)];
        keys.extend(referred.map(|(related, other)| key(related, namespace, &other)));
        keys.sort();
        keys.dedup();
        let known = self.pods.get(&(namespace.into(), name.into()));
        if known.is_some_and(|known| &*known.node == node && known.keys == keys) {
            return;
        }
        self.remove_pod(namespace, name);
        let node: Arc<str> = self.shared(node);
        for key in &keys {
            self.count(key.clone(), &node);
        }
        self.pods.insert((namespace.into(), name.into()), Placed { node, keys });
    }

    /// The node's name as one of its pods has it already.
    fn shared(&self, node: &str) -> Arc<str> {
        let known = self.pods.values().next_back().filter(|placed| &*placed.node == node);
        known.map_or_else(|| Arc::from(node), |placed| Arc::clone(&placed.node))
    }

    fn remove_pod(&mut self, namespace: &str, name: &str) {
        let Some(placed) = self.pods.remove(&(namespace.into(), name.into())) else { return };
        for key in placed.keys {
            let Some(nodes) = self.nodes.get_mut(&key) else { continue };
            if let Some(count) = nodes.get_mut(&placed.node) {
                *count -= 1;
                if *count == 0 {
                    nodes.remove(&placed.node);
                }
            }
            if nodes.is_empty() {
                self.nodes.remove(&key);
            }
        }
    }

    fn count(&mut self, key: Key, node: &Arc<str>) {
        if !node.is_empty() {
            *self.nodes.entry(key).or_default().entry(Arc::clone(node)).or_default() += 1;
        }
    }

    fn put_volume(&mut self, name: &str, volume: &Value) {
        self.remove_volume(name);
        let claim = str_at(volume, "spec.claimRef.name");
        if claim.is_empty() {
            return;
        }
        let claim = (str_at(volume, "spec.claimRef.namespace").into(), claim.into());
        let secrets = references::of_volume_object(volume).into_iter();
        let secrets: Vec<ObjectName> = secrets.map(|(space, secret)| (space.into(), secret.into())).collect();
        for secret in &secrets {
            self.secret_volumes.entry(secret.clone()).or_default().insert(name.into());
        }
        self.volumes.insert(name.into(), Bound { claim, secrets });
    }

    fn remove_volume(&mut self, name: &str) {
        let Some(bound) = self.volumes.remove(name) else { return };
        for secret in bound.secrets {
            let Some(volumes) = self.secret_volumes.get_mut(&secret) else { continue };
            volumes.remove(name);
            if volumes.is_empty() {
                self.secret_volumes.remove(&secret);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
            && self.pods.is_empty()
            && self.volumes.is_empty()
            && self.secret_volumes.is_empty()
    }
}

impl NodeKind {
    fn related(self) -> Related {
        match self {
            NodeKind::Pod => Related::Pod,
            NodeKind::PersistentVolume => Related::Volume,
            NodeKind::VolumeAttachment => Related::VolumeAttachment,
            NodeKind::ResourceSlice => Related::ResourceSlice,
            NodeKind::PodCertificateRequest => Related::PodCertificateRequest,
        }
    }
}

fn key(related: Related, namespace: &str, name: &str) -> Key {
    (related, namespace.into(), name.into())
}
