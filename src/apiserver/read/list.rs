//! GET of a collection: a snapshot of the cache, filtered, in pages.

use std::sync::Arc;

use api::status::Status;
use api::table::ListMeta;
use store::Revision;

use super::filter::Filter;
use super::token::Token;
use crate::cache::{Entry, feed::PREFIX};
use crate::exchange::{Exchange, Scope};
use crate::http::Response;
use crate::http::accept::Form;
use crate::options::{At, ListOptions};
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;

/// What a page holds.
struct Page {
    entries: Vec<Arc<Entry>>,
    meta: ListMeta,
}

/// Answers with the list.
pub async fn list(server: &Server, exchange: &Exchange, scope: &Scope) -> Result<Response> {
    let accepted = exchange.negotiate(true)?;
    let view = exchange.view(server, scope, &accepted)?;
    let options = ListOptions::of_list(&exchange.query)?;
    let info = &exchange.info;
    let (labels, fields) = (options.labels.clone(), options.fields.clone());
    let filter = Filter::new(&scope.kind, &info.namespace, "", labels, fields)?;
    let page = page(server, scope, &options, &filter).await?;

    let mut items = page.entries.into_iter();
    let mut head = Some(view.list_head(&page.meta));
    let mut next = move |out: &mut Vec<u8>| {
        let first = head.take();
        let is_first = first.is_some();
        if let Some(head) = first {
            out.extend_from_slice(&head);
        }
        let Some(entry) = items.next() else {
            out.extend_from_slice(view.list_tail());
            return false;
        };
        if !is_first {
            out.push(b',');
        }
        view.push_item(out, &entry);
        true
    };
    if accepted.form == Form::Json && !accepted.pretty {
        return Ok(respond::pieces(exchange.takes_gzip(), next));
    }
    let mut whole = Vec::new();
    while next(&mut whole) {}
    Ok(respond::object(200, &whole, &accepted, exchange.takes_gzip()))
}

/// All entries that a filter shows, newest; and the revision they were read at.
pub async fn all(server: &Server, scope: &Scope, filter: &Filter) -> Result<(Vec<Arc<Entry>>, Revision)> {
    let reached = server.cache.fresh().await?;
    Ok(newest(scope, filter, reached))
}

fn newest(scope: &Scope, filter: &Filter, reached: Revision) -> (Vec<Arc<Entry>>, Revision) {
    if let Some(key) = &filter.key {
        let changed = scope.shelf.changed();
        let entry = scope.shelf.get(key).filter(|entry| filter.selects(entry));
        let revision = entry.as_ref().map_or(reached, |entry| entry.revision.max(reached).max(changed));
        return (entry.into_iter().collect(), revision);
    }
    let snapshot = scope.shelf.list(&filter.prefix);
    let mut entries = snapshot.entries;
    if !filter.is_empty() {
        entries.retain(|entry| filter.selects(entry));
    }
    (entries, reached.max(snapshot.changed))
}

async fn page(server: &Server, scope: &Scope, options: &ListOptions, filter: &Filter) -> Result<Page> {
    let token =
        options.continue_token.as_deref().map(Token::decode).transpose().map_err(Status::bad_request)?;
    let exact = match (&token, options.at) {
        (Some(token), _) => token.revision,
        (None, At::Exact(revision)) => Some(revision),
        _ => None,
    };
    let reached = match (exact, options.at) {
        (Some(revision), _) => server.cache.wait_for(revision).await?,
        (None, At::Latest) => server.cache.fresh().await?,
        (None, At::NotOlder(revision)) => server.cache.wait_for(revision).await?,
        (None, _) => server.cache.reached(),
    };
    let after = token.map(|token| token.after).unwrap_or_default();
    if exact.is_none() && after.is_empty() && options.limit == 0 {
        let (entries, revision) = newest(scope, filter, reached);
        let meta = ListMeta { resource_version: revision.to_string(), ..ListMeta::default() };
        return Ok(Page { entries, meta });
    }
    let revision = exact.unwrap_or_else(|| reached.max(scope.shelf.changed()));
    let limit = if options.limit == 0 { usize::MAX } else { options.limit };
    let (entries, more) = collect(server, scope, filter, &after, limit, revision).await?;
    let mut meta = ListMeta { resource_version: revision.to_string(), ..ListMeta::default() };
    if let Some(last) = entries.last().filter(|_| more) {
        meta.continue_token = Token { revision: Some(revision), after: last.key.to_string() }.encode();
        if filter.is_empty() {
            meta.remaining = Some(scope.shelf.count_after(&filter.prefix, &last.key) as u64);
        }
    }
    Ok(Page { entries, meta })
}

/// At most `limit` entries that the filter shows, as of a revision, and whether there are more.
async fn collect(
    server: &Server,
    scope: &Scope,
    filter: &Filter,
    after: &str,
    limit: usize,
    revision: Revision,
) -> Result<(Vec<Arc<Entry>>, bool)> {
    let mut found: Vec<Arc<Entry>> = Vec::new();
    let mut after = after.to_owned();
    loop {
        let want = limit.saturating_sub(found.len()).saturating_add(1);
        let kept = scope.shelf.list_at(&filter.prefix, &after, want, revision);
        let (page, more) = match kept {
            Some(page) => page,
            None => (stored(server, scope, filter, &after, revision).await?, false),
        };
        let last = page.last().map(|entry| entry.key.to_string());
        found.extend(page.into_iter().filter(|entry| filter.shows(entry)));
        if found.len() > limit {
            found.truncate(limit);
            return Ok((found, true));
        }
        match last {
            Some(last) if more => after = last,
            _ => return Ok((found, false)),
        }
    }
}

/// The rest of a list at a revision that the cache does not reach back to.
async fn stored(
    server: &Server,
    scope: &Scope,
    filter: &Filter,
    after: &str,
    revision: Revision,
) -> Result<Vec<Arc<Entry>>> {
    let prefix = format!("{PREFIX}{}/", scope.kind.stored.key);
    let read = server.cache.entries(&prefix, revision).await;
    let entries = read.map_err(|error| {
        if error.is_compacted() && !after.is_empty() { expired(after) } else { Refusal::from(error) }
    })?;
    let wanted = |entry: &Entry| *entry.key > *after && entry.key.starts_with(&filter.prefix);
    Ok(entries.into_iter().filter(wanted).map(Arc::new).collect())
}

/// The answer to a token whose revision is gone: another one goes on at the newest.
fn expired(after: &str) -> Refusal {
    let status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let token = Token { revision: None, after: after.to_owned() }.encode();
    Status { continue_token: token, ..status }.into()
}
