//! Pod: its row, and the rules of a pod's spec that templates share.

use std::borrow::Cow;

use serde_json::Value;

use super::Row;
use super::rules::{known, relative_path};
use crate::field_error::{At, Errors};
use crate::kind::{Part, Read, Selectable, Strategy};
use crate::meta;
use crate::names::{dns1123_label, dns1123_subdomain, label_key, range_says};

mod columns;
mod containers;
pub(super) mod default;
mod probes;
pub(in crate::kinds) mod qos;
pub(super) mod resources;
pub(super) mod scheduling;
mod security;
pub(super) mod shown;
mod status;
mod update;
pub(super) mod volumes;
pub(super) mod warnings;

/// Lists of containers, in the order in which upstream visits them.
const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

const fn selectable(name: &'static str, absent: &'static str) -> Selectable {
    Selectable { name: Cow::Borrowed(name), read: Read::Path(absent) }
}

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            default: default::pod,
            prepare_create: status::prepare_create,
            prepare_update: |new, old, _| {
                meta::restore(new, old, "status");
                if meta::at(new, "spec.resources").is_none() {
                    meta::restore(new, old, "spec.resources");
                }
            },
            generation: &["spec"],
            validate: create,
            validate_update: update::validate,
            warn: |new, old| if old.is_none() { warnings::pod(new) } else { Vec::new() },
            grace,
            ..Strategy::GENERIC
        },
        parts: &[
            ("status", status::STATUS),
            (
                "ephemeralcontainers",
                Part {
                    prepare: |new, old, _| update::keep_all_but(new, old, &["ephemeralContainers"]),
                    validate: update::ephemeral,
                    warn: |_, _| Vec::new(),
                },
            ),
            (
                "resize",
                Part { prepare: update::prepare_resize, validate: update::resize, warn: |_, _| Vec::new() },
            ),
        ],
        columns: columns::COLUMNS,
        cells: columns::cells,
        selectable: &[
            selectable("spec.nodeName", ""),
            selectable("spec.restartPolicy", ""),
            selectable("spec.schedulerName", ""),
            selectable("spec.serviceAccountName", ""),
            selectable("spec.hostNetwork", "false"),
            selectable("status.phase", ""),
            Selectable {
                name: Cow::Borrowed("status.podIP"),
                read: Read::Made(|pod| {
                    let first = meta::list_at(pod, "status.podIPs").first();
                    first.map_or_else(String::new, |ip| meta::str_at(ip, "ip").to_owned())
                }),
            },
            selectable("status.nominatedNodeName", ""),
        ],
        ..Row::new("", "Pod")
    },
    Row { strategy: Strategy { validate: binding, ..Strategy::GENERIC }, ..Row::new("", "Binding") },
    Row {
        strategy: Strategy {
            default: |object| {
                if let Some(spec) = meta::at_mut(object, "template.spec") {
                    default::spec(spec);
                }
            },
            validate: |new, e| template(&new.get("template"), e),
            validate_update: |new, _, e| template(&new.get("template"), e),
            generation: &["template"],
            warn: |new, _| warnings::template(new, "template"),
            ..Strategy::GENERIC
        },
        columns: columns::TEMPLATE_COLUMNS,
        cells: columns::template_cells,
        ..Row::new("", "PodTemplate")
    },
];

/// What is let pass, and what is asked of pods alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules {
    /// A pod rather than a template.
    pub(super) pod: bool,
}

fn create(pod: &At<'_>, e: &mut Errors) {
    metadata_and_spec(pod, e);
    let spec = pod.get("spec");
    if !spec.get("ephemeralContainers").is_empty() {
        e.forbidden(&spec.get("ephemeralContainers").path, "cannot be set on create");
    }
    if !spec.get("nodeName").is_empty() && !spec.get("schedulingGates").is_empty() {
        let says = "cannot be set until all schedulingGates have been cleared";
        e.forbidden(&spec.get("nodeName").path, says);
    }
    profiles_match(pod, e);
}

/// The rules of a pod that hold whenever it is written.
fn metadata_and_spec(pod: &At<'_>, e: &mut Errors) {
    annotations(&pod.get("metadata"), &pod.get("spec"), e);
    let spec_at = pod.get("spec");
    spec(&spec_at, pod.get("metadata.name").str(), Rules { pod: true }, e);
    if spec_at.get("serviceAccountName").is_empty() {
        for source in spec_at.get("volumes").items().flat_map(|v| v.get("projected.sources").items()) {
            let token = source.get("serviceAccountToken");
            if token.is_set() {
                e.forbidden(&token.path, "must not be specified when serviceAccountName is not set");
            }
        }
    }
    super::rules::not_negative(&spec_at.get("terminationGracePeriodSeconds"), e);
    for list in ["containers", "initContainers"] {
        spec_at.get(list).items().for_each(|c| containers::image_is_trimmed(&c, e));
    }
}

