//! Where a pod may run: affinity, tolerations, spreading, gates.

use std::collections::BTreeSet;

use crate::field_error::{At, Errors, Path};
use crate::kinds::metadata::selector;
use crate::kinds::rules::positive;
use crate::names::{dns1123_label, dns1123_subdomain, label_key, label_value};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Affinity to nodes and to other pods.
pub(super) fn affinity(at: &At<'_>, e: &mut Errors) {
    let node = at.get("nodeAffinity");
    if node.get(REQUIRED).is_set() {
        node_selector(&node.get(REQUIRED), e);
    }
    for term in node.get(PREFERRED).items() {
        weight(&term, e);
        node_term(&term.get("preference"), false, e);
    }
    for side in ["podAffinity", "podAntiAffinity"] {
        for term in at.get(side).get(REQUIRED).items() {
            pod_term(&term, e);
        }
        for term in at.get(side).get(PREFERRED).items() {
            weight(&term, e);
            pod_term(&term.get("podAffinityTerm"), e);
        }
    }
}

fn weight(term: &At<'_>, e: &mut Errors) {
    let weight = term.get("weight");
    if !(1..=100).contains(&weight.int()) {
        e.invalid_as(&weight.path, weight.int(), "must be in the range 1-100");
    }
}

/// A NodeSelector, also of volumes.
pub(in crate::kinds) fn node_selector(at: &At<'_>, e: &mut Errors) {
    let terms = at.get("nodeSelectorTerms");
    if terms.is_empty() {
        e.required(&terms.path, "must have at least one node selector term");
    }
    for term in terms.items() {
        node_term(&term, true, e);
    }
}

