//! Node, Lease, PriorityClass, PodDisruptionBudget.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Row;
use super::basic::default_text;
use super::metadata::{self, conditions, immutable};
use super::pod::resources::amount;
use super::pod::scheduling::taint_effect;
use super::rules::{known_if_set, network, not_negative, not_negative_or_percent, percent, required};
use super::table::{AGE, NAME, age, boolean, integer, number_or_text, or_none, says, text, wide};
use crate::field_error::{At, Errors, Path};
use crate::kind::{About, COUNTED_ONCE, Part, Read, Selectable, Strategy, only_status};
use crate::meta;
use crate::names::{label_key, label_value};

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            default: |o| {
                let network = meta::str_at(o, "spec.podCIDR").to_owned();
                let first = meta::list_at(o, "spec.podCIDRs").first().cloned();
                match first {
                    Some(first) if network.is_empty() => meta::put(o, "spec.podCIDR", first),
                    Some(first) if first == network.as_str() => {}
                    None if network.is_empty() => {}
                    _ => meta::put(o, "spec.podCIDRs", json!([network])),
                }
                if meta::at(o, "status.allocatable").is_none() && meta::at(o, "status.capacity").is_some() {
                    let capacity = meta::at(o, "status.capacity").cloned().unwrap_or_default();
                    meta::put(o, "status.allocatable", capacity);
                }
                for list in ["status.capacity", "status.allocatable"] {
                    if let Some(list) = meta::at_mut(o, list) {
                        super::pod::default::whole_milli(list);
                    }
                }
            },
            prepare_update: |new, old, _| meta::restore(new, old, "status"),
            validate: node,
            validate_update: node_update,
            warn: |new, _| {
                let mut all = Vec::new();
                if meta::at(new, "spec.configSource").is_some() {
                    all.push("spec.configSource: the feature is no longer supported".to_owned());
                }
                if !meta::str_at(new, "spec.externalID").is_empty() {
                    all.push(
                        "spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned(),
                    );
                }
                all
            },
            ..Strategy::GENERIC
        },
        parts: &[("status", Part { prepare: only_status, validate: node_update, warn: |_, _| Vec::new() })],
        columns: &[
            NAME,
            text("Status", says("Whether pods can be sent to it")),
            text("Roles", says("What it is for")),
            AGE,
            text("Version", About::Field("NodeSystemInfo", "kubeletVersion")),
            wide("Internal-IP", About::Field("NodeStatus", "addresses")),
            wide("External-IP", About::Field("NodeStatus", "addresses")),
            wide("OS-Image", About::Field("NodeSystemInfo", "osImage")),
            wide("Kernel-Version", About::Field("NodeSystemInfo", "kernelVersion")),
            wide("Container-Runtime", About::Field("NodeSystemInfo", "containerRuntimeVersion")),
        ],
        cells: node_cells,
        selectable: &[Selectable { name: Cow::Borrowed("spec.unschedulable"), read: Read::Path("false") }],
        ..Row::new("", "Node")
    },
    Row {
        strategy: Strategy {
            prepare_create: |new, _| drop_coordination(new),
            prepare_update: |new, _, _| drop_coordination(new),
            validate: |new, e| lease(&new.get("spec"), e),
            validate_update: |new, _, e| lease(&new.get("spec"), e),
            create_on_update: true,
            unconditional_update: false,
            ..Strategy::GENERIC
        },
        columns: &[NAME, text("Holder", About::Field("LeaseSpec", "holderIdentity")), AGE],
        cells: |o, now| {
            vec![meta::name(o).into(), meta::str_at(o, "spec.holderIdentity").into(), age(o, now)]
        },
        ..Row::new("coordination.k8s.io", "Lease")
    },
    Row {
        strategy: Strategy {
            default: |o| default_text(o, "preemptionPolicy", "PreemptLowerPriority"),
            validate: priority_class,
            validate_update: |new, old, e| {
                if new.get("value").int() != old.get("value").int() {
                    e.forbidden(&new.get("value").path, "may not be changed in an update.");
                }
                immutable(&new.get("preemptionPolicy"), &old.get("preemptionPolicy"), e);
            },
            generation: COUNTED_ONCE,
            ..Strategy::GENERIC
        },
        columns: &[
            NAME,
            integer("Value", About::Field("PriorityClass", "value")),
            boolean("Global-Default", About::Field("PriorityClass", "globalDefault")),
            AGE,
            text("PreemptionPolicy", About::Field("PriorityClass", "preemptionPolicy")),
        ],
        cells: |o, now| {
            let default = meta::at(o, "globalDefault") == Some(&Value::Bool(true));
            let policy = meta::str_at(o, "preemptionPolicy");
            vec![
                meta::name(o).into(),
                meta::int_at(o, "value").into(),
                default.into(),
                age(o, now),
                policy.into(),
            ]
        },
        ..Row::new("scheduling.k8s.io", "PriorityClass")
    },
    Row {
        strategy: Strategy {
            validate: |new, e| budget(&new.get("spec"), e),
            validate_update: |new, _, e| budget(&new.get("spec"), e),
            generation: &["spec"],
            unconditional_update: false,
            ..Strategy::WITH_STATUS
        },
        parts: &[(
            "status",
            Part {
                prepare: only_status,
                validate: |new, _, e| {
                    conditions(&new.get("status.conditions"), e);
                    for name in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
                        not_negative(&new.get("status").get(name), e);
                    }
                },
                warn: |_, _| Vec::new(),
            },
        )],
        columns: &[
            NAME,
            text("Min Available", says("How many pods must stay")),
            text("Max Unavailable", says("How many pods may be gone")),
            integer("Allowed Disruptions", says("How many pods may go now")),
            AGE,
        ],
        cells: |o, now| {
            vec![
                meta::name(o).into(),
                number_or_text(meta::at(o, "spec.minAvailable"), "N/A"),
                number_or_text(meta::at(o, "spec.maxUnavailable"), "N/A"),
                meta::int_at(o, "status.disruptionsAllowed").into(),
                age(o, now),
            ]
        },
        ..Row::new("policy", "PodDisruptionBudget")
    },
];

