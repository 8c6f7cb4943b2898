//! Carrying out what `decide` decided about one machine, and seeing what there is.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::cgroup;
use crate::folders::{Images, MachineFolder, State};
use crate::model::Instance;
use crate::net;
use crate::process::Process;

/// How long the kernel may take to end a machine's processes.
const END_LIMIT: Duration = Duration::from_secs(20);
/// A machine's launcher writes its pid file within this time, or has failed.
const LAUNCH_LIMIT: Duration = Duration::from_secs(10);
/// A console log larger than this starts anew at the next boot.
const CONSOLE_LIMIT_BYTES: u64 = 4 << 20;

/// What went wrong with a machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The network tools refused.
    #[error("the machine's network could not be set")]
    Network(#[from] crate::command::Error),
    /// The disk, the cgroups or the process refused.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The launcher ended before the machine began.
    #[error("the machine did not start; its console says: {0}")]
    Launch(String),
}

fn io_error(doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, source }
}

/// The running process of a machine, if it has one.
pub(crate) fn running(folder: &MachineFolder) -> Option<Process> {
    Process::read(&folder.pid_file()).filter(|process| process.is_alive())
}

/// Boots the machine, on its old disk if there is one. Leftovers of an earlier
/// boot end first. Gives the child to be reaped.
///
/// # Errors
/// See [`Error`]; the next decision tries again.
pub(crate) async fn start(state: &State, images: &Images, instance: &Instance) -> Result<Child, Error> {
    let folder = state.machine(&instance.id);
    end(&instance.id).await?;
    folder.write_instance(instance).map_err(io_error("the machine's folder could not be made"))?;
    let _ = fs::remove_file(folder.pid_file());
    net::route_instance(instance.private_ip).await?;
    net::plug(instance).await?;
    let mut child = spawn(&folder, images).map_err(io_error("the machine's launcher could not be run"))?;
    let started = tokio::time::Instant::now();
    while running(&folder).is_none() {
        if child.try_wait().ok().flatten().is_some() || started.elapsed() > LAUNCH_LIMIT {
            return Err(Error::Launch(console_tail(&folder)));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(child)
}

/// `unshare` gives the machine its own mounts; it becomes the launcher, and that
/// systemd-nspawn, all under one pid and in a session of its own.
fn spawn(folder: &MachineFolder, images: &Images) -> io::Result<Child> {
    let fresh = fs::metadata(folder.console()).is_ok_and(|m| m.len() > CONSOLE_LIMIT_BYTES);
    let console = fs::OpenOptions::new()
        .create(true)
        .append(!fresh)
        .write(true)
        .truncate(fresh)
        .mode(0o600)
        .open(folder.console())?;
    Command::new("setsid")
        .args(["unshare", "--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe()?)
        .args(["launch", "--machine"])
        .arg(folder.path())
        .arg("--images")
        .arg(images.path())
        .stdin(Stdio::null())
        .stdout(console.try_clone()?)
        .stderr(console)
        .spawn()
}

fn console_tail(folder: &MachineFolder) -> String {
    let text = fs::read(folder.console()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

/// Asks the machine to shut down in order: nspawn passes it on to its init.
pub(crate) fn ask_to_stop(state: &State, id: &str) {
    if let Some(process) = running(&state.machine(id)) {
        process.signal(Signal::TERM);
    }
}

/// Ends every process of the machine and unplugs it. The disk stays.
///
/// # Errors
/// See [`Error`].
pub(crate) async fn end(id: &str) -> Result<(), Error> {
    let hierarchies = cgroup::hierarchies().map_err(io_error("no cgroups"))?;
    cgroup::clear(&hierarchies, Some(id), END_LIMIT)
        .await
        .map_err(io_error("the machine's processes did not end"))?;
    net::unplug(id).await?;
    Ok(())
}

/// Ends the machine and deletes its disk.
///
/// # Errors
/// See [`Error`].
pub(crate) async fn remove(state: &State, id: &str) -> Result<(), Error> {
    end(id).await?;
    let folder = state.machine(id);
    tokio::task::spawn_blocking(move || folder.remove())
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(io_error("the machine's disk could not be deleted"))
}

/// Whether cloud-init has not finished since the machine was started.
pub(crate) fn is_booting(process: Process) -> bool {
    let Some(init) = process.first_child() else { return true };
    !std::path::Path::new(&format!("/proc/{init}/root/run/cloud-init/result.json")).exists()
}
