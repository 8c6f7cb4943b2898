//! The keys of service account tokens: ECDSA on P-256. The newest signs, all verify, so
//! that a key can be changed while tokens of the old one live. Keys come in as PEM, as
//! other Kubernetes tools keep them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::SecureRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde_json::{Value, json};

/// What precedes the point in the DER form of a P-256 public key (RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT_BYTES: usize = 65;

/// Why text is no key. None of its words are the key's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not the PEM block that is needed.
    #[error("service account key: no PEM block `{0}`: give a P-256 key in that form")]
    NoBlock(&'static str),
    /// A block, but not of base64.
    #[error("service account key: the PEM block `{0}` is not base64: write the file again")]
    NotBase64(&'static str),
    /// Another kind of key.
    #[error("service account key: not an ECDSA key on P-256 ({0}): make one of that kind")]
    NotP256(String),
    /// The source of randomness failed.
    #[error("service account key: signing failed: the system gave no randomness")]
    NoRandomness,
}

/// A key that signs.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// Reads a PKCS #8 `PRIVATE KEY`. Randomness is asked for to blind signatures.
    pub fn from_pem(pem: &str, random: &dyn SecureRandom) -> Result<SigningKey, KeyError> {
        let der = block(pem, "PRIVATE KEY")?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, random)
            .map_err(|error| KeyError::NotP256(error.to_string()))?;
        let public = PublicKey::from_point(pair.public_key().as_ref())?;
        Ok(SigningKey { pair, public })
    }

    /// Its other half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8], random: &dyn SecureRandom) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(random, message).map_err(|_| KeyError::NoRandomness)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.public.id).finish_non_exhaustive()
    }
}

/// A key that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: String,
    point: Vec<u8>,
}

impl PublicKey {
    /// Reads a `PUBLIC KEY`.
    pub fn from_pem(pem: &str) -> Result<PublicKey, KeyError> {
        let der = block(pem, "PUBLIC KEY")?;
        match der.strip_prefix(&SPKI_PREFIX) {
            Some(point) => PublicKey::from_point(point),
            None => Err(KeyError::NotP256("another algorithm or curve".to_owned())),
        }
    }

    fn from_point(point: &[u8]) -> Result<PublicKey, KeyError> {
        if point.len() != POINT_BYTES || point.first() != Some(&4) {
            return Err(KeyError::NotP256("not an uncompressed point".to_owned()));
        }
        let der = [&SPKI_PREFIX[..], point].concat();
        Ok(PublicKey { id: URL_SAFE_NO_PAD.encode(digest(&SHA256, &der)), point: point.to_vec() })
    }

    /// The key's id in tokens' headers: a digest of its DER form.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point).verify(message, signature).is_ok()
    }

    fn jwk(&self) -> Value {
        let half = (POINT_BYTES - 1) / 2;
        let (x, y) = self.point[1..].split_at(half);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256", "x": x, "y": y})
    }
}

/// The key that signs and those that still verify.
#[derive(Debug)]
pub struct KeySet {
    signing: SigningKey,
    verifying: Vec<PublicKey>,
}

impl KeySet {
    /// The newest key, and older or other masters' keys whose tokens are still taken.
    pub fn new(newest: SigningKey, others: Vec<PublicKey>) -> KeySet {
        let mut verifying = vec![newest.public.clone()];
        for key in others {
            if verifying.iter().all(|known| known.id != key.id) {
                verifying.push(key);
            }
        }
        KeySet { signing: newest, verifying }
    }

    pub(super) fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The keys a token may be signed by: the one it names, or all if it names none.
    pub(super) fn of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a PublicKey> {
        self.verifying.iter().filter(move |key| id.is_empty() || key.id == id)
    }

    /// The document at `/openid/v1/jwks`.
    pub fn jwks(&self) -> Value {
        json!({"keys": self.verifying.iter().map(PublicKey::jwk).collect::<Vec<_>>()})
    }
}

/// The document at `/.well-known/openid-configuration`.
pub(super) fn openid_configuration(issuer: &str, jwks_uri: &str) -> Value {
    json!({
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    })
}

/// The bytes of the first PEM block of this label.
fn block(pem: &str, label: &'static str) -> Result<Vec<u8>, KeyError> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let body = pem.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end));
    let (body, _) = body.ok_or(KeyError::NoBlock(label))?;
    let packed: String = body.chars().filter(|symbol| !symbol.is_whitespace()).collect();
    STANDARD.decode(packed).map_err(|_| KeyError::NotBase64(label))
}
