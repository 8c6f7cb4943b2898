//! Kinds that are questions: access reviews, TokenReview, SelfSubjectReview. Answered, not kept.

use access::review;
use api::canonical;
use api::status::Status;
use serde_json::Value;

use super::{own, posted};
use crate::exchange::{Exchange, Scope};
use crate::gate::objects::Objects;
use crate::http::Response;
use crate::refusal::Result;
use crate::respond;
use crate::server::Server;

/// Answers a question, or nothing if the kind is none.
pub async fn answer(server: &Server, exchange: &Exchange, scope: &Scope) -> Result<Option<Response>> {
    let kind = &*scope.kind.kind;
    let known = matches!(
        (&*scope.kind.group, kind),
        (
            "authorization.k8s.io",
            "SubjectAccessReview"
                | "LocalSubjectAccessReview"
                | "SelfSubjectAccessReview"
                | "SelfSubjectRulesReview"
        ) | ("authentication.k8s.io", "TokenReview" | "SelfSubjectReview")
    );
    if !known {
        return Ok(None);
    }
    let accepted = exchange.negotiate(false)?;
    let what = (&*scope.kind.group, &*scope.version, kind);
    let (mut object, options) = posted(exchange, scope, what).await?;
    own(exchange, scope, what, &options, &mut object);
    server.cache.fresh().await?;
    let mut answered = ask(server, exchange, kind, object)?;
    canonical::normalise(&scope.kind.schema, scope.row()?.object, &mut answered);
    Ok(Some(respond::object(201, &canonical::to_vec(&answered), &accepted, false)))
}

fn ask(
    server: &Server,
    exchange: &Exchange,
    kind: &str,
    object: Value,
) -> std::result::Result<Value, Status> {
    let user = &exchange.user;
    match kind {
        "TokenReview" => review::token(&server.issuer, object, exchange.now, &Objects(&server.cache)),
        "SelfSubjectReview" => Ok(review::self_subject(user, object, exchange.now)),
        _ => server.gate.with(|authorizer| match kind {
            "SubjectAccessReview" => review::subject_access(authorizer, object),
            "LocalSubjectAccessReview" => {
                review::local_subject_access(authorizer, &exchange.info.namespace, object)
            }
            "SelfSubjectAccessReview" => review::self_subject_access(authorizer, user, object),
            _ => review::self_subject_rules(authorizer, user, object),
        }),
    }
}
