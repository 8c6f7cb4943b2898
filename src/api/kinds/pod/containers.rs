//! Containers of a pod: names, images, ports, environment, mounts, resources, restarts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::probes;
use super::resources::{container_resource, resources};
use super::security::container_security;
use crate::field_error::{At, Errors};
use crate::kinds::rules::{known, named, no_backsteps, quantity, relative_path, required};
use crate::meta;
use crate::names::{
    config_key, dns1123_label, dns1123_subdomain, env_var, label_key, port_name, port_number,
};
use crate::quantity::Quantity;

/// What a container's rules look at beside the container.
pub(super) struct Around<'a> {
    /// The pod's volumes that are fine, by name.
    pub(super) volumes: BTreeMap<&'a str, &'a Value>,
    /// Names of the pod's resource claims.
    pub(super) claims: BTreeSet<&'a str>,
    /// The pod's spec.
    pub(super) spec: At<'a>,
}

impl<'a> Around<'a> {
    fn grace(&self) -> Option<i64> {
        self.spec.get("terminationGracePeriodSeconds").opt_int()
    }

    pub(super) fn os(&self) -> At<'a> {
        self.spec.get("os")
    }
}

const RESTARTS: &[&str] = &["Always", "Never", "OnFailure"];

/// The ordinary containers.
pub(super) fn containers(around: &Around<'_>, e: &mut Errors) {
    let all = around.spec.get("containers");
    if !required(&all, e) {
        return;
    }
    let mut names = BTreeSet::new();
    for container in all.items() {
        common(&container, around, e);
        if !names.insert(container.get("name").str()) {
            e.duplicate(&container.get("name").path, container.get("name").str());
        }
        probes::lifecycle(&container, &around.os(), around.grace(), e);
        probes::probes(&container, around.grace(), e);
        restart(&container, e);
    }
    host_ports(all.items(), e);
}

/// Containers that run before the others, or beside them from the start.
pub(super) fn init_containers(around: &Around<'_>, e: &mut Errors) {
    let mut names: BTreeSet<&str> =
        around.spec.get("containers").items().map(|c| c.get("name").str()).collect();
    let all = around.spec.get("initContainers");
    for container in all.items() {
        common(&container, around, e);
        restart(&container, e);
        let name = container.get("name");
        if !name.is_empty() && !names.insert(name.str()) {
            e.duplicate(&name.path, name.str());
        }
        host_ports(std::iter::once(container.under(all.path.index(0))), e);
        let stays = container.get("restartPolicy").is("Always");
        if stays {
            probes::lifecycle(&container, &around.os(), around.grace(), e);
            probes::probes(&container, around.grace(), e);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            let at = container.get(field);
            if at.is_set() {
                e.forbidden(&at.path, "may not be set for init containers without restartPolicy=Always");
            }
        }
        for policy in container.get("resizePolicy").items() {
            let restart = policy.get("restartPolicy");
            if restart.is("RestartContainer") {
                let says = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                e.invalid(&restart, says);
            }
        }
    }
}

/// Fields that a container added to a running pod may not have.
const NOT_EPHEMERAL: &[&str] = &[
    "ports",
    "resources",
    "lifecycle",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
];

/// Containers added to a running pod.
pub(super) fn ephemeral_containers(around: &Around<'_>, e: &mut Errors) {
    let of =
        |list: &'static str| around.spec.get(list).items().map(|c| c.get("name").str()).collect::<Vec<_>>();
    let others: BTreeSet<&str> = of("containers").into_iter().chain(of("initContainers")).collect();
    let mut names = others.clone();
    for container in around.spec.get("ephemeralContainers").items() {
        common(&container, around, e);
        image_is_trimmed(&container, e);
        let name = container.get("name");
        if !names.insert(name.str()) {
            e.duplicate(&name.path, name.str());
        }
        let target = container.get("targetContainerName");
        if !target.is_empty() && !others.contains(target.str()) {
            e.not_found(&target.path, target.str());
        }
        for field in NOT_EPHEMERAL {
            let at = container.get(field);
            if !at.is_empty() {
                e.forbidden(&at.path, "cannot be set for an Ephemeral Container");
            }
        }
        for mount in container.get("volumeMounts").items() {
            for field in ["subPath", "subPathExpr"] {
                if !mount.get(field).is_empty() {
                    e.forbidden(&mount.get(field).path, "cannot be set for an Ephemeral Container");
                }
            }
        }
    }
}

/// The rule of images that holds for pods but not for templates.
pub(super) fn image_is_trimmed(container: &At<'_>, e: &mut Errors) {
    let image = container.get("image");
    if image.str().trim().len() != image.str().len() {
        e.invalid(&image, "must not have leading or trailing whitespace");
    }
}

