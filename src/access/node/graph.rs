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

/// An object that pods refer to, or that names its node itself. Spelled once, however many
/// refer to it: there may be a hundred thousand pods, and most name the same few things.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    related: Related,
    namespace: Box<str>,
    name: Box<str>,
}

type ObjectName = (Box<str>, Box<str>);

/// What is known.
#[derive(Debug, Default)]
pub struct Graph {
    /// Which nodes an object is for, and by how many pods on each.
    objects: BTreeMap<Arc<Key>, Vec<(Arc<str>, u32)>>,
    /// By namespace, then by name.
    pods: BTreeMap<Box<str>, BTreeMap<Box<str>, Placed>>,
    /// Names of nodes, each spelled once.
    nodes: BTreeSet<Arc<str>>,
    volumes: BTreeMap<Box<str>, Bound>,
    /// The volumes that need a secret.
    secret_volumes: BTreeMap<ObjectName, BTreeSet<Box<str>>>,
}

#[derive(Debug)]
struct Placed {
    node: Arc<str>,
    /// In their order, each once.
    refers: Box<[Arc<Key>]>,
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
                let node = str_at(object, "spec.nodeName");
                if !node.is_empty() {
                    let node = self.node(node);
                    self.count(key(kind.related(), namespace, name), &node);
                }
            }
        }
    }

    /// Forgets a deleted object.
    pub fn remove(&mut self, kind: NodeKind, namespace: &str, name: &str) {
        match kind {
            NodeKind::Pod => self.remove_pod(namespace, name),
            NodeKind::PersistentVolume => self.remove_volume(name),
            NodeKind::VolumeAttachment | NodeKind::ResourceSlice | NodeKind::PodCertificateRequest => {
                let nodes = self.objects.remove(&key(kind.related(), namespace, name));
                for (node, _) in nodes.into_iter().flatten() {
                    self.release(node);
                }
            }
        }
    }

    /// Whether the object is for the node.
    pub(super) fn is_for(&self, related: Related, namespace: &str, name: &str, node: &str) -> bool {
        match related {
            Related::Pod => {
                let pod = self.pods.get(namespace).and_then(|pods| pods.get(name));
                pod.is_some_and(|placed| &*placed.node == node)
            }
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
        let nodes = self.objects.get(&key(related, namespace, name));
        nodes.is_some_and(|nodes| nodes.binary_search_by(|(known, _)| (**known).cmp(node)).is_ok())
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
        let mut keys: Vec<Key> = referred.map(|(related, other)| key(related, namespace, &other)).collect();
        keys.sort();
        keys.dedup();
        let known = self.pods.get(namespace).and_then(|pods| pods.get(name));
        if known.is_some_and(|known| &*known.node == node && known.refers.iter().map(|key| &**key).eq(&keys))
        {
            return;
        }
        self.remove_pod(namespace, name);
        let node = self.node(node);
        let refers = keys.into_iter().map(|key| self.count(key, &node)).collect();
        self.pods.entry(namespace.into()).or_default().insert(name.into(), Placed { node, refers });
    }

    fn remove_pod(&mut self, namespace: &str, name: &str) {
        let Some(pods) = self.pods.get_mut(namespace) else { return };
        let Some(placed) = pods.remove(name) else { return };
        if pods.is_empty() {
            self.pods.remove(namespace);
        }
        for key in placed.refers {
            self.discount(&key, &placed.node);
        }
        self.release(placed.node);
    }

    /// One more pod on the node refers to the object.
    fn count(&mut self, key: Key, node: &Arc<str>) -> Arc<Key> {
        let key =
            self.objects.get_key_value(&key).map_or_else(|| Arc::new(key), |(known, _)| Arc::clone(known));
        let nodes = self.objects.entry(Arc::clone(&key)).or_default();
        match nodes.binary_search_by(|(known, _)| known.cmp(node)) {
            Ok(place) => {
                if let Some((_, count)) = nodes.get_mut(place) {
                    *count += 1;
                }
            }
            Err(place) => {
                nodes.reserve_exact(usize::from(nodes.is_empty()));
                nodes.insert(place, (Arc::clone(node), 1));
            }
        }
        key
    }

    fn discount(&mut self, key: &Key, node: &Arc<str>) {
        let Some(nodes) = self.objects.get_mut(key) else { return };
        if let Ok(place) = nodes.binary_search_by(|(known, _)| known.cmp(node)) {
            match nodes.get_mut(place) {
                Some((_, count)) if *count > 1 => *count -= 1,
                _ => drop(nodes.remove(place)),
            }
        }
        if nodes.is_empty() {
            self.objects.remove(key);
        }
    }

    /// The node's name, as it is spelled already.
    fn node(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.nodes.get(name) {
            return Arc::clone(known);
        }
        let node: Arc<str> = Arc::from(name);
        self.nodes.insert(Arc::clone(&node));
        node
    }

    /// Forgets a node's name with the last that spoke of it: the caller, and the set.
    fn release(&mut self, node: Arc<str>) {
        if Arc::strong_count(&node) == 2 {
            self.nodes.remove(&*node);
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
        self.objects.is_empty()
            && self.pods.is_empty()
            && self.nodes.is_empty()
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
    Key { related, namespace: namespace.into(), name: name.into() }
}
