//! How results and errors reach a person or a program.

use std::io::{IsTerminal as _, Write as _};

use serde::Serialize;

/// An error that decides the exit status, and may have been shown already.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Exit status.
    pub(crate) code: u8,
    /// Whether it was printed where it happened.
    pub(crate) said: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit status {}", self.code)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Exit status 1, everything said.
    pub(crate) fn said() -> anyhow::Error {
        Self { code: 1, said: true }.into()
    }

    /// What a shell expects after Ctrl-C.
    pub(crate) fn interrupted() -> anyhow::Error {
        Self { code: 130, said: true }.into()
    }
}

/// Writes to standard output. A reader that went away ends the program quietly.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            Err(Failure { code: 0, said: true }.into())
        }
        other => Ok(other?),
    }
}

/// One JSON document, indented.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// An error with its causes, and what AWS's table knows about it.
pub(crate) fn print_error(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
    }
    let mut lines = vec![format!("{} {text}", paint("error:", RED))];
    let found = error.chain().find_map(|cause| cause.downcast_ref::<cloud::CloudError>());
    if let Some(cloud) = found {
        let advice = cloud.advice();
        lines.push(format!("  meaning: {}", advice.meaning));
        lines.push(format!("  remedy:  {}", advice.remedy));
        if let Some(id) = &cloud.request_id {
            lines.push(format!("  request: {id}"));
        }
    }
    let _ = writeln!(std::io::stderr().lock(), "{}", lines.join("\n"));
}

/// A colour, for standard error.
pub(crate) type Colour = &'static str;
pub(crate) const RED: Colour = "31";
pub(crate) const GREEN: Colour = "32";
pub(crate) const YELLOW: Colour = "33";

/// `text` in colour where standard error is a terminal and NO_COLOR is not set.
pub(crate) fn paint(text: &str, colour: Colour) -> String {
    if is_live() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Whether a person watches standard error.
pub(crate) fn is_live() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Rows in aligned columns, two spaces apart.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What AWS's table knows about an error, if AWS is among its causes.
pub(crate) fn advice_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(cloud) = error.downcast_ref::<cloud::CloudError>() {
            let advice = cloud.advice();
            return Some(format!("  meaning: {}\n  remedy:  {}", advice.meaning, advice.remedy));
        }
        cause = error.source();
    }
    None
}
