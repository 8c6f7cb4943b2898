//! Asking before something changes.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};

/// Asks for `answer`, word by word. Without a terminal nobody can answer: an error.
pub(crate) fn ask(question: &str, answer: &str) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("there is no terminal to ask on: run it with --yes to go ahead without a question");
    }
    let mut err = std::io::stderr().lock();
    write!(err, "{question} Type {answer:?} to go on: ")?;
    err.flush()?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("read the answer")?;
    if line.trim() == answer { Ok(()) } else { bail!("not confirmed; nothing was changed") }
}
