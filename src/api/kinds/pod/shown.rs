//! The difference between two specs as upstream shows it: a unified diff of its own types'
//! JSON, whose fields have Go's names and are there even when empty.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::schema::Scalar;
use crate::schema::{Omit, Type, TypeId, builtin};

/// The difference between two pod specs.
pub(super) fn pod_spec_difference(old: &Value, new: &Value) -> String {
    difference(Some(old), Some(new), "PodSpec")
}

/// The difference between two ephemeral containers.
pub(super) fn container_difference(old: Option<&Value>, new: Option<&Value>) -> String {
    difference(old, new, "EphemeralContainer")
}

/// The difference between two specs of claims.
pub(in crate::kinds) fn claim_difference(old: &Value, new: &Value) -> String {
    difference(Some(old), Some(new), "PersistentVolumeClaimSpec")
}

/// A value as upstream's messages show it; its type is of the core group or, `apps.v1.X`, another.
pub(in crate::kinds) fn as_upstream(value: &Value, name: &str) -> Value {
    let group = if name.contains('.') { "" } else { "core.v1." };
    let ty = builtin().find(&format!("io.k8s.api.{group}{name}"));
    ty.map_or_else(|| value.clone(), |ty| object(Some(value), ty))
}

/// A template as upstream's messages show it: metadata's fields beside the spec.
pub(in crate::kinds) fn template(value: &Value) -> Value {
    let mut shown = value.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    let spec = value.get("spec").cloned().unwrap_or_default();
    shown.insert("Spec".to_owned(), as_upstream(&spec, "PodSpec"));
    Value::Object(shown)
}

fn difference(old: Option<&Value>, new: Option<&Value>, name: &str) -> String {
    let Some(ty) = builtin().find(&format!("io.k8s.api.core.v1.{name}")) else { return String::new() };
    let lines = |value: Option<&Value>| -> Vec<String> {
        let mut text = String::new();
        print(&object(value, ty), 0, &mut text);
        text.lines().map(str::to_owned).collect()
    };
    unified(&lines(old), &lines(new))
}

/// Words that Go writes in capitals where they are a whole word of a name.
const INITIALS: &[&str] = &[
    "api", "dns", "fc", "fs", "gce", "aws", "http", "tcp", "grpc", "id", "ip", "ipc", "pid", "nfs", "iscsi",
    "rbd", "csi", "uid", "os", "tls", "fqdn", "url", "cpu", "io", "tty",
];

fn go_name(name: &str) -> String {
    match name {
        "serviceAccount" => return "DeprecatedServiceAccount".to_owned(),
        "gmsaCredentialSpecName" => return "GMSACredentialSpecName".to_owned(),
        "gmsaCredentialSpec" => return "GMSACredentialSpec".to_owned(),
        "seLinuxOptions" | "seLinuxChangePolicy" => return name.replace("seLinux", "SELinux"),
        "cephfs" => return "CephFS".to_owned(),
        "storageos" => return "StorageOS".to_owned(),
        "hostIPs" | "podIPs" => return format!("{}{}", name[..1].to_uppercase(), &name[1..]),
        _ => {}
    }
    let first = name.find(|c: char| c.is_ascii_uppercase()).unwrap_or(name.len());
    if INITIALS.contains(&&name[..first]) {
        return format!("{}{}", name[..first].to_uppercase(), &name[first..]);
    }
    format!("{}{}", name[..1].to_uppercase(), &name[1..])
}

fn object(value: Option<&Value>, ty: TypeId) -> Value {
    let mut shown = Map::new();
    for field in &builtin().object(ty).fields {
        let found = value.and_then(|v| v.get(&*field.name)).filter(|v| !v.is_null());
        let printed = match (&field.ty, found) {
            (Type::Object(inner), None) if !field.pointer && field.omit != Omit::Zero => object(None, *inner),
            (ty, None) => zero(ty, field.pointer),
            (ty, Some(found)) => render(found, ty),
        };
        shown.insert(go_name(&field.name), printed);
    }
    Value::Object(shown)
}

fn zero(ty: &Type, pointer: bool) -> Value {
    match ty {
        _ if pointer => Value::Null,
        Type::Scalar(Scalar::Bool) => false.into(),
        Type::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Float64 | Scalar::IntOrString) => 0.into(),
        Type::Scalar(Scalar::Quantity) => "0".into(),
        Type::Scalar(Scalar::String) => "".into(),
        _ => Value::Null,
    }
}

