//! Who asks: evidence off the connection and the headers, and whom a request acts as.

use access::authenticate::{Evidence, authenticate as judge, bearer, certificate};
use access::lookups::Lookups;
use access::token::Issuer;
use access::{Attributes, Authorizer, User, impersonate};
use api::status::Status;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use jiff::Timestamp;

use crate::http::Peer;
use crate::refusal::Result;

/// Headers by which a request acts as another; nothing behind the gate sees them.
const IMPERSONATE: &str = "impersonate-";

/// Finds the user. Evidence that does not hold is refused, as is none where some is needed.
pub fn authenticate(
    peer: &Peer,
    headers: &HeaderMap,
    path: &str,
    issuer: &Issuer,
    objects: &dyn Lookups,
    now: Timestamp,
) -> Result<User> {
    let shown = match peer.certificate.as_deref().map(certificate::user) {
        Some(Ok(user)) => user,
        Some(Err(error)) => {
            tracing::debug!(%error, "a certificate is refused");
            return Err(Status::unauthorized().into());
        }
        None => None,
    };
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let protocols = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let of_protocols = bearer::of_protocols(protocols).ok().and_then(|(token, _)| token);
    let token = bearer::of_header(header).or(of_protocols.as_deref());
    if peer.strange_certificate && shown.is_none() && token.is_none() {
        return Err(Status::unauthorized().into());
    }
    let evidence = Evidence { certificate: shown.as_ref(), token, path };
    match judge(evidence, issuer, now, objects) {
        Ok(found) => Ok(found.user),
        Err(refusal) => {
            tracing::debug!(%refusal, path, "a request is not authenticated");
            Err(Status::from(refusal).into())
        }
    }
}

/// Whom a request's headers ask to act as.
pub fn wanted(headers: &HeaderMap) -> Result<Option<User>> {
    Ok(impersonate::wanted(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))?)
}

/// Acts as another, where the user may; the headers are gone afterwards.
pub fn act_as(authorizer: &Authorizer, user: &User, wanted: &User, asked: &Attributes<'_>) -> Result<User> {
    Ok(impersonate::impersonate(authorizer, user, wanted, asked)?.user)
}

/// Drops the headers that ask to act as another.
pub fn drop_headers(headers: &mut HeaderMap) {
    let names: Vec<_> =
        headers.keys().filter(|name| name.as_str().starts_with(IMPERSONATE)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}
