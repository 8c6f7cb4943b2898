//! Running the system's own tools (`ip`, `nft`, `mount`, …).
//!
//! Every call has a time limit; an error carries the command and what it said.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// None of these tools has a reason to take longer.
const LIMIT: Duration = Duration::from_secs(20);

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It could not be started.
    #[error("cannot run {command}; is its package installed?")]
    Spawn {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("{command} failed: {said}")]
    Failed {
        /// The command line.
        command: String,
        /// What it wrote to standard error.
        said: String,
    },
    /// It did not end.
    #[error("{command} did not end within {LIMIT:?}")]
    TimedOut {
        /// The command line.
        command: String,
    },
}

/// Runs `line` (program, then arguments) with `input` and gives its output.
///
/// # Errors
/// See [`Error`].
pub(crate) async fn run(line: &[&str], input: &str) -> Result<String, Error> {
    let command = line.join(" ");
    let spawn_error = |source| Error::Spawn { command: command.clone(), source };
    let (program, arguments) = line.split_first().unwrap_or((&"", &[]));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(spawn_error)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that has no use for its input may close it early.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = tokio::time::timeout(LIMIT, child.wait_with_output())
        .await
        .map_err(|_| Error::TimedOut { command: command.clone() })?
        .map_err(spawn_error)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Failed { command, said })
}
