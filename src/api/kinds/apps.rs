//! What keeps pods running: Deployment, ReplicaSet, StatefulSet, DaemonSet,
//! ReplicationController, ControllerRevision.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::Row;
use super::basic::default_text;
use super::metadata::{immutable, selector};
use super::pod::{default as pod_default, shown, template, volumes, warnings};
use super::rules::{not_negative, not_negative_or_percent, percent, selects, selects_all};
use super::table::{self, AGE, NAME, age, integer, says, text, wide};
use crate::field_error::{At, Errors};
use crate::kind::{About, Column, Part, Read, Selectable, Strategy, only_status};
use crate::meta;
use crate::names::{dns1123_label, label_rule};

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            default: deployment_defaults,
            validate: |new, e| deployment(&new.get("spec"), e),
            validate_update: |new, old, e| {
                deployment(&new.get("spec"), e);
                immutable(&new.get("spec.selector"), &old.get("spec.selector"), e);
            },
            generation: &["spec", "metadata.annotations"],
            warn: |new, old| named_warnings(new, old),
            ..Strategy::WITH_STATUS
        },
        parts: &[(
            "status",
            Part {
                prepare: |new, old, context| {
                    only_status(new, old, context);
                    meta::restore(new, old, "metadata.labels");
                },
                validate: |new, old, e| {
                    const COUNTS: &[&str] = &[
                        "observedGeneration",
                        "replicas",
                        "updatedReplicas",
                        "readyReplicas",
                        "availableReplicas",
                        "unavailableReplicas",
                        "terminatingReplicas",
                        "collisionCount",
                    ];
                    counts(
                        new,
                        COUNTS,
                        &["updatedReplicas", "readyReplicas", "availableReplicas"],
                        "readyReplicas",
                        e,
                    );
                    collisions(new, old, e);
                },
                warn: |_, _| Vec::new(),
            },
        )],
        columns: &[
            NAME,
            text("Ready", says("How many pods are ready, of how many wanted")),
            text("Up-to-date", About::Field("DeploymentStatus", "updatedReplicas")),
            text("Available", About::Field("DeploymentStatus", "availableReplicas")),
            AGE,
            CONTAINERS,
            IMAGES,
            wide("Selector", About::Field("DeploymentSpec", "selector")),
        ],
        cells: |o, now| {
            let [names, images] = containers(o);
            vec![
                meta::name(o).into(),
                format!("{}/{}", meta::int_at(o, "status.readyReplicas"), meta::int_at(o, "spec.replicas"))
                    .into(),
                meta::int_at(o, "status.updatedReplicas").into(),
                meta::int_at(o, "status.availableReplicas").into(),
                age(o, now),
                names,
                images,
                table::selector_text(meta::at(o, "spec.selector")).into(),
            ]
        },
        ..Row::new("apps", "Deployment")
    },
    Row {
        strategy: Strategy {
            default: |o| {
                meta::put_default(o, "spec.replicas", 1);
                template_defaults(o);
            },
            validate: |new, e| replica_set(&new.get("spec"), e),
            validate_update: |new, old, e| {
                replica_set(&new.get("spec"), e);
                immutable(&new.get("spec.selector"), &old.get("spec.selector"), e);
            },
            generation: &["spec"],
            warn: |new, old| named_warnings(new, old),
            ..Strategy::WITH_STATUS
        },
        parts: &[("status", REPLICA_STATUS)],
        columns: REPLICA_COLUMNS,
        cells: replica_cells,
        selectable: &[Selectable { name: Cow::Borrowed("status.replicas"), read: Read::Path("0") }],
        ..Row::new("apps", "ReplicaSet")
    },
    Row {
        strategy: Strategy {
            default: |o| {
                let labels = meta::at(o, "spec.template.metadata.labels").cloned();
                for path in ["spec.selector", "metadata.labels"] {
                    if let (Some(labels), true) = (&labels, meta::same(meta::at(o, path), None)) {
                        meta::put(o, path, labels.clone());
                    }
                }
                meta::put_default(o, "spec.replicas", 1);
                template_defaults(o);
            },
            validate: |new, e| replication_controller(&new.get("spec"), e),
            validate_update: |new, _, e| replication_controller(&new.get("spec"), e),
            generation: &["spec"],
            warn: |new, old| named_warnings(new, old),
            ..Strategy::WITH_STATUS
        },
        parts: &[("status", REPLICA_STATUS)],
        columns: REPLICA_COLUMNS,
        cells: replica_cells,
        selectable: &[Selectable { name: Cow::Borrowed("status.replicas"), read: Read::Path("0") }],
        ..Row::new("", "ReplicationController")
    },
    Row {
        strategy: Strategy {
            name: label_rule,
            default: stateful_defaults,
            validate: |new, e| {
                claims(&new.get("spec.volumeClaimTemplates"), e);
                stateful_set(&new.get("spec"), e);
                let service = new.get("spec.serviceName");
                if !service.is_empty() {
                    e.invalid_each(&service, dns1123_label(service.str()));
                }
            },
            validate_update: |new, old, e| {
                stateful_set(&new.get("spec"), e);
                for name in ["selector", "volumeClaimTemplates", "serviceName", "podManagementPolicy"] {
                    immutable(&new.get("spec").get(name), &old.get("spec").get(name), e);
                }
            },
            generation: &["spec"],
            warn: |new, old| {
                let mut all = template_warnings(new, old);
                if meta::int_at(new, "spec.revisionHistoryLimit") < 0 {
                    all.push("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended".to_owned());
                }
                all
            },
            ..Strategy::WITH_STATUS
        },
        parts: &[(
            "status",
            Part {
                prepare: only_status,
                validate: |new, old, e| {
                    const COUNTS: &[&str] = &[
                        "replicas",
                        "readyReplicas",
                        "currentReplicas",
                        "updatedReplicas",
                        "availableReplicas",
                        "observedGeneration",
                        "collisionCount",
                    ];
                    let at_most =
                        &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
                    counts(new, COUNTS, at_most, "status.readyReplicas", e);
                    collisions(new, old, e);
                },
                warn: |_, _| Vec::new(),
            },
        )],
        columns: &[
            NAME,
            text("Ready", says("How many pods are ready, of how many wanted")),
            AGE,
            CONTAINERS,
            IMAGES,
        ],
        cells: |o, now| {
            let [names, images] = containers(o);
            let ready =
                format!("{}/{}", meta::int_at(o, "status.readyReplicas"), meta::int_at(o, "spec.replicas"));
            vec![meta::name(o).into(), ready.into(), age(o, now), names, images]
        },
        ..Row::new("apps", "StatefulSet")
    },
    Row {
        strategy: Strategy {
            default: daemon_defaults,
            prepare_create: |new, _| {
                meta::remove(new, "status");
                let given = template_generation(new);
                put_template_generation(new, given.max(1));
            },
            prepare_update: |new, old, _| {
                meta::restore(new, old, "status");
                let changed = i64::from(!meta::same_at(new, old, "spec.template"));
                put_template_generation(new, template_generation(old) + changed);
            },
            validate: |new, e| daemon_set(&new.get("spec"), e),
            validate_update: |new, old, e| {
                immutable(&new.get("spec.selector"), &old.get("spec.selector"), e);
                daemon_set(&new.get("spec"), e);
            },
            generation: &["spec"],
            warn: template_warnings,
            ..Strategy::GENERIC
        },
        parts: &[(
            "status",
            Part {
                prepare: only_status,
                validate: |new, old, e| {
                    const COUNTS: &[&str] = &[
                        "currentNumberScheduled",
                        "numberMisscheduled",
                        "desiredNumberScheduled",
                        "numberReady",
                        "observedGeneration",
                        "updatedNumberScheduled",
                        "numberAvailable",
                        "numberUnavailable",
                        "collisionCount",
                    ];
                    COUNTS.iter().for_each(|name| not_negative(&new.get("status").get(name), e));
                    collisions(new, old, e);
                },
                warn: |_, _| Vec::new(),
            },
        )],
        columns: &[
            NAME,
            integer("Desired", About::Field("DaemonSetStatus", "desiredNumberScheduled")),
            integer("Current", About::Field("DaemonSetStatus", "currentNumberScheduled")),
            integer("Ready", About::Field("DaemonSetStatus", "numberReady")),
            integer("Up-to-date", About::Field("DaemonSetStatus", "updatedNumberScheduled")),
            integer("Available", About::Field("DaemonSetStatus", "numberAvailable")),
            text("Node Selector", About::Field("PodSpec", "nodeSelector")),
            AGE,
            CONTAINERS,
            IMAGES,
            wide("Selector", About::Field("DaemonSetSpec", "selector")),
        ],
        cells: |o, now| {
            let count = |name: &str| Value::from(meta::int_at(o, &format!("status.{name}")));
            let [names, images] = containers(o);
            vec![
                meta::name(o).into(),
                count("desiredNumberScheduled"),
                count("currentNumberScheduled"),
                count("numberReady"),
                count("updatedNumberScheduled"),
                count("numberAvailable"),
                table::labels(meta::at(o, "spec.template.spec.nodeSelector")),
                age(o, now),
                names,
                images,
                table::selector(meta::at(o, "spec.selector")),
            ]
        },
        ..Row::new("apps", "DaemonSet")
    },
    Row {
        strategy: Strategy {
            validate: |new, e| {
                not_negative(&new.get("revision"), e);
                match new.get("data").value {
                    None => e.required(&new.get("data").path, "data is mandatory"),
                    Some(data) if !data.is_object() => {
                        e.required(&new.get("data").path, "data must be a valid JSON object");
                    }
                    Some(_) => {}
                }
            },
            validate_update: |new, old, e| {
                not_negative(&new.get("revision"), e);
                immutable(&new.get("data"), &old.get("data"), e);
            },
            ..Strategy::GENERIC
        },
        columns: &[
            NAME,
            text("Controller", says("What it is a revision of")),
            text("Revision", About::Field("ControllerRevision", "revision")),
            AGE,
        ],
        cells: |o, now| {
            let owner = meta::controller(o).map_or_else(
                || "<none>".to_owned(),
                |owner| {
                    let group =
                        meta::str_at(owner, "apiVersion").split_once('/').map_or("", |(group, _)| group);
                    let kind = meta::str_at(owner, "kind").to_lowercase();
                    let dot = if group.is_empty() { "" } else { "." };
                    format!("{kind}{dot}{group}/{}", meta::str_at(owner, "name"))
                },
            );
            vec![meta::name(o).into(), owner.into(), meta::int_at(o, "revision").into(), age(o, now)]
        },
        ..Row::new("apps", "ControllerRevision")
    },
];

