//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready, or that
//! cannot be reached, unless it says itself how long.

use api::meta::{list_at, str_at};
use api::status::Status;
use serde_json::{Value, json};

use super::service_account::push;
use super::{Operation, Request, World};

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) fn admit(request: &Request, pod: &mut Value, _: &World) -> Result<(), Status> {
    let whole = request.is_for("", "pods") && request.subresource.is_empty() && pod.is_object();
    if !whole || !matches!(request.operation, Operation::Create | Operation::Update) {
        return Ok(());
    }
    let own = list_at(pod, "spec.tolerations").to_vec();
    for taint in TAINTS {
        let tolerates = |toleration: &Value| {
            let (key, effect) = (str_at(toleration, "key"), str_at(toleration, "effect"));
            (key.is_empty() || key == taint) && matches!(effect, "" | "NoExecute")
        };
        if !own.iter().any(tolerates) {
            let toleration = json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS});
            push(pod, "spec.tolerations", toleration);
        }
    }
    Ok(())
}
