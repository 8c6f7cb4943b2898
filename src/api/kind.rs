//! A kind of object as a row, and the registry of all rows.
//!
//! Handlers are written once over the tree and read from the row what is particular. Rows of
//! built-in kinds are made by [`crate::kinds`]; custom resources enter at run time as further
//! rows of the same type, by swapping the registry for a changed copy.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::field_error::{At, Errors};
use crate::meta;
use crate::names::{NameRule, subdomain_rule};
use crate::schema::model::{Schema, TypeId};
use crate::status::{Qualified, Status};

/// A kind of object: what the API says of it, how it is kept, and what is particular to it.
#[derive(Clone)]
pub struct Kind {
    /// The API group; "" for core.
    pub group: Arc<str>,
    /// `Deployment`.
    pub kind: Arc<str>,
    /// `DeploymentList`.
    pub list_kind: Arc<str>,
    /// `deployments`.
    pub plural: Arc<str>,
    /// `deployment`.
    pub singular: Arc<str>,
    /// `deploy`.
    pub short_names: Vec<Arc<str>>,
    /// `all`.
    pub categories: Vec<Arc<str>>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Where its types are described.
    pub schema: Arc<Schema>,
    /// What is served, preferred first.
    pub versions: Vec<Version>,
    /// The form in which it is kept.
    pub stored: Stored,
    /// What can be done with it.
    pub verbs: Verbs,
    /// What lies under its objects.
    pub subresources: Vec<Subresource>,
    /// What is particular to it.
    pub strategy: Strategy,
    /// How it is printed as a table.
    pub table: Table,
    /// Fields that selectors may name, beside `metadata.name` and `metadata.namespace`.
    pub selectable: Vec<Selectable>,
    /// The Warning that answers its creation where nothing in this cluster acts on it.
    pub inert: Option<Arc<str>>,
}

/// A version of a kind.
#[derive(Clone)]
pub struct Version {
    /// `v1`.
    pub name: Arc<str>,
    /// Its type in the kind's schema.
    pub object: TypeId,
    /// Whether clients may ask for it.
    pub served: bool,
    /// Rewrites an object of this version (its `apiVersion` apart) as it is kept.
    pub to_storage: fn(&mut Value),
    /// And back.
    pub from_storage: fn(&mut Value),
}

/// How a kind is kept.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Below `/registry/`, as upstream's: `pods`, `services/specs`. Two kinds with one key
    /// share their objects.
    pub key: Arc<str>,
    /// The `apiVersion` in what is kept.
    pub api_version: Arc<str>,
    /// The type of what is kept, in the kind's schema.
    pub object: TypeId,
}

/// A set of verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verbs(u8);

impl Verbs {
    /// None.
    pub const NONE: Self = Self(0);
    /// POST.
    pub const CREATE: Self = Self(1);
    /// DELETE of one.
    pub const DELETE: Self = Self(2);
    /// DELETE of a collection.
    pub const DELETE_COLLECTION: Self = Self(4);
    /// GET of one.
    pub const GET: Self = Self(8);
    /// GET of a collection.
    pub const LIST: Self = Self(16);
    /// PATCH.
    pub const PATCH: Self = Self(32);
    /// PUT.
    pub const UPDATE: Self = Self(64);
    /// GET of changes.
    pub const WATCH: Self = Self(128);
    /// All of them.
    pub const ALL: Self = Self(255);
    /// What a subresource that is part of its object has.
    pub const PART: Self = Self(8 | 32 | 64);

    const NAMES: [&'static str; 8] =
        ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are in it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// As discovery lists them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, n)| n)
    }

    /// The set of these names; unknown ones are left out.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let bit = |name: &str| Self::NAMES.iter().position(|n| *n == name).map_or(0, |at| 1 << at);
        Self(names.into_iter().fold(0, |all, name| all | bit(name)))
    }
}

