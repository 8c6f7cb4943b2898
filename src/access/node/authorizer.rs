//! What a node may do: its own Node, Lease and CSINode, pods that are bound to it, what
//! these refer to, and for the rest the rules that all nodes have.

use super::Graph;
use super::graph::Related;
use crate::bootstrap::node_rules;
use crate::rbac::Rule;
use crate::{Attributes, Decision, User};
use api::field_error::quote;

/// The authorizer: the rules are the same for every node, the graph is not.
#[derive(Debug)]
pub struct NodeAuthorizer {
    /// Whose objects are whose.
    pub graph: Graph,
    rules: Vec<Rule>,
}

impl Default for NodeAuthorizer {
    fn default() -> NodeAuthorizer {
        NodeAuthorizer { graph: Graph::new(), rules: node_rules() }
    }
}

/// Whether, or why not; the reason is a part of the message to the client.
type Verdict = Result<(), String>;

impl NodeAuthorizer {
    /// Whether a node may do this; it has no opinion on other users.
    pub fn decide(&self, user: &User, asked: &Attributes) -> Decision {
        let Some(node) = user.node_name() else { return Decision::no_opinion("") };
        if node.is_empty() {
            return Decision::no_opinion(format!("unknown node for user {}", quote(&user.name)));
        }
        match self.verdict(node, asked) {
            Ok(()) => Decision::allow(""),
            Err(reason) => Decision::no_opinion(reason),
        }
    }

    fn verdict(&self, node: &str, asked: &Attributes) -> Verdict {
        if asked.resource_request {
            match (asked.group, asked.resource) {
                ("", "secrets") => return self.read(node, Related::Secret, asked),
                ("", "configmaps") => return self.read(node, Related::ConfigMap, asked),
                ("", "persistentvolumeclaims") if asked.subresource == "status" => {
                    return self.write_status(node, Related::Claim, asked);
                }
                ("", "persistentvolumeclaims") => return self.get(node, Related::Claim, asked),
                ("", "persistentvolumes") => return self.get(node, Related::Volume, asked),
                ("resource.k8s.io", "resourceclaims") => {
                    return self.get(node, Related::ResourceClaim, asked);
                }
                ("storage.k8s.io", "volumeattachments") => {
                    return self.get(node, Related::VolumeAttachment, asked);
                }
                ("", "serviceaccounts") => return self.service_account(node, asked),
                ("coordination.k8s.io", "leases") => return lease(node, asked),
                ("storage.k8s.io", "csinodes") => return csi_node(node, asked),
                ("resource.k8s.io", "resourceslices") => return self.resource_slice(node, asked),
                ("", "nodes") => return own_node(node, asked),
                ("", "pods") => return self.pod(node, asked),
                ("certificates.k8s.io", "podcertificaterequests") => {
                    return self.certificate_request(node, asked);
                }
                _ => {}
            }
        }
        if self.rules.iter().any(|rule| rule.allows(asked)) { Ok(()) } else { Err(String::new()) }
    }

    /// The object is named, and is for the node.
    fn related(&self, node: &str, related: Related, asked: &Attributes) -> Verdict {
        if asked.name.is_empty() {
            return refuse("No Object name found");
        }
        self.connected(node, related, asked)
    }

    fn connected(&self, node: &str, related: Related, asked: &Attributes) -> Verdict {
        let namespace = match related {
            Related::Volume | Related::VolumeAttachment | Related::ResourceSlice => "",
            _ => asked.namespace,
        };
        if self.graph.is_for(related, namespace, asked.name, node) {
            return Ok(());
        }
        Err(format!("no relationship found between node '{node}' and this object"))
    }

    fn get(&self, node: &str, related: Related, asked: &Attributes) -> Verdict {
        if asked.verb != "get" {
            return refuse("can only get individual resources of this type");
        }
        if !asked.subresource.is_empty() {
            return refuse("cannot get subresource");
        }
        self.related(node, related, asked)
    }

    fn write_status(&self, node: &str, related: Related, asked: &Attributes) -> Verdict {
        if !matches!(asked.verb, "update" | "patch") {
            return refuse("can only get/update/patch this type");
        }
        self.related(node, related, asked)
    }

    /// Lists and watches are of one object too: by a field selector on its name.
    fn read(&self, node: &str, related: Related, asked: &Attributes) -> Verdict {
        if !matches!(asked.verb, "get" | "list" | "watch") {
            return refuse("can only read resources of this type");
        }
        if !asked.subresource.is_empty() {
            return refuse("cannot read subresource");
        }
        if asked.namespace.is_empty() {
            return refuse("can only read namespaced object of this type");
        }
        self.related(node, related, asked)
    }

