//! From a token to the service account it speaks for, or to why not.

use jiff::Timestamp;

use super::claims::LEEWAY;
use super::jwt::{self, Parts};
use super::{Bound, Claims, Issuer, Reference};
use crate::User;
use crate::lookups::{Identity, Lookups, What};
use crate::user::{
    EXTRA_CREDENTIAL_ID, EXTRA_NODE_NAME, EXTRA_NODE_UID, EXTRA_POD_NAME, EXTRA_POD_UID,
    service_account_groups, service_account_name,
};
use crate::words::quote_list;
use api::field_error::quote;

/// A token that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The service account, without `system:authenticated`.
    pub user: User,
    /// The asked-for audiences that the token is for.
    pub audiences: Vec<String>,
    /// For audit: how many seconds ago the token should have been read anew.
    pub stale_seconds: Option<i64>,
}

/// Why a token does not hold. The client is told only by TokenReview.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No token, or not one of this issuer's.
    #[error("invalid bearer token")]
    Foreign,
    /// It names a key that is not ours.
    #[error("invalid signature, no keys found")]
    UnknownKey,
    /// Forged, changed, or of another algorithm. The words are those of upstream's library.
    #[error("go-jose/go-jose: error in cryptographic primitive")]
    Signature,
    /// A claim is not of its type.
    #[error("invalid bearer token, its claims cannot be read")]
    Claims,
    /// It is for others.
    #[error("token audiences {} is invalid for the target audiences {}", quote_list(.0), quote_list(.1))]
    Audience(Vec<String>, Vec<String>),
    /// Its time is over.
    #[error("service account token has expired")]
    Expired,
    /// Its time has not come.
    #[error("service account token is not valid yet")]
    NotYet,
    /// Made by a clock that is ahead.
    #[error("service account token is issued in the future")]
    FromTheFuture,
    /// Its service account is gone.
    #[error("serviceaccounts {} not found", quote(.0))]
    NoAccount(String),
    /// Its service account is another of the same name.
    #[error("service account UID ({0}) does not match claim ({1})")]
    OtherAccount(String, String),
    /// Its service account is on its way out.
    #[error("service account {0} has been deleted")]
    AccountDeleted(String),
    /// What it is bound to is gone.
    #[error("service account token has been invalidated")]
    Invalidated,
    /// What it is bound to is another object of the same name.
    #[error("{0} UID ({1}) does not match service account {0} ref claim ({2})")]
    OtherObject(&'static str, String, String),
}

impl Issuer {
    /// Checks a token for one of the asked-for audiences (empty: the API server's own).
    pub fn verify(
        &self,
        token: &str,
        asked: &[String],
        now: Timestamp,
        objects: &dyn Lookups,
    ) -> Result<Verified, TokenError> {
        let parts = jwt::split(token).ok_or(TokenError::Foreign)?;
        let claims = self.signed_claims(&parts)?;
        let audiences = self.audiences_of(&claims, asked)?;
        check_times(&claims, now)?;
        check_objects(&claims, now, objects)?;
        let stale_seconds = claims.warn_after.map(|after| now.as_second() - after).filter(|late| *late > 0);
        Ok(Verified { user: user(&claims), audiences, stale_seconds })
    }

    /// The claims, once issuer and signature are known to be ours.
    fn signed_claims(&self, parts: &Parts) -> Result<Claims, TokenError> {
        let issuer = parts.payload.get("iss").and_then(|issuer| issuer.as_str()).unwrap_or_default();
        if !self.issued(issuer) {
            return Err(TokenError::Foreign);
        }
        let named =
            |field: &str| parts.header.get(field).and_then(|value| value.as_str()).unwrap_or_default();
        // An extension that must be understood is not understood here.
        if named("alg") != "ES256" || parts.header.get("crit").is_some() {
            return Err(TokenError::Signature);
        }
        let mut keys = self.keys.of(named("kid")).peekable();
        if keys.peek().is_none() {
            return Err(TokenError::UnknownKey);
        }
        if !keys.any(|key| key.verifies(parts.signed, &parts.signature)) {
            return Err(TokenError::Signature);
        }
        Claims::from_value(&parts.payload).ok_or(TokenError::Claims)
    }

