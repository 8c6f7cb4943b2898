//! DELETE of a collection: every object that a list would show, each by itself.

use api::table::ListMeta;
use futures::{StreamExt as _, stream};

use super::commit::Done;
use super::delete::{DeleteOptions, remove};
use crate::exchange::{Exchange, Scope};
use crate::http::Response;
use crate::options::ListOptions;
use crate::read::filter::Filter;
use crate::read::list;
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;

/// Deletions under way at once.
const WORKERS: usize = 8;

/// Answers with the list of what was deleted, as upstream does.
pub async fn delete(server: &Server, exchange: &Exchange, scope: &Scope) -> Result<Response> {
    let accepted = exchange.negotiate(true)?;
    let view = exchange.view(server, scope, &accepted)?;
    let listing = ListOptions::of_list(&exchange.query)?;
    let options = DeleteOptions::of(exchange).await?;
    options.warn(exchange, scope);
    let filter = Filter::new(&scope.kind, &exchange.info.namespace, "", listing.labels, listing.fields)?;
    let (entries, revision) = list::all(server, scope, &filter).await?;
    let places: Vec<_> =
        entries.iter().map(|entry| (entry.namespace().to_owned(), entry.name().to_owned())).collect();
    let options = &options;
    let deletions = places.into_iter().map(|(namespace, name)| async move {
        remove(server, exchange, scope, &namespace, &name, options).await
    });
    let results: Vec<Result<Done>> = stream::iter(deletions).buffer_unordered(WORKERS).collect().await;
    for result in results {
        match result {
            Err(Refusal(status)) if status.code != 404 => return Err(Refusal(status)),
            _ => {}
        }
    }
    let meta = ListMeta { resource_version: revision.to_string(), ..ListMeta::default() };
    let mut out = view.list_head(&meta);
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        view.push_item(&mut out, entry);
    }
    out.extend_from_slice(view.list_tail());
    Ok(respond::object(200, &out, &accepted, exchange.takes_gzip()))
}