pub(super) const CONTAINERS: Column = wide("Containers", says("Names of the template's containers"));
pub(super) const IMAGES: Column = wide("Images", says("Images of the template's containers"));

fn containers(object: &Value) -> [Value; 2] {
    meta::at(object, "spec.template.spec").map(table::containers).unwrap_or_default()
}

fn template_defaults(object: &mut Value) {
    if let Some(spec) = meta::at_mut(object, "spec.template.spec") {
        pod_default::spec(spec);
    }
}

/// Warnings of the template, where it is new or the object changed.
fn template_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let changed = old.is_none_or(|old| meta::generation(old) != meta::generation(new));
    if changed { warnings::template(new, "spec.template") } else { Vec::new() }
}

fn named_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut all = Vec::new();
    let wrong = dns1123_label(meta::name(new));
    if old.is_none() && !wrong.is_empty() {
        all.push(format!("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]", wrong.join(" ")));
    }
    all.extend(template_warnings(new, old));
    all
}

/// A selector that is needed and selects something; says whether it can be asked.
fn needed_selector(at: &At<'_>, of: &str, e: &mut Errors) -> bool {
    if !at.is_set() {
        e.required(&at.path, "");
        return true;
    }
    let before = e.len();
    selector(at, true, e);
    let fine = e.len() == before;
    if selects_all(at) {
        e.invalid(at, format!("empty selector is invalid for {of}"));
    }
    fine
}

