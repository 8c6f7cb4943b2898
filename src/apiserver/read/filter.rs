//! Which entries a list or a watch shows: by place, labels and fields.

use std::borrow::Cow;
use std::sync::Arc;

use api::kind::{Kind, Read};
use api::selector::{FieldSelector, LabelSelector};
use api::status::Status;

use crate::cache::Entry;
use crate::refusal::Result;

/// What must hold of an entry to be shown.
#[derive(Clone)]
pub struct Filter {
    kind: Arc<Kind>,
    /// What its key begins with: a namespace and a slash, or nothing.
    pub prefix: String,
    /// Its whole key, where one object is meant.
    pub key: Option<String>,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    /// One for a kind's objects in a namespace (or all). `name` narrows it to one object.
    pub fn new(
        kind: &Arc<Kind>,
        namespace: &str,
        name: &str,
        labels: LabelSelector,
        mut fields: FieldSelector,
    ) -> Result<Self> {
        let known = |field: &str| {
            matches!(field, "metadata.name" | "metadata.namespace")
                || kind.selectable.iter().any(|selectable| selectable.name == field)
        };
        if let Err(unknown) = fields.check(known) {
            return Err(Status::bad_request(refusal(kind, &unknown.0)).into());
        }
        if !name.is_empty() {
            if fields.exact("metadata.name").is_some_and(|selected| selected != name) {
                let says = "fieldSelector metadata.name doesn't match requested name";
                return Err(Status::bad_request(says).into());
            }
            fields.terms.retain(|term| term.field != "metadata.name" || term.differs);
        }
        let name = if name.is_empty() {
            fields.exact("metadata.name").unwrap_or_default().to_owned()
        } else {
            name.to_owned()
        };
        let namespace = if namespace.is_empty() && kind.namespaced {
            fields.exact("metadata.namespace").unwrap_or_default().to_owned()
        } else {
            namespace.to_owned()
        };
        let inside = kind.namespaced && !namespace.is_empty();
        let prefix = if inside { format!("{namespace}/") } else { String::new() };
        let placed = inside || !kind.namespaced;
        let key = (placed && !name.is_empty()).then(|| format!("{prefix}{name}"));
        if key.is_none() && !name.is_empty() && fields.exact("metadata.name").is_none() {
            let term =
                api::selector::FieldTerm { field: "metadata.name".to_owned(), differs: false, value: name };
            fields.terms.push(term);
        }
        Ok(Self { kind: Arc::clone(kind), prefix, key, labels, fields })
    }

    /// Whether every entry at its place is shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.key.is_none() && self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an entry lies at the place that is meant.
    #[must_use]
    pub fn covers(&self, key: &str) -> bool {
        self.key.as_ref().map_or_else(|| key.starts_with(&self.prefix), |wanted| wanted == key)
    }

    /// Whether an entry at the right place is shown.
    #[must_use]
    pub fn selects(&self, entry: &Entry) -> bool {
        (self.labels.is_empty() || self.labels.matches(entry.labels()))
            && (self.fields.is_empty() || self.fields.matches(|name| field(&self.kind, entry, name)))
    }

    /// Whether an entry is shown.
    #[must_use]
    pub fn shows(&self, entry: &Entry) -> bool {
        self.covers(&entry.key) && self.selects(entry)
    }
}

fn field<'a>(kind: &Kind, entry: &'a Entry, name: &str) -> Cow<'a, str> {
    let row = kind.selectable.iter().find(|selectable| selectable.name == name);
    match row.map(|row| (row, row.read)) {
        Some((row, Read::Made(_))) => {
            let value = serde_json::from_slice(entry.bytes()).unwrap_or_default();
            Cow::Owned(row.value(&value))
        }
        Some((_, Read::Path(absent))) => match entry.found(name) {
            Some(text) => text,
            None => Cow::Borrowed(absent),
        },
        None => entry.field(name),
    }
}

/// Upstream's words for a field that a kind is not selected by.
fn refusal(kind: &Kind, field: &str) -> String {
    if kind.selectable.is_empty() {
        return format!(
            "{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
    }
    format!("field label not supported: {field}")
}
