//! Who issues tokens and for whom: the settings that signing, verifying and the two
//! discovery documents share.

use ring::rand::SecureRandom;
use serde_json::Value;

use super::Claims;
use super::jwt;
use super::keys::{KeyError, KeySet, openid_configuration};

/// A cluster's token issuer.
#[derive(Debug)]
pub struct Issuer {
    /// The `iss` of tokens: an https URL.
    pub url: String,
    /// Issuers whose tokens are taken too, while the URL is being changed.
    pub former_urls: Vec<String>,
    /// What the API server calls itself; a token that names no audience gets these.
    pub audiences: Vec<String>,
    /// The keys.
    pub keys: KeySet,
    /// No token lives longer, in seconds; what asks for more is shortened, with a warning.
    pub longest_seconds: Option<i64>,
    /// Whether pods' own tokens, which ask for 3607 seconds, live a year and only warn
    /// after an hour, for clients that never read them again. Upstream's default is yes.
    pub extend: bool,
}

impl Issuer {
    /// An issuer that is its own audience, with upstream's defaults.
    pub fn new(url: &str, keys: KeySet) -> Issuer {
        Issuer {
            url: url.to_owned(),
            former_urls: Vec::new(),
            audiences: vec![url.to_owned()],
            keys,
            longest_seconds: None,
            extend: true,
        }
    }

    /// The document at `/openid/v1/jwks`.
    pub fn jwks(&self) -> Value {
        self.keys.jwks()
    }

    /// The document at `/.well-known/openid-configuration`. The address is where this
    /// server is reached, host and port.
    pub fn openid_configuration(&self, address: &str) -> Value {
        openid_configuration(&self.url, &format!("https://{address}/openid/v1/jwks"))
    }

    /// A token of these claims. Randomness is an argument, as time is.
    pub fn sign(&self, claims: &Claims, random: &dyn SecureRandom) -> Result<String, KeyError> {
        jwt::sign(&claims.to_value(), self.keys.signing(), random)
    }

    pub(super) fn issued(&self, url: &str) -> bool {
        self.url == url || self.former_urls.iter().any(|former| former == url)
    }
}
