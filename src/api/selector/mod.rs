//! Selectors: which objects a list, a watch or a controller means, by labels or by fields.
//!
//! Texts are read by upstream's grammars and refused in its words. Matching asks through a
//! closure, so that an object need not be decoded for it.

mod fields;
mod labels;
mod lexer;

pub use fields::{FieldSelector, FieldTerm, UnsupportedField};
pub use labels::{LabelSelector, Operator, Requirement};

/// A selector's text that cannot be read, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SelectorError(pub String);

impl std::fmt::Display for SelectorError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SelectorError {}
