//! TaintNodesByCondition: a new node takes no pods until it is known to be ready.

use api::meta::{list_at, str_at};
use api::status::Status;
use serde_json::{Value, json};

use super::service_account::push;
use super::{Operation, Request, World};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(super) fn admit(request: &Request, node: &mut Value, _: &World) -> Result<(), Status> {
    let whole = request.is_for("", "nodes") && request.subresource.is_empty();
    if !whole || request.operation != Operation::Create {
        return Ok(());
    }
    let mut taints = list_at(node, "spec.taints").iter();
    if !taints.any(|taint| str_at(taint, "key") == NOT_READY && str_at(taint, "effect") == "NoSchedule") {
        push(node, "spec.taints", json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
    Ok(())
}
