//! How a client sees objects: as they are kept, in another version, as metadata, as rows.
//!
//! Only the first costs nothing; the others are made of the bytes, object by object, when a
//! request asks for them.

use std::borrow::Cow;
use std::sync::Arc;

use api::kind::Kind;
use api::table::{self, Include, ListMeta};
use serde_json::Value;

use crate::cache::{Change, Entry};
use crate::http::accept::{MetaVersion, Shape};

/// What one request makes of objects.
#[derive(Clone)]
pub struct View {
    kind: Arc<Kind>,
    version: Arc<str>,
    shape: Shape,
    /// Whether what is kept is what this version shows.
    as_kept: bool,
    include: Include,
    columns: Arc<[Value]>,
    now: i64,
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("shape", &self.shape).finish_non_exhaustive()
    }
}

impl View {
    /// Objects of `kind` in `version`, in `shape`; `columns` are those of its Tables. `now` (Unix seconds) is for ages in rows.
    #[must_use]
    pub fn new(
        kind: &Arc<Kind>,
        version: &str,
        shape: Shape,
        include: Include,
        columns: Arc<[Value]>,
        now: i64,
    ) -> Self {
        let as_kept = kind.api_version(version) == *kind.stored.api_version;
        Self { kind: Arc::clone(kind), version: version.into(), shape, as_kept, include, columns, now }
    }

    /// Whether bytes go out as they are kept.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.as_kept && self.shape == Shape::Whole
    }

    /// The object in the version that was asked for.
    #[must_use]
    pub fn whole<'a>(&self, object: &'a [u8]) -> Cow<'a, [u8]> {
        if self.as_kept {
            return Cow::Borrowed(object);
        }
        let Ok(value) = serde_json::from_slice::<Value>(object) else { return Cow::Borrowed(object) };
        Cow::Owned(api::canonical::to_vec(&convert::from_storage(&self.kind, &self.version, value)))
    }

    /// A single object, as the answer to a request for it.
    #[must_use]
    pub fn one<'a>(&self, object: &'a [u8]) -> Cow<'a, [u8]> {
        match self.shape {
            Shape::Whole | Shape::MetadataList(_) => self.whole(object),
            Shape::Metadata(version) => Cow::Owned(metadata(object, version)),
            Shape::Table(version) => Cow::Owned(self.table_of(object, version, true)),
        }
    }

    fn table_of(&self, object: &[u8], version: MetaVersion, with_columns: bool) -> Vec<u8> {
        let revision = crate::json::path(object, ["metadata", "resourceVersion"]);
        let resource_version =
            revision.map(|span| crate::json::text_of(object, &span).into_owned()).unwrap_or_default();
        let meta = ListMeta { resource_version, ..ListMeta::default() };
        let columns = with_columns.then_some(&*self.columns);
        let mut out = table::head(version.api_version(), &meta, columns).into_bytes();
        self.push_row(&mut out, object, version);
        out.extend_from_slice(table::TAIL.as_bytes());
        out
    }

    fn push_row(&self, out: &mut Vec<u8>, object: &[u8], version: MetaVersion) {
        let whole = self.whole(object);
        let value = serde_json::from_slice(object).unwrap_or_default();
        let cells = self.kind.table.cells(&value, self.now);
        let conditions = table::conditions(&self.kind, &value);
        match self.include {
            Include::Metadata => table::push_row(out, cells, &conditions, Some(&metadata(&whole, version))),
            Include::Object => table::push_row(out, cells, &conditions, Some(&whole)),
            Include::None => table::push_row(out, cells, &conditions, None),
        }
    }

    /// What stands before the first item of a list.
    #[must_use]
    pub fn list_head(&self, meta: &ListMeta) -> Vec<u8> {
        let head = |kind: &str, api_version: &str| {
            format!(
                "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{},\"items\":[",
                meta.json()
            )
        };
        match self.shape {
            Shape::Table(version) => table::head(version.api_version(), meta, Some(&self.columns)),
            Shape::Metadata(version) | Shape::MetadataList(version) => {
                head("PartialObjectMetadataList", version.api_version())
            }
            Shape::Whole => head(&self.kind.list_kind, &self.kind.api_version(&self.version)),
        }
        .into_bytes()
    }

    /// Writes one item of a list.
    pub fn push_item(&self, out: &mut Vec<u8>, entry: &Entry) {
        match self.shape {
            Shape::Table(version) => self.push_row(out, entry.bytes(), version),
            Shape::Metadata(version) | Shape::MetadataList(version) => {
                out.extend_from_slice(&metadata(entry.bytes(), version));
            }
            Shape::Whole if self.as_kept => {
                out.push(b'{');
                out.extend_from_slice(entry.members());
            }
            Shape::Whole => {
                let whole = self.whole(entry.bytes());
                out.push(b'{');
                out.extend_from_slice(whole.get(crate::cache::entry::head(&whole)..).unwrap_or_default());
            }
        }
    }

    /// What closes a list.
    #[must_use]
    pub fn list_tail(&self) -> &'static [u8] {
        b"]}\n"
    }

    /// Writes a watch event of an object. `first` says whether nothing was written before.
    pub fn push_event(&self, out: &mut Vec<u8>, change: Change, entry: &Entry, first: bool) {
        if self.is_plain() {
            out.extend_from_slice(&entry.frame(change));
            return;
        }
        self.push_framed(out, change.word(), entry.bytes(), first);
    }

    /// Writes a watch event of this word of an object in bytes.
    pub fn push_framed(&self, out: &mut Vec<u8>, word: &str, object: &[u8], first: bool) {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(b"\",\"object\":");
        match self.shape {
            Shape::Table(version) => out.extend_from_slice(&self.table_of(object, version, first)),
            Shape::Metadata(version) | Shape::MetadataList(version) => {
                out.extend_from_slice(&metadata(object, version));
            }
            Shape::Whole => out.extend_from_slice(&self.whole(object)),
        }
        out.extend_from_slice(b"}\n");
    }

    /// The object of a bookmark: nothing but its kind, a resourceVersion and annotations.
    #[must_use]
    pub fn bookmark(&self, revision: store::Revision, initial_events_end: bool) -> Vec<u8> {
        let annotations =
            if initial_events_end { ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" } else { "" };
        format!(
            "{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"metadata\":{{\"resourceVersion\":\"{revision}\"{annotations}}}}}",
            self.kind.kind, self.kind.stored.api_version
        )
        .into_bytes()
    }
}

