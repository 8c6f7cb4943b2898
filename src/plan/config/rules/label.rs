//! Labels and taints: Kubernetes' syntax, and what a node may say about itself.
//!
//! The names a node may not set follow the NodeRestriction admission of upstream: it lets a node
//! label itself inside kubernetes.io and k8s.io only by kubelet.kubernetes.io,
//! node.kubernetes.io and a handful of names that the node fills in by itself.

use super::name::is_dns_label;
use super::{Checked, refuse, shown};

/// Names the node fills in by itself.
const OWN: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// A label's key that a node may set on itself.
pub(in super::super) fn label_key(text: &str) -> Checked<String> {
    let key = qualified(text, "label")?;
    let Some((prefix, _)) = key.split_once('/') else {
        return Ok(key);
    };
    if OWN.contains(&key.as_str()) {
        return refuse(format!("{} is set by the node itself", shown(text)), "leave it out");
    }
    let reserved = within(prefix, "kubernetes.io") || within(prefix, "k8s.io");
    let open = within(prefix, "kubelet.kubernetes.io") || within(prefix, "node.kubernetes.io");
    if reserved && !open {
        return refuse(
            format!("{} is a label that no node may give itself", shown(text)),
            "use a domain of your own, or set it later: kubectl label node",
        );
    }
    Ok(key)
}

/// A taint's key. Those under node.kubernetes.io come and go with the node's state.
pub(in super::super) fn taint_key(text: &str) -> Checked<String> {
    let key = qualified(text, "taint")?;
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    if within(prefix, "node.kubernetes.io") || within(prefix, "node.cloudprovider.kubernetes.io") {
        return refuse(
            format!("{} is set and removed by the cluster itself", shown(text)),
            "leave it out, or use a domain of your own",
        );
    }
    Ok(key)
}

/// A label's or taint's value.
pub(in super::super) fn value(text: &str) -> Checked<String> {
    if text.is_empty() || is_name(text) {
        return Ok(text.to_owned());
    }
    refuse(
        format!("{} is not a value of a label or taint", shown(text)),
        "write at most 63 letters, digits, -, _ and ., a letter or digit first and last",
    )
}

/// Kubernetes' qualified name: `[DNS-SUBDOMAIN/]NAME`.
fn qualified(text: &str, what: &str) -> Checked<String> {
    let formed = match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_name(name),
        None => is_name(text),
    };
    if formed {
        return Ok(text.to_owned());
    }
    refuse(
        format!("{} is not a {what}'s key", shown(text)),
        "write [DOMAIN/]NAME, the name of at most 63 letters, digits, -, _ and ., \
         such as example.com/tier",
    )
}

fn is_name(text: &str) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    (1..=63).contains(&text.len())
        && text.starts_with(ends)
        && text.ends_with(ends)
        && text.chars().all(|c| ends(c) || matches!(c, '-' | '_' | '.'))
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

fn within(prefix: &str, domain: &str) -> bool {
    prefix == domain || prefix.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}