fn common(container: &At<'_>, around: &Around<'_>, e: &mut Errors) {
    named(&container.get("name"), dns1123_label, e);
    required(&container.get("image"), e);
    let policies = ["File", "FallbackToLogsOnError"];
    known(&container.get("terminationMessagePolicy"), &policies, e);
    ports(&container.get("ports"), e);
    environment(container, e);
    mounts(container, around, e);
    devices(container, around, e);
    known(&container.get("imagePullPolicy"), &["Always", "IfNotPresent", "Never"], e);
    resources(&container.get("resources"), container_resource, &around.claims, e);
    resize(container, around, e);
    let host_users = !around.spec.get("hostUsers").is_set() || around.spec.get("hostUsers").bool();
    container_security(&container.get("securityContext"), host_users, e);
}

fn ports(at: &At<'_>, e: &mut Errors) {
    let mut names = BTreeSet::new();
    for port in at.items() {
        let name = port.get("name");
        let wrong = if name.is_empty() { Vec::new() } else { port_name(name.str()) };
        if !wrong.is_empty() {
            e.invalid_each(&name, wrong);
        } else if !name.is_empty() && !names.insert(name.str()) {
            e.duplicate(&name.path, name.str());
        }
        let own = port.get("containerPort");
        if required(&own, e) {
            e.invalid_each(&own, port_number(own.int()));
        }
        let host = port.get("hostPort");
        if !host.is_empty() {
            e.invalid_each(&host, port_number(host.int()));
        }
        known(&port.get("protocol"), &["SCTP", "TCP", "UDP"], e);
    }
}

fn host_ports<'a>(containers: impl Iterator<Item = At<'a>>, e: &mut Errors) {
    let mut taken = BTreeSet::new();
    for port in containers.flat_map(|c| c.get("ports").items()) {
        let host = port.get("hostPort");
        if host.is_empty() {
            continue;
        }
        let (protocol, address) = (port.get("protocol").str(), port.get("hostIP").str());
        let claim = format!("{protocol}/{address}/{}", host.int());
        if taken.contains(&claim) {
            e.duplicate(&host.path, claim);
        } else {
            taken.insert(claim);
        }
    }
}

