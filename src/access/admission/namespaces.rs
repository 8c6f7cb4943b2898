//! NamespaceLifecycle: nothing is created in a namespace that is not there or is going,
//! and three namespaces never go.

use api::meta;
use api::status::{Cause, Qualified, Status};
use serde_json::Value;

use super::{Awaited, Operation, Request, World};
use crate::lookups::What;

const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) fn admit(request: &Request, object: &mut Value, world: &World) -> Result<(), Status> {
    let of_namespaces = request.is_for("", "namespaces");
    if request.operation == Operation::Delete && of_namespaces && IMMORTAL.contains(&request.name) {
        let why = "this namespace may not be deleted";
        return Err(Status::forbidden(request.what(), request.name, why));
    }
    if !needs_one(request) {
        return Ok(());
    }
    let name = request.namespace;
    let Some(namespace) = world.objects.get(What::Namespace, "", name) else {
        return Err(Status::not_found(Qualified { group: "", name: "namespaces" }, name));
    };
    if meta::str_at(&namespace, "status.phase") != "Terminating" {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {name} because it is being terminated");
    let cause = Cause {
        reason: "NamespaceTerminating".to_owned(),
        message: format!("namespace {name} is being terminated"),
        field: "metadata.namespace".to_owned(),
    };
    Err(request.forbidden(object, why).because(vec![cause]))
}

/// Whether the object is created in a namespace, which then must be there.
fn needs_one(request: &Request) -> bool {
    // An access review must not tell who asks whether the namespace is there.
    let review = request.is_for("authorization.k8s.io", "localsubjectaccessreviews");
    let outside = request.is_for("", "namespaces") || request.namespace.is_empty();
    !review && !outside && request.operation == Operation::Create
}

/// The namespace, if one is needed.
pub(super) fn awaited(request: &Request) -> Option<Awaited> {
    let (name, namespace) = (request.namespace.to_owned(), String::new());
    needs_one(request).then_some(Awaited { what: What::Namespace, namespace, name, patience_ms: 50 })
}
