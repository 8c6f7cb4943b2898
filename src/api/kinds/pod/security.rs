//! Security contexts of pods and containers, and what an operating system rules out.

use std::collections::BTreeSet;

use crate::field_error::{At, Errors};
use crate::kinds::rules::{known_if_set, relative_path, required, user};

/// A container's security context.
pub(super) fn container_security(at: &At<'_>, host_users: bool, e: &mut Errors) {
    if !at.is_set() {
        return;
    }
    user(&at.get("runAsUser"), e);
    user(&at.get("runAsGroup"), e);
    let proc = at.get("procMount");
    if proc.is_set() {
        e.one_of(&proc, &["Default", "Unmasked"]);
        if host_users && proc.is("Unmasked") {
            e.invalid(&proc, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(&at.get("seccompProfile"), e);
    let escalation = at.get("allowPrivilegeEscalation");
    if escalation.is_set() && !escalation.bool() {
        let refuse = "cannot set `allowPrivilegeEscalation` to false and";
        if at.get("privileged").bool() {
            e.invalid_as(&at.path, internal(at), format!("{refuse} `privileged` to true"));
        }
        for added in at.get("capabilities.add").items().filter(|c| c.is("CAP_SYS_ADMIN")) {
            e.invalid_as(&at.path, internal(at), format!("{refuse} `capabilities.Add` {}", added.str()));
        }
    }
    windows_options(&at.get("windowsOptions"), e);
    app_armor(&at.get("appArmorProfile"), e);
}

fn internal(at: &At<'_>) -> serde_json::Value {
    at.value.map_or(serde_json::Value::Null, |value| super::shown::as_upstream(value, "SecurityContext"))
}

/// A pod's security context.
pub(super) fn pod_security(spec: &At<'_>, e: &mut Errors) {
    let at = spec.get("securityContext");
    if !at.is_set() {
        return;
    }
    for name in ["fsGroup", "runAsUser", "runAsGroup"] {
        user(&at.get(name), e);
    }
    for group in at.get("supplementalGroups").items() {
        user(&group, e);
    }
    sysctls(&at.get("sysctls"), spec, e);
    known_if_set(&at.get("fsGroupChangePolicy"), &["Always", "OnRootMismatch"], e);
    seccomp(&at.get("seccompProfile"), e);
    windows_options(&at.get("windowsOptions"), e);
    app_armor(&at.get("appArmorProfile"), e);
    known_if_set(&at.get("supplementalGroupsPolicy"), &["Merge", "Strict"], e);
    known_if_set(&at.get("seLinuxChangePolicy"), &["MountOption", "Recursive"], e);
}

fn sysctls(at: &At<'_>, spec: &At<'_>, e: &mut Errors) {
    const FORM: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
    let mut seen = BTreeSet::new();
    for sysctl in at.items() {
        let name = sysctl.get("name");
        if required(&name, e) {
            if !is_sysctl(name.str()) {
                e.invalid(&name, format!("must have at most 253 characters and match regex {FORM}"));
            } else if !seen.insert(name.str()) {
                e.duplicate(&name.path, name.str());
            }
        }
        let of = name.str().replace('/', ".");
        if spec.get("hostNetwork").bool() && of.starts_with("net.") {
            e.invalid(&name, "may not be specified when 'hostNetwork' is true");
        }
        let ipc =
            of.starts_with("kernel.sem") || of.starts_with("kernel.shm") || of.starts_with("kernel.msg");
        if spec.get("hostIPC").bool() && (ipc || of.starts_with("fs.mqueue.")) {
            e.invalid(&name, "may not be specified when 'hostIPC' is true");
        }
    }
}

fn is_sysctl(name: &str) -> bool {
    let edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        let ends = bytes.first().zip(bytes.last());
        ends.is_some_and(|(a, b)| edge(*a) && edge(*b)) && bytes.iter().all(|c| edge(*c) || b"-_".contains(c))
    };
    name.len() <= 253 && name.split(['.', '/']).all(part)
}

fn seccomp(at: &At<'_>, e: &mut Errors) {
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.get("type"), at.get("localhostProfile"));
    if kind.is_empty() {
        e.required(&kind.path, "type is required when seccompProfile is set");
    } else {
        e.one_of(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
    }
    match (kind.is("Localhost"), profile.is_set()) {
        (true, false) => e.required(&profile.path, "must be set when seccomp type is Localhost"),
        (true, true) => relative_path(&profile, e),
        (false, true) => {
            let shown = serde_json::json!({"Type": kind.str(), "LocalhostProfile": profile.str()});
            e.invalid_as(&profile.path, shown, "can only be set when seccomp type is Localhost");
        }
        (false, false) => {}
    }
}

fn app_armor(at: &At<'_>, e: &mut Errors) {
    if !at.is_set() {
        return;
    }
    let (kind, profile) = (at.get("type"), at.get("localhostProfile"));
    if kind.is_empty() {
        return e.required(&kind.path, "type is required when appArmorProfile is set");
    }
    if !e.one_of(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]) {
        return;
    }
    if !kind.is("Localhost") {
        if profile.is_set() {
            e.invalid(&profile, "can only be set when AppArmor type is Localhost");
        }
        return;
    }
    let text = profile.str();
    if text.trim() != text {
        e.invalid(&profile, "must not be padded with whitespace");
    } else if text.is_empty() {
        e.required(&profile.path, "must be set when AppArmor type is Localhost");
    }
    if text.len() > 4095 {
        e.too_long(&profile.path, 4095);
    }
}

fn windows_options(at: &At<'_>, e: &mut Errors) {
    for name in ["gmsaCredentialSpecName", "gmsaCredentialSpec", "runAsUserName"] {
        let text = at.get(name);
        if text.is_set() && text.is_empty() {
            e.invalid(&text, format!("{name} cannot be an empty string"));
        }
    }
}

/// What `hostUsers: false` rules out.
pub(super) fn host_users(spec: &At<'_>, e: &mut Errors) {
    let at = spec.get("hostUsers");
    if !at.is_set() || at.bool() {
        return;
    }
    let says = "when `hostUsers` is false";
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if spec.get(field).bool() {
            e.forbidden(&spec.path.child(shown), says);
        }
    }
    for container in containers(spec) {
        if !container.get("volumeDevices").is_empty() {
            e.forbidden(&container.get("volumeDevices").path, says);
        }
    }
}