fn environment(container: &At<'_>, e: &mut Errors) {
    for variable in container.get("env").items() {
        named(&variable.get("name"), env_var, e);
        value_from(&variable, e);
    }
    let all = container.get("envFrom");
    for from in all.items() {
        let prefix = from.get("prefix");
        if !prefix.is_empty() {
            e.invalid_each(&prefix, env_var(prefix.str()));
        }
        let mut count = 0;
        for source in ["configMapRef", "secretRef"] {
            if from.get(source).is_set() {
                count += 1;
                let name = from.get(source).get("name");
                if required(&name, e) {
                    e.invalid_each(&name, crate::names::subdomain_rule(name.str(), true));
                }
            }
        }
        match count {
            0 => e.invalid_as(&all.path, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => e.invalid_as(&all.path, "", "may not have more than one field specified at a time"),
        }
    }
}

fn value_from(variable: &At<'_>, e: &mut Errors) {
    const PATHS: &[&str] = &[
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    let from = variable.get("valueFrom");
    if !from.is_set() {
        return;
    }
    let mut count = 0;
    for source in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"] {
        let at = from.get(source);
        if !at.is_set() {
            continue;
        }
        count += 1;
        match source {
            "fieldRef" => field_ref(&at, PATHS, e),
            "resourceFieldRef" => resource_field_ref(&at, false, e),
            "fileKeyRef" => {
                named(&at.get("key"), env_var, e);
                named(&at.get("volumeName"), dns1123_label, e);
                if required(&at.get("path"), e) {
                    no_backsteps(&at.get("path"), e);
                }
            }
            _ => {
                let name = at.get("name");
                for wrong in dns1123_subdomain(name.str()) {
                    e.invalid_as(&name.path, name.str(), wrong);
                }
                named(&at.get("key"), config_key, e);
            }
        }
    }
    if count == 0 {
        e.invalid_as(&from.path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
    } else if !variable.get("value").is_empty() {
        e.invalid_as(&from.path, "", "may not be specified when `value` is not empty");
    } else if count > 1 {
        e.invalid_as(&from.path, "", "may not have more than one field specified at a time");
    }
}

/// A field of the pod itself, one of `known`, or a label or annotation of it.
pub(super) fn field_ref(at: &At<'_>, known: &[&str], e: &mut Errors) {
    const CONVERTED: &[&str] = &[
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.serviceAccountName",
        "spec.schedulerName",
        "status.phase",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    let path = at.get("fieldPath");
    if !required(&at.get("apiVersion"), e) || !required(&path, e) {
        return;
    }
    let (text, error) = (path.str(), "error converting fieldPath");
    if !at.get("apiVersion").is("v1") {
        let version = at.get("apiVersion").str();
        e.invalid(&path, format!("{error}: unsupported pod version: {version}"));
        return;
    }
    let subscript = text.strip_suffix("']").and_then(|t| t.split_once("['"));
    match subscript {
        Some(("metadata.annotations", key)) => {
            e.invalid_each_as(at, key, label_key(&key.to_lowercase()));
        }
        Some(("metadata.labels", key)) => e.invalid_each_as(at, key, label_key(key)),
        Some((path, _)) => {
            e.invalid(
                &at.get("fieldPath"),
                format!("{error}: field label does not support subscript: {path}"),
            );
        }
        None if text == "spec.host" => {}
        None if !CONVERTED.contains(&text) => {
            e.invalid(&path, format!("{error}: field label not supported: {text}"));
        }
        None if !known.contains(&text) => e.not_supported(&path, known),
        None => {}
    }
}

/// A container's own request or limit.
pub(super) fn resource_field_ref(at: &At<'_>, of_volume: bool, e: &mut Errors) {
    const KNOWN: &[&str] = &[
        "limits.cpu",
        "limits.ephemeral-storage",
        "limits.memory",
        "requests.cpu",
        "requests.ephemeral-storage",
        "requests.memory",
    ];
    let (container, resource) = (at.get("containerName"), at.get("resource"));
    let name = resource.str();
    let huge = name.starts_with("requests.hugepages-") || name.starts_with("limits.hugepages-");
    if of_volume && container.is_empty() {
        e.required(&container.path, "");
    } else if resource.is_empty() {
        e.required(&resource.path, "");
    } else if !KNOWN.contains(&name) && !huge {
        e.not_supported(&resource, KNOWN);
    }
    let divisor = at.get("divisor");
    if quantity(&divisor) == Quantity::ZERO {
        return;
    }
    let kind = match name.rsplit_once('.').map(|(_, kind)| kind) {
        Some("cpu") if !["1m", "1"].contains(&divisor.str()) => {
            let says = "only divisor's values 1m and 1 are supported with the cpu resource";
            return e.invalid_as(&divisor.path, name, says);
        }
        Some("memory") => "memory",
        Some("ephemeral-storage") => "local ephemeral storage",
        _ if huge => "hugepages",
        _ => return,
    };
    let sizes = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
    if !sizes.split(", ").any(|size| divisor.is(size)) {
        let says = format!("only divisor's values {sizes} are supported with the {kind} resource");
        e.invalid_as(&divisor.path, name, says);
    }
}

fn mounts(container: &At<'_>, around: &Around<'_>, e: &mut Errors) {
    let (all, devices) = (container.get("volumeMounts"), container.get("volumeDevices"));
    let mut paths = BTreeSet::new();
    for mount in all.items() {
        let (name, path) = (mount.get("name"), mount.get("mountPath"));
        required(&name, e);
        let volume = around.volumes.get(name.str());
        if volume.is_none() {
            e.not_found(&name.path, name.str());
        }
        required(&path, e);
        if !paths.insert(path.str()) {
            e.invalid_as(&path.path, path.str(), "must be unique");
        }
        if devices.items().any(|d| d.get("name").is(name.str())) {
            e.invalid(&name, "must not already exist in volumeDevices");
        }
        if devices.items().any(|d| d.get("devicePath").is(path.str())) {
            e.invalid(&path, "must not already exist as a path in volumeDevices");
        }
        // Upstream names the list rather than the item as the place of what follows.
        let (sub, expression) = (mount.get("subPath"), mount.get("subPathExpr"));
        relative_path(&sub.under(all.path.child("subPath")), e);
        if !expression.is_empty() && !sub.is_empty() {
            e.invalid(&expression, "subPathExpr and subPath are mutually exclusive");
        }
        relative_path(&expression.under(all.path.child("subPathExpr")), e);
        propagation(&mount, container, &all, e);
        let options = mount.get("bindMountOptions");
        if !options.is_empty() && volume.is_some_and(|v| meta::at(v, "image").is_some()) {
            e.invalid(&options, "bindMountOptions may not be used with image volumes");
        }
    }
}

fn propagation(mount: &At<'_>, container: &At<'_>, all: &At<'_>, e: &mut Errors) {
    let mode = mount.get("mountPropagation").under(all.path.child("mountPropagation"));
    if mode.is_set() {
        e.one_of(&mode, &["Bidirectional", "HostToContainer", "None"]);
        if mode.is("Bidirectional") && !container.get("securityContext.privileged").bool() {
            let says = "Bidirectional mount propagation is available only to privileged containers";
            e.forbidden(&mode.path, says);
        }
    }
    let recursive = mount.get("recursiveReadOnly").under(all.path.child("recursiveReadOnly"));
    if !recursive.is_set() || !e.one_of(&recursive, &["Disabled", "Enabled", "IfPossible"]) {
        return;
    }
    if recursive.is("Disabled") {
        return;
    }
    if !mount.get("readOnly").bool() {
        e.forbidden(&recursive.path, "may only be specified when readOnly is true");
    }
    if mode.is_set() && !mode.is("None") {
        let says = "may only be specified when mountPropagation is None or not specified";
        e.forbidden(&recursive.path, says);
    }
}

fn devices(container: &At<'_>, around: &Around<'_>, e: &mut Errors) {
    let mounts = container.get("volumeMounts");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for device in container.get("volumeDevices").items() {
        let (name, path) = (device.get("name"), device.get("devicePath"));
        required(&name, e);
        if names.contains(name.str()) {
            e.invalid(&name, "must be unique");
        }
        match around.volumes.get(name.str()) {
            Some(v) if v.get("persistentVolumeClaim").is_none() && v.get("ephemeral").is_none() => {
                e.invalid(
                    &name,
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                );
            }
            Some(_) => {}
            None => e.not_found(&name.path, name.str()),
        }
        required(&path, e);
        if paths.contains(path.str()) {
            e.invalid(&path, "must be unique");
        }
        if path.str().split('/').any(|part| part == "..") {
            e.invalid(&path, "can not contain backsteps ('..')");
        } else {
            paths.insert(path.str());
        }
        if mounts.items().any(|m| m.get("name").is(name.str())) {
            e.invalid(&name, "must not already exist in volumeMounts");
        }
        if mounts.items().any(|m| m.get("mountPath").is(path.str())) {
            e.invalid(&path, "must not already exist as a path in volumeMounts");
        }
        if !name.is_empty() {
            names.insert(name.str());
        }
    }
}

fn resize(container: &At<'_>, around: &Around<'_>, e: &mut Errors) {
    let at = container.get("resizePolicy");
    let mut seen = BTreeSet::new();
    for policy in at.items() {
        let (name, restart) = (policy.get("resourceName"), policy.get("restartPolicy"));
        if !seen.insert(name.str()) {
            e.duplicate(&policy.path, name.str());
        }
        known(&name.under(at.path.clone()), &["cpu", "memory"], e);
        known(&restart.under(at.path.clone()), &["NotRequired", "RestartContainer"], e);
        if around.spec.get("restartPolicy").is("Never") && !restart.is("NotRequired") {
            let says = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            e.invalid_as(&at.path, restart.str(), says);
        }
    }
}

fn restart(container: &At<'_>, e: &mut Errors) {
    let (policy, rules) = (container.get("restartPolicy"), container.get("restartPolicyRules"));
    if !policy.is_set() && !rules.is_empty() {
        e.required(&policy.path, "must specify restartPolicy when restart rules are used");
    }
    if policy.is_set() {
        e.one_of(&policy, RESTARTS);
    }
    if rules.len() > 20 {
        e.too_many(&rules.path, rules.len(), 20);
    }
    for rule in rules.items() {
        e.one_of(&rule.get("action"), &["Restart", "RestartAllContainers"]);
        let codes = rule.get("exitCodes");
        if !codes.is_set() {
            e.required(&codes.path, "must be specified");
            continue;
        }
        e.one_of(&codes.get("operator"), &["In", "NotIn"]);
        if codes.get("values").len() > 255 {
            e.too_many(&codes.get("values").path, codes.get("values").len(), 255);
        }
    }
}

/// Environment read from files must name a volume that can hold them.
pub(super) fn environment_files(spec: &At<'_>, e: &mut Errors) {
    let volumes = spec.get("volumes");
    for list in super::LISTS {
        for variable in spec.get(list).items().flat_map(|c| c.get("env").items()) {
            let name = variable.get("valueFrom.fileKeyRef.volumeName");
            if !variable.get("valueFrom.fileKeyRef").is_set() {
                continue;
            }
            match volumes.items().find(|v| v.get("name").is(name.str())) {
                None => e.not_found(&name.path, name.str()),
                Some(v) if !v.get("emptyDir").is_set() => {
                    e.invalid(&name, "referenced volume must be of type emptyDir");
                }
                Some(_) => {}
            }
        }
    }
}
