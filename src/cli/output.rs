//! How results and errors reach a person or a program.

use std::error::Error;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use cloud::CloudError;
use provision::execute::ActionError;
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

impl Error for Failure {}

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
    lines.extend(advice_of(error.as_ref()));
    let _ = writeln!(std::io::stderr().lock(), "{}", lines.join("\n"));
}

/// One of several things that failed: what was done, why it failed, and what AWS's table knows of it.
pub(crate) fn failure(label: &str, error: &(dyn Error + 'static)) -> String {
    let why = base::chain(error);
    let text = format!("\n{} {label}: {}", paint("error:", RED), after_label(label, &why));
    match advice_of(error) {
        Some(advice) => format!("{text}\n{advice}"),
        None => text,
    }
}

/// The end of a machine's console, which tells why it did not boot.
pub(crate) fn console(instance: &str, last_lines: &str) -> String {
    if last_lines.trim().is_empty() {
        return format!(
            "  console: AWS shows nothing yet; in some minutes: `aws ec2 get-console-output --latest --instance-id {instance}`"
        );
    }
    let lines: String = last_lines.lines().map(|line| format!("\n    {}", printable(line))).collect();
    format!("  the console of {instance} ends:{lines}")
}

/// A console's escape sequences would run on this terminal.
pub(crate) fn printable(line: &str) -> String {
    line.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
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

/// `1 call`, `2 calls`.
pub(crate) fn counted(count: impl TryInto<u64>, what: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
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

/// What AWS's table knows about an error, if AWS is among its causes, and the request id for AWS's support.
pub(crate) fn advice_of(error: &(dyn Error + 'static)) -> Option<String> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|cause| {
        if let Some(ActionError::Ended { reason, .. }) = cause.downcast_ref() {
            let (code, message) = reason.split_once(": ").unwrap_or((reason, ""));
            let advice = cloud::advice(code, message);
            return (!advice.code.is_empty()).then(|| lines(advice, None));
        }
        let cloud = cloud_error(cause)?;
        Some(lines(cloud.advice(), cloud.request_id.as_deref()))
    })
}

fn lines(advice: &cloud::Advice, request_id: Option<&str>) -> String {
    let mut text = format!("  meaning: {}", advice.meaning);
    let more =
        [("remedy: ", Some(advice.remedy).filter(|words| !words.is_empty())), ("request:", request_id)];
    for (title, words) in more.into_iter().filter_map(|(title, words)| Some((title, words?))) {
        text.push_str(&format!("\n  {title} {words}"));
    }
    text
}

/// AWS's error itself: errors hold it bare, boxed or shared, and a cause is known by its very type.
fn cloud_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a CloudError> {
    cause
        .downcast_ref::<CloudError>()
        .or_else(|| cause.downcast_ref::<Box<CloudError>>().map(|boxed| &**boxed))
        .or_else(|| cause.downcast_ref::<Arc<CloudError>>().map(|shared| &**shared))
}

/// `words` without a beginning that only repeats `label` (`RunInstances master-0`) or its first word.
pub(crate) fn after_label<'a>(label: &str, words: &'a str) -> &'a str {
    let words = words.strip_prefix(label).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(words);
    let action = label.split(' ').next().unwrap_or_default();
    words.strip_prefix(action).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_indented_and_cannot_play_on_this_terminal() {
        let shown = console("i-1", "[  1.0] panic\r\n\x1b[2Jgone\n");
        assert_eq!(shown, "  the console of i-1 ends:\n    [  1.0] panic\n     [2Jgone");
        assert!(console("i-1", "\n").contains("aws ec2 get-console-output --latest --instance-id i-1"));
    }

    #[test]
    fn an_error_names_its_call_once() {
        let label = "RunInstances master-0";
        assert_eq!(after_label(label, "RunInstances master-0: RunInstances: Code: words"), "Code: words");
        assert_eq!(after_label(label, "list what there is: Code"), "list what there is: Code");
    }
}