fn containers<'a>(spec: &At<'a>) -> impl Iterator<Item = At<'a>> + use<'a> {
    let spec = spec.clone();
    super::LISTS.iter().flat_map(move |list| spec.get(list).items())
}

/// Windows' host processes go together, and on the host's network.
pub(super) fn host_process(spec: &At<'_>, e: &mut Errors) {
    let of_pod = spec.get("securityContext.windowsOptions.hostProcess");
    let (mut all, mut host) = (0, 0);
    for container in containers(spec) {
        let own = container.get("securityContext.windowsOptions.hostProcess");
        all += 1;
        if own.is_set() && of_pod.is_set() && own.bool() != of_pod.bool() {
            let says = format!(
                "pod hostProcess value must be identical if both are specified, was {}",
                of_pod.bool()
            );
            e.invalid(&own, says);
        }
        host += usize::from(own.bool() || !own.is_set() && of_pod.bool());
    }
    if host == 0 {
        return;
    }
    if host != all {
        let says =
            "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        e.invalid_as(&spec.path, "", says);
    }
    if !spec.get("hostNetwork").bool() {
        let says = "hostNetwork must be true if pod contains any hostProcess containers";
        e.invalid_as(&spec.get("hostNetwork").path, false, says);
    }
}

/// What the pod's operating system rules out.
pub(super) fn operating_system(spec: &At<'_>, e: &mut Errors) {
    const POD: &[&str] = &[
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
    ];
    const CONTAINER: &[&str] = &[
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    let os = spec.get("os");
    if !os.is_set() || !required(&os.get("name"), e) {
        return;
    }
    match os.get("name").str() {
        "linux" => {
            let of_pod = spec.get("securityContext");
            let all = std::iter::once(of_pod).chain(containers(spec).map(|c| c.get("securityContext")));
            for context in all.filter(|c| c.get("windowsOptions").is_set()) {
                let path = context.get("windowsOptions").path;
                e.forbidden(&path, "windows options cannot be set for a linux pod");
            }
        }
        "windows" => {
            let says = "cannot be set for a windows pod";
            let mut refuse = |at: At<'_>| {
                if at.is_set() {
                    e.forbidden(&at.path, says);
                }
            };
            POD.iter().for_each(|name| refuse(spec.get("securityContext").get(name)));
            refuse(spec.get("hostUsers"));
            for name in ["hostPID", "hostIPC"] {
                if spec.get(name).bool() {
                    refuse(spec.get(name));
                }
            }
            refuse(spec.get("shareProcessNamespace"));
            for container in containers(spec) {
                CONTAINER.iter().for_each(|name| refuse(container.get("securityContext").get(name)));
            }
        }
        _ => e.not_supported(&os.get("name").under(os.path.clone()), &["linux", "windows"]),
    }
}
