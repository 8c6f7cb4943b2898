//! Continue tokens: where a list goes on, and at which revision.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use store::Revision;

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The revision of the first page; none: the newest, whatever happened since.
    pub revision: Option<Revision>,
    /// The last key that was shown.
    pub after: String,
}

const VERSION: &str = "meta.k8s.io/v1";
/// Go's decoder does not mind bits that are left over.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

impl Token {
    /// As clients carry it.
    #[must_use]
    pub fn encode(&self) -> String {
        let revision = self.revision.map_or(json!(-1), |revision| json!(revision.0));
        let token = json!({"v": VERSION, "rv": revision, "start": format!("{}\0", self.after)});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    /// Reads one, refusing in upstream's words what this server did not write.
    pub fn decode(text: &str) -> Result<Self, String> {
        let said = |what: &str| Err(format!("invalid continue token: continue key is not valid{what}"));
        let Ok(bytes) = LENIENT.decode(text) else {
            let at = text.bytes().position(|b| !(b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            let at = at.unwrap_or(text.len());
            return said(&format!(": illegal base64 data at input byte {at}"));
        };
        let Ok(token) = serde_json::from_slice::<Value>(&bytes) else {
            let first = bytes.first().copied().map_or('\0', char::from);
            let shown =
                if first.is_control() { format!("\\u{:04x}", u32::from(first)) } else { first.to_string() };
            return said(&format!(": invalid character '{shown}' looking for beginning of value"));
        };
        if token["v"] != VERSION {
            let version = token["v"].as_str().unwrap_or_default();
            return said(&format!(": server does not recognize this encoded version {version}"));
        }
        let revision = match token["rv"].as_i64() {
            None | Some(0) => {
                return said(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
            }
            Some(negative) if negative < 0 => None,
            Some(revision) => Some(Revision(revision.unsigned_abs())),
        };
        let start = token["start"].as_str().unwrap_or_default();
        if start.is_empty() {
            return said(": encoded start key empty (version meta.k8s.io/v1)");
        }
        let climbs = start.split('/').any(|part| matches!(part, "" | "." | ".."));
        if climbs {
            return said(&format!(": {start}"));
        }
        Ok(Self { revision, after: start.trim_end_matches('\0').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went() {
        for revision in [Some(Revision(12)), None] {
            let token = Token { revision, after: "default/web-1".to_owned() };
            assert_eq!(Token::decode(&token.encode()), Ok(token));
        }
    }

    #[test]
    fn tokens_of_others_are_refused() {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let cases = [
            (
                "!".to_owned(),
                "invalid continue token: continue key is not valid: illegal base64 data at input byte 0",
            ),
            (
                encode("{\"v\":\"x\"}"),
                "invalid continue token: continue key is not valid: server does not recognize this encoded version x",
            ),
            (
                encode("{\"v\":\"meta.k8s.io/v1\",\"rv\":0}"),
                "invalid continue token: continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            ),
            (
                encode("{\"v\":\"meta.k8s.io/v1\",\"rv\":1}"),
                "invalid continue token: continue key is not valid: encoded start key empty (version meta.k8s.io/v1)",
            ),
            (
                encode("{\"v\":\"meta.k8s.io/v1\",\"rv\":1,\"start\":\"../x\"}"),
                "invalid continue token: continue key is not valid: ../x",
            ),
        ];
        for (token, expected) in cases {
            assert_eq!(Token::decode(&token).expect_err("refused"), expected);
        }
    }
}