/// A template that its selector matches, whose pods always run.
fn matched_template(spec: &At<'_>, of: &str, e: &mut Errors) {
    let (at, chosen) = (spec.get("template"), spec.get("selector"));
    let labels = at.get("metadata.labels");
    let matches = chosen.is_set() && selects(&chosen, &labels);
    if !matches {
        let shown = labels.value.cloned().unwrap_or(Value::Null);
        e.invalid_as(&labels.path, shown, "`selector` does not match template `labels`");
    }
    template(&at, e);
    always(&at, of, e);
}

fn always(template: &At<'_>, of: &str, e: &mut Errors) {
    let (policy, deadline) = (template.get("spec.restartPolicy"), template.get("spec.activeDeadlineSeconds"));
    e.one_of(&policy, &["Always"]);
    if deadline.is_set() {
        e.forbidden(&deadline.path, format!("activeDeadlineSeconds in {of} is not Supported"));
    }
}

fn deployment_defaults(o: &mut Value) {
    meta::put_default(o, "spec.replicas", 1);
    default_text(o, "spec.strategy.type", "RollingUpdate");
    if meta::str_at(o, "spec.strategy.type") == "RollingUpdate" {
        meta::put_default(o, "spec.strategy.rollingUpdate.maxUnavailable", "25%");
        meta::put_default(o, "spec.strategy.rollingUpdate.maxSurge", "25%");
    }
    meta::put_default(o, "spec.revisionHistoryLimit", 10);
    meta::put_default(o, "spec.progressDeadlineSeconds", 600);
    template_defaults(o);
}

