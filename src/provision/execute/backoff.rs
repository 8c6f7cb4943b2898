//! Waiting between tries: longer each time, never the same for two callers.

use std::time::Duration;

use base::Ids;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(8);

/// The waits between `tries` tries.
#[derive(Debug)]
pub(crate) struct Backoff {
    tries: u32,
    used: u32,
}

impl Backoff {
    /// Room for `tries` tries in all.
    pub(crate) fn new(tries: u32) -> Self {
        Self { tries, used: 1 }
    }

    /// How long to wait before the next try: half to all of a doubling bound. `None`: that was the last.
    pub(crate) fn next(&mut self, ids: &dyn Ids) -> Option<Duration> {
        if self.used >= self.tries {
            return None;
        }
        let bound = FIRST.saturating_mul(1 << (self.used - 1).min(16)).min(LONGEST);
        self.used += 1;
        let drawn = ids.next();
        let part = drawn.get(28..).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0);
        Some(bound / 2 + (bound / 2).mul_f64(f64::from(part) / f64::from(u16::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::RandomIds;

    #[test]
    fn waits_grow_to_a_bound_and_end() {
        let mut backoff = Backoff::new(8);
        let waits: Vec<_> = std::iter::from_fn(|| backoff.next(&RandomIds)).collect();
        assert_eq!(waits.len(), 7);
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST, "{waits:?}");
        assert!(waits[6] >= LONGEST / 2 && waits[6] <= LONGEST, "{waits:?}");
    }
}
