//! The compact form of a signed token: three parts of base64url with dots between.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SecureRandom;
use serde_json::{Value, json};

use super::keys::{KeyError, SigningKey};

/// Longer than any token of ours; what is longer is not looked at.
const TOKEN_BYTES: usize = 16 * 1024;

/// A token taken apart, nothing of it verified.
pub(super) struct Parts<'a> {
    pub(super) header: Value,
    pub(super) payload: Value,
    /// What the signature is over.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
}

/// Takes a token apart; none if it is not one.
pub(super) fn split(token: &str) -> Option<Parts<'_>> {
    if token.len() > TOKEN_BYTES {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let parse = |part: &str| serde_json::from_slice::<Value>(&decode(part)?).ok().filter(Value::is_object);
    Some(Parts {
        header: parse(header)?,
        payload: parse(payload)?,
        signed: signed.as_bytes(),
        signature: decode(signature)?,
    })
}

/// Signs a payload.
pub(super) fn sign(payload: &Value, key: &SigningKey, random: &dyn SecureRandom) -> Result<String, KeyError> {
    let header = json!({"alg": "ES256", "kid": key.public().id()});
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&header), encode(payload));
    let signature = key.sign(signed.as_bytes(), random)?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
