//! The Scale of an object: read out of it, written back into it.

use api::apply::{self, OneVersion, Options as ApplyOptions, ReplicasPaths, Reset};
use api::kind::ScalePaths;
use api::kinds::scale;
use api::status::Status;
use api::table::{self, Include, ListMeta};
use api::{canonical, meta};
use serde_json::{Value, json};

use crate::exchange::{Exchange, Scope};
use crate::http::Response;
use crate::http::accept::{Accepted, Shape};
use crate::options::{At, get_version};
use crate::refusal::{Refusal, Result};
use crate::respond;
use crate::server::Server;
use crate::view::convert;
use crate::write::body;
use crate::write::commit::{self, Target};
use crate::write::options::{Kind, WriteOptions};
use crate::write::patch::{Form, Patch};
use crate::write::steps::{Steps, place};
use crate::write::update::{decide, named};

const KIND: (&str, &str, &str) = ("autoscaling", "v1", "Scale");

/// Answers with the Scale.
pub async fn get(
    server: &Server,
    exchange: &Exchange,
    scope: &Scope,
    paths: &ScalePaths,
) -> Result<Response> {
    let accepted = exchange.negotiate(true)?;
    match get_version(&exchange.query)? {
        At::Latest => server.cache.fresh().await.map(drop)?,
        At::NotOlder(version) | At::Exact(version) => server.cache.wait_for(version).await.map(drop)?,
        At::Any => {}
    }
    let info = &exchange.info;
    let entry = scope.shelf.get(&scope.key(&info.namespace, &info.name));
    let entry = entry.ok_or_else(|| commit::not_found(scope, &info.name))?;
    let object: Value = serde_json::from_slice(entry.bytes()).map_err(Status::internal)?;
    let mut found = scale::read(paths, &object);
    normalise(scope, &mut found)?;
    Ok(respond::object(200, &shown(exchange, &accepted, &found)?, &accepted, false))
}

/// What a write brings.
enum Brought {
    Whole(Value),
    Patch(Patch),
    Applied(Value),
}

/// Answers with the Scale as it is now.
pub async fn write(
    server: &Server,
    exchange: &Exchange,
    scope: &Scope,
    paths: &ScalePaths,
) -> Result<Response> {
    let accepted = exchange.negotiate(true)?;
    let info = &exchange.info;
    let (brought, options) = if info.verb == "patch" {
        let form = Form::of(exchange, false)?;
        let bytes = body::read(exchange).await?;
        let options = WriteOptions::of(exchange, Kind::Patch(form == Form::Apply))?;
        let patch = Patch::read(form, &bytes)?;
        if form == Form::Apply {
            (Brought::Applied(patch.into_body()), options)
        } else {
            (Brought::Patch(patch), options)
        }
    } else {
        let (mut whole, options) = super::posted(exchange, scope, KIND).await?;
        place(scope, &info.namespace, &mut whole)?;
        named(&mut whole, &info.name)?;
        (Brought::Whole(whole), options)
    };
    let stamp = exchange.stamp();
    let steps =
        Steps { server, exchange, scope, part: None, subresource: "scale", options: &options, stamp: &stamp };
    let target =
        Target { scope, key: scope.key(&info.namespace, &info.name), dry_run: options.dry_run, lease: None };
    let done = commit::change(server, &target, |current| {
        let current = current.ok_or_else(|| commit::not_found(scope, &info.name))?;
        let object = convert::from_storage(&scope.kind, &scope.version, current.value.clone());
        let new = scaled(&steps, paths, &object, &brought)?;
        decide(&steps, current, new, false)
    })
    .await?;
    let object: Value = serde_json::from_slice(done.entry().bytes()).map_err(Status::internal)?;
    let mut found = scale::read(paths, &object);
    normalise(scope, &mut found)?;
    Ok(respond::object(200, &shown(exchange, &accepted, &found)?, &accepted, false))
}