    fn audiences_of(&self, claims: &Claims, asked: &[String]) -> Result<Vec<String>, TokenError> {
        let asked = if asked.is_empty() { &self.audiences } else { asked };
        let own = if claims.audiences.is_empty() { &self.audiences } else { &claims.audiences };
        let common: Vec<String> = own.iter().filter(|audience| asked.contains(audience)).cloned().collect();
        if common.is_empty() {
            return Err(TokenError::Audience(own.clone(), asked.to_vec()));
        }
        Ok(common)
    }
}

fn check_times(claims: &Claims, now: Timestamp) -> Result<(), TokenError> {
    let (now, leeway) = (now.as_second(), LEEWAY.as_secs());
    if claims.not_before.is_some_and(|from| now.saturating_add(leeway) < from) {
        return Err(TokenError::NotYet);
    }
    if claims.expires.is_some_and(|until| now.saturating_sub(leeway) > until) {
        return Err(TokenError::Expired);
    }
    if claims.issued.is_some_and(|at| now.saturating_add(leeway) < at) {
        return Err(TokenError::FromTheFuture);
    }
    Ok(())
}

fn check_objects(claims: &Claims, now: Timestamp, objects: &dyn Lookups) -> Result<(), TokenError> {
    let (namespace, account) = (&claims.namespace, &claims.account);
    let found = objects.identity(What::ServiceAccount, namespace, &account.name);
    let found = found.ok_or_else(|| TokenError::NoAccount(account.name.clone()))?;
    if found.uid != account.uid {
        return Err(TokenError::OtherAccount(found.uid, account.uid.clone()));
    }
    if is_gone(&found, now) {
        return Err(TokenError::AccountDeleted(format!("{namespace}/{}", account.name)));
    }
    let check = |what: What, word: &'static str, namespace: &str, bound: &Reference| {
        let found = objects.identity(what, namespace, &bound.name).ok_or(TokenError::Invalidated)?;
        match found.uid == bound.uid {
            false => Err(TokenError::OtherObject(word, found.uid, bound.uid.clone())),
            true if is_gone(&found, now) => Err(TokenError::Invalidated),
            true => Ok(()),
        }
    };
    match &claims.bound {
        Bound::None => Ok(()),
        Bound::Secret(secret) => check(What::Secret, "secret", namespace, secret),
        Bound::Pod(pod, _) => check(What::Pod, "pod", namespace, pod),
        Bound::Node(node) => check(What::Node, "node", "", node),
    }
}

/// Deleted, and not only a moment ago by a clock that may be ahead.
fn is_gone(found: &Identity, now: Timestamp) -> bool {
    let deleted = |at: Timestamp| now.duration_since(at) > LEEWAY;
    found.deleted.is_some_and(deleted)
}

fn user(claims: &Claims) -> User {
    let mut user = User {
        name: service_account_name(&claims.namespace, &claims.account.name),
        uid: claims.account.uid.clone(),
        groups: service_account_groups(&claims.namespace),
        ..User::default()
    };
    let (pod, node) = match &claims.bound {
        Bound::Pod(pod, node) => (Some(pod), node.as_ref()),
        Bound::Node(node) => (None, Some(node)),
        Bound::None | Bound::Secret(_) => (None, None),
    };
    let mut put = |key: &str, value: &str| {
        if !value.is_empty() {
            user.extra.insert(key.to_owned(), vec![value.to_owned()]);
        }
    };
    if !claims.id.is_empty() {
        put(EXTRA_CREDENTIAL_ID, &format!("JTI={}", claims.id));
    }
    if let Some(pod) = pod {
        put(EXTRA_POD_NAME, &pod.name);
        put(EXTRA_POD_UID, &pod.uid);
    }
    if let Some(node) = node {
        put(EXTRA_NODE_NAME, &node.name);
        put(EXTRA_NODE_UID, &node.uid);
    }
    user
}
