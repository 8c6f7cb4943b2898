//! Ending the process right after a journal write: how tests find out that every point can be resumed from.

use std::sync::Arc;

use provision::journal::{Journal, JournalObserver};

/// Ends the process once this many entries were written.
pub(crate) struct CrashAfter(u64);

impl CrashAfter {
    /// The journal, watched if `after` is given.
    pub(crate) fn attach(journal: Journal, after: Option<u64>) -> Journal {
        match after {
            Some(count) => journal.observed(Arc::new(Self(count))),
            None => journal,
        }
    }
}

impl JournalObserver for CrashAfter {
    fn synced(&self, writes: u64) {
        if writes >= self.0 {
            // As a kill -9 would: no destructor, no flush, no farewell.
            std::process::abort();
        }
    }
}
