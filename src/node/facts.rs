//! What a machine is: distribution, kernel, size, clock.
//!
//! Owns how this is read from `/proc` and `/etc`, below a root that the caller names
//! (`/` on a node). What is missing is left empty; only an unreadable clock or kernel
//! would be an error, and there is none.

use std::fmt;
use std::fs;
use std::path::Path;

use base::Clock;
use serde::Serialize;

/// A machine's properties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// `ID` of os-release, such as `debian`.
    pub distribution: String,
    /// `VERSION_ID` of os-release, such as `12`.
    pub distribution_version: String,
    /// Release of the running kernel.
    pub kernel: String,
    /// Machine type as uname says it, such as `x86_64`.
    pub architecture: String,
    /// Host name.
    pub hostname: String,
    /// Processors in use.
    pub processors: usize,
    /// Memory in all, in bytes.
    pub memory_bytes: u64,
    /// Free bytes of the root file system.
    pub disk_free_bytes: u64,
    /// 1 or 2: which cgroup hierarchy `/sys/fs/cgroup` is.
    pub cgroup_version: u8,
    /// Differs after every boot.
    pub boot_id: String,
    /// The machine's clock, milliseconds since 1970.
    pub clock_ms: i64,
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} on {} ({}), {} processors, {} MiB of memory, {} MiB of disk free, cgroup v{}",
            self.distribution,
            self.distribution_version,
            self.architecture,
            self.kernel,
            self.processors,
            self.memory_bytes >> 20,
            self.disk_free_bytes >> 20,
            self.cgroup_version,
        )
    }
}

/// Reads the facts of the machine whose files are below `root`.
pub fn facts(root: &Path, clock: &dyn Clock) -> Facts {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let release = read("etc/os-release");
    let system = rustix::system::uname();
    let disk = rustix::fs::statvfs(root);
    Facts {
        distribution: release_field(&release, "ID"),
        distribution_version: release_field(&release, "VERSION_ID"),
        kernel: system.release().to_string_lossy().into_owned(),
        architecture: system.machine().to_string_lossy().into_owned(),
        hostname: system.nodename().to_string_lossy().into_owned(),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: memory_bytes(&read("proc/meminfo")),
        disk_free_bytes: disk.map_or(0, |disk| disk.f_bavail * disk.f_frsize),
        cgroup_version: if root.join("sys/fs/cgroup/cgroup.controllers").exists() { 2 } else { 1 },
        boot_id: read("proc/sys/kernel/random/boot_id").trim().to_owned(),
        clock_ms: clock.now().as_millisecond(),
    }
}

/// A field of os-release, its quotes removed.
fn release_field(text: &str, name: &str) -> String {
    let values = text.lines().filter_map(|line| line.split_once('='));
    let value = values.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value);
    value.unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
}

/// `MemTotal` of meminfo, which counts in KiB.
fn memory_bytes(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse().ok());
    kib.map_or(0, |kib: u64| kib * 1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use base::ManualClock;

    #[test]
    fn the_facts_of_a_debian_machine_are_read_from_its_files() {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12\"\nVERSION_ID=\"12\"\nID=debian\n"),
            ("proc/meminfo", "MemTotal:        2030584 kB\nMemFree:  1 kB\n"),
            ("proc/sys/kernel/random/boot_id", "e7b7\n"),
            ("sys/fs/cgroup/cgroup.controllers", "cpu memory\n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = facts(root.path(), &ManualClock::default());
        assert_eq!((found.distribution.as_str(), found.distribution_version.as_str()), ("debian", "12"));
        assert_eq!(found.memory_bytes, 2_030_584 * 1024);
        assert_eq!((found.boot_id.as_str(), found.cgroup_version, found.clock_ms), ("e7b7", 2, 0));
        assert!(!found.kernel.is_empty() && found.processors > 0);
    }

    #[test]
    fn a_machine_without_the_files_still_has_facts() {
        let root = tempfile::tempdir().unwrap();
        let found = facts(root.path(), &ManualClock::default());
        assert_eq!((found.distribution.as_str(), found.memory_bytes, found.cgroup_version), ("", 0, 1));
    }
}
