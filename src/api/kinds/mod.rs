//! The built-in kinds: what is particular to each, and what is the same for all.
//!
//! The facts of every stable kind come from a table (`schema/tables/kinds.txt`): its plural,
//! verbs, subresources. A [`Row`] adds what is particular. A kind without a row is served by
//! its schema alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::kind::{
    Cells, Column, Kind, Part, Registry, Role, ScalePaths, Selectable, Stored, Strategy, Subresource, Table,
    Verbs, Version,
};
use crate::names::path_rule;
use crate::schema::tables::KINDS;
use crate::schema::{Schema, builtin};

mod apps;
mod autoscaler;
mod basic;
mod batch;
mod certificates;
mod cluster;
mod endpoints;
mod events;
pub mod flow;
pub mod metadata;
mod networking;
mod pod;
mod quota;
mod rbac;
mod rest;
pub mod reviews;
pub mod rules;
pub mod scale;
mod service;
mod service_claims;
mod storage;
pub mod table;
#[cfg(test)]
mod testing;
pub mod usage;

/// What is particular to a kind.
pub(crate) struct Row {
    /// Its group; "" for core.
    group: &'static str,
    /// Its name.
    kind: &'static str,
    /// How it is created, changed and deleted.
    strategy: Strategy,
    /// Its parts, by the names of their subresources.
    parts: &'static [(&'static str, Part)],
    /// Where its replicas are, if it has a Scale.
    scale: ScalePaths,
    /// Its columns, and their cells.
    columns: &'static [Column],
    cells: fn(&Value, i64) -> Vec<Value>,
    /// Fields that selectors may name.
    selectable: &'static [Selectable],
}

impl Row {
    /// A kind with nothing particular.
    const fn new(group: &'static str, kind: &'static str) -> Self {
        Self {
            group,
            kind,
            strategy: Strategy::GENERIC,
            parts: &[],
            scale: ScalePaths {
                wanted: "spec.replicas",
                found: "status.replicas",
                selector: "spec.selector",
            },
            columns: table::PLAIN,
            cells: table::plain_cells,
            selectable: &[],
        }
    }
}

/// Rows by file, in no order that matters.
const ROWS: &[&[Row]] = &[
    apps::ROWS,
    autoscaler::ROWS,
    basic::ROWS,
    batch::ROWS,
    certificates::ROWS,
    cluster::ROWS,
    endpoints::ROWS,
    events::ROWS,
    networking::ROWS,
    pod::ROWS,
    quota::ROWS,
    rbac::ROWS,
    rest::ROWS,
    reviews::ROWS,
    service::ROWS,
    storage::ROWS,
];

/// Below `/registry/` where it is not the plural, as upstream has it.
const KEYS: &[(&str, &str, &str)] = &[
    ("", "nodes", "minions"),
    ("", "services", "services/specs"),
    ("", "endpoints", "services/endpoints"),
    ("", "replicationcontrollers", "controllers"),
    ("networking.k8s.io", "ingresses", "ingress"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "apiextensions.k8s.io/customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices", "apiregistration.k8s.io/apiservices"),
];

/// All built-in kinds.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    for kind in read(KINDS, builtin()) {
        registry.insert(Arc::new(kind));
    }
    registry
}