/// The Scale in the shape that the client accepts.
fn shown(exchange: &Exchange, accepted: &Accepted, scale: &Value) -> Result<Vec<u8>> {
    let whole = canonical::to_vec(scale);
    match accepted.shape {
        Shape::Whole | Shape::MetadataList(_) => Ok(whole),
        Shape::Metadata(version) => Ok(crate::view::metadata(&whole, version)),
        Shape::Table(version) => {
            let include =
                Include::parse(exchange.query.text("includeObject")).map_err(Status::bad_request)?;
            let resource_version = meta::resource_version(scale).to_owned();
            let list = ListMeta { resource_version, ..ListMeta::default() };
            let columns = COLUMNS.map(|(name, kind, format, description)| {
                json!({"name": name, "type": kind, "format": format, "description": description, "priority": 0})
            });
            let mut out = table::head(version.api_version(), &list, Some(&columns)).into_bytes();
            let cells = vec![
                meta::name(scale).into(),
                meta::int_at(scale, "spec.replicas").into(),
                meta::int_at(scale, "status.replicas").into(),
                api::kinds::table::age(scale, exchange.now.as_second()),
            ];
            let object = match include {
                Include::Metadata => Some(crate::view::metadata(&whole, version)),
                Include::Object => Some(whole),
                Include::None => None,
            };
            table::push_row(&mut out, cells, &[], object.as_deref());
            out.extend_from_slice(table::TAIL.as_bytes());
            Ok(out)
        }
    }
}

/// Name, type, format and description of a Scale's columns.
const COLUMNS: [(&str, &str, &str, &str); 4] = [
    ("Name", "string", "name", "The object's name"),
    ("Desired", "integer", "", "How many replicas are wanted"),
    ("Available", "integer", "", "How many replicas there are"),
    ("Age", "string", "", "How long ago the object was made"),
];

fn ty(scope: &Scope) -> Result<api::schema::TypeId> {
    let (group, version, kind) = KIND;
    let found = scope.kind.schema.find_kind(group, version, kind);
    found.ok_or_else(|| Status::internal("Scale is not in the schema").into())
}

fn normalise(scope: &Scope, scale: &mut Value) -> Result<()> {
    canonical::normalise(&scope.kind.schema, ty(scope)?, scale);
    Ok(())
}

/// The object with the replicas that the write wants, and their owner.
fn scaled(steps: &Steps<'_>, paths: &ScalePaths, object: &Value, brought: &Brought) -> Result<Value> {
    let scope = steps.scope;
    let versions: Vec<(String, Option<&str>)> = scope
        .kind
        .versions
        .iter()
        .map(|row| (scope.kind.api_version(&row.name), Some(paths.wanted)))
        .collect();
    let versions: Vec<(&str, Option<&str>)> = versions.iter().map(|(name, path)| (&**name, *path)).collect();
    let owned = object["metadata"].get("managedFields");
    let mut old = scale::read(paths, object);
    normalise(scope, &mut old)?;
    if let Some(entries) = apply::to_scale(owned, ReplicasPaths(&versions)) {
        meta::put(&mut old, "metadata.managedFields", entries);
    }
    let reset = Reset::Nothing;
    let target = apply::Target {
        schema: &scope.kind.schema,
        ty: ty(scope)?,
        api_version: "autoscaling/v1",
        kind: "Scale",
        subresource: "scale",
        reset: &reset,
        versions: &OneVersion,
    };
    let manager = &steps.options.manager;
    let new = match brought {
        Brought::Applied(config) => {
            let options = ApplyOptions { manager, force: steps.options.force, now: steps.stamp };
            let applied = apply::apply(&target, Some(&old), config, options);
            let mut applied = applied.map_err(crate::write::patch::not_applied)?.object;
            normalise(scope, &mut applied)?;
            applied
        }
        Brought::Whole(_) | Brought::Patch(_) => {
            let mut new = match brought {
                Brought::Patch(patch) => {
                    let (schema, strictness) = (&scope.kind.schema, steps.options.strictness);
                    patch.over(steps.exchange, schema, ty(scope)?, &old, strictness)?
                }
                Brought::Whole(whole) => whole.clone(),
                Brought::Applied(_) => return Err(Refusal::from(Status::internal("an apply is no update"))),
            };
            if let Err(error) = apply::update(&target, Some(&old), &mut new, manager, steps.stamp) {
                tracing::warn!(%error, "ownership of replicas is not known");
            }
            new
        }
    };
    let mut written = scale::write(&scope.kind, paths, object, &new)?;
    let api_version = scope.api_version();
    let entries = new["metadata"].get("managedFields");
    match apply::from_scale(owned, entries, &api_version, ReplicasPaths(&versions)) {
        Some(entries) => meta::put(&mut written, "metadata.managedFields", entries),
        None => meta::remove(&mut written, "metadata.managedFields"),
    }
    Ok(written)
}
