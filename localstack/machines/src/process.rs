//! Processes named so that a recycled number is never mistaken for ours: a pid
//! and the moment the kernel started it.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// One process of this boot of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// Clock ticks after the host's boot at which it started.
    pub(crate) started: u64,
}

impl Process {
    /// The process with this number, if there is one and it is not a zombie.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let started = start_time(&stat)?;
        Some(Self { pid, started })
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// The first child, which for systemd-nspawn is the machine's own init.
    pub(crate) fn first_child(self) -> Option<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid);
        fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
    }

    /// Sends a signal, if it still runs.
    pub(crate) fn signal(self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid.filter(|_| self.is_alive()) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Reads the process that a pid file names.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
    }

    /// Writes a pid file for the calling process.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write_own(path: &Path) -> io::Result<()> {
        let own = Self::of(std::process::id())
            .ok_or_else(|| io::Error::other("/proc does not show this process"))?;
        let text = serde_json::to_string(&own)?;
        let beside = path.with_extension("new");
        fs::write(&beside, text)?;
        fs::rename(beside, path)
    }
}

/// Field 22 of /proc/PID/stat; none for a zombie. The second field is a name in
/// brackets that may hold anything.
fn start_time(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_confuse_the_start_time() {
        let stat = "12 (a) b (c) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9876 1 2";
        assert_eq!(start_time(stat), Some(9876));
        assert_eq!(start_time(&stat.replace(") S", ") Z")), None);
    }

    #[test]
    fn this_process_is_alive_and_one_with_another_start_is_not() {
        let own = Process::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        assert!(!Process { started: own.started + 1, ..own }.is_alive());
    }
}
