//! Upstream's words for bodies whose kind is not the one asked for.

use super::quote;
use super::scan::Start;

/// Where upstream makes its scheme; its errors name the place.
const SCHEME: &str = "pkg/api/legacyscheme/scheme.go:30";

/// `apps/v1`, or `v1` for the first group.
pub(super) fn joined(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

pub(super) fn not_registered(group: &str, version: &str, kind: &str) -> String {
    let version = quote(&joined(group, version));
    format!("no kind {} is registered for version {version} in scheme {}", quote(kind), quote(SCHEME))
}

/// Why an object of one kind cannot become one of another; none where both are versions of one.
pub(super) fn conversion(from: (&str, &str, &str), to: (&str, &str)) -> Option<String> {
    let (group, version, kind) = from;
    if kind == to.1 && package(group) == package(to.0) {
        return None;
    }
    let (package, kind_to) = (package(to.0), to.1);
    Some(format!("converting ({version}.{kind}) to ({package}.{kind_to}): unknown conversion"))
}

/// Go's package of a group's internal types; events have moved and are still in the first one.
fn package(group: &str) -> &str {
    match group {
        "" | "events.k8s.io" => "core",
        group => group.split('.').next().unwrap_or(group),
    }
}

fn name(start: Start) -> &'static str {
    match start {
        Start::Object => "object",
        Start::List => "array",
        Start::String => "string",
        Start::Number => "number",
        Start::True | Start::False => "bool",
        Start::Null => "null",
    }
}

/// A body that is no object.
pub(super) fn not_an_object(start: Start) -> String {
    let ty = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    format!("json: cannot unmarshal {} into Go value of type {ty}", name(start))
}

/// A kind or a version that is no text.
pub(super) fn not_a_string(start: Start, field: &str) -> String {
    format!("json: cannot unmarshal {} into Go struct field .{field} of type string", name(start))
}