/// `PartialObjectMetadata` of an object.
#[must_use]
pub fn metadata(object: &[u8], version: MetaVersion) -> Vec<u8> {
    let span = crate::json::path(object, ["metadata"]);
    let metadata = span.and_then(|span| object.get(span)).unwrap_or(b"{}");
    let head = format!(
        "{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"{}\",\"metadata\":",
        version.api_version()
    );
    let mut out = Vec::with_capacity(head.len() + metadata.len() + 1);
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(metadata);
    out.push(b'}');
    out
}

/// Between the form that is kept and the versions that are served.
pub mod convert {
    use api::kind::Kind;
    use serde_json::Value;

    /// An object as a version shows it.
    #[must_use]
    pub fn from_storage(kind: &Kind, version: &str, mut object: Value) -> Value {
        let api_version = kind.api_version(version);
        if let Some(row) = kind.version(version)
            && api_version != *kind.stored.api_version
        {
            (row.from_storage)(&mut object);
            object["apiVersion"] = api_version.into();
            api::canonical::normalise(&kind.schema, row.object, &mut object);
        }
        object
    }

    /// An object of a version in the form that is kept.
    #[must_use]
    pub fn to_storage(kind: &Kind, version: &str, mut object: Value) -> Value {
        if let Some(row) = kind.version(version)
            && kind.api_version(version) != *kind.stored.api_version
        {
            (row.to_storage)(&mut object);
            object["apiVersion"] = Value::from(&*kind.stored.api_version);
        }
        object
    }
}
