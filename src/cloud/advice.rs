//! What an AWS error code means, what to do, and what the program does by itself.
//!
//! The rows are in `table.rs`; this is how one is found. It refuses to guess:
//! a code without a row gets the row that says so.

use serde::Serialize;

use crate::table::{ADVICE, UNKNOWN};

/// What the program does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Passing: the same call again, later, with the same parameters and token.
    Retry,
    /// What the token named is dead: a new attempt with a new token.
    Replace,
    /// The world is not as the call assumed: list, and decide again.
    LookAgain,
    /// A person must do something first.
    Stop,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// The code; `*` at one end stands for anything. State reasons of instances have rows too.
    pub code: &'static str,
    /// Words that must be in the message, in any case; empty where the code says enough.
    pub words: &'static str,
    /// What the program does.
    pub verdict: Verdict,
    /// What it means, one sentence.
    pub meaning: &'static str,
    /// What a person can do, one sentence. Empty where nothing is needed.
    pub remedy: &'static str,
}

impl Advice {
    fn fits(&self, code: &str, message: &str) -> bool {
        let code_fits = match (self.code.strip_prefix('*'), self.code.strip_suffix('*')) {
            (Some(end), _) => code.ends_with(end),
            (_, Some(start)) => code.starts_with(start),
            _ => self.code == code,
        };
        code_fits && (self.words.is_empty() || message.to_lowercase().contains(self.words))
    }
}

/// The first row that fits. `message` tells apart what AWS puts under one code.
#[must_use]
pub fn advice(code: &str, message: &str) -> &'static Advice {
    ADVICE.iter().find(|row| row.fits(code, message)).unwrap_or(&UNKNOWN)
}
