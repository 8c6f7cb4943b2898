//! DELETE: at once, or by marking what waits for finalizers or a grace period.

use access::admission::{self, Operation, World};
use api::field_error::{At, Errors, Path};
use api::status::{Qualified, Status};
use api::{canonical, meta};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::Revision;

use super::body;
use super::claims;
use super::commit::{self, Current, Decision, Done, Target};
use super::options::check_dry_run;
use crate::exchange::{Exchange, Scope, stamp};
use crate::gate::objects::Objects;
use crate::http::Response;
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;

/// Kinds whose deletion is answered by the object; the others' by a Status. Upstream's list.
const RETURNS_OBJECT: &[(&str, &str)] = &[
    ("", "pods"),
    ("", "services"),
    ("", "namespaces"),
    ("", "serviceaccounts"),
    ("", "resourcequotas"),
    ("", "persistentvolumes"),
    ("", "persistentvolumeclaims"),
    ("", "podtemplates"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "storageclasses"),
    ("storage.k8s.io", "volumeattachments"),
    ("storage.k8s.io", "volumeattributesclasses"),
    ("resource.k8s.io", "deviceclasses"),
    ("resource.k8s.io", "resourceclaims"),
    ("resource.k8s.io", "resourceclaimtemplates"),
    ("resource.k8s.io", "resourceslices"),
];

/// Kinds whose dependents stay where nobody says otherwise: upstream's oldest.
fn orphans(scope: &Scope) -> bool {
    matches!((&*scope.kind.group, &*scope.kind.plural), ("batch", "jobs") | ("", "replicationcontrollers"))
}

/// `DeleteOptions`.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Seconds; negative means one.
    pub grace: Option<i64>,
    /// The object must have this UID.
    pub uid: Option<String>,
    /// The object must be at this version.
    pub version: Option<String>,
    /// `orphanDependents`, the old form of a policy.
    pub orphan: Option<bool>,
    /// `Orphan`, `Background`, `Foreground`.
    pub policy: Option<String>,
    /// Whether nothing is to be stored.
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Reads them from the body, or from the query where there is none.
    pub async fn of(exchange: &Exchange) -> Result<Self> {
        let bytes = body::read(exchange).await?;
        let tree = if bytes.is_empty() { of_query(exchange)? } else { of_body(exchange, &bytes)? };
        Self::read(&tree)
    }

    /// Says what an unsaid policy means for Jobs.
    pub fn warn(&self, exchange: &Exchange, scope: &Scope) {
        let unsaid = self.orphan.is_none() && self.policy.is_none();
        if unsaid && *scope.kind.group == *"batch" && *scope.kind.plural == *"jobs" {
            exchange.warn(
                "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning",
            );
        }
    }

    /// Reads them off a decoded object, and judges them.
    pub fn read(tree: &Value) -> Result<Self> {
        let text = |path: &str| meta::at(tree, path).and_then(Value::as_str).map(str::to_owned);
        let options = Self {
            grace: meta::at(tree, "gracePeriodSeconds")
                .and_then(Value::as_i64)
                .map(|s| if s < 0 { 1 } else { s }),
            uid: text("preconditions.uid"),
            version: text("preconditions.resourceVersion"),
            orphan: meta::at(tree, "orphanDependents").and_then(Value::as_bool),
            policy: text("propagationPolicy"),
            dry_run: !meta::list_at(tree, "dryRun").is_empty(),
        };
        let mut errors = Errors::new();
        if options.orphan.is_some() && options.policy.is_some() {
            let value = Value::from(options.policy.clone());
            let at = At::new(Some(&value), Path::of("propagationPolicy"));
            errors.invalid(&at, "orphanDependents and deletionPropagation cannot be both set");
        }
        if let Some(policy) = &options.policy
            && !matches!(policy.as_str(), "Orphan" | "Background" | "Foreground")
        {
            let value = Value::from(policy.as_str());
            let at = At::new(Some(&value), Path::of("propagationPolicy"));
            errors.not_supported(&at, &["Foreground", "Background", "Orphan", "nil"]);
        }
        let dry_run: Vec<_> = meta::list_at(tree, "dryRun").iter().filter_map(Value::as_str).collect();
        check_dry_run(&dry_run, &mut errors);
        if errors.is_empty() {
            return Ok(options);
        }
        Err(Status::invalid(Qualified { group: "meta.k8s.io", name: "DeleteOptions" }, "", errors).into())
    }

    /// The finalizer that its policy asks for, given those the object has.
    fn finalizer(&self, scope: &Scope, object: &Value) -> Option<&'static str> {
        if &*scope.kind.kind == "Event" {
            return None;
        }
        if let Some(orphan) = self.orphan {
            return orphan.then_some(meta::ORPHAN);
        }
        match self.policy.as_deref() {
            Some("Orphan") => Some(meta::ORPHAN),
            Some("Foreground") => Some(meta::FOREGROUND),
            Some(_) => None,
            None => {
                let own = meta::finalizers(object).find_map(|own| match own {
                    meta::ORPHAN => Some(meta::ORPHAN),
                    meta::FOREGROUND => Some(meta::FOREGROUND),
                    _ => None,
                });
                own.or_else(|| orphans(scope).then_some(meta::ORPHAN))
            }
        }
    }
}

