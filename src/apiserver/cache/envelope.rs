//! How a value lies in the store: a short head, then canonical JSON without a resourceVersion.
//!
//! The head is `k8`, one byte of format, one byte for later use (zero) and the schema's epoch
//! (32 bits, little endian): a later release that changes a kind's canonical form raises the
//! epoch and converts older values when it reads them.

use bytes::Bytes;

/// The format written.
const FORMAT: u8 = 1;
const MAGIC: [u8; 2] = *b"k8";
/// Bytes of the head.
pub const HEAD: usize = 8;
/// The epoch of the schemas of this build.
pub const EPOCH: u32 = 1;

/// A value that is not one of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// No head.
    #[error("the value does not begin with this program's head: another program wrote to the store")]
    Foreign,
    /// A format of a later release.
    #[error(
        "the value has format {0}, and this release reads {FORMAT}: run the release that wrote it, or a later one"
    )]
    Later(u8),
}

/// Puts the head before an object's bytes.
#[must_use]
pub fn seal(json: &[u8]) -> Bytes {
    let mut value = Vec::with_capacity(HEAD + json.len());
    value.extend_from_slice(&MAGIC);
    value.extend_from_slice(&[FORMAT, 0]);
    value.extend_from_slice(&EPOCH.to_le_bytes());
    value.extend_from_slice(json);
    value.into()
}

/// The object's bytes, and the epoch they were written in.
pub fn open(value: &Bytes) -> Result<(Bytes, u32), EnvelopeError> {
    match value.get(..HEAD) {
        Some(&[m, n, format, _, a, b, c, d]) if [m, n] == MAGIC => {
            if format != FORMAT {
                return Err(EnvelopeError::Later(format));
            }
            Ok((value.slice(HEAD..), u32::from_le_bytes([a, b, c, d])))
        }
        _ => Err(EnvelopeError::Foreign),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_and_nothing_else() {
        assert_eq!(open(&seal(b"{}")), Ok((Bytes::from_static(b"{}"), EPOCH)));
        assert_eq!(open(&Bytes::from_static(b"k8s\0\n\x0c")), Err(EnvelopeError::Foreign));
        assert_eq!(open(&Bytes::from_static(b"k8\x09\0\0\0\0\0{}")), Err(EnvelopeError::Later(9)));
        assert_eq!(open(&Bytes::new()), Err(EnvelopeError::Foreign));
    }
}
