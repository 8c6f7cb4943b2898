//! The nodes and the pods on them, kept up to date one change at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::labels::Labels;
use crate::node::Node;
use crate::pod::Pod;

/// What decisions are made from.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    pub(crate) nodes: BTreeMap<Arc<str>, Node>,
    /// Pods on nodes by UID, those whose node is not known included.
    pub(crate) pods: BTreeMap<Arc<str>, Pod>,
    pub(crate) namespaces: BTreeMap<Arc<str>, Labels>,
    /// Pods that repel others: nothing is asked of them where there are none.
    pub(crate) repelling: usize,
}

impl Cluster {
    /// A node came or changed; what is on it stays.
    pub fn put_node(&mut self, mut node: Node) {
        let name = Arc::clone(&node.name);
        for pod in self.pods.values().filter(|pod| pod.node == name) {
            node.put(pod);
        }
        self.nodes.insert(Arc::clone(&node.name), node);
    }

    /// A node is gone. Its pods are kept until they are gone too.
    pub fn remove_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    /// Whether there is a node of this name.
    #[must_use]
    pub fn has_node(&self, name: &str) -> bool {
        self.nodes.contains_key(name)
    }

    /// UIDs of all pods that are on nodes.
    #[must_use]
    pub fn pod_uids(&self) -> Vec<Arc<str>> {
        self.pods.keys().cloned().collect()
    }

    /// Names of all nodes.
    #[must_use]
    pub fn node_names(&self) -> Vec<Arc<str>> {
        self.nodes.keys().cloned().collect()
    }

    /// Number of nodes.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// A pod is on a node, or has changed there.
    pub fn put_pod(&mut self, pod: Pod) {
        self.remove_pod(&pod.uid);
        if let Some(node) = self.nodes.get_mut(&pod.node) {
            node.put(&pod);
        }
        self.repelling += usize::from(!pod.anti_affinity.is_empty());
        self.pods.insert(Arc::clone(&pod.uid), pod);
    }

    /// A pod is on no node any more.
    pub fn remove_pod(&mut self, uid: &str) -> Option<Pod> {
        let pod = self.pods.remove(uid)?;
        if let Some(node) = self.nodes.get_mut(&pod.node) {
            node.take(&pod);
        }
        self.repelling -= usize::from(!pod.anti_affinity.is_empty());
        Some(pod)
    }

    /// A namespace's labels.
    pub fn put_namespace(&mut self, object: &serde_json::Value) {
        self.namespaces.insert(api::meta::name(object).into(), crate::labels::read(object));
    }

    /// A namespace is gone.
    pub fn remove_namespace(&mut self, name: &str) {
        self.namespaces.remove(name);
    }
}
