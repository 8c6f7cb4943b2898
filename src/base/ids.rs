//! Random identifiers as a seam, so that tests see the same ones every time.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of identifiers that nobody else will draw.
pub trait Ids: Send + Sync {
    /// 32 lower-case hexadecimal digits (128 bits).
    fn next(&self) -> String;
}

/// The operating system's randomness.
#[derive(Debug, Default, Clone, Copy)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn next(&self) -> String {
        let mut bytes = [0_u8; 16];
        if let Err(error) = getrandom::fill(&mut bytes) {
            panic!("the operating system gave no randomness: {error}");
        }
        hex(&bytes)
    }
}

/// Identifiers that count up from a seed: for tests.
#[derive(Debug, Default)]
pub struct SeededIds(AtomicU64);

impl Ids for SeededIds {
    fn next(&self) -> String {
        format!("{:032x}", self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Lower-case hexadecimal digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_long_and_differ() {
        let (a, b) = (RandomIds.next(), RandomIds.next());
        assert_eq!(a.len(), 32);
        assert_ne!(a, b);
    }
}
