//! POST: a new object.

use access::admission::Operation;
use api::kind::Claims;
use api::names;
use api::status::Status;
use api::{canonical, meta};
use serde_json::Value;

use super::commit::{self, Decision, Done, Target};
use super::options::{Kind, WriteOptions};
use super::steps::{Steps, place};
use super::{body, options, quota};
use crate::exchange::{Exchange, Scope};
use crate::http::Response;
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;

/// So many generated names are tried: upstream's number.
const NAMES: usize = 8;

/// Answers with the object that was created.
pub async fn create(server: &Server, exchange: &Exchange, scope: &Scope) -> Result<Response> {
    let accepted = exchange.negotiate(true)?;
    let view = exchange.view(server, scope, &accepted)?;
    let media = body::media(exchange)?;
    let bytes = body::read(exchange).await?;
    let options = WriteOptions::of(exchange, Kind::Create)?;
    let object = body::object(exchange, scope, &bytes, media, options.strictness)?;
    let done = object_created(server, exchange, scope, &options, object, true).await?;
    Ok(respond::object(201, &view.one(done.entry().bytes()), &accepted, exchange.takes_gzip()))
}

/// Creates a decoded object. `own`: whether its managedFields are to be made; an applied one has them.
pub async fn object_created(
    server: &Server,
    exchange: &Exchange,
    scope: &Scope,
    options: &options::WriteOptions,
    mut object: Value,
    own: bool,
) -> Result<Done> {
    // A namespace that is on its way out takes nothing new: this must be known.
    server.cache.fresh().await?;
    meta::wipe_system_fields(&mut object);
    place(scope, &exchange.info.namespace, &mut object)?;
    let stamp = exchange.stamp();
    let steps = Steps { server, exchange, scope, part: None, subresource: "", options, stamp: &stamp };
    steps.default(&mut object)?;
    if own {
        steps.own(None, &mut object)?;
    }
    if !meta::resource_version(&object).is_empty() && meta::resource_version(&object) != "0" {
        return Err(Refusal::plain(500, "", "resourceVersion should not be set on objects to be created"));
    }
    meta::remove(&mut object, "metadata.resourceVersion");
    steps.wait_for_needs(&object).await;
    let generated = meta::name(&object).is_empty() && !meta::generate_name(&object).is_empty();
    let lease = server.lease_for(&scope.kind).await?;
    let mut tries = 0;
    loop {
        tries += 1;
        let mut object = object.clone();
        if generated {
            let name = names::generate(meta::generate_name(&object), server.random());
            meta::put(&mut object, "metadata.name", name);
        }
        meta::fill_system_fields(&mut object, &server.uid(), &stamp);
        canonical::normalise(&scope.kind.schema, scope.row()?.object, &mut object);
        let name = meta::name(&object).to_owned();
        let key = scope.key(meta::namespace(&object), &name);
        let target = Target { scope, key, dry_run: options.dry_run, lease };
        if scope.kind.namespaced && quota::are_there(server, meta::namespace(&object)) {
            let mut judged = object.clone();
            steps.admit(Operation::Create, &mut judged, None)?;
            let (judged, _) = steps.created(judged)?;
            // One that is there already is refused for that, and charged for nothing.
            if scope.shelf.get(&target.key).is_none() {
                quota::charge(server, scope, &judged, options.dry_run).await?;
            }
        }
        let done = commit::change(server, &target, |current| {
            // The object is judged before it is known whether there is one: as upstream does.
            let mut object = object.clone();
            steps.admit(Operation::Create, &mut object, None)?;
            let (object, claims): (Value, Claims) = steps.created(object)?;
            if current.is_some() {
                return Err(Status::already_exists(scope.kind.resource(), &name).into());
            }
            Ok(Decision::Put(object, claims))
        })
        .await;
        match done {
            Err(Refusal(status)) if generated && status.reason == "AlreadyExists" => {
                if tries >= NAMES {
                    return Err(Status::generate_name_conflict(scope.kind.resource(), &name).into());
                }
            }
            done => return done,
        }
    }
}
