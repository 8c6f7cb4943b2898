//! What controllers need of an API server, in process or far away.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base::{Class, Classified};
use futures::stream::BoxStream;
use serde_json::Value;

/// A kind of object at one version, as discovery tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// API group, empty for the core group.
    pub group: Arc<str>,
    /// Version.
    pub version: Arc<str>,
    /// Plural name, as in URLs.
    pub plural: Arc<str>,
    /// Kind.
    pub kind: Arc<str>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Verbs that discovery lists.
    pub verbs: Vec<Arc<str>>,
}

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its namespace, none for cluster-scoped objects.
    pub namespace: Option<Arc<str>>,
    /// Its name.
    pub name: Arc<str>,
}

/// Which objects of a resource are wanted: all of them by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Those of this namespace.
    pub namespace: Option<Arc<str>>,
    /// Those with these fields, `spec.nodeName=a`.
    pub fields: String,
    /// Those with these labels, `app=web`.
    pub labels: String,
}

/// How much of each object is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// All of it.
    Whole,
    /// `apiVersion`, `kind` and `metadata` (upstream's PartialObjectMetadata).
    Metadata,
}

/// The objects of one resource at one moment.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// In order of namespace and name.
    pub items: Vec<Value>,
    /// From where to watch.
    pub resource_version: String,
}

/// One change that a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Added or modified: the object as it now is.
    Put(Value),
    /// Deleted: the object as it last was.
    Gone(Value),
    /// Nothing up to this version was left out (upstream's bookmark).
    Reached(String),
}

/// A running watch. It ends with the connection, or with an error such as Expired.
pub type Watched = BoxStream<'static, Result<Event, ApiError>>;

/// What happens to an object's dependents when it is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted afterwards.
    Background,
    /// They are deleted first.
    Foreground,
    /// They are kept.
    Orphan,
}

/// One change to make.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Create `object` in `namespace`.
    Create {
        /// Where, none for a cluster-scoped object.
        namespace: Option<Arc<str>>,
        /// What.
        object: Value,
    },
    /// Replace the object, or with a subresource that part of it; its resourceVersion counts.
    Update {
        /// Which object.
        place: Place,
        /// `status`, `finalize`, or none.
        subresource: Option<&'static str>,
        /// The whole object.
        object: Value,
    },
    /// Create what belongs to an object: a pod's `binding` or `eviction`, an account's `token`.
    CreateIn {
        /// Which object.
        place: Place,
        /// Which part.
        subresource: &'static str,
        /// What.
        object: Value,
    },
    /// Change parts by a JSON merge patch.
    Merge {
        /// Which object.
        place: Place,
        /// `status`, or none.
        subresource: Option<&'static str>,
        /// The patch; `metadata.uid` and `metadata.resourceVersion` in it are preconditions.
        patch: Value,
    },
    /// Server-side apply with force.
    Apply {
        /// Which object.
        place: Place,
        /// Field manager.
        manager: &'static str,
        /// The fields wanted.
        object: Value,
    },
    /// Delete one object.
    Delete {
        /// Which object.
        place: Place,
        /// What becomes of dependents.
        propagation: Propagation,
        /// Only the object of this uid.
        uid: Option<String>,
        /// Only in this version.
        resource_version: Option<String>,
    },
    /// Remove one object at once, with no grace, whoever may still hold it.
    Remove {
        /// Which object.
        place: Place,
        /// Only the object of this uid.
        uid: String,
    },
    /// Delete all objects of a namespace, in the background.
    DeleteAll {
        /// Which namespace.
        namespace: Arc<str>,
    },
}

/// Why a call did not do what it should.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// The server answered with a Status: its HTTP code, reason and message.
    #[error("{message}")]
    Refused {
        /// HTTP status code.
        code: u16,
        /// `NotFound`, `Conflict`, …
        reason: String,
        /// The server's words.
        message: String,
    },
    /// No answer; whether a write happened is not known.
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
}

/// An API server under one identity.
#[async_trait]
pub trait Api: Send + Sync + 'static {
    /// Every resource that is served, each at one version.
    async fn resources(&self) -> Result<Vec<Arc<Resource>>, ApiError>;
    /// One object.
    async fn get(&self, resource: &Resource, place: &Place, view: View) -> Result<Value, ApiError>;
    /// All objects of a resource that are selected.
    async fn list(&self, resource: &Resource, which: &Selection, view: View) -> Result<List, ApiError>;
    /// Changes after a list of the same selection.
    async fn watch(
        &self,
        resource: &Resource,
        which: &Selection,
        from: &str,
        view: View,
    ) -> Result<Watched, ApiError>;
    /// Makes a change and gives the object as it now is (or, after a delete, whatever was said).
    async fn write(&self, resource: &Resource, write: Write) -> Result<Value, ApiError>;
}

impl Selection {
    /// All objects of a namespace.
    pub fn within(namespace: &str) -> Self {
        Self { namespace: Some(namespace.into()), ..Self::default() }
    }

    /// All objects with these fields.
    pub fn of_fields(fields: &str) -> Self {
        Self { fields: fields.to_owned(), ..Self::default() }
    }
}

impl Resource {
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether discovery lists the verb.
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| &**v == verb)
    }

    /// Whether it is this plural of this group.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        &*self.group == group && &*self.plural == plural
    }
}

impl fmt::Display for Resource {
    /// Upstream's `GroupVersionResource`, `apps/v1, Resource=deployments`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}, Resource={}", self.group, self.version, self.plural)
    }
}

impl Place {
    /// A cluster-scoped object's.
    pub fn cluster(name: &str) -> Self {
        Self { namespace: None, name: name.into() }
    }

    /// A namespaced object's.
    pub fn within(namespace: &str, name: &str) -> Self {
        Self { namespace: Some(namespace.into()), name: name.into() }
    }

    /// Where this object says it is.
    pub fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        Self {
            namespace: metadata["namespace"].as_str().filter(|n| !n.is_empty()).map(Into::into),
            name: metadata["name"].as_str().unwrap_or_default().into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl ApiError {
    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether the object is there already.
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::Refused { reason, .. } if reason == "AlreadyExists")
    }

    /// Whether a watch or list asked for a version that is no longer kept.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Refused { code: 410, .. })
    }
}

impl Classified for ApiError {
    fn class(&self) -> Class {
        match self {
            Self::Unreachable(_) => Class::Retry,
            Self::Refused { code: 409, .. } => Class::Conflict,
            Self::Refused { code: 429 | 500..=599, .. } => Class::Retry,
            Self::Refused { .. } => Class::Invalid,
        }
    }
}

/// `Ok(None)` where the object is not there.
pub fn found<T>(result: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