fn node(at: &At<'_>, e: &mut Errors) {
    taints(at, e);
    resources(at, e);
    features(&at.get("status.declaredFeatures"), e);
    let networks = at.get("spec.podCIDRs");
    networks.items().for_each(|one| network(&one, e));
    let fours = networks.items().filter(|one| !one.str().contains(':')).count();
    if networks.len() > 2 || networks.len() == 2 && fours != 1 {
        e.invalid(&networks, "may specify no more than one CIDR for each IP family");
    }
}

/// Upstream names metadata as the place of taints.
fn taints(node: &At<'_>, e: &mut Errors) {
    let at = node.get("spec.taints").under(Path::of("metadata.taints"));
    let mut seen = BTreeSet::new();
    for taint in at.items() {
        let (key, value, effect) = (taint.get("key"), taint.get("value"), taint.get("effect"));
        for wrong in label_key(key.str()) {
            e.invalid_as(&key.path, key.str(), wrong);
        }
        let wrong = label_value(value.str());
        if !wrong.is_empty() {
            e.invalid(&value, wrong.join(";"));
        }
        if required(&effect, e) {
            taint_effect(&effect, e);
        }
        if !seen.insert((effect.str(), key.str())) {
            let added = taint.get("timeAdded").value;
            let shown =
                json!({"Key": key.str(), "Value": value.str(), "Effect": effect.str(), "TimeAdded": added});
            e.duplicate(&taint.path, shown);
            if let Some(last) = e.0.last_mut() {
                last.detail = "taints must be unique by key and effect pair".to_owned();
            }
        }
    }
}

fn resources(node: &At<'_>, e: &mut Errors) {
    for list in ["capacity", "allocatable"] {
        let at = node.get("status").get(list);
        for (name, quantity) in at.entries() {
            // Upstream joins the resource's name by a dot.
            let place = Path::of("status").child(list).dotted(name);
            amount(&quantity.under(place), name, e);
        }
    }
}

fn features(at: &At<'_>, e: &mut Errors) {
    let fine = |name: &str| {
        name.len() <= 253
            && name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.split('/').all(|part| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric()))
    };
    let mut last = "";
    for feature in at.items() {
        let name = feature.str();
        if !fine(name) {
            let quoted = crate::field_error::quote(name);
            e.invalid(&feature, format!("invalid feature name {quoted}: must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"));
        }
        if name == last && !last.is_empty() {
            e.duplicate(&feature.path, name);
        } else if name < last {
            e.invalid(&feature, "list must be sorted alphabetically");
        }
        last = name;
    }
}

