//! What saving and restoring share: the digest that goes over every byte, and what is told of it.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use crate::{Revision, StoreError};

/// What was saved or restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The store's revision in it; zero where only the server knows.
    pub revision: Revision,
    /// Its size, digest included.
    pub bytes: u64,
    /// SHA-256 of all before the digest, hexadecimal.
    pub sha256: String,
}

/// Bytes of the digest at the end of a snapshot.
pub(crate) const DIGEST_BYTES: usize = 32;

/// Counts and digests what passes.
pub(crate) struct Digesting<T> {
    inner: T,
    digest: Sha256,
    bytes: u64,
}

impl<T> Digesting<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, digest: Sha256::new(), bytes: 0 }
    }

    /// The digest of all that passed, how much it was, and the other end.
    pub(crate) fn finish(self) -> ([u8; DIGEST_BYTES], u64, T) {
        (self.digest.finalize().into(), self.bytes, self.inner)
    }
}

impl<T: Write> Write for Digesting<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.digest.update(bytes.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Digesting<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(buffer.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }
}

pub(crate) fn bad(detail: impl Into<String>) -> StoreError {
    StoreError::BadSnapshot { detail: detail.into() }
}

/// A failed read or write of the snapshot itself.
pub(crate) fn stream_error(action: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |source| {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            return bad("it ends too early: it was not saved to its end, or not copied whole");
        }
        StoreError::File { action, path: "the snapshot".into(), source }
    }
}
