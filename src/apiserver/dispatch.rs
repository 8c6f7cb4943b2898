//! From a verb on a resource to what does it.

use std::sync::Arc;

use api::kind::{Role, Subresource, Verbs};
use api::status::Status;

use crate::exchange::{Exchange, Scope};
use crate::http::Response;
use crate::refusal::Result;
use crate::request::RequestInfo;
use crate::server::Server;
use crate::{actions, read, write};

/// Kinds that upstream warns of, whatever is asked of them.
const DEPRECATED: &[(&str, &str, &str, &str)] = &[
    ("", "v1", "Endpoints", "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
    ("", "v1", "ComponentStatus", "v1 ComponentStatus is deprecated in v1.19+"),
];

/// Answers a request about objects.
pub async fn answer(server: &Arc<Server>, exchange: &Exchange, scope: &Scope) -> Result<Response> {
    let info = &exchange.info;
    let part = scope.subresource(info)?;
    let allowed = part.map_or(scope.kind.verbs, |part| part.verbs);
    let verb = Verbs::of([info.verb]);
    let named = !info.name.is_empty();
    let misplaced = match info.verb {
        "create" => part.is_none() && named,
        "update" | "patch" => !named,
        _ => false,
    };
    // A proxy passes on what the API itself has no verb for.
    let passed = exchange.method == hyper::Method::OPTIONS && part.is_some_and(|part| part.name == "proxy");
    let unknown = (verb == Verbs::NONE || !allowed.has(verb)) && !passed;
    if unknown || misplaced {
        return Err(Status::method_not_allowed().into());
    }
    for (group, version, kind, says) in DEPRECATED {
        if (*group, *version, *kind) == (&*scope.kind.group, &*scope.version, &*scope.kind.kind) {
            exchange.warn(*says);
        }
    }
    match part {
        None => object(server, exchange, scope).await,
        Some(part) => subresource(server, exchange, scope, part).await,
    }
}

async fn object(server: &Arc<Server>, exchange: &Exchange, scope: &Scope) -> Result<Response> {
    match exchange.info.verb {
        "get" => read::get::get(server, exchange, scope).await,
        "list" => read::list::list(server, exchange, scope).await,
        "watch" => {
            let watch = read::watch::watch(server, exchange, scope).await?;
            actions::connect::watched(server, exchange, watch).await
        }
        "create" => create(server, exchange, scope).await,
        "update" => write::update::update(server, exchange, scope, None).await,
        "patch" => write::patch::patch(server, exchange, scope, None).await,
        "delete" => write::delete::delete(server, exchange, scope).await,
        "deletecollection" => write::collection::delete(server, exchange, scope).await,
        _ => Err(Status::method_not_allowed().into()),
    }
}

/// Most kinds are kept; some are questions, and bindings are the pods'.
async fn create(server: &Arc<Server>, exchange: &Exchange, scope: &Scope) -> Result<Response> {
    if let Some(answered) = actions::review::answer(server, exchange, scope).await? {
        return Ok(answered);
    }
    if scope.kind.group.is_empty() && *scope.kind.kind == *"Binding" {
        let pods = server.scope(&RequestInfo { resource: "pods".to_owned(), ..exchange.info.clone() })?;
        return actions::binding::create(server, exchange, &pods).await;
    }
    write::create::create(server, exchange, scope).await
}

async fn subresource(
    server: &Arc<Server>,
    exchange: &Exchange,
    scope: &Scope,
    part: &Subresource,
) -> Result<Response> {
    match (part.role, exchange.info.verb) {
        (Role::Part(_), "get") => read::get::get(server, exchange, scope).await,
        (Role::Part(part), "update") => write::update::update(server, exchange, scope, Some(&part)).await,
        (Role::Part(part), "patch") => write::patch::patch(server, exchange, scope, Some(&part)).await,
        (Role::Scale(paths), "get") => actions::scale::get(server, exchange, scope, &paths).await,
        (Role::Scale(paths), "update" | "patch") => {
            actions::scale::write(server, exchange, scope, &paths).await
        }
        (Role::Connect, _) => actions::connect::answer(server, exchange, scope, &part.name).await,
        (Role::Action, "create") => match &*part.name {
            "binding" => actions::binding::create(server, exchange, scope).await,
            "eviction" => actions::eviction::create(server, exchange, scope).await,
            "token" => actions::token::create(server, exchange, scope).await,
            _ => Err(Status::method_not_allowed().into()),
        },
        _ => Err(Status::method_not_allowed().into()),
    }
}