fn of_query(exchange: &Exchange) -> Result<Value> {
    let query = &exchange.query;
    let mut tree = Value::Object(serde_json::Map::new());
    if let Some(seconds) = crate::options::number(query, "gracePeriodSeconds")? {
        meta::put(&mut tree, "gracePeriodSeconds", seconds);
    }
    if query.get("orphanDependents").is_some() {
        meta::put(&mut tree, "orphanDependents", query.flag("orphanDependents"));
    }
    if let Some(policy) = query.get("propagationPolicy").filter(|policy| !policy.is_empty()) {
        meta::put(&mut tree, "propagationPolicy", policy);
    }
    let dry_run: Vec<Value> =
        query.all("dryRun").filter(|value| !value.is_empty()).map(Value::from).collect();
    meta::put(&mut tree, "dryRun", dry_run);
    Ok(tree)
}

fn of_body(exchange: &Exchange, bytes: &[u8]) -> Result<Value> {
    let schema = api::schema::builtin();
    let ty = schema.find("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    let ty = ty.ok_or_else(|| Status::internal("DeleteOptions is not in the schema"))?;
    let media = body::media(exchange)?;
    let decoded = api::decode::decode(bytes, media, schema, ty, api::decode::Strictness::Ignore);
    let value = decoded.map_err(|error| Status::bad_request(error.0))?.value;
    let kind = meta::str_at(&value, "kind");
    if !matches!(kind, "" | "DeleteOptions") {
        let version = meta::str_at(&value, "apiVersion");
        let says = format!(
            "no kind {kind:?} is registered for version {version:?} in scheme \"pkg/runtime/scheme.go:111\""
        );
        return Err(Status::bad_request(says).into());
    }
    Ok(value)
}

/// Answers with a Status, or with the object where it is not gone yet or the kind says so.
pub async fn delete(server: &Server, exchange: &Exchange, scope: &Scope) -> Result<Response> {
    let accepted = exchange.negotiate(true)?;
    let view = exchange.view(server, scope, &accepted)?;
    let options = DeleteOptions::of(exchange).await?;
    let info = &exchange.info;
    options.warn(exchange, scope);
    let done = remove(server, exchange, scope, &info.namespace, &info.name, &options).await?;
    let gone = matches!(done, Done::Deleted(_));
    let code = if !gone && options.orphan == Some(false) { 202 } else { 200 };
    if gone && !returns_object(scope) {
        let uid = done.entry().field("metadata.uid").into_owned();
        let status = Status::deleted(scope.kind.resource(), &info.name, &uid);
        return Ok(respond::object(code, status.to_value().to_string().as_bytes(), &accepted, false));
    }
    Ok(respond::object(code, &view.one(done.entry().bytes()), &accepted, exchange.takes_gzip()))
}

fn returns_object(scope: &Scope) -> bool {
    RETURNS_OBJECT.contains(&(&*scope.kind.group, &*scope.kind.plural))
}

/// Deletes an object, or marks it.
pub async fn remove(
    server: &Server,
    exchange: &Exchange,
    scope: &Scope,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
) -> Result<Done> {
    let key = scope.key(namespace, name);
    let target = Target { scope, key, dry_run: options.dry_run, lease: None };
    commit::change(server, &target, |current| {
        let current = current.ok_or_else(|| commit::not_found(scope, name))?;
        admit(server, exchange, (namespace, name), current, options.dry_run)?;
        decide(scope, current, options, exchange.now)
    })
    .await
}

/// Lets admission refuse the deletion.
fn admit(
    server: &Server,
    exchange: &Exchange,
    (namespace, name): (&str, &str),
    current: &Current,
    dry_run: bool,
) -> Result<()> {
    let info = &exchange.info;
    let request = admission::Request {
        user: &exchange.user,
        operation: Operation::Delete,
        group: &info.group,
        version: &info.version,
        resource: &info.resource,
        subresource: "",
        namespace,
        name,
        old: Some(&current.value),
        dry_run,
        random: 0,
    };
    let objects = Objects(&server.cache);
    server.gate.with(|authorizer| {
        let world = World { objects: &objects, authorizer };
        admission::mutate(&request, &mut Value::Null, &world)?;
        admission::validate(&request, &Value::Null, &world)
    })?;
    Ok(())
}

fn decide(scope: &Scope, current: &Current, options: &DeleteOptions, now: Timestamp) -> Result<Decision> {
    preconditions(scope, current, options)?;
    let mut object = current.value.clone();
    meta::remove(&mut object, "metadata.resourceVersion");
    let is_namespace = &*scope.kind.kind == "Namespace" && scope.kind.group.is_empty();
    let grace = match graceful(scope, &mut object, options, now)? {
        Grace::Pending => return Ok(Decision::Keep),
        Grace::None => None,
        Grace::Seconds(seconds) => Some(seconds),
    };
    let finalizers = finalizers(scope, &object, options);
    let waits =
        !finalizers.is_empty() || is_namespace && !meta::list_at(&object, "spec.finalizers").is_empty();
    if finalizers.is_empty() {
        meta::remove(&mut object, "metadata.finalizers");
    } else {
        meta::put(&mut object, "metadata.finalizers", finalizers);
    }
    if grace.is_none_or(|seconds| seconds == 0) && !waits {
        // An end without delay is written down, and shown, but not kept.
        canonical::normalise(&scope.kind.schema, scope.kind.stored.object, &mut object);
        let last = grace.map(|_| (object, Revision::ZERO));
        return Ok(Decision::Delete { claims: claims::release(scope, &current.value), last });
    }
    if grace.is_none() {
        mark(&mut object, now);
    }
    if is_namespace {
        if meta::deletion_grace(&current.value).is_none() {
            meta::remove(&mut object, "metadata.deletionGracePeriodSeconds");
        }
        meta::put(&mut object, "status.phase", "Terminating");
    }
    canonical::normalise(&scope.kind.schema, scope.kind.stored.object, &mut object);
    let mut bare = current.value.clone();
    meta::remove(&mut bare, "metadata.resourceVersion");
    if bare == object {
        return Ok(Decision::Keep);
    }
    Ok(Decision::Put(object, api::kind::Claims::default()))
}

/// What the options say that the object must be.
pub fn preconditions(scope: &Scope, current: &Current, options: &DeleteOptions) -> Result<()> {
    let what = Qualified { group: &scope.kind.group, name: &scope.kind.kind };
    let name = meta::name(&current.value);
    let conflict = |says: String| Refusal::from(Status::conflict(what, name, &says));
    let uid = meta::uid(&current.value);
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        return Err(conflict(format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        )));
    }
    let version = current.revision.to_string();
    if let Some(wanted) = options.version.as_deref().filter(|wanted| *wanted != version) {
        return Err(conflict(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
        )));
    }
    Ok(())
}

