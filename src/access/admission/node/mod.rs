//! NodeRestriction: what a node writes is about itself. The Node authorizer lets it write
//! some kinds; here the object is looked at.

mod own;
mod pods;
#[cfg(test)]
mod tests;
mod tokens;

use api::field_error::quote;
use api::status::{Qualified, Status};
use serde_json::Value;

use super::{Operation, Request, World};

/// A request of a node that is known by name.
#[derive(Clone, Copy)]
struct Ask<'a> {
    node: &'a str,
    request: &'a Request<'a>,
    object: &'a Value,
    world: &'a World<'a>,
}

pub(super) fn admit(request: &Request, object: &mut Value, world: &World) -> Result<(), Status> {
    let Some(node) = request.user.node_name() else { return Ok(()) };
    if request.operation == Operation::Connect {
        return Ok(());
    }
    let ask = Ask { node, request, object, world };
    if node.is_empty() {
        return ask.refuse(format!("could not determine node from user {}", quote(&request.user.name)));
    }
    match (request.group, request.resource) {
        ("", "pods") => pods::admit(ask),
        ("", "nodes") => own::node(ask),
        ("", "persistentvolumeclaims") => own::claim(ask),
        ("", "serviceaccounts") => tokens::service_account(ask),
        ("certificates.k8s.io", "podcertificaterequests") => tokens::certificate(ask),
        ("certificates.k8s.io", "certificatesigningrequests") => own::signing_request(ask),
        ("coordination.k8s.io", "leases") => own::lease(ask),
        ("storage.k8s.io", "csinodes") => own::csi_node(ask),
        ("resource.k8s.io", "resourceslices") => own::resource_slice(ask),
        _ => Ok(()),
    }
}

impl<'a> Ask<'a> {
    fn refuse(&self, why: impl AsRef<str>) -> Result<(), Status> {
        Err(self.request.forbidden(self.object, why))
    }

    /// `node "n1"`
    fn who(&self) -> String {
        format!("node {}", quote(self.node))
    }

    fn old(&self) -> &'a Value {
        self.request.old.unwrap_or(&Value::Null)
    }

    fn unexpected_operation(&self) -> Result<(), Status> {
        self.refuse(format!("unexpected operation {}", quote(self.request.operation.word())))
    }
}

/// 404 in the words of upstream's caches, which know a kind by its singular.
fn missing(singular: &str, name: &str) -> Status {
    Status::not_found(Qualified { group: "", name: singular }, name)
}