fn deployment(spec: &At<'_>, e: &mut Errors) {
    not_negative(&spec.get("replicas"), e);
    if needed_selector(&spec.get("selector"), "deployment", e) {
        matched_template(spec, "ReplicaSet", e);
    } else {
        e.invalid(&spec.get("selector"), "invalid label selector");
    }
    let strategy = spec.get("strategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").str() {
        "Recreate" if rolling.is_set() => {
            e.forbidden(&rolling.path, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" if !rolling.is_set() => {
            e.required(&rolling.path, "this should be defaulted and never be nil");
        }
        "RollingUpdate" => {
            let (gone, more) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            not_negative_or_percent(&gone, e);
            not_negative_or_percent(&more, e);
            if number_or_percent(&gone) == 0 && number_or_percent(&more) == 0 {
                e.invalid_as(
                    &gone.path,
                    gone.value.cloned().unwrap_or(0.into()),
                    "may not be 0 when `maxSurge` is 0",
                );
            }
            at_most_all(&gone, e);
        }
        _ => unknown_strategy(&strategy, &["Recreate", "RollingUpdate"], e),
    }
    for name in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        not_negative(&spec.get(name), e);
    }
    let deadline = spec.get("progressDeadlineSeconds");
    if deadline.opt_int().is_some_and(|n| n <= spec.get("minReadySeconds").int()) {
        e.invalid(&deadline, "must be greater than minReadySeconds");
    }
}

fn unknown_strategy(at: &At<'_>, known: &[&str], e: &mut Errors) {
    // Of one shape for Deployments and DaemonSets.
    let shown = at.value.map(|s| shown::as_upstream(s, "apps.v1.DeploymentStrategy")).unwrap_or_default();
    e.not_supported(&At::new(Some(&shown), at.path.clone()), known);
}

fn number_or_percent(at: &At<'_>) -> i64 {
    percent(at).unwrap_or_else(|| at.int())
}

fn at_most_all(at: &At<'_>, e: &mut Errors) {
    if percent(at).is_some_and(|percent| percent > 100) {
        e.invalid(at, "must not be greater than 100%");
    }
}

fn replica_set(spec: &At<'_>, e: &mut Errors) {
    not_negative(&spec.get("replicas"), e);
    not_negative(&spec.get("minReadySeconds"), e);
    // Upstream calls it a deployment here too.
    if needed_selector(&spec.get("selector"), "deployment", e) {
        matched_template(spec, "ReplicaSet", e);
    } else {
        e.invalid(&spec.get("selector"), "invalid label selector");
    }
}

fn replication_controller(spec: &At<'_>, e: &mut Errors) {
    let chosen = spec.get("selector");
    if chosen.is_empty() {
        e.required(&chosen.path, "");
    }
    replicated_template(spec, &chosen, e);
    // Annotations of upstream's types, and so said last.
    not_negative(&spec.get("replicas"), e);
    not_negative(&spec.get("minReadySeconds"), e);
}

fn replicated_template(spec: &At<'_>, chosen: &At<'_>, e: &mut Errors) {
    let at = spec.get("template");
    if !at.is_set() {
        return e.required(&at.path, "");
    }
    let labels = at.get("metadata.labels");
    let has = |key: &str| labels.value.and_then(|l| l.get(key)).and_then(Value::as_str);
    if !chosen.entries().iter().all(|(key, value)| has(key) == Some(value.str())) {
        let shown = labels.value.cloned().unwrap_or(Value::Null);
        e.invalid_as(&labels.path, shown, "`selector` does not match template `labels`");
    }
    template(&at, e);
    always(&at, "ReplicationController", e);
}

const REPLICA_STATUS: Part = Part {
    prepare: only_status,
    validate: |new, _, e| {
        const COUNTS: &[&str] = &[
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "observedGeneration",
            "terminatingReplicas",
        ];
        counts(
            new,
            COUNTS,
            &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
            "readyReplicas",
            e,
        );
    },
    warn: |_, _| Vec::new(),
};