    fn service_account(&self, node: &str, asked: &Attributes) -> Verdict {
        if asked.verb == "get" && asked.subresource.is_empty() {
            return self.read(node, Related::ServiceAccount, asked);
        }
        if asked.verb != "create" || asked.name.is_empty() {
            return refuse("can only create tokens for individual service accounts");
        }
        if asked.subresource != "token" {
            return refuse("can only create token subresource of serviceaccount");
        }
        self.connected(node, Related::ServiceAccount, asked)
    }

    fn resource_slice(&self, node: &str, asked: &Attributes) -> Verdict {
        if !asked.subresource.is_empty() {
            return refuse("cannot authorize ResourceSlice subresources");
        }
        match asked.verb {
            // The new object is looked at by admission.
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(node, Related::ResourceSlice, asked),
            "watch" | "list" | "deletecollection" if selects(asked, "spec.nodeName", node) => Ok(()),
            "watch" | "list" | "deletecollection" => {
                refuse("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => refuse(concat!(
                "only the following verbs are allowed for a ResourceSlice: ",
                "get, watch, list, create, update, patch, delete, deletecollection"
            )),
        }
    }

    fn certificate_request(&self, node: &str, asked: &Attributes) -> Verdict {
        if !asked.subresource.is_empty() {
            return refuse("nodes may not access the status subresource of PodCertificateRequests");
        }
        match asked.verb {
            "create" => Ok(()),
            "get" => self.related(node, Related::PodCertificateRequest, asked),
            "list" | "watch" if selects(asked, "spec.nodeName", node) => Ok(()),
            "list" | "watch" => {
                refuse("can only list/watch podcertificaterequests with nodeName field selector")
            }
            verb => Err(format!("nodes may not {verb} podcertificaterequests")),
        }
    }

    fn pod(&self, node: &str, asked: &Attributes) -> Verdict {
        match (asked.subresource, asked.verb) {
            ("", "get") => self.get(node, Related::Pod, asked),
            ("", "list" | "watch") if selects(asked, "spec.nodeName", node) => Ok(()),
            ("", "list" | "watch") if !asked.name.is_empty() => self.related(node, Related::Pod, asked),
            ("", "list" | "watch") => refuse("can only list/watch pods with spec.nodeName field selector"),
            // Mirror pods, status and evictions of the node's own pods: admission looks at the object.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => refuse(""),
        }
    }
}

fn lease(node: &str, asked: &Attributes) -> Verdict {
    if !matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete") {
        return refuse("can only get, create, update, patch, or delete a node lease");
    }
    if asked.namespace != "kube-node-lease" {
        return refuse(r#"can only access leases in the "kube-node-lease" system namespace"#);
    }
    // On create the name may not be known yet: admission looks at it.
    if asked.verb != "create" && asked.name != node {
        return refuse("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

fn csi_node(node: &str, asked: &Attributes) -> Verdict {
    match asked.subresource {
        "" if !matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete") => {
            refuse("can only get, create, update, patch, or delete a CSINode")
        }
        "" if asked.verb != "create" && asked.name != node => {
            refuse("can only access CSINode with the same name as the requesting node")
        }
        "" => Ok(()),
        "status" => refuse("CSINode status access requires CSIVolumeHealth feature"),
        _ => refuse("cannot authorize CSINode subresources"),
    }
}

fn own_node(node: &str, asked: &Attributes) -> Verdict {
    match (asked.subresource, asked.verb) {
        // Whose Node it is, admission looks at.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        // By name, not by the graph: the Node may not be there yet.
        ("", "get" | "list" | "watch") if asked.name == node => Ok(()),
        ("", "get" | "list" | "watch") if asked.name.is_empty() => {
            Err(format!("node '{node}' cannot read all nodes, only its own Node object"))
        }
        ("", "get" | "list" | "watch") => {
            Err(format!("node '{node}' cannot read '{}', only its own Node object", asked.name))
        }
        _ => refuse(""),
    }
}

fn selects(asked: &Attributes, field: &str, value: &str) -> bool {
    asked.field_selector.iter().any(|term| term.equal && term.field == field && term.value == value)
}

fn refuse(reason: &str) -> Verdict {
    Err(reason.to_owned())
}