/// A template of pods; `at` is the template.
pub(super) fn template(at: &At<'_>, e: &mut Errors) {
    super::metadata::labels(&at.get("metadata.labels").under(at.path.child("labels")), e);
    super::metadata::annotations(&at.get("metadata.annotations").under(at.path.child("annotations")), e);
    let metadata = At { value: at.get("metadata").value, path: at.path.clone() };
    annotations(&metadata, &at.get("spec"), e);
    spec(&at.get("spec"), "", Rules::default(), e);
    profiles_match(at, e);
    if !at.get("spec.ephemeralContainers").is_empty() {
        let path = at.get("spec.ephemeralContainers").path;
        e.forbidden(&path, "ephemeral containers not allowed in pod template");
    }
}

/// The spec of a pod; `name` is the pod's, where it has one.
pub(super) fn spec(at: &At<'_>, name: &str, rules: Rules, e: &mut Errors) {
    let grace = at.get("terminationGracePeriodSeconds");
    if !grace.is_set() {
        e.required(&grace.path, "");
    }
    let volumes = volumes::volumes(&at.get("volumes"), name, e);
    let claims = at.get("resourceClaims").items().map(|c| c.get("name").str()).filter(|n| !n.is_empty());
    let around = containers::Around { volumes, claims: claims.collect(), spec: at.clone() };
    resource_claims(&at.get("resourceClaims"), e);
    containers::containers(&around, e);
    containers::init_containers(&around, e);
    containers::ephemeral_containers(&around, e);
    resources::pod_resources(&around, e);
    host_network(at, rules, e);
    known(&at.get("restartPolicy"), &["Always", "OnFailure", "Never"], e);
    known(&at.get("dnsPolicy"), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], e);
    super::metadata::labels(&at.get("nodeSelector"), e);
    security::pod_security(at, e);
    if at.get("shareProcessNamespace").bool() && at.get("hostPID").bool() {
        let says = "ShareProcessNamespace and HostPID cannot both be enabled";
        e.invalid(&at.get("shareProcessNamespace"), says);
    }
    scheduling::affinity(&at.get("affinity"), e);
    scheduling::dns(at, e);
    for gate in at.get("readinessGates").items() {
        let kind = gate.get("conditionType");
        e.invalid_each(&kind, label_key(kind.str()));
    }
    scheduling::gates(&at.get("schedulingGates"), e);
    scheduling::spread(&at.get("topologySpreadConstraints"), e);
    security::host_process(at, e);
    security::host_users(at, e);
    scheduling::host_name(at, e);
    names(at, e);
    scheduling::tolerations(&at.get("tolerations"), e);
    scheduling::host_aliases(&at.get("hostAliases"), e);
    for name in ["priorityClassName", "runtimeClassName"] {
        named_if_set(&at.get(name), dns1123_subdomain, e);
    }
    let preemption = at.get("preemptionPolicy");
    if preemption.is_set() {
        known(&preemption, &["PreemptLowerPriority", "Never"], e);
    }
    resources::overhead(&at.get("overhead"), e);
    security::operating_system(at, e);
    containers::environment_files(at, e);
}

fn named_if_set(at: &At<'_>, rule: fn(&str) -> Vec<String>, e: &mut Errors) {
    super::rules::named_if_set(at, rule, e);
}

/// Names and numbers of the spec itself.
fn names(at: &At<'_>, e: &mut Errors) {
    let account = at.get("serviceAccountName");
    named_if_set(&account, dns1123_subdomain, e);
    let old_name = at.get("serviceAccount");
    if old_name.str() != account.str() {
        let says =
            format!("must be the same as serviceAccountName: {}", crate::field_error::quote(account.str()));
        e.invalid_as(&at.path.child("deprecatedServiceAccount"), old_name.str(), says);
    }
    named_if_set(&at.get("nodeName"), dns1123_subdomain, e);
    let deadline = at.get("activeDeadlineSeconds");
    if deadline.opt_int().is_some_and(|n| !(1..=i64::from(i32::MAX)).contains(&n)) {
        e.invalid(&deadline, range_says(1, i64::from(i32::MAX)));
    }
    named_if_set(&at.get("hostname"), dns1123_label, e);
    named_if_set(&at.get("subdomain"), dns1123_label, e);
}

fn host_network(at: &At<'_>, rules: Rules, e: &mut Errors) {
    if !at.get("hostNetwork").bool() {
        return;
    }
    for port in at.get("containers").items().flat_map(|c| c.get("ports").items()) {
        let (host, own) = (port.get("hostPort"), port.get("containerPort").int());
        if (rules.pod || host.int() != 0) && host.int() != own {
            let says = "must match `containerPort` when `hostNetwork` is true";
            e.invalid_as(&host.path, host.int(), says);
        }
    }
}

