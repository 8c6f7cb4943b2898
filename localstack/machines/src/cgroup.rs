//! Control groups: one folder per machine in every hierarchy the host has, so
//! that machines never share one and everything started here can be found, and
//! ended, without any state.
//!
//! Works on version 2, on version 1 (a mount per controller) and on the mix of
//! both. Refuses nothing: a controller that cannot be used is left out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use crate::names::CGROUP;

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// Version 2, which on a mixed host has no controllers.
    pub(crate) unified: bool,
    /// systemd's own hierarchy of version 1, without a controller.
    pub(crate) named: bool,
}

/// The host's hierarchies.
///
/// # Errors
/// When /proc cannot be read.
pub(crate) fn hierarchies() -> io::Result<Vec<Hierarchy>> {
    Ok(parse(&fs::read_to_string("/proc/self/mounts")?))
}

/// Reads them off a mount table. A hierarchy mounted twice counts once.
fn parse(mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<(String, Hierarchy)> = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(mount), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if !mount.starts_with("/sys/fs/cgroup") || (kind != "cgroup" && kind != "cgroup2") {
            continue;
        }
        let unified = kind == "cgroup2";
        let identity = if unified { "2".to_owned() } else { controllers(options) };
        if !found.iter().any(|(known, _)| *known == identity) {
            let named = identity.contains("name=");
            found.push((identity, Hierarchy { mount: PathBuf::from(mount), unified, named }));
        }
    }
    found.into_iter().map(|(_, hierarchy)| hierarchy).collect()
}

/// The options that say which controllers a version 1 mount has.
fn controllers(options: &str) -> String {
    const GENERAL: &[&str] =
        &["rw", "ro", "relatime", "noatime", "nosuid", "nodev", "noexec", "xattr", "clone_children"];
    let own: Vec<&str> =
        options.split(',').filter(|o| !GENERAL.contains(o) && !o.starts_with("release_agent")).collect();
    own.join(",")
}

/// Whether version 2 is all there is, so that a machine mounts its own.
pub(crate) fn only_unified(all: &[Hierarchy]) -> bool {
    all.iter().all(|h| h.unified)
}

/// Makes `name`'s folder in every hierarchy and moves process `pid` into it.
///
/// # Errors
/// When no hierarchy took the process.
pub(crate) fn enter(all: &[Hierarchy], name: &str, pid: u32) -> io::Result<()> {
    let mut last = io::Error::other("no cgroup hierarchy is mounted below /sys/fs/cgroup");
    let mut entered = false;
    for hierarchy in all {
        match enter_one(hierarchy, name, pid) {
            Ok(()) => entered = true,
            Err(error) => last = error,
        }
    }
    if entered { Ok(()) } else { Err(last) }
}

fn enter_one(hierarchy: &Hierarchy, name: &str, pid: u32) -> io::Result<()> {
    let parent = hierarchy.mount.join(CGROUP);
    let own = parent.join(name);
    fs::create_dir_all(&own)?;
    if hierarchy.unified {
        delegate(&hierarchy.mount);
        delegate(&parent);
    } else {
        inherit_cpuset(&hierarchy.mount, &parent)?;
        inherit_cpuset(&parent, &own)?;
    }
    fs::write(own.join("cgroup.procs"), pid.to_string())
}

/// Version 2: hands every controller on; one that is refused stays behind.
fn delegate(folder: &Path) {
    let controllers = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// Version 1's cpuset takes no process before it has processors and memory.
fn inherit_cpuset(from: &Path, to: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if from.join(file).exists() {
            let value = fs::read_to_string(from.join(file))?;
            fs::write(to.join(file), value.trim())?;
        }
    }
    Ok(())
}

/// The processes below `name` (everything started here, if `None`), this one left out.
pub(crate) fn processes(all: &[Hierarchy], name: Option<&str>) -> Vec<u32> {
    let mut pids = Vec::new();
    for hierarchy in all {
        let top = hierarchy.mount.join(CGROUP);
        collect(&name.map_or(top.clone(), |n| top.join(n)), &mut pids);
    }
    pids.sort_unstable();
    pids.dedup();
    pids.retain(|pid| *pid != std::process::id() && *pid != 0);
    pids
}

fn collect(folder: &Path, pids: &mut Vec<u32>) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
    for child in children(folder) {
        collect(&child, pids);
    }
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

/// Ends every process below `name` at once and removes its folders. Waits until
/// the kernel has let go of them, at most `limit`.
///
/// # Errors
/// Names what would not end.
pub(crate) async fn clear(all: &[Hierarchy], name: Option<&str>, limit: Duration) -> io::Result<()> {
    let started = Instant::now();
    loop {
        let pids = processes(all, name);
        for pid in &pids {
            kill(*pid);
        }
        let left = if pids.is_empty() { remove(all, name) } else { Some(format!("processes {pids:?}")) };
        let Some(left) = left else { return Ok(()) };
        if started.elapsed() > limit {
            return Err(io::Error::other(format!("{left} did not go away within {limit:?}")));
        }
        // The kernel tells nobody when a cgroup of version 1 has emptied.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Removes the folders, deepest first; says which would not go.
fn remove(all: &[Hierarchy], name: Option<&str>) -> Option<String> {
    let mut left = None;
    for hierarchy in all {
        let top = hierarchy.mount.join(CGROUP);
        let folder = name.map_or(top.clone(), |n| top.join(n));
        remove_tree(&folder);
        if folder.exists() {
            left = Some(format!("cgroup {}", folder.display()));
        }
    }
    left
}

fn remove_tree(folder: &Path) {
    for child in children(folder) {
        remove_tree(&child);
    }
    let _ = fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_host_has_each_controller_and_version_2_beside() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
            cgroup /sys/fs/cgroup/cpu cgroup rw,relatime,cpu 0 0\n\
            cgroup /mnt/cpu cgroup rw,relatime,cpu 0 0\n\
            cgroup /sys/fs/cgroup/systemd cgroup rw,relatime,name=systemd 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let found = parse(mounts);
        let shape: Vec<_> = found.iter().map(|h| (h.mount.to_str().unwrap(), h.unified, h.named)).collect();
        assert_eq!(
            shape,
            [
                ("/sys/fs/cgroup/cpu", false, false),
                ("/sys/fs/cgroup/systemd", false, true),
                ("/sys/fs/cgroup/unified", true, false),
            ]
        );
        assert!(!only_unified(&found));
    }

    #[test]
    fn a_host_on_version_2_has_one_hierarchy() {
        let found = parse("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate 0 0\n");
        assert_eq!(found.len(), 1);
        assert!(only_unified(&found));
    }
}
