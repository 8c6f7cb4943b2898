//! The kinds that are questions: what may somebody do, whose is this token, who am I. Each
//! function takes the object as it was posted, decoded, and gives it back with its answer.
//! None is stored.

mod access;
mod identity;
mod rules;
mod selectors;
#[cfg(test)]
mod tests;

pub use access::{local_subject_access, self_subject_access, subject_access};
pub use identity::{self_subject, token};
pub use rules::self_subject_rules;
