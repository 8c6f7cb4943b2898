//! Connections to what runs: log, exec, attach, portforward, proxy. What can be known without
//! a node is answered here; the rest is the agent's. Proxies are not there yet, and say so.

use api::field_error::{At, Errors, Path};
use api::meta;
use api::status::{Qualified, Status};
use serde_json::Value;

use super::tunnel;
use crate::exchange::{Exchange, Scope};
use crate::http::Response;
use crate::options::number;
use crate::refusal::Result;
use crate::respond;
use crate::server::Server;
use crate::write::commit;

/// Answers a connection.
pub async fn answer(server: &Server, exchange: &Exchange, scope: &Scope, part: &str) -> Result<Response> {
    let info = &exchange.info;
    if part == "log" {
        check_log(exchange)?;
    }
    server.cache.fresh().await?;
    // `proxy` may name a scheme and a port besides: `https:web:443`.
    let name = match info.name.split(':').collect::<Vec<_>>()[..] {
        [_, name, _] | [name, _] | [name] => name,
        _ => &info.name,
    };
    let entry = scope.shelf.get(&scope.key(&info.namespace, name));
    let entry = entry.ok_or_else(|| commit::not_found(scope, name))?;
    let object: Value = serde_json::from_slice(entry.bytes()).map_err(Status::internal)?;
    match &*scope.kind.kind {
        "Pod" => pod(server, exchange, &object, part).await,
        "Service" => service(server, &info.namespace, name),
        _ => Err(no_way(name)),
    }
}

fn no_way(name: &str) -> crate::refusal::Refusal {
    let says = format!("error dialing backend: this server has no way to {name:?} yet");
    Status::unavailable(says).into()
}

async fn pod(server: &Server, exchange: &Exchange, pod: &Value, part: &str) -> Result<Response> {
    if part != "proxy" && part != "portforward" {
        check_container(exchange.query.text("container"), pod)?;
    }
    let node = meta::str_at(pod, "spec.nodeName");
    match (node.is_empty(), part) {
        (true, "log") => Ok(respond::nothing(204)),
        (true, "proxy") => Err(Status::bad_request("address not allowed").into()),
        (true, _) => {
            let says = format!("pod {} does not have a host assigned", meta::name(pod));
            Err(Status::bad_request(says).into())
        }
        (false, "log" | "exec" | "attach" | "portforward") => {
            let container = exchange.query.text("container");
            let first =
                meta::list_at(pod, "spec.containers").first().map_or("", |one| meta::str_at(one, "name"));
            let container = if container.is_empty() { first } else { container };
            let (namespace, name) = (meta::namespace(pod), meta::name(pod));
            let path = match part {
                "log" => format!("/containerLogs/{namespace}/{name}/{container}?{}", log_query(exchange)),
                "portforward" => {
                    format!("/portForward/{namespace}/{name}?{}", repeated(exchange, "ports", "port"))
                }
                part => format!("/{part}/{namespace}/{name}/{container}?{}", stream_query(exchange)),
            };
            tunnel::forward(server, exchange, node, &path).await
        }
        (false, _) => Err(no_way(node)),
    }
}

fn log_query(exchange: &Exchange) -> String {
    let fields = ["follow", "previous", "timestamps", "tailLines", "limitBytes", "sinceSeconds", "sinceTime"];
    let given =
        fields.iter().filter_map(|field| Some(format!("{field}={}", encoded(exchange.query.get(field)?))));
    given.collect::<Vec<_>>().join("&")
}

/// The streams asked for, in the agent's words.
fn stream_query(exchange: &Exchange) -> String {
    let streams = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
    let given =
        streams.iter().filter(|(field, _)| exchange.query.flag(field)).map(|(_, word)| format!("{word}=1"));
    let given: Vec<String> = given.collect();
    format!("{}&{}", given.join("&"), repeated(exchange, "command", "command"))
}

fn repeated(exchange: &Exchange, field: &str, word: &str) -> String {
    let all: Vec<String> =
        exchange.query.all(field).map(|value| format!("{word}={}", encoded(value))).collect();
    all.join("&")
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A container must be one of the pod's; it may be left out where there is only one.
fn check_container(wanted: &str, pod: &Value) -> Result<()> {
    let names = |path: &str| -> Vec<&str> {
        meta::list_at(pod, path).iter().map(|container| meta::str_at(container, "name")).collect()
    };
    let (containers, before) = (names("spec.containers"), names("spec.initContainers"));
    let name = meta::name(pod);
    if wanted.is_empty() {
        if containers.len() == 1 {
            return Ok(());
        }
        let mut says = format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            containers.join(" ")
        );
        if !before.is_empty() {
            says.push_str(&format!(" or one of the init containers: [{}]", before.join(" ")));
        }
        return Err(Status::bad_request(says).into());
    }
    let later = names("spec.ephemeralContainers");
    if containers.iter().chain(&before).chain(&later).any(|known| *known == wanted) {
        return Ok(());
    }
    Err(Status::bad_request(format!("container {wanted} is not valid for pod {name}")).into())
}

fn check_log(exchange: &Exchange) -> Result<()> {
    let query = &exchange.query;
    let mut errors = Errors::new();
    let bounds = [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ];
    for (field, least, says) in bounds {
        if let Some(value) = number(query, field)?.filter(|value| *value < least) {
            let value = Value::from(value);
            errors.invalid(&At::new(Some(&value), Path::of(field)), says);
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    let what = Qualified { group: "", name: "PodLogOptions" };
    Err(Status::invalid(what, &exchange.info.name, errors).into())
}

fn service(server: &Server, namespace: &str, name: &str) -> Result<Response> {
    let shelf = server.cache.shelf("/registry/services/endpoints/");
    let ends = shelf.and_then(|shelf| shelf.get(&format!("{namespace}/{name}")));
    let ends: Value = ends.and_then(|entry| serde_json::from_slice(entry.bytes()).ok()).unwrap_or_default();
    let any =
        meta::list_at(&ends, "subsets").iter().any(|subset| !meta::list_at(subset, "addresses").is_empty());
    if any {
        return Err(no_way(name));
    }
    Err(Status::unavailable(format!("no endpoints available for service {name:?}")).into())
}
