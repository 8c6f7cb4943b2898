//! The fields under `masters` and `workers`.

use std::collections::BTreeMap;

use super::super::diagnostic::Mistake;
use super::super::rules::{label, machine, name, shown};
use super::super::tree::Value;
use super::super::{Masters, Taint, Volume, WorkerGroup, limits};
use super::access::zones;
use super::reader::{At, Fields, Reader};
use super::top::required_name;

pub(super) fn masters<'t>(reader: &mut Reader<'_>, at: &At<'t>) -> Masters {
    let mut masters = Masters::default();
    let Some(fields) = reader.mapping(at) else {
        return masters;
    };
    let count = fields.get("count");
    if let Some(count) = count.and_then(|at| reader.number(&at, "1", machine::master_count)) {
        masters.count = count;
    }
    if let Some(kind) = instance_type(reader, &fields) {
        masters.instance_type = kind;
    }
    masters.zones = zones(reader, &fields);
    masters.volume = volume(reader, &fields);
    masters
}

pub(super) fn workers<'t>(reader: &mut Reader<'_>, at: &At<'t>) -> Vec<WorkerGroup> {
    if !matches!(at.node.value, Value::List(_) | Value::Null) {
        let mistake = Mistake::new(
            format!("{} is not a list of groups", reader.described(at.node)),
            "begin each group with - name: NAME; [] is none",
        );
        reader.wrong(at, mistake);
        return Vec::new();
    }
    let Some(items) = reader.list(at, limits::MAX_GROUPS, "- name: general") else {
        return Vec::new();
    };
    items.iter().map(|item| group(reader, item)).collect()
}

fn group<'t>(reader: &mut Reader<'_>, at: &At<'t>) -> WorkerGroup {
    let mut group = WorkerGroup::defaults("");
    let Some(fields) = reader.mapping(at) else {
        return group;
    };
    group.name = required_name(reader, &fields, "general", name::group).unwrap_or_default();
    let count = fields.get("count");
    let range = "a whole number from 0 to 500";
    if let Some(count) = count.and_then(|at| reader.number(&at, range, machine::worker_count)) {
        group.count = count;
    }
    if let Some(kind) = instance_type(reader, &fields) {
        group.instance_type = kind;
    }
    group.zones = zones(reader, &fields);
    if let Some(at) = fields.get("labels") {
        group.labels = labels(reader, &at);
    }
    if let Some(at) = fields.get("taints") {
        group.taints = taints(reader, &at);
    }
    group.volume = volume(reader, &fields);
    group
}

fn instance_type<'t>(reader: &mut Reader<'_>, fields: &Fields<'t>) -> Option<String> {
    let at = fields.get("type")?;
    reader.text(&at, machine::instance_type)
}

fn volume<'t>(reader: &mut Reader<'_>, fields: &Fields<'t>) -> Volume {
    let mut volume = Volume::default();
    let size =
        fields.get("volume").and_then(|at| reader.mapping(&at)).and_then(|fields| fields.get("sizeGiB"));
    let range = "a whole number from 8 to 16384";
    if let Some(size) = size.and_then(|at| reader.number(&at, range, machine::volume_gib)) {
        volume.size_gib = size;
    }
    volume
}

fn labels<'t>(reader: &mut Reader<'_>, at: &At<'t>) -> BTreeMap<String, String> {
    let Some(fields) = reader.any_mapping(at, "KEY: VALUE") else {
        return BTreeMap::new();
    };
    let mut labels = BTreeMap::new();
    for (key, value) in fields.entries() {
        if let Err(mistake) = label::label_key(&key.name) {
            reader.wrong_at(&value.path, key.place, mistake);
        }
        if value.node.value == Value::Null {
            let mistake = Mistake::new("the label has no value", "write one, or \"\" for an empty one");
            reader.wrong(&value, mistake);
        } else if let Some(text) = reader.text(&value, label::value) {
            labels.insert(key.name.clone(), text);
        }
    }
    if labels.len() > limits::MAX_LABELS {
        let problem = format!("there are {} labels", labels.len());
        let remedy = format!("write at most {}", limits::MAX_LABELS);
        reader.wrong(at, Mistake::new(problem, remedy));
    }
    labels
}

fn taints<'t>(reader: &mut Reader<'_>, at: &At<'t>) -> Vec<Taint> {
    let example = "- {key: example.com/dedicated, value: db, effect: NoSchedule}";
    let items = reader.list(at, limits::MAX_LABELS, example).unwrap_or_default();
    let mut taints: Vec<Taint> = Vec::with_capacity(items.len());
    for item in items {
        let Some(taint) = taint(reader, &item) else {
            continue;
        };
        let same = |other: &Taint| other.key == taint.key && other.effect == taint.effect;
        if taints.iter().any(same) {
            let problem =
                format!("{} with effect {} is in the list twice", shown(&taint.key), taint.effect.as_str());
            let remedy = "leave one of them out: Kubernetes keeps one value for each";
            reader.wrong(&item, Mistake::new(problem, remedy));
        }
        taints.push(taint);
    }
    taints
}

fn taint<'t>(reader: &mut Reader<'_>, at: &At<'t>) -> Option<Taint> {
    if let Value::Text(text) = &at.node.value {
        reader.wrong(at, as_kubectl_writes(text));
        return None;
    }
    let fields = reader.mapping(at)?;
    let key = match fields.get("key") {
        Some(at) => reader.text(&at, label::taint_key),
        None => missing(reader, &fields, "key", "example.com/dedicated"),
    };
    let value = match fields.get("value") {
        Some(at) => reader.text(&at, label::value),
        None => Some(String::new()),
    };
    let effect = match fields.get("effect") {
        Some(at) => reader.text(&at, machine::taint_effect),
        None => missing(reader, &fields, "effect", "NoSchedule"),
    };
    Some(Taint { key: key?, value: value?, effect: effect? })
}

fn missing<T>(reader: &mut Reader<'_>, fields: &Fields<'_>, field: &str, example: &str) -> Option<T> {
    let path = format!("{}.{field}", fields.whole.path);
    let mistake =
        Mistake::new(format!("the taint's {field} is missing"), format!("write {field}: {example}"));
    reader.wrong_at(&path, fields.whole.node.place, mistake);
    None
}

/// `key=value:Effect`, kubectl's form.
fn as_kubectl_writes(text: &str) -> Mistake {
    let (pair, effect) = text.rsplit_once(':').unwrap_or((text, "NoSchedule"));
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let value = if value.is_empty() { String::new() } else { format!("value: {value}, ") };
    Mistake::new(
        format!("{} is not a mapping", shown(text)),
        format!("write {{key: {key}, {value}effect: {effect}}}"),
    )
}