/// What lies under an object: `status`, `scale`, `log`.
#[derive(Clone)]
pub struct Subresource {
    /// Its name in the path.
    pub name: Cow<'static, str>,
    /// Group of its body; that of the kind for parts.
    pub group: Cow<'static, str>,
    /// Version of its body.
    pub version: Cow<'static, str>,
    /// Kind of its body.
    pub kind: Cow<'static, str>,
    /// What can be done with it. Discovery lists `create` and `get` for connections.
    pub verbs: Verbs,
    /// What it is.
    pub role: Role,
}

/// What a subresource is.
#[derive(Clone, Copy)]
pub enum Role {
    /// A part of the object, written as the object: status, finalize, approval, resize,
    /// ephemeralcontainers.
    Part(Part),
    /// The object's replicas as an `autoscaling/v1` Scale.
    Scale(ScalePaths),
    /// Something that is posted to the object: binding, eviction, token.
    Action,
    /// A stream: log, exec, attach, portforward, proxy.
    Connect,
}

/// Where a kind keeps what a Scale shows, by dotted paths.
#[derive(Debug, Clone, Copy)]
pub struct ScalePaths {
    /// How many are wanted.
    pub wanted: &'static str,
    /// How many there are.
    pub found: &'static str,
    /// Which pods: a LabelSelector, a map of labels, or (custom resources) its text.
    pub selector: &'static str,
}

/// How a part is written.
#[derive(Clone, Copy)]
pub struct Part {
    /// Puts back what this part may not change.
    pub prepare: fn(&mut Value, old: &Value, &Context<'_>),
    /// What is wrong with the new object.
    pub validate: fn(new: &At<'_>, old: &At<'_>, &mut Errors),
    /// What its author should know.
    pub warn: fn(&Value, old: Option<&Value>) -> Vec<String>,
}

impl Part {
    /// `status` of a kind without rules of its own: all but status and metadata stay.
    pub const STATUS: Self = Self { prepare: only_status, validate: |_, _, _| (), warn: |_, _| Vec::new() };
}

/// Puts back all but `status` and `metadata`, and the labels and annotations as they are given.
pub fn only_status(new: &mut Value, old: &Value, _: &Context<'_>) {
    let mut kept = old.clone();
    meta::restore(&mut kept, new, "status");
    meta::restore(&mut kept, new, "metadata");
    *new = kept;
}

/// Who asks, and when.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The user's name.
    pub user: &'a str,
    /// The user's UID, if the authenticator knows one.
    pub uid: &'a str,
    /// The user's groups.
    pub groups: &'a [String],
    /// What else the authenticator knows.
    pub extra: &'a BTreeMap<String, Vec<String>>,
    /// Now: RFC 3339, whole seconds, UTC.
    pub now: &'a str,
}

