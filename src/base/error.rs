//! The four classes an error can have, decided where it enters the program.

use std::error::Error;
use std::fmt::Write as _;

/// What a caller may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Passing: the same call may succeed later.
    Retry,
    /// The world is not as the call assumed: look again, then decide again.
    Conflict,
    /// The request is wrong: somebody must change it.
    Invalid,
    /// Nothing this program does will help.
    Fatal,
}

/// An error that knows its class.
pub trait Classified: Error {
    /// The class, fixed where the error was made.
    fn class(&self) -> Class;
}

/// An error and its sources on one line, outermost first, parts that only
/// repeat what was already said left out.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            let _ = write!(text, ": {said}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read the journal")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_chain_names_each_cause_once() {
        let error = Outer(std::io::Error::other("disk is full"));
        assert_eq!(chain(&error), "read the journal: disk is full");
    }
}
