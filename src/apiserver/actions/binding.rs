//! `pods/binding` and `bindings`: a pod put on a node.

use access::admission::Operation;
use api::field_error::{At, Errors};
use api::kind::Claims;
use api::status::{Qualified, Status};
use api::{canonical, meta, names};
use serde_json::{Value, json};

use super::{done, posted};
use crate::exchange::{Exchange, Scope};
use crate::http::Response;
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;
use crate::write::commit::{self, Current, Decision, Target};
use crate::write::steps::{Steps, place};

const WHAT: Qualified<'static> = Qualified { group: "", name: "pods/binding" };

/// Answers that it is bound. `pods` is the scope of pods, whichever path was asked.
pub async fn create(server: &Server, exchange: &Exchange, pods: &Scope) -> Result<Response> {
    let accepted = exchange.negotiate(false)?;
    let (mut binding, options) = posted(exchange, pods, ("", "v1", "Binding")).await?;
    let info = &exchange.info;
    place(pods, &info.namespace, &mut binding)?;
    let name = if info.name.is_empty() { meta::name(&binding).to_owned() } else { info.name.clone() };
    if meta::name(&binding) != name {
        return Err(Refusal::from(Status::bad_request("name in URL does not match name in Binding object")));
    }
    validate(&binding)?;
    let stamp = exchange.stamp();
    let steps = Steps {
        server,
        exchange,
        scope: pods,
        part: None,
        subresource: "binding",
        options: &options,
        stamp: &stamp,
    };
    steps.admit(Operation::Create, &mut binding, None)?;
    let target =
        Target { scope: pods, key: pods.key(&info.namespace, &name), dry_run: options.dry_run, lease: None };
    commit::change(server, &target, |current| {
        let current = current.ok_or_else(|| commit::not_found(pods, &name))?;
        bind(pods, current, &binding, &stamp)
    })
    .await?;
    Ok(respond::object(201, done(201).to_string().as_bytes(), &accepted, false))
}

fn validate(binding: &Value) -> Result<()> {
    let mut errors = Errors::new();
    let target = At::root(binding).get("target");
    let (kind, name) = (target.get("kind"), target.get("name"));
    if !matches!(kind.str(), "" | "Node") {
        errors.not_supported(&kind, &["Node", "<empty>"]);
    }
    if name.str().is_empty() {
        errors.required(&name.path, "");
    } else if matches!(kind.str(), "" | "Node") {
        errors.invalid_each(&name, names::dns1123_subdomain(name.str()));
    }
    if errors.is_empty() {
        return Ok(());
    }
    // Upstream gives these errors no status of their own.
    let lines = errors.lines();
    let says = if let [one] = &lines[..] { one.clone() } else { format!("[{}]", lines.join(", ")) };
    Err(Refusal::plain(500, "", says))
}

fn bind(pods: &Scope, current: &Current, binding: &Value, stamp: &str) -> Result<Decision> {
    let mut pod = current.value.clone();
    let name = meta::name(&current.value);
    let conflict = |why: String| Refusal::from(Status::conflict(WHAT, name, &why));
    let (uid, version) = (meta::uid(binding), meta::resource_version(binding));
    let own = meta::uid(&current.value);
    if !uid.is_empty() && uid != own {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {own}");
        return Err(conflict(why));
    }
    let now = current.revision.to_string();
    if !version.is_empty() && version != now {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {version}, ResourceVersion in object meta: {now}"
        );
        return Err(conflict(why));
    }
    if meta::deletion_timestamp(&pod).is_some() {
        return Err(conflict(format!("pod {name} is being deleted, cannot be assigned to a host")));
    }
    let node = meta::str_at(&pod, "spec.nodeName");
    if !node.is_empty() {
        return Err(conflict(format!("pod {name} is already assigned to node {node:?}")));
    }
    if !meta::list_at(&pod, "spec.schedulingGates").is_empty() {
        return Err(conflict(format!("pod {name} has non-empty .spec.schedulingGates")));
    }
    meta::put(&mut pod, "spec.nodeName", meta::str_at(binding, "target.name"));
    meta::remove(&mut pod, "status.nominatedNodeName");
    for field in ["annotations", "labels"] {
        let path = format!("metadata.{field}");
        let given = meta::at(binding, &path).and_then(Value::as_object).cloned().unwrap_or_default();
        for (key, value) in given {
            meta::fields(meta::entry(&mut pod, &path)).insert(key, value);
        }
    }
    scheduled(&mut pod, stamp);
    meta::remove(&mut pod, "metadata.resourceVersion");
    canonical::normalise(&pods.kind.schema, pods.kind.stored.object, &mut pod);
    Ok(Decision::Put(pod, Claims::default()))
}

fn scheduled(pod: &mut Value, stamp: &str) {
    let condition = json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": stamp,
    });
    let conditions = meta::entry(pod, "status.conditions");
    if !conditions.is_array() {
        *conditions = Value::Array(Vec::new());
    }
    if let Value::Array(list) = conditions {
        match list.iter_mut().find(|own| own["type"] == "PodScheduled") {
            Some(own) => *own = condition,
            None => list.push(condition),
        }
    }
}
