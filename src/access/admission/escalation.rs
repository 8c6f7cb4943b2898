//! Roles and bindings: nobody gives more than they have (see [`crate::rbac::escalation`]).

use api::status::Status;
use serde_json::Value;

use super::{Operation, Request, World};
use crate::rbac::{RbacKind, escalation};

pub(super) fn admit(request: &Request, object: &mut Value, world: &World) -> Result<(), Status> {
    let written = matches!(request.operation, Operation::Create | Operation::Update);
    if request.group != "rbac.authorization.k8s.io" || !written {
        return Ok(());
    }
    let Some(kind) = RbacKind::of(request.resource) else { return Ok(()) };
    // Leave to escalate is by the name in the URL, of which a create has none.
    let name = if request.operation == Operation::Create { "" } else { request.name };
    let write = escalation::Write { kind, namespace: request.namespace, name, object, old: request.old };
    escalation::check(world.authorizer, request.user, write)
}
