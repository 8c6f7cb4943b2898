//! What a client accepts, and which of the forms we have it gets.
//!
//! JSON and YAML, each also as a Table or as metadata only. Protobuf is read in requests
//! and never sent: a client that accepts nothing else is told so.

/// How an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/json`
    Json,
    /// `application/yaml`
    Yaml,
}

/// What is made of the object before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Nothing.
    Whole,
    /// `Table` of meta.k8s.io/v1 or v1beta1.
    Table(MetaVersion),
    /// `PartialObjectMetadata`.
    Metadata(MetaVersion),
    /// `PartialObjectMetadataList`.
    MetadataList(MetaVersion),
}

/// Version of meta.k8s.io.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaVersion {
    /// `v1`
    V1,
    /// `v1beta1`
    V1Beta1,
}

impl MetaVersion {
    /// `meta.k8s.io/v1`
    #[must_use]
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// One choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// How it is written.
    pub form: Form,
    /// What is written.
    pub shape: Shape,
    /// Whether it is indented (`pretty=1` in the media type).
    pub pretty: bool,
}

/// The media types that objects can be had as, for the message of a refusal.
pub const AVAILABLE: &[&str] =
    &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// The default: JSON, whole.
pub const PLAIN: Accepted = Accepted { form: Form::Json, shape: Shape::Whole, pretty: false };

/// One clause of an Accept header.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause<'a> {
    /// `application`
    pub kind: &'a str,
    /// `json`
    pub sub: &'a str,
    /// Its quality, 1 where none is given.
    pub quality: f32,
    /// Its other parameters.
    pub parameters: Vec<(&'a str, &'a str)>,
}

/// The clauses of an Accept header, most wanted first.
#[must_use]
pub fn clauses(header: &str) -> Vec<Clause<'_>> {
    let mut found: Vec<_> = header.split(',').filter_map(clause).collect();
    let rank = |clause: &Clause<'_>| {
        let exact = match (clause.kind, clause.sub) {
            ("*", _) => 0,
            (_, "*") => 1,
            _ => 2,
        };
        (clause.quality, exact, clause.parameters.len())
    };
    found.sort_by(|a, b| rank(b).partial_cmp(&rank(a)).unwrap_or(std::cmp::Ordering::Equal));
    found
}

fn clause(text: &str) -> Option<Clause<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let (kind, sub) =
        parts.next()?.split_once('/').map_or(("*", "*"), |(kind, sub)| (kind.trim(), sub.trim()));
    if text.trim().is_empty() {
        return None;
    }
    let mut quality = 1.0;
    let mut parameters = Vec::new();
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name.trim() {
            "q" => quality = value.trim().parse().unwrap_or(1.0),
            name => parameters.push((name, value.trim())),
        }
    }
    Some(Clause { kind, sub, quality, parameters })
}

/// What a client with this header gets; `None` if it accepts nothing that we have.
/// `tables` says whether Tables and metadata can be made here.
#[must_use]
pub fn negotiate(header: Option<&str>, tables: bool) -> Option<Accepted> {
    let Some(header) = header.filter(|header| !header.trim().is_empty()) else { return Some(PLAIN) };
    clauses(header).iter().find_map(|clause| choice(clause, tables))
}

/// Whether a header names a form that objects have, whatever shape it asks for.
#[must_use]
pub fn knows_form(header: &str) -> bool {
    let known = |clause: &Clause<'_>| {
        matches!((clause.kind, clause.sub), ("*", "*") | ("application", "*" | "json" | "yaml"))
            || clause.kind == "application" && clause.sub == "vnd.kubernetes.protobuf"
    };
    clauses(header).iter().any(known)
}

fn choice(clause: &Clause<'_>, tables: bool) -> Option<Accepted> {
    let form = match (clause.kind, clause.sub) {
        ("*", "*") | ("application", "*" | "json") => Form::Json,
        ("application", "yaml") => Form::Yaml,
        _ => return None,
    };
    let parameter = |name: &str| clause.parameters.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    let pretty = parameter("pretty") == Some("1");
    let Some(kind) = parameter("as").filter(|kind| !kind.is_empty()) else {
        return Some(Accepted { form, shape: Shape::Whole, pretty });
    };
    let version = match (parameter("g"), parameter("v")) {
        (Some("meta.k8s.io"), Some("v1")) => MetaVersion::V1,
        (Some("meta.k8s.io"), Some("v1beta1")) => MetaVersion::V1Beta1,
        _ => return None,
    };
    let shape = match kind {
        "Table" => Shape::Table(version),
        "PartialObjectMetadata" => Shape::Metadata(version),
        "PartialObjectMetadataList" => Shape::MetadataList(version),
        _ => return None,
    };
    tables.then_some(Accepted { form, shape, pretty })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_form_that_we_have_is_chosen() {
        let of = |form, shape| Some(Accepted { form, shape, pretty: false });
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let cases = [
            (None, PLAIN.into()),
            (Some("*/*"), PLAIN.into()),
            (Some("application/json"), PLAIN.into()),
            (Some("application/vnd.kubernetes.protobuf,application/json"), PLAIN.into()),
            (Some("application/vnd.kubernetes.protobuf"), None),
            (Some("text/plain"), None),
            (Some("application/yaml"), of(Form::Yaml, Shape::Whole)),
            (Some("application/yaml;q=0.5, application/json"), PLAIN.into()),
            (Some(kubectl), of(Form::Json, Shape::Table(MetaVersion::V1))),
            (
                Some("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
                of(Form::Json, Shape::MetadataList(MetaVersion::V1)),
            ),
            (Some("application/json;as=Chair;g=meta.k8s.io;v=v1"), None),
        ];
        for (header, expected) in cases {
            assert_eq!(negotiate(header, true), expected, "{header:?}");
        }
        assert_eq!(negotiate(Some(kubectl), false), Some(PLAIN));
    }
}
