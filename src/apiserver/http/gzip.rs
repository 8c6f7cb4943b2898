//! Compression of large answers, as upstream does it: above 128 KiB, where gzip is accepted.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Smaller answers are sent as they are.
pub const THRESHOLD: usize = 128 * 1024;
/// Upstream's level: little work, most of the gain.
const LEVEL: u32 = 1;

/// Whether a request's `Accept-Encoding` names gzip.
#[must_use]
pub fn accepted(header: Option<&str>) -> bool {
    let wants = |part: &str| {
        let (coding, rest) = part.split_once(';').unwrap_or((part, ""));
        coding.trim().eq_ignore_ascii_case("gzip")
            && !rest.replace(' ', "").starts_with("q=0;")
            && rest.trim() != "q=0"
    };
    header.is_some_and(|header| header.split(',').any(wants))
}

/// The bytes, compressed.
#[must_use]
pub fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::new(LEVEL));
    // Writing into memory does not fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}

/// The bytes of what [`compress`] made.
#[must_use]
pub fn expand(packed: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(packed.len() * 8);
    // What this program packed can be unpacked.
    let _ = flate2::read::GzDecoder::new(packed).read_to_end(&mut out);
    out
}

/// Compresses piece by piece.
pub struct Packer(GzEncoder<Vec<u8>>);

impl Default for Packer {
    fn default() -> Self {
        Self(GzEncoder::new(Vec::new(), Compression::new(LEVEL)))
    }
}

impl Packer {
    /// What is ready once `piece` was added; with the last piece, the rest of it.
    pub fn pack(&mut self, piece: &[u8], last: bool) -> Bytes {
        // Writing into memory does not fail.
        let _ = self.0.write_all(piece);
        if last {
            let _ = self.0.try_finish();
        }
        std::mem::take(self.0.get_mut()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_who_accepts_it() {
        assert!(accepted(Some("gzip")) && accepted(Some("deflate, gzip;q=0.5")));
        assert!(!accepted(None) && !accepted(Some("deflate")) && !accepted(Some("gzip;q=0")));
        let packed = compress(b"what goes in comes out");
        assert_eq!(expand(&packed), b"what goes in comes out");
    }
}
