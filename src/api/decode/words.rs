//! Upstream's words for bodies whose kind is not the one asked for.

use super::quote;
use super::scan::Start;

/// Where upstream makes its schemes; errors name the place. Two groups are served by servers
/// of their own within it, which know no other kinds.
fn scheme(group: &str) -> &'static str {
    match group {
        "apiextensions.k8s.io" => "pkg/apiserver/apiserver.go:56",
        "apiregistration.k8s.io" => "pkg/apiserver/scheme/scheme.go:28",
        _ => "pkg/api/legacyscheme/scheme.go:30",
    }
}

/// Versions that upstream can read and serves only where it is told to.
const OTHER_VERSIONS: [(&str, &[&str]); 16] = [
    ("admissionregistration.k8s.io", &["v1alpha1", "v1beta1"]),
    ("apps", &["v1beta1", "v1beta2"]),
    ("authentication.k8s.io", &["v1alpha1", "v1beta1"]),
    ("authorization.k8s.io", &["v1beta1"]),
    ("batch", &["v1beta1"]),
    ("certificates.k8s.io", &["v1alpha1", "v1beta1"]),
    ("coordination.k8s.io", &["v1alpha2", "v1beta1"]),
    ("discovery.k8s.io", &["v1beta1"]),
    ("events.k8s.io", &["v1beta1"]),
    ("extensions", &["v1beta1"]),
    ("flowcontrol.apiserver.k8s.io", &["v1beta1", "v1beta2", "v1beta3"]),
    ("networking.k8s.io", &["v1beta1"]),
    ("policy", &["v1beta1"]),
    ("rbac.authorization.k8s.io", &["v1alpha1", "v1beta1"]),
    ("resource.k8s.io", &["v1alpha3", "v1beta1", "v1beta2"]),
    ("storage.k8s.io", &["v1alpha1", "v1beta1"]),
];

/// Whether the kind asked for can be read in this version too, though it is not served in it.
pub(super) fn is_other_version(from: (&str, &str, &str), to: (&str, &str)) -> bool {
    let (group, version, kind) = from;
    let moved = group == "extensions" && matches!(to.0, "apps" | "networking.k8s.io");
    kind == to.1
        && (group == to.0 || moved)
        && OTHER_VERSIONS.iter().any(|(known, versions)| *known == group && versions.contains(&version))
}

/// Whether a kind is in the scheme by which bodies for a group are read.
pub(super) fn shares_scheme(group: &str, expected: &str) -> bool {
    scheme(group) == scheme(expected)
}

/// `apps/v1`, or `v1` for the first group.
pub(super) fn joined(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

pub(super) fn not_registered(group: &str, version: &str, kind: &str, expected: &str) -> String {
    let version = quote(&joined(group, version));
    format!(
        "no kind {} is registered for version {version} in scheme {}",
        quote(kind),
        quote(scheme(expected))
    )
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
