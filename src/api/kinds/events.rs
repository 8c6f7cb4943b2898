//! Events, in the two groups that share them. They are kept as core/v1.

use std::borrow::Cow;

use serde_json::Value;

use super::Row;
use super::metadata::immutable;
use super::table::{says, text, wide, wide_name};
use crate::field_error::{At, Errors, Path};
use crate::kind::{About, Column, Read, Selectable, Strategy};
use crate::names::{label_key, path_rule};
use crate::{meta, time};

const fn at(name: &'static str) -> Selectable {
    Selectable { name: Cow::Borrowed(name), read: Read::Path("") }
}

const fn as_kept(name: &'static str, read: fn(&Value) -> String) -> Selectable {
    Selectable { name: Cow::Borrowed(name), read: Read::Made(read) }
}

fn kept(event: &Value, path: &str) -> String {
    meta::str_at(event, path).to_owned()
}

pub(super) const ROWS: &[Row] = &[
    Row {
        strategy: Strategy {
            name: path_rule,
            validate: |new, e| legacy(new, "reportingComponent", e),
            validate_update: |new, _, e| legacy(new, "reportingComponent", e),
            create_on_update: true,
            ..Strategy::GENERIC
        },
        columns: COLUMNS,
        cells,
        selectable: &[
            at("involvedObject.kind"),
            at("involvedObject.namespace"),
            at("involvedObject.name"),
            at("involvedObject.uid"),
            at("involvedObject.apiVersion"),
            at("involvedObject.resourceVersion"),
            at("involvedObject.fieldPath"),
            at("reason"),
            at("reportingComponent"),
            as_kept("source", |event| {
                let component = meta::str_at(event, "source.component");
                if component.is_empty() { kept(event, "reportingComponent") } else { component.to_owned() }
            }),
            at("type"),
        ],
        ..Row::new("", "Event")
    },
    Row {
        strategy: Strategy {
            validate: |new, e| {
                legacy(new, "reportingController", e);
                strict(new, e);
            },
            validate_update: |new, old, e| {
                legacy(new, "reportingController", e);
                update(new, old, e);
            },
            create_on_update: true,
            ..Strategy::GENERIC
        },
        columns: COLUMNS,
        cells,
        selectable: &[
            at("reason"),
            as_kept("regarding.kind", |event| kept(event, "involvedObject.kind")),
            as_kept("regarding.namespace", |event| kept(event, "involvedObject.namespace")),
            as_kept("regarding.name", |event| kept(event, "involvedObject.name")),
            as_kept("regarding.uid", |event| kept(event, "involvedObject.uid")),
            as_kept("regarding.apiVersion", |event| kept(event, "involvedObject.apiVersion")),
            as_kept("regarding.resourceVersion", |event| kept(event, "involvedObject.resourceVersion")),
            as_kept("regarding.fieldPath", |event| kept(event, "involvedObject.fieldPath")),
            as_kept("reportingController", |event| kept(event, "reportingComponent")),
            at("type"),
        ],
        ..Row::new("events.k8s.io", "Event")
    },
];

