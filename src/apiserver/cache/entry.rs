//! One object as bytes: what GET, LIST and WATCH send, made once when it comes from the store.
//!
//! The bytes are a whole watch event, `{"type":"ADDED","object":{…}}` and a line feed; the
//! object alone is a part of it. The store's JSON has no resourceVersion: it is spliced in
//! here, at the place where upstream prints it.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use store::{LeaseId, Revision};

use crate::json::{self, Span};

/// What an event says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The object came to be (or began to match).
    Added,
    /// It changed.
    Modified,
    /// It went (or ceased to match).
    Deleted,
}

impl Change {
    /// Upstream's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Added => "{\"type\":\"ADDED\",\"object\":",
            Self::Modified => "{\"type\":\"MODIFIED\",\"object\":",
            Self::Deleted => "{\"type\":\"DELETED\",\"object\":",
        }
    }
}

const SUFFIX: &str = "}\n";

/// An object as of one revision.
#[derive(Debug)]
pub struct Entry {
    /// `namespace/name`, or `name` of an object without namespace.
    pub key: Arc<str>,
    /// When these bytes were written.
    pub revision: Revision,
    /// When the object came to be.
    pub created: Revision,
    /// The lease that ends it.
    pub lease: Option<LeaseId>,
    /// What the frame says happened.
    change: Change,
    frame: Bytes,
    /// Where the members behind `kind` and `apiVersion` begin, in the object.
    head: u32,
}

/// Something that happened to one object.
#[derive(Debug)]
pub struct Event {
    /// What.
    pub change: Change,
    /// The object after it; for a deletion as it was, with the deletion's revision.
    pub entry: Arc<Entry>,
    /// The object before it.
    pub previous: Option<Arc<Entry>>,
}

impl Entry {
    /// Makes the bytes of `stored` (canonical JSON without a resourceVersion).
    #[must_use]
    pub fn new(key: Arc<str>, stored: &[u8], change: Change, revision: Revision, created: Revision) -> Self {
        let (at, head) = places(stored).unwrap_or((stored.len(), 0));
        // What is not kept has no version.
        let is_kept = revision != Revision::ZERO;
        let spliced = if is_kept { format!("\"resourceVersion\":\"{revision}\"") } else { String::new() };
        let (before, after) = stored.split_at_checked(at).unwrap_or((stored, b""));
        let prefix = change.prefix();
        let mut frame = Vec::with_capacity(prefix.len() + stored.len() + spliced.len() + 3);
        frame.extend_from_slice(prefix.as_bytes());
        frame.extend_from_slice(before);
        if is_kept && !before.ends_with(b"{") && !before.ends_with(b",") {
            frame.push(b',');
        }
        frame.extend_from_slice(spliced.as_bytes());
        if is_kept && !after.starts_with(b"}") && !after.starts_with(b",") {
            frame.push(b',');
        }
        frame.extend_from_slice(after);
        frame.extend_from_slice(SUFFIX.as_bytes());
        Self { key, revision, created, lease: None, change, frame: frame.into(), head }
    }

    /// The same, ending with a lease.
    #[must_use]
    pub fn leased(self, lease: Option<LeaseId>) -> Self {
        Self { lease, ..self }
    }

    /// This object with a deletion's revision.
    #[must_use]
    pub fn deleted(&self, revision: Revision) -> Self {
        let object = self.object();
        let mut stored = Vec::with_capacity(object.len());
        match json::path(&object, ["metadata", "resourceVersion"]) {
            Some(span) => {
                stored.extend_from_slice(object.get(..span.start).unwrap_or_default());
                stored.extend_from_slice(format!("\"{revision}\"").as_bytes());
                stored.extend_from_slice(object.get(span.end..).unwrap_or_default());
            }
            None => stored.extend_from_slice(&object),
        }
        let prefix = Change::Deleted.prefix();
        let mut frame = Vec::with_capacity(prefix.len() + stored.len() + SUFFIX.len());
        frame.extend_from_slice(prefix.as_bytes());
        frame.extend_from_slice(&stored);
        frame.extend_from_slice(SUFFIX.as_bytes());
        let (key, created, head) = (Arc::clone(&self.key), self.created, self.head);
        Self { key, revision, created, lease: None, change: Change::Deleted, frame: frame.into(), head }
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> Bytes {
        self.frame.slice(self.change.prefix().len()..self.frame.len() - SUFFIX.len())
    }

    /// The object's bytes, borrowed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.frame.get(self.change.prefix().len()..self.frame.len() - SUFFIX.len()).unwrap_or_default()
    }

    /// The object without `kind` and `apiVersion` and without its opening brace, as it stands in a list.
    #[must_use]
    pub fn members(&self) -> &[u8] {
        self.bytes().get(self.head as usize..).unwrap_or_default()
    }

    /// The watch event that says `change` of this object: shared where it is the one that was made.
    #[must_use]
    pub fn frame(&self, change: Change) -> Bytes {
        if change == self.change {
            return self.frame.clone();
        }
        let (prefix, object) = (change.prefix(), self.bytes());
        let mut frame = Vec::with_capacity(prefix.len() + object.len() + SUFFIX.len());
        frame.extend_from_slice(prefix.as_bytes());
        frame.extend_from_slice(object);
        frame.extend_from_slice(SUFFIX.as_bytes());
        frame.into()
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        self.frame.len() + self.key.len() + size_of::<Self>()
    }

