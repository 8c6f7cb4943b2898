//! From evidence to a user: a client certificate that TLS has verified, or a bearer token.
//! Without evidence a request is anonymous, and that is enough for health and version only.

pub mod bearer;
pub mod certificate;

use api::status::Status;
use jiff::Timestamp;

use crate::User;
use crate::lookups::Lookups;
use crate::token::{Issuer, TokenError};

/// Where no evidence is needed. Policy still decides: `system:public-info-viewer`.
pub const OPEN_PATHS: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// What a request shows.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// The client certificate's user (see [`certificate::user`]), once per connection.
    pub certificate: Option<&'a User>,
    /// The bearer token (see [`bearer::of_header`] and [`bearer::of_protocols`]).
    pub token: Option<&'a str>,
    /// The path that is asked for.
    pub path: &'a str,
}

/// Who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// With `system:authenticated`, or anonymous.
    pub user: User,
    /// For audit: for how long the token should have been read anew.
    pub stale_seconds: Option<i64>,
}

/// Why it is nobody. The client is told [`Status::unauthorized`] and no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was shown, where something is needed.
    #[error("no credentials: show a client certificate or a bearer token")]
    NoEvidence,
    /// The token does not hold.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl From<Refusal> for Status {
    fn from(_: Refusal) -> Status {
        Status::unauthorized()
    }
}

/// Who makes a request. A certificate goes before a token; a token that does not hold is
/// never taken for no token.
pub fn authenticate(
    evidence: Evidence,
    issuer: &Issuer,
    now: Timestamp,
    objects: &dyn Lookups,
) -> Result<Authenticated, Refusal> {
    if let Some(user) = evidence.certificate {
        return Ok(Authenticated { user: user.clone().authenticated(), stale_seconds: None });
    }
    if let Some(token) = evidence.token {
        let verified = issuer.verify(token, &[], now, objects)?;
        let user = verified.user.authenticated();
        return Ok(Authenticated { user, stale_seconds: verified.stale_seconds });
    }
    if OPEN_PATHS.contains(&evidence.path) {
        return Ok(Authenticated { user: User::anonymous(), stale_seconds: None });
    }
    Err(Refusal::NoEvidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Objects, at, issuer};

    #[test]
    fn without_evidence_only_health_and_version_are_open() {
        let (issuer, objects) = (issuer(), Objects::default());
        let ask = |path: &str, token: Option<&str>| {
            let evidence = Evidence { path, token, certificate: None };
            authenticate(evidence, &issuer, at(0), &objects).map(|found| found.user)
        };
        for path in ["/healthz", "/livez", "/readyz", "/version"] {
            assert_eq!(ask(path, None), Ok(User::anonymous()), "{path}");
        }
        for path in ["/", "/api", "/apis", "/metrics", "/healthz/etcd", "/version/", "/openapi/v2"] {
            assert_eq!(ask(path, None), Err(Refusal::NoEvidence), "{path}");
        }
        assert_eq!(ask("/version", Some("junk")), Err(Refusal::Token(TokenError::Foreign)));
        assert_eq!(Status::from(Refusal::NoEvidence), Status::unauthorized());
    }

    #[test]
    fn a_certificate_s_user_is_authenticated() {
        let user = User::new("alice", &["devs"]);
        let evidence = Evidence { certificate: Some(&user), token: Some("junk"), path: "/api" };
        let found = authenticate(evidence, &issuer(), at(0), &Objects::default()).unwrap();
        assert_eq!(found.user.groups, ["devs", "system:authenticated"]);
    }
}
