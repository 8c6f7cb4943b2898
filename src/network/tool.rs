//! Running a tool with its commands on standard input.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A tool that did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[error("{tool}: {detail}")]
pub(crate) struct ToolError {
    tool: String,
    detail: String,
}

/// Runs a tool; gives what it says.
pub(crate) async fn run(tool: &str, arguments: &[&str], input: &str) -> Result<String, ToolError> {
    let shown = || format!("{tool} {}", arguments.join(" "));
    let failed = |detail: String| ToolError { tool: shown(), detail };
    let mut child = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().await.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