/// What is particular to a kind; a row names what differs from [`Strategy::GENERIC`].
#[derive(Clone, Copy)]
pub struct Strategy {
    /// What names may look like.
    pub name: NameRule,
    /// Defaults that depend on other fields; run after the tables' static ones.
    pub default: fn(&mut Value),
    /// Clears and fills what a creator may not say.
    pub prepare_create: fn(&mut Value, &Context<'_>),
    /// Puts back what an updater may not change.
    pub prepare_update: fn(&mut Value, old: &Value, &Context<'_>),
    /// Dotted paths whose change counts up `metadata.generation`; none: it is not counted.
    pub generation: &'static [&'static str],
    /// What is wrong with a new object, metadata apart.
    pub validate: fn(&At<'_>, &mut Errors),
    /// What is wrong with a changed object, metadata apart.
    pub validate_update: fn(new: &At<'_>, old: &At<'_>, &mut Errors),
    /// What its author should know.
    pub warn: fn(&Value, old: Option<&Value>) -> Vec<String>,
    /// For how many seconds a deleted object stays: none if it goes at once.
    pub grace: fn(&Value, requested: Option<i64>) -> Option<i64>,
    /// Chooses what must be unique in the cluster, before the object is prepared.
    pub reserve: Option<Reserve>,
    /// What a valid object claims: see [`Claims`].
    pub claims: fn(&Value) -> Vec<String>,
    /// Whether a finalizer without a domain must be one of Kubernetes' own: all built-in kinds.
    pub own_finalizers: bool,
    /// Whether PUT creates what is absent.
    pub create_on_update: bool,
    /// Whether PUT without a resourceVersion is taken as the latest.
    pub unconditional_update: bool,
}

/// For [`Strategy::generation`]: it is 1, and stays so.
pub const COUNTED_ONCE: &[&str] = &[""];

impl Strategy {
    /// A kind without rules of its own.
    pub const GENERIC: Self = Self {
        name: subdomain_rule,
        default: |_| (),
        prepare_create: |_, _| (),
        prepare_update: |_, _, _| (),
        generation: &[],
        validate: |_, _| (),
        validate_update: |_, _, _| (),
        warn: |_, _| Vec::new(),
        grace: |_, _| None,
        reserve: None,
        claims: |_| Vec::new(),
        own_finalizers: true,
        create_on_update: false,
        unconditional_update: true,
    };

    /// A kind whose status is written through its subresource alone.
    pub const WITH_STATUS: Self = Self {
        prepare_create: |new, _| meta::remove(new, "status"),
        prepare_update: |new, old, _| meta::restore(new, old, "status"),
        ..Self::GENERIC
    };
}

/// Chooses what must be unique and is not given: addresses and ports of Services.
pub type Reserve = fn(&mut Value, old: Option<&Value>, &mut Pools<'_>) -> Result<(), Status>;

/// What can be claimed, and what is.
pub struct Pools<'a> {
    /// Service addresses: the network's first address and the length of its prefix.
    pub addresses: (std::net::Ipv4Addr, u8),
    /// Node ports, both ends included.
    pub ports: (u16, u16),
    /// Whether a claim is taken.
    pub taken: &'a dyn Fn(&str) -> bool,
    /// A random number, for choosing.
    pub random: &'a mut dyn FnMut() -> u64,
}

/// Keys below `/registry/` that stand for what an object claims. The object's own
/// transaction puts those to be taken, on condition that none of them is there, and deletes
/// those to be released; the value is the object's key. So two servers never hand out one
/// address: the later transaction fails, and its request chooses again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// To be put.
    pub take: Vec<String>,
    /// To be deleted.
    pub release: Vec<String>,
}

impl Claims {
    /// What changes between an object that was and one that will be, either of them absent.
    #[must_use]
    pub fn between(kind: &Kind, old: Option<&Value>, new: Option<&Value>) -> Self {
        let of = |object: Option<&Value>| object.map(kind.strategy.claims).unwrap_or_default();
        let (was, is) = (of(old), of(new));
        let without = |all: &[String], others: &[String]| -> Vec<String> {
            all.iter().filter(|key| !others.contains(key)).cloned().collect()
        };
        Self { take: without(&is, &was), release: without(&was, &is) }
    }
}

/// How a kind is printed.
#[derive(Clone)]
pub struct Table {
    /// Its columns.
    pub columns: Cow<'static, [Column]>,
    /// A row's cells at a time in Unix seconds.
    pub cells: Cells,
}

/// How cells are made.
#[derive(Clone)]
pub enum Cells {
    /// By a function of the kind.
    Made(fn(&Value, now: i64) -> Vec<Value>),
    /// By a function made at run time, for custom resources.
    Held(Arc<MakeCells>),
}

/// Cells of an object at a time in Unix seconds.
pub type MakeCells = dyn Fn(&Value, i64) -> Vec<Value> + Send + Sync;

impl Table {
    /// Cells of one object, at a time in Unix seconds.
    #[must_use]
    pub fn cells(&self, object: &Value, now: i64) -> Vec<Value> {
        match &self.cells {
            Cells::Made(make) => make(object, now),
            Cells::Held(make) => make(object, now),
        }
    }
}

/// A column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its header.
    pub name: Cow<'static, str>,
    /// `string`, `integer`, `boolean`, `date`.
    pub kind: &'static str,
    /// `name` for the object's name, else "".
    pub format: &'static str,
    /// What it tells.
    pub about: About,
    /// 0 is always shown; above, with `-o wide`.
    pub priority: i32,
}