fn node_update(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    resources(new, e);
    features(&new.get("status.declaredFeatures"), e);
    let mut seen = BTreeSet::new();
    for address in new.get("status.addresses").items() {
        let (kind, text) = (address.get("type").str(), address.get("address").str());
        if !seen.insert((kind, text)) {
            e.duplicate(&address.path, json!({"Type": kind, "Address": text}));
        }
    }
    let (networks, was) = (new.get("spec.podCIDRs"), old.get("spec.podCIDRs"));
    if !was.is_empty() && networks.value != was.value {
        e.forbidden(&networks.path, "node updates may not change podCIDR except from \"\" to valid");
    }
    let (provider, was) = (new.get("spec.providerID"), old.get("spec.providerID"));
    if !was.is_empty() && provider.str() != was.str() {
        let says = if provider.is_empty() {
            "field cannot be cleared once set"
        } else {
            "field cannot be modified once set"
        };
        e.invalid_as(&provider.path, Value::Null, says);
    }
    taints(new, e);
    if new.get("spec.externalID").str() != old.get("spec.externalID").str() {
        e.forbidden(&new.get("spec.externalID").path, "may not be updated");
    }
}

fn node_cells(node: &Value, now: i64) -> Vec<Value> {
    let ready = meta::list_at(node, "status.conditions").iter().find(|c| meta::str_at(c, "type") == "Ready");
    let mut status =
        ready.map_or("Unknown", |c| if meta::str_at(c, "status") == "True" { "Ready" } else { "NotReady" });
    let joined;
    if meta::at(node, "spec.unschedulable") == Some(&Value::Bool(true)) {
        joined = format!("{status},SchedulingDisabled");
        status = &joined;
    }
    let roles: BTreeSet<&str> = meta::labels(node)
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some("") => None,
            Some(role) => Some(role),
            None => (key == "kubernetes.io/role" && !value.is_empty()).then_some(value),
        })
        .collect();
    let roles: Vec<&str> = roles.into_iter().collect();
    let address = |kind: &str| {
        let all = meta::list_at(node, "status.addresses");
        let found = all.iter().find(|a| meta::str_at(a, "type") == kind);
        or_none(found.map_or("", |a| meta::str_at(a, "address")))
    };
    let info = |name: &str| meta::str_at(node, &format!("status.nodeInfo.{name}")).to_owned();
    let known = |text: String| if text.is_empty() { "<unknown>".to_owned() } else { text };
    let architecture = info("architecture");
    let kernel = known(info("kernelVersion"));
    let kernel = if architecture.is_empty() { kernel } else { format!("{kernel} ({architecture})") };
    vec![
        meta::name(node).into(),
        status.into(),
        or_none(&roles.join(",")),
        age(node, now),
        info("kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        known(info("osImage")).into(),
        kernel.into(),
        known(info("containerRuntimeVersion")).into(),
    ]
}

/// Fields of coordinated leader election, which is switched off.
fn drop_coordination(lease: &mut Value) {
    meta::remove(lease, "spec.strategy");
    meta::remove(lease, "spec.preferredHolder");
}

fn lease(spec: &At<'_>, e: &mut Errors) {
    let (seconds, transitions) = (spec.get("leaseDurationSeconds"), spec.get("leaseTransitions"));
    if seconds.opt_int().is_some_and(|n| n <= 0) {
        e.invalid(&seconds, "must be greater than 0");
    }
    not_negative(&transitions, e);
}

/// Classes that only the system may have: name and value.
const SYSTEM: &[(&str, i64)] =
    &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

fn priority_class(class: &At<'_>, e: &mut Errors) {
    const AT_MOST: i64 = 1_000_000_000;
    let (name, value) = (class.get("metadata.name"), class.get("value"));
    if name.str().starts_with("system-") {
        let known = SYSTEM.iter().find(|(system, _)| name.is(system));
        let wrong = match known {
            None => format!("{} is not a known system priority class", name.str()),
            Some((name, expected)) if value.int() != *expected => {
                format!("value of {name} PriorityClass must be {expected}")
            }
            Some((name, _)) if class.get("globalDefault").bool() => {
                format!("globalDefault of {name} PriorityClass must be false")
            }
            Some(_) => String::new(),
        };
        if !wrong.is_empty() {
            e.forbidden(&name.path, format!("priority class names with 'system-' prefix are reserved for system use only. error: {wrong}"));
        }
    } else if value.int() > AT_MOST {
        e.forbidden(&value.path, format!("maximum allowed value of a user defined priority is {AT_MOST}"));
    }
    known_if_set(&class.get("preemptionPolicy"), &["PreemptLowerPriority", "Never"], e);
}

