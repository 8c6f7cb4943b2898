//! Starting something in the background so that it can always be found again: in a
//! cgroup of its own, in a session of its own, with a pid file and a log.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::cgroup;
use crate::process::Process;

/// Starts `command` and returns once it runs under its pid file.
///
/// # Errors
/// When it cannot be started.
pub(crate) async fn spawn(name: &str, pid_file: &Path, log: &Path, command: &[String]) -> Result<()> {
    if std::env::var_os(INNER).is_some() {
        return become_it(name, pid_file, command);
    }
    let log = fs::OpenOptions::new().create(true).append(true).open(log).context("cannot open the log")?;
    let _ = fs::remove_file(pid_file);
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INNER, "1")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    while Process::read(pid_file).is_none() {
        if child.try_wait()?.is_some() {
            bail!("{name} did not start; see its log");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// Marks the second half: the process that becomes the command.
const INNER: &str = "CLUSTER_MACHINES_SPAWNED";

fn become_it(name: &str, pid_file: &Path, command: &[String]) -> Result<()> {
    // The session must not end with the terminal that asked for it.
    let _ = rustix::process::setsid();
    cgroup::enter(&cgroup::hierarchies()?, name, std::process::id()).context("cannot enter a cgroup")?;
    Process::write_own(pid_file).context("cannot write the pid file")?;
    let (program, arguments) = command.split_first().context("no command")?;
    let error = Command::new(program).args(arguments).env_remove(INNER).exec();
    Err(error).with_context(|| format!("cannot run {program}"))
}