fn render(value: &Value, ty: &Type) -> Value {
    match (ty, value) {
        (Type::Object(inner), _) if is_meta(*inner) => value.clone(),
        (Type::Object(inner), _) => object(Some(value), *inner),
        (Type::List(item), Value::Array(items)) => items.iter().map(|i| render(i, item)).collect(),
        (Type::Map(entry), Value::Object(map)) => {
            let mut sorted: Vec<_> = map.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            Value::Object(sorted.into_iter().map(|(k, v)| (k.clone(), render(v, entry))).collect())
        }
        _ => value.clone(),
    }
}

/// Types that upstream's own share with the API, so that their fields have the API's names.
fn is_meta(ty: TypeId) -> bool {
    builtin().object(ty).definition.contains(".meta.v1.")
}

/// JSON indented by one space, as Go prints it.
fn print(value: &Value, depth: usize, out: &mut String) {
    let indent = " ".repeat(depth + 1);
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push_str("{\n");
            for (at, (key, value)) in map.iter().enumerate() {
                let _ = write!(out, "{indent}{}: ", Value::from(key.as_str()));
                print(value, depth + 1, out);
                out.push_str(if at + 1 < map.len() { ",\n" } else { "\n" });
            }
            let _ = write!(out, "{}}}", " ".repeat(depth));
        }
        Value::Array(items) if !items.is_empty() => {
            out.push_str("[\n");
            for (at, item) in items.iter().enumerate() {
                out.push_str(&indent);
                print(item, depth + 1, out);
                out.push_str(if at + 1 < items.len() { ",\n" } else { "\n" });
            }
            let _ = write!(out, "{}]", " ".repeat(depth));
        }
        other => out.push_str(&crate::field_error::go_json(other)),
    }
}

/// A unified diff with three lines around each change. Bounded: what is longer than some
/// thousand lines is compared from both ends alone.
fn unified(old: &[String], new: &[String]) -> String {
    let edits = edits(old, new);
    let changed: Vec<usize> = (0..edits.len()).filter(|at| edits[*at].0 != ' ').collect();
    let mut out = String::new();
    let mut from = 0;
    while from < changed.len() {
        let mut to = from;
        while to + 1 < changed.len() && changed[to + 1] - changed[to] <= 6 {
            to += 1;
        }
        let start = changed[from].saturating_sub(3);
        let end = (changed[to] + 4).min(edits.len());
        let before = |sign: char| edits[..start].iter().filter(|edit| edit.0 != sign).count();
        let within = |sign: char| edits[start..end].iter().filter(|edit| edit.0 != sign).count();
        let range = |skipped: usize, count: usize| match count {
            0 => format!("{skipped},0"),
            1 => format!("{}", skipped + 1),
            count => format!("{},{count}", skipped + 1),
        };
        let (old_range, new_range) = (range(before('+'), within('+')), range(before('-'), within('-')));
        let _ = writeln!(out, "@@ -{old_range} +{new_range} @@");
        for (sign, line) in &edits[start..end] {
            let _ = writeln!(out, "{sign}{line}");
        }
        from = to + 1;
    }
    out
}

fn edits<'a>(old: &'a [String], new: &'a [String]) -> Vec<(char, &'a str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (a, b) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut all: Vec<(char, &str)> = old[..head].iter().map(|line| (' ', line.as_str())).collect();
    if a.len().saturating_mul(b.len()) > 4_000_000 {
        all.extend(a.iter().map(|line| ('-', line.as_str())));
        all.extend(b.iter().map(|line| ('+', line.as_str())));
    } else {
        all.extend(common(a, b));
    }
    all.extend(old[old.len() - tail..].iter().map(|line| (' ', line.as_str())));
    all
}

/// The edits around a longest common subsequence; removals go before additions.
fn common<'a>(a: &'a [String], b: &'a [String]) -> Vec<(char, &'a str)> {
    let width = b.len() + 1;
    let mut lengths = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            lengths[i * width + j] = if a[i] == b[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut all) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            all.push((' ', a[i].as_str()));
            (i, j) = (i + 1, j + 1);
        } else if i < a.len() && (j == b.len() || lengths[(i + 1) * width + j] >= lengths[i * width + j + 1])
        {
            all.push(('-', a[i].as_str()));
            i += 1;
        } else {
            all.push(('+', b[j].as_str()));
            j += 1;
        }
    }
    all
}