fn budget(spec: &At<'_>, e: &mut Errors) {
    let (stay, gone) = (spec.get("minAvailable"), spec.get("maxUnavailable"));
    if stay.is_set() && gone.is_set() {
        let shown = json!({
            "MinAvailable": stay.value,
            "Selector": spec.get("selector").value,
            "MaxUnavailable": gone.value,
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy").value,
        });
        e.invalid_as(&spec.path, shown, "minAvailable and maxUnavailable cannot be both set");
    }
    for at in [stay, gone].iter().filter(|at| at.is_set()) {
        not_negative_or_percent(at, e);
        if percent(at).is_some_and(|percent| percent > 100) {
            e.invalid(at, "must not be greater than 100%");
        }
    }
    metadata::selector(&spec.get("selector"), true, e);
    known_if_set(&spec.get("unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"], e);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{cells, created, updated};

    #[test]
    fn nodes_are_refused_for_what_is_wrong_with_them() {
        let node = json!({
            "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}, {"key": "b"}]},
            "status": {"capacity": {"pods": "1500m", "cpu": "-1"}},
        });
        assert_eq!(
            created("", "Node", node).unwrap_err(),
            [
                "metadata.taints[1]: Duplicate value: {\"Key\":\"a\",\"Value\":\"\",\"Effect\":\"NoSchedule\",\"TimeAdded\":null}: taints must be unique by key and effect pair",
                "metadata.taints[2].effect: Required value",
                "status.capacity.cpu: Invalid value: \"-1\": must be greater than or equal to 0",
                "status.capacity.pods: Invalid value: \"1500m\": must be an integer",
                "status.allocatable.cpu: Invalid value: \"-1\": must be greater than or equal to 0",
                "status.allocatable.pods: Invalid value: \"1500m\": must be an integer",
            ]
        );
    }

    #[test]
    fn a_nodes_network_and_provider_stay() {
        let old = json!({"spec": {"podCIDRs": ["10.0.0.0/24"], "providerID": "a"}});
        let new = json!({"spec": {"podCIDRs": ["10.0.1.0/24"], "providerID": "b"}});
        assert_eq!(
            updated("", "Node", new, old).unwrap_err(),
            [
                "spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid",
                "spec.providerID: Invalid value: null: field cannot be modified once set",
            ]
        );
    }

    #[test]
    fn rows_of_nodes_say_what_they_are() {
        let node = json!({
            "metadata": {"name": "n", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1", "kernelVersion": "6.1", "architecture": "amd64"}},
        });
        assert_eq!(
            cells("", "Node", &node, "2026-01-01T00:10:00Z"),
            [
                "n",
                "Ready,SchedulingDisabled",
                "control-plane",
                "10m",
                "v1",
                "<none>",
                "<none>",
                "<unknown>",
                "6.1 (amd64)",
                "<unknown>"
            ]
        );
    }

    #[test]
    fn priorities_have_bounds_and_stay() {
        let class = |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value});
        let refused =
            |object| created("scheduling.k8s.io", "PriorityClass", object).err().unwrap_or_default();
        assert_eq!(refused(class("a", 1)), [""; 0]);
        assert_eq!(
            refused(class("a", 2_000_000_000)),
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
        );
        assert_eq!(
            refused(class("system-x", 1)),
            [
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: system-x is not a known system priority class"
            ]
        );
        assert_eq!(
            updated("scheduling.k8s.io", "PriorityClass", class("a", 2), class("a", 1)).unwrap_err(),
            ["value: Forbidden: may not be changed in an update."]
        );
    }

    #[test]
    fn a_budget_says_one_of_two_things() {
        let budget = json!({"spec": {"minAvailable": 1, "maxUnavailable": "110%"}});
        let wrong = created("policy", "PodDisruptionBudget", budget).unwrap_err();
        assert_eq!(
            wrong,
            [
                "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":null,\"MaxUnavailable\":\"110%\",\"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both set",
                "spec.maxUnavailable: Invalid value: \"110%\": must not be greater than 100%",
            ]
        );
        let wrong = created("coordination.k8s.io", "Lease", json!({"spec": {"leaseDurationSeconds": 0}}))
            .unwrap_err();
        assert_eq!(wrong, ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]);
    }
}