enum Grace {
    /// It goes at once.
    None,
    /// It goes after so many seconds, which are written down.
    Seconds(i64),
    /// It is on its way already, and sooner.
    Pending,
}

/// Works out how long a deleted object stays, and writes it down.
fn graceful(scope: &Scope, object: &mut Value, options: &DeleteOptions, now: Timestamp) -> Result<Grace> {
    let Some(wanted) = (scope.kind.strategy.grace)(object, options.grace) else { return Ok(Grace::None) };
    let Some(already) = meta::deletion_timestamp(object).map(str::to_owned) else {
        put_deletion(object, after(now, wanted), wanted);
        if meta::generation(object) > 0 {
            let next = meta::generation(object) + 1;
            meta::put(object, "metadata.generation", next);
        }
        return Ok(Grace::Seconds(wanted));
    };
    let before = meta::deletion_grace(object).unwrap_or(0);
    if before == 0 {
        return Ok(Grace::None);
    }
    let Some(mut seconds) = options.grace else { return Ok(Grace::Pending) };
    if seconds >= before {
        return Ok(Grace::Pending);
    }
    let ends: Timestamp = already.parse().map_err(Status::internal)?;
    let mut ends = after(ends, seconds - before);
    if ends < now {
        ends = now;
        if seconds != 0 {
            seconds = 1;
        }
    }
    put_deletion(object, ends, seconds);
    Ok(Grace::Seconds(seconds))
}

fn after(now: Timestamp, seconds: i64) -> Timestamp {
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now)
}

fn put_deletion(object: &mut Value, at: Timestamp, seconds: i64) {
    meta::put(object, "metadata.deletionTimestamp", stamp(at));
    meta::put(object, "metadata.deletionGracePeriodSeconds", seconds);
}

/// Marks an object that waits for nothing but its finalizers.
fn mark(object: &mut Value, now: Timestamp) {
    let already: Option<Timestamp> = meta::deletion_timestamp(object).and_then(|at| at.parse().ok());
    if already.is_none() && meta::generation(object) > 0 {
        let next = meta::generation(object) + 1;
        meta::put(object, "metadata.generation", next);
    }
    let at = already.filter(|at| *at <= now).unwrap_or(now);
    put_deletion(object, at, 0);
}

/// The finalizers that an object has once its deletion is asked for.
fn finalizers(scope: &Scope, object: &Value, options: &DeleteOptions) -> Vec<Value> {
    let wanted = options.finalizer(scope, object);
    let own = meta::finalizers(object).filter(|own| *own != meta::ORPHAN && *own != meta::FOREGROUND);
    let mut all: Vec<Value> = own.map(Value::from).collect();
    all.extend(wanted.map(Value::from));
    let old: std::collections::BTreeSet<_> = meta::finalizers(object).collect();
    let new: std::collections::BTreeSet<_> = all.iter().filter_map(Value::as_str).collect();
    if old == new { meta::finalizers(object).map(Value::from).collect() } else { all }
}
