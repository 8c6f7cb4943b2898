//! Base64 as Go's JSON has it: the standard alphabet, padded, line breaks in the input ignored.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Input that is not base64; the words are Go's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("illegal base64 data at input byte {0}")]
pub struct CorruptInput(pub usize);

/// Reads base64.
///
/// # Errors
/// The place of the first byte that does not belong there.
pub fn decode(text: &str) -> Result<Vec<u8>, CorruptInput> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let mut group = [0_u8; 4];
    let mut filled = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        at += 1;
        match digit(byte) {
            Some(value) => {
                group[filled] = value;
                filled += 1;
                if filled == 4 {
                    push(&mut out, group, 3);
                    filled = 0;
                }
            }
            None if byte == b'\n' || byte == b'\r' => {}
            None if byte == b'=' => return padding(bytes, at, &mut out, group, filled).map(|()| out),
            None => return Err(CorruptInput(at - 1)),
        }
    }
    if filled > 0 { Err(CorruptInput(at - filled)) } else { Ok(out) }
}

/// Checks what stands from the first `=` on, which is before `at`, and adds the last group.
fn padding(
    bytes: &[u8],
    at: usize,
    out: &mut Vec<u8>,
    group: [u8; 4],
    filled: usize,
) -> Result<(), CorruptInput> {
    let skip = |mut at: usize| {
        while matches!(bytes.get(at), Some(b'\n' | b'\r')) {
            at += 1;
        }
        at
    };
    let mut next = at;
    match filled {
        0 | 1 => return Err(CorruptInput(at - 1)),
        2 => {
            next = skip(next);
            match bytes.get(next) {
                None => return Err(CorruptInput(bytes.len())),
                Some(b'=') => next += 1,
                Some(_) => return Err(CorruptInput(next - 1)),
            }
        }
        _ => {}
    }
    next = skip(next);
    if next < bytes.len() {
        return Err(CorruptInput(next));
    }
    let mut last = [0; 4];
    last[..filled].copy_from_slice(&group[..filled]);
    push(out, last, filled - 1);
    Ok(())
}

fn push(out: &mut Vec<u8>, group: [u8; 4], count: usize) {
    let word = group.iter().fold(0_u32, |word, six| word << 6 | u32::from(*six));
    out.extend_from_slice(&word.to_be_bytes()[1..=count]);
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Writes base64.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4_usize {
            let six = (word >> (18 - 6 * at) & 63) as usize;
            out.push(if at <= chunk.len() { char::from(ALPHABET[six]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_base64_is_refused_at_the_place_that_go_names() {
        for (text, expect) in [
            ("!", Err(CorruptInput(0))),
            ("YQ", Err(CorruptInput(0))),
            ("YQ=", Err(CorruptInput(3))),
            ("YQ==x", Err(CorruptInput(4))),
            ("=", Err(CorruptInput(0))),
            ("Y Q=", Err(CorruptInput(1))),
            ("YWJj", Ok(b"abc".to_vec())),
            ("YW\nI=", Ok(b"ab".to_vec())),
            ("YQ==\n", Ok(b"a".to_vec())),
            ("", Ok(Vec::new())),
            ("hello", Err(CorruptInput(4))),
        ] {
            assert_eq!(decode(text), expect, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_answered(text in "[A-Za-z=\n!]{0,24}") {
            let _ = decode(&text);
        }
    }
}