fn resource_claims(at: &At<'_>, e: &mut Errors) {
    let mut seen = std::collections::BTreeSet::new();
    for claim in at.items() {
        let (name, own, template) =
            (claim.get("name"), claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName"));
        if name.is_empty() {
            e.required(&name.path, "");
        } else if seen.insert(name.str()) {
            e.invalid_each(&name, dns1123_label(name.str()));
        } else {
            e.duplicate(&name.path, name.str());
        }
        let shown = serde_json::json!({
            "Name": name.str(),
            "ResourceClaimName": own.value,
            "ResourceClaimTemplateName": template.value,
        });
        match (own.is_set(), template.is_set()) {
            (true, true) => {
                let says =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                e.invalid_as(&claim.path, shown, says);
            }
            (false, false) => {
                let says = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                e.invalid_as(&claim.path, shown, says);
            }
            _ => {}
        }
        for name in [own, template].iter().filter(|at| at.is_set()) {
            e.invalid_each(name, dns1123_subdomain(name.str()));
        }
    }
}

const MIRROR: &str = "kubernetes.io/config.mirror";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Annotations that mean something for a pod.
fn annotations(metadata: &At<'_>, spec: &At<'_>, e: &mut Errors) {
    let at = metadata.get("annotations");
    let names: Vec<&str> =
        LISTS.iter().flat_map(|list| spec.get(list).items()).map(|c| c.get("name").str()).collect();
    for (key, value) in at.entries() {
        let text = value.str();
        if key == MIRROR && spec.get("nodeName").is_empty() {
            e.invalid(&value, "must set spec.nodeName if mirror pod annotation is set");
        } else if key == "controller.kubernetes.io/pod-deletion-cost" {
            let wrong = text.parse::<i32>().is_err()
                || text.starts_with('+')
                || text.len() > 1 && text.starts_with('0');
            if wrong {
                e.invalid(&value, "must be a 32bit integer");
            }
        } else if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            let place = At { value: value.value, path: at.path.key(key) };
            if let Some(profile) = text.strip_prefix("localhost/") {
                relative_path(&At { value: Some(&Value::String(profile.to_owned())), path: place.path }, e);
            } else if !["runtime/default", "docker/default", "unconfined"].contains(&text) {
                e.invalid(&place, "must be a valid seccomp profile");
            }
        } else if let Some(container) = key.strip_prefix(APP_ARMOR) {
            if !names.contains(&container) {
                e.invalid_as(&value.path, container, "container not found");
            }
            let known =
                ["", "runtime/default", "unconfined"].contains(&text) || text.starts_with("localhost/");
            if !known {
                let says = format!("invalid AppArmor profile name: {}", crate::field_error::quote(text));
                e.invalid(&value, says);
            }
        }
    }
}

/// Security profiles said both by annotation and by field must be the same.
fn profiles_match(at: &At<'_>, e: &mut Errors) {
    let (object, spec) = (at.value.unwrap_or(&Value::Null), at.get("spec"));
    let check = |key: &str, profile: &At<'_>, what: &str, e: &mut Errors| {
        let Some(annotation) = meta::annotation(object, key).filter(|_| profile.is_set()) else { return };
        let local = annotation.strip_prefix("localhost/");
        let fine = match profile.get("type").str() {
            "Unconfined" => annotation == "unconfined",
            "RuntimeDefault" => {
                annotation == "runtime/default" || what == "seccomp" && annotation == "docker/default"
            }
            "Localhost" if local.is_some_and(|l| !profile.get("localhostProfile").is(l)) => {
                let says = format!("{what} profile in annotation and field must match");
                return e.forbidden(&profile.get("localhostProfile").path, says);
            }
            "Localhost" => local.is_some(),
            _ => true,
        };
        if !fine {
            let says = format!("{what} type in annotation and field must match");
            e.forbidden(&profile.get("type").path, says);
        }
    };
    check(SECCOMP_POD, &spec.get("securityContext.seccompProfile"), "seccomp", e);
    let all = || LISTS.iter().flat_map(|list| spec.get(list).items());
    for container in all() {
        let key = format!("{SECCOMP_CONTAINER}{}", container.get("name").str());
        check(&key, &container.get("securityContext.seccompProfile"), "seccomp", e);
    }
    for container in all().filter(|_| !spec.get("os.name").is("windows")) {
        let key = format!("{APP_ARMOR}{}", container.get("name").str());
        let own = container.get("securityContext.appArmorProfile");
        let profile =
            if own.is_set() { own } else { spec.get("securityContext.appArmorProfile").under(own.path) };
        check(&key, &profile, "apparmor", e);
    }
}

/// What a scheduler posts to bind a pod to a node.
fn binding(at: &At<'_>, e: &mut Errors) {
    let (kind, name) = (at.get("target.kind"), at.get("target.name"));
    if !kind.is_empty() && !kind.is("Node") {
        e.not_supported(&kind, &["Node", "<empty>"]);
    }
    if name.is_empty() {
        e.required(&name.path, "");
    } else if kind.is_empty() || kind.is("Node") {
        e.invalid_each(&name, dns1123_subdomain(name.str()));
    }
}

/// A pod stays as long as it asks for once it is on a node, until it has ended.
fn grace(pod: &Value, requested: Option<i64>) -> Option<i64> {
    let own = meta::at(pod, "spec.terminationGracePeriodSeconds").and_then(Value::as_i64);
    let ended = ["Failed", "Succeeded"].contains(&meta::str_at(pod, "status.phase"));
    if ended || meta::str_at(pod, "spec.nodeName").is_empty() {
        return Some(0);
    }
    let seconds = requested.or(own).unwrap_or(0);
    Some(if seconds < 0 { 1 } else { seconds })
}

#[cfg(test)]
mod tests;
