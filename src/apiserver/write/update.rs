//! PUT: an object or a part of it replaced.

use access::admission::Operation;
use api::field_error::{At, Errors, Path};
use api::kind::Part;
use api::meta;
use api::status::{Qualified, Status};
use serde_json::Value;

use super::body;
use super::commit::{self, Current, Decision, Done, Target};
use super::create::object_created;
use super::options::{Kind, WriteOptions};
use super::steps::{Steps, place};
use crate::exchange::{Exchange, Scope};
use crate::http::Response;
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;
use crate::view::convert;

/// Answers with the object as it is now.
pub async fn update(
    server: &Server,
    exchange: &Exchange,
    scope: &Scope,
    part: Option<&Part>,
) -> Result<Response> {
    let accepted = exchange.negotiate(true)?;
    let view = exchange.view(server, scope, &accepted)?;
    let media = body::media(exchange)?;
    let bytes = body::read(exchange).await?;
    let options = WriteOptions::of(exchange, Kind::Update)?;
    let mut object = body::object(exchange, scope, &bytes, media, options.strictness)?;
    let info = &exchange.info;
    place(scope, &info.namespace, &mut object)?;
    named(&mut object, &info.name)?;
    let done = replace(server, exchange, scope, part, &options, object).await?;
    let code = if matches!(done, Done::Put { created: true, .. }) { 201 } else { 200 };
    Ok(respond::object(code, &view.one(done.entry().bytes()), &accepted, exchange.takes_gzip()))
}

/// Checks that an object is the one that the URL names.
pub fn named(object: &mut Value, name: &str) -> Result<()> {
    let given = meta::name(object);
    if given.is_empty() {
        let says =
            format!("the name of the object ({name} based on URL) was undeterminable: name must be provided");
        return Err(Status::bad_request(says).into());
    }
    if given != name {
        let says = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(Status::bad_request(says).into());
    }
    Ok(())
}

async fn replace(
    server: &Server,
    exchange: &Exchange,
    scope: &Scope,
    part: Option<&Part>,
    options: &WriteOptions,
    object: Value,
) -> Result<Done> {
    let info = &exchange.info;
    let stamp = exchange.stamp();
    let steps =
        Steps { server, exchange, scope, part, subresource: &info.subresource, options, stamp: &stamp };
    let key = scope.key(&info.namespace, &info.name);
    let target = Target { scope, key, dry_run: options.dry_run, lease: None };
    let creates = scope.kind.strategy.create_on_update && part.is_none();
    let mut absent = false;
    let done = commit::change(server, &target, |current| {
        let Some(current) = current else {
            absent = true;
            return Err(commit::not_found(scope, &info.name));
        };
        absent = false;
        let mut new = object.clone();
        steps.default(&mut new)?;
        decide(&steps, current, new, true)
    })
    .await;
    match done {
        Err(_) if absent && creates => object_created(server, exchange, scope, options, object, true).await,
        done => done,
    }
}

/// Decides on a new object (at the request's version, with defaults) in the place of the
/// current one. `own`: whether what it changes is recorded here.
pub fn decide(steps: &Steps<'_>, current: &Current, mut new: Value, own: bool) -> Result<Decision> {
    let scope = steps.scope;
    let name = &steps.exchange.info.name;
    same_version(scope, name, current, &mut new)?;
    let uid = meta::uid(&new);
    if steps.exchange.info.verb == "update" && !uid.is_empty() && uid != meta::uid(&current.value) {
        let key = scope.key(&steps.exchange.info.namespace, name);
        let says = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            scope.kind.stored.key,
            meta::uid(&current.value)
        );
        return Err(Status::conflict(scope.kind.resource(), name, &says).into());
    }
    let old = convert::from_storage(&scope.kind, &scope.version, current.value.clone());
    if own {
        steps.own(Some(&old), &mut new)?;
    }
    steps.admit(Operation::Update, &mut new, Some(&old))?;
    let (object, claims) = steps.changed(new, &current.value)?;
    let mut bare = current.value.clone();
    meta::remove(&mut bare, "metadata.resourceVersion");
    if bare == object {
        return Ok(Decision::Keep);
    }
    if ends(scope, &object, &current.value) {
        let claims = super::claims::release(scope, &current.value);
        return Ok(Decision::Delete { claims, last: Some((object, current.revision)) });
    }
    Ok(Decision::Put(object, claims))
}

/// The resourceVersion that a write names must be the current one; none means any, where
/// the kind allows that.
fn same_version(scope: &Scope, name: &str, current: &Current, new: &mut Value) -> Result<()> {
    let given = meta::resource_version(new).to_owned();
    let now = current.revision.to_string();
    if given.is_empty() || given == "0" {
        if !scope.kind.strategy.unconditional_update {
            let mut errors = Errors::new();
            let value = Value::from(0);
            let at = At::new(Some(&value), Path::of("metadata.resourceVersion"));
            errors.invalid(&at, "must be specified for an update");
            let what = Qualified { group: &scope.kind.group, name: &scope.kind.plural };
            return Err(Status::invalid(what, name, errors).into());
        }
        meta::put(new, "metadata.resourceVersion", now);
        return Ok(());
    }
    if given.parse::<u64>().is_err() {
        let says = format!("strconv.ParseUint: parsing {given:?}: invalid syntax");
        return Err(Refusal::plain(500, "", says));
    }
    if given != now {
        return Err(Refusal::from(Status::modified(scope.kind.resource(), name)));
    }
    Ok(())
}

/// Whether a change is the last one: what was deleted has nothing left that it waits for.
fn ends(scope: &Scope, new: &Value, old: &Value) -> bool {
    let waits = meta::finalizers(new).next().is_some()
        || meta::deletion_grace(old).is_some_and(|seconds| seconds > 0)
        || &*scope.kind.kind == "Namespace"
            && scope.kind.group.is_empty()
            && !meta::list_at(new, "spec.finalizers").is_empty();
    meta::deletion_timestamp(old).is_some() && !waits
}
