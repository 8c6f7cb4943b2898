//! From the tree to a [`Config`]: every mistake of a file in one go, each with its place.
//!
//! Owns what the fields are called and which of them may be left out. A value with a mistake is
//! replaced by its default while the rest is read, so that one run of the command shows all there
//! is to mend; rules between fields are skipped where one of the fields is wrong already.

mod access;
mod between;
mod fields;
mod groups;
mod reader;
mod top;

use super::Config;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::tree;
#[cfg(test)]
pub(super) use fields::FIELDS;
pub(super) use fields::nearest;
use reader::{At, Found, Reader};

/// Reads a cluster.yaml. `file_name` is what the user calls the file, for messages only.
///
/// # Errors
/// Every mistake found, in the file's order; a mistake of YAML syntax comes alone.
pub fn parse(text: &str, file_name: &str) -> Result<Config, Diagnostics> {
    let root = tree::read(text).map_err(|syntax| {
        let found = Found { path: String::new(), place: syntax.place, mistake: syntax.mistake };
        diagnostics(vec![found], text, file_name)
    })?;
    let mut reader = Reader::new(text);
    let config = top::config(&mut reader, &At::root(&root));
    if let Some(config) = &config {
        between::check(&mut reader, &root, config);
    }
    let found = reader.found();
    match config {
        Some(config) if found.is_empty() => Ok(config),
        _ => Err(diagnostics(found, text, file_name)),
    }
}

fn diagnostics(mut found: Vec<Found>, text: &str, file_name: &str) -> Diagnostics {
    found.sort_by_key(|found| (found.place.line, found.place.column));
    let lines = tree::lines(text);
    let mistakes = found
        .into_iter()
        .map(|found| {
            let source = lines.get(found.place.line.saturating_sub(1)).copied();
            diagnostic(found, source.unwrap_or_default())
        })
        .collect();
    Diagnostics { file: file_name.to_owned(), mistakes }
}

/// Keeps the caret inside the line: a block's span runs on to its end.
fn diagnostic(found: Found, source: &str) -> Diagnostic {
    let rest = source.trim_end().chars().count().saturating_sub(found.place.column - 1);
    Diagnostic {
        path: found.path,
        line: found.place.line,
        column: found.place.column,
        length: found.place.length.min(rest).max(1),
        problem: found.mistake.problem,
        remedy: found.mistake.remedy,
        source: source.to_owned(),
    }
}
