//! Becoming a machine: the last steps before systemd-nspawn, in a mount namespace
//! of the machine's own.
//!
//! The daemon starts `unshare --mount … machines launch …`. Everything mounted
//! here disappears with the machine's last process, however that ends, so the
//! host never sees a mount of ours. Ends by becoming systemd-nspawn.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::cgroup::{self, Hierarchy};
use crate::folders::{Images, MachineFolder};
use crate::model::Instance;
use crate::process::Process;
use crate::{images, names};

/// Turns this process into the machine in `folder`. Returns only with an error.
///
/// # Errors
/// When a step fails; the message ends up in the machine's console log.
pub(crate) fn launch(folder: &MachineFolder, disks: &Images) -> Result<()> {
    let instance = folder.read_instance().context("the machine's record cannot be read")?;
    let hierarchies = cgroup::hierarchies().context("no cgroups")?;
    cgroup::enter(&hierarchies, &instance.id, std::process::id())
        .context("cannot enter a cgroup of its own")?;
    Process::write_own(&folder.pid_file()).context("cannot write the pid file")?;
    mount_disk(folder, disks, &instance)?;
    let cgroups = if cgroup::only_unified(&hierarchies) {
        None
    } else {
        Some(mount_cgroups(folder, &hierarchies, &instance.id)?)
    };
    let error = nspawn(folder, &instance, cgroups.as_deref()).exec();
    Err(error).context("cannot run systemd-nspawn; is systemd-container installed?")
}

/// The image's layers below, the machine's own changes on top.
fn mount_disk(folder: &MachineFolder, disks: &Images, instance: &Instance) -> Result<()> {
    let layers = images::layers(&instance.image).map_err(anyhow::Error::msg)?;
    let lower: Vec<String> = layers.iter().map(|layer| disks.layer(layer).display().to_string()).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.join(":"),
        folder.upper().display(),
        folder.work().display(),
    );
    mount(&["-t", "overlay", "overlay", "-o", &options], &folder.root())
}

/// A tree of the machine's own folders of each version 1 hierarchy: nspawn would
/// mount the controllers read-only, and the host's tree would let the machines'
/// systemds meet in it.
fn mount_cgroups(folder: &MachineFolder, hierarchies: &[Hierarchy], name: &str) -> Result<PathBuf> {
    let tree = folder.cgroups();
    mount(&["-t", "tmpfs", "-o", "mode=755,size=1m", "cgroups"], &tree)?;
    let mixed = hierarchies.iter().any(|h| h.unified);
    for hierarchy in hierarchies {
        let Some(last) = hierarchy.mount.file_name() else { continue };
        let mut own = hierarchy.mount.join(names::CGROUP).join(name);
        if mixed && (hierarchy.unified || hierarchy.named) {
            // On a mixed host nspawn moves the machine one level down in these two.
            own.push("payload");
            create(&own)?;
        }
        let target = tree.join(last);
        create(&target)?;
        mount(&["--bind", &own.display().to_string()], &target)?;
    }
    for link in links("/sys/fs/cgroup")? {
        let (name, to) = link;
        std::os::unix::fs::symlink(to, tree.join(name)).context("cannot link a controller")?;
    }
    Ok(tree)
}

/// Hosts that mount `cpu,cpuacct` together link both names to it.
fn links(folder: &str) -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).context("no cgroups")?.flatten() {
        if let Ok(to) = fs::read_link(entry.path()) {
            found.push((PathBuf::from(entry.file_name()), to));
        }
    }
    Ok(found)
}

fn create(folder: &Path) -> Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot create {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn mount(arguments: &[&str], target: &Path) -> Result<()> {
    fs::create_dir_all(target).with_context(|| format!("cannot create {}", target.display()))?;
    let status = Command::new("mount").args(arguments).arg(target).status().context("cannot run mount")?;
    if !status.success() {
        bail!("mount {} {} failed", arguments.join(" "), target.display());
    }
    Ok(())
}

fn nspawn(folder: &MachineFolder, instance: &Instance, cgroups: Option<&Path>) -> Command {
    let mut command = Command::new("systemd-nspawn");
    command
        .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "yes")
        .args(["--quiet", "--boot", "--register=no", "--keep-unit", "--capability=all"])
        .args(["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only"])
        .arg("--system-call-filter=@mount @keyring @module @privileged bpf perf_event_open")
        .arg(format!("--machine={}", instance.id))
        .arg(format!("--hostname={}", names::short_hostname(instance.private_ip)))
        .arg(format!("--uuid={}", names::machine_uuid(&instance.id)))
        .arg(format!("--directory={}", folder.root().display()))
        .arg(format!("--network-namespace-path=/run/netns/{}", names::netns(&instance.id)))
        // An overlay cannot stand on an overlay; containerd makes its own.
        .arg(format!("--bind={}:/var/lib/containerd", folder.containerd().display()));
    if let Some(tree) = cgroups {
        command.arg(format!("--bind={}:/sys/fs/cgroup", tree.display()));
    }
    for shared in ["/dev/kmsg", "/dev/fuse", "/dev/net/tun"] {
        if Path::new(shared).exists() {
            command.arg(format!("--bind={shared}"));
        }
    }
    if Path::new("/lib/modules").is_dir() {
        command.arg("--bind-ro=/lib/modules");
    }
    command
}
