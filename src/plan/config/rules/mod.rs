//! Rules about single values: a text or number goes in, the value or a [`Mistake`] comes out.
//!
//! Owns the syntax that AWS, Kubernetes and DNS ask of each value. Knows neither where the value
//! stands in the file nor the other fields; those are the decoder's.
//!
//! [`Mistake`]: super::diagnostic::Mistake

pub(super) mod cidr;
pub(super) mod label;
pub(super) mod machine;
pub(super) mod name;
pub(super) mod place;

use super::diagnostic::Mistake;

/// A value in quotes, cut where it would fill the screen.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return format!("{text:?}");
    }
    let cut: String = text.chars().take(MOST).collect();
    format!("{:?}", format!("{cut}…"))
}

/// What a rule answers.
pub(super) type Checked<T> = Result<T, Mistake>;

pub(super) fn refuse<T>(problem: impl Into<String>, remedy: impl Into<String>) -> Checked<T> {
    Err(Mistake::new(problem, remedy))
}