/// What a column tells.
#[derive(Debug, Clone)]
pub enum About {
    /// What the API's documentation says of a field of a type: `ObjectMeta`, `name`.
    Field(&'static str, &'static str),
    /// This.
    Text(Cow<'static, str>),
}

/// A field that selectors may name.
#[derive(Clone)]
pub struct Selectable {
    /// `spec.nodeName`.
    pub name: Cow<'static, str>,
    /// Its value in an object.
    pub read: Read,
}

/// How a selectable field is read.
#[derive(Clone, Copy)]
pub enum Read {
    /// At its own path; the text where it is absent.
    Path(&'static str),
    /// Otherwise.
    Made(fn(&Value) -> String),
}

impl Selectable {
    /// Its value in an object, as text.
    #[must_use]
    pub fn value(&self, object: &Value) -> String {
        match self.read {
            Read::Made(make) => make(object),
            Read::Path(absent) => match meta::at(object, &self.name) {
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
                None => absent.to_owned(),
            },
        }
    }
}

impl Kind {
    /// `deployments.apps`, as messages say it.
    #[must_use]
    pub fn resource(&self) -> Qualified<'_> {
        Qualified { group: &self.group, name: &self.plural }
    }

    /// `Deployment.apps`, as messages about invalid objects say it.
    #[must_use]
    pub fn qualified_kind(&self) -> Qualified<'_> {
        // Events of the newer group are, to upstream's messages, those of the first.
        let group = self.stored.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        Qualified { group, name: &self.kind }
    }

    /// A served version.
    #[must_use]
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| &*version.name == name && version.served)
    }

    /// `apps/v1`, `v1`.
    #[must_use]
    pub fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    /// What lies under its objects by this name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }

    /// The value that a field selector of this name looks at; none if it may not be named.
    #[must_use]
    pub fn selected(&self, object: &Value, name: &str) -> Option<String> {
        match name {
            "metadata.name" => Some(meta::name(object).to_owned()),
            "metadata.namespace" if self.namespaced => Some(meta::namespace(object).to_owned()),
            _ => self.selectable.iter().find(|s| s.name == name).map(|s| s.value(object)),
        }
    }

    /// The key of an object below `/registry/`.
    #[must_use]
    pub fn key_of(&self, namespace: &str, name: &str) -> String {
        let key = &self.stored.key;
        if self.namespaced { format!("{key}/{namespace}/{name}") } else { format!("{key}/{name}") }
    }
}

type ByVersion = BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<Kind>>>;

/// All kinds that are served. Cheap to copy but for its maps; the server swaps it as a whole.
#[derive(Clone, Default)]
pub struct Registry {
    plurals: BTreeMap<Arc<str>, ByVersion>,
    kinds: BTreeMap<Arc<str>, ByVersion>,
    all: Vec<Arc<Kind>>,
}

impl Registry {
    /// Adds a kind, in place of one with the same group and plural.
    pub fn insert(&mut self, kind: Arc<Kind>) {
        self.remove(&kind.group, &kind.plural);
        for version in kind.versions.iter().filter(|version| version.served) {
            let plurals = self.plurals.entry(Arc::clone(&kind.group)).or_default();
            let at = plurals.entry(Arc::clone(&version.name)).or_default();
            at.insert(Arc::clone(&kind.plural), Arc::clone(&kind));
            let kinds = self.kinds.entry(Arc::clone(&kind.group)).or_default();
            let at = kinds.entry(Arc::clone(&version.name)).or_default();
            at.insert(Arc::clone(&kind.kind), Arc::clone(&kind));
        }
        self.all.push(kind);
    }

