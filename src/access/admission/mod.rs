//! Admission: what is made of an object, and what is refused, between defaulting and
//! validation. Each admission plugin is a row of [`ROWS`], in upstream's order; a row may
//! change the object, then, when all have, look at it once more.
//!
//! To add one: a file with its functions, and its row at its place.

mod certificates;
mod escalation;
mod namespaces;
mod node;
mod priority;
mod runtime_class;
mod secrets;
mod service_account;
mod taints;
#[cfg(test)]
mod tests;
mod tolerations;

use api::meta;
use api::status::{Qualified, Status};
use serde_json::Value;

use crate::lookups::{Lookups, What};
use crate::{Authorizer, User};

/// What is done to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// POST, and PUT or apply of what is not there.
    Create,
    /// PUT, PATCH.
    Update,
    /// DELETE.
    Delete,
    /// exec, attach, portforward, proxy.
    Connect,
}

impl Operation {
    fn word(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

/// A request as plugins see it (upstream's `admission.Attributes`).
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub user: &'a User,
    /// What for.
    pub operation: Operation,
    /// The API group; empty for the core group.
    pub group: &'a str,
    /// The API version.
    pub version: &'a str,
    /// Plural name of the resource.
    pub resource: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// Empty for cluster scope.
    pub namespace: &'a str,
    /// The object's name: the URL's, and on create the object's own if it has one yet.
    pub name: &'a str,
    /// The object as it is; none on create and connect.
    pub old: Option<&'a Value>,
    /// Nothing will be stored.
    pub dry_run: bool,
    /// For the names that are made up here.
    pub random: u64,
}

/// What plugins may ask.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Other objects.
    pub objects: &'a dyn Lookups,
    /// Whether somebody may do something.
    pub authorizer: &'a Authorizer,
}

type Mutate = fn(&Request, &mut Value, &World) -> Result<(), Status>;
type Validate = fn(&Request, &Value, &World) -> Result<(), Status>;

/// One plugin.
pub struct Row {
    /// Upstream's name of it.
    pub name: &'static str,
    /// May change the object.
    pub mutate: Option<Mutate>,
    /// Only looks, after every row has changed what it wants.
    pub validate: Option<Validate>,
}

const fn row(name: &'static str, mutate: Option<Mutate>, validate: Option<Validate>) -> Row {
    Row { name, mutate, validate }
}

/// All plugins in their order. The last is none of upstream's: there, storage checks it.
pub const ROWS: &[Row] = &[
    row("NamespaceLifecycle", Some(namespaces::admit), None),
    row("ServiceAccount", Some(service_account::admit), Some(service_account::validate)),
    row("NodeRestriction", Some(node::admit), None),
    row("TaintNodesByCondition", Some(taints::admit), None),
    row("Priority", Some(priority::admit), Some(priority::validate)),
    row("DefaultTolerationSeconds", Some(tolerations::admit), None),
    row("RuntimeClass", Some(runtime_class::admit), None),
    row("CertificateApproval", None, Some(certificates::approval)),
    row("CertificateSigning", None, Some(certificates::signing)),
    row("CertificateSubjectRestriction", None, Some(certificates::subject)),
    row("PrivilegeEscalation", Some(escalation::admit), None),
];

/// Lets every plugin change the object (null for a delete or connect), or refuse it.
pub fn mutate(request: &Request, object: &mut Value, world: &World) -> Result<(), Status> {
    let mut plugins = ROWS.iter().filter_map(|row| row.mutate);
    plugins.try_for_each(|admit| admit(request, object, world))
}

/// Lets every plugin look at the object as it will be stored.
pub fn validate(request: &Request, object: &Value, world: &World) -> Result<(), Status> {
    let mut plugins = ROWS.iter().filter_map(|row| row.validate);
    plugins.try_for_each(|look| look(request, object, world))
}

/// An object without which a request will be refused, and which may be about to appear: a
/// client makes a namespace and the next moment a pod in it, before a controller has made
/// the account. A server may wait for it, bounded, before it asks the plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// Its kind.
    pub what: What,
    /// Empty for a namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// How long upstream waits.
    pub patience_ms: u64,
}

/// What is worth waiting for before [`mutate`]; none once all is there.
pub fn awaited(request: &Request, object: &Value, objects: &dyn Lookups) -> Option<Awaited> {
    let is_missing =
        |awaited: &Awaited| objects.identity(awaited.what, &awaited.namespace, &awaited.name).is_none();
    let namespace = namespaces::awaited(request).filter(is_missing);
    namespace.or_else(|| service_account::awaited(request, object).filter(is_missing))
}

impl<'a> Request<'a> {
    fn is_for(&self, group: &str, resource: &str) -> bool {
        self.group == group && self.resource == resource
    }

    fn what(&self) -> Qualified<'a> {
        Qualified { group: self.group, name: self.resource }
    }

    /// 403 in admission's form; the name may have to be the object's prefix.
    fn forbidden(&self, object: &Value, why: impl AsRef<str>) -> Status {
        let names = [self.name, meta::name(object), meta::generate_name(object)];
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or("Unknown");
        Status::forbidden(self.what(), name, why.as_ref())
    }
}

/// The annotation of a pod that its node made.
const MIRROR: &str = "kubernetes.io/config.mirror";

fn is_mirror(pod: &Value) -> bool {
    meta::annotation(pod, MIRROR).is_some()
}
