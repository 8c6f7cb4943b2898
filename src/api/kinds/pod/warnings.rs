//! What the author of a pod should know though it is accepted.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{APP_ARMOR, LISTS, SECCOMP_CONTAINER, SECCOMP_POD};
use crate::field_error::{At, Path, quote};
use crate::kinds::rules::quantity;
use crate::meta;
use crate::names::dns1123_label;

/// Warnings for a new pod.
pub(super) fn pod(pod: &Value) -> Vec<String> {
    let mut all = Vec::new();
    let wrong = dns1123_label(meta::name(pod));
    if !wrong.is_empty() {
        all.push(format!("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]", wrong.join(" ")));
    }
    look(&At::root(pod), false, &mut all);
    all
}

/// Warnings for the template at a dotted path.
pub(crate) fn template(object: &Value, path: &'static str) -> Vec<String> {
    let mut all = Vec::new();
    let at = At::root(object).get(path);
    if at.is_set() {
        look(&at, true, &mut all);
    }
    all
}

const GONE: &[(&str, &str)] = &[
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

const LABELS: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
];

const ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];

fn look(at: &At<'_>, of_template: bool, all: &mut Vec<String>) {
    let spec = at.get("spec");
    let object = at.value.unwrap_or(&Value::Null);
    let annotations = at.get("metadata.annotations");
    for (key, entry) in spec.get("nodeSelector").entries() {
        all.extend(old_label(key).map(|says| format!("{}: {says}", entry.path)));
    }
    for constraint in spec.get("topologySpreadConstraints").items() {
        let key = constraint.get("topologyKey");
        all.extend(old_label(key.str()).map(|says| format!("{}: {} is {says}", key.path, key.str())));
        selects_nothing(&constraint, all);
    }
    for (key, says) in ANNOTATIONS.iter().filter(|(key, _)| meta::annotation(object, key).is_some()) {
        all.push(format!("{}: {says}", annotations.path.key(key)));
    }
    for volume in spec.get("volumes").items() {
        for (name, says) in GONE.iter().filter(|(name, _)| volume.get(name).is_set()) {
            let shown = if *name == "storageos" { "storageOS" } else { name };
            all.push(format!("{}: {says}", volume.path.child(shown)));
        }
    }
    twice(&spec.get("hostAliases"), "ip", "duplicate ip", all);
    twice(&spec.get("imagePullSecrets"), "name", "duplicate name", all);
    for secret in spec.get("imagePullSecrets").items().filter(|s| s.get("name").is_empty()) {
        all.push(format!("{}: invalid empty name \"\"", secret.get("name").path));
    }
    whole_bytes(&spec.get("overhead"), all);
    let seccomp = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
    if !spec.get("securityContext.seccompProfile").is_set() && meta::annotation(object, SECCOMP_POD).is_some()
    {
        all.push(format!("{}: {seccomp}", annotations.path.key(SECCOMP_POD)));
    }
    for container in LISTS.iter().flat_map(|list| spec.get(list).items()) {
        let key = format!("{SECCOMP_CONTAINER}{}", container.get("name").str());
        let own = container.get("securityContext.seccompProfile").is_set();
        if !own && meta::annotation(object, &key).is_some() {
            all.push(format!("{}: {seccomp}", annotations.path.key(&key)));
        }
        let key = format!("{APP_ARMOR}{}", container.get("name").str());
        let own = container.get("securityContext.appArmorProfile").is_set();
        if of_template && !own && meta::annotation(object, &key).is_some() {
            let says = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
            all.push(format!("{}: {says}", annotations.path.key(&key)));
        }
        whole_bytes(&container.get("resources.limits"), all);
        whole_bytes(&container.get("resources.requests"), all);
        hidden_variables(&container.get("env"), all);
    }
    ports(&spec, all);
    let grace = spec.get("terminationGracePeriodSeconds");
    if grace.int() < 0 {
        all.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            grace.path
        ));
    }
    for side in ["affinity.podAffinity", "affinity.podAntiAffinity"] {
        let side = spec.get(side);
        for term in side.get("requiredDuringSchedulingIgnoredDuringExecution").items() {
            selects_nothing(&term, all);
        }
        for term in side.get("preferredDuringSchedulingIgnoredDuringExecution").items() {
            selects_nothing(&term.get("podAffinityTerm"), all);
        }
    }
}

fn old_label(key: &str) -> Option<&'static str> {
    LABELS.iter().find(|(label, _)| *label == key).map(|(_, says)| *says)
}

fn selects_nothing(term: &At<'_>, all: &mut Vec<String>) {
    let selector = term.get("labelSelector");
    if !selector.is_set() {
        all.push(format!("{}: a null labelSelector results in matching no pod", selector.path));
    }
}

fn twice(list: &At<'_>, field: &'static str, says: &str, all: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for item in list.items().map(|item| item.get(field)) {
        if !seen.insert(item.str()) {
            all.push(format!("{}: {says} {}", item.path, quote(item.str())));
        }
    }
}

fn whole_bytes(list: &At<'_>, all: &mut Vec<String>) {
    for (name, amount) in list.entries() {
        if ["memory", "ephemeral-storage"].contains(&name) && quantity(&amount).milli() % 1000 != 0 {
            let shown = quote(amount.str());
            all.push(format!(
                "{}: fractional byte value {shown} is invalid, must be an integer",
                amount.path
            ));
        }
    }
}

fn hidden_variables(list: &At<'_>, all: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for variable in list.items() {
        let name = variable.get("name").str();
        if seen.insert(name) {
            continue;
        }
        let (value, itself) = (variable.get("value").str(), format!("$({name})"));
        if variable.get("valueFrom").is_set() || value == itself || !value.contains(&itself) {
            let says = "which may be dropped when using apply";
            all.push(format!("{}: hides previous definition of {}, {says}", variable.path, quote(name)));
        }
    }
}

fn ports(spec: &At<'_>, all: &mut Vec<String>) {
    let mut by_port: BTreeMap<String, Vec<At<'_>>> = BTreeMap::new();
    let mut by_name: BTreeMap<&str, Path> = BTreeMap::new();
    let mut names = Vec::new();
    for port in LISTS.iter().flat_map(|list| spec.get(list).items()).flat_map(|c| c.get("ports").items()) {
        let key = format!("{}/{}", port.get("containerPort").int(), port.get("protocol").str());
        let place = |at: &At<'_>| (at.get("hostIP").str().to_owned(), at.get("hostPort").int());
        let own = place(&port);
        for other in by_port.get(&key).into_iter().flatten() {
            let theirs = place(other);
            let what = if own == theirs {
                "duplicate port definition"
            } else if own.1 == 0 || theirs.1 == 0 {
                "overlapping port definition"
            } else if own.1 == theirs.1 && own.0.is_empty() != theirs.0.is_empty() {
                "dangerously ambiguous port definition"
            } else {
                continue;
            };
            all.push(format!("{}: {what} with {}", port.path, other.path));
        }
        let name = port.get("name").str();
        if !name.is_empty() {
            match by_name.get(name) {
                Some(other) => names.push(format!("{}: duplicate port name {} with {other}, services and probes that select ports by name will use {other}", port.path, quote(name))),
                None => {
                    by_name.insert(name, port.path.clone());
                }
            }
        }
        by_port.entry(key).or_default().push(port);
    }
    all.extend(names);
}