/// Kinds of a table, each with its row.
fn read(table: &str, schema: &Arc<Schema>) -> Vec<Kind> {
    let rows: BTreeMap<(&str, &str), &Row> =
        ROWS.iter().copied().flatten().map(|row| ((row.group, row.kind), row)).collect();
    let mut kinds: Vec<Kind> = Vec::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["kind", at, kind, plural, singular, scope, ref facts @ ..] => {
                let (group, version) = group_version(at);
                let Some(version) = version_of(schema, group, version, kind) else { continue };
                // Another version of a kind that is there: the later line is preferred.
                match kinds.iter_mut().find(|k| &*k.group == group && &*k.plural == plural) {
                    Some(found) => found.versions.insert(0, version),
                    None => {
                        let names = [group, kind, plural, singular];
                        kinds.push(generic(names, scope == "namespaced", version, facts, schema));
                    }
                }
            }
            ["sub", name, at, kind, verbs] => {
                let (group, version) = group_version(at);
                if let Some(last) = kinds.last_mut().filter(|last| last.subresource(name).is_none()) {
                    let sub = subresource([name, group, version, kind], verbs);
                    last.subresources.push(sub);
                }
            }
            _ => {}
        }
    }
    share_events(&mut kinds);
    two_autoscalers(&mut kinds);
    for kind in &mut kinds {
        if rest::INERT.contains(&(&*kind.group, &*kind.kind)) {
            kind.inert = Some(rest::inert(&kind.stored.api_version, &kind.kind).into());
        }
        if let Some(row) = rows.get(&(&*kind.group, &*kind.kind)) {
            overlay(kind, row);
        } else if kind.subresource("status").is_some() {
            kind.strategy = Strategy::WITH_STATUS;
        }
        // Names of roles are segments of a path and no more, `system:node`.
        if &*kind.group == "rbac.authorization.k8s.io" {
            kind.strategy.name = path_rule;
        }
    }
    kinds
}

/// Events of events.k8s.io are kept as core/v1's.
fn share_events(kinds: &mut [Kind]) {
    let is = |kind: &Kind, group: &str| &*kind.group == group && &*kind.plural == "events";
    let Some(core) = kinds.iter().find(|kind| is(kind, "")).map(|kind| kind.stored.clone()) else { return };
    for kind in kinds.iter_mut().filter(|kind| is(kind, "events.k8s.io")) {
        kind.stored = core.clone();
        for version in &mut kind.versions {
            (version.to_storage, version.from_storage) = (events::to_core, events::from_core);
        }
    }
}

/// HorizontalPodAutoscaler is kept as v2.
fn two_autoscalers(kinds: &mut [Kind]) {
    for kind in kinds.iter_mut().filter(|kind| &*kind.kind == "HorizontalPodAutoscaler") {
        for version in &mut kind.versions {
            match &*version.name {
                "v2" => {
                    kind.stored.api_version = "autoscaling/v2".into();
                    kind.stored.object = version.object;
                }
                _ => (version.to_storage, version.from_storage) = (autoscaler::to_v2, autoscaler::to_v1),
            }
        }
    }
}

fn group_version(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some(("core", version)) => ("", version),
        Some(both) => both,
        None => ("", text),
    }
}

fn version_of(schema: &Schema, group: &str, version: &str, kind: &str) -> Option<Version> {
    Some(Version {
        name: version.into(),
        object: schema.find_kind(group, version, kind)?,
        served: true,
        to_storage: |_| (),
        from_storage: |_| (),
    })
}

fn generic(
    names: [&str; 4],
    namespaced: bool,
    version: Version,
    facts: &[&str],
    schema: &Arc<Schema>,
) -> Kind {
    let [group, kind, plural, singular] = names;
    let listed = |fact: &str| -> Vec<&str> {
        facts
            .iter()
            .find_map(|f| f.strip_prefix(fact))
            .map(|list| list.split(',').collect())
            .unwrap_or_default()
    };
    let key = KEYS.iter().find(|(g, p, _)| *g == group && *p == plural).map_or(plural, |(_, _, key)| key);
    let api_version =
        if group.is_empty() { version.name.to_string() } else { format!("{group}/{}", version.name) };
    Kind {
        group: group.into(),
        kind: kind.into(),
        list_kind: format!("{kind}List").into(),
        plural: plural.into(),
        singular: singular.into(),
        short_names: listed("short=").into_iter().map(Into::into).collect(),
        categories: listed("categories=").into_iter().map(Into::into).collect(),
        namespaced,
        schema: Arc::clone(schema),
        stored: Stored { key: key.into(), api_version: api_version.into(), object: version.object },
        versions: vec![version],
        verbs: Verbs::of(listed("verbs=")),
        subresources: Vec::new(),
        strategy: Strategy::GENERIC,
        table: Table { columns: Cow::Borrowed(table::PLAIN), cells: Cells::Made(table::plain_cells) },
        selectable: Vec::new(),
        inert: None,
    }
}

