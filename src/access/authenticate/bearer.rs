//! The bearer token of a request: in the Authorization header, or, where a browser cannot
//! set one, among a WebSocket's subprotocols.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// The token of an Authorization header; none where the header is of another scheme or empty.
pub fn of_header(authorization: &str) -> Option<&str> {
    let mut parts = authorization.trim().splitn(3, ' ');
    let scheme = parts.next()?;
    let token = parts.next()?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Why a WebSocket's subprotocols hold no token that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Two tokens.
    #[error("multiple base64.bearer.authorization tokens specified")]
    Several,
    /// Not base64url without padding.
    #[error("invalid base64.bearer.authorization token encoding")]
    Encoding,
    /// Not text.
    #[error("invalid base64.bearer.authorization token")]
    NotText,
    /// Nothing else is asked for, so nothing could be answered.
    #[error("missing additional subprotocol")]
    Alone,
}

/// The token among the subprotocols that a WebSocket handshake asks for, and the others
/// in their order, which are what may be answered.
pub fn of_protocols<'a>(
    headers: impl Iterator<Item = &'a str>,
) -> Result<(Option<String>, Vec<&'a str>), ProtocolError> {
    let (mut token, mut others) = (None, Vec::new());
    for protocol in headers.flat_map(|header| header.split(',')).map(str::trim) {
        let Some(encoded) = protocol.strip_prefix(PROTOCOL) else {
            others.push(protocol);
            continue;
        };
        if token.is_some() {
            return Err(ProtocolError::Several);
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| ProtocolError::Encoding)?;
        token = Some(String::from_utf8(bytes).map_err(|_| ProtocolError::NotText)?);
    }
    let token = token.filter(|token| !token.is_empty());
    if token.is_some() && others.is_empty() {
        return Err(ProtocolError::Alone);
    }
    Ok((token, others))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_gives_its_token() {
        for (header, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("  Bearer abc rest", Some("abc")),
            ("Bearer", None),
            ("Bearer  abc", None),
            ("Basic abc", None),
            ("", None),
        ] {
            assert_eq!(of_header(header), expected, "{header:?}");
        }
    }

    #[test]
    fn a_websocket_gives_its_token_and_the_protocols_to_answer_with() {
        let own = format!("{PROTOCOL}{}", URL_SAFE_NO_PAD.encode("abc"));
        let ask = |headers: &[&str]| {
            let found = of_protocols(headers.iter().copied());
            found.map(|(token, others)| (token, others.join("+")))
        };
        assert_eq!(ask(&["v5.channel.k8s.io"]), Ok((None, "v5.channel.k8s.io".to_owned())));
        assert_eq!(ask(&[&format!("a, {own}"), "b"]), Ok((Some("abc".to_owned()), "a+b".to_owned())));
        assert_eq!(ask(&[&own]), Err(ProtocolError::Alone));
        assert_eq!(ask(&[&own, &own, "a"]), Err(ProtocolError::Several));
        assert_eq!(ask(&[&format!("{PROTOCOL}=, a")]), Err(ProtocolError::Encoding));
        assert_eq!(ask(&[&format!("{PROTOCOL}_w, a")]), Err(ProtocolError::NotText));
    }
}