/// Counts that may not be negative, nor (these) more than all, nor available before ready.
fn counts(object: &At<'_>, all: &[&'static str], at_most: &[&'static str], ready: &str, e: &mut Errors) {
    let status = object.get("status");
    all.iter().for_each(|name| not_negative(&status.get(name), e));
    let total = status.get("replicas").int();
    for name in at_most.iter().filter(|name| status.get(name).int() > total) {
        e.invalid(&status.get(name), "cannot be greater than status.replicas");
    }
    let available = status.get("availableReplicas");
    if available.int() > status.get("readyReplicas").int() {
        e.invalid(&available, format!("cannot be greater than {ready}"));
    }
}

fn collisions(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    let (now, was) = (new.get("status.collisionCount"), old.get("status.collisionCount"));
    if was.opt_int().is_some_and(|was| now.int() < was) {
        e.invalid_as(&now.path, now.int(), "cannot be decremented");
    }
}

const REPLICA_COLUMNS: &[Column] = &[
    NAME,
    integer("Desired", About::Field("ReplicaSetSpec", "replicas")),
    integer("Current", About::Field("ReplicaSetStatus", "replicas")),
    integer("Ready", About::Field("ReplicaSetStatus", "readyReplicas")),
    AGE,
    CONTAINERS,
    IMAGES,
    wide("Selector", About::Field("ReplicaSetSpec", "selector")),
];

fn replica_cells(o: &Value, now: i64) -> Vec<Value> {
    let [names, images] = containers(o);
    let chosen = meta::at(o, "spec.selector");
    let selector = match chosen {
        Some(map) if map.get("matchLabels").is_none() && map.get("matchExpressions").is_none() => {
            table::labels(chosen)
        }
        _ => table::selector(chosen),
    };
    vec![
        meta::name(o).into(),
        meta::int_at(o, "spec.replicas").into(),
        meta::int_at(o, "status.replicas").into(),
        meta::int_at(o, "status.readyReplicas").into(),
        age(o, now),
        names,
        images,
        selector,
    ]
}

fn stateful_defaults(o: &mut Value) {
    default_text(o, "spec.podManagementPolicy", "OrderedReady");
    if meta::str_at(o, "spec.updateStrategy.type").is_empty() {
        meta::put(o, "spec.updateStrategy.type", "RollingUpdate");
        meta::put_default(o, "spec.updateStrategy.rollingUpdate", json!({}));
    }
    if meta::str_at(o, "spec.updateStrategy.type") == "RollingUpdate"
        && meta::at(o, "spec.updateStrategy.rollingUpdate").is_some()
    {
        meta::put_default(o, "spec.updateStrategy.rollingUpdate.partition", 0);
        meta::put_default(o, "spec.updateStrategy.rollingUpdate.maxUnavailable", 1);
    }
    for when in ["whenDeleted", "whenScaled"] {
        default_text(o, &format!("spec.persistentVolumeClaimRetentionPolicy.{when}"), "Retain");
    }
    meta::put_default(o, "spec.replicas", 1);
    meta::put_default(o, "spec.revisionHistoryLimit", 10);
    for claim in
        meta::at_mut(o, "spec.volumeClaimTemplates").and_then(Value::as_array_mut).into_iter().flatten()
    {
        default_text(claim, "kind", "PersistentVolumeClaim");
        default_text(claim, "apiVersion", "v1");
        default_text(claim, "spec.volumeMode", "Filesystem");
        default_text(claim, "status.phase", "Pending");
    }
    template_defaults(o);
}

fn claims(at: &At<'_>, e: &mut Errors) {
    at.items().for_each(|claim| volumes::claim(&claim.get("spec"), e));
}

