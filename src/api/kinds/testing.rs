//! Objects of a kind, through the whole flow of a write, for the tables of tests.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{flow, registry};
use crate::kind::{Context, Kind, Part, Role, Verbs};
use crate::meta;

fn kind(group: &str, name: &str) -> std::sync::Arc<Kind> {
    let registry = registry();
    let found = registry.iter().find(|kind| &*kind.group == group && &*kind.kind == name).cloned();
    found.unwrap_or_else(|| panic!("{group}/{name} is served"))
}

fn identify(kind: &Kind, object: &mut Value) {
    if !kind.verbs.has(Verbs::GET) {
        return;
    }
    meta::put_default(object, "metadata.name", "a");
    if kind.namespaced {
        meta::put_default(object, "metadata.namespace", "default");
    }
}

fn with_context<T>(run: impl FnOnce(&Context<'_>) -> T) -> T {
    let (groups, extra) = (vec!["system:authenticated".to_owned()], BTreeMap::new());
    let now = "2026-01-01T00:00:00Z";
    run(&Context { user: "somebody", uid: "", groups: &groups, extra: &extra, now })
}

/// The object as it would be stored, or what is wrong with it.
pub(super) fn created(group: &str, name: &str, mut object: Value) -> Result<Value, Vec<String>> {
    let kind = kind(group, name);
    identify(&kind, &mut object);
    (kind.strategy.default)(&mut object);
    with_context(|context| flow::prepare_create(&kind, &mut object, context));
    flow::validate_create(&kind, &object).map_err(lines)?;
    Ok(object)
}

/// The changed object as it would be stored, or what is wrong with it. The old one is taken
/// as it is.
pub(super) fn updated(group: &str, name: &str, new: Value, old: Value) -> Result<Value, Vec<String>> {
    changed(group, name, None, new, old)
}

/// The same for a part of the object.
pub(super) fn changed(
    group: &str,
    name: &str,
    part: Option<&str>,
    mut new: Value,
    mut old: Value,
) -> Result<Value, Vec<String>> {
    let kind = kind(group, name);
    for object in [&mut new, &mut old] {
        identify(&kind, object);
        meta::put_default(object, "metadata.resourceVersion", "1");
        (kind.strategy.default)(object);
    }
    let part: Option<Part> = part.map(|part| match kind.subresource(part).map(|sub| sub.role) {
        Some(Role::Part(part)) => part,
        _ => panic!("{part} is a part of {name}"),
    });
    with_context(|context| flow::prepare_update(&kind, part.as_ref(), &mut new, &old, context));
    flow::validate_update(&kind, part.as_ref(), &new, &old).map_err(lines)?;
    Ok(new)
}

fn lines(status: crate::status::Status) -> Vec<String> {
    let causes = status.details.map(|details| details.causes).unwrap_or_default();
    causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}

/// Cells of an object as text.
pub(super) fn cells(group: &str, name: &str, object: &Value, now: &str) -> Vec<String> {
    let now = crate::time::seconds(now).unwrap_or_default();
    let cells = kind(group, name).table.cells(object, now);
    let columns = kind(group, name).table.columns.len();
    assert_eq!(cells.len(), columns, "a cell for each column of {name}");
    cells.iter().map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned)).collect()
}

/// Warnings of a creation.
pub(super) fn warned(group: &str, name: &str, object: &Value) -> Vec<String> {
    flow::warnings(&kind(group, name), None, object, None)
}