/// Fields by their names in events.k8s.io/v1 and in core/v1.
const RENAMED: &[(&str, &str)] = &[
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

/// From events.k8s.io/v1 to how events are kept.
pub(super) fn to_core(event: &mut Value) {
    RENAMED.iter().for_each(|(new, old)| rename(event, new, old));
}

/// From how events are kept to events.k8s.io/v1.
pub(super) fn from_core(event: &mut Value) {
    RENAMED.iter().for_each(|(new, old)| rename(event, old, new));
}

fn rename(event: &mut Value, from: &str, to: &str) {
    if let Some(value) = event.as_object_mut().and_then(|fields| fields.shift_remove(from)) {
        meta::put(event, to, value);
    }
}

const COLUMNS: &[Column] = &[
    text("Last Seen", About::Field("Event", "lastTimestamp")),
    text("Type", About::Field("Event", "type")),
    text("Reason", About::Field("Event", "reason")),
    text("Object", About::Field("Event", "involvedObject")),
    wide("Subobject", says("The part of the object that it is about")),
    wide("Source", About::Field("Event", "source")),
    text("Message", About::Field("Event", "message")),
    wide("First Seen", About::Field("Event", "firstTimestamp")),
    wide("Count", About::Field("Event", "count")),
    wide_name(),
];

fn cells(event: &Value, now: i64) -> Vec<Value> {
    let text = |path: &str| meta::str_at(event, path);
    let first_of = |a: &str, b: &str| if a.is_empty() { b.to_owned() } else { a.to_owned() };
    let first = time::since(&first_of(text("firstTimestamp"), text("eventTime")), now);
    let mut last = if text("lastTimestamp").is_empty() {
        first.clone()
    } else {
        time::since(text("lastTimestamp"), now)
    };
    let mut count = meta::int_at(event, "count");
    if meta::at(event, "series").is_some() {
        last = time::since(text("series.lastObservedTime"), now);
        count = meta::int_at(event, "series.count");
    } else if count == 0 {
        count = 1;
    }
    let (kind, name) = (text("involvedObject.kind").to_lowercase(), text("involvedObject.name"));
    let component = first_of(text("source.component"), text("reportingComponent"));
    let instance = first_of(text("source.host"), text("reportingInstance"));
    vec![
        last.into(),
        text("type").into(),
        text("reason").into(),
        if name.is_empty() { kind.into() } else { format!("{kind}/{name}").into() },
        text("involvedObject.fieldPath").into(),
        if instance.is_empty() { component.into() } else { format!("{component}, {instance}").into() },
        text("message").trim().into(),
        first.into(),
        count.into(),
        meta::name(event).into(),
    ]
}

/// The rules of both groups. Those that have `eventTime` obey more of them.
fn legacy(event: &At<'_>, controller_field: &'static str, e: &mut Errors) {
    let (namespace, object) = (event.get("metadata.namespace").str(), event.get("involvedObject.namespace"));
    let says = "does not match event.namespace";
    if event.get("eventTime").is_empty() {
        let fits =
            if object.is_empty() { ["", "default"].contains(&namespace) } else { object.is(namespace) };
        if !fits {
            e.invalid_as(&object.path, object.str(), says);
        }
        return;
    }
    if object.is_empty() && !["default", "kube-system"].contains(&namespace) {
        e.invalid_as(&object.path, object.str(), says);
    }
    let controller = event.get("reportingComponent").under(Path::ROOT.child(controller_field));
    if controller.is_empty() {
        e.required(&controller.path, "");
    }
    for wrong in label_key(controller.str()) {
        e.invalid_as(&controller.path, controller.str(), wrong);
    }
    for (name, at_most) in [("reportingInstance", 128), ("action", 128), ("reason", 128), ("message", 1024)] {
        let at = event.get(name);
        if at.is_empty() && name != "message" {
            e.required(&at.path, "");
        }
        if at.str().len() > at_most {
            e.invalid_as(&at.path, "", format!("can have at most {at_most} characters"));
        }
    }
}

fn series(event: &At<'_>, e: &mut Errors) {
    let at = event.get("series");
    if !at.is_set() {
        return;
    }
    if at.get("count").int() < 2 {
        e.invalid_as(&at.get("count").path, "", "should be at least 2");
    }
    if at.get("lastObservedTime").is_empty() {
        e.required(&at.get("lastObservedTime").path, "");
    }
}

/// What events.k8s.io/v1 asks of new events.
fn strict(event: &At<'_>, e: &mut Errors) {
    series(event, e);
    if event.get("eventTime").is_empty() {
        e.required(&event.get("eventTime").path, "");
    }
    let kind = event.get("type");
    if !["Normal", "Warning"].contains(&kind.str()) {
        e.invalid_as(&kind.path, "", format!("has invalid value: {}", kind.str()));
    }
    let source = event.get("source.component").is_empty() && event.get("source.host").is_empty();
    for name in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        let at = event.get(name);
        if if name == "source" { !source } else { !at.is_empty() } {
            e.invalid_as(&at.path, "", "needs to be unset");
        }
    }
}

/// What of an event stays, in events.k8s.io/v1.
fn update(new: &At<'_>, old: &At<'_>, e: &mut Errors) {
    if !meta::same(new.get("series").value, old.get("series").value) {
        series(new, e);
    }
    for name in [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "eventTime",
        "action",
        "related",
    ] {
        immutable(&new.get(name), &old.get(name), e);
    }
    let controller = Path::of("reportingController");
    immutable(&new.get("reportingComponent").under(controller), &old.get("reportingComponent"), e);
    immutable(&new.get("reportingInstance"), &old.get("reportingInstance"), e);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{cells as row, created};
    use super::*;

    #[test]
    fn an_event_is_the_same_in_both_groups() {
        let new = json!({"note": "n", "regarding": {"kind": "Pod"}, "reportingController": "c/d", "eventTime": "2026-01-01T00:00:00.000000Z", "deprecatedCount": 3});
        let mut event = new.clone();
        to_core(&mut event);
        assert_eq!(event["message"], "n");
        assert_eq!(event["involvedObject"]["kind"], "Pod");
        from_core(&mut event);
        assert_eq!(event, new);
    }

    #[test]
    fn events_are_of_the_namespace_of_what_they_are_about() {
        let event =
            json!({"metadata": {"name": "e", "namespace": "a"}, "involvedObject": {"namespace": "b"}});
        assert_eq!(
            created("", "Event", event).unwrap_err(),
            ["involvedObject.namespace: Invalid value: \"b\": does not match event.namespace"]
        );
        let event = json!({"metadata": {"name": "e.Odd_Name", "namespace": "a"}, "involvedObject": {"namespace": "a"}});
        assert!(created("", "Event", event).is_ok());
    }

    #[test]
    fn the_newer_group_asks_for_more() {
        let event = json!({"metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z", "count": 1, "type": "X"});
        assert_eq!(
            created("events.k8s.io", "Event", event).unwrap_err(),
            [
                "reportingController: Required value",
                "reportingController: Invalid value: \"\": name part must be non-empty",
                "reportingController: Invalid value: \"\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
                "reportingInstance: Required value",
                "action: Required value",
                "reason: Required value",
                "type: Invalid value: \"\": has invalid value: X",
                "count: Invalid value: \"\": needs to be unset",
            ]
        );
    }

    #[test]
    fn rows_say_when_and_what() {
        let event = json!({
            "metadata": {"name": "e"}, "type": "Normal", "reason": "Pulled", "message": " m ", "count": 2,
            "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.x"}, "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:01:00Z",
        });
        assert_eq!(
            row("", "Event", &event, "2026-01-01T00:02:00Z"),
            ["60s", "Normal", "Pulled", "pod/p", "spec.x", "kubelet, n", "m", "2m", "2", "e"]
        );
    }
}