fn stateful_set(spec: &At<'_>, e: &mut Errors) {
    let management = spec.get("podManagementPolicy");
    match management.str() {
        "" => e.required(&management.path, ""),
        "OrderedReady" | "Parallel" => {}
        _ => e.invalid(&management, "must be 'OrderedReady' or 'Parallel'"),
    }
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").str() {
        "" => e.required(&strategy.path, ""),
        "OnDelete" if rolling.is_set() => {
            e.invalid(&rolling, "only allowed for updateStrategy 'RollingUpdate'")
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            not_negative(&rolling.get("partition"), e);
            let gone = rolling.get("maxUnavailable");
            if gone.is_set() {
                not_negative_or_percent(&gone, e);
                if number_or_percent(&gone) == 0 {
                    e.invalid(&gone, "cannot be 0");
                }
                at_most_all(&gone, e);
            }
        }
        _ => {
            let shown = strategy.value.map(|s| shown::as_upstream(s, "apps.v1.StatefulSetUpdateStrategy"));
            e.invalid_as(&strategy.path, shown.unwrap_or_default(), "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
    for when in ["whenDeleted", "whenScaled"] {
        e.one_of(&spec.get("persistentVolumeClaimRetentionPolicy").get(when), &["Retain", "Delete"]);
    }
    not_negative(&spec.get("replicas"), e);
    not_negative(&spec.get("minReadySeconds"), e);
    not_negative(&spec.get("ordinals.start").under(spec.path.child("ordinals.start")), e);
    let fine = needed_selector(&spec.get("selector"), "statefulset", e);
    if fine {
        let own = with_claims(spec);
        let at = At { value: Some(&own), path: spec.get("template").path };
        let labels = at.get("metadata.labels");
        if !(spec.get("selector").is_set() && selects(&spec.get("selector"), &labels)) {
            let shown = labels.value.cloned().unwrap_or(Value::Null);
            e.invalid_as(&labels.path, shown, "`selector` does not match template `labels`");
        }
        template(&at, e);
    } else {
        e.invalid(&spec.get("selector"), "");
    }
    always(&spec.get("template"), "StatefulSet", e);
}

/// The template as its pods will be: with volumes of their own claims.
fn with_claims(spec: &At<'_>) -> Value {
    let mut template = spec.get("template").value.cloned().unwrap_or_default();
    meta::remove(&mut template, "spec.subdomain");
    meta::remove(&mut template, "spec.hostname");
    let names: Vec<&str> =
        spec.get("volumeClaimTemplates").items().map(|c| c.get("metadata.name").str()).collect();
    if !names.is_empty() {
        let claimed =
            names.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        let others = meta::list_at(&template, "spec.volumes").iter();
        let others = others.filter(|v| !names.contains(&meta::str_at(v, "name"))).cloned();
        let all: Vec<Value> = claimed.chain(others).collect();
        meta::put(&mut template, "spec.volumes", all);
    }
    template
}

fn daemon_defaults(o: &mut Value) {
    default_text(o, "spec.updateStrategy.type", "RollingUpdate");
    if meta::str_at(o, "spec.updateStrategy.type") == "RollingUpdate" {
        meta::put_default(o, "spec.updateStrategy.rollingUpdate.maxUnavailable", 1);
        meta::put_default(o, "spec.updateStrategy.rollingUpdate.maxSurge", 0);
    }
    meta::put_default(o, "spec.revisionHistoryLimit", 10);
    template_defaults(o);
}

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn template_generation(object: &Value) -> i64 {
    meta::annotation(object, TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn put_template_generation(object: &mut Value, generation: i64) {
    let annotations = meta::fields(meta::entry(object, "metadata.annotations"));
    annotations.insert(TEMPLATE_GENERATION.to_owned(), generation.to_string().into());
}

fn daemon_set(spec: &At<'_>, e: &mut Errors) {
    let (chosen, at) = (spec.get("selector"), spec.get("template"));
    selector(&chosen, true, e);
    let labels = at.get("metadata.labels");
    if !(chosen.is_set() && selects(&chosen, &labels)) {
        let shown = labels.value.cloned().unwrap_or(Value::Null);
        e.invalid_as(&labels.path, shown, "`selector` does not match template `labels`");
    }
    if chosen.is_set() && selects_all(&chosen) {
        e.invalid(&chosen, "empty selector is invalid for daemonset");
    }
    template(&at, e);
    always(&at, "DaemonSet", e);
    not_negative(&spec.get("minReadySeconds"), e);
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").str() {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.is_set() => e.required(&rolling.path, ""),
        "RollingUpdate" => {
            let both = [rolling.get("maxUnavailable"), rolling.get("maxSurge")];
            both.iter().for_each(|at| not_negative_or_percent(at, e));
            both.iter().for_each(|at| at_most_all(at, e));
            match (number_or_percent(&both[0]) != 0, number_or_percent(&both[1]) != 0) {
                (true, true) => e.invalid(&both[1], "may not be set when maxUnavailable is non-zero"),
                (false, false) => e.required(&both[0].path, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => unknown_strategy(&strategy, &["RollingUpdate", "OnDelete"], e),
    }
    not_negative(&spec.get("revisionHistoryLimit"), e);
}

#[cfg(test)]
mod tests;
