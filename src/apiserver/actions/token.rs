//! `serviceaccounts/token`: a token for a service account.

use access::admission::Operation;
use access::token::request::Ask;
use api::canonical;

use super::{own, posted};
use crate::exchange::{Exchange, Scope};
use crate::gate::objects::Objects;
use crate::http::Response;
use crate::refusal::Result;
use crate::respond;
use crate::server::Server;
use crate::write::steps::Steps;

/// Answers with the request and its token.
pub async fn create(server: &Server, exchange: &Exchange, scope: &Scope) -> Result<Response> {
    const KIND: (&str, &str, &str) = ("authentication.k8s.io", "v1", "TokenRequest");
    let accepted = exchange.negotiate(false)?;
    let (mut request, options) = posted(exchange, scope, KIND).await?;
    own(exchange, scope, KIND, &options, &mut request);
    server.cache.fresh().await?;
    let stamp = exchange.stamp();
    let steps =
        Steps { server, exchange, scope, part: None, subresource: "token", options: &options, stamp: &stamp };
    steps.admit(Operation::Create, &mut request, None)?;
    let info = &exchange.info;
    let id = server.uid();
    let ask = Ask {
        namespace: &info.namespace,
        account: &info.name,
        request: &request,
        id: &id,
        now: exchange.now,
    };
    let mut granted = server.issuer.request(&ask, &Objects(&server.cache), &server.random)?;
    granted.warnings.drain(..).for_each(|warning| exchange.warn(warning));
    api::meta::restore(&mut granted.object, &request, "metadata.managedFields");
    let (group, version, kind) = KIND;
    if let Some(ty) = scope.kind.schema.find_kind(group, version, kind) {
        canonical::normalise(&scope.kind.schema, ty, &mut granted.object);
    }
    Ok(respond::object(201, &canonical::to_vec(&granted.object), &accepted, false))
}
