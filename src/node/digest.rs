//! SHA-256 digests, the names of artifacts.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use base::ids::hex;
use ring::digest::{Context, SHA256};

/// A SHA-256 digest, written `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// The digest of everything that `from` has, and how many bytes that is. Blocks.
    pub(crate) fn of_reader(mut from: impl Read) -> std::io::Result<(Self, u64)> {
        let mut hasher = Hasher::new();
        let mut piece = vec![0; 256 * 1024];
        let mut total = 0;
        loop {
            let count = from.read(&mut piece)?;
            if count == 0 {
                return Ok((hasher.finish(), total));
            }
            hasher.update(&piece[..count]);
            total += u64::try_from(count).unwrap_or(u64::MAX);
        }
    }

    /// The 64 digits alone: an artifact's file name.
    pub fn hex(&self) -> &str {
        &self.0
    }
}

/// A digest in the making.
pub(crate) struct Hasher(Context);

impl Hasher {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(hex(self.0.finish().as_ref()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a digest: it is written sha256: and 64 lower-case hexadecimal digits")]
pub struct NotADigest(String);

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        match text.strip_prefix("sha256:") {
            Some(hex) if hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => {
                Ok(Self(hex.to_owned()))
            }
            _ => Err(NotADigest(text.to_owned())),
        }
    }
}