    /// Removes a kind.
    pub fn remove(&mut self, group: &str, plural: &str) {
        let is_it = |kind: &Arc<Kind>| &*kind.group == group && &*kind.plural == plural;
        self.all.retain(|kind| !is_it(kind));
        for map in [&mut self.plurals, &mut self.kinds] {
            let Some(versions) = map.get_mut(group) else { continue };
            versions.values_mut().for_each(|kinds| kinds.retain(|_, kind| !is_it(kind)));
            versions.retain(|_, kinds| !kinds.is_empty());
        }
        self.plurals.retain(|_, versions| !versions.is_empty());
        self.kinds.retain(|_, versions| !versions.is_empty());
    }

    /// The kind served at `/apis/GROUP/VERSION/PLURAL`.
    #[must_use]
    pub fn by_plural(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.plurals.get(group)?.get(version)?.get(plural)
    }

    /// The kind of this name.
    #[must_use]
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Kind>> {
        self.kinds.get(group)?.get(version)?.get(kind)
    }

    /// The kind with this plural in any version.
    #[must_use]
    pub fn by_group_plural(&self, group: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.plurals.get(group)?.values().find_map(|kinds| kinds.get(plural))
    }

    /// Groups, with each version's kinds by plural.
    pub fn groups(&self) -> impl Iterator<Item = (&str, &ByVersion)> {
        self.plurals.iter().map(|(group, versions)| (&**group, versions))
    }

    /// All kinds, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.all.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(group: &str, name: &str, plural: &str, served: bool) -> Arc<Kind> {
        let version = |name: &str, served| Version {
            name: name.into(),
            object: TypeId(0),
            served,
            to_storage: |_| (),
            from_storage: |_| (),
        };
        Arc::new(Kind {
            group: group.into(),
            kind: name.into(),
            list_kind: format!("{name}List").into(),
            plural: plural.into(),
            singular: name.to_lowercase().into(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            schema: Arc::default(),
            versions: vec![version("v1", true), version("v1alpha1", served)],
            stored: Stored { key: plural.into(), api_version: "v1".into(), object: TypeId(0) },
            verbs: Verbs::ALL,
            subresources: Vec::new(),
            strategy: Strategy::GENERIC,
            table: Table { columns: Cow::Borrowed(&[]), cells: Cells::Made(|_, _| Vec::new()) },
            selectable: vec![Selectable { name: "spec.on".into(), read: Read::Path("false") }],
            inert: None,
        })
    }

    #[test]
    fn kinds_are_found_by_plural_and_by_name_in_the_versions_served() {
        let mut registry = Registry::default();
        registry.insert(kind("", "Pod", "pods", false));
        registry.insert(kind("x.io", "Thing", "things", true));
        registry.insert(kind("x.io", "Thing", "things", false));
        assert!(registry.by_plural("", "v1", "pods").is_some());
        assert!(registry.by_plural("x.io", "v1alpha1", "things").is_none(), "the later row took the place");
        assert_eq!(registry.by_kind("x.io", "v1", "Thing").unwrap().resource().to_string(), "things.x.io");
        assert_eq!(registry.groups().map(|(group, _)| group).collect::<Vec<_>>(), ["", "x.io"]);
        registry.remove("x.io", "things");
        assert!(registry.by_group_plural("x.io", "things").is_none());
        assert_eq!(registry.iter().count(), 1);
    }

    #[test]
    fn selectors_see_metadata_and_the_fields_of_the_row() {
        let pod = kind("", "Pod", "pods", false);
        let object = serde_json::json!({"metadata": {"name": "a"}, "spec": {"on": true}});
        assert_eq!(pod.selected(&object, "metadata.name").as_deref(), Some("a"));
        assert_eq!(pod.selected(&object, "spec.on").as_deref(), Some("true"));
        assert_eq!(pod.selected(&serde_json::json!({}), "spec.on").as_deref(), Some("false"));
        assert_eq!(pod.selected(&object, "spec.off"), None);
    }

    #[test]
    fn verbs_are_listed_as_discovery_lists_them() {
        let verbs = Verbs::of(["watch", "get", "unknown"]);
        assert_eq!(verbs.names().collect::<Vec<_>>(), ["get", "watch"]);
        assert!(Verbs::ALL.has(verbs) && !verbs.has(Verbs::PART));
    }
}