fn node_term(term: &At<'_>, values_too: bool, e: &mut Errors) {
    for requirement in term.get("matchExpressions").items() {
        let (operator, values) = (requirement.get("operator"), requirement.get("values"));
        match operator.str() {
            "In" | "NotIn" if values.is_empty() => {
                e.required(&values.path, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let says = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                e.forbidden(&values.path, says);
            }
            "Gt" | "Lt" if values.len() != 1 => {
                e.required(&values.path, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            _ => e.invalid(&operator, "not a valid selector operator"),
        }
        e.invalid_each(&requirement.get("key"), label_key(requirement.get("key").str()));
        if values_too {
            for value in values.items() {
                e.invalid_each(&value, label_value(value.str()));
            }
        }
    }
    for requirement in term.get("matchFields").items() {
        let (operator, values, key) =
            (requirement.get("operator"), requirement.get("values"), requirement.get("key"));
        if !["In", "NotIn"].contains(&operator.str()) {
            e.invalid(&operator, "not a valid selector operator");
        } else if values.len() != 1 {
            let says = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            e.required(&values.path, says);
        }
        if key.is("metadata.name") {
            for value in values.items() {
                e.invalid_each(&value, dns1123_subdomain(value.str()));
            }
        } else {
            e.invalid(&key, "not a valid field selector key");
        }
    }
}

fn pod_term(term: &At<'_>, e: &mut Errors) {
    selector(&term.get("labelSelector"), true, e);
    selector(&term.get("namespaceSelector"), true, e);
    for namespace in term.get("namespaces").items() {
        e.invalid_each_as(
            &At::new(None, term.path.child("namespace")),
            namespace.str(),
            dns1123_label(namespace.str()),
        );
    }
    label_keys(term, e);
    let key = term.get("topologyKey");
    if key.is_empty() {
        e.required(&key.path, "can not be empty");
    }
    e.invalid_each(&key, label_key(key.str()));
}

/// Keys whose values are taken from the pod itself.
fn label_keys(term: &At<'_>, e: &mut Errors) {
    let selector = term.get("labelSelector");
    for name in ["matchLabelKeys", "mismatchLabelKeys"] {
        let keys = term.get(name);
        if !keys.is_empty() && !selector.is_set() {
            e.forbidden(&keys.path, "must not be specified when labelSelector is not set");
        } else {
            keys.items().for_each(|key| e.invalid_each(&key, label_key(key.str())));
        }
    }
    let mut selected: BTreeSet<&str> =
        selector.get("matchLabels").entries().iter().map(|(key, _)| *key).collect();
    let matched = term.get("matchLabelKeys");
    for requirement in selector.get("matchExpressions").items() {
        let key = requirement.get("key").str();
        let at = matched.items().rposition(|m| m.is(key));
        if let Some(at) = at.filter(|_| selected.contains(key)) {
            e.invalid_as(&term.path.index(at), key, "exists in both matchLabelKeys and labelSelector");
        }
        selected.insert(key);
    }
    for key in matched.items() {
        if term.get("mismatchLabelKeys").items().any(|m| m.is(key.str())) {
            e.invalid(&key, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}

/// Tolerations of taints.
pub(super) fn tolerations(at: &At<'_>, e: &mut Errors) {
    for toleration in at.items() {
        let part = |name| toleration.get(name);
        let (key, operator, value, effect) = (part("key"), part("operator"), part("value"), part("effect"));
        if !key.is_empty() {
            e.invalid_each(&key, label_key(key.str()));
        } else if !operator.is("Exists") {
            let says =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            e.invalid(&operator, says);
        }
        if part("tolerationSeconds").is_set() && !effect.is("NoExecute") {
            e.invalid(&effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator.str() {
            "Equal" | "" => {
                let wrong = label_value(value.str());
                if !wrong.is_empty() {
                    e.invalid_as(&operator.path, value.str(), wrong.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                e.invalid_as(&operator.path, value.str(), "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            "Lt" | "Gt" => e.not_supported(&operator, &["Equal", "Exists", "Lt", "Gt"]),
            _ => e.not_supported(&operator, &["Equal", "Exists"]),
        }
        if !effect.is_empty() {
            taint_effect(&effect, e);
        }
    }
}

/// A taint's effect.
pub(in crate::kinds) fn taint_effect(at: &At<'_>, e: &mut Errors) {
    e.one_of(at, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
}

/// How pods are spread over nodes.
pub(super) fn spread(at: &At<'_>, e: &mut Errors) {
    for (index, constraint) in at.items().enumerate() {
        let (key, action) = (constraint.get("topologyKey"), constraint.get("whenUnsatisfiable"));
        positive(&constraint.get("maxSkew"), e);
        if key.is_empty() {
            e.required(&key.path, "can not be empty");
        }
        e.one_of(&action, &["DoNotSchedule", "ScheduleAnyway"]);
        let again = at.items().skip(index + 1).any(|later| {
            later.get("topologyKey").is(key.str()) && later.get("whenUnsatisfiable").is(action.str())
        });
        if again {
            let path = constraint.path.child("{topologyKey, whenUnsatisfiable}");
            e.duplicate(&path, format!("{{{}, {}}}", key.str(), action.str()));
        }
        let domains = constraint.get("minDomains");
        if domains.is_set() {
            positive(&domains, e);
            if !action.is("DoNotSchedule") {
                let says = format!(
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}",
                    action.str()
                );
                e.invalid(&domains, says);
            }
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let policy = constraint.get(policy);
            if policy.is_set() {
                e.one_of(&policy, &["Honor", "Ignore"]);
            }
        }
        label_keys(&constraint, e);
        selector(&constraint.get("labelSelector"), true, e);
    }
}

/// What holds the pod back from being scheduled.
pub(super) fn gates(at: &At<'_>, e: &mut Errors) {
    let mut seen = BTreeSet::new();
    for gate in at.items() {
        let name = gate.get("name").str();
        e.invalid_each_as(&gate, name, label_key(name));
        if !seen.insert(name) {
            e.duplicate(&gate.path, name);
        }
    }
}

/// How the pod resolves names.
pub(super) fn dns(spec: &At<'_>, e: &mut Errors) {
    let (at, servers) = (spec.get("dnsConfig"), spec.get("dnsConfig.nameservers"));
    if spec.get("dnsPolicy").is("None") {
        if !at.is_set() {
            return e.required(&at.path, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            let says = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return e.required(&servers.path, says);
        }
    }
    if servers.len() > 3 {
        e.invalid(&servers, "must not have more than 3 nameservers");
    }
    for server in servers.items() {
        crate::kinds::rules::address(&server, e);
    }
    let searches = at.get("searches");
    if searches.len() > 32 {
        e.invalid(&searches, "must not have more than 32 search paths");
    }
    let length: usize = searches.items().map(|s| s.str().len() + 1).sum();
    if length > 2049 {
        let says = "must not have more than 2048 characters (including spaces) in the search list";
        e.invalid(&searches, says);
    }
    for search in searches.items().filter(|s| !s.is(".")) {
        let text = search.str().strip_suffix('.').unwrap_or(search.str());
        e.invalid_each_as(&search, text, crate::names::subdomain_with_underscore(text));
    }
    for option in at.get("options").items() {
        if option.get("name").is_empty() {
            e.required(&option.path, "must not be empty");
        }
    }
}

/// Names for the pod's own /etc/hosts.
pub(super) fn host_aliases(at: &At<'_>, e: &mut Errors) {
    for alias in at.items() {
        crate::kinds::rules::address(&alias.get("ip"), e);
        for name in alias.get("hostnames").items() {
            e.invalid_each(&name, dns1123_subdomain(name.str()));
        }
    }
}

/// Names of the host that a pod gives itself.
pub(super) fn host_name(spec: &At<'_>, e: &mut Errors) {
    let at = spec.get("hostnameOverride");
    if !at.is_set() {
        return;
    }
    let mut refuse =
        |path: &Path, why: &str| e.forbidden(path, format!("may not be specified when {why} is true"));
    if spec.get("setHostnameAsFQDN").bool() {
        refuse(&at.path, "setHostnameAsFQDN");
    }
    if spec.get("hostNetwork").bool() {
        refuse(&at.path, "hostNetwork");
    }
    if at.str().len() > 64 {
        e.too_long(&at.path, 64);
    }
    for wrong in dns1123_subdomain(at.str()) {
        e.invalid_as(&at.path, at.str(), wrong);
    }
}