fn subresource(names: [&str; 4], verbs: &str) -> Subresource {
    let [name, group, version, kind] = names.map(|name| Cow::Owned(name.to_owned()));
    let role = match &*name {
        "scale" => Role::Scale(Row::new("", "").scale),
        "binding" | "eviction" | "token" => Role::Action,
        "log" | "exec" | "attach" | "portforward" | "proxy" => Role::Connect,
        _ => Role::Part(Part::STATUS),
    };
    let verbs = Verbs::of(verbs.trim_start_matches("verbs=").split(','));
    Subresource { name, group, version, kind, verbs, role }
}

fn overlay(kind: &mut Kind, row: &Row) {
    kind.strategy = row.strategy;
    kind.table = Table { columns: Cow::Borrowed(row.columns), cells: Cells::Made(row.cells) };
    kind.selectable = row.selectable.to_vec();
    for sub in &mut kind.subresources {
        if let Some((_, part)) = row.parts.iter().find(|(name, _)| *name == sub.name) {
            sub.role = Role::Part(*part);
        } else if matches!(sub.role, Role::Scale(_)) {
            sub.role = Role::Scale(row.scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_table_is_served() {
        let registry = registry();
        let lines = KINDS.lines().filter(|line| line.starts_with("kind "));
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (group, version) = group_version(words[1]);
            let kind = registry.by_plural(group, version, words[3]).unwrap_or_else(|| panic!("{line}"));
            assert_eq!((&*kind.kind, kind.namespaced), (words[2], words[5] == "namespaced"), "{line}");
        }
        let pod = registry.by_kind("", "v1", "Pod").unwrap();
        assert_eq!(pod.key_of("a", "b"), "pods/a/b");
        assert_eq!(pod.short_names, ["po".into()]);
        assert!(matches!(pod.subresource("binding").unwrap().role, Role::Action));
        let hpa = registry.by_kind("autoscaling", "v2", "HorizontalPodAutoscaler").unwrap();
        assert_eq!(hpa.versions.iter().map(|v| &*v.name).collect::<Vec<_>>(), ["v2", "v1"]);
    }

    /// "A new kind is a row and pure functions in one file": a row each, and each in one file.
    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_kind_has_one_row_in_one_file() {
        fn sources(folder: &std::path::Path) -> Vec<String> {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
            let files = files.iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
            let mut all: Vec<String> = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
            all.extend(folders.iter().flat_map(|folder| sources(folder)));
            all
        }
        let files = sources(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/kinds")));
        let with_rows =
            files.iter().filter(|text| text.contains(concat!("const ROWS: ", "&[Row] ="))).count();
        assert_eq!(with_rows, ROWS.len(), "a file of rows is listed in ROWS");
        for row in ROWS.iter().copied().flatten() {
            let (group, kind) = (format!("\"{}\"", row.group), format!("\"{}\"", row.kind));
            let made = |words: &str| {
                let words = words.split(')').next().unwrap_or_default().trim();
                words.ends_with(&kind) && (words.starts_with(&group) || !words.starts_with('"'))
            };
            let times =
                files.iter().flat_map(|text| text.split("Row::new(").skip(1)).filter(|w| made(w)).count();
            assert_eq!(times, 1, "{group}, {kind}");
        }
    }

    #[test]
    fn every_row_is_of_a_kind_that_is_served() {
        let registry = registry();
        for row in ROWS.iter().copied().flatten() {
            let found = registry.iter().any(|kind| &*kind.group == row.group && &*kind.kind == row.kind);
            assert!(found, "{}/{}", row.group, row.kind);
        }
    }
}