    /// Its namespace; empty where it has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.key.rsplit_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key.rsplit_once('/').map_or(&self.key, |(_, name)| name)
    }

    /// Where its metadata stands in [`Entry::bytes`].
    #[must_use]
    pub fn metadata(&self) -> Option<Span> {
        json::path(self.bytes(), ["metadata"])
    }

    /// The text of the value at a dotted path; empty where there is none.
    #[must_use]
    pub fn field(&self, dotted: &str) -> Cow<'_, str> {
        match dotted {
            "metadata.name" => Cow::Borrowed(self.name()),
            "metadata.namespace" => Cow::Borrowed(self.namespace()),
            _ => json::path(self.bytes(), dotted.split('.'))
                .map_or(Cow::Borrowed(""), |span| json::text_of(self.bytes(), &span)),
        }
    }

    /// The text of the value at a dotted path, if there is one.
    #[must_use]
    pub fn found(&self, dotted: &str) -> Option<Cow<'_, str>> {
        let span = json::path(self.bytes(), dotted.split('.'))?;
        Some(json::text_of(self.bytes(), &span))
    }

    /// Looks up labels, which are found once for all look-ups.
    pub fn labels<'a>(&'a self) -> impl Fn(&str) -> Option<Cow<'a, str>> {
        let bytes = self.bytes();
        let labels = json::path(bytes, ["metadata", "labels"]);
        move |key: &str| {
            let value = json::member(bytes, labels.as_ref()?.start, key)?;
            Some(json::text_of(bytes, &value))
        }
    }
}

/// Where the members behind `kind` and `apiVersion` begin in an object's bytes.
#[must_use]
pub fn head(object: &[u8]) -> usize {
    places(object).map_or(0, |(_, head)| head as usize)
}

/// Where a resourceVersion goes, and where the members behind `kind` and `apiVersion` begin.
fn places(stored: &[u8]) -> Option<(usize, u32)> {
    let mut head = 1;
    let mut metadata = None;
    for (name, value) in json::members(stored, 0) {
        match stored.get(name)? {
            b"kind" | b"apiVersion" if metadata.is_none() => head = value.end + 1,
            b"metadata" => {
                metadata = Some(value);
                break;
            }
            _ => {}
        }
    }
    let metadata = metadata?;
    // Built-in kinds print `kind` first and metadata in Go's order; custom resources print
    // members sorted by name.
    let sorted = stored.starts_with(b"{\"apiVersion\"");
    let mut at = metadata.start + 1;
    for (name, value) in json::members(stored, metadata.start) {
        let name = stored.get(name)?;
        let before = if sorted {
            name < b"resourceVersion".as_slice()
        } else {
            matches!(name, b"name" | b"generateName" | b"namespace" | b"selfLink" | b"uid")
        };
        if !before {
            break;
        }
        at = value.end;
    }
    Some((at, u32::try_from(head).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(stored: &str) -> Entry {
        Entry::new("a/b".into(), stored.as_bytes(), Change::Added, Revision(7), Revision(7))
    }

    fn text(entry: &Entry) -> String {
        String::from_utf8_lossy(entry.bytes()).into_owned()
    }

    #[test]
    fn the_resource_version_stands_where_upstream_prints_it() {
        let cases = [
            (
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b","uid":"u","labels":{}},"spec":{}}"#,
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b","uid":"u","resourceVersion":"7","labels":{}},"spec":{}}"#,
            ),
            (
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b"}}"#,
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b","resourceVersion":"7"}}"#,
            ),
            (
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"creationTimestamp":null}}"#,
                r#"{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7","creationTimestamp":null}}"#,
            ),
            (
                r#"{"apiVersion":"x/v1","kind":"X","metadata":{"name":"b","namespace":"a","uid":"u"}}"#,
                r#"{"apiVersion":"x/v1","kind":"X","metadata":{"name":"b","namespace":"a","resourceVersion":"7","uid":"u"}}"#,
            ),
            (r#"{"kind":"P","metadata":{}}"#, r#"{"kind":"P","metadata":{"resourceVersion":"7"}}"#),
        ];
        for (stored, expected) in cases {
            assert_eq!(text(&entry(stored)), expected);
        }
    }

    #[test]
    fn an_entry_gives_its_event_its_object_and_its_members() {
        let pod = entry(
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"b","labels":{"app":"w"}},"spec":{"nodeName":"n"}}"#,
        );
        let added = String::from_utf8(pod.frame(Change::Added).to_vec()).expect("text");
        assert_eq!(added, format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", text(&pod)));
        let modified = String::from_utf8(pod.frame(Change::Modified).to_vec()).expect("text");
        assert_eq!(modified, format!("{{\"type\":\"MODIFIED\",\"object\":{}}}\n", text(&pod)));
        assert!(pod.members().starts_with(b"\"metadata\":{"));
        assert_eq!((pod.namespace(), pod.name()), ("a", "b"));
        assert_eq!(pod.field("spec.nodeName"), "n");
        assert_eq!(pod.labels()("app").as_deref(), Some("w"));
        assert_eq!(pod.labels()("nope"), None);
        let gone = pod.deleted(Revision(1234));
        assert_eq!(text(&gone), text(&pod).replace("\"7\"", "\"1234\""));
        assert!(gone.frame(Change::Deleted).starts_with(b"{\"type\":\"DELETED\""));
    }
}
