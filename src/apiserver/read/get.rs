//! GET of one object.

use api::status::Status;

use crate::exchange::{Exchange, Scope};
use crate::http::Response;
use crate::http::accept::Shape;
use crate::options::{At, get_version};
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;

/// Answers with the object.
pub async fn get(server: &Server, exchange: &Exchange, scope: &Scope) -> Result<Response> {
    let accepted = exchange.negotiate(true)?;
    if matches!(accepted.shape, Shape::MetadataList(_)) {
        let package = if scope.kind.group.is_empty() {
            "core"
        } else {
            scope.kind.group.split('.').next().unwrap_or_default()
        };
        let says = format!(
            "you requested PartialObjectMetadataList, but the requested object is not a list (*{package}.{})",
            scope.kind.kind
        );
        return Err(Refusal::plain(406, "NotAcceptable", says));
    }
    let view = exchange.view(server, scope, &accepted)?;
    match get_version(&exchange.query)? {
        At::Latest => server.cache.fresh().await.map(drop)?,
        At::NotOlder(version) | At::Exact(version) => server.cache.wait_for(version).await.map(drop)?,
        At::Any => {}
    }
    let info = &exchange.info;
    let entry = scope.shelf.get(&scope.key(&info.namespace, &info.name));
    let entry = entry.ok_or_else(|| Status::not_found(scope.kind.resource(), &info.name))?;
    Ok(respond::object(200, &view.one(entry.bytes()), &accepted, exchange.takes_gzip()))
}
