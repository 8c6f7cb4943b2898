//! What is wrong with a cluster.yaml, in a form people and editors can use.
//!
//! Owns the words' frame: file, line, column, path, what was found, what would be right, and the
//! source line with a caret. Plain text; colour is the terminal's business.

use std::fmt;

use serde::Serialize;

/// A value that breaks a rule: what is wrong with it, and what would be right.
///
/// Rules return this; where in the file the value stands is added by the decoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {remedy}")]
pub struct Mistake {
    /// What is wrong, the value in quotes: `"two" is not a whole number`.
    pub problem: String,
    /// What to do: `write a number from 0 to 500`.
    pub remedy: String,
}

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// Where in the document: `workers[0].count`; empty for the document itself.
    pub path: String,
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
    /// How many characters of the line are meant, at least 1.
    pub length: usize,
    /// What is wrong, the value in quotes.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
    /// The source line, without its end.
    pub source: String,
}

/// Every mistake of a file, in the file's order; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostics {
    /// The name the user knows the file by.
    pub file: String,
    /// The mistakes, by line and column.
    pub mistakes: Vec<Diagnostic>,
}

impl std::error::Error for Diagnostics {}

impl Mistake {
    pub(super) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Diagnostics {
    /// Blank lines between mistakes; no newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            mistake.render(&self.file, f)?;
        }
        Ok(())
    }
}

impl Diagnostic {
    fn render(&self, file: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{file}:{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        writeln!(f, "{}; {}", self.problem, self.remedy)?;
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", printable(&self.source))?;
        let indent = " ".repeat(self.column.saturating_sub(1));
        write!(f, "{margin} | {indent}{}", "^".repeat(self.length.max(1)))
    }
}

/// One column a character, and nothing that a terminal would obey.
fn printable(line: &str) -> String {
    line.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}
